//! Whether a new generation fails where the one before it worked: what is counted, and the verdict on it.
//!
//! A load counts its own calls. While it is young and another one stands by to come back (`reload` keeps it, linked
//! and without instances), each failure is weighed at once, so that a bad one serves for some twenty calls and not for
//! the length of somebody's next look. What counts as failure: a trap, a limit, a refused config, the guest's own
//! error, and a notifier's word that no other try will help; that another try may help is about its sink. A call that
//! was never made for want of an instance does not count at all.
//! (Rejected: a sliding window over single calls: a handful of poisonous events in a row would roll back a generation
//! that is fine. Counted from the swap on, they have to outweigh everything that went well.)
//!
//! Invariant: without proof that the one before did better there is no roll-back: it could only make things worse.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::generation::Generation;
use super::{CallError, Rollback};

/// What one load did.
pub(super) struct Tally {
    calls: AtomicU64,
    failures: AtomicU64,
    /// The last failure, while it is on probation.
    last: Mutex<String>,
    probation: AtomicBool,
    /// Told of every failure on probation.
    failing: Arc<Notify>,
}

/// Calls, and how many of them failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Share {
    calls: u64,
    failures: u64,
}

/// How the generations of one name have done.
#[derive(Default)]
pub(super) struct Standing {
    /// What the live bytes did under other settings.
    carried: Share,
    probation: Option<Probation>,
}

/// A young generation's time of trial.
struct Probation {
    /// What comes back if it fails.
    spare: Generation,
    /// How that one did.
    before: Share,
    /// When the young one is young no more.
    until: Instant,
}

impl Tally {
    pub(super) fn new(failing: Arc<Notify>) -> Self {
        Self {
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last: Mutex::default(),
            probation: AtomicBool::new(false),
            failing,
        }
    }

    /// One with nothing in it.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.failing.clone())
    }

    /// One call ended, well or not.
    pub(super) fn count(&self, error: Option<&CallError>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Some(error) = error else { return };
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.is_on_probation() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
            self.failing.notify_one();
        }
    }

    fn share(&self) -> Share {
        // Failures first: a share never shows more of them than calls.
        let failures = self.failures.load(Ordering::Relaxed);
        Share {
            failures,
            calls: self.calls.load(Ordering::Relaxed).max(failures),
        }
    }

    /// Failures are weighed from now on, or no more.
    fn set_probation(&self, on: bool) {
        self.probation.store(on, Ordering::Relaxed);
    }

    pub(super) fn is_on_probation(&self) -> bool {
        self.probation.load(Ordering::Relaxed)
    }

    fn last(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Share {
    /// Whether this fails more than the policy lets it.
    fn fails(self, policy: Rollback) -> bool {
        match policy {
            Rollback::Off => false,
            Rollback::On { calls, failures, .. } => self.calls >= calls.max(1) && self.of_calls() >= failures,
        }
    }

    /// Whether this has been called enough to be trusted, and failed less than the policy lets it.
    fn is_proven(self, policy: Rollback) -> bool {
        match policy {
            Rollback::Off => true,
            Rollback::On { calls, failures, .. } => self.calls >= calls.max(1) && self.of_calls() < failures,
        }
    }

    /// Why a generation with this share goes back to one with the share `before`; none if it stays.
    fn verdict(self, before: Self, policy: Rollback, last: &str) -> Option<String> {
        let Rollback::On { failures, .. } = policy else {
            return None;
        };
        let better = before.calls > 0 && before.of_calls() < failures;
        (self.fails(policy) && better).then(|| {
            format!(
                "rolled back: {} of {} calls failed (last: {last}), the generation before it failed {} of {}; \
                 mend the file, or touch it to have it tried again",
                self.failures, self.calls, before.failures, before.calls
            )
        })
    }

    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    fn of_calls(self) -> f64 {
        self.failures as f64 / self.calls.max(1) as f64
    }
}

impl std::ops::Add for Share {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            failures: self.failures + other.failures,
        }
    }
}

impl Standing {
    /// `next` is about to take the place of `live`.
    pub(super) fn succeed(&mut self, live: Option<&Generation>, next: &Generation, now: Instant) {
        let before = std::mem::take(self);
        let Some(live) = live else { return };
        let share = before.carried + live.meter.tally.share();
        if live.source.digest == next.source.digest {
            // Other settings for the same bytes: how those did is known. Nothing stands by: what would come back
            // would have what the operator has taken away.
            self.carried = share;
            return;
        }
        let Rollback::On { window, .. } = next.settings.rollback else {
            return;
        };
        if live.settings != next.settings {
            return;
        }
        // One that was young itself, and has not shown that it works, is nothing to come back to.
        let older = before
            .probation
            .filter(|older| !share.is_proven(next.settings.rollback) && older.spare.settings == next.settings);
        let (spare, before) = match older {
            Some(older) => (older.spare, older.before),
            None => (live.spare(), share),
        };
        next.meter.tally.set_probation(true);
        self.probation = Some(Probation {
            spare,
            before,
            until: now + window,
        });
    }

    /// When the probation is over, if there is one.
    pub(super) fn until(&self) -> Option<Instant> {
        self.probation.as_ref().map(|probation| probation.until)
    }

    /// Ends a probation that is over: `live` has come to stay.
    pub(super) fn lapse(&mut self, live: Option<&Generation>, now: Instant) {
        if self.until().is_some_and(|until| now >= until) {
            self.probation = None;
            if let Some(live) = live {
                live.meter.tally.set_probation(false);
            }
        }
    }

    /// What takes the place of `live`, and why, if it has failed its probation.
    pub(super) fn take_back(&mut self, live: &Generation) -> Option<(Generation, String)> {
        let tally = &live.meter.tally;
        let probation = self.probation.as_ref()?;
        let why = tally
            .share()
            .verdict(probation.before, live.settings.rollback, &tally.last())?;
        let Probation { spare, before, .. } = self.probation.take()?;
        self.carried = before;
        Some((spare, why))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_takes_enough_calls_enough_failures_and_a_better_one_before() {
        let policy = Rollback::On {
            window: Duration::from_secs(60),
            calls: 20,
            failures: 0.5,
        };
        let check = |now: (u64, u64), before: (u64, u64), policy: Rollback, back: bool| {
            let share = |(failures, calls)| Share { calls, failures };
            let verdict = share(now).verdict(share(before), policy, "x");
            assert_eq!(verdict.is_some(), back, "{now:?} after {before:?}: {verdict:?}");
        };
        check((20, 20), (0, 1_042), policy, true);
        check((10, 20), (0, 1_042), policy, true);
        check((9, 20), (0, 1_042), policy, false);
        check((19, 19), (0, 1_042), policy, false);
        check((20, 20), (520, 1_042), policy, true);
        check((20, 20), (521, 1_042), policy, false);
        check((20, 20), (0, 0), policy, false);
        check((20, 20), (0, 1), policy, true);
        check((20, 20), (0, 1_042), Rollback::Off, false);
        let all = Rollback::On {
            window: Duration::from_secs(60),
            calls: 3,
            failures: 1.0,
        };
        check((2, 3), (0, 9), all, false);
        check((3, 3), (1, 9), all, true);
    }

    #[test]
    fn only_a_good_share_of_enough_calls_is_proof() {
        let policy = Rollback::default();
        let check = |failures, calls, proven| assert_eq!(Share { calls, failures }.is_proven(policy), proven);
        check(0, 19, false);
        check(0, 20, true);
        check(9, 20, true);
        check(10, 20, false);
    }
}
