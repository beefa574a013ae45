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
use crate::event::{Data, Event, parse_rfc3339};
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
    // Most events are others', and some are large: they are not parsed to find that out.
    let named = |data: &Data| std::str::from_utf8(&data.bytes).is_ok_and(|text| text.contains("\"resource_uri\""));
    event.data().filter(|data| named(data))?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::event::{DataKind, Draft};
    use crate::log::Offset;
    use crate::time::Timestamp;

    fn record(ty: &str, data: Option<(DataKind, String)>) -> Record {
        let draft = Draft {
            id: "1".into(),
            source: "/s".into(),
            ty: ty.into(),
            data: data.map(|(kind, text)| Data {
                kind,
                bytes: text.into(),
            }),
            ..Draft::default()
        };
        Record::new(Offset(1), Timestamp(1_454_345_248_999), draft.check().unwrap())
    }

    fn check(record: &Record, expected: &str) {
        assert_eq!(Shown::of(record).frame(record).as_str(), expected);
    }

    #[test]
    fn fields_of_another_type_are_none() {
        let mapped = r#"{"type":"a","action":"b","parents":[],"resource_uri":"/s","state":"","uuid":"1","datetime":"2016-02-01T16:47:28Z"}"#;
        let with = |more: &str| {
            let text = format!(r#"{{"type":"t","action":"a","resource_uri":"/o"{more}}}"#);
            record("a.b", Some((DataKind::Json, text)))
        };
        check(&record("a.b", None), mapped);
        check(&with(r#","parents":[1]"#), mapped);
        check(&with(r#","parents":"x""#), mapped);
        let completed = r#"{"type":"t","action":"a","parents":[],"resource_uri":"/o","state":"","uuid":"1","datetime":"2016-02-01T16:47:28Z"}"#;
        check(&with(""), completed);
        check(&with(r#","state":5,"uuid":"","datetime":null"#), completed);
    }

    #[test]
    fn json_that_came_as_bytes_is_known_too() {
        let text = r#"{"type":"t","action":"a","parents":[],"resource_uri":"/o","state":"","uuid":"2","datetime":"d"}"#;
        check(&record("a.b", Some((DataKind::Binary, text.into()))), text);
    }

    proptest! {
        #[test]
        fn every_event_has_all_seven_fields(ty in "[a-z.]{1,12}", fields in proptest::collection::btree_map(
            prop::sample::select(NAMES.to_vec()),
            prop_oneof![
                Just(json!(null)), Just(json!(3)), Just(json!([])), Just(json!(["/p"])), "[a-z/]{0,5}".prop_map(Value::from),
            ],
            0..8,
        )) {
            let record = record(&ty, Some((DataKind::Json, json!(fields).to_string())));
            let frame: Value = serde_json::from_str(&Shown::of(&record).frame(&record)).unwrap();
            prop_assert!(NAMES.iter().all(|name| match *name {
                "parents" => frame[name].as_array().is_some_and(|all| all.iter().all(Value::is_string)),
                _ => frame[name].is_string(),
            }), "{}", frame);
            prop_assert!(!docker::RESERVED.iter().any(|reserved| frame["type"] == *reserved), "{}", frame);
        }
    }
}
