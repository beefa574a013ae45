//! Whether a sink is worth a first attempt. Pure.
//!
//! After [`PATIENCE`] failures in a row a sink is only probed: one first attempt at a time, at growing intervals,
//! and its events wait in the log. Deliveries that already wait for a retry keep their own schedule, so a probe is
//! an ordinary delivery that counts its attempt: one poisonous event at the head cannot keep the breaker open.
//! Invariant: while open there is at most one probe in flight.

use std::time::Duration;

use crate::time::Timestamp;

/// Failures in a row before it opens.
const PATIENCE: u32 = 8;
/// From opening to the first probe.
const FIRST_PROBE: Duration = Duration::from_secs(5);
/// Intervals double up to this.
const LONGEST_PROBE: Duration = Duration::from_secs(60);

/// The state of one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Breaker {
    /// Attempts go out; so many have failed in a row.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// Only probes go out.
    Open {
        /// Between the last probe and the next.
        interval: Duration,
        /// When the next probe may go.
        probe_at: Timestamp,
        /// A probe is in flight.
        probing: bool,
        /// The last failure.
        reason: String,
    },
}

/// What may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admits {
    /// Any first attempt.
    All,
    /// One, as a probe.
    Probe,
    /// None before this time.
    NoneBefore(Timestamp),
    /// None until the probe in flight ends.
    None,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// What may be started now.
    pub(super) fn admits(&self, now: Timestamp) -> Admits {
        match self {
            Self::Closed { .. } => Admits::All,
            Self::Open { probing: true, .. } => Admits::None,
            Self::Open { probe_at, .. } if now >= *probe_at => Admits::Probe,
            Self::Open { probe_at, .. } => Admits::NoneBefore(*probe_at),
        }
    }

    /// A probe has been started.
    pub(super) fn probe_started(&mut self) {
        if let Self::Open { probing, .. } = self {
            *probing = true;
        }
    }

    /// The probe never reached the sink (its event was filtered out, or its plugin is not loaded).
    pub(super) fn probe_told_nothing(&mut self) {
        if let Self::Open { probing, .. } = self {
            *probing = false;
        }
    }

    /// The sink works. Whether that closed it.
    pub(super) fn succeeded(&mut self) -> bool {
        let was_open = matches!(self, Self::Open { .. });
        *self = Self::default();
        was_open
    }

    /// An attempt failed. Whether that opened it.
    pub(super) fn failed(&mut self, now: Timestamp, probe: bool, why: &str) -> bool {
        match self {
            Self::Closed { failures } if *failures + 1 < PATIENCE => {
                *failures += 1;
                false
            }
            Self::Closed { .. } => {
                let probe_at = now.plus(FIRST_PROBE);
                *self = Self::Open {
                    interval: FIRST_PROBE,
                    probe_at,
                    probing: false,
                    reason: why.to_owned(),
                };
                true
            }
            Self::Open {
                interval,
                probe_at,
                probing,
                reason,
            } => {
                why.clone_into(reason);
                if probe {
                    *interval = (*interval * 2).min(LONGEST_PROBE);
                    *probe_at = now.plus(*interval);
                    *probing = false;
                }
                false
            }
        }
    }

    /// The last failure, while open.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Open { reason, .. } => Some(reason),
            Self::Closed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).plus(Duration::from_secs(seconds))
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for nth in 1..=PATIENCE {
            assert_eq!(breaker.admits(at(0)), Admits::All);
            assert_eq!(breaker.failed(at(0), false, "503"), nth == PATIENCE, "failure {nth}");
        }
        breaker
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            for _ in 1..PATIENCE {
                assert!(!breaker.failed(at(0), false, "503"));
            }
            assert!(!breaker.succeeded(), "it was never open");
        }
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn probes_come_one_at_a_time_and_ever_slower() {
        let mut breaker = opened();
        let mut now = 0;
        for wait in [5, 10, 20, 40, 60, 60] {
            assert_eq!(breaker.admits(at(now + wait - 1)), Admits::NoneBefore(at(now + wait)));
            now += wait;
            assert_eq!(breaker.admits(at(now)), Admits::Probe);
            breaker.probe_started();
            assert_eq!(breaker.admits(at(now + 1000)), Admits::None);
            assert!(
                !breaker.failed(at(now), false, "a retry's own failure"),
                "is no probe's"
            );
            assert_eq!(breaker.admits(at(now + 1000)), Admits::None);
            assert!(!breaker.failed(at(now), true, "still 503"));
            assert_eq!(breaker.reason(), Some("still 503"));
        }
        assert!(breaker.succeeded());
        assert_eq!(breaker.admits(at(now)), Admits::All);
    }

    #[test]
    fn a_probe_that_reached_nobody_is_made_again() {
        let mut breaker = opened();
        breaker.probe_started();
        breaker.probe_told_nothing();
        assert_eq!(breaker.admits(at(5)), Admits::Probe);
    }
}
