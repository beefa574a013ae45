//! The end of a WebSocket: a close is answered, and ours is said and waited for, so that a client sees a clean end
//! (browsers show anything else as 1006, and Go's library as an unexpected EOF).
//!
//! Invariant: nobody is waited for longer than a second: a client that does not read must not hold up a shutdown.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::SinkExt as _;

/// For what a client does at the end.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of a reason, by RFC 6455.
const REASON: usize = 123;

/// After `last`, which is the last that came: the client's close, a breach of the protocol, or the end of its line.
pub async fn follow(mut socket: WebSocket, last: Option<Result<Message, axum::Error>>) {
    match last {
        Some(Err(error)) => say(socket, &[], close_code::PROTOCOL, &error.to_string()).await,
        // The library has its answer ready. The client may be gone already: nothing more can be done for it.
        _ => drop(tokio::time::timeout(PATIENCE, socket.close()).await),
    }
}

/// Sends these last messages and a close, and waits for the client's own.
pub async fn say(mut socket: WebSocket, messages: &[Message], code: u16, reason: &str) {
    let short = reason.floor_char_boundary(REASON);
    let close = Message::Close(Some(CloseFrame {
        code,
        reason: reason.get(..short).unwrap_or_default().into(),
    }));
    let end = async {
        for message in messages.iter().cloned().chain([close]) {
            socket.send(message).await?;
        }
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    // The client may be gone already: nothing more can be done for it.
    drop(tokio::time::timeout(PATIENCE, end).await);
}
