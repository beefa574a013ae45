//! The time by which records grow old: one that a clock which jumps cannot push ahead.
//!
//! Retention deletes, so it must not believe a clock at its word: a machine that wakes up with next year's date would
//! drop everything at once. A time that is further ahead than time has passed is believed only when the clock has kept
//! to it for an hour; an operator has so long to notice (the log warns) and to set it right. A time that is further
//! behind is believed at once: it only keeps more. At the start nobody knows how much time has passed: a clock that is
//! more than a day past the newest record has to keep to it for an hour too.
//!
//! Rejected: never believing a jump. A machine without a battery for its clock starts in 1970, and would then keep
//! everything until its disk is full.

use std::time::Duration;

use tracing::{info, warn};

use crate::time::Timestamp;

/// A clock that drifts or is adjusted by less than this has not jumped.
const DRIFT: i64 = 60_000;
/// At the start: as far as this past the newest record the clock is believed at once.
const PAUSE: Duration = Duration::from_secs(86_400);
/// How long a clock has to keep to a time that it jumped to.
const TRIAL: Duration = Duration::from_secs(3_600);

/// What is believed of the clock. All in milliseconds that the time of day is ahead of a steady clock which showed it at
/// the start.
#[derive(Debug)]
pub(super) struct AgeClock {
    believed: i64,
    /// How far ahead it claims to be, and since when.
    claim: Option<(i64, Timestamp)>,
}

impl AgeClock {
    /// A clock at the start, when it shows `now` and the newest record was received at `newest`.
    pub(super) fn new(now: Timestamp, newest: Option<Timestamp>) -> Self {
        let paused = newest.map(|newest| now.since(newest)).filter(|paused| *paused > PAUSE);
        let believed = paused.map_or(0, |paused| -i64::try_from(paused.as_millis()).unwrap_or(i64::MAX));
        Self { believed, claim: None }
    }

    /// The time to measure age by, given the time of day and a steady clock.
    pub(super) fn now(&mut self, of_day: Timestamp, steady: Timestamp) -> Timestamp {
        let ahead = of_day.0.saturating_sub(steady.0);
        if ahead <= self.believed.saturating_add(DRIFT) {
            (self.believed, self.claim) = (ahead, None);
            return of_day;
        }
        let claimed = self
            .claim
            .filter(|(claimed, _)| claimed.abs_diff(ahead) <= DRIFT.unsigned_abs());
        match claimed {
            Some((_, since)) if steady.since(since) >= TRIAL => {
                info!(%of_day, "the clock has kept to its time for an hour: retention goes by it");
                (self.believed, self.claim) = (ahead, None);
            }
            Some(_) => {}
            None => {
                warn!(%of_day, expected = %Timestamp(steady.0.saturating_add(self.believed)), "the clock is further ahead than it should be: if it is wrong, set it right within an hour; until then nothing is dropped for its age");
                self.claim = Some((ahead, steady));
            }
        }
        Timestamp(steady.0.saturating_add(self.believed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    /// Hours that have passed, how far ahead the clock is, and the age clock's time against the passed one, all in turn.
    fn check(start: i64, newest: Option<i64>, steps: &[(i64, i64, i64)]) {
        let mut age = AgeClock::new(Timestamp(start), newest.map(Timestamp));
        for (passed, ahead, expected) in steps {
            let steady = start + passed;
            let now = age.now(Timestamp(steady + ahead), Timestamp(steady));
            assert_eq!(now.0 - steady, *expected, "after {passed} at {ahead}");
        }
    }

    #[test]
    fn a_jump_ahead_is_believed_after_an_hour_and_one_back_at_once() {
        check(
            0,
            None,
            &[(0, 0, 0), (HOUR, DRIFT, DRIFT), (2 * HOUR, 2 * DRIFT, 2 * DRIFT)],
        );
        check(
            0,
            Some(0),
            &[
                (HOUR, DAY, 0),
                (2 * HOUR - 1, DAY, 0),
                (2 * HOUR, DAY, DAY),
                (3 * HOUR, 0, 0),
            ],
        );
        check(0, Some(0), &[(0, -DAY, -DAY), (HOUR, 0, -DAY), (2 * HOUR, 0, 0)]);
        // One that goes on jumping is never believed.
        check(
            0,
            None,
            &[
                (0, DAY, 0),
                (HOUR, 2 * DAY, 0),
                (2 * HOUR - 1, 2 * DAY, 0),
                (2 * HOUR, 3 * DAY, 0),
            ],
        );
        // Set right within the hour: nothing has happened.
        check(
            0,
            None,
            &[(0, DAY, 0), (HOUR / 2, 0, 0), (HOUR, DAY, 0), (2 * HOUR - 1, DAY, 0)],
        );
    }

    #[test]
    fn at_the_start_a_clock_far_past_the_newest_record_has_to_keep_to_it() {
        check(DAY, Some(0), &[(0, 0, 0)]);
        check(
            7 * DAY,
            Some(0),
            &[(0, 0, -7 * DAY), (HOUR - 1, 0, -7 * DAY), (HOUR, 0, 0)],
        );
        check(7 * DAY, Some(0), &[(0, 0, -7 * DAY), (HOUR, -7 * DAY, -7 * DAY)]);
        check(0, Some(7 * DAY), &[(0, 0, 0)]);
    }
}
