//! Delivery: from the log to every subscriber, at least once.
//!
//! One dispatcher a `bus` (`dispatch`) reads the log in order, finds who wants each record, and offers it (a `candidate`)
//! to their lanes. A `lane` is a subscription's own queue, schedule and state; it gets a task only while it has something
//! to do, and when it is full, blocked or new it reads the log by itself and is handed back later (`window`).
//! An `attempt` waits for a place in flight (`admission`), asks plugin filters (`evaluate`), then calls the sink (`send`):
//! what `shape` makes of the event goes by `webhook` and `call`, signed by `sign` and `push`, with a `token` of `tokens`;
//! by `notifier`; or `forward` publishes it on another bus. A callback may have been asked for its `consent` before, and
//! its answer may carry a word of `control`. What comes after, `retry` and `breaker` say.
//! A `replay` is one more lane beside a subscription's own (`replays` has them all); `revive` brings dead letters back.
//! `engine` is what all of these share; `checkpoint` writes down how far things are, `timer` wakes who waits, `census`
//! counts lanes, `history` keeps recent attempts and `told` says in the log what happened. `changing` keeps two changes of
//! one subscription apart.
//!
//! Why a cursor and not a row a delivery: a healthy subscription costs nothing on disk, one that is behind a row,
//! and only deliveries that failed cost a row each.
//!
//! Invariant: a record a subscription wants is at every moment in the log at or after its cursor, or in a retry row,
//! or in the dead letters, or delivered.
//! Invariant: no lane waits for another's sink, and the dispatcher waits for none.

mod admission;
mod attempt;
mod breaker;
mod bus;
mod call;
mod candidate;
mod census;
mod changing;
mod checkpoint;
pub mod consent;
mod control;
mod dispatch;
mod engine;
mod evaluate;
mod forward;
mod history;
mod lane;
mod notifier;
pub mod push;
mod replay;
mod replays;
mod retry;
mod revive;
mod send;
mod shape;
mod sign;
mod timer;
mod token;
mod tokens;
mod told;
mod webhook;
mod window;

#[cfg(test)]
mod tests;

pub use census::{Census, STEPS};
pub use changing::Changing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, warn};

pub use self::breaker::{BreakerStatus, Turn};
use self::candidate::Candidate;
pub use self::replays::ReplayStatus;
pub use self::revive::Revived;

use self::engine::Engine;
use self::lane::Lane;
use crate::access::caller::Caller;
use crate::error::Error;
use crate::log::{BusName, EventLog, Offset, Record};
use crate::metrics::Metrics;
use crate::net;
use crate::plugin::Plugins;
use crate::subscription::{Attempt, Kept, ReplayId, Store, Subscription, SubscriptionId};
use crate::tasks::Tasks;
use crate::time::{Clock, Timestamp};

/// What delivery works with.
#[derive(Clone)]
pub struct Parts {
    /// Where events are.
    pub log: EventLog,
    /// Where subscriptions and cursors are kept.
    pub store: Store,
    /// Who evaluates plugin filters and carries events by notifier.
    pub plugins: Plugins,
    /// The way out.
    pub client: net::Client,
    /// Who signs pushes.
    pub signer: push::Signer,
    /// The time.
    pub clock: Clock,
    /// Who owns the tasks.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where life events go.
    pub notices: mpsc::UnboundedSender<Notice>,
    /// Held by whoever writes a changed subscription, until delivery knows it too.
    pub changing: Arc<Changing>,
    /// How much may be in flight.
    pub bounds: Bounds,
}

/// How much may be in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Attempts, all subscriptions together.
    pub in_flight: usize,
    /// Attempts at one host and port, whoever subscribed there.
    pub connections_per_host: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            in_flight: 4_096,
            connections_per_host: 256,
        }
    }
}

