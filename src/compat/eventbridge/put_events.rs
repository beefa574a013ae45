//! PutEvents: a batch, one structured event, one in headers, or the list of an RPC call.
//!
//! An event that breaks a rule is told in its own entry and the others are put, as the service has it; what is wrong
//! with the request as a whole refuses all of it.
//! Invariant: the entries stand in the order of the request, one an event; one without an error code is on disk.

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::call::Call;
use super::fault::Fault;
use super::{entry_list, request_id, stamp};
use crate::access::Scope;
use crate::event::native::eventbridge as envelope;
use crate::event::{self, DecodeError, Draft, Event, Invalid};

/// One event of the request, as far as it could be read.
pub(super) struct Entry {
    /// The id that it has, or seems to have.
    id: String,
    read: Result<Draft, Fault>,
}

const LONGEST: [(&str, usize); 4] = [("id", 128), ("source", 128), ("type", 64), ("subject", 512)];

/// Puts what a request of the data plane carries.
pub(super) async fn data_plane(call: &Call, headers: &HeaderMap, body: Bytes) -> Result<Value, Fault> {
    let entries = read(headers, body)?;
    put(call, entries, None).await
}

/// Puts the `EventList` of an RPC call.
pub(super) async fn rpc(call: &Call) -> Result<Value, Fault> {
    let items = call.params.list("EventList")?.unwrap_or_default();
    let entries = items.iter().map(listed).collect();
    put(call, entries, call.params.text("EventBusName")?).await
}

/// Puts events on one bus: the one that is named, or the one that they name.
pub(super) async fn put(call: &Call, entries: Vec<Entry>, named: Option<&str>) -> Result<Value, Fault> {
    let limits = &call.settings().limits;
    if entries.is_empty() {
        return Err(Fault::conflict("EventDataEmpty", "The request has no events."));
    }
    if entries.len() > limits.batch_events {
        let text = format!(
            "The count of events [{}] exceed the limit [{}].",
            entries.len(),
            limits.batch_events
        );
        return Err(Fault::conflict("EventCountExceedLimit", text));
    }
    let name = match named {
        Some(name) => name.to_owned(),
        None => the_one_bus(&entries)?,
    };
    let bus = call.bus(&name, Scope::Publish)?;
    let now = call.door.hub.clock().now();
    let (mut events, mut results) = (Vec::new(), Vec::new());
    for Entry { id, read } in entries {
        let checked = read.and_then(|mut draft| {
            check_lengths(&draft)?;
            stamp::stamp(&mut draft, call.settings(), &name, &call.from, now);
            let event = draft.check().map_err(|invalid| Fault::attribute(&invalid))?;
            check_size(&event, limits.event_bytes)?;
            Ok(event)
        });
        results.push((id, checked.as_ref().err().cloned()));
        events.extend(checked.ok());
    }
    if !events.is_empty() {
        call.door.hub.publish(&bus, events).await?;
    }
    Ok(entry_list(results))
}

/// The bus that all of them name.
fn the_one_bus(entries: &[Entry]) -> Result<String, Fault> {
    let of = |draft: &Draft| {
        let named = draft.extensions.iter().find(|(name, _)| name == stamp::BUS);
        named.map_or_else(|| "default".to_owned(), |(_, value)| value.as_str().into_owned())
    };
    let mut names: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.read.as_ref().ok())
        .map(of)
        .collect();
    names.dedup();
    match names.len() {
        0 | 1 => Ok(names.pop().unwrap_or_else(|| "default".to_owned())),
        _ => Err(Fault::conflict(
            "PutEventsRequestMoreThanOneEventBus",
            "The events of one request must be of one event bus.",
        )),
    }
}

fn check_lengths(draft: &Draft) -> Result<(), Fault> {
    for (name, most) in LONGEST {
        let value = match name {
            "id" => Some(draft.id.as_str()),
            "source" => Some(draft.source.as_str()),
            "type" => Some(draft.ty.as_str()),
            _ => draft.subject.as_deref(),
        };
        if value.is_some_and(|value| value.chars().count() > most) {
            return Err(Fault::attribute(&Invalid::new(
                name,
                format!("is longer than {most} characters"),
            )));
        }
    }
    Ok(())
}

