//! Every key of the config, one row each: to add one, add a field to a settings struct and a row here.
//!
//! The hub's own rows stand here, those of the older systems in a file each.
//! A row's variable is `BUSWAY_` and its flag in capitals: `--log-retention-age` is `BUSWAY_LOG_RETENTION_AGE`.
//! Invariant: `set(show(x))` gives back `x`; names, flags and so variables are unique (tests hold to both).

use std::time::Duration;

use super::settings::{LogFormat, Settings};
use super::value::{Address, Given, duration};
use crate::units::{show_duration, show_size};

/// One key.
pub struct Key {
    /// Its name in the file: `section.key`.
    pub name: &'static str,
    /// Its flag, without the dashes.
    pub flag: &'static str,
    /// How its value is written, for `--help`.
    pub form: &'static str,
    /// What it means.
    pub about: &'static str,
    /// Whether a running hub takes a new value without a restart.
    pub live: bool,
    /// Writes what was given into the settings, or completes the sentence "`key` …".
    pub set: fn(&mut Settings, &Given) -> Result<(), String>,
    /// The value as it would be written; items of a list are joined by `, `.
    pub show: fn(&Settings) -> String,
}

impl Key {
    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("BUSWAY_{}", self.flag.replace('-', "_").to_ascii_uppercase())
    }

    /// Its section of the file.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.name)
    }
}

/// A row. The closures stay in one place, so that a key reads as one sentence.
macro_rules! key {
    ($name:literal, $flag:literal, $form:literal, $about:literal, $set:expr, $show:expr) => {
        key!($name, $flag, $form, $about, $set, $show, live: false)
    };
    ($name:literal, $flag:literal, $form:literal, $about:literal, $set:expr, $show:expr, live: $live:literal) => {
        Key { name: $name, flag: $flag, form: $form, about: $about, live: $live, set: $set, show: $show }
    };
}

mod docker_cloud;
mod eventbridge;
mod marathon;
mod proxy;
mod pulp;
mod webhooks;

/// Every key, in the order in which they are shown.
pub fn keys() -> impl Iterator<Item = &'static Key> + Clone {
    [
        HUB,
        proxy::KEYS,
        webhooks::KEYS,
        marathon::KEYS,
        docker_cloud::KEYS,
        eventbridge::KEYS,
        pulp::KEYS,
    ]
    .into_iter()
    .flatten()
}

/// Why a key that an older system has in a section of the same name is not served here, if it is one.
pub(super) fn not_served(name: &str) -> Option<&'static str> {
    let found = pulp::NOT_SERVED.iter().find(|(key, _)| *key == name);
    found.map(|(_, why)| *why)
}