/// Something that happened in delivery, for self-events and the log.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A delivery went to the dead letters.
    Dead {
        /// Whose.
        subscription: SubscriptionId,
        /// Of which bus.
        bus: BusName,
        /// Which record.
        offset: Offset,
        /// Why.
        reason: String,
    },
    /// A sink that kept failing is now only probed (`open`), gets a few (`half_open`), or works again (`closed`).
    Breaker {
        /// Whose.
        subscription: SubscriptionId,
        /// What it is now.
        turn: Turn,
        /// The last failure.
        reason: String,
    },
    /// A subscription waits because its plugin is not loaded (`held`), or goes on.
    Held {
        /// Whose.
        subscription: SubscriptionId,
        /// Whether it is now held.
        held: bool,
        /// The plugin.
        plugin: String,
    },
    /// A plugin failed, and the first delivery of a subscription is parked for it.
    Parked {
        /// Whose.
        subscription: SubscriptionId,
        /// The plugin.
        plugin: String,
        /// Which load of it failed.
        generation: u64,
        /// Which record.
        offset: Offset,
        /// How it failed.
        reason: String,
    },
    /// What was parked for a plugin goes on.
    Released {
        /// Whose.
        subscription: SubscriptionId,
        /// The plugin.
        plugin: String,
        /// How many deliveries.
        deliveries: usize,
    },
    /// A replay is done, or was called off.
    Replay(Box<ReplayStatus>, Caller),
    /// The sink wants no more events: the subscription is paused.
    Paused {
        /// Whose.
        subscription: SubscriptionId,
        /// `gone` (it answered 410) or `disabled` (it said so in a header).
        reason: &'static str,
    },
    /// Records a subscription had not seen were removed by retention.
    Gap {
        /// Whose.
        subscription: SubscriptionId,
        /// From here.
        from: Offset,
        /// To before here.
        to: Offset,
    },
}

/// Figures and state of one subscription's lane.
#[derive(Debug, Clone, serde::Serialize)]
pub struct LaneStatus {
    /// `idle`, `delivering`, `catching_up`, `held`, `parking`, `open` or `half_open` (breaker), `throttled` (the sink
    /// asked for a while without calls), `paused`.
    pub state: &'static str,
    /// Why, where the state needs a reason.
    pub reason: Option<String>,
    /// Everything before this offset is settled.
    pub cursor: Offset,
    /// Records between the cursor and the end of the bus.
    pub behind: u64,
    /// Whether its sink is worth an attempt.
    pub breaker: BreakerStatus,
    /// Deliveries waiting for a retry.
    pub retrying: usize,
    /// Deliveries parked until another generation of a plugin is loaded.
    pub parked: usize,
    /// Which plugins they are parked for, and why.
    pub parked_for: Vec<Parked>,
    /// Delivered since the start.
    pub delivered: u64,
    /// Filtered out by plugins since the start.
    pub filtered: u64,
    /// Failed attempts since the start.
    pub failed: u64,
    /// Gone to the dead letters since the start.
    pub dead: u64,
}

/// Deliveries of one subscription that are parked for one plugin.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Parked {
    /// The plugin.
    pub plugin: String,
    /// The load of it that failed last.
    pub generation: u64,
    /// How it failed.
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// How many.
    pub deliveries: usize,
}

/// What delivery as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Attempts in flight.
    pub in_flight: usize,
    /// Attempts that wait for a place, of the hub's or of their host's.
    pub waiting: usize,
    /// Subscriptions whose breaker is open.
    pub open: usize,
    /// Subscriptions whose breaker is half open.
    pub half_open: usize,
}

/// What the subscriptions of one bus still have to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// The oldest record that one of them has not settled (a waiting retry is not settled); the end if there is none.
    pub oldest: Offset,
    /// Records between the slowest one's cursor and the end of the bus.
    pub behind: u64,
    /// Deliveries waiting for a retry.
    pub retrying: usize,
    /// Deliveries parked until a plugin is loaded anew.
    pub parked: usize,
}

