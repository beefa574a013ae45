//! Who may change a subscription: one at a time for each, and others for others.
//!
//! Held from reading a subscription until the changed one is in the store and delivery knows it, so that no change is
//! lost. Why not one lock for all: each change waits for its sync, and the store takes into one sync whatever waits
//! for it; one at a time, no two ever would. Why shards and not a lock for each id: ids come and go, and whoever shares
//! a lock with a stranger only waits for a sync.
//! Invariant: nobody takes two; two ids may have the same lock.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::sync::{Mutex, MutexGuard};

use crate::subscription::SubscriptionId;

/// Changes that may be written at the same time, but for the first lock.
const OTHERS: u64 = 255;

/// The locks.
#[derive(Debug)]
pub struct Changing {
    first: Mutex<()>,
    others: Vec<Mutex<()>>,
}

impl Default for Changing {
    fn default() -> Self {
        Self {
            first: Mutex::default(),
            others: (0..OTHERS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Changing {
    /// Waits until nobody else changes this subscription, and keeps others out until the guard goes.
    pub async fn of(&self, id: &SubscriptionId) -> MutexGuard<'_, ()> {
        let other = shard(id).and_then(|nth| self.others.get(nth));
        other.unwrap_or(&self.first).lock().await
    }
}

fn shard(id: &SubscriptionId) -> Option<usize> {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    usize::try_from(hasher.finish() % (OTHERS + 1)).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures_util::FutureExt;

    use super::*;

    fn id(nth: usize) -> SubscriptionId {
        SubscriptionId(format!("s{nth}").into())
    }

    #[test]
    fn one_id_has_one_lock_and_another_mostly_another() {
        let changing = Changing::default();
        let held = changing.of(&id(0)).now_or_never().unwrap();
        assert!(changing.of(&id(0)).now_or_never().is_none());
        let free = (1..100).filter(|nth| changing.of(&id(*nth)).now_or_never().is_some());
        assert!(free.count() > 90);
        drop(held);
        assert!(changing.of(&id(0)).now_or_never().is_some());
        let shards: HashSet<_> = (0..10_000).map(|nth| shard(&id(nth))).collect();
        assert_eq!(shards.len(), 256, "all are used");
    }
}
