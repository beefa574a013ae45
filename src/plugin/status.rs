//! What a plugin did and holds: counters that are cheap enough for every call, and the page made of them.
//!
//! Figures belong to a plugin's name, not to one load of it: a swap does not set them back.
//! Latency is kept in buckets a quarter of an octave wide: quantiles are right to within a fifth, in constant space.
//! Invariant: nothing here shows the value of an environment grant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::Notify;

use super::generation::{PluginEntry, PluginSet};
use super::rollback::Tally;
use super::{CallError, PluginStatus, World, grants};
use crate::metrics::{Metrics, Plugin, PluginCall};

impl World {
    /// As the API and the log call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Notifier => "notifier",
        }
    }
}

impl CallError {
    /// As metrics call it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotLoaded(_) => "not_loaded",
            Self::Trap(_) => "trap",
            Self::Deadline(_) => "deadline",
            Self::Cpu(_) => "cpu",
            Self::Memory(_) => "memory",
            Self::Egress(_) => "egress",
            Self::Busy => "busy",
            Self::Config(_) => "config",
            Self::Guest(_) => "guest",
        }
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotLoaded(name) => write!(f, "no plugin `{name}` of the needed kind is loaded"),
            Self::Trap(what) => write!(f, "the plugin crashed: {what}"),
            Self::Deadline(limit) => write!(f, "the plugin took longer than its limit of {limit:?} (limits.timeout)"),
            Self::Cpu(limit) => write!(f, "the plugin computed longer than its limit of {limit:?} (limits.cpu)"),
            Self::Memory(what) | Self::Egress(what) => write!(f, "the plugin {what}"),
            Self::Busy => f.write_str("all instances of the plugin were busy (limits.instances)"),
            Self::Config(words) => write!(f, "the plugin refused its config: {words}"),
            Self::Guest(words) => write!(f, "the plugin failed: {words}"),
        }
    }
}

impl std::error::Error for CallError {}

/// Every plugin of a snapshot, by name.
pub(super) fn page(set: &PluginSet) -> Vec<PluginStatus> {
    set.iter().map(|(name, entry)| line(name, entry)).collect()
}

fn line(name: &str, entry: &PluginEntry) -> PluginStatus {
    let live = entry.live.as_deref();
    let figures = &entry.figures;
    PluginStatus {
        name: name.to_owned(),
        kind: live.map(|live| live.world().as_str()),
        waiting: figures.waiting.load(Ordering::Relaxed),
        state: match &entry.rejected {
            Some(rejection) if rejection.was_live => "rolled_back",
            Some(_) => "rejected",
            None => "active",
        },
        reason: entry.rejected.as_ref().map(|rejection| rejection.reason.clone()),
        generation: live.map_or(0, |live| live.number),
        digest: live.map(|live| live.source.digest.clone()),
        summary: live.map(|live| live.about.summary.clone()),
        config_schema: live.and_then(|live| Some(live.about.config_schema.as_ref()?.json().clone())),
        imports: live.map(|live| live.source.outline.imports.clone()).unwrap_or_default(),
        grants: live
            .map(|live| grants::describe(&live.settings.grants))
            .unwrap_or_default(),
        calls: figures.calls.load(Ordering::Relaxed),
        errors: figures.errors.load(Ordering::Relaxed),
        p50_us: figures.latency.quantile_us(50),
        p99_us: figures.latency.quantile_us(99),
        instances: figures.instances.load(Ordering::Relaxed),
        memory: figures.memory.load(Ordering::Relaxed),
        errors_by_kind: figures.errors_by_kind(),
        cpu_ms: figures.cpu.load(Ordering::Relaxed) / 1_000_000,
        requests: figures.requests.load(Ordering::Relaxed),
        egress: figures.egress.load(Ordering::Relaxed),
        refused: figures.refused.load(Ordering::Relaxed),
        log_suppressed: figures.log_suppressed.load(Ordering::Relaxed),
        kv: live.map_or(0, |live| live.maker.space.used()),
        limits: live
            .map(|live| live.settings.limits.show(Some(live.world())))
            .unwrap_or_default(),
    }
}

