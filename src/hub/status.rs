//! How the hub is: what it promises, and what is wrong with it. Its figures are `measure`'s.

use std::time::Duration;

use serde::Serialize;

use crate::hub::{Hub, Promise};
use crate::log::InForce;
use crate::time::Timestamp;

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
    pub durability: String,
    /// The same in detail: of the engine, the file system, and what can be lost.
    pub store: Promise,
    /// This version.
    pub version: &'static str,
    /// Buses.
    pub buses: usize,
    /// Subscriptions.
    pub subscriptions: i64,
    /// Plugins that are active.
    pub plugins: usize,
    /// Subscriptions whose sink keeps failing, so that it is only probed. Not a reason: it is the sink that is not well.
    pub failing: Failing,
}

/// Subscriptions whose breaker is not closed.
#[derive(Debug, Serialize)]
pub struct Failing {
    /// How many.
    pub count: usize,
    /// Some of them, with what their sink said last.
    pub subscriptions: Vec<String>,
}

/// Plugins, and subscriptions that wait for them, told one by one; of the others the number.
const MOST_TOLD: usize = 20;

/// A certificate that ends within this time is told.
const SOON: Duration = Duration::from_secs(14 * 86_400);

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
            .chain(self.concerns())
            .chain(self.certificate())
            .chain(self.crowded())
            .collect();
        let in_force = self.0.log.durability();
        Health {
            status: if reasons.is_empty() { Standing::Ok } else { standing },
            reasons,
            durability: durability(in_force.as_ref()),
            store: self.0.ground.promise(in_force.as_ref()),
            version: env!("CARGO_PKG_VERSION"),
            buses: self.0.log.buses().len(),
            subscriptions: self.0.metrics.subscriptions.get(),
            plugins: plugins.iter().filter(|plugin| plugin.kind.is_some()).count(),
            failing: self.failing(),
        }
    }

    fn failing(&self) -> Failing {
        let failing = self.0.delivery.failing();
        let told = failing.iter().take(MOST_TOLD).map(|(id, lane)| {
            let reason = lane.breaker.reason.as_deref().unwrap_or_default();
            format!("subscription {id}: breaker {}: {reason}", lane.breaker.state)
        });
        Failing {
            count: failing.len(),
            subscriptions: told.collect(),
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

    /// Whether whoever comes now has to wait for somebody to go.
    fn crowded(&self) -> Option<String> {
        let doors = &self.0.metrics.doors;
        let (open, slots) = (doors.connections.get(), doors.connection_slots.get());
        (slots > 0 && open >= slots).then(|| {
            format!("connections: all {slots} are in use (`listen.connections`): whoever comes waits for one to end")
        })
    }

    /// The listeners' certificate, if its end is near.
    fn certificate(&self) -> Option<String> {
        let expires = self.0.metrics.doors.certificate_expiry.get();
        let expires = Timestamp(expires.saturating_mul(1_000));
        let left = expires.since(self.0.clock.now());
        match (expires.0, left) {
            (0, _) => None,
            (_, Duration::ZERO) => Some(format!(
                "TLS: the listeners' certificate has expired ({expires}): clients refuse it; replace its files"
            )),
            (_, left) if left < SOON => Some(format!(
                "TLS: the listeners' certificate expires at {expires}: replace its files before"
            )),
            _ => None,
        }
    }
}

/// What 202 means, in one line.
fn durability(log: Option<&InForce>) -> String {
    let Some(log) = log else {
        return "unknown before the first event".to_owned();
    };
    let means = match (log.survives_a_kill(), log.is_synced()) {
        (true, true) => "synced to disk before it is acknowledged",
        (true, false) => "handed to the operating system before it is acknowledged: a power cut may lose it",
        (false, _) => "not safe: a kill may lose it",
    };
    let (journal, synchronous) = (log.journal.to_uppercase(), log.synchronous_name());
    format!("{means} (SQLite, {journal}, synchronous={synchronous})")
}
