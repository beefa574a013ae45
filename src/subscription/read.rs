//! The JSON of a subscription as callers send it (POST, PUT, a patched one) and as the store keeps it.
//!
//! One reader for all of them: what could be stored can be sent, and a rule stands in one place.
//! Invariant: limits on counts and sizes hold here, so that no subscription can make an event expensive by itself.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::breaker::BreakerConfig;
use super::fields::{Fields, duration, refuse};
use super::model::{
    BatchConfig, DeliveryConfig, Format, OnError, Ordering, Sink, Start, State, Subscription, SubscriptionId, UNLIMITED,
};
use super::rate::{self, Rate};
use super::step::Step;
use super::{secret, webhook};
use crate::error::Error;
use crate::event::parse_rfc3339;
use crate::filter::{Filter, Selector, TypePattern};
use crate::log::{BusName, Offset};
use crate::time::Timestamp;
use crate::transform::Transform;
use crate::units::DURATION_RULE;

/// What a caller may set.
const SETTABLE: [&str; 8] = [
    "source",
    "types",
    "filters",
    "transform",
    "sink",
    "protocol",
    "protocolsettings",
    "config",
];
/// What the hub shows beside it: accepted and left alone, so that what GET shows can be sent back with PUT.
const SHOWN: [&str; 10] = [
    "id",
    "bus",
    "state",
    "reason",
    "public_keys",
    "secrets_until",
    "consent",
    "created",
    "updated",
    "status",
];

const MOST_TYPES: usize = 256;
const MOST_FILTERS: usize = 64;
const LONGEST_SOURCE: usize = 2_048;
pub(super) const LONGEST_SINK: usize = 2_048;
const LARGEST_SETTINGS: usize = 64 << 10;

impl Subscription {
    /// Reads the request body of POST, or of a PUT that makes a new one. `defaults` are the hub's; `now` stamps
    /// `created` and `updated`.
    ///
    /// # Errors
    /// Names the field by its path (`config.timeout`) and the rule; for an unknown field the nearest known one.
    pub fn from_json(
        id: SubscriptionId,
        bus: BusName,
        json: &Value,
        defaults: &DeliveryConfig,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let known: Vec<&str> = SETTABLE.into_iter().chain(SHOWN).collect();
        let fields = Fields::of(json, "", &known)?;
        if let Some(named) = fields.text("bus", 64)?.filter(|named| *named != bus.as_str()) {
            return Err(refuse(
                "bus",
                format_args!("is \"{named}\", but this subscription is on the bus \"{bus}\"; the path says which"),
            ));
        }
        let read = Self {
            id,
            selector: Arc::new(selector(&fields)?),
            transform: fields
                .value("transform")
                .map(Transform::parse)
                .transpose()?
                .map(Arc::new),
            sink: sink(&fields, &bus)?,
            config: match fields.value("config") {
                None => defaults.clone(),
                Some(config) => delivery(config, defaults)?,
            },
            state: State::Active,
            created: now,
            updated: now,
            write_only: Arc::default(),
            bus,
        };
        read.check_together()?;
        Ok(read)
    }

    /// What each field allows and both together do not.
    fn check_together(&self) -> Result<(), Error> {
        let batches = matches!(&self.sink, Sink::Webhook(webhook) if webhook.format == Format::Batch);
        if batches && self.transform.is_some() {
            let rule = "makes one body of one event; the format `batch` puts several events into one";
            return Err(refuse("transform", rule));
        }
        if batches && self.config.ordering == Ordering::All {
            let rule = "`all` sends one event at a time; the format `batch` puts several into one request";
            return Err(refuse("config.ordering", rule));
        }
        if let Some(dead) = &self.config.dead_letter {
            other_bus("config.dead_letter.bus", dead, &self.bus)?;
        }
        Ok(())
    }
}

/// A bus on which this subscription may publish.
fn other_bus(path: &str, named: &BusName, own: &BusName) -> Result<(), Error> {
    if *named == BusName::own() {
        return Err(refuse(path, "the bus `busway` is the hub's own; name another one"));
    }
    match named == own {
        true => Err(refuse(
            path,
            "is the subscription's own bus: its events would come back to it; name another one",
        )),
        false => Ok(()),
    }
}

fn selector(fields: &Fields<'_>) -> Result<Selector, Error> {
    let source = fields.text("source", LONGEST_SOURCE)?.map(str::to_owned);
    if source.as_deref() == Some("") {
        return Err(refuse("source", "must not be empty; leave it out for any source"));
    }
    let types = fields
        .list("types", MOST_TYPES)?
        .into_iter()
        .map(|(path, item)| type_pattern(&path, item))
        .collect::<Result<_, _>>()?;
    fields.list("filters", MOST_FILTERS)?;
    let filters = fields.value("filters").map_or(Ok(Vec::new()), Filter::parse_list)?;
    Ok(Selector { source, types, filters })
}

