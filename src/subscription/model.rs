//! The subscription resource; names after the CloudEvents Subscriptions API.
//!
//! Domain types only: their JSON is made in `show` and read in `read`, so that the wire can change without them.
//! Invariant: `Debug` of anything here shows no secret.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::auth::Auth;
use super::breaker::BreakerConfig;
use super::consent::Consent;
use super::rate::Rate;
use super::signing::SigningSecret;
use super::step::Step;
use super::tls::Tls;
use crate::filter::Selector;
use crate::log::{BusName, Offset};
use crate::net::Route;
use crate::time::Timestamp;
use crate::transform::Transform;

/// The id of a subscription: made by the hub, or named by the caller on PUT. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub Arc<str>);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A standing request for events.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The bus it listens to.
    pub bus: BusName,
    /// What it wants.
    pub selector: Arc<Selector>,
    /// What each event becomes on its way.
    pub transform: Option<Arc<Transform>>,
    /// Where events go.
    pub sink: Sink,
    /// How they are delivered.
    pub config: DeliveryConfig,
    /// Whether it runs.
    pub state: State,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// JSON Pointers into its JSON: what is secret by the plugins that it names. (What is secret by its own name in
    /// `protocolsettings` is so anyhow.)
    pub write_only: Arc<[String]>,
}

/// Whether a subscription runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Events are delivered.
    Active,
    /// Events wait in the log.
    Paused {
        /// Who or what paused it: `requested`, `gone` (the sink answered 410), or `unvalidated` (it has not agreed yet).
        reason: String,
    },
}

/// Where events go.
#[derive(Debug, Clone, PartialEq)]
pub enum Sink {
    /// An HTTP callback, delivered natively.
    Webhook(Arc<Webhook>),
    /// Another bus of this hub.
    Bus(BusName),
    /// A notifier plugin.
    Notifier {
        /// The plugin's name.
        plugin: Arc<str>,
        /// `sink` as given, if it was.
        sink: Option<String>,
        /// `protocolsettings` as one JSON object, compact text. `sink`, if given, is in it under `sink`
        /// unless the settings name one themselves.
        settings: Arc<str>,
    },
}

/// An HTTP callback.
#[derive(Clone, PartialEq)]
pub struct Webhook {
    /// Where to POST; http or https.
    pub url: url::Url,
    /// The form of the body.
    pub format: Format,
    /// Headers added to every request.
    pub headers: Vec<(String, String)>,
    /// Credentials.
    pub auth: Option<Auth>,
    /// Standard Webhooks signing secret(s); the first signs first, all sign.
    pub secrets: Vec<SigningSecret>,
    /// Whether its target has agreed to be called.
    pub consent: Consent,
    /// Statuses that deliver; none named: every 2xx.
    pub success: Vec<u16>,
    /// The signatures of Alibaba's EventBridge, beside all others.
    pub push: Option<PushSign>,
    /// Whom its certificate may be from, besides the public authorities, and which one it is shown.
    pub tls: Option<Tls>,
    /// The way there; none: that which the hub takes by default.
    pub route: Option<Route>,
}

/// Nothing of what may hold a secret: headers, and what stands after the path.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("host", &self.url.host_str())
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// That pushes are signed as Alibaba's EventBridge signs them.
#[derive(Clone, PartialEq, Eq)]
pub struct PushSign {
    /// Goes along in a header, signed too. Never shown again.
    pub token: Option<String>,
}

impl fmt::Debug for PushSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushSign(…)")
    }
}

/// The form of a callback's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `application/cloudevents+json`.
    #[default]
    Structured,
    /// `ce-*` headers; the body is the data.
    Binary,
    /// `application/cloudevents-batch+json`.
    Batch,
    /// The producer's own bytes of data, nothing else.
    Raw,
    /// An event report of Pulp's: as its producer wrote it, or made of another event.
    Pulp,
}

/// How events are delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryConfig {
    /// Where a new subscription begins.
    pub start: Start,
    /// Waits before the second, third, … attempt; the last repeats.
    pub schedule: Arc<[Step]>,
    /// Whether chance lengthens the waits, so that what failed together comes back apart.
    pub jitter: bool,
    /// Attempts before the dead letters; [`UNLIMITED`] is what it says.
    pub max_attempts: u32,
    /// No attempt but the first begins when the hub has had the event for longer.
    pub max_age: Option<Duration>,
    /// One attempt.
    pub timeout: Duration,
    /// Deliveries in flight at once.
    pub concurrency: usize,
    /// Calls of the sink in a time; none: no limit.
    pub rate: Option<Rate>,
    /// Whether order within a key is kept.
    pub ordering: Ordering,
    /// When a plugin fails.
    pub on_error: OnError,
    /// When the sink is taken for dead, and how it is tried then.
    pub breaker: BreakerConfig,
    /// For [`Format::Batch`].
    pub batch: BatchConfig,
    /// The bus on which what is given up is published too.
    pub dead_letter: Option<BusName>,
}

/// As many attempts as it takes.
pub const UNLIMITED: u32 = u32::MAX;

/// Where a new subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the next event.
    Latest,
    /// With the oldest event that is still there.
    Earliest,
    /// At this offset.
    Offset(Offset),
    /// At this time.
    Time(Timestamp),
}

/// Whether order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Ordering {
    /// As fast as possible.
    #[default]
    None,
    /// Events of one key (`partitionkey`, else `subject`) one at a time and in their order.
    Key,
    /// All events one at a time and in their order: one that fails holds up the rest.
    All,
}

/// What happens to an event when a plugin fails on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Try again on the schedule; dead letter at the end.
    #[default]
    Retry,
    /// Wait, at the cost of no attempt, until another generation of the plugin is loaded.
    Hold,
    /// For a filter: as if it had passed it.
    Pass,
    /// For a filter: as if it had dropped it.
    Drop,
}

/// When a batch is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchConfig {
    /// At this many events.
    pub count: usize,
    /// At this many bytes.
    pub bytes: usize,
    /// After this long, however few.
    pub wait: Duration,
}
