//! So many at once, and so many in the long run. Pure: the time is given.
//!
//! One number: the moment at which everything taken so far will have been earned (the generic cell rate algorithm).
//! Why so: a count that is filled up would need a task, or the same sum with more to store.

use std::time::{Duration, Instant};

use super::account::Pace;

/// What was taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket(Option<Instant>);

impl Bucket {
    /// Takes one; or how long until there is one again.
    pub(super) fn take(&mut self, pace: Pace, now: Instant) -> Result<(), Duration> {
        match self.wait(pace, now) {
            Some(wait) => Err(wait),
            None => {
                let earned = self.0.map_or(now, |earned| earned.max(now));
                self.0 = Some(earned + pace.rate.interval());
                Ok(())
            }
        }
    }

    /// How long until there is one again; none if there is one.
    pub(super) fn wait(&self, pace: Pace, now: Instant) -> Option<Duration> {
        let interval = pace.rate.interval();
        let most = interval.saturating_mul(pace.burst.max(1));
        let owed = self.owed(now) + interval;
        owed.checked_sub(most).filter(|wait| !wait.is_zero())
    }

    /// How long until everything taken is earned.
    pub(super) fn owed(&self, now: Instant) -> Duration {
        self.0
            .map_or(Duration::ZERO, |earned| earned.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Rate;
    use crate::time::Clock;

    #[test]
    fn a_burst_and_then_the_rate() {
        let pace = Pace {
            rate: Rate::parse("10/s").unwrap(),
            burst: 3,
        };
        let (mut bucket, start) = (Bucket::default(), Clock::system().instant());
        let ms = Duration::from_millis;
        for (at, wait) in [
            (0, None),
            (0, None),
            (0, None),
            (0, Some(100)),
            (60, Some(40)),
            (100, None),
            (100, Some(100)),
            (10_000, None),
            (10_000, None),
            (10_000, None),
            (10_000, Some(100)),
        ] {
            let taken = bucket.take(pace, start + ms(at));
            assert_eq!(taken.err(), wait.map(ms), "at {at} ms");
        }
    }
}
