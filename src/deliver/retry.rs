//! What comes after an attempt. Pure: no clock, no chance, no I/O.
//!
//! Jitter only lengthens (by up to a fifth), and `Retry-After` only lengthens (up to an hour): a thousand
//! deliveries that failed together come back apart, and a sink cannot ask to be hammered.
//! Invariant: a delay is never shorter than the schedule's step for that attempt.

use std::sync::Arc;
use std::time::Duration;

use crate::subscription::DeliveryConfig;
use crate::time::Timestamp;

/// `Retry-After` beyond this is cut.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);
/// The share of a step that jitter may add.
const SPREAD: f64 = 0.2;
/// The step of a schedule that has none.
const FALLBACK: Duration = Duration::from_secs(5);

/// What the sink said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has the event.
    Accepted,
    /// It has not; another try may help.
    Retry {
        /// The shortest wait it asked for.
        after: Option<Duration>,
    },
    /// It wants no more events (410).
    Gone,
    /// No try will ever help.
    Rejected {
        /// Why.
        reason: String,
    },
}

/// A subscription's schedule.
#[derive(Debug, Clone)]
pub(super) struct RetryPolicy {
    /// Waits before the second, third, … attempt; the last repeats.
    pub(super) schedule: Arc<[Duration]>,
    /// Attempts before the dead letters.
    pub(super) max_attempts: u32,
}

/// Chance, from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jitter(f64);

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt.
    At(Timestamp),
    /// It is given up.
    DeadLetter,
    /// It is delivered.
    Done,
    /// The delivery stays as it is until its subscription goes on.
    Keep,
}

impl Jitter {
    /// `chance` from 0 to 1; what lies outside is cut.
    pub(super) fn new(chance: f64) -> Self {
        Self(chance.clamp(0.0, 1.0))
    }

    /// From the machine's randomness.
    pub(super) fn random() -> Self {
        Self::new(crate::chance::share())
    }
}

impl RetryPolicy {
    /// The policy of a subscription.
    pub(super) fn of(config: &DeliveryConfig) -> Self {
        Self {
            schedule: config.schedule.clone(),
            max_attempts: config.max_attempts.max(1),
        }
    }

    /// What comes after attempt number `tries` (from 1), which ended at `now` with this outcome.
    pub(super) fn next(&self, tries: u32, outcome: &Outcome, now: Timestamp, jitter: Jitter) -> Next {
        match outcome {
            Outcome::Accepted => Next::Done,
            Outcome::Gone => Next::Keep,
            Outcome::Rejected { .. } => Next::DeadLetter,
            Outcome::Retry { .. } if tries >= self.max_attempts => Next::DeadLetter,
            Outcome::Retry { after } => {
                let asked = after.unwrap_or_default().min(LONGEST_ASKED);
                Next::At(now.plus(self.wait(tries, jitter).max(asked)))
            }
        }
    }

    /// The wait after attempt number `tries`, with its jitter.
    pub(super) fn wait(&self, tries: u32, jitter: Jitter) -> Duration {
        self.step(tries).mul_f64(1.0 + SPREAD * jitter.0)
    }

    /// The schedule's wait after attempt number `tries`.
    fn step(&self, tries: u32) -> Duration {
        let nth = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
        self.schedule
            .get(nth)
            .or_else(|| self.schedule.last())
            .copied()
            .unwrap_or(FALLBACK)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn policy() -> RetryPolicy {
        RetryPolicy {
            schedule: [5, 30, 120, 10_800].map(Duration::from_secs).into(),
            max_attempts: 6,
        }
    }

    fn retry(after: Option<u64>) -> Outcome {
        Outcome::Retry {
            after: after.map(Duration::from_secs),
        }
    }

    #[test]
    fn the_table_of_delays() {
        let seconds = |s: u64| Next::At(NOW.plus(Duration::from_secs(s)));
        let rejected = Outcome::Rejected {
            reason: "blocked".to_owned(),
        };
        let table = [
            (1, Outcome::Accepted, 0.0, Next::Done),
            (9, Outcome::Accepted, 0.0, Next::Done),
            (1, Outcome::Gone, 0.0, Next::Keep),
            (1, rejected, 0.0, Next::DeadLetter),
            (1, retry(None), 0.0, seconds(5)),
            (1, retry(None), 1.0, seconds(6)),
            (2, retry(None), 0.0, seconds(30)),
            (2, retry(None), 0.5, seconds(33)),
            (3, retry(None), 0.0, seconds(120)),
            (4, retry(None), 0.0, seconds(10_800)),
            (5, retry(None), 0.0, seconds(10_800)),
            (6, retry(None), 0.0, Next::DeadLetter),
            (7, retry(None), 0.0, Next::DeadLetter),
            (1, retry(Some(1)), 0.0, seconds(5)),
            (1, retry(Some(90)), 1.0, seconds(90)),
            (1, retry(Some(86_400)), 0.0, seconds(3_600)),
            (4, retry(Some(86_400)), 0.0, seconds(10_800)),
            (6, retry(Some(1)), 0.0, Next::DeadLetter),
        ];
        for (tries, outcome, chance, want) in table {
            let got = policy().next(tries, &outcome, NOW, Jitter::new(chance));
            assert_eq!(got, want, "attempt {tries}, {outcome:?}, chance {chance}");
        }
    }

    #[test]
    fn an_empty_schedule_still_waits() {
        let policy = RetryPolicy {
            schedule: [].into(),
            max_attempts: 2,
        };
        assert_eq!(
            policy.next(1, &retry(None), NOW, Jitter::new(0.0)),
            Next::At(NOW.plus(FALLBACK))
        );
    }

    proptest! {
        #[test]
        fn never_shorter_than_the_step(
            tries in 1u32..6,
            after in proptest::option::of(0u64..100_000),
            chance in -1.0f64..2.0,
        ) {
            let step = policy().step(tries);
            let Next::At(at) = policy().next(tries, &retry(after), NOW, Jitter::new(chance)) else {
                panic!("attempts are left")
            };
            let wait = at.since(NOW);
            prop_assert!(wait >= step);
            prop_assert!(wait <= step.mul_f64(1.0 + SPREAD).max(LONGEST_ASKED));
        }
    }
}
