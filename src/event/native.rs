//! The JSON that three older systems write for their events, turned into events. The producer's bytes are the data.
//!
//! Which system an object is of shows in its shape (`is` of each); no field is asked for that old versions of the
//! systems did not write. (EventBridge's events are CloudEvents, with looser rules: `eventbridge` reads and writes those.)
//! Invariant: what is read here can be shown to that system's clients as it came: the data holds all of it.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::DecodeError;
use super::model::Invalid;
use super::model::{Draft, Event};
use super::nesting::{self, Unreadable, depth_rule};
use crate::time::Timestamp;

pub mod docker;
pub mod eventbridge;
pub mod marathon;
pub mod pulp;

/// What an event gets that its producer did not give it.
#[derive(Debug, Clone, Copy)]
pub struct Fresh<'a> {
    /// Its `time`.
    pub now: Timestamp,
    /// Its `id` is made of this.
    pub bits: u128,
    /// Its `source`; none: the system's own default.
    pub source: Option<&'a str>,
}

impl Fresh<'_> {
    /// An id.
    pub fn id(&self) -> String {
        format!("{:032x}", self.bits)
    }
}

/// An older system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Marathon's event bus.
    Marathon,
    /// Docker Cloud's and Tutum's events.
    DockerCloud,
    /// Pulp 2's event reports.
    Pulp,
}

impl System {
    /// Whose shape this has, if it is one of theirs.
    pub fn of(value: &Value) -> Option<Self> {
        if marathon::is(value) {
            Some(Self::Marathon)
        } else if docker::is(value) {
            Some(Self::DockerCloud)
        } else if pulp::is(value) {
            Some(Self::Pulp)
        } else {
            None
        }
    }

    fn read(self, bytes: Bytes, value: &Value, fresh: &Fresh<'_>) -> Result<Draft, DecodeError> {
        match self {
            Self::Marathon => marathon::read(bytes, value, fresh),
            Self::DockerCloud => docker::read(bytes, value, fresh),
            Self::Pulp => pulp::read(bytes, value, fresh),
        }
    }
}

/// One object of an older system, or a list of them; all or none. `only` asks for one system.
///
/// # Errors
/// Not JSON; or what one of them is that it should not be, and which.
pub fn decode(body: Bytes, only: Option<System>, fresh: &Fresh<'_>) -> Result<Vec<Event>, DecodeError> {
    nesting::check(&body).map_err(|fault| match fault {
        Unreadable::Malformed(message) => DecodeError::Malformed(message),
        Unreadable::TooDeep => Invalid::new("data", depth_rule()).into(),
    })?;
    let text = nesting::utf8(&body).map_err(DecodeError::Malformed)?;
    if !text.trim_ascii_start().starts_with('[') {
        return one(body.clone(), only, fresh).map(|event| vec![event]);
    }
    let items: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|fault| DecodeError::Malformed(fault.to_string()))?;
    let numbered = items.iter().zip(0_usize..);
    numbered
        .map(|(item, index)| {
            let own = Fresh {
                bits: fresh.bits.wrapping_add(u128::try_from(index).unwrap_or(0)),
                ..*fresh
            };
            one(body.slice_ref(item.get().as_bytes()), only, &own).map_err(|fault| fault.at(index))
        })
        .collect()
}

fn one(bytes: Bytes, only: Option<System>, fresh: &Fresh<'_>) -> Result<Event, DecodeError> {
    let value: Value = serde_json::from_slice(&bytes).map_err(|fault| DecodeError::Malformed(fault.to_string()))?;
    let found = System::of(&value);
    match found.filter(|system| only.is_none_or(|only| only == *system)) {
        Some(system) => Ok(system.read(bytes, &value, fresh)?.check()?),
        None => Err(DecodeError::Shape {
            index: None,
            expected: match only {
                Some(System::Marathon) => "an event of Marathon's: an object with `eventType`",
                Some(System::DockerCloud) => {
                    "an event of Docker Cloud's: an object with `type`, `action` and `resource_uri`"
                }
                Some(System::Pulp) => "an event report of Pulp's: an object with `event_type` and `payload`",
                None => {
                    "a CloudEvent (header `ce-specversion`, or Content-Type application/cloudevents+json), or the JSON \
                     of Marathon (`eventType`), Docker Cloud (`type`, `action`, `resource_uri`) or Pulp (`event_type`, `payload`)"
                }
            },
            found: match value {
                Value::Object(_) => "an object without them",
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::String(_) => "a string",
                Value::Array(_) => "an array",
            },
        }),
    }
}

/// A string field.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The producer's bytes as data, with what it is made of; the rest is the reader's.
fn draft(bytes: Bytes, ty: String, source: &str, fresh: &Fresh<'_>) -> Draft {
    Draft {
        id: fresh.id(),
        source: fresh.source.unwrap_or(source).to_owned(),
        ty,
        time: Some(fresh.now.to_string()),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(super::Data {
            kind: super::DataKind::Json,
            bytes,
        }),
        ..Draft::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<&[&str], &str>) {
        let fresh = Fresh {
            now: Timestamp(1_700_000_000_000),
            bits: 7,
            source: None,
        };
        let read = decode(Bytes::copy_from_slice(body.as_bytes()), None, &fresh);
        match (read, expected) {
            (Ok(events), Ok(types)) => {
                let found: Vec<&str> = events.iter().map(Event::ty).collect();
                assert_eq!(found, types, "{body}");
            }
            (Err(fault), Err(words)) => assert!(fault.to_string().contains(words), "{body}: {fault}"),
            (read, _) => panic!("{body}: {read:?}"),
        }
    }

    #[test]
    fn the_shape_tells_whose_it_is() {
        check(
            r#"{"eventType":"app_terminated_event","appId":"/a"}"#,
            Ok(&["app_terminated_event"]),
        );
        check(
            r#"[{"type":"container","action":"update","resource_uri":"/api/app/v1/container/1/"}]"#,
            Ok(&["container.update"]),
        );
        check(
            r#"{"event_type":"repo.sync.start","payload":{"repo_id":"r"},"call_report":null}"#,
            Ok(&["repo.sync.start"]),
        );
        check(r#"{"a":1}"#, Err("an object without them"));
        check(r#"[{"eventType":"x"},3]"#, Err("event 1: expected"));
        check("{", Err("EOF"));
        check(&"[".repeat(500), Err(""));
    }

    #[test]
    fn bytes_are_kept() {
        let body = br#" [ {"eventType":"x",  "appId":"/\u00e4"} ] "#;
        let fresh = Fresh {
            now: Timestamp(0),
            bits: 0,
            source: Some("http://marathon:8080"),
        };
        let events = decode(Bytes::from_static(body), Some(System::Marathon), &fresh).unwrap();
        let event = events.first().unwrap();
        assert_eq!(
            event.data().unwrap().bytes,
            br#"{"eventType":"x",  "appId":"/\u00e4"}"#.as_slice()
        );
        assert_eq!(event.source(), "http://marathon:8080");
    }
}
