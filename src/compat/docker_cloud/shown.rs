//! How an event looks to Docker Cloud's clients: seven fields, always all of them, in the documented order.
//!
//! What came in Docker Cloud's own form leaves as it came, byte for byte, or completed if fields are missing: the Go
//! client decodes every frame into the same struct, so a field that is left out keeps the last event's value. Any
//! other event is mapped:
//!
//! | field | from |
//! |---|---|
//! | `type`, `action` | the event's type before and after its last dot; without a dot the type, and `""` |
//! | `parents` | the extension `parents`, a list between commas |
//! | `resource_uri` | `subject`, or else `source` |
//! | `state` | the extension `state` |
//! | `uuid` | `id` |
//! | `datetime` | `time`, or when it was received; UTC, whole seconds |
//!
//! A type that would read `auth` or `error`, which the stream itself says, becomes `event` with the whole as action.
//! Invariant: no field is ever `null`.

use std::sync::{Arc, OnceLock};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use super::lineage::Lineage;
use crate::event::native::docker;
use crate::event::{Event, parse_rfc3339};
use crate::log::Record;

/// What filters look at, and the frame. Made once for all listeners.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) ty: String,
    /// `resource_uri`, without its last slash.
    pub(super) object: String,
    /// Likewise.
    pub(super) parents: Vec<String>,
    /// The parents, and all that is known of theirs.
    family: OnceLock<Vec<Arc<str>>>,
    frame: OnceLock<Utf8Bytes>,
}

impl Shown {
    /// Of this record.
    pub(super) fn of(record: &Record) -> Arc<Self> {
        record.once(|record| {
            let fields = Fields::of(record);
            Self {
                ty: fields.ty.to_owned(),
                object: bare(fields.resource_uri).to_owned(),
                parents: fields.parents.iter().map(|uri| bare(uri).to_owned()).collect(),
                family: OnceLock::new(),
                frame: OnceLock::new(),
            }
        })
    }

    /// The text frame.
    pub(super) fn frame(&self, record: &Record) -> Utf8Bytes {
        let make = || as_it_came(&record.event).unwrap_or_else(|| Fields::of(record).text());
        self.frame.get_or_init(make).clone()
    }

    /// Everything that this object belongs to, as far as it is known when this is first asked.
    pub(super) fn family(&self, lineage: &Lineage) -> &[Arc<str>] {
        self.family.get_or_init(|| lineage.family(&self.parents))
    }
}

/// A URI as it is compared: its last slash does not count.
pub(super) fn bare(uri: &str) -> &str {
    uri.trim_end_matches('/')
}

/// The event's data, if it is an object of Docker Cloud's.
fn native(event: &Event) -> Option<&Value> {
    let reserved = |value: &&Value| docker::RESERVED.iter().any(|ty| value["type"] == *ty);
    event
        .json()
        .filter(|value| docker::is(value))
        .filter(|value| !reserved(value))
}

/// The producer's own bytes, if nothing is missing in them.
fn as_it_came(event: &Event) -> Option<Utf8Bytes> {
    let value = native(event)?;
    let text = |name| value.get(name).and_then(Value::as_str);
    let whole = text("state").is_some()
        && ["uuid", "datetime"]
            .into_iter()
            .all(|name| text(name).is_some_and(|text| !text.is_empty()))
        && value.get("parents").is_some_and(Value::is_array);
    let bytes: Option<Bytes> = event.data().filter(|_| whole).map(|data| data.bytes.clone());
    Utf8Bytes::try_from(bytes?).ok()
}

/// The seven fields, in their order.
#[derive(Serialize)]
struct Fields<'a> {
    #[serde(rename = "type")]
    ty: &'a str,
    action: &'a str,
    parents: Vec<&'a str>,
    resource_uri: &'a str,
    state: String,
    uuid: &'a str,
    datetime: String,
    /// What else a native event had.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

const NAMES: [&str; 7] = ["type", "action", "parents", "resource_uri", "state", "uuid", "datetime"];

impl<'a> Fields<'a> {
    fn of(record: &'a Record) -> Self {
        let event = &*record.event;
        match native(event) {
            Some(value) => Self::completed(value, record),
            None => Self::mapped(record),
        }
    }

    fn completed(value: &'a Value, record: &'a Record) -> Self {
        let text = |name| value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut rest = value.as_object().cloned().unwrap_or_default();
        rest.retain(|name, _| !NAMES.contains(&name.as_str()));
        Self {
            ty: text("type").unwrap_or_default(),
            action: text("action").unwrap_or_default(),
            parents: docker::parents(value).unwrap_or_default(),
            resource_uri: text("resource_uri").unwrap_or_default(),
            state: text("state").unwrap_or_default().to_owned(),
            uuid: text("uuid").unwrap_or(record.event.id()),
            datetime: text("datetime").map_or_else(|| datetime(record), str::to_owned),
            rest,
        }
    }

    fn mapped(record: &'a Record) -> Self {
        let event = &*record.event;
        let (ty, action) = match event.ty().rsplit_once('.') {
            Some((ty, action)) if !ty.is_empty() && !action.is_empty() => (ty, action),
            _ => (event.ty(), ""),
        };
        let reserved = docker::RESERVED.contains(&ty);
        Self {
            ty: if reserved { "event" } else { ty },
            action: if reserved { event.ty() } else { action },
            parents: listed(event),
            resource_uri: event.subject().unwrap_or(event.source()),
            state: event.attribute("state").unwrap_or_default().into_owned(),
            uuid: event.id(),
            datetime: datetime(record),
            rest: Map::new(),
        }
    }

    fn text(&self) -> Utf8Bytes {
        // Strings and a map with names of its own always have a JSON form.
        serde_json::to_string(self).unwrap_or_default().into()
    }
}

/// The extension `parents`.
fn listed(event: &Event) -> Vec<&str> {
    let extension = event.extensions().iter().find(|(name, _)| name == "parents");
    let Some((_, crate::event::Value::String(list))) = extension else {
        return Vec::new();
    };
    list.split(',').map(str::trim).filter(|uri| !uri.is_empty()).collect()
}

/// When it happened, as Docker Cloud writes it.
fn datetime(record: &Record) -> String {
    let time = record.event.time().and_then(parse_rfc3339).unwrap_or(record.received);
    match jiff::Timestamp::from_second(time.0.div_euclid(1_000)) {
        Ok(at) => format!("{at:.0}"),
        Err(_) => record.event.time().unwrap_or_default().to_owned(),
    }
}
