//! The stream over a WebSocket: one text frame an event, `{"offset","received","event"}`, or `{"gap"}`.
//!
//! With `format=raw` a frame is the data alone. Invariant: the hub's end is told (1001), so is a fault (1011).

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, close_code};
use axum::response::Response;
use futures_util::SinkExt as _;
use tracing::warn;

use super::events::{Form, write_record};
use super::{Door, sse};
use crate::compat::parting;
use crate::hub::{EventStream, Item};
use crate::log::Record;

/// What a client has to say here is a close or a pong: little.
const INCOMING: usize = 64 << 10;
/// For what comes in, a connection: the library's own 128 KiB would be most of what a listener costs.
const READ_BUFFER: usize = 1 << 10;
/// Events that go out with one write, at most; then the client is listened to.
const TOGETHER: usize = 64;

/// Answers the upgrade and follows the stream.
pub(super) fn answer(upgrade: WebSocketUpgrade, events: EventStream, form: Form, door: Door) -> Response {
    upgrade
        .max_message_size(INCOMING)
        .max_frame_size(INCOMING)
        .read_buffer_size(READ_BUFFER)
        .on_upgrade(move |socket| follow(socket, events, form, door))
}

async fn follow(mut socket: WebSocket, mut events: EventStream, form: Form, door: Door) {
    loop {
        let message = tokio::select! {
            item = tokio::time::timeout(door.settings.heartbeat, events.next()) => match item {
                Err(_) => Message::Ping(Vec::new().into()),
                Ok(Some(Ok(item))) => frame(&item, form),
                Ok(Some(Err(error))) => {
                    warn!(reason = ?error, "a stream ends: the log cannot be read");
                    return parting::say(socket, &[], close_code::ERROR, "the log cannot be read now").await;
                }
                Ok(None) => return parting::say(socket, &[], close_code::AWAY, events.farewell()).await,
            },
            // Pings are answered by the library; a close or an error ends it.
            received = socket.recv() => match received {
                last @ (Some(Ok(Message::Close(_)) | Err(_)) | None) => return parting::follow(socket, last).await,
                Some(Ok(_)) => continue,
            },
        };
        if send(&mut socket, message, &mut events, form).await.is_err() {
            return;
        }
    }
}

/// Sends a message, and with it the events that are at hand.
async fn send(
    socket: &mut WebSocket,
    message: Message,
    events: &mut EventStream,
    form: Form,
) -> Result<(), axum::Error> {
    socket.feed(message).await?;
    for item in std::iter::from_fn(|| events.ready()).take(TOGETHER) {
        socket.feed(frame(&item, form)).await?;
    }
    socket.flush().await
}

/// The texts of a record, made once for all streams.
struct Structured(Utf8Bytes);
struct Raw(Utf8Bytes);

fn frame(item: &Item, form: Form) -> Message {
    Message::Text(match (item, form) {
        (Item::Gap(gap), _) => format!("{{\"gap\":{{\"from\":{},\"to\":{}}}}}", gap.start.0, gap.end.0).into(),
        (Item::Record(record), Form::Raw) => {
            let raw = record.once(|record| Raw(sse::content(&record.event, Form::Raw).into()));
            raw.0.clone()
        }
        (Item::Record(record), Form::Structured) => record.once(|record| Structured(structured(record))).0.clone(),
    })
}

fn structured(record: &Record) -> Utf8Bytes {
    let mut text = Vec::with_capacity(record.event.weight());
    write_record(record, &mut text);
    // JSON is UTF-8.
    String::from_utf8(text).unwrap_or_default().into()
}
