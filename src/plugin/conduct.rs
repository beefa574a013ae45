//! Whether the calls of one load were short lately: who held a thread for long shares one with its like, until it
//! has behaved for a while.
//!
//! Why a count of calls and not a time: a plugin that is called seldom and loops each time would be good again at
//! every call.
//! Invariant: a load begins unsuspected, whatever the one before it did.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::CallError;

/// A call that held its thread for so long held up the others.
pub(super) const LONG: Duration = Duration::from_millis(50);
/// So many good calls, one after the other, make up for a bad one.
const AMENDS: u32 = 100;

/// What one load still has to make up for.
#[derive(Default)]
pub(super) struct Conduct {
    owed: AtomicU32,
}

impl Conduct {
    /// A call ended that computed for so long, with this error if any.
    pub(super) fn note(&self, computed: Duration, error: Option<&CallError>) {
        let limited = matches!(error, Some(CallError::Cpu(_) | CallError::Memory(_)));
        if limited || computed >= LONG {
            self.owed.store(AMENDS, Ordering::Relaxed);
        } else if self.is_suspect() {
            // Two at once may pay twice, or once: it is a measure, not a debt.
            let owed = self.owed.load(Ordering::Relaxed);
            self.owed.store(owed.saturating_sub(1), Ordering::Relaxed);
        }
    }

    /// Whether it has to share.
    pub(super) fn is_suspect(&self) -> bool {
        self.owed.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_call_is_made_up_for_by_many_short_ones() {
        let conduct = Conduct::default();
        let check = |millis: u64, error: Option<CallError>, suspect: bool| {
            conduct.note(Duration::from_millis(millis), error.as_ref());
            assert_eq!(conduct.is_suspect(), suspect, "{millis} ms, {error:?}");
        };
        check(1, None, false);
        check(1, Some(CallError::Guest("no".to_owned())), false);
        // It waited, and held nobody up.
        check(1, Some(CallError::Deadline(Duration::from_secs(10))), false);
        for bad in [
            (250, Some(CallError::Deadline(Duration::from_millis(250)))),
            (60, None),
            (1, Some(CallError::Memory("asked for too much".to_owned()))),
            (1, Some(CallError::Cpu(Duration::from_millis(1)))),
        ] {
            check(bad.0, bad.1, true);
            (1..AMENDS).for_each(|_| check(1, None, true));
            check(1, None, false);
        }
    }
}
