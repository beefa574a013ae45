//! What the parts of delivery share: all lanes and buses, and the ways from one part to another.
//!
//! Lock order: `changing`, then `lanes`, then a bus's routes or `buses`, and a lane's own lock alone or last; a bus's
//! holds, `noted`, admission's and the timer's are leaves; `troubled` and `failing` are taken before a lane's. None is
//! held across an await but `written`, which orders the checkpoints.
//! Invariant: a lane that has something to do has a task, an alarm, or waits for somebody who will wake it.
//! Invariant: a lane is noted under the same lock under which it changed: no checkpoint sees the dispatcher pass a
//! record and misses the lane that took it, or left it to the log.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Semaphore, watch};
use tracing::error;

use super::admission::Admission;
use super::bus::Bus;
use super::checkpoint::Written;
use super::history::History;
use super::lane::{Asks, Effect, Lane, State, run};
use super::replays::Replays;
use super::retry::due_after_restart;
use super::timer::Timer;
use super::tokens::Tokens;
use super::window::Window;
use super::{Notice, Parts, dispatch, told};
use crate::error::Error;
use crate::log::{Batch, BusName, Offset, ReadLimit};
use crate::metrics;
use crate::subscription::{Kept, Retry, Sink, Subscription, SubscriptionId};
use crate::tasks::Tasks;
use crate::time::Timestamp;

/// Reads of the log's files at the same time, for lanes and retries; dispatchers have their own.
const MOST_READS: usize = 8;

/// The shared state of delivery.
pub(super) struct Engine {
    pub(super) parts: Parts,
    pub(super) tasks: Tasks,
    pub(super) timer: Timer,
    pub(super) history: History,
    pub(super) admission: Arc<Admission>,
    pub(super) tokens: Tokens,
    pub(super) reads: Semaphore,
    pub(super) replays: Replays,
    pub(super) written: tokio::sync::Mutex<Written>,
    lanes: RwLock<HashMap<SubscriptionId, Arc<Lane>>>,
    buses: Mutex<HashMap<BusName, Arc<Bus>>>,
    noted: Mutex<Vec<Arc<Lane>>>,
    troubled: Mutex<BTreeSet<SubscriptionId>>,
    failing: Mutex<BTreeSet<SubscriptionId>>,
    keys: AtomicU64,
    /// When the last whole checkpoint was written.
    written_at: AtomicI64,
    /// Held while a subscription comes, changes or goes: two lanes of one id would deliver twice.
    changing: Mutex<()>,
}

impl Engine {
    /// An engine with the lanes of what was kept, at rest.
    pub(super) fn new(parts: Parts, written: Written) -> Self {
        let tasks = parts.tasks.child();
        let written_at = AtomicI64::new(parts.clock.now().0);
        let admission = Arc::new(Admission::new(parts.bounds, parts.clock.clone()));
        Self {
            parts,
            tasks,
            timer: Timer::default(),
            history: History::default(),
            admission,
            tokens: Tokens::default(),
            reads: Semaphore::new(MOST_READS),
            replays: Replays::default(),
            written: tokio::sync::Mutex::new(written),
            lanes: RwLock::default(),
            buses: Mutex::default(),
            noted: Mutex::default(),
            troubled: Mutex::default(),
            failing: Mutex::default(),
            keys: AtomicU64::new(0),
            written_at,
            changing: Mutex::default(),
        }
    }

