//! All replays: begun, shown, followed through changes of their subscriptions, called off, ended.
//!
//! Lock order: this registry's lock is a leaf beside a lane's: neither is taken under the other.
//! Invariant: a replay has ended here only after the store says so.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tracing::warn;

use super::engine::Engine;
use super::lane::{Effect, Lane};
use super::replay::Replaying;
use super::{Delivery, Notice};
use crate::access::caller;
use crate::error::{Error, Kind};
use crate::log::Offset;
use crate::subscription::{
    ENDED_KEPT, KeptReplay, Replay, ReplayId, ReplayProgress, ReplayState, ReplayStep, Sink, Subscription,
    SubscriptionId,
};
use crate::time::Timestamp;

/// A replay as it is shown.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ReplayStatus {
    /// Its id.
    pub id: ReplayId,
    /// Who gets it.
    pub subscription: SubscriptionId,
    /// The subscription's bus.
    pub bus: String,
    /// `running`, `paused` (with its subscription), `done`, `cancelled`.
    pub state: &'static str,
    /// Why it does not go on, or slowly, where there is a reason.
    pub reason: Option<String>,
    /// The first offset.
    pub from: Offset,
    /// The offset after the last one.
    pub to: Offset,
    /// How many offsets it covers.
    pub offsets: u64,
    /// Everything before this is settled, or waits for a retry.
    pub position: Offset,
    /// Delivered.
    pub delivered: u64,
    /// Filtered out by plugins.
    pub filtered: u64,
    /// Failed attempts.
    pub failed: u64,
    /// Gone to the dead letters.
    pub dead: u64,
    /// Waiting for a retry.
    pub retrying: usize,
    /// Offsets that retention had removed.
    pub missed: u64,
    /// How fast at most.
    pub rate: Option<String>,
    /// Which events, besides what the subscription says itself.
    pub filter: Option<serde_json::Value>,
    /// When it was asked for, RFC 3339.
    pub started: String,
    /// When it ended, RFC 3339.
    pub ended: Option<String>,
}

/// The replays of all subscriptions, by id.
#[derive(Default)]
pub(super) struct Replays(RwLock<BTreeMap<ReplayId, Entry>>);

#[derive(Clone)]
enum Entry {
    Running(Arc<Lane>, Arc<Replaying>),
    Ended(Box<(Replay, ReplayProgress)>),
}

impl Delivery {
    /// Begins a replay. Already written to the store.
    ///
    /// # Errors
    /// There is no such subscription.
    pub fn replay(&self, replay: Replay) -> Result<ReplayStatus, Error> {
        let (id, progress) = (replay.id.clone(), ReplayProgress::at(replay.from));
        let subscription = replay.subscription.clone();
        let retries = Vec::new();
        self.0.begin(KeptReplay {
            replay,
            progress,
            retries,
        });
        self.replay_status(&id).ok_or_else(|| {
            Error::not_found(
                "subscription_not_found",
                format!("there is no subscription `{subscription}`"),
            )
        })
    }

    /// All replays, oldest first; of those that have ended the last few.
    pub fn replays(&self) -> Vec<ReplayStatus> {
        self.0.replays.entries().iter().map(Entry::status).collect()
    }

    /// One replay.
    pub fn replay_status(&self, id: &ReplayId) -> Option<ReplayStatus> {
        self.0.replays.entry(id).as_ref().map(Entry::status)
    }

    /// Calls a replay off. What is in flight may still arrive.
    ///
    /// # Errors
    /// `replay_not_found`, `replay_ended`, `store_unavailable`.
    pub async fn cancel_replay(&self, id: &ReplayId) -> Result<ReplayStatus, Error> {
        let (lane, replaying) = match self.0.replays.entry(id) {
            None => {
                let text = format!("there is no replay `{id}`; `GET /v1/replays` lists all");
                return Err(Error::not_found("replay_not_found", text));
            }
            Some(Entry::Ended(_)) => {
                let text = format!("the replay `{id}` has ended: there is nothing left to call off");
                return Err(Error::new(Kind::Conflict, "replay_ended", text));
            }
            Some(Entry::Running(lane, replaying)) => (lane, replaying),
        };
        let progress = self.0.called_off(&lane, &replaying);
        self.0.parts.store.put_replay(&replaying.replay, &progress).await?;
        let status = show(&replaying.replay, &progress, (progress.state.word(), None, 0));
        self.0.end_replay(&lane, &replaying, progress);
        Ok(status)
    }
}