/// One recent attempt, as shown by `/v1/subscriptions/{id}/deliveries`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Recent {
    /// Which record.
    pub offset: Offset,
    /// The event's id.
    pub event: String,
    /// The try.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// When the next try is due, RFC 3339, if there will be one.
    pub next: Option<String>,
    /// The replay that it was part of, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<ReplayId>,
}

/// Where one record stands with one subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// It has not come up yet.
    Ahead,
    /// It has come up, and is in flight, or waits for its first attempt.
    Taken,
    /// It has been tried, or its plugin failed.
    Retrying {
        /// What it waits for.
        until: Until,
        /// Attempts so far.
        tries: u32,
        /// The last few of them.
        attempts: Vec<Attempt>,
    },
    /// There is nothing more to do: it was delivered or filtered, is among the dead letters, or was never wanted.
    Settled,
}

/// What a delivery waits for that has come up before.
#[derive(Debug, Clone, PartialEq)]
pub enum Until {
    /// Its next attempt is due then.
    Due(Timestamp),
    /// It is parked until another generation of this plugin is loaded.
    Loaded(String),
    /// It is in flight.
    Answered,
}

/// The delivery engine. Cheap to clone.
#[derive(Clone)]
pub struct Delivery(Arc<Engine>);

impl Delivery {
    /// Takes up where `kept` left off and starts the dispatchers.
    ///
    /// # Errors
    /// The log cannot open a bus that has subscriptions.
    pub async fn start(parts: Parts, kept: Kept) -> Result<Self, Error> {
        let written = checkpoint::Written::new(kept.floors.iter().cloned());
        // Subscribed before the first lane can be held: no change goes unseen.
        let changes = parts.plugins.changes();
        let engine = Arc::new(Engine::new(parts, written));
        engine.restore(kept)?;
        for background in [
            engine.tasks.spawn(timer::ring(engine.clone())),
            engine.tasks.spawn(checkpoint::keep_writing(engine.clone())),
            engine.tasks.spawn(engine::watch_plugins(engine.clone(), changes)),
        ] {
            drop(background);
        }
        Ok(Self(engine))
    }

    /// Adds a subscription, or replaces the one of the same id (its position stays). Already written to the store,
    /// for a new one with `from` as its cursor; without it a new one begins at the end of its bus.
    pub fn put(&self, subscription: Subscription, from: Option<Offset>) {
        let id = subscription.id.clone();
        if let Err(cause) = self.0.put(subscription, from) {
            error!(subscription = %id, error = %cause, "cannot deliver to the subscription before a restart");
        }
    }

    /// Removes a subscription. Already removed from the store.
    pub fn remove(&self, id: &SubscriptionId) {
        self.0.remove(id);
    }

    /// A subscription as it is now.
    pub fn get(&self, id: &SubscriptionId) -> Option<Subscription> {
        let lane = self.0.lane(id)?;
        let subscription = lane.lock().subscription.clone();
        Some(Subscription::clone(&subscription))
    }

