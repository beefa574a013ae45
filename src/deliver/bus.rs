//! One bus as delivery sees it: who wants its records, and how far its dispatcher is.
//!
//! Lock order: a bus's locks are never held while a lane's is taken; its holds may be taken under a lane's.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::evaluate::first_asked;
use super::lane::Lane;
use crate::filter::{Index, PluginFilter};
use crate::log::{BusName, Offset};
use crate::subscription::Subscription;

/// One bus.
pub(super) struct Bus {
    /// Its name.
    pub(super) name: BusName,
    /// How far its dispatcher is.
    pub(super) position: Position,
    routes: RwLock<Routes>,
    holds: Mutex<Holds>,
}

/// How far a dispatcher is; see `window` for why there are two.
#[derive(Debug)]
pub(super) struct Position {
    published: AtomicU64,
    dispatched: AtomicU64,
}

/// Who wants what.
#[derive(Default)]
pub(super) struct Routes {
    /// Finds the keys of lanes.
    pub(super) index: Index<u64>,
    /// The lanes by key.
    pub(super) lanes: HashMap<u64, Route>,
}

/// The way to one lane.
#[derive(Clone)]
pub(super) struct Route {
    /// The lane.
    pub(super) lane: Arc<Lane>,
    /// The plugin filter that its subscription asks first.
    pub(super) asks: Option<Arc<PluginFilter>>,
}

/// The oldest record that each lane needs before the bus floor.
#[derive(Default)]
struct Holds {
    by_lane: HashMap<u64, Offset>,
    order: BTreeSet<(Offset, u64)>,
}

impl Bus {
    /// A bus whose dispatcher begins at `at`.
    pub(super) fn new(name: BusName, at: Offset) -> Self {
        let position = Position {
            published: AtomicU64::new(at.0),
            dispatched: AtomicU64::new(at.0),
        };
        Self {
            name,
            position,
            routes: RwLock::default(),
            holds: Mutex::default(),
        }
    }

    /// Who wants what, to read.
    pub(super) fn routes(&self) -> RwLockReadGuard<'_, Routes> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a lane, or changes what it wants. From here on the dispatcher offers it records.
    pub(super) fn route(&self, lane: Arc<Lane>, subscription: &Subscription) {
        let asks = first_asked(subscription).map(Arc::new);
        let mut routes = self.routes_mut();
        routes.index.insert(lane.key, subscription.selector.clone());
        routes.lanes.insert(lane.key, Route { lane, asks });
    }

    /// Forgets a lane.
    pub(super) fn unroute(&self, key: u64) {
        let mut routes = self.routes_mut();
        routes.index.remove(key);
        routes.lanes.remove(&key);
        drop(routes);
        self.hold(key, None);
    }

    /// A lane needs records from here on, or none before the bus floor.
    pub(super) fn hold(&self, key: u64, oldest: Option<Offset>) {
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = holds.by_lane.remove(&key) {
            holds.order.remove(&(old, key));
        }
        if let Some(oldest) = oldest {
            holds.by_lane.insert(key, oldest);
            holds.order.insert((oldest, key));
        }
    }

    /// The oldest record that anybody needs, with the bus floor at `floor`.
    pub(super) fn needed(&self, floor: Offset) -> Offset {
        let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        holds.order.first().map_or(floor, |(oldest, _)| floor.min(*oldest))
    }

    fn routes_mut(&self) -> RwLockWriteGuard<'_, Routes> {
        self.routes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Position {
    /// Records before this one are being offered, or have been.
    pub(super) fn published(&self) -> Offset {
        Offset(self.published.load(Ordering::SeqCst))
    }

    /// Records before this one have been offered to every lane.
    pub(super) fn dispatched(&self) -> Offset {
        Offset(self.dispatched.load(Ordering::SeqCst))
    }

    /// Records before `next` are about to be offered.
    pub(super) fn publish(&self, next: Offset) {
        self.published.fetch_max(next.0, Ordering::SeqCst);
    }

    /// Records before `next` have been offered.
    pub(super) fn dispatch(&self, next: Offset) {
        self.dispatched.fetch_max(next.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_held_by_the_lane_that_needs_the_oldest() {
        let bus = Bus::new(BusName::default_bus(), Offset(50));
        let check = |floor, want| assert_eq!(bus.needed(Offset(floor)), Offset(want));
        check(50, 50);
        bus.hold(1, Some(Offset(10)));
        bus.hold(2, Some(Offset(20)));
        check(50, 10);
        bus.hold(1, Some(Offset(30)));
        check(50, 20);
        bus.unroute(2);
        check(50, 30);
        check(25, 25);
        bus.hold(1, None);
        check(50, 50);
    }
}
