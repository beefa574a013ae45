//! The one alarm clock of all lanes: who is to be woken when.
//!
//! Why one task and not a sleep in each lane: a lane with nothing in flight has no task, and a hundred thousand
//! lanes with a retry in three hours must cost a hundred thousand entries, not tasks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::engine::Engine;
use super::lane::Lane;
use crate::time::Timestamp;

/// Alarms by time.
#[derive(Default)]
pub(super) struct Timer {
    alarms: Mutex<BTreeMap<(Timestamp, u64), Weak<Lane>>>,
    sooner: Notify,
}

impl Timer {
    /// Wakes the lane at `at`. An alarm that is no longer needed is harmless.
    pub(super) fn set(&self, at: Timestamp, lane: &Arc<Lane>) {
        let mut alarms = self.lock();
        let sooner = alarms.first_key_value().is_none_or(|((first, _), _)| at < *first);
        alarms.insert((at, lane.key), Arc::downgrade(lane));
        drop(alarms);
        if sooner {
            self.sooner.notify_one();
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.lock().first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out what is due.
    fn due(&self, now: Timestamp) -> Vec<Arc<Lane>> {
        let mut alarms = self.lock();
        let later = alarms.split_off(&(Timestamp(now.0.saturating_add(1)), 0));
        let due = std::mem::replace(&mut *alarms, later);
        due.into_values().filter_map(|lane| lane.upgrade()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Timestamp, u64), Weak<Lane>>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes lanes until the engine stops.
pub(super) async fn ring(engine: Arc<Engine>) {
    let clock = &engine.parts.clock;
    loop {
        let next = engine.timer.next();
        let wait = async {
            match next {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = engine.timer.sooner.notified() => continue,
            () = engine.tasks.stopping() => return,
        }
        for lane in engine.timer.due(clock.now()) {
            let mut state = lane.lock();
            let asks = state.alarm_rang();
            engine.follow(&lane, state, asks);
        }
    }
}