fn type_pattern(path: &str, item: &Value) -> Result<TypePattern, Error> {
    let text = item.as_str().ok_or_else(|| {
        refuse(
            path,
            "must be a string: an event type, with `*` where anything may stand",
        )
    })?;
    TypePattern::parse(text).map_err(|error| at(path, error))
}

/// Puts the place in front of another module's refusal.
fn at(path: &str, error: Error) -> Error {
    let joined = match error.message().starts_with(['.', '[']) {
        true => format!("{path}{}", error.message()),
        false => format!("{path}: {}", error.message()),
    };
    Error::new(error.kind(), error.code(), joined)
}

fn sink(fields: &Fields<'_>, own: &BusName) -> Result<Sink, Error> {
    let protocol = fields.text("protocol", 64)?.unwrap_or("HTTP");
    let sink = fields.text("sink", LONGEST_SINK)?;
    let settings = fields.value("protocolsettings");
    if let Some(path) = settings.and_then(|settings| secret::unresolved(settings, "protocolsettings")) {
        return Err(refuse(&path, secret::NOT_KEPT));
    }
    if protocol.eq_ignore_ascii_case("http") {
        return webhook::read(sink, settings).map(|webhook| Sink::Webhook(Arc::new(webhook)));
    }
    if protocol == "BUS" {
        return bus(sink, settings, own).map(Sink::Bus);
    }
    if !is_plugin_name(protocol) {
        let rule =
            format!("must be \"HTTP\", \"BUS\" or the name of a notifier plugin (a-z 0-9 -), not \"{protocol}\"");
        return Err(refuse("protocol", rule));
    }
    if let Some(sink) = sink {
        webhook::refuse_userinfo(sink)?;
    }
    Ok(Sink::Notifier {
        plugin: protocol.into(),
        sink: sink.map(str::to_owned),
        settings: notifier_settings(sink, settings)?,
    })
}

/// The bus that is the sink of the protocol BUS, which has no settings.
fn bus(sink: Option<&str>, settings: Option<&Value>, own: &BusName) -> Result<BusName, Error> {
    let sink = sink.ok_or_else(|| refuse("sink", "is missing: the bus on which events are published"))?;
    if let Some(settings) = settings {
        Fields::of(settings, "protocolsettings", &[])?;
    }
    let named = BusName::parse(sink).map_err(|error| at("sink", error))?;
    other_bus("sink", &named, own)?;
    Ok(named)
}

fn is_plugin_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !name.starts_with('-') && !name.is_empty() && name.bytes().all(allowed)
}

fn notifier_settings(sink: Option<&str>, settings: Option<&Value>) -> Result<Arc<str>, Error> {
    let mut map = match settings {
        None => Map::new(),
        Some(Value::Object(map)) => map.clone(),
        Some(_) => return Err(refuse("protocolsettings", "must be a JSON object")),
    };
    if let Some(sink) = sink {
        map.entry("sink").or_insert_with(|| sink.into());
    }
    let text = Value::Object(map).to_string();
    if text.len() > LARGEST_SETTINGS {
        return Err(refuse(
            "protocolsettings",
            format_args!("is larger than {LARGEST_SETTINGS} bytes"),
        ));
    }
    Ok(text.into())
}

const CONFIG: [&str; 13] = [
    "breaker",
    "start",
    "schedule",
    "jitter",
    "max_attempts",
    "max_age",
    "timeout",
    "concurrency",
    "ordering",
    "on_error",
    "batch",
    "dead_letter",
    "rate",
];

fn delivery(json: &Value, defaults: &DeliveryConfig) -> Result<DeliveryConfig, Error> {
    let config = Fields::of(json, "config", &CONFIG)?;
    let concurrency = config.number(
        "concurrency",
        1..=1_000,
        u64::try_from(defaults.concurrency).unwrap_or(1),
    )?;
    Ok(DeliveryConfig {
        start: config.value("start").map_or(Ok(defaults.start), start)?,
        schedule: schedule(&config, defaults)?,
        jitter: config.truth("jitter", defaults.jitter)?,
        max_attempts: max_attempts(&config, defaults)?,
        max_age: match config.value("max_age") {
            None => defaults.max_age,
            Some(age) => Some(duration(age, "config.max_age", MAX_AGE)?),
        },
        timeout: config.duration("timeout", TIMEOUT, defaults.timeout)?,
        concurrency: usize::try_from(concurrency).unwrap_or(1),
        rate: rate(&config, defaults)?,
        ordering: match config.value("ordering") {
            None => defaults.ordering,
            Some(_) => config.choice(
                "ordering",
                &[("none", Ordering::None), ("key", Ordering::Key), ("all", Ordering::All)],
            )?,
        },
        on_error: match config.value("on_error") {
            None => defaults.on_error,
            Some(_) => config.choice(
                "on_error",
                &[
                    ("retry", OnError::Retry),
                    ("hold", OnError::Hold),
                    ("pass", OnError::Pass),
                    ("drop", OnError::Drop),
                ],
            )?,
        },
        breaker: BreakerConfig::read(&config, defaults.breaker)?,
        batch: batch(&config, defaults)?,
        dead_letter: dead_letter(&config, defaults)?,
    })
}

