//! How fast a lane may begin attempts: each moves the next one on by the rate's interval.
//!
//! Why no bucket of a whole second or minute: a sink that allows 120 calls a minute does not want them in its first
//! second. A tenth of a second's worth may come at once, so that the clock's milliseconds do not slow a fast rate down.
//! In microseconds, since a millisecond is too coarse for a thousand a second.

use crate::subscription::Rate;
use crate::time::Timestamp;

/// What may come at once.
const BURST_US: i64 = 100_000;

/// When the next attempt is due by the rate alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    due_us: i64,
}

impl Pace {
    /// When an attempt may begin, if not now.
    pub(super) fn opens(&self, now: Timestamp) -> Option<Timestamp> {
        let opens = self
            .due_us
            .div_euclid(1_000)
            .saturating_add(i64::from(self.due_us.rem_euclid(1_000) > 0));
        (opens > now.0).then_some(Timestamp(opens))
    }

    /// An attempt begins.
    pub(super) fn spend(&mut self, rate: Rate, now: Timestamp) {
        let step = i64::try_from(rate.interval().as_micros()).unwrap_or(i64::MAX);
        // What was not used in the last tenth of a second is made up for; a rate slower than that has nothing to save.
        let saved = BURST_US.saturating_sub(step).max(0);
        let least = now.0.saturating_mul(1_000).saturating_sub(saved);
        self.due_us = self.due_us.max(least).saturating_add(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many attempts begin in so many milliseconds, if they are always wanted.
    fn begun(rate: &str, millis: i64) -> u32 {
        let rate = Rate::parse(rate).unwrap();
        let (mut pace, mut now, mut count) = (Pace::default(), Timestamp(1_000_000), 0);
        let end = Timestamp(now.0 + millis);
        while now < end {
            match pace.opens(now) {
                Some(opens) => now = opens,
                None => {
                    pace.spend(rate, now);
                    count += 1;
                }
            }
        }
        count
    }

    #[test]
    fn a_rate_is_kept_and_reached() {
        for (rate, millis, least, most) in [
            ("100/s", 10_000, 1_000, 1_011),
            ("5000/s", 1_000, 5_000, 5_501),
            ("120/m", 60_000, 119, 121),
            ("60/h", 3_600_000, 59, 61),
            ("1/s", 500, 1, 1),
        ] {
            let count = begun(rate, millis);
            assert!((least..=most).contains(&count), "{rate}: {count} in {millis} ms");
        }
    }
}
