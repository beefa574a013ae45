//! The stream over a WebSocket: one text frame an event, `{"offset","received","event"}`, or `{"gap"}`.
//!
//! With `format=raw` a frame is the data alone. Invariant: the hub's end is told (1001), so is a fault (1011).

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::response::Response;
use tracing::warn;

use super::events::{Form, write_record};
use super::{Door, sse};
use crate::hub::{EventStream, Item};

/// What a client has to say here is a close or a pong: little.
const INCOMING: usize = 64 << 10;

/// Answers the upgrade and follows the stream.
pub(super) fn answer(upgrade: WebSocketUpgrade, events: EventStream, form: Form, door: Door) -> Response {
    upgrade
        .max_message_size(INCOMING)
        .max_frame_size(INCOMING)
        .on_upgrade(move |socket| follow(socket, events, form, door))
}

async fn follow(mut socket: WebSocket, mut events: EventStream, form: Form, door: Door) {
    loop {
        let message = tokio::select! {
            item = tokio::time::timeout(door.settings.heartbeat, events.next()) => match item {
                Err(_) => Message::Ping(Vec::new().into()),
                Ok(Some(Ok(item))) => Message::Text(frame(&item, form).into()),
                Ok(Some(Err(error))) => {
                    warn!(reason = ?error, "a stream ends: the log cannot be read");
                    return close(socket, close_code::ERROR, "the log cannot be read now").await;
                }
                Ok(None) => return close(socket, close_code::AWAY, "the hub is shutting down").await,
            },
            // Pings are answered by the library; a close or an error ends it.
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

fn frame(item: &Item, form: Form) -> String {
    match (item, form) {
        (Item::Gap(gap), _) => format!("{{\"gap\":{{\"from\":{},\"to\":{}}}}}", gap.start.0, gap.end.0),
        (Item::Record(record), Form::Raw) => sse::content(&record.event, Form::Raw),
        (Item::Record(record), Form::Structured) => {
            let mut text = Vec::with_capacity(record.event.weight());
            write_record(record, &mut text);
            // JSON is UTF-8.
            String::from_utf8(text).unwrap_or_default()
        }
    }
}

async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    // The client may be gone already: nothing more can be done for it.
    let _ = socket
        .send(Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        })))
        .await;
}
