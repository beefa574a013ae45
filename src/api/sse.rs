//! Server-sent events (WHATWG HTML, section 9.2).
//!
//! `id` is the offset, `event` the type, `data` the event; a removed stretch of the log is an event `gap`.
//! Invariant: one event a frame: it is flushed as soon as it is there, with those that came at the same time.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::stream;
use tracing::warn;

use super::events::Form;
use crate::event;
use crate::event::Event;
use crate::hub::{EventStream, Item};
use crate::log::Record;

/// Tells the client to come back after a second.
const HELLO: &[u8] = b"retry: 1000\n\n";
/// A comment: nothing has happened, and the connection lives.
const BEAT: &[u8] = b":\n\n";

/// Answers with a stream.
pub(super) fn answer(events: EventStream, form: Form, heartbeat: Duration) -> Response {
    let frames = stream::unfold((events, true), move |(mut events, first)| async move {
        if first {
            return Some((Bytes::from_static(HELLO), (events, false)));
        }
        let frame = match tokio::time::timeout(heartbeat, events.next()).await {
            Err(_) => Bytes::from_static(BEAT),
            Ok(Some(Ok(item))) => frame(&item, form),
            Ok(Some(Err(error))) => {
                warn!(reason = ?error, "a stream ends: the log cannot be read");
                return None;
            }
            Ok(None) => return None,
        };
        Some((frame, (events, false)))
    });
    let body = Body::from_stream(futures_util::StreamExt::map(frames, Ok::<_, Infallible>));
    let headers = [
        (header::CONTENT_TYPE.as_str(), "text/event-stream"),
        (header::CACHE_CONTROL.as_str(), "no-cache"),
        ("x-accel-buffering", "no"),
    ];
    (headers, body).into_response()
}

fn frame(item: &Item, form: Form) -> Bytes {
    match item {
        Item::Gap(gap) => format!(
            "event: gap\ndata: {{\"from\":{},\"to\":{}}}\n\n",
            gap.start.0, gap.end.0
        )
        .into(),
        Item::Record(record) if form == Form::Raw => record.once(|record| Raw(render(record, form))).0.clone(),
        Item::Record(record) => record.once(|record| Structured(render(record, form))).0.clone(),
    }
}

/// The frames of a record, made once for all streams.
struct Structured(Bytes);
struct Raw(Bytes);

fn render(record: &Record, form: Form) -> Bytes {
    let mut text = format!("id: {}\nevent: {}\n", record.offset.0, record.event.ty()).into_bytes();
    write_data(&content(&record.event, form), &mut text);
    text.push(b'\n');
    text.into()
}

/// What an event is shown as. Raw data that is no text has no place in a text protocol: it comes as base64.
pub(super) fn content(event: &Event, form: Form) -> String {
    let bytes = match (form, event.data()) {
        (Form::Structured, _) => event::json::encode(event),
        (Form::Raw, Some(data)) => data.bytes.to_vec(),
        (Form::Raw, None) => Vec::new(),
    };
    String::from_utf8(bytes).unwrap_or_else(|error| BASE64.encode(error.as_bytes()))
}

/// Each line of the content is a `data` line; the reader joins them again.
fn write_data(content: &str, text: &mut Vec<u8>) {
    // The protocol ends a line at CR, LF or both.
    let unified = content.replace("\r\n", "\n");
    for line in unified.split(['\n', '\r']) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_content_is_a_data_line() {
        for (content, expected) in [
            ("{}", "data: {}\n"),
            ("a\nb", "data: a\ndata: b\n"),
            ("a\r\nb\rc", "data: a\ndata: b\ndata: c\n"),
            ("", "data: \n"),
            ("a\n", "data: a\ndata: \n"),
        ] {
            let mut text = Vec::new();
            write_data(content, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), expected, "{content:?}");
        }
    }
}
