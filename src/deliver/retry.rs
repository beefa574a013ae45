//! What comes after an attempt. Pure: no clock, no chance, no I/O.
//!
//! Jitter only lengthens (by up to a fifth; where the schedule has a range, chance draws from that instead), and
//! `Retry-After` only lengthens (up to `retry_after_most`): a thousand deliveries that failed together come back apart,
//! and a sink cannot ask to be hammered.
//! Invariant: a delay is never shorter than the schedule's step for that attempt.

use std::time::Duration;

use crate::subscription::{DeliveryConfig, Retry, Schedule, UNLIMITED};
use crate::time::Timestamp;

/// The share of a step that jitter may add.
const SPREAD: f64 = 0.2;

/// Retries that were kept over a restart at `now`, due when they should be. Where the last attempt lies in the future, the
/// clock has been set back meanwhile: then one waits as long as it should after that, from now on, and not a day more.
pub(super) fn due_after_restart(mut kept: Vec<Retry>, now: Timestamp) -> Vec<Retry> {
    for retry in &mut kept {
        match retry.attempts.last().map(|attempt| Timestamp(attempt.at)) {
            Some(last) if last > now => retry.due = retry.due.min(now.plus(retry.due.since(last))),
            Some(_) => {}
            // Nobody has refused it yet: it waits for its turn alone.
            None => retry.due = retry.due.min(now),
        }
    }
    kept
}

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
    /// It wants no more events until somebody says otherwise (`webhook-delivery: disable`).
    Disabled {
        /// Whether it has this one.
        accepted: bool,
    },
    /// No try will ever help.
    Rejected {
        /// Why.
        reason: String,
    },
}