    /// Makes the lanes of what was kept, and then starts their buses.
    pub(super) fn restore(self: &Arc<Self>, kept: Kept) -> Result<(), Error> {
        let Kept {
            subscriptions,
            floors,
            cursors,
            retries,
            documents: _,
            replays,
        } = kept;
        let floors: HashMap<BusName, Offset> = floors.into_iter().collect();
        let cursors: HashMap<SubscriptionId, Offset> = cursors.into_iter().collect();
        let mut waiting: HashMap<SubscriptionId, Vec<Retry>> = HashMap::new();
        for retry in retries {
            waiting.entry(retry.subscription.clone()).or_default().push(retry);
        }
        let mut starting: HashMap<BusName, (Arc<Bus>, watch::Receiver<Offset>)> = HashMap::new();
        for subscription in subscriptions {
            if !starting.contains_key(&subscription.bus) {
                let end = self.parts.log.end(&subscription.bus)?;
                // A bus that was never checkpointed: whoever has no cursor gets everything there is.
                let floor = floors.get(&subscription.bus).copied();
                let at = floor.unwrap_or_else(|| self.parts.log.first(&subscription.bus));
                let bus = self.add_bus(&subscription.bus, at);
                starting.insert(subscription.bus.clone(), (bus, end));
            }
            let Some((bus, _)) = starting.get(&subscription.bus) else {
                continue;
            };
            let row = cursors.get(&subscription.id).copied();
            let window = row.map_or_else(|| Window::live(bus.position.dispatched()), Window::behind);
            let lane = self.add_lane(bus, subscription, window);
            let retries = waiting.remove(&lane.id).unwrap_or_default();
            self.take_up(&lane, row, retries);
        }
        self.restore_replays(replays);
        for (bus, end) in starting.into_values() {
            // At once: retention may come round before the first checkpoint is written.
            self.parts
                .log
                .keep_from(&bus.name, bus.needed(bus.position.dispatched()));
            drop(self.tasks.spawn(dispatch::dispatch(self.clone(), bus, end)));
        }
        Ok(())
    }

    fn take_up(self: &Arc<Self>, lane: &Arc<Lane>, row: Option<Offset>, retries: Vec<Retry>) {
        let has_work = row.is_some() || !retries.is_empty();
        let mut state = lane.lock();
        state.stored_row(row);
        let floor = state.window.floor(lane.bus.position.dispatched());
        state.restore_all(due_after_restart(retries, self.parts.clock.now()), floor);
        let holds = [row, state.retries.oldest()].into_iter().flatten().min();
        let asks = if has_work { state.ask() } else { Asks::default() };
        lane.bus.hold(lane.key, holds);
        self.follow(lane, state, asks);
    }

    /// Adds a subscription, or replaces the one of the same id.
    pub(super) fn put(self: &Arc<Self>, subscription: Subscription, from: Option<Offset>) -> Result<(), Error> {
        let _one_at_a_time = self.one_change();
        let known = self.lane(&subscription.id);
        if let Some(lane) = known.filter(|lane| lane.bus.name == subscription.bus) {
            lane.bus.route(lane.clone(), &subscription);
            let subscription = Arc::new(subscription);
            let mut state = lane.lock();
            let effects = lane.replace(&mut state, subscription.clone(), self.parts.clock.now());
            let asks = state.ask();
            self.follow(&lane, state, asks);
            self.apply(effects, &lane);
            self.replays_follow(&subscription);
            return Ok(());
        }
        self.forget(&subscription.id);
        let end = self.parts.log.end(&subscription.bus)?;
        let log_end = *end.borrow();
        let (bus, is_new) = self.bus(&subscription.bus, log_end);
        self.parts.log.keep_from(&bus.name, from.unwrap_or(log_end));
        let lane = self.add_lane(&bus, subscription, Window::behind(from.unwrap_or(log_end)));
        if is_new {
            drop(self.tasks.spawn(dispatch::dispatch(self.clone(), bus, end)));
        }
        let mut state = lane.lock();
        if from.is_some() {
            state.stored_row(from);
        }
        lane.bus.hold(lane.key, from);
        let asks = state.ask();
        self.follow(&lane, state, asks);
        Ok(())
    }

    /// Removes a subscription's lane.
    pub(super) fn remove(&self, id: &SubscriptionId) {
        let _one_at_a_time = self.one_change();
        self.forget(id);
    }

