//! How the hub is: what it promises, what is wrong with it, and its figures.

use std::time::Duration;

use serde::Serialize;

use crate::error::Error;
use crate::hub::Hub;
use crate::log::{BusName, Offset, ReadLimit};
use crate::metrics::{Bus, PluginFigures};

/// How the hub is as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Everything works.
    Ok,
    /// It serves, and an operator should look at it.
    Degraded,
    /// It cannot accept events.
    Failing,
}

/// How the hub is, and why.
#[derive(Debug, Serialize)]
pub struct Health {
    /// As a whole.
    pub status: Standing,
    /// What is wrong, each in words and with what helps.
    pub reasons: Vec<String>,
    /// What 202 means here.
    pub durability: &'static str,
    /// This version.
    pub version: &'static str,
    /// Buses.
    pub buses: usize,
    /// Subscriptions.
    pub subscriptions: i64,
    /// Plugins that are active.
    pub plugins: usize,
}

/// Plugins, and subscriptions that wait for them, told one by one; of the others the number.
const MOST_TOLD: usize = 20;

/// What the embedded engine does before an event is acknowledged.
const DURABILITY: &str = "synced to disk before it is acknowledged (SQLite, WAL, synchronous=FULL)";

impl Hub {
    /// How the hub is, and why.
    pub fn health(&self) -> Health {
        let plugins = self.plugins();
        let failing: Vec<String> = self.failures();
        let mut rejected: Vec<String> = plugins
            .iter()
            .filter_map(|plugin| {
                let reason = plugin.reason.as_ref()?;
                Some(format!("plugin {}: {}: {reason}", plugin.name, plugin.state))
            })
            .collect();
        let left_out = rejected.len().saturating_sub(MOST_TOLD);
        rejected.truncate(MOST_TOLD);
        rejected.extend((left_out > 0).then(|| format!("{left_out} more plugins are not as they should be")));
        let mut waiting = self.0.delivery.troubled();
        // One that is paused waits for its operator before anything else.
        waiting.retain(|(_, lane)| matches!(lane.state, "held" | "parking"));
        let more = waiting.len().saturating_sub(MOST_TOLD);
        let troubled = waiting.into_iter().take(MOST_TOLD).filter_map(|(id, lane)| {
            let reason = lane.reason?;
            Some(format!("subscription {id}: {}: {reason}", lane.state))
        });
        let more = (more > 0).then(|| format!("{more} more subscriptions wait for plugins"));
        let standing = if failing.is_empty() {
            Standing::Degraded
        } else {
            Standing::Failing
        };
        let reasons: Vec<String> = failing
            .into_iter()
            .chain(self.0.log.damaged().iter().take(MOST_TOLD).map(ToString::to_string))
            .chain(rejected)
            .chain(troubled)
            .chain(more)
            .chain(self.misfits())
            .collect();
        Health {
            status: if reasons.is_empty() { Standing::Ok } else { standing },
            reasons,
            durability: DURABILITY,
            version: env!("CARGO_PKG_VERSION"),
            buses: self.0.log.buses().len(),
            subscriptions: self.0.metrics.subscriptions.get(),
            plugins: plugins.iter().filter(|plugin| plugin.kind.is_some()).count(),
        }
    }

    /// Whether events are accepted now; why not, if not.
    ///
    /// # Errors
    /// The reasons.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        let failures = self.failures();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }

    fn failures(&self) -> Vec<String> {
        let stopping = self.is_stopping().then(|| "the hub is shutting down".to_owned());
        let log = self.0.log.fault().map(|fault| format!("log: {fault}"));
        let store = self.0.store.fault().map(|fault| format!("store: {fault}"));
        [stopping, log, store].into_iter().flatten().collect()
    }

    /// The text of `/metrics`. What is a state is read now.
    ///
    /// # Errors
    /// `store_unavailable` when dead letters cannot be counted.
    pub async fn metrics_text(&self) -> Result<String, Error> {
        let dead: u64 = self
            .0
            .store
            .dead_counts()
            .await?
            .into_iter()
            .map(|(_, count)| count)
            .sum();
        self.0.metrics.dead_letters.set(signed(dead));
        self.measure_log();
        self.measure_plugins();
        self.measure_lanes().await;
        Ok(self.0.metrics.text())
    }

    /// Counts a request that a front door refused.
    pub fn count_refusal(&self, code: &'static str) {
        self.0
            .metrics
            .refused
            .get_or_create(&crate::metrics::Refusal { code })
            .inc();
    }

    fn measure_log(&self) {
        let now = self.0.clock.now();
        for bus in self.0.log.stats() {
            let label = Bus {
                bus: bus.bus.to_string(),
            };
            self.0.metrics.log_first.get_or_create(&label).set(signed(bus.first.0));
            self.0.metrics.log_end.get_or_create(&label).set(signed(bus.end.0));
            self.0.metrics.log_bytes.get_or_create(&label).set(signed(bus.bytes));
            let age = bus.oldest.map(|oldest| now.since(oldest).as_secs()).unwrap_or_default();
            self.0.metrics.log_age_seconds.get_or_create(&label).set(signed(age));
        }
    }

    fn measure_plugins(&self) {
        for plugin in self.plugins() {
            let figures = PluginFigures {
                memory: plugin.memory as u64,
                instances: plugin.instances as u64,
                kv: plugin.kv,
                cpu_ms: plugin.cpu_ms,
                requests: plugin.requests,
                egress: plugin.egress,
                log_suppressed: plugin.log_suppressed,
            };
            self.0.metrics.copy_plugin(plugin.name, &figures);
        }
    }

    /// One record a bus is read for its age, whatever the number of subscriptions.
    async fn measure_lanes(&self) {
        let backlogs = self.0.delivery.backlogs();
        let retrying = backlogs.values().map(|backlog| backlog.retrying).sum::<usize>();
        self.0.metrics.retrying.set(i64::try_from(retrying).unwrap_or(i64::MAX));
        let parked = backlogs.values().map(|backlog| backlog.parked).sum::<usize>();
        self.0.metrics.parked.set(i64::try_from(parked).unwrap_or(i64::MAX));
        for name in self.0.log.buses() {
            let label = Bus { bus: name.to_string() };
            let backlog = backlogs.get(&name);
            let behind = backlog.map_or(0, |backlog| backlog.behind);
            self.0.metrics.behind.get_or_create(&label).set(signed(behind));
            let age = match backlog {
                Some(backlog) => self.age(&name, backlog.oldest).await,
                None => Duration::ZERO,
            };
            self.0
                .metrics
                .behind_age_seconds
                .get_or_create(&label)
                .set(signed(age.as_secs()));
        }
    }

    /// How long ago the record at this offset, or else the next one, was received; zero if there is none.
    async fn age(&self, bus: &BusName, offset: Offset) -> Duration {
        let read = self.0.log.read(bus, offset, ReadLimit { records: 1, bytes: 1 }).await;
        let record = read.ok().and_then(|batch| batch.records.into_iter().next());
        record.map_or(Duration::ZERO, |record| self.0.clock.now().since(record.received))
    }
}

/// Gauges have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