impl Engine {
    /// Takes up the replays that were kept.
    pub(super) fn restore_replays(self: &Arc<Self>, kept: Vec<KeptReplay>) {
        for one in kept {
            if one.progress.ended.is_some() {
                let ended = Box::new((one.replay, one.progress));
                self.replays.put(ended.0.id.clone(), Entry::Ended(ended));
            } else {
                self.begin(one);
            }
        }
    }

    fn begin(self: &Arc<Self>, kept: KeptReplay) {
        let _one_at_a_time = self.one_change();
        let live = self.lane(&kept.replay.subscription);
        let Some(live) = live.filter(|live| live.bus.name == kept.replay.bus) else {
            let (replay, subscription) = (&kept.replay.id, &kept.replay.subscription);
            warn!(%replay, %subscription, "a replay has no subscription any more, it does not go on");
            return;
        };
        let subscription = live.lock().subscription.clone();
        let home = live.bus.clone();
        let replaying = Arc::new(Replaying::new(home.clone(), &kept));
        let lane = Arc::new(replaying.lane(self.next_key(), &subscription));
        let position = kept.progress.position;
        let oldest = kept.retries.iter().map(|retry| retry.offset).min();
        home.hold(lane.key, Some(oldest.map_or(position, |oldest| oldest.min(position))));
        self.parts
            .log
            .protect(&home.name, home.needed(home.position.dispatched()));
        self.replays
            .put(kept.replay.id.clone(), Entry::Running(lane.clone(), replaying));
        let mut state = lane.lock();
        if let Sink::Notifier { plugin, .. } = &subscription.sink {
            state.see_notifier(self.parts.plugins.generation_of(plugin));
        }
        state.restore_all(kept.retries, position);
        let asks = state.ask();
        self.follow(&lane, state, asks);
    }

    /// The lanes of replays that go on.
    pub(super) fn replaying(&self) -> Vec<Arc<Lane>> {
        self.replays.running().into_iter().map(|(lane, _)| lane).collect()
    }

    /// A subscription has changed: its replays go by what it says now.
    pub(super) fn replays_follow(self: &Arc<Self>, subscription: &Subscription) {
        let now = self.parts.clock.now();
        for (lane, replaying) in self.replays.running() {
            if lane.id != subscription.id {
                continue;
            }
            let mut state = lane.lock();
            // What this tells of breakers and plugins is told of the subscription's own lane already.
            drop(lane.replace(&mut state, Arc::new(replaying.of(subscription)), now));
            let asks = state.ask();
            self.follow(&lane, state, asks);
        }
    }

    /// A subscription is gone, and its replays with it. The store has forgotten them already.
    pub(super) fn forget_replays(&self, id: &SubscriptionId) {
        for (lane, replaying) in self.replays.running() {
            if lane.id == *id {
                let progress = self.called_off(&lane, &replaying);
                self.end_replay(&lane, &replaying, progress);
            }
        }
        self.replays.forget(id);
    }

    fn called_off(&self, lane: &Lane, replaying: &Replaying) -> ReplayProgress {
        let now = self.parts.clock.now();
        ReplayProgress {
            state: ReplayState::Cancelled,
            ended: Some(now.0),
            ..replaying.progress(&lane.lock(), now)
        }
    }

    /// What a checkpoint has written of replays: those that are done have ended.
    pub(super) fn replays_written(&self, steps: &[ReplayStep]) {
        for step in steps.iter().filter(|step| step.progress.ended.is_some()) {
            if let Some(Entry::Running(lane, replaying)) = self.replays.entry(&step.id) {
                self.end_replay(&lane, &replaying, step.progress.clone());
            }
        }
    }

    fn end_replay(&self, lane: &Lane, replaying: &Replaying, progress: ReplayProgress) {
        lane.lock().remove();
        replaying.home.hold(lane.key, None);
        lane.wake.notify_one();
        let ended = Entry::Ended(Box::new((replaying.replay.clone(), progress)));
        self.replays.put(replaying.id().clone(), ended.clone());
        self.tell(Notice::Replay(Box::new(ended.status()), caller::current()));
    }

