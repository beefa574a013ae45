//! How fast a lane may begin attempts: each moves the next one on by the rate's interval, and none begins before a time
//! that the sink has asked for.
//!
//! Why no bucket of a whole second or minute: a sink that allows 120 calls a minute does not want them in its first
//! second. A tenth of a second's worth may come at once, so that the clock's milliseconds do not slow a fast rate down;
//! or a burst, where the subscriber names one.
//! In microseconds, since a millisecond is too coarse for a thousand a second.

use crate::subscription::Rate;
use crate::time::Timestamp;

/// What may come at once.
const BURST_US: i64 = 100_000;

/// When the next attempt is due.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    due_us: i64,
    /// The sink asked for no call before.
    rests: Option<Timestamp>,
}

impl Pace {
    /// When an attempt may begin, if not now.
    pub(super) fn opens(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.rests = self.rests.filter(|until| *until > now);
        let whole = self.due_us.div_euclid(1_000);
        let due = Timestamp(whole.saturating_add(i64::from(self.due_us.rem_euclid(1_000) > 0)));
        self.rests.into_iter().chain([due]).max().filter(|opens| *opens > now)
    }

    /// An attempt begins.
    pub(super) fn spend(&mut self, rate: Rate, burst: Option<u32>, now: Timestamp) {
        let step = i64::try_from(rate.interval().as_micros()).unwrap_or(i64::MAX);
        // What was not used of late is made up for; a rate slower than that has nothing to save.
        let saved = match burst {
            Some(burst) => step.saturating_mul(i64::from(burst.saturating_sub(1))),
            None => BURST_US.saturating_sub(step).max(0),
        };
        let least = now.0.saturating_mul(1_000).saturating_sub(saved);
        self.due_us = self.due_us.max(least).saturating_add(step);
    }

    /// The sink asked for no call before this time.
    pub(super) fn rest_until(&mut self, until: Timestamp) {
        self.rests = self.rests.max(Some(until));
    }

    /// What the sink asked for no longer counts.
    pub(super) fn go_on(&mut self) {
        self.rests = None;
    }

    /// Until when the sink wants no call, as far as anybody has looked.
    pub(super) fn rests(&self) -> Option<Timestamp> {
        self.rests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many attempts begin in so many milliseconds, if they are always wanted.
    fn begun(rate: &str, burst: Option<u32>, millis: i64) -> u32 {
        let rate = Rate::parse(rate).unwrap();
        let (mut pace, mut now, mut count) = (Pace::default(), Timestamp(1_000_000), 0);
        let end = Timestamp(now.0 + millis);
        while now < end {
            match pace.opens(now) {
                Some(opens) => now = opens,
                None => {
                    pace.spend(rate, burst, now);
                    count += 1;
                }
            }
        }
        count
    }

    #[test]
    fn a_rate_is_kept_and_reached() {
        for (rate, burst, millis, least, most) in [
            ("100/s", None, 10_000, 1_000, 1_011),
            ("5000/s", None, 1_000, 5_000, 5_501),
            ("120/m", None, 60_000, 119, 121),
            ("60/h", None, 3_600_000, 59, 61),
            ("1/s", None, 500, 1, 1),
            ("100/s", Some(200), 1, 200, 200),
            ("100/s", Some(200), 1_000, 299, 301),
            ("100/s", Some(1), 1_000, 100, 101),
            ("60/h", Some(3), 1, 3, 3),
            ("1000000/s", Some(1_000_000), 1, 1_000_000, 1_002_000),
        ] {
            let count = begun(rate, burst, millis);
            assert!(
                (least..=most).contains(&count),
                "{rate} {burst:?}: {count} in {millis} ms"
            );
        }
    }

    #[test]
    fn the_longest_rest_counts_and_ends() {
        let mut pace = Pace::default();
        pace.rest_until(Timestamp(90));
        pace.rest_until(Timestamp(50));
        assert_eq!(
            (pace.opens(Timestamp(89)), pace.rests()),
            (Some(Timestamp(90)), Some(Timestamp(90)))
        );
        assert_eq!((pace.opens(Timestamp(90)), pace.rests()), (None, None));
        pace.rest_until(Timestamp(200));
        pace.go_on();
        assert_eq!(pace.opens(Timestamp(100)), None);
    }
}
