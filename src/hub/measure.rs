//! The hub's figures: what is a state rather than an event is read when somebody asks for `/metrics`.
//!
//! Invariant: what is asked here costs one pass over lanes, buses, plugins and streams, and nothing while nobody asks.

use std::time::Duration;

use crate::deliver::STEPS;
use crate::error::Error;
use crate::hub::Hub;
use crate::log::{BusName, Offset, ReadLimit};
use crate::metrics::{AtLeast, Bus, FURTHEST, Furthest, LaneState, Plugin, PluginFigures, Rule, State};

impl Hub {
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
        self.measure_queues();
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
            let queues = &self.0.metrics.queues;
            queues.log_appends.get_or_create(&label).set(signed(bus.queued as u64));
            queues
                .log_append_bytes
                .get_or_create(&label)
                .set(signed(bus.queued_bytes as u64));
            let committing = u64::try_from(bus.committing.as_millis()).unwrap_or(u64::MAX);
            queues
                .log_commit_milliseconds
                .get_or_create(&label)
                .set(signed(committing));
            queues.log_wal_bytes.get_or_create(&label).set(signed(bus.wal));
            let age = bus.oldest.map(|oldest| now.since(oldest).as_secs()).unwrap_or_default();
            self.0.metrics.log_age_seconds.get_or_create(&label).set(signed(age));
        }
    }

    fn measure_plugins(&self) {
        for plugin in self.plugins() {
            let label = Plugin {
                plugin: plugin.name.clone(),
            };
            let waiting = self.0.metrics.queues.plugin_waiting.get_or_create(&label).clone();
            waiting.set(signed(plugin.waiting as u64));
            let figures = PluginFigures {
                memory: plugin.memory as u64,
                instances: plugin.instances as u64,
                kv: plugin.kv,
                cpu_ms: plugin.cpu_ms,
                requests: plugin.requests,
                egress: plugin.egress,
                not_granted: plugin.refused,
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
        let load = self.0.delivery.load();
        self.0.metrics.in_flight.set(signed(load.in_flight as u64));
        self.0.metrics.waiting_for_place.set(signed(load.waiting as u64));
        for (state, count) in [("open", load.open), ("half_open", load.half_open)] {
            let breakers = &self.0.metrics.breakers;
            breakers.get_or_create(&State { state }).set(signed(count as u64));
        }
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

    fn measure_queues(&self) {
        let (queues, census) = (&self.0.metrics.queues, self.0.delivery.census(FURTHEST));
        for (state, count) in census.states {
            queues.lanes.get_or_create(&LaneState { state }).set(signed(count));
        }
        for (records, count) in STEPS.into_iter().zip(census.behind) {
            queues
                .lanes_behind
                .get_or_create(&AtLeast { records })
                .set(signed(count));
        }
        queues.furthest_behind.clear();
        queues.furthest_retrying.clear();
        for lane in census.furthest {
            let label = Furthest {
                bus: lane.bus.to_string(),
                subscription: lane.subscription.to_string(),
            };
            queues.furthest_behind.get_or_create(&label).set(signed(lane.behind));
            queues
                .furthest_retrying
                .get_or_create(&label)
                .set(signed(lane.retrying as u64));
        }
        let replays = self.0.delivery.replays();
        let running = replays.iter().filter(|replay| replay.ended.is_none()).count();
        queues.replays.set(signed(running as u64));
        queues.lane_records.set(signed(census.queued));
        queues.lane_bytes.set(signed(census.queued_bytes));
        queues.checkpoint_lanes.set(signed(census.unwritten as u64));
        queues.checkpoint_age_seconds.set(signed(census.written.as_secs()));
        queues.stream_events.set(signed(self.0.fans.waiting() as u64));
        for (rule, count) in self.0.client.guard().refusals() {
            queues.egress_refused.get_or_create(&Rule { rule }).set(signed(count));
        }
    }
}

/// Gauges have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