fn check_size(event: &Event, most: usize) -> Result<(), Fault> {
    // What the hub adds in memory is not the producer's.
    let size = event.weight().saturating_sub(256);
    match size > most {
        true => Err(Fault::conflict(
            "EventSizeExceed",
            format!("The single event entry size[{size}] exceed the limit [{most}]! "),
        )),
        false => Ok(()),
    }
}

/// The events of a request, by its media type: batched, else in headers, else structured.
fn read(headers: &HeaderMap, body: Bytes) -> Result<Vec<Entry>, Fault> {
    let media = headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let is_batch = media.to_ascii_lowercase().starts_with(b"application/cloudevents-batch");
    let is_structured = media.to_ascii_lowercase().starts_with(b"application/cloudevents+");
    if !is_batch && !is_structured && headers.contains_key("ce-specversion") {
        return Ok(vec![binary(headers, body)]);
    }
    let malformed =
        |error: serde_json::Error| Fault::conflict("JsonAttributeInvalid", format!("The body is not JSON: {error}."));
    let text =
        std::str::from_utf8(&body).map_err(|_| Fault::conflict("JsonAttributeInvalid", "The body is not UTF-8."))?;
    let is_list = text.trim_ascii_start().starts_with('[');
    if is_structured && is_list || is_batch && !is_list {
        let text = "The body must be one event as application/cloudevents+json, or an array of events as application/cloudevents-batch+json.";
        return Err(Fault::conflict("EventHTTPProtocolBindingInvalid", text));
    }
    let items: Vec<&RawValue> = match is_list {
        true => serde_json::from_str(text).map_err(malformed)?,
        false => vec![serde_json::from_str(text).map_err(malformed)?],
    };
    Ok(items.into_iter().map(|item| structured(item.get(), &body)).collect())
}