    /// Held while what lanes there are changes.
    pub(super) fn one_change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key that no lane has.
    pub(super) fn next_key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed)
    }

    fn forget(&self, id: &SubscriptionId) {
        let Some(lane) = self.lanes_mut().remove(id) else {
            return;
        };
        lane.lock().remove();
        self.note_trouble(&lane);
        self.note_failing(&lane);
        lane.bus.unroute(lane.key);
        self.history.forget(id);
        self.tokens.forget(id);
        self.forget_replays(id);
        lane.wake.notify_one();
    }

    /// A subscription's lane.
    pub(super) fn lane(&self, id: &SubscriptionId) -> Option<Arc<Lane>> {
        self.lanes().get(id).cloned()
    }

    /// All lanes.
    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.lanes().values().cloned().collect()
    }

    /// How many lanes there are.
    pub(super) fn count(&self) -> usize {
        self.lanes().len()
    }

    /// All buses that have had a subscription.
    pub(super) fn buses(&self) -> Vec<Arc<Bus>> {
        self.buses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Does what a change of a lane asks for, and ends the change.
    pub(super) fn follow(self: &Arc<Self>, lane: &Arc<Lane>, state: MutexGuard<'_, State>, asks: Asks) {
        self.note_if(asks.note, lane);
        drop(state);
        if asks.start {
            drop(self.tasks.spawn(run(self.clone(), lane.clone())));
        } else if asks.wake {
            lane.wake.notify_one();
        }
    }

    /// Does what a change of a lane asks for outside of delivery.
    pub(super) fn apply(self: &Arc<Self>, effects: Vec<Effect>, lane: &Arc<Lane>) {
        if lane.replay.is_some() {
            return self.apply_replayed(effects, lane);
        }
        for effect in effects {
            match effect {
                Effect::Tell(notice) => {
                    if matches!(
                        notice,
                        Notice::Held { .. } | Notice::Parked { .. } | Notice::Released { .. }
                    ) {
                        self.note_trouble(lane);
                    }
                    if let Notice::Breaker { turn, .. } = &notice {
                        let label = metrics::State { state: turn.state() };
                        self.parts.metrics.breaker_changes.get_or_create(&label).inc();
                        self.note_failing(lane);
                    }
                    self.tell(notice);
                }
                Effect::Keep(subscription) => {
                    self.replays_follow(&subscription);
                    drop(self.tasks.spawn(keep(self.clone(), lane.clone(), subscription)));
                }
            }
        }
    }

    /// Notes a lane for the next checkpoint. Only while its lock is held.
    pub(super) fn note_if(&self, note: bool, lane: &Arc<Lane>) {
        if note {
            self.noted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(lane.clone());
        }
    }

    /// The lanes that were noted.
    pub(super) fn take_noted(&self) -> Vec<Arc<Lane>> {
        std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many lanes are noted.
    pub(super) fn noted(&self) -> usize {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// When the store was last known to be up to date.
    pub(super) fn written_at(&self) -> Timestamp {
        Timestamp(self.written_at.load(Ordering::Relaxed))
    }

    /// The store is up to date.
    pub(super) fn note_written(&self) {
        self.written_at.store(self.parts.clock.now().0, Ordering::Relaxed);
    }

    /// Wakes a lane at this time.
    pub(super) fn alarm(&self, lane: &Arc<Lane>, at: Timestamp) {
        if lane.lock().set_alarm(at) {
            self.timer.set(at, lane);
        }
    }

    /// Lets a lane try again what it did not because of a plugin.
    pub(super) fn recheck(self: &Arc<Self>, lane: &Arc<Lane>) {
        let mut state = lane.lock();
        let generation = |plugin: &str| self.parts.plugins.generation_of(plugin);
        let (asks, effects) = state.plugins_changed(generation, self.parts.clock.now());
        self.follow(lane, state, asks);
        self.apply(effects, lane);
    }

    /// The lanes that wait for plugins.
    pub(super) fn troubled(&self) -> Vec<Arc<Lane>> {
        let ids = self.troubled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ids.iter().filter_map(|id| self.lane(id)).collect()
    }

    /// The lanes whose breaker is not closed.
    pub(super) fn failing(&self) -> Vec<Arc<Lane>> {
        let ids = self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ids.iter().filter_map(|id| self.lane(id)).collect()
    }

    /// Reads the log for a lane. What is in memory comes at once; of those that need the disk only a few do at a time,
    /// so that lanes far behind leave it to the dispatchers and to publishers.
    pub(super) async fn read(&self, bus: &BusName, from: Offset, limit: ReadLimit) -> Result<Batch, Error> {
        if let Some(recent) = self.parts.log.read_recent(bus, from, limit)? {
            return Ok(recent);
        }
        // Closed by nobody: without a permit the read is only less orderly.
        let _permit = self.reads.acquire().await;
        self.parts.log.read(bus, from, limit).await
    }

    /// Lets a lane try its sink now.
    pub(super) fn try_sink(self: &Arc<Self>, lane: &Arc<Lane>) {
        let mut state = lane.lock();
        let effects = state.try_sink(self.parts.clock.now());
        let asks = state.ask();
        self.follow(lane, state, asks);
        self.apply(effects.into_iter().collect(), lane);
    }

    /// Sees that the lanes whose sink fails are known; as [`Engine::note_trouble`].
    fn note_failing(&self, lane: &Lane) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match lane.lock().is_failing() {
            true => failing.insert(lane.id.clone()),
            false => failing.remove(&lane.id),
        };
    }

    /// Sees that the lanes that wait for plugins are known, so that nobody has to look at all of them. Whoever comes
    /// last sees how the lane is now.
    fn note_trouble(&self, lane: &Lane) {
        let mut troubled = self.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        match lane.lock().waits_for_plugins() {
            true => troubled.insert(lane.id.clone()),
            false => troubled.remove(&lane.id),
        };
    }

    /// Says what happened: in the log of the program, and to whoever makes events of it.
    pub(super) fn tell(&self, notice: Notice) {
        if matches!(notice, Notice::Dead { .. }) {
            let dead = metrics::Outcome { outcome: "dead" };
            self.parts.metrics.deliveries.get_or_create(&dead).inc();
        }
        told::log(&notice);
        // Nobody listens any more: the hub is ending.
        let _ = self.parts.notices.send(notice);
    }

    fn add_lane(&self, bus: &Arc<Bus>, subscription: Subscription, window: Window) -> Arc<Lane> {
        let key = self.next_key();
        let subscription = Arc::new(subscription);
        let lane = Arc::new(Lane::new(key, bus.clone(), subscription.clone(), window));
        if let Sink::Notifier { plugin, .. } = &subscription.sink {
            lane.lock().see_notifier(self.parts.plugins.generation_of(plugin));
        }
        bus.route(lane.clone(), &subscription);
        self.lanes_mut().insert(lane.id.clone(), lane.clone());
        lane
    }

    /// A bus, and whether it is new and needs its dispatcher; a new one begins at `at`.
    fn bus(&self, name: &BusName, at: Offset) -> (Arc<Bus>, bool) {
        let mut buses = self.buses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = buses.get(name) {
            return (known.clone(), false);
        }
        let bus = Arc::new(Bus::new(name.clone(), at));
        buses.insert(name.clone(), bus.clone());
        (bus, true)
    }

    fn add_bus(&self, name: &BusName, at: Offset) -> Arc<Bus> {
        self.bus(name, at).0
    }

    fn lanes(&self) -> RwLockReadGuard<'_, HashMap<SubscriptionId, Arc<Lane>>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes_mut(&self) -> RwLockWriteGuard<'_, HashMap<SubscriptionId, Arc<Lane>>> {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a subscription as its sink has ended it, unless somebody has changed or removed it since: what they were
/// told must not be undone.
async fn keep(engine: Arc<Engine>, lane: Arc<Lane>, ended: Arc<Subscription>) {
    let _changing = engine.parts.changing.of(&lane.id).await;
    if !lane.lock().is_still(&ended) {
        return;
    }
    if let Err(cause) = engine.parts.store.put(&ended, None).await {
        error!(subscription = %lane.id, error = %cause, "cannot keep that the sink ended the subscription");
    }
}

/// Lets held lanes try again whenever what is loaded changes.
pub(super) async fn watch_plugins(engine: Arc<Engine>, mut changes: watch::Receiver<u64>) {
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = engine.tasks.stopping() => return,
        }
        for lane in engine.all().into_iter().chain(engine.replaying()) {
            engine.recheck(&lane);
        }
    }
}
