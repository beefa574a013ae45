//! Recent attempts, for people who look into one subscription.
//!
//! In memory only and bounded: the last [`PER_LANE`] attempts of the [`LANES`] subscriptions that had one last. A
//! million subscriptions cost no more than that, and what matters for the delivery itself is in the store.
//! Invariant: at most `LANES * PER_LANE` attempts are held.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Recent;
use crate::subscription::SubscriptionId;

/// Attempts kept for one subscription.
const PER_LANE: usize = 20;
/// Subscriptions that attempts are kept for.
const LANES: usize = 4_096;

/// The recent attempts of all subscriptions.
#[derive(Default)]
pub(super) struct History(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    lanes: HashMap<SubscriptionId, (u64, VecDeque<Recent>)>,
    /// Who had an attempt when, oldest first.
    order: BTreeMap<u64, SubscriptionId>,
    turn: u64,
}

impl History {
    /// Notes an attempt.
    pub(super) fn note(&self, id: &SubscriptionId, recent: Recent) {
        let mut kept = self.lock();
        kept.turn += 1;
        let turn = kept.turn;
        let (last, attempts) = kept.lanes.entry(id.clone()).or_default();
        let before = std::mem::replace(last, turn);
        if attempts.len() == PER_LANE {
            attempts.pop_front();
        }
        attempts.push_back(recent);
        kept.order.remove(&before);
        kept.order.insert(turn, id.clone());
        if kept.lanes.len() > LANES
            && let Some((_, oldest)) = kept.order.pop_first()
        {
            kept.lanes.remove(&oldest);
        }
    }

    /// One subscription's attempts, newest first.
    pub(super) fn of(&self, id: &SubscriptionId) -> Vec<Recent> {
        self.lock()
            .lanes
            .get(id)
            .map(|(_, attempts)| attempts.iter().rev().cloned().collect())
            .unwrap_or_default()
    }

    /// Forgets a subscription.
    pub(super) fn forget(&self, id: &SubscriptionId) {
        let mut kept = self.lock();
        if let Some((turn, _)) = kept.lanes.remove(id) {
            kept.order.remove(&turn);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic cannot leave it half changed in a way that matters: it is a display.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Offset;
    use crate::subscription::Attempt;

    fn recent(offset: u64) -> Recent {
        let attempt = Attempt {
            number: 1,
            at: 0,
            took_ms: 1,
            status: Some(200),
            outcome: "delivered".into(),
            answer: None,
        };
        Recent {
            offset: Offset(offset),
            event: format!("e{offset}"),
            attempt,
            next: None,
            replay: None,
        }
    }

    fn id(name: &str) -> SubscriptionId {
        SubscriptionId(name.into())
    }

    #[test]
    fn the_newest_comes_first_and_the_oldest_goes() {
        let history = History::default();
        for offset in 1..=PER_LANE as u64 + 5 {
            history.note(&id("a"), recent(offset));
        }
        let seen: Vec<u64> = history.of(&id("a")).iter().map(|recent| recent.offset.0).collect();
        assert_eq!(seen, (6..=PER_LANE as u64 + 5).rev().collect::<Vec<_>>());
        history.forget(&id("a"));
        assert!(history.of(&id("a")).is_empty());
    }

    #[test]
    fn the_subscription_that_was_quiet_longest_goes_first() {
        let history = History::default();
        for nth in 0..LANES {
            history.note(&id(&format!("s{nth}")), recent(1));
        }
        history.note(&id("s0"), recent(2));
        history.note(&id("new"), recent(3));
        assert_eq!(history.of(&id("s0")).len(), 2);
        assert!(history.of(&id("s1")).is_empty());
        let kept = history.lock();
        assert_eq!((kept.lanes.len(), kept.order.len()), (LANES, LANES));
    }
}
