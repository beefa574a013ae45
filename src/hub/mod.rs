//! The hub: publish, read, subscribe, status. Every front door calls this and nothing below it.
//!
//! - `open` builds and wires what the hub is made of, on a `ground` that it looks at first.
//! - `events` takes events in and reads them; `stream` follows the log (`fan` hands new records to many at once, each from
//!   its `tray`); `explain` tells why an event did or did not arrive.
//! - `subscriptions` changes who gets what, `secrets` what it is signed with; `consent` asks callbacks whether they want
//!   events. `dead_letters` and `replay` bring back what was, from a `moment` on.
//! - `plugins` checks what a subscription needs, `misfit` finds those that a swap left behind, `trial` compares a candidate
//!   with what is live.
//! - `tokens` makes and revokes credentials; `documents` keeps what front doors want kept.
//! - `status` says how it goes, `measure` in figures, and why it is not well by each `concern`; `life` reports the hub's
//!   own life on the bus `busway`.
//!
//! Order of the stop ([`Hub::stop`], then [`Hub::drain`]): no new work and streams end; deliveries in flight end and
//! the last checkpoint is written; plugins; the hub's own tasks; the log; the store.
//!
//! Invariant: nothing here knows HTTP; nothing here decides what a front door must translate.
//! Invariant: a subscription is on disk before delivery knows of it, and off the disk before delivery forgets it.

mod concern;
mod consent;
mod dead_letters;
mod documents;
mod events;
mod explain;
mod fan;
mod ground;
mod life;
mod measure;
mod misfit;
mod moment;
mod open;
mod plugins;
mod replay;
mod secrets;
mod status;
mod stream;
mod subscriptions;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod tray;
mod trial;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use consent::{Asked as ConsentAsked, Introduction};
pub use dead_letters::{Choice, Dropped, Kept, Redelivered};
pub use events::Page;
pub use explain::{Asked, DeliveryStanding, Explanation, Heard, Question, Rule, Shown};
pub use ground::{Promise, filesystem_of, weakness};
pub use replay::{ReplayOutlook, ReplayWish};
pub use status::{Health, Standing};
pub use stream::{EventStream, Item, Only, Wish};
pub use tokens::{Forced, Issued, IssuedText, Offline, has_tokens};
pub use trial::{Outlook, TrialReport};

use moment::moment;

use crate::access::{self, Access};
use crate::deliver::push::Signer;
use crate::deliver::{Bounds, Delivery};
use crate::error::{Error, Kind};
use crate::log::EventLog;
use crate::metrics::Metrics;
use crate::plugin::Plugins;
use crate::subscription::{DeliveryConfig, Store};
use crate::tasks::Tasks;
use crate::time::Clock;
use crate::{log, net, plugin};

/// How long streams may take to end.
const GOODBYE: Duration = Duration::from_secs(1);

/// Everything a hub is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the store is.
    pub data: PathBuf,
    /// The event log's.
    pub log: log::Settings,
    /// The plugin host's.
    pub plugins: plugin::Settings,
    /// Who may do what, besides those with a token.
    pub access: access::Settings,
    /// Which addresses may be dialled.
    pub egress: net::GuardSettings,
    /// The proxies by which requests go out.
    pub proxies: net::ProxySettings,
    /// What a subscription gets that does not say otherwise.
    pub delivery: DeliveryConfig,
    /// What all subscriptions share.
    pub bounds: Bounds,
    /// Bounds at the front doors.
    pub limits: Limits,
    /// How it introduces itself to the targets of callbacks.
    pub introduction: Introduction,
}

/// Bounds at the front doors.
#[derive(Debug, Clone)]
pub struct Limits {
    /// One event, in bytes.
    pub event_bytes: usize,
    /// One batch, in bytes.
    pub batch_bytes: usize,
    /// Events of a batch.
    pub batch_events: usize,
    /// Subscriptions, of all buses together.
    pub subscriptions: usize,
    /// Bodies of requests that are held in memory, all together, in bytes.
    pub body_bytes: usize,
    /// Streams that are open, all together.
    pub streams: usize,
}

/// The hub. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Parts>);

/// What a hub is made of.
struct Parts {
    limits: Limits,
    defaults: DeliveryConfig,
    clock: Clock,
    access: Arc<Access>,
    metrics: Arc<Metrics>,
    log: EventLog,
    store: Store,
    client: net::Client,
    signer: Signer,
    plugins: Plugins,
    delivery: Delivery,
    fans: fan::Fans,
    /// Streams that may still be opened.
    places: Arc<tokio::sync::Semaphore>,
    life: life::Reporter,
    misfits: misfit::Misfits,
    trials: trial::Trials,
    introduction: Introduction,
    waiting: consent::Waiting,
    retiring: secrets::Retiring,
    documents: documents::Documents,
    concerns: concern::Concerns,
    ground: ground::Ground,
    /// Held while a document is written.
    filing: tokio::sync::Mutex<()>,
    /// Held while a token is made or revoked.
    issuing: tokio::sync::Mutex<()>,
    /// Held while some dead letters go back into their lanes.
    reviving: tokio::sync::Mutex<()>,
    owners: Owners,
    /// Held while a subscription that is there is read, changed and written, so that no change is lost.
    changing: Arc<crate::deliver::Changing>,
}

/// Who owns which tasks, in the order in which they are asked to stop.
struct Owners {
    streams: Tasks,
    delivery: Tasks,
    plugins: Tasks,
    own: Tasks,
    log: Tasks,
}

impl Hub {
    /// Bounds at the front doors.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Who may do what.
    pub fn access(&self) -> &Arc<Access> {
        &self.0.access
    }

    /// The hub's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Signs pushes as Alibaba's EventBridge does; knows the certificate that receivers ask for.
    pub fn signer(&self) -> &Signer {
        &self.0.signer
    }

    /// The settings were read again and taken up.
    pub fn tell_reloaded(&self, plugins: &[String], after_restart: &[&str]) {
        self.0.life.tell(life::reloaded(plugins, after_restart));
    }

    /// No new work: publishing answers 503, streams say goodbye and end.
    pub fn stop(&self) {
        if !self.0.owners.streams.is_stopping() {
            self.0.life.tell(life::stopping());
            self.0.owners.streams.stop();
        }
    }

    /// Whether [`Hub::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.0.owners.streams.is_stopping()
    }

    /// Resolves once [`Hub::stop`] is called.
    pub async fn stopping(&self) {
        self.0.owners.streams.stopping().await;
    }

    /// Ends everything in order and closes the files; `false` if the deadline cut something off. What is cut off has
    /// not been acknowledged and is delivered after the next start.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.stop();
        let ends = self.0.clock.instant() + deadline;
        let left = || ends.saturating_duration_since(self.0.clock.instant());
        // Streams say goodbye; who does not listen is not waited for, and loses nothing by it.
        self.0.owners.streams.drain(left().min(GOODBYE)).await;
        self.0.delivery.drain(left()).await;
        let mut whole = true;
        for owner in [&self.0.owners.delivery, &self.0.owners.plugins, &self.0.owners.own] {
            whole &= owner.drain(left()).await;
        }
        self.0.log.close().await;
        whole &= self.0.owners.log.drain(left()).await;
        self.0.store.close().await;
        whole
    }

    fn refuse_when_stopping(&self) -> Result<(), Error> {
        match self.is_stopping() {
            true => Err(Error::new(
                Kind::Unavailable,
                "stopping",
                "the hub is shutting down; try again once it is back",
            )),
            false => Ok(()),
        }
    }
}
