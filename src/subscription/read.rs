//! The JSON of a subscription as callers send it (POST, PUT, a patched one) and as the store keeps it.
//!
//! One reader for all of them: what could be stored can be sent, and a rule stands in one place.
//! Invariant: limits on counts and sizes hold here, so that no subscription can make an event expensive by itself.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::fields::{Fields, refuse};
use super::model::{DeliveryConfig, Format, Ordering, Sink, State, Subscription, SubscriptionId};
use super::{secret, webhook};
use crate::error::Error;
use crate::filter::{Filter, Selector, TypePattern};
use crate::log::BusName;
use crate::time::Timestamp;
use crate::transform::Transform;

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
const SHOWN: [&str; 9] = [
    "id",
    "bus",
    "state",
    "reason",
    "public_keys",
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
                Some(config) => defaults.with(config)?,
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
pub(super) fn at(path: &str, error: Error) -> Error {
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
