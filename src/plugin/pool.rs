//! Instances of one (plugin generation, config): leased for a call, given back, thrown away when spent.
//!
//! A slot is the right to use one instance. Slots are a semaphore's permits, so they come back by themselves, and
//! whoever waits for one waits without holding a thread. The instance in a slot is made when it is first needed.
//!
//! Invariant: at most `limits.instances` slots are out, and at most `limits.total_instances` of all configs, so no more
//! instances than that are ever at work.
//! Invariant: an instance that trapped or timed out is never given back: its caller just drops it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;

use super::CallError;
use super::host::Host;
use super::version::Guest;

/// After so many calls an instance is replaced: a slow leak in a guest never becomes its limit.
const CALLS: u32 = 100_000;

/// One instance of a component, in a store of its own.
pub(super) struct Instance {
    pub(super) store: Store<Host>,
    pub(super) guest: Box<dyn Guest>,
    pub(super) calls: u32,
    /// When it was given back last.
    pub(super) since: Instant,
    /// What it held after its first call, in bytes.
    pub(super) settled: Option<usize>,
}

impl Instance {
    /// Whether it has had its day: many calls, or memory that has grown close to its limit.
    ///
    /// Why not wait for the limit: engines with a garbage collector take what they can get before they collect, and
    /// then fail a call for want of memory that a new instance has. One that holds much from its first call on stays.
    pub(super) fn is_worn(&mut self) -> bool {
        let (held, most) = self.store.data().limiter.held_of();
        let settled = *self.settled.get_or_insert(held);
        self.calls >= CALLS || held > settled && held >= most / 4 * 3
    }
}

/// The instances of one config.
pub(super) struct Pool {
    slots: Arc<Semaphore>,
    most: usize,
    state: Mutex<State>,
}

struct State {
    /// The last is the one used last: what is hot stays hot, and what is cold grows old.
    idle: Vec<Instance>,
    used: Instant,
    /// An instance has taken the config and come back sound.
    works: bool,
}

impl Pool {
    pub(super) fn new(most: usize, now: Instant) -> Self {
        let most = most.max(1);
        Self {
            slots: Arc::new(Semaphore::new(most)),
            most,
            state: Mutex::new(State {
                idle: Vec::new(),
                used: now,
                works: false,
            }),
        }
    }

    /// Waits for a slot: first for one of this pool, then for one of `in_all`, so that who waits for a busy config
    /// keeps none of the others from theirs.
    pub(super) async fn slot(self: &Arc<Self>, in_all: &Arc<Semaphore>) -> Result<Slot, CallError> {
        let closed = |_| CallError::Busy;
        let of_pool = self.slots.clone().acquire_owned().await.map_err(closed)?;
        let of_all = in_all.clone().acquire_owned().await.map_err(closed)?;
        Ok(Slot {
            pool: self.clone(),
            _permits: [of_pool, of_all],
        })
    }

    /// Notes that the pool is in use.
    pub(super) fn touch(&self, now: Instant) {
        self.lock().used = now;
    }

    /// Whether its config has been taken, and calls come back.
    pub(super) fn works(&self) -> bool {
        self.lock().works
    }

    /// Takes out the instances that have been idle for this long.
    pub(super) fn take_idle_since(&self, now: Instant, idle: Duration) -> Vec<Instance> {
        self.lock()
            .idle
            .extract_if(.., |instance| now.saturating_duration_since(instance.since) >= idle)
            .collect()
    }

    /// Since when each idle instance has been idle.
    pub(super) fn idle_since(&self) -> Vec<Instant> {
        self.lock().idle.iter().map(|instance| instance.since).collect()
    }

    /// Takes out the instances that have been idle since this or before.
    pub(super) fn take_idle_until(&self, since: Instant) -> Vec<Instance> {
        self.lock()
            .idle
            .extract_if(.., |instance| instance.since <= since)
            .collect()
    }

    /// Whether nobody has used it for this long, or is using it.
    pub(super) fn is_abandoned(&self, now: Instant, idle: Duration) -> bool {
        let state = self.lock();
        let unused = self.slots.available_permits() == self.most && state.idle.is_empty();
        unused && now.saturating_duration_since(state.used) >= idle
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to use one instance.
pub(super) struct Slot {
    pool: Arc<Pool>,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Slot {
    /// An instance that is ready, if there is one.
    pub(super) fn take(&self) -> Option<Instance> {
        self.pool.lock().idle.pop()
    }

    /// Gives a sound instance back.
    pub(super) fn give_back(&self, mut instance: Instance, now: Instant) {
        if !instance.is_worn() {
            instance.since = now;
            let mut state = self.pool.lock();
            state.used = now;
            state.works = true;
            state.idle.push(instance);
        }
    }
}