fn rate(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<Option<Rate>, Error> {
    let Some(text) = config.text("rate", 64)? else {
        return Ok(defaults.rate);
    };
    let rate = Rate::parse(text).ok_or_else(|| refuse("config.rate", format_args!("must be {}", rate::RULE)));
    rate.map(Some)
}

fn max_attempts(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<u32, Error> {
    match config.value("max_attempts") {
        None => Ok(defaults.max_attempts),
        Some(Value::String(word)) if word == "unlimited" => Ok(UNLIMITED),
        Some(Value::String(_)) => Err(refuse(
            "config.max_attempts",
            "must be a whole number from 1 to 1000, or \"unlimited\"",
        )),
        Some(_) => Ok(u32::try_from(config.number("max_attempts", 1..=1_000, 1)?).unwrap_or(1_000)),
    }
}

fn dead_letter(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<Option<BusName>, Error> {
    let Some(dead) = config.object("dead_letter", &["bus"])? else {
        return Ok(defaults.dead_letter.clone());
    };
    let bus = dead
        .text("bus", 64)?
        .ok_or_else(|| refuse("config.dead_letter.bus", "is missing: the bus for what is given up"))?;
    BusName::parse(bus)
        .map(Some)
        .map_err(|error| at("config.dead_letter.bus", error))
}

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
const MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
const STEP: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(7 * 86_400);
const BATCH_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);

fn schedule(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<Arc<[Step]>, Error> {
    if config.value("schedule").is_none() {
        return Ok(Arc::clone(&defaults.schedule));
    }
    let steps = config.list("schedule", 256)?;
    if steps.is_empty() {
        return Err(refuse(
            "config.schedule",
            "must have at least one wait; for a single attempt set `config.max_attempts` to 1",
        ));
    }
    steps.into_iter().map(|(path, step)| wait(step, &path)).collect()
}

fn wait(json: &Value, path: &str) -> Result<Step, Error> {
    let step = json.as_str().and_then(Step::parse).ok_or_else(|| {
        refuse(
            path,
            format_args!("must be {DURATION_RULE}, or a range such as \"10s..20s\""),
        )
    })?;
    match STEP.contains(&step.least()) && STEP.contains(&step.most()) {
        true => Ok(step),
        // Says what may be.
        false => duration(&Value::from(crate::units::show_duration(step.most())), path, STEP).map(Step::from),
    }
}

fn batch(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<BatchConfig, Error> {
    let Some(batch) = config.object("batch", &["count", "bytes", "wait"])? else {
        return Ok(defaults.batch);
    };
    let size = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(BatchConfig {
        count: usize::try_from(batch.number("count", 1..=10_000, size(defaults.batch.count))?).unwrap_or(1),
        bytes: usize::try_from(batch.number("bytes", 1_024..=(64 << 20), size(defaults.batch.bytes))?).unwrap_or(1_024),
        wait: batch.duration("wait", BATCH_WAIT, defaults.batch.wait)?,
    })
}

fn start(json: &Value) -> Result<Start, Error> {
    let found = match json {
        Value::String(text) => Start::parse(text),
        other => other.as_u64().map(|offset| Start::Offset(Offset(offset))),
    };
    found.ok_or_else(|| {
        refuse(
            "config.start",
            "must be \"latest\", \"earliest\", an offset, or a time such as \"2026-01-31T12:00:00Z\"",
        )
    })
}

impl Start {
    /// Reads `latest`, `earliest`, an offset in digits, or an RFC 3339 time.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "latest" => Some(Self::Latest),
            "earliest" => Some(Self::Earliest),
            digits if digits.bytes().all(|c| c.is_ascii_digit()) => {
                digits.parse().ok().map(|offset| Self::Offset(Offset(offset)))
            }
            time => parse_rfc3339(time).map(Self::Time),
        }
    }
}

impl Default for DeliveryConfig {
    /// What the hub promises where neither the operator nor the subscriber says otherwise.
    fn default() -> Self {
        Self {
            start: Start::Latest,
            schedule: [5, 30, 120, 600, 1_800, 3_600, 10_800]
                .map(|seconds| Step::from(Duration::from_secs(seconds)))
                .into(),
            jitter: true,
            max_attempts: 12,
            max_age: None,
            timeout: Duration::from_secs(15),
            concurrency: 16,
            rate: None,
            ordering: Ordering::None,
            on_error: OnError::Retry,
            breaker: BreakerConfig::default(),
            batch: BatchConfig {
                count: 100,
                bytes: 1 << 20,
                wait: Duration::from_secs(1),
            },
            dead_letter: None,
        }
    }
}
