//! Whether a sink is worth an attempt. Pure.
//!
//! *Closed*: attempts go out. After so many failures in a row it *opens*: nothing goes out, neither first attempts nor
//! retries whose time has come, but one probe at a time, at growing intervals; events wait in the log, and retries where
//! they are, at the cost of no attempt. A probe that the sink accepts makes it *half open*: one delivery at a time, then
//! two, then three, so that a sink that has just got up is not knocked down by what waits for it. [`TRIALS`] accepted
//! close it; failures in a row open it again.
//!
//! Why half open only after a probe has gone well: a sink that is down for a day would else be half open a thousand
//! times, and each change is an event. Why failures *in a row*, then, and not one: half of a flaky sink's answers
//! are good, and one bad one in four would keep it shut for ever. For the same reason a sink that fails on and off is
//! not taken for dead by a row that is no longer than its usual ones: it takes [`UNUSUAL`] times the longest of late.
//!
//! A probe is an ordinary delivery and counts its attempt: one poisonous event at the head cannot keep the breaker open.
//! Invariant: while open there is at most one probe in flight.

use std::time::Duration;

use crate::subscription::BreakerConfig;
use crate::time::Timestamp;

/// Deliveries that a half open sink has to accept.
const TRIALS: u32 = 4;
/// Times the longest row of failures that the sink has lately recovered from by itself.
const UNUSUAL: u32 = 4;
/// Times the configured failures at most, whatever the sink's habits.
const MOST_UNUSUAL: u32 = 8;

/// The state of one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Breaker {
    /// Attempts go out; so many have failed in a row.
    Closed {
        /// Failures in a row.
        failures: u32,
        /// The longest row that ended in a success; each success takes one off.
        usual: u32,
    },
    /// Only probes go out.
    Open {
        /// Since when.
        since: Timestamp,
        /// Between the last probe and the next.
        interval: Duration,
        /// When the next probe may go.
        probe_at: Timestamp,
        /// A probe is in flight.
        probing: bool,
        /// The last failure.
        reason: String,
    },
    /// A few go out.
    HalfOpen {
        /// Since when.
        since: Timestamp,
        /// So many were accepted.
        accepted: u32,
        /// Failures in a row.
        failures: u32,
        /// The last failure.
        reason: String,
    },
}

/// What a breaker has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Only probes go out.
    Opened,
    /// A probe went well: a few go out.
    HalfOpened,
    /// All go out.
    Closed,
}

/// A breaker as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BreakerStatus {
    /// `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// Failures in a row, unless it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Since when it is not closed, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the next probe may go, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_at: Option<String>,
    /// The last failure, unless it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admits {
    /// Any attempt.
    All,
    /// Any, while fewer than so many are in flight.
    Few(usize),
    /// One, as a probe.
    Probe,
    /// None before this time.
    NoneBefore(Timestamp),
    /// None until the probe in flight ends.
    None,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0, usual: 0 }
    }
}

impl Breaker {
    /// What may be started now.
    pub(super) fn admits(&self, now: Timestamp) -> Admits {
        match self {
            Self::Closed { .. } => Admits::All,
            Self::HalfOpen { accepted, .. } => Admits::Few(usize::try_from(*accepted).unwrap_or(1).max(1)),
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

    /// Somebody thinks that the sink works: the next probe may go now, and whatever is in flight is none.
    pub(super) fn try_now(&mut self, now: Timestamp, config: BreakerConfig) {
        if let Self::Open {
            interval,
            probe_at,
            probing,
            ..
        } = self
        {
            (*interval, *probe_at, *probing) = (config.probe, now, false);
        }
    }

    /// The sink accepted a delivery; `more` says whether others wait. What that makes of the breaker.
    pub(super) fn succeeded(&mut self, now: Timestamp, probe: bool, more: bool) -> Option<Turn> {
        match self {
            Self::Closed { failures, usual } => {
                *usual = (*failures).max(usual.saturating_sub(1));
                *failures = 0;
                None
            }
            // It was sent before the breaker opened: a hint, to be looked into.
            Self::Open { probe_at, .. } if !probe => {
                *probe_at = now.min(*probe_at);
                None
            }
            Self::Open { reason, .. } if more => {
                *self = Self::HalfOpen {
                    since: now,
                    accepted: 1,
                    failures: 0,
                    reason: std::mem::take(reason),
                };
                Some(Turn::HalfOpened)
            }
            Self::HalfOpen { accepted, failures, .. } if more && *accepted + 1 < TRIALS => {
                *accepted += 1;
                *failures = 0;
                None
            }
            Self::Open { .. } | Self::HalfOpen { .. } => {
                *self = Self::default();
                Some(Turn::Closed)
            }
        }
    }

    /// An attempt failed. What that makes of the breaker.
    pub(super) fn failed(&mut self, now: Timestamp, (probe, why): (bool, &str), config: BreakerConfig) -> Option<Turn> {
        match self {
            _ if config.is_off() => return None,
            Self::Open {
                interval,
                probe_at,
                probing,
                reason,
                ..
            } => {
                why.clone_into(reason);
                if probe {
                    *interval = (*interval * 2).min(config.probe_most);
                    *probe_at = now.plus(*interval);
                    *probing = false;
                }
                return None;
            }
            Self::Closed { failures, usual } => {
                *failures += 1;
                let unusual = usual
                    .saturating_mul(UNUSUAL)
                    .min(config.failures.saturating_mul(MOST_UNUSUAL));
                if *failures < config.failures.max(unusual) {
                    return None;
                }
            }
            Self::HalfOpen { failures, reason, .. } => {
                *failures += 1;
                why.clone_into(reason);
                if *failures < config.failures {
                    return None;
                }
            }
        }
        *self = Self::Open {
            since: now,
            interval: config.probe,
            probe_at: now.plus(config.probe),
            probing: false,
            reason: why.to_owned(),
        };
        Some(Turn::Opened)
    }

    /// The last failure, unless it is closed.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Open { reason, .. } | Self::HalfOpen { reason, .. } => Some(reason),
            Self::Closed { .. } => None,
        }
    }

    /// In one word.
    pub(super) fn state(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }

    /// As it is shown.
    pub(super) fn status(&self) -> BreakerStatus {
        let (failures, since, probe_at) = match self {
            Self::Closed { failures, .. } => (Some(*failures), None, None),
            Self::Open { since, probe_at, .. } => (None, Some(since.to_string()), Some(probe_at.to_string())),
            Self::HalfOpen { failures, since, .. } => (Some(*failures), Some(since.to_string()), None),
        };
        BreakerStatus {
            state: self.state(),
            failures,
            since,
            probe_at,
            reason: self.reason().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests;
