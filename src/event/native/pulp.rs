//! Pulp's event report: `{"event_type", "payload", "call_report"}`, read as an event, and written of any event.
//!
//! | attribute | from |
//! |---|---|
//! | `type` | `event_type` |
//! | `subject` | `payload.repo_id` |
//! | `time` | `payload.started`, else `call_report.start_time`, else when it came |
//! | `id` | made by the hub: a report has none |
//!
//! Only these few places are read; whatever else a report holds is kept and not looked at.
//! Invariant: the data is the producer's own bytes, and a report that came in goes out as those.

pub mod python;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::Value;

use super::{Fresh, draft, text};
use crate::event::fault::DecodeError;
use crate::event::model::{DataKind, Draft, Event};
use crate::event::time::is_rfc3339;

/// Whether an object has the shape of one.
pub fn is(value: &Value) -> bool {
    text(value, "event_type").is_some() && value.get("payload").is_some()
}

/// Reads one; `value` is what `bytes` say.
pub(super) fn read(bytes: Bytes, value: &Value, fresh: &Fresh<'_>) -> Result<Draft, DecodeError> {
    let ty = text(value, "event_type").unwrap_or_default();
    let part = |part: &str, name: &str| text(value.get(part)?, name).map(str::to_owned);
    let made = draft(bytes, ty.to_owned(), "/pulp", fresh);
    let times = [("payload", "started"), ("call_report", "start_time")];
    let time = times
        .into_iter()
        .filter_map(|(place, name)| part(place, name))
        .find_map(time);
    Ok(Draft {
        subject: part("payload", "repo_id"),
        time: time.or_else(|| made.time.clone()),
        ..made
    })
}

/// The report that an event is to those who know only reports: the producer's own bytes if it came as one, else the
/// event's data as the payload of one, as Python would write it. Data that is no text is base64.
pub fn written(event: &Event) -> Bytes {
    let Some(data) = event.data() else {
        return wrapped(event.ty(), "null");
    };
    let json = event.json();
    if json.is_some_and(is) {
        return data.bytes.clone();
    }
    let text = std::str::from_utf8(&data.bytes).ok();
    match (data.kind, text) {
        (DataKind::Json, Some(text)) => wrapped(event.ty(), &python::spelled(text)),
        (DataKind::Binary, Some(text)) if json.is_some() => wrapped(event.ty(), &python::spelled(text)),
        (DataKind::Text, Some(text)) => wrapped(event.ty(), &python::quoted(text)),
        _ => wrapped(event.ty(), &python::quoted(&BASE64.encode(&data.bytes))),
    }
}

fn wrapped(ty: &str, payload: &str) -> Bytes {
    let ty = python::quoted(ty);
    format!(r#"{{"event_type": {ty}, "payload": {payload}, "call_report": null}}"#).into()
}

/// Pulp writes UTC, and older versions leave the `Z` out.
fn time(text: String) -> Option<String> {
    if is_rfc3339(&text) {
        return Some(text);
    }
    Some(format!("{text}Z")).filter(|text| is_rfc3339(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Data;
    use crate::event::native::{System, decode};
    use crate::time::Timestamp;

    fn read(report: &'static str) -> Result<Event, DecodeError> {
        let fresh = Fresh {
            now: Timestamp(0),
            bits: 7,
            source: None,
        };
        let mut read = decode(Bytes::from_static(report.as_bytes()), Some(System::Pulp), &fresh)?;
        Ok(read.remove(0))
    }

    /// The attributes that a report becomes: type, subject, time.
    fn check(report: &'static str, ty: &str, subject: Option<&str>, time: &str) {
        let event = read(report).unwrap();
        let found = (event.ty(), event.subject(), event.time());
        assert_eq!(found, (ty, subject, Some(time)), "{report}");
        assert_eq!(event.source(), "/pulp");
        assert_eq!(event.data().unwrap().bytes, report);
        assert_eq!(written(&event), report, "it goes out as it came");
    }

    #[test]
    fn reports_become_events() {
        const NOW: &str = "1970-01-01T00:00:00.000Z";
        check(
            r#"{"call_report":{"task_id":"79","start_time":"2012-10-19T19:09:16Z"},"event_type":"repo.sync.start","payload":{"repo_id":"pulp2"}}"#,
            "repo.sync.start",
            Some("pulp2"),
            "2012-10-19T19:09:16Z",
        );
        check(
            r#"{"event_type": "repo.publish.finish", "payload": {"repo_id": "zoo", "started": "2015-01-02T03:04:05"}, "call_report": null}"#,
            "repo.publish.finish",
            Some("zoo"),
            "2015-01-02T03:04:05Z",
        );
        check(
            r#"{"event_type":"x","payload":{"repo_id":7,"started":"yesterday"}}"#,
            "x",
            None,
            NOW,
        );
        check(
            r#"{"event_type":"x","payload":[1],"call_report":"later"}"#,
            "x",
            None,
            NOW,
        );
        check(
            r#"{"event_type":"x","payload":{"repo_id":""},"more":1e9}"#,
            "x",
            None,
            NOW,
        );
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for text in [
            "",
            "{",
            "7",
            r#"{"event_type":7,"payload":{}}"#,
            r#"{"event_type":"","payload":{}}"#,
            r#"{"event_type":"x"}"#,
            r#"{"payload":{}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_events_go_out_as_reports() {
        let event = |data: Option<(DataKind, &'static [u8])>| {
            let draft = Draft {
                id: "1".into(),
                source: "/s".into(),
                ty: "gr\u{fc}n".into(),
                datacontenttype: data.and_then(|(kind, _)| (kind == DataKind::Text).then(|| "text/plain".into())),
                data: data.map(|(kind, bytes)| Data {
                    kind,
                    bytes: Bytes::from_static(bytes),
                }),
                ..Draft::default()
            };
            draft.check().unwrap()
        };
        let check = |data, payload: &str| {
            let expected = format!(r#"{{"event_type": "gr\u00fcn", "payload": {payload}, "call_report": null}}"#);
            assert_eq!(written(&event(data)), expected);
        };
        check(None, "null");
        check(
            Some((DataKind::Json, br#"{"a":1.50,"b":"c"}"#)),
            r#"{"a": 1.50, "b": "c"}"#,
        );
        check(Some((DataKind::Text, b"a\nb")), r#""a\nb""#);
        check(Some((DataKind::Binary, b"\xff\x00")), r#""/wA=""#);
    }
}
