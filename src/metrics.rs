//! What the hub counts and times, in the Prometheus text format.
//!
//! Names follow the Prometheus conventions: seconds, bytes, `_total` for counters. What is a state rather than an
//! event (queue depth, ages, memory) is set by the hub when `/metrics` is read.
//! `doors` has those of the listeners, `queues` those of all that waits.
//! Invariant: no label takes its value from a stranger (ids, types, subjects), but for the few subscriptions that `queues`
//! names: the number of series is bounded.

mod doors;
mod queues;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use doors::Doors;
pub use queues::{AtLeast, FURTHEST, Furthest, LaneState, Queues, Rule};

/// A label for a bus.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Bus {
    /// Its name.
    pub bus: String,
}

/// A label for how something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// `accepted`, `retry`, `gone`, `rejected`, `filtered`, `dead`; `parked` and `spared` where a plugin failed.
    pub outcome: &'static str,
}

/// A label for what a breaker is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct State {
    /// `closed`, `open`, `half_open`.
    pub state: &'static str,
}

/// Labels for a plugin's calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PluginCall {
    /// Its name.
    pub plugin: String,
    /// `ok`, or what went wrong: `trap`, `deadline`, `cpu`, `memory`, `egress`, `busy`, `guest`, `config`.
    pub result: &'static str,
}

/// A label for a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Plugin {
    /// Its name.
    pub plugin: String,
}

/// What is copied of a plugin when the text is read.
#[derive(Debug, Clone, Copy)]
pub struct PluginFigures {
    /// Bytes held by its instances.
    pub memory: u64,
    /// Its instances.
    pub instances: u64,
    /// Bytes in its key-value space.
    pub kv: u64,
    /// Milliseconds that it computed.
    pub cpu_ms: u64,
    /// Its requests, connections and look-ups.
    pub requests: u64,
    /// Bytes that it moved over the network.
    pub egress: u64,
    /// Times that it wanted what it was not granted.
    pub not_granted: u64,
    /// Its lines that were left out of the log.
    pub log_suppressed: u64,
}

/// A label for a refusal at a front door.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Refusal {
    /// The error's stable code.
    pub code: &'static str,
}

/// A latency histogram: 50 µs to about 100 s.
type Seconds = Histogram;

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.5, 17))
}

/// Everything the hub counts. One for each hub.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The front doors' own.
    pub doors: Doors,
    /// What waits.
    pub queues: Queues,
    /// Events made durable.
    pub published: Family<Bus, Counter>,
    /// Events answered as duplicates.
    pub duplicates: Family<Bus, Counter>,
    /// From a publish request's arrival to its events being on disk.
    pub publish_seconds: Seconds,
    /// Requests refused, by error code.
    pub refused: Family<Refusal, Counter>,
    /// Attempts and ends of deliveries.
    pub deliveries: Family<Outcome, Counter>,
    /// One attempt, from the request to the sink's answer.
    pub attempt_seconds: Seconds,
    /// From an event being accepted to its delivery (all attempts).
    pub delivery_seconds: Seconds,
    /// Calls of plugins.
    pub plugin_calls: Family<PluginCall, Counter>,
    /// Time in plugins, a call.
    pub plugin_seconds: Family<Plugin, Seconds, fn() -> Seconds>,
    /// Open streams.
    pub streams: Gauge,
    /// Events sent on streams.
    pub streamed: Counter,
    /// Subscriptions.
    pub subscriptions: Gauge,
    /// First offset still in a bus's log.
    pub log_first: Family<Bus, Gauge>,
    /// Offset that a bus's next event gets.
    pub log_end: Family<Bus, Gauge>,
    /// Size of a bus's log.
    pub log_bytes: Family<Bus, Gauge>,
    /// Age of a bus's oldest record.
    pub log_age_seconds: Family<Bus, Gauge>,
    /// Records between the slowest subscription's cursor and the end of its bus.
    pub behind: Family<Bus, Gauge>,
    /// Age of the oldest record that a subscription of this bus still has to settle.
    pub behind_age_seconds: Family<Bus, Gauge>,
    /// Deliveries waiting for their next attempt.
    pub retrying: Gauge,
    /// Deliveries parked until a plugin is loaded anew.
    pub parked: Gauge,
    /// Attempts in flight.
    pub in_flight: Gauge,
    /// Attempts that wait for a place, of the hub's or of their host's.
    pub waiting_for_place: Gauge,
    /// Subscriptions whose breaker is not closed.
    pub breakers: Family<State, Gauge>,
    /// Changes of breakers.
    pub breaker_changes: Family<State, Counter>,
    /// Roll-backs of plugins.
    pub rollbacks: Family<Plugin, Counter>,
    /// Dead letters kept.
    pub dead_letters: Gauge,
    /// Bytes held by plugin instances.
    pub plugin_memory_bytes: Family<Plugin, Gauge>,
    /// Plugin instances.
    pub plugin_instances: Family<Plugin, Gauge>,
    /// Bytes in plugins' key-value spaces.
    pub plugin_kv_bytes: Family<Plugin, Gauge>,
    /// How long plugins computed.
    pub plugin_cpu_seconds: Family<Plugin, Counter<f64, AtomicU64>>,
    /// Requests, connections and look-ups of plugins.
    pub plugin_requests: Family<Plugin, Counter>,
    /// Bytes that plugins moved over the network.
    pub plugin_egress_bytes: Family<Plugin, Counter>,
    /// Times that plugins wanted what they were not granted.
    pub plugin_refused: Family<Plugin, Counter>,
    /// Lines of plugins that did not get into the log.
    pub plugin_log_suppressed: Family<Plugin, Counter>,
}

