//! What waits anywhere in the hub: how much, and since when.
//!
//! States, set when the text is read; nothing here is touched on the way of an event.
//! Invariant: a label is the name of a bus or a plugin, a word of ours, or one of the [`FURTHEST`] subscriptions that are
//! furthest behind, which are named anew at each read: the number of series is bounded whatever strangers do.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Bus, Plugin};

/// Subscriptions that are named.
pub const FURTHEST: usize = 20;

/// A label for the state of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneState {
    /// `idle`, `delivering`, `catching_up`, `held`, `parking`, `open`, `paused`.
    pub state: &'static str,
}

/// A label for how far lanes are behind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AtLeast {
    /// So many records.
    pub records: u64,
}

/// A label for one of those that are furthest behind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Furthest {
    /// Its bus.
    pub bus: String,
    /// Its id.
    pub subscription: String,
}

/// A label for which of the hub's rules refused to dial.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Rule {
    /// `deny`, `closed` (never dialled), `private`, `allow_only`.
    pub rule: &'static str,
}

/// The depth of every queue, and the age of what waits longest where it can be known.
#[derive(Debug, Default, Clone)]
pub struct Queues {
    /// Appends that wait for the disk.
    pub log_appends: Family<Bus, Gauge>,
    /// The bytes of their events.
    pub log_append_bytes: Family<Bus, Gauge>,
    /// How long the commit at hand has taken, in milliseconds: what waits has waited for no less.
    pub log_commit_milliseconds: Family<Bus, Gauge>,
    /// Bytes that are durable and not yet folded into the log's file.
    pub log_wal_bytes: Family<Bus, Gauge>,
    /// Lanes by state.
    pub lanes: Family<LaneState, Gauge>,
    /// Lanes that are at least so many records behind.
    pub lanes_behind: Family<AtLeast, Gauge>,
    /// How far those are that are furthest behind.
    pub furthest_behind: Family<Furthest, Gauge>,
    /// Their deliveries that wait for a retry.
    pub furthest_retrying: Family<Furthest, Gauge>,
    /// Replays that go on, or are paused with their subscription.
    pub replays: Gauge,
    /// Records in memory that wait for their first attempt.
    pub lane_records: Gauge,
    /// The bytes of their events.
    pub lane_bytes: Gauge,
    /// Lanes with changes that the next checkpoint writes.
    pub checkpoint_lanes: Gauge,
    /// Since the last checkpoint that was written whole.
    pub checkpoint_age_seconds: Gauge,
    /// Things told of the hub's own life that are not written yet.
    pub notices: Gauge,
    /// Events handed to streams and not taken yet.
    pub stream_events: Gauge,
    /// Calls that wait for an instance of a plugin.
    pub plugin_waiting: Family<Plugin, Gauge>,
    /// Places that were not dialled, by the rule that forbids it.
    pub egress_refused: Family<Rule, Gauge>,
}

impl Queues {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "log_queue_appends",
            "Appends that wait for the disk",
            self.log_appends.clone(),
        );
        r.register_with_unit(
            "log_queue",
            "Events that wait for the disk",
            Unit::Bytes,
            self.log_append_bytes.clone(),
        );
        r.register(
            "log_commit_milliseconds",
            "How long the commit at hand has taken",
            self.log_commit_milliseconds.clone(),
        );
        r.register_with_unit(
            "log_wal",
            "Durable, and not yet in the log's file",
            Unit::Bytes,
            self.log_wal_bytes.clone(),
        );
        self.register_lanes(r);
        r.register("replays", "Replays that have not ended", self.replays.clone());
        r.register(
            "notices_waiting",
            "Happenings of the hub's own life not yet written",
            self.notices.clone(),
        );
        r.register(
            "stream_queue_events",
            "Events handed to streams and not taken yet",
            self.stream_events.clone(),
        );
        r.register(
            "plugin_calls_waiting",
            "Calls that wait for an instance",
            self.plugin_waiting.clone(),
        );
        r.register(
            "egress_refused",
            "Places not dialled since the start, by the rule that forbids it",
            self.egress_refused.clone(),
        );
    }

    fn register_lanes(&self, r: &mut Registry) {
        r.register("lanes", "Subscriptions, by the state of their lane", self.lanes.clone());
        r.register(
            "lanes_behind",
            "Subscriptions at least so many records behind",
            self.lanes_behind.clone(),
        );
        r.register(
            "furthest_behind_records",
            "The subscriptions that are furthest behind, and how far",
            self.furthest_behind.clone(),
        );
        r.register(
            "furthest_behind_retrying",
            "The same, and how many of their deliveries wait for a retry",
            self.furthest_retrying.clone(),
        );
        r.register(
            "lane_queue_records",
            "Records in memory that wait for a first attempt",
            self.lane_records.clone(),
        );
        r.register_with_unit(
            "lane_queue",
            "Events in memory that wait for a first attempt",
            Unit::Bytes,
            self.lane_bytes.clone(),
        );
        r.register(
            "checkpoint_lanes",
            "Subscriptions with changes that the next checkpoint writes",
            self.checkpoint_lanes.clone(),
        );
        r.register_with_unit(
            "checkpoint_age",
            "Since the last whole checkpoint",
            Unit::Seconds,
            self.checkpoint_age_seconds.clone(),
        );
    }
}
