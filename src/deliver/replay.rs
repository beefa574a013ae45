//! A replay: a range of the log that one subscription gets again, by a lane of its own beside the live one.
//!
//! The lane is like any other, and that is the point: retries, batches, order within a key, held plugins and pauses
//! are what they are for live events. What is its own: a bus that has ended where the replay ends (so that the lane
//! "catches up" there, and is done), the subscription as it is now with a few changes ([`Replaying::of`]), and rows of
//! its own in the store.
//! Why not the live lane's cursor set back: live events would wait for old ones, and a `from` that is wrong could not
//! be called off.
//!
//! Invariant: what a replay does to its sink comes on top of live deliveries by at most half of the places, and is
//! taken off the rate; its lane is never waited for by the live one.
//! Invariant: from a replay's oldest unsettled record on retention is held, as for a live lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bus::Bus;
use super::engine::Engine;
use super::lane::{Change, Lane, State};
use super::window::Window;
use crate::filter::{Filter, Selector};
use crate::log::{Batch, Offset};
use crate::subscription::{
    Checkpoint, Consent, KeptReplay, Rate, Replay, ReplayId, ReplayProgress, ReplayState, ReplayStep, Sink,
    Subscription,
};
use crate::time::Timestamp;

/// Goes along with every callback of a replay; its value is the replay's id.
const MARK: &str = "busway-replay";

/// What makes a lane a replay's.
pub(super) struct Replaying {
    /// What was asked for.
    pub(super) replay: Replay,
    /// The bus that is read; the lane's own is one that has ended.
    pub(super) home: Arc<Bus>,
    filter: Option<Filter>,
    rate: Option<Rate>,
    /// How far it was when this lane was made.
    before: ReplayProgress,
    missed: AtomicU64,
}

impl Replaying {
    /// A replay of what is on the bus `home`, from where it was kept.
    pub(super) fn new(home: Arc<Bus>, kept: &KeptReplay) -> Self {
        let replay = kept.replay.clone();
        Self {
            filter: replay.filter.as_ref().and_then(|json| Filter::parse(json).ok()),
            rate: replay.rate.as_deref().and_then(Rate::parse),
            before: kept.progress.clone(),
            missed: AtomicU64::new(0),
            home,
            replay,
        }
    }

    /// Its lane.
    pub(super) fn lane(self: &Arc<Self>, key: u64, subscription: &Subscription) -> Lane {
        let bus = Arc::new(Bus::new(self.replay.bus.clone(), self.replay.to));
        let window = Window::behind(self.before.position);
        let mut lane = Lane::new(key, bus, Arc::new(self.of(subscription)), window);
        lane.replay = Some(self.clone());
        lane
    }

    /// Its id.
    pub(super) fn id(&self) -> &ReplayId {
        &self.replay.id
    }

    /// The subscription as this replay delivers for it: marked, narrowed and slowed as asked, with half of the places and
    /// of the rate. Events are old by intent: no age is too old.
    pub(super) fn of(&self, subscription: &Subscription) -> Subscription {
        let mut own = subscription.clone();
        let allowed = match own.webhook().map(|webhook| &webhook.consent) {
            Some(Consent::Given(given)) => given.rate,
            _ => None,
        };
        let shared = own.config.rate.into_iter().chain(allowed).map(Rate::half);
        own.config.rate = shared.chain(self.rate).max_by_key(|rate| rate.interval());
        own.config.concurrency = own.config.concurrency.div_ceil(2);
        own.config.max_age = None;
        if let Some(filter) = &self.filter {
            let mut selector = Selector::clone(&own.selector);
            selector.filters.push(filter.clone());
            own.selector = Arc::new(selector);
        }
        if let Sink::Webhook(webhook) = &mut own.sink {
            let headers = &mut Arc::make_mut(webhook).headers;
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(MARK));
            headers.push((MARK.to_owned(), self.replay.id.to_string()));
        }
        own
    }

    /// What of a read lies before the end of the replay.
    pub(super) fn cut(&self, mut batch: Batch) -> Batch {
        let to = self.replay.to;
        batch.records.retain(|record| record.offset < to);
        batch.next = batch.next.min(to);
        batch.gap = batch
            .gap
            .map(|gap| gap.start..gap.end.min(to))
            .filter(|gap| gap.start < gap.end);
        if let Some(gap) = &batch.gap {
            self.missed.fetch_add(gap.end.0 - gap.start.0, Ordering::Relaxed);
        }
        batch
    }

    /// How far it is.
    pub(super) fn progress(&self, state: &State, now: Timestamp) -> ReplayProgress {
        let (before, since) = (&self.before, state.figures);
        let done = state.has_ended(self.replay.to);
        ReplayProgress {
            state: if done { ReplayState::Done } else { ReplayState::Running },
            ended: done.then_some(now.0),
            position: self.position(state),
            delivered: before.delivered.saturating_add(since.delivered),
            filtered: before.filtered.saturating_add(since.filtered),
            failed: before.failed.saturating_add(since.failed),
            dead: before.dead.saturating_add(since.dead),
            missed: before.missed.saturating_add(self.missed.load(Ordering::Relaxed)),
        }
    }

    fn position(&self, state: &State) -> Offset {
        state.window.floor(self.replay.to).min(self.replay.to)
    }
}

/// Takes what is to be written out of a replay's lane; what was taken, to be given back if the write fails.
pub(super) fn collect(
    engine: &Engine,
    lane: &Arc<Lane>,
    replaying: &Replaying,
    checkpoint: &mut Checkpoint,
) -> Option<std::collections::BTreeMap<Offset, Change>> {
    let mut state = lane.lock();
    let collected = state.collect(replaying.replay.to)?;
    // Under the lane's lock: a replay that is called off now must not be held for afterwards.
    replaying.home.hold(lane.key, collected.holds);
    engine.note_if(collected.again, lane);
    let progress = replaying.progress(&state, engine.parts.clock.now());
    drop(state);
    let mut step = ReplayStep {
        id: replaying.id().clone(),
        progress,
        retries: Vec::new(),
        settled: Vec::new(),
    };
    for (offset, change) in &collected.changes {
        match change.clone() {
            Change::Retry(retry) => step.retries.push(retry),
            Change::Settled => step.settled.push(*offset),
            Change::Dead(buried) => {
                let mut letter = buried.letter;
                letter.reason = format!("{} (in replay {})", letter.reason, replaying.id());
                step.settled.push(*offset);
                checkpoint.dead.push(letter);
            }
        }
    }
    checkpoint.replays.push(step);
    Some(collected.changes)
}
