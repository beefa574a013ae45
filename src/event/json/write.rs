//! Writing the JSON format by hand: the data goes in as the bytes it came as, unparsed.
//!
//! Why not serde's `Serialize` with `RawValue`: that parses the data again to prove that it is JSON, which the event
//! already promises.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::event::model::{Data, DataKind, Event, SPECVERSION, Value};

/// One event as `application/cloudevents+json`.
pub fn encode(event: &Event) -> Vec<u8> {
    let data = event.data().map_or(0, |data| data.bytes.len() * 4 / 3);
    let mut out = Vec::with_capacity(data + 512);
    encode_into(event, &mut out);
    out
}

/// Events as `application/cloudevents-batch+json`.
pub fn encode_batch(events: &[&Event]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (at, event) in events.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        encode_into(event, &mut out);
    }
    out.push(b']');
    out
}

/// Appends one event as `application/cloudevents+json`.
pub fn encode_into(event: &Event, out: &mut Vec<u8>) {
    // No extension has an empty name: nothing is left out.
    encode_with(event, event.time(), "", out);
}

/// Appends one event with this `time` in place of its own, and without the extension `hidden`.
pub(in crate::event) fn encode_with(event: &Event, time: Option<&str>, hidden: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"specversion\":");
    write_string(SPECVERSION, out);
    let attributes = [
        ("id", Some(event.id())),
        ("source", Some(event.source())),
        ("type", Some(event.ty())),
        ("subject", event.subject()),
        ("time", time),
        ("datacontenttype", event.datacontenttype()),
        ("dataschema", event.dataschema()),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            write_name(name, out);
            write_string(value, out);
        }
    }
    for (name, value) in event.extensions().iter().filter(|(name, _)| name != hidden) {
        write_name(name, out);
        match value {
            Value::String(text) => write_string(text, out),
            Value::Boolean(_) | Value::Integer(_) => out.extend_from_slice(value.as_str().as_bytes()),
        }
    }
    if let Some(data) = event.data() {
        write_data(data, out);
    }
    out.push(b'}');
}

fn write_data(Data { kind, bytes }: &Data, out: &mut Vec<u8>) {
    match kind {
        DataKind::Json => {
            write_name("data", out);
            out.extend_from_slice(bytes);
        }
        DataKind::Text => {
            write_name("data", out);
            // Checked to be UTF-8 when the event was made.
            write_string(&String::from_utf8_lossy(bytes), out);
        }
        DataKind::Binary => {
            write_name("data_base64", out);
            out.push(b'"');
            out.extend_from_slice(BASE64.encode(bytes).as_bytes());
            out.push(b'"');
        }
    }
}

/// `,"name":`; names need no escapes.
fn write_name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // A string always has a JSON form, and a Vec always takes it: there is no error to hand on.
    let _ = serde_json::to_writer(out, text);
}