/// A subscription's schedule.
#[derive(Debug, Clone)]
pub(super) struct RetryPolicy {
    /// Waits before the second, third, … attempt.
    pub(super) schedule: Schedule,
    /// Whether chance lengthens waits that are no range.
    pub(super) jitter: bool,
    /// Attempts before the dead letters.
    pub(super) max_attempts: u32,
    /// No attempt begins when the hub has had the event for longer.
    pub(super) max_age: Option<Duration>,
    /// The longest wait that a sink may ask for.
    pub(super) retry_after_most: Duration,
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
    /// It is given up, for it would be too old by the next attempt.
    TooOld,
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
            jitter: config.jitter,
            max_attempts: config.max_attempts.max(1),
            max_age: config.max_age,
            retry_after_most: config.retry_after_most,
        }
    }

    /// The wait that a sink asked for, as far as it may.
    pub(super) fn asked(&self, after: Option<Duration>) -> Duration {
        after.unwrap_or_default().min(self.retry_after_most)
    }

    /// What comes after attempt number `tries` (from 1), which ended at `now` with this outcome, at an event that came
    /// at `received`.
    pub(super) fn next(
        &self,
        tries: u32,
        outcome: &Outcome,
        (received, now): (Timestamp, Timestamp),
        jitter: Jitter,
    ) -> Next {
        match outcome {
            Outcome::Accepted | Outcome::Disabled { accepted: true } => Next::Done,
            Outcome::Gone | Outcome::Disabled { accepted: false } => Next::Keep,
            Outcome::Rejected { .. } => Next::DeadLetter,
            Outcome::Retry { .. } if self.max_attempts != UNLIMITED && tries >= self.max_attempts => Next::DeadLetter,
            Outcome::Retry { after } => {
                let due = now.plus(self.wait(tries, jitter).max(self.asked(*after)));
                match self.max_age {
                    Some(age) if due > received.plus(age) => Next::TooOld,
                    _ => Next::At(due),
                }
            }
        }
    }

    /// Whether no attempt but the first may begin at an event that came at `received`.
    pub(super) fn is_too_old(&self, received: Timestamp, now: Timestamp) -> bool {
        self.max_age.is_some_and(|age| now > received.plus(age))
    }

    /// The wait after attempt number `tries`, with its jitter.
    pub(super) fn wait(&self, tries: u32, jitter: Jitter) -> Duration {
        let step = self.schedule.wait(tries);
        let range = step.most().saturating_sub(step.least());
        match range.is_zero() {
            true if self.jitter => step.least().mul_f64(1.0 + SPREAD * jitter.0),
            true => step.least(),
            false => step.least() + range.mul_f64(jitter.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);
    const MOST: Duration = Duration::from_secs(3_600);

    fn policy() -> RetryPolicy {
        RetryPolicy {
            schedule: [5, 30, 120, 10_800].map(Duration::from_secs).into(),
            jitter: true,
            max_attempts: 6,
            max_age: None,
            retry_after_most: MOST,
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
            (1, Outcome::Disabled { accepted: true }, 0.0, Next::Done),
            (9, Outcome::Disabled { accepted: false }, 0.0, Next::Keep),
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
            let got = policy().next(tries, &outcome, (NOW, NOW), Jitter::new(chance));
            assert_eq!(got, want, "attempt {tries}, {outcome:?}, chance {chance}");
        }
    }

    #[test]
    fn a_sink_may_ask_for_as_much_as_the_subscriber_lets_it() {
        for (most, asked, seconds) in [(0, 90, 5), (60, 90, 60), (60, 30, 30), (86_400, 50_000, 50_000)] {
            let policy = RetryPolicy {
                retry_after_most: Duration::from_secs(most),
                ..policy()
            };
            let next = policy.next(1, &retry(Some(asked)), (NOW, NOW), Jitter::new(0.0));
            assert_eq!(
                next,
                Next::At(NOW.plus(Duration::from_secs(seconds))),
                "{asked} s of at most {most} s"
            );
        }
    }

    #[test]
    fn the_schedules_of_other_services_keep_their_numbers() {
        let of = |steps: &[&str], jitter, max_attempts| RetryPolicy {
            schedule: Schedule::parse(&steps.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap(),
            jitter,
            max_attempts,
            max_age: None,
            retry_after_most: MOST,
        };
        let backoff = of(&["10s..20s"], false, 4);
        let decay = of(
            &["1s", "2s", "4s", "8s", "16s", "32s", "64s", "128s", "256s", "512s"],
            false,
            177,
        );
        for (policy, tries, chance, seconds) in [
            (&backoff, 1, 0.0, Some(10)),
            (&backoff, 2, 0.5, Some(15)),
            (&backoff, 3, 1.0, Some(20)),
            (&backoff, 4, 1.0, None),
            (&decay, 1, 1.0, Some(1)),
            (&decay, 9, 1.0, Some(256)),
            (&decay, 10, 1.0, Some(512)),
            (&decay, 176, 1.0, Some(512)),
            (&decay, 177, 1.0, None),
            (&of(&["1s"], false, UNLIMITED), 1_000_000, 1.0, Some(1)),
        ] {
            let next = seconds.map_or(Next::DeadLetter, |seconds| {
                Next::At(NOW.plus(Duration::from_secs(seconds)))
            });
            assert_eq!(
                policy.next(tries, &retry(None), (NOW, NOW), Jitter::new(chance)),
                next,
                "{policy:?} {tries}"
            );
        }
    }

    #[test]
    fn no_attempt_begins_after_the_greatest_age() {
        let policy = RetryPolicy {
            max_age: Some(Duration::from_secs(60)),
            ..policy()
        };
        for (had_for, next) in [
            (0, Next::At(NOW.plus(Duration::from_secs(30)))),
            (30, Next::At(NOW.plus(Duration::from_secs(30)))),
            (31, Next::TooOld),
        ] {
            let received = Timestamp(NOW.0 - had_for * 1_000);
            assert_eq!(
                policy.next(2, &retry(None), (received, NOW), Jitter::new(0.0)),
                next,
                "{had_for}"
            );
        }
    }

    proptest! {
        #[test]
        fn never_shorter_than_the_step(
            tries in 1u32..6,
            after in proptest::option::of(0u64..100_000),
            chance in -1.0f64..2.0,
        ) {
            let step = policy().schedule.wait(tries).least();
            let Next::At(at) = policy().next(tries, &retry(after), (NOW, NOW), Jitter::new(chance)) else {
                panic!("attempts are left")
            };
            let wait = at.since(NOW);
            prop_assert!(wait >= step);
            prop_assert!(wait <= step.mul_f64(1.0 + SPREAD).max(MOST));
        }
    }

    #[test]
    fn a_clock_set_back_over_a_restart_costs_no_more_than_the_wait() {
        let check = |last: Option<i64>, due: i64, expected: i64| {
            let attempt = |at: i64| crate::subscription::Attempt {
                number: 1,
                at: NOW.0 + at,
                took_ms: 0,
                status: None,
                outcome: String::new(),
                answer: None,
            };
            let kept = Retry {
                subscription: crate::subscription::SubscriptionId("s".into()),
                offset: crate::log::Offset(1),
                due: Timestamp(NOW.0 + due),
                attempts: last.map(attempt).into_iter().collect(),
                tries: 1,
                key: None,
            };
            let given = due_after_restart(vec![kept], NOW)[0].due.0 - NOW.0;
            assert_eq!(given, expected, "last at {last:?}, due at {due}");
        };
        check(Some(-5_000), 3_000, 3_000);
        check(Some(-5_000), -3_000, -3_000);
        check(Some(86_400_000), 86_405_000, 5_000);
        check(Some(1), 5_001, 5_000);
        check(None, 86_400_000, 0);
        check(None, -5, -5);
    }
}