    /// All subscriptions, by id.
    pub fn list(&self) -> Vec<Arc<Subscription>> {
        let lanes = self.0.all();
        let mut all: Vec<_> = lanes.iter().map(|lane| lane.lock().subscription.clone()).collect();
        all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// How many subscriptions there are.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// What the lanes of each bus still have to do, all together. Buses without a subscription are not in it.
    pub fn backlogs(&self) -> BTreeMap<BusName, Backlog> {
        let mut all = BTreeMap::new();
        for lane in self.0.all() {
            let (dispatched, end) = self.positions(&lane);
            let state = lane.lock();
            let (cursor, oldest) = state.unsettled(dispatched, end);
            let (waiting, parked) = (state.retries.len(), state.retries.parked());
            drop(state);
            let bus = all.entry(lane.bus.name.clone()).or_insert(Backlog {
                oldest: end,
                behind: 0,
                retrying: 0,
                parked: 0,
            });
            bus.oldest = bus.oldest.min(oldest);
            bus.behind = bus.behind.max(end.0.saturating_sub(cursor.0));
            bus.retrying += waiting - parked;
            bus.parked += parked;
        }
        all
    }

    /// What delivery as a whole is doing.
    pub fn load(&self) -> Load {
        let (in_flight, waiting) = self.0.admission.load();
        let mut load = Load {
            in_flight,
            waiting,
            ..Load::default()
        };
        for lane in self.0.failing() {
            match lane.lock().breaker_state() {
                "open" => load.open += 1,
                "half_open" => load.half_open += 1,
                _ => {}
            }
        }
        load
    }

    /// The subscriptions whose breaker is not closed.
    pub fn failing(&self) -> Vec<(SubscriptionId, LaneStatus)> {
        let of = |lane: Arc<Lane>| Some((lane.id.clone(), self.status(&lane.id)?));
        self.0.failing().into_iter().filter_map(of).collect()
    }

    /// Tries an open sink now, whenever its next probe would be.
    pub fn try_sink(&self, id: &SubscriptionId) {
        if let Some(lane) = self.0.lane(id) {
            self.0.try_sink(&lane);
        }
    }

    /// Figures of one lane.
    pub fn status(&self, id: &SubscriptionId) -> Option<LaneStatus> {
        let lane = self.0.lane(id)?;
        let (dispatched, end) = self.positions(&lane);
        let status = lane.lock().status(dispatched, end);
        Some(status)
    }

    /// The subscriptions that are held, or have deliveries parked, for want of a plugin that works.
    pub fn troubled(&self) -> Vec<(SubscriptionId, LaneStatus)> {
        let lanes = self.0.troubled();
        let of = |lane: Arc<Lane>| Some((lane.id.clone(), self.status(&lane.id)?));
        lanes.into_iter().filter_map(of).collect()
    }

    /// Where one record of its bus stands with a subscription.
    pub fn place(&self, id: &SubscriptionId, offset: Offset) -> Option<Place> {
        let lane = self.0.lane(id)?;
        let dispatched = lane.bus.position.dispatched();
        let place = lane.lock().place(offset, dispatched);
        Some(place)
    }

    /// Recent attempts of one subscription, newest first.
    pub fn recent(&self, id: &SubscriptionId) -> Vec<Recent> {
        self.0.history.of(id)
    }

    /// Delivers one record to one subscription now, once, outside its lane and past its filters (`test`); what came
    /// of it.
    ///
    /// # Errors
    /// There is no such subscription.
    pub async fn once(&self, id: &SubscriptionId, record: Arc<Record>) -> Result<Attempt, Error> {
        let lane = self.0.lane(id).ok_or_else(|| unknown(id))?;
        let subscription = lane.lock().subscription.clone();
        let (offset, event) = (record.offset, record.event.id().to_owned());
        let attempt = attempt::once(&self.0, &subscription, &Candidate::new(record)).await;
        self.0.history.note(
            id,
            Recent {
                offset,
                event,
                attempt: attempt.clone(),
                next: None,
                replay: None,
            },
        );
        Ok(attempt)
    }

    /// Stops taking work, lets what is in flight end until the deadline, and writes the last checkpoint.
    pub async fn drain(&self, deadline: Duration) {
        if !self.0.tasks.drain(deadline).await {
            warn!(
                deadline_s = deadline.as_secs(),
                "deliveries were still in flight, they will be repeated"
            );
        }
        checkpoint::write(&self.0).await;
    }

    /// How far the dispatcher of the lane's bus has come, and where the bus ends.
    fn positions(&self, lane: &Lane) -> (Offset, Offset) {
        let dispatched = lane.bus.position.dispatched();
        let end = self.0.parts.log.end(&lane.bus.name);
        (dispatched, end.map_or(dispatched, |end| *end.borrow()))
    }
}

fn unknown(id: &SubscriptionId) -> Error {
    Error::not_found("subscription_not_found", format!("there is no subscription {id}"))
}
