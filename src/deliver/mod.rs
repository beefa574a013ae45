//! Delivery: from the log to every subscriber, at least once.

mod breaker;
mod history;
mod retry;
mod sign;
mod window;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::Error;
use crate::log::{BusName, EventLog, Offset, Record};
use crate::metrics::Metrics;
use crate::net;
use crate::plugin::Plugins;
use crate::subscription::{Attempt, Kept, Store, Subscription, SubscriptionId};
use crate::tasks::Tasks;
use crate::time::Clock;

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
    /// The time.
    pub clock: Clock,
    /// Who owns the tasks.
    pub tasks: Tasks,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where life events go.
    pub notices: mpsc::UnboundedSender<Notice>,
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
    /// A sink that kept failing is now only probed (`open`), or works again.
    Breaker {
        /// Whose.
        subscription: SubscriptionId,
        /// Whether it is now open (only probed).
        open: bool,
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
    /// The sink answered 410: the subscription is paused.
    Gone {
        /// Whose.
        subscription: SubscriptionId,
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
    /// `idle`, `delivering`, `catching_up`, `held`, `open` (breaker), `paused`.
    pub state: &'static str,
    /// Why, where the state needs a reason.
    pub reason: Option<String>,
    /// Everything before this offset is settled.
    pub cursor: Offset,
    /// Records between the cursor and the end of the bus.
    pub behind: u64,
    /// Deliveries waiting for a retry.
    pub retrying: usize,
    /// Delivered since the start.
    pub delivered: u64,
    /// Filtered out by plugins since the start.
    pub filtered: u64,
    /// Failed attempts since the start.
    pub failed: u64,
    /// Gone to the dead letters since the start.
    pub dead: u64,
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
}

/// The delivery engine. Cheap to clone.
#[derive(Clone)]
pub struct Delivery;

impl Delivery {
    /// Takes up where `kept` left off and starts the dispatchers.
    pub async fn start(_parts: Parts, _kept: Kept) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Adds a subscription, or replaces the one of the same id (its position stays). Already written to the store.
    pub fn put(&self, _subscription: Subscription, _from: Option<Offset>) {
        unimplemented!()
    }
    /// Removes a subscription. Already removed from the store.
    pub fn remove(&self, _id: &SubscriptionId) {
        unimplemented!()
    }
    /// A subscription as it is now.
    pub fn get(&self, _id: &SubscriptionId) -> Option<Subscription> {
        unimplemented!()
    }
    /// All subscriptions, by id.
    pub fn list(&self) -> Vec<Subscription> {
        unimplemented!()
    }
    /// Figures of one lane.
    pub fn status(&self, _id: &SubscriptionId) -> Option<LaneStatus> {
        unimplemented!()
    }
    /// Recent attempts of one subscription, newest first.
    pub fn recent(&self, _id: &SubscriptionId) -> Vec<Recent> {
        unimplemented!()
    }
    /// Delivers one record to one subscription now, once, outside its lane (`test`, redelivery); the outcome.
    pub async fn once(&self, _id: &SubscriptionId, _record: Arc<Record>) -> Result<Attempt, Error> {
        unimplemented!()
    }
    /// Puts one dead letter's record back into its lane, as a first attempt.
    pub async fn redeliver(&self, _id: &SubscriptionId, _offset: Offset) -> Result<(), Error> {
        unimplemented!()
    }
    /// Stops taking work, lets what is in flight end until the deadline, and writes the last checkpoint.
    pub async fn drain(&self, _deadline: Duration) {
        unimplemented!()
    }
}