    /// Does what the end of a replay's attempt asks for. Breakers and plugins speak for the subscription's own lane
    /// alone; but a sink that wants no more events gets none by any lane.
    pub(super) fn apply_replayed(self: &Arc<Self>, effects: Vec<Effect>, lane: &Arc<Lane>) {
        for effect in effects {
            match effect {
                Effect::Tell(notice @ Notice::Dead { .. }) => self.tell(notice),
                Effect::Tell(_) => {}
                Effect::Keep(ended) => self.pause_live(lane, &ended),
            }
        }
    }

    fn pause_live(self: &Arc<Self>, lane: &Arc<Lane>, ended: &Arc<Subscription>) {
        let _one_at_a_time = self.one_change();
        // Changed meanwhile: the sink that said so was another one.
        if !lane.lock().is_still(ended) {
            return;
        }
        let Some(live) = self.lane(&lane.id) else { return };
        let mut state = live.lock();
        let reason = match &ended.state {
            crate::subscription::State::Paused { reason } if reason == "disabled" => "disabled",
            _ => "gone",
        };
        let effects = state.pause(reason, self.parts.clock.now());
        let asks = state.ask();
        self.follow(&live, state, asks);
        self.apply(effects, &live);
    }

    /// An attempt of a replay begins: it is taken off the rate of the subscription's own lane.
    pub(super) fn charge_live(&self, lane: &Lane) {
        if lane.replay.is_some()
            && let Some(live) = self.lane(&lane.id)
        {
            live.lock().charge(self.parts.clock.now());
        }
    }
}

impl Replays {
    fn put(&self, id: ReplayId, entry: Entry) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, entry);
        let mut ended: Vec<(Option<i64>, ReplayId)> = all
            .iter()
            .filter_map(|(id, entry)| match entry {
                Entry::Ended(ended) => Some((ended.1.ended, id.clone())),
                Entry::Running(..) => None,
            })
            .collect();
        ended.sort_unstable();
        let too_many = ended.len().saturating_sub(ENDED_KEPT);
        for (_, id) in ended.into_iter().take(too_many) {
            all.remove(&id);
        }
    }

    fn entry(&self, id: &ReplayId) -> Option<Entry> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn running(&self) -> Vec<(Arc<Lane>, Arc<Replaying>)> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let running = all.values().filter_map(|entry| match entry {
            Entry::Running(lane, replaying) => Some((lane.clone(), replaying.clone())),
            Entry::Ended(_) => None,
        });
        running.collect()
    }

    fn entries(&self) -> Vec<Entry> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }

    fn forget(&self, subscription: &SubscriptionId) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, entry| match entry {
            Entry::Running(lane, _) => lane.id != *subscription,
            Entry::Ended(ended) => ended.0.subscription != *subscription,
        });
    }
}

impl Entry {
    fn status(&self) -> ReplayStatus {
        match self {
            Self::Ended(ended) => show(&ended.0, &ended.1, (ended.1.state.word(), None, 0)),
            Self::Running(lane, replaying) => {
                let state = lane.lock();
                let replay = &replaying.replay;
                let figures = ReplayProgress {
                    // It has ended once the store says so.
                    ended: None,
                    ..replaying.progress(&state, Timestamp(0))
                };
                let lane = state.status(replay.to, replay.to);
                drop(state);
                let word = if lane.state == "paused" { "paused" } else { "running" };
                show(replay, &figures, (word, lane.reason, lane.retrying + lane.parked))
            }
        }
    }
}

fn show(
    replay: &Replay,
    progress: &ReplayProgress,
    (state, reason, retrying): (&'static str, Option<String>, usize),
) -> ReplayStatus {
    ReplayStatus {
        id: replay.id.clone(),
        subscription: replay.subscription.clone(),
        bus: replay.bus.to_string(),
        state,
        reason,
        from: replay.from,
        to: replay.to,
        offsets: replay.to.0.saturating_sub(replay.from.0),
        position: progress.position,
        delivered: progress.delivered,
        filtered: progress.filtered,
        failed: progress.failed,
        dead: progress.dead,
        retrying,
        missed: progress.missed,
        rate: replay.rate.clone(),
        filter: replay.filter.clone(),
        started: Timestamp(replay.started).to_string(),
        ended: progress.ended.map(|ended| Timestamp(ended).to_string()),
    }
}