impl Metrics {
    /// A set of metrics, all zero.
    pub fn new() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("busway"),
            doors: Doors::default(),
            queues: Queues::default(),
            published: Family::default(),
            duplicates: Family::default(),
            publish_seconds: seconds(),
            refused: Family::default(),
            deliveries: Family::default(),
            attempt_seconds: seconds(),
            delivery_seconds: seconds(),
            plugin_calls: Family::default(),
            plugin_seconds: Family::new_with_constructor(seconds),
            streams: Gauge::default(),
            streamed: Counter::default(),
            subscriptions: Gauge::default(),
            log_first: Family::default(),
            log_end: Family::default(),
            log_bytes: Family::default(),
            log_age_seconds: Family::default(),
            behind: Family::default(),
            behind_age_seconds: Family::default(),
            retrying: Gauge::default(),
            parked: Gauge::default(),
            in_flight: Gauge::default(),
            waiting_for_place: Gauge::default(),
            breakers: Family::default(),
            breaker_changes: Family::default(),
            rollbacks: Family::default(),
            dead_letters: Gauge::default(),
            plugin_memory_bytes: Family::default(),
            plugin_instances: Family::default(),
            plugin_kv_bytes: Family::default(),
            plugin_cpu_seconds: Family::default(),
            plugin_requests: Family::default(),
            plugin_egress_bytes: Family::default(),
            plugin_refused: Family::default(),
            plugin_log_suppressed: Family::default(),
        };
        all.register_flow();
        all.register_state();
        all.register_plugins();
        all.doors.register(&mut all.registry);
        all.queues.register(&mut all.registry);
        all
    }

    /// What happens: counters and histograms.
    fn register_flow(&mut self) {
        let r = &mut self.registry;
        r.register("events_published", "Events made durable", self.published.clone());
        r.register(
            "events_duplicate",
            "Events answered as duplicates",
            self.duplicates.clone(),
        );
        r.register_with_unit(
            "publish",
            "Arrival to on disk",
            Unit::Seconds,
            self.publish_seconds.clone(),
        );
        r.register(
            "requests_refused",
            "Requests refused, by error code",
            self.refused.clone(),
        );
        r.register("deliveries", "Attempts and ends of deliveries", self.deliveries.clone());
        r.register_with_unit(
            "attempt",
            "One delivery attempt",
            Unit::Seconds,
            self.attempt_seconds.clone(),
        );
        r.register_with_unit(
            "delivery",
            "Accepted to delivered",
            Unit::Seconds,
            self.delivery_seconds.clone(),
        );
        r.register("breaker_changes", "Changes of breakers", self.breaker_changes.clone());
        r.register("plugin_calls", "Calls of plugins", self.plugin_calls.clone());
        r.register(
            "plugin_rollbacks",
            "Generations that failed and were taken back",
            self.rollbacks.clone(),
        );
        r.register_with_unit(
            "plugin_call",
            "One plugin call",
            Unit::Seconds,
            self.plugin_seconds.clone(),
        );
    }

    /// What is: gauges, set when the text is read.
    fn register_state(&mut self) {
        let r = &mut self.registry;
        r.register("streams", "Open streams", self.streams.clone());
        r.register("events_streamed", "Events sent on streams", self.streamed.clone());
        r.register("subscriptions", "Subscriptions", self.subscriptions.clone());
        r.register(
            "log_first_offset",
            "First offset still in the log",
            self.log_first.clone(),
        );
        r.register("log_end_offset", "Offset of the next event", self.log_end.clone());
        r.register_with_unit("log", "Size of the log", Unit::Bytes, self.log_bytes.clone());
        r.register_with_unit(
            "log_age",
            "Age of the oldest record",
            Unit::Seconds,
            self.log_age_seconds.clone(),
        );
        r.register(
            "behind_records",
            "Records the slowest subscription is behind",
            self.behind.clone(),
        );
        r.register_with_unit(
            "behind_age",
            "Age of the oldest unsettled record",
            Unit::Seconds,
            self.behind_age_seconds.clone(),
        );
        r.register(
            "retries_waiting",
            "Deliveries waiting for a retry",
            self.retrying.clone(),
        );
        r.register(
            "deliveries_parked",
            "Deliveries parked until a plugin is loaded anew",
            self.parked.clone(),
        );
        r.register("deliveries_in_flight", "Attempts in flight", self.in_flight.clone());
        r.register(
            "deliveries_waiting",
            "Attempts that wait for a place in flight",
            self.waiting_for_place.clone(),
        );
        r.register(
            "breakers",
            "Subscriptions whose sink keeps failing",
            self.breakers.clone(),
        );
        r.register("dead_letters", "Dead letters kept", self.dead_letters.clone());
    }

    /// What plugins hold and used, copied from their own figures when the text is read.
    fn register_plugins(&mut self) {
        let r = &mut self.registry;
        r.register_with_unit(
            "plugin_memory",
            "Held by plugin instances",
            Unit::Bytes,
            self.plugin_memory_bytes.clone(),
        );
        r.register("plugin_instances", "Plugin instances", self.plugin_instances.clone());
        r.register_with_unit(
            "plugin_kv",
            "In a plugin's key-value space",
            Unit::Bytes,
            self.plugin_kv_bytes.clone(),
        );
        r.register_with_unit(
            "plugin_cpu",
            "Time that a plugin computed",
            Unit::Seconds,
            self.plugin_cpu_seconds.clone(),
        );
        r.register(
            "plugin_requests",
            "Requests, connections and look-ups of a plugin",
            self.plugin_requests.clone(),
        );
        r.register_with_unit(
            "plugin_egress",
            "Moved over the network by a plugin",
            Unit::Bytes,
            self.plugin_egress_bytes.clone(),
        );
        r.register(
            "plugin_refused",
            "Times that a plugin wanted what it was not granted",
            self.plugin_refused.clone(),
        );
        r.register(
            "plugin_log_suppressed",
            "Lines of a plugin left out of the log",
            self.plugin_log_suppressed.clone(),
        );
    }

    /// Copies the figures of one plugin.
    pub fn copy_plugin(&self, plugin: String, figures: &PluginFigures) {
        let label = Plugin { plugin };
        let gauge = |family: &Family<Plugin, Gauge>, value: u64| {
            family
                .get_or_create(&label)
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        gauge(&self.plugin_memory_bytes, figures.memory);
        gauge(&self.plugin_instances, figures.instances);
        gauge(&self.plugin_kv_bytes, figures.kv);
        let counter = |family: &Family<Plugin, Counter>, value: u64| {
            family.get_or_create(&label).inner().store(value, Ordering::Relaxed);
        };
        counter(&self.plugin_requests, figures.requests);
        counter(&self.plugin_egress_bytes, figures.egress);
        counter(&self.plugin_refused, figures.not_granted);
        counter(&self.plugin_log_suppressed, figures.log_suppressed);
        let seconds = Duration::from_millis(figures.cpu_ms).as_secs_f64();
        let cpu = self.plugin_cpu_seconds.get_or_create(&label);
        cpu.inner().store(seconds.to_bits(), Ordering::Relaxed);
    }

    /// The text that `/metrics` answers (OpenMetrics, which Prometheus reads).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