/// The hub's own.
const HUB: &[Key] = &[
    key! { "listen.addresses", "listen", "ADDRESS",
    "Where to listen: `127.0.0.1:8080`, `unix:/run/busway.sock`; several are allowed, port 0 takes a free one",
    |s, v| { s.listen.addresses = addresses(v)?; Ok(()) },
    |s| join(&s.listen.addresses) },
    key! { "listen.hosts", "listen-hosts", "NAMES",
    "Names by which a hub on a loopback address may be called besides `localhost`: that of a proxy before it",
    |s, v| { s.listen.hosts = v.list(); Ok(()) },
    |s| join(&s.listen.hosts) },
    key! { "listen.insecure", "insecure", "BOOL",
    "Allow addresses that other machines can reach, although nobody is asked for credentials",
    |s, v| { s.listen.insecure = v.switch()?; Ok(()) },
    |s| s.listen.insecure.to_string() },
    key! { "listen.ports_file", "ports-file", "PATH",
    "Write the bound addresses to this file, one a line, once the hub is ready; `none`: do not",
    |s, v| { s.listen.ports_file = path_or_none(v)?; Ok(()) },
    |s| s.listen.ports_file.as_ref().map_or_else(none, |path| path.display().to_string()) },
    key! { "listen.drain_timeout", "drain-timeout", "DURATION",
    "How long a stop may take before what is left is cut off (it is delivered after the next start)",
    |s, v| { s.listen.drain_timeout = v.duration()?; Ok(()) },
    |s| show_duration(s.listen.drain_timeout) },
    key! { "listen.connections", "listen-connections", "COUNT",
    "Connections open at once; more wait to be accepted",
    |s, v| { s.listen.connections = count(v, 1, 1_000_000)?; Ok(()) },
    |s| s.listen.connections.to_string() },
    key! { "listen.header_timeout", "listen-header-timeout", "DURATION",
    "A request's header must arrive within this time",
    |s, v| { s.listen.header_timeout = positive(v)?; Ok(()) },
    |s| show_duration(s.listen.header_timeout) },
    key! { "listen.header_size", "listen-header-size", "SIZE",
    "A request's header may be this large; at least 8KiB",
    |s, v| { s.listen.header_size = bytes(v, 8 << 10)?; Ok(()) },
    |s| show_size(s.listen.header_size as u64) },
    key! { "data.dir", "data", "PATH",
    "The store: events, subscriptions, cursors, dead letters",
    |s, v| { s.data.dir = path(v)?; Ok(()) },
    |s| s.data.dir.display().to_string() },
    key! { "data.plugins", "plugins", "PATH",
    "The plugin directory: every `NAME.wasm` in it is loaded, and what changes is swapped while events flow",
    |s, v| { s.data.plugins = path(v)?; Ok(()) },
    |s| s.data.plugins.display().to_string() },
    key! { "log.retention_age", "log-retention-age", "DURATION",
    "Events older than this may go; `none`: no limit",
    |s, v| { s.log.retention.age = v.duration_or_none()?; Ok(()) },
    |s| s.log.retention.age.map_or_else(none, show_duration) },
    key! { "log.retention_size", "log-retention-size", "SIZE",
    "The oldest events of a bus go when it takes more than this; `none`: no limit",
    |s, v| { s.log.retention.size = v.size_or_none()?; Ok(()) },
    |s| s.log.retention.size.map_or_else(none, show_size) },
    key! { "log.drop_unacknowledged", "log-drop-unacknowledged", "BOOL",
    "Let retention remove events that a subscription has not yet received (it loses them)",
    |s, v| { s.log.retention.drop_unacknowledged = v.switch()?; Ok(()) },
    |s| s.log.retention.drop_unacknowledged.to_string() },
    key! { "log.segment_size", "log-segment-size", "SIZE",
    "A file of the log is closed and the next one begun at this size; retention removes whole files",
    |s, v| { s.log.segment_size = bytes(v, 64 << 10)? as u64; Ok(()) },
    |s| show_size(s.log.segment_size) },
    key! { "log.dedup_window", "log-dedup-window", "DURATION",
    "Within this time an event with the same `source` and `id` is answered as a duplicate and not stored again",
    |s, v| { s.log.dedup_window = v.duration()?; Ok(()) },
    |s| show_duration(s.log.dedup_window) },
    key! { "log.dedup_ids", "log-dedup-ids", "COUNT",
    "At most this many ids are remembered for it, a bus",
    |s, v| { s.log.dedup_ids = count(v, 0, 100_000_000)?; Ok(()) },
    |s| s.log.dedup_ids.to_string() },
    key! { "log.max_buses", "log-max-buses", "COUNT",
    "At most this many buses",
    |s, v| { s.log.max_buses = count(v, 1, 100_000)?; Ok(()) },
    |s| s.log.max_buses.to_string() },
    key! { "log.queue", "log-queue", "COUNT",
    "Appends that may wait for the disk, a bus, before publishers are told to come back (429)",
    |s, v| { s.log.queue = count(v, 1, 10_000_000)?; Ok(()) },
    |s| s.log.queue.to_string() },
    key! { "delivery.in_flight", "delivery-in-flight", "COUNT",
    "Deliveries in flight at once, all subscriptions together; one gets at most half of what is free",
    |s, v| { s.bounds.in_flight = count(v, 1, 1_000_000)?; Ok(()) },
    |s| s.bounds.in_flight.to_string() },
    key! { "delivery.connections_per_host", "delivery-connections-per-host", "COUNT",
    "Deliveries in flight at once to one host and port, all subscriptions together; one gets at most half of what is free",
    |s, v| { s.bounds.connections_per_host = count(v, 1, 1_000_000)?; Ok(()) },
    |s| s.bounds.connections_per_host.to_string() },
    key! { "delivery.breaker_failures", "delivery-breaker-failures", "COUNT",
    "Failures in a row after which a sink is only probed; `0`: never",
    |s, v| { s.delivery.breaker.failures = u32::try_from(v.count(0, 10_000)?).unwrap_or(u32::MAX); Ok(()) },
    |s| s.delivery.breaker.failures.to_string() },
    key! { "delivery.breaker_probe", "delivery-breaker-probe", "DURATION",
    "From there to the first probe; the time between probes doubles",
    |s, v| { s.delivery.breaker.probe = positive(v)?; Ok(()) },
    |s| show_duration(s.delivery.breaker.probe) },
    key! { "delivery.breaker_probe_most", "delivery-breaker-probe-most", "DURATION",
    "The time between probes grows no longer than this",
    |s, v| { s.delivery.breaker.probe_most = positive(v)?; Ok(()) },
    |s| show_duration(s.delivery.breaker.probe_most) },
    key! { "delivery.schedule", "delivery-schedule", "DURATIONS",
    "Waits before the second, third, … attempt; the last one repeats",
    |s, v| { s.delivery.schedule = schedule(v)?.into_iter().map(Into::into).collect(); Ok(()) },
    |s| s.delivery.schedule.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") },
    key! { "delivery.max_attempts", "delivery-max-attempts", "COUNT",
    "Attempts before an event goes to the dead letters",
    |s, v| { s.delivery.max_attempts = u32::try_from(v.count(1, 1_000)?).unwrap_or(u32::MAX); Ok(()) },
    |s| s.delivery.max_attempts.to_string() },
    key! { "delivery.timeout", "delivery-timeout", "DURATION",
    "One attempt",
    |s, v| { s.delivery.timeout = positive(v)?; Ok(()) },
    |s| show_duration(s.delivery.timeout) },
    key! { "delivery.concurrency", "delivery-concurrency", "COUNT",
    "Deliveries in flight at once, a subscription",
    |s, v| { s.delivery.concurrency = count(v, 1, 10_000)?; Ok(()) },
    |s| s.delivery.concurrency.to_string() },
    key! { "egress.deny_private", "egress-deny-private", "BOOL",
    "Refuse to dial loopback and private addresses too (link-local and metadata addresses are always refused)",
    |s, v| { s.egress.deny_private = v.switch()?; Ok(()) },
    |s| s.egress.deny_private.to_string() },
    key! { "egress.allow", "egress-allow", "RANGES",
    "Address ranges that may be dialled whatever the rest says",
    |s, v| { s.egress.allow = v.ranges()?; Ok(()) },
    |s| join(&s.egress.allow) },
    key! { "egress.deny", "egress-deny", "RANGES",
    "Address ranges that may not be dialled",
    |s, v| { s.egress.deny = v.ranges()?; Ok(()) },
    |s| join(&s.egress.deny) },
    key! { "limits.event_size", "limits-event-size", "SIZE",
    "A request with one event may be this large",
    |s, v| { s.limits.event_bytes = bytes(v, 1 << 10)?; Ok(()) },
    |s| show_size(s.limits.event_bytes as u64) },
    key! { "limits.batch_size", "limits-batch-size", "SIZE",
    "A request with a batch may be this large",
    |s, v| { s.limits.batch_bytes = bytes(v, 1 << 10)?; Ok(()) },
    |s| show_size(s.limits.batch_bytes as u64) },
    key! { "limits.batch_events", "limits-batch-events", "COUNT",
    "Events in one batch",
    |s, v| { s.limits.batch_events = count(v, 1, 100_000)?; Ok(()) },
    |s| s.limits.batch_events.to_string() },
    key! { "limits.subscriptions", "limits-subscriptions", "COUNT",
    "Subscriptions, of all buses together",
    |s, v| { s.limits.subscriptions = count(v, 1, 100_000_000)?; Ok(()) },
    |s| s.limits.subscriptions.to_string() },
    key! { "limits.body_memory", "limits-body-memory", "SIZE",
    "What the bodies of all requests at hand may hold in memory together; beyond it publishers are told to come back (429)",
    |s, v| { s.limits.body_bytes = bytes(v, 1 << 20)?; Ok(()) },
    |s| show_size(s.limits.body_bytes as u64) },
    key! { "limits.streams", "limits-streams", "COUNT",
    "Open streams (server-sent events and WebSockets), all together; more are refused (429)",
    |s, v| { s.limits.streams = count(v, 1, 10_000_000)?; Ok(()) },
    |s| s.limits.streams.to_string() },
    key! { "log_output.filter", "log", "FILTER",
    "What the hub logs of itself, as `tracing` directives: `info`, `busway::deliver=debug,info`",
    |s, v| { s.log_output.filter = directives(v)?; Ok(()) },
    |s| s.log_output.filter.clone(),
    live: true },
    key! { "log_output.format", "log-format", "FORMAT",
    "`text`, `json`, or `auto`: text on a terminal, JSON otherwise",
    |s, v| { s.log_output.format = format(v)?; Ok(()) },
    |s| show_format(s.log_output.format).to_owned() },
];

fn none() -> String {
    "none".to_owned()
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn addresses(given: &Given) -> Result<Vec<Address>, String> {
    let list = given
        .list()
        .iter()
        .map(|word| Address::parse(word))
        .collect::<Result<Vec<_>, _>>()?;
    if list.is_empty() {
        Err("must hold at least one address".to_owned())
    } else {
        Ok(list)
    }
}

fn count(given: &Given, least: u64, most: u64) -> Result<usize, String> {
    given
        .count(least, most)
        .map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

fn bytes(given: &Given, least: u64) -> Result<usize, String> {
    let size = given.size()?;
    if size < least {
        return Err(format!("must be at least {}", show_size(least)));
    }
    usize::try_from(size).map_err(|_| "is larger than this machine can address".to_owned())
}

fn positive(given: &Given) -> Result<Duration, String> {
    let duration = given.duration()?;
    if duration.is_zero() {
        Err("must be longer than nothing".to_owned())
    } else {
        Ok(duration)
    }
}

fn schedule(given: &Given) -> Result<Vec<Duration>, String> {
    let steps = given
        .list()
        .iter()
        .map(|word| duration(word))
        .collect::<Result<Vec<_>, _>>()?;
    if steps.is_empty() {
        Err("must hold at least one wait".to_owned())
    } else {
        Ok(steps)
    }
}

fn path(given: &Given) -> Result<std::path::PathBuf, String> {
    let word = given.word()?;
    if word.is_empty() {
        Err("must be a path".to_owned())
    } else {
        Ok(word.into())
    }
}

fn path_or_none(given: &Given) -> Result<Option<std::path::PathBuf>, String> {
    if given.word()? == "none" {
        Ok(None)
    } else {
        path(given).map(Some)
    }
}

fn directives(given: &Given) -> Result<String, String> {
    let text = given.list().join(",");
    match text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) if !text.is_empty() => Ok(text),
        Ok(_) => Err("must not be empty; `off` logs nothing".to_owned()),
        Err(why) => Err(format!("must hold directives such as `info` or `busway=debug`: {why}")),
    }
}

fn format(given: &Given) -> Result<LogFormat, String> {
    match given.word()? {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("must be `auto`, `text` or `json`, not `{other}`")),
    }
}

fn show_format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Auto => "auto",
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}