/// The kinds of failed calls that are counted.
const KINDS: [&str; 8] = ["trap", "deadline", "cpu", "memory", "egress", "busy", "config", "guest"];

/// The counters of one plugin name.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) calls: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) latency: Latency,
    pub(super) instances: AtomicUsize,
    pub(super) memory: AtomicUsize,
    errors_by_kind: [AtomicU64; KINDS.len()],
    /// Nanoseconds of computing.
    cpu: AtomicU64,
    /// Requests, connections, look-ups.
    pub(super) requests: AtomicU64,
    /// Bytes over the network.
    pub(super) egress: AtomicU64,
    /// Wishes that were not granted.
    pub(super) refused: AtomicU64,
    /// Lines left out of the log.
    pub(super) log_suppressed: AtomicU64,
    /// Calls that wait for an instance.
    waiting: AtomicUsize,
}

/// A call that waits for an instance; it counts until it is dropped.
pub(super) struct Waits(Arc<Figures>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Figures {
    /// The kinds that happened.
    fn errors_by_kind(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.errors_by_kind.iter().map(|count| count.load(Ordering::Relaxed));
        KINDS.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

/// Counts calls of one plugin, in its figures and in the hub's metrics.
pub(super) struct Meter {
    plugin: String,
    metrics: Arc<Metrics>,
    figures: Arc<Figures>,
    /// What this load alone did.
    pub(super) tally: Tally,
    /// Looked up once: the family's own look-up costs more than a short call.
    good: Counter,
    seconds: Histogram,
}

impl Meter {
    /// A call begins to wait for an instance.
    pub(super) fn waits(&self) -> Waits {
        self.figures.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(Arc::clone(&self.figures))
    }

    pub(super) fn new(plugin: &str, metrics: Arc<Metrics>, figures: Arc<Figures>, failing: Arc<Notify>) -> Self {
        let good = metrics
            .plugin_calls
            .get_or_create(&PluginCall {
                plugin: plugin.to_owned(),
                result: "ok",
            })
            .clone();
        let seconds = metrics
            .plugin_seconds
            .get_or_create(&Plugin {
                plugin: plugin.to_owned(),
            })
            .clone();
        Self {
            plugin: plugin.to_owned(),
            metrics,
            figures,
            tally: Tally::new(failing),
            good,
            seconds,
        }
    }

    /// The meter of another load of the same plugin.
    pub(super) fn anew(&self) -> Self {
        Self {
            plugin: self.plugin.clone(),
            metrics: self.metrics.clone(),
            figures: self.figures.clone(),
            tally: self.tally.anew(),
            good: self.good.clone(),
            seconds: self.seconds.clone(),
        }
    }

    /// One call ended, after this long, with this error if any.
    pub(super) fn count(&self, took: Duration, error: Option<&CallError>) {
        self.note(took, error);
        self.tally.count(error);
    }

    /// One call ended with the plugin's word that another try may help: that is about its sink, and no fault of its.
    pub(super) fn put_off(&self, took: Duration, words: &str) {
        self.note(took, Some(&CallError::Guest(words.to_owned())));
        self.tally.count(None);
    }

    fn note(&self, took: Duration, error: Option<&CallError>) {
        self.figures.calls.fetch_add(1, Ordering::Relaxed);
        self.figures.latency.add(took);
        self.seconds.observe(took.as_secs_f64());
        match error {
            None => {
                self.good.inc();
            }
            Some(error) => self.fail(error),
        }
    }

    /// A call computed for so long.
    pub(super) fn compute(&self, cpu: Duration) {
        let nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.figures.cpu.fetch_add(nanos, Ordering::Relaxed);
    }

    /// So many calls were never made, for want of an instance.
    pub(super) fn turn_away(&self, calls: usize) {
        for _ in 0..calls {
            self.figures.calls.fetch_add(1, Ordering::Relaxed);
            self.fail(&CallError::Busy);
        }
    }

    fn fail(&self, error: &CallError) {
        self.figures.errors.fetch_add(1, Ordering::Relaxed);
        let counts = KINDS.iter().zip(&self.figures.errors_by_kind);
        for (_, count) in counts.filter(|(kind, _)| **kind == error.label()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let label = PluginCall {
            plugin: self.plugin.clone(),
            result: error.label(),
        };
        self.metrics.plugin_calls.get_or_create(&label).inc();
    }
}

/// Four buckets an octave, from a nanosecond up.
const BUCKETS: usize = 64 * 4;

/// A histogram of durations.
pub(super) struct Latency([AtomicU64; BUCKETS]);

impl Default for Latency {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Latency {
    fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.0.get(bucket_of(nanos)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was added until now.
    pub(super) fn costs(&self) -> Costs {
        Costs(self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect())
    }

    fn quantile_us(&self, percent: u64) -> u64 {
        self.costs().quantile_us(percent)
    }
}

/// How long calls took: counts in buckets, of which quantiles are read.
#[derive(Debug, Clone, Default)]
pub struct Costs(Vec<u64>);

impl Costs {
    /// Adds a call.
    pub fn add(&mut self, took: Duration) {
        self.0.resize(BUCKETS, 0);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.0.get_mut(bucket_of(nanos)) {
            *bucket += 1;
        }
    }

    /// What came after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.0.iter().chain(std::iter::repeat(&0));
        Self(
            self.0
                .iter()
                .zip(before)
                .map(|(now, then)| now.saturating_sub(*then))
                .collect(),
        )
    }

    /// How many calls.
    pub fn calls(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The upper edge of the bucket in which this percentile lies, in microseconds, rounded up; 0 if nothing was added.
    pub fn quantile_us(&self, percent: u64) -> u64 {
        let rank = (self.calls() * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, &count) in self.0.iter().enumerate() {
            seen += count;
            if count > 0 && seen >= rank {
                return upper_edge(bucket).div_ceil(1_000);
            }
        }
        0
    }
}

fn bucket_of(nanos: u64) -> usize {
    let nanos = nanos.max(4);
    let octave = nanos.ilog2();
    let quarter = (nanos >> (octave - 2)) & 3;
    octave as usize * 4 + quarter as usize
}

fn upper_edge(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
    match octave {
        0..=1 => 4,
        _ => (quarter + 5).checked_shl(octave as u32 - 2).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_durations(nanos in 4_u64..1 << 60) {
            let bucket = bucket_of(nanos);
            prop_assert!(nanos < upper_edge(bucket));
            prop_assert!(upper_edge(bucket) <= nanos + nanos / 4 + 1);
            prop_assert!(bucket == 8 || nanos >= upper_edge(bucket - 1));
        }
    }

    #[test]
    fn costs_tell_a_stretch_of_time() {
        let latency = Latency::default();
        latency.add(Duration::from_secs(1));
        let before = latency.costs();
        let mut alone = Costs::default();
        for _ in 0..100 {
            latency.add(Duration::from_micros(10));
            alone.add(Duration::from_micros(10));
        }
        let after = latency.costs().since(&before);
        assert_eq!((after.calls(), after.quantile_us(99)), (100, alone.quantile_us(99)));
        assert_eq!(latency.costs().since(&Costs::default()).calls(), 101);
    }

    #[test]
    fn quantiles_lie_near_the_truth() {
        let latency = Latency::default();
        assert_eq!(latency.quantile_us(50), 0);
        for micros in 1..=1_000 {
            latency.add(Duration::from_micros(micros));
        }
        latency.add(Duration::MAX);
        let (median, high) = (latency.quantile_us(50), latency.quantile_us(99));
        assert!((500..=625).contains(&median), "{median}");
        assert!((990..=1_240).contains(&high), "{high}");
    }
}