fn structured(text: &str, input: &Bytes) -> Entry {
    let read = envelope::read(text, input).map_err(|invalid| Fault::attribute(&invalid));
    let id = match &read {
        Ok(draft) => draft.id.clone(),
        Err(_) => {
            let value: Value = serde_json::from_str(text).unwrap_or_default();
            value.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
    };
    Entry { id, read }
}

/// One event in headers. Those two in which this system is looser than the binding are read here.
fn binary(headers: &HeaderMap, body: Bytes) -> Entry {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let mut strict = headers.clone();
    strict.remove("ce-time");
    if text("ce-subject").as_deref() == Some("") {
        strict.remove("ce-subject");
    }
    let read = match event::http::decode(&strict, body) {
        Ok(decoded) => decoded.events.first().map(Event::to_draft).unwrap_or_default(),
        Err(DecodeError::Invalid { invalid, .. }) => return refused(&text("ce-id"), Fault::attribute(&invalid)),
        Err(other) => {
            let fault = Fault::conflict(
                "EventHTTPProtocolBindingInvalid",
                format!("The request carries no event: {other}."),
            );
            return refused(&text("ce-id"), fault);
        }
    };
    let mut draft = read;
    let time = envelope::set_time(&mut draft, text("ce-time").filter(|time| !time.is_empty()));
    Entry {
        id: draft.id.clone(),
        read: time.map(|()| draft).map_err(|invalid| Fault::attribute(&invalid)),
    }
}

fn refused(id: &Option<String>, fault: Fault) -> Entry {
    Entry {
        id: id.clone().unwrap_or_default(),
        read: Err(fault),
    }
}

/// One of an RPC call's list: `{Id, Source, SpecVersion, Type, Data, DataContentType, DataSchema, Subject, Time}`.
fn listed(item: &Value) -> Entry {
    let text = |name: &str| item.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let data = match item.get("Data") {
        // JSON comes as a text here, for want of another way.
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
        Some(other) => other.clone(),
        None => Value::Null,
    };
    let mut event = json!({ "specversion": text("SpecVersion").unwrap_or("1.0"), "data": data });
    let names = [
        ("Id", "id"),
        ("Source", "source"),
        ("Type", "type"),
        ("Subject", "subject"),
        ("Time", "time"),
        ("DataContentType", "datacontenttype"),
        ("DataSchema", "dataschema"),
    ];
    if let Some(object) = event.as_object_mut() {
        for (theirs, ours) in names {
            if let Some(value) = text(theirs) {
                object.insert(ours.to_owned(), value.into());
            }
        }
        if let Some(more) = item.get("Extensions").and_then(Value::as_object) {
            object.extend(more.clone());
        }
        // The service makes an id for an event that has none.
        object.entry("id").or_insert_with(|| request_id().into());
    }
    let input = Bytes::from(event.to_string());
    match std::str::from_utf8(&input) {
        Ok(text) => structured(text, &input),
        Err(_) => refused(
            &None,
            Fault::conflict("JsonAttributeInvalid", "The event is not UTF-8."),
        ),
    }
}

impl Entry {
    /// An event that the hub has made itself.
    pub(super) fn made(draft: Draft) -> Self {
        Self {
            id: draft.id.clone(),
            read: Ok(draft),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn told(headers: &HeaderMap, body: &str) -> Vec<String> {
        match read(headers, Bytes::copy_from_slice(body.as_bytes())) {
            Err(fault) => vec![fault.code.into_owned()],
            Ok(entries) => entries
                .into_iter()
                .map(|entry| match entry.read {
                    Ok(draft) => format!("{}:{}", entry.id, draft.time.unwrap_or_default()),
                    Err(fault) => format!("{}:{}", entry.id, fault.code),
                })
                .collect(),
        }
    }

    const EVENT: &str = r#"{"specversion":"1.0","id":"a","source":"s","type":"t","time":"2020-11-19T21:04:41PRC"}"#;

    #[test]
    fn every_mode_is_read() {
        let batch = headers(&[("content-type", "application/cloudevents-batch+json; charset=utf-8")]);
        let one = headers(&[("content-type", "application/cloudevents+json")]);
        let plain = headers(&[("content-type", "application/json")]);
        let binary = headers(&[
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", "a"),
            ("ce-source", "s"),
            ("ce-type", "t"),
            ("ce-subject", ""),
            ("ce-time", "2020-11-19T21:04:41PRC"),
        ]);
        let good = ["a:2020-11-19T13:04:41.000Z".to_owned()];
        let list = format!("[{EVENT}]");
        for (headers, body) in [
            (&batch, list.as_str()),
            (&one, EVENT),
            (&plain, EVENT),
            (&plain, &list),
            (&binary, "{}"),
        ] {
            assert_eq!(told(headers, body), good, "{headers:?}");
        }
        assert_eq!(told(&batch, EVENT), ["EventHTTPProtocolBindingInvalid"]);
        assert_eq!(told(&one, &list), ["EventHTTPProtocolBindingInvalid"]);
        assert_eq!(told(&batch, "[{"), ["JsonAttributeInvalid"]);
        assert_eq!(told(&binary, "{"), ["a:EventHTTPProtocolBindingInvalid"]);
        assert_eq!(
            told(
                &batch,
                &format!(r#"[{EVENT},{{"id":"b"}},{{"specversion":"1.0","id":"c","type":"t"}},7]"#)
            ),
            [
                "a:2020-11-19T13:04:41.000Z",
                "b:EventSpecversionInvalid",
                "c:EventSourceInvalid",
                ":JsonAttributeInvalid"
            ]
        );
    }

    #[test]
    fn an_rpc_list_is_read() {
        let item = json!({"Id": "1", "Source": "s", "Type": "t", "SpecVersion": "1.0", "Data": "{\"a\":1}", "Subject": "", "Time": "2020-11-19T21:04:41+08:00"});
        let draft = listed(&item).read.unwrap();
        assert_eq!(draft.data.unwrap().bytes, r#"{"a":1}"#);
        assert_eq!(
            (draft.subject, draft.time.as_deref()),
            (None, Some("2020-11-19T21:04:41+08:00"))
        );
    }
}
