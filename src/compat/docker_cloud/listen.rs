//! The stream: the handshake, and what a listener is sent.
//!
//! `{"type":"auth"}` first, then events as they come; nothing is repeated for who was away, as it never was. What goes
//! wrong is said in a frame `{"type":"error","data":{"errorMessage":…}}`. The end of the hub is a close 1001, a fault
//! 1011. Clients ping every few seconds and are answered by the library; a quiet listener is pinged too, so that one
//! that is gone is found.
//! Invariant: who is refused is refused before the handshake (401, 404, 426, 503), but for the one client that does not
//! understand that.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, close_code};
use axum::extract::{FromRequestParts, RawPathParams, Request, State, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::SinkExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tracing::warn;

use super::caller::{Caller, Refusal, refuse_other_sites, unknown};
use super::narrow::Narrow;
use super::shown::Shown;
use super::{Door, Hall};
use crate::access::Scope;
use crate::compat::parting;
use crate::filter::Selector;
use crate::hub::{EventStream, Item, Only, Wish};
use crate::log::BusName;
use crate::subscription::Start;

/// What a client has to say here is a close, a ping or a pong: little.
const INCOMING: usize = 64 << 10;
/// For what comes in, a listener.
const READ_BUFFER: usize = 1 << 10;
/// Events that go out with one write, at most; then the client is listened to.
const TOGETHER: usize = 64;
/// A listener for whom there is nothing is pinged this often.
const QUIET: Duration = Duration::from_secs(30);
/// Every listener's first frame.
const GREETING: Utf8Bytes = Utf8Bytes::from_static(r#"{"type":"auth"}"#);

/// Opens a stream.
pub(super) async fn open(
    State(door): State<Door>,
    Extension(hall): Extension<Arc<Hall>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (mut parts, _) = request.into_parts();
    refuse_other_sites(&door, &parts.headers)?;
    let bus = match bus(&door, &mut parts).await {
        Err(refusal) if refusal.is_unauthorized() && knows_no_401(&parts.headers) => {
            return Ok(upgrade(&mut parts, &door).await?.on_upgrade(turn_away));
        }
        bus => bus?,
    };
    let upgrade = upgrade(&mut parts, &door).await?;
    let place = hall.place(door.settings.docker_cloud.listeners).ok_or_else(|| {
        let text = "as many listen as this hub allows; come back later";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).retry_after(5)
    })?;
    let narrow = Narrow::of(parts.uri.query().unwrap_or_default());
    let events = follow(&door, &hall, bus, narrow).await?;
    Ok(upgrade
        .max_message_size(INCOMING)
        .max_frame_size(INCOMING)
        .read_buffer_size(READ_BUFFER)
        .on_upgrade(move |socket| send_all(socket, events, place)))
}

/// The bus that is meant, if its events may be read by who asks.
async fn bus(door: &Door, parts: &mut Parts) -> Result<BusName, Refusal> {
    let caller = Caller::of(door, &parts.headers, &parts.uri)?;
    let bus = caller.bus(door, namespace(parts).await.as_deref())?;
    if !caller.may(Scope::Subscribe, &bus) {
        let text = format!("UNAUTHORIZED: these credentials lack the scope `subscribe` on the bus `{bus}`");
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, text));
    }
    match door.hub.has_bus(&bus) {
        true => Ok(bus),
        false => Err(unknown(bus.as_str())),
    }
}

/// Tutum's Python client takes a refused handshake for a broken line, and comes back at once and for ever. It ends at
/// an error frame of one text.
fn knows_no_401(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    agent.is_some_and(|agent| agent.windows(13).any(|part| part == b"python-tutum/"))
}

async fn turn_away(socket: WebSocket) {
    parting::say(socket, &[fault("UNAUTHORIZED")], close_code::POLICY, "UNAUTHORIZED").await;
}

/// The namespace that the path names.
pub(super) async fn namespace(parts: &mut Parts) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    params.iter().next().map(|(_, value)| value.to_owned())
}

async fn upgrade(parts: &mut Parts, door: &Door) -> Result<WebSocketUpgrade, Refusal> {
    if !asks_for_websocket(&parts.headers) {
        let text = "this is a WebSocket: ask with `Connection: Upgrade` and `Upgrade: websocket`";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, text));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(parts, door).await;
    upgrade.map_err(|refused| {
        let text = format!("the WebSocket handshake is not valid: {refused}");
        Refusal::new(StatusCode::BAD_REQUEST, text)
    })
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The events that are wanted, from now on.
async fn follow(door: &Door, hall: &Hall, bus: BusName, narrow: Narrow) -> Result<EventStream, Refusal> {
    let lineage = hall.lineage(&bus);
    let wish = Wish {
        bus: bus.clone(),
        start: Start::Latest,
        selector: Selector::default(),
    };
    let events = door.hub.stream(wish).await?;
    if narrow.is_empty() {
        return Ok(events);
    }
    if narrow.asks_for_parents() {
        // After the stream was opened: what comes between the two is learnt twice, and not missed.
        lineage.catch_up(&door.hub, &bus).await?;
    }
    let test: Only = Arc::new(move |record| narrow.wants(record, &lineage));
    Ok(events.only(test))
}

async fn send_all(mut socket: WebSocket, mut events: EventStream, place: OwnedSemaphorePermit) {
    let mut message = Message::Text(GREETING);
    while send(&mut socket, message, &mut events).await.is_ok() {
        message = loop {
            tokio::select! {
                item = tokio::time::timeout(QUIET, events.next()) => match item {
                    Err(_) => break Message::Ping(Vec::new().into()),
                    Ok(Some(Ok(item))) => break frame(&item),
                    Ok(Some(Err(error))) => {
                        warn!(reason = ?error, "a listener is sent away: the log cannot be read");
                        let why = [fault(error.message())];
                        return parting::say(socket, &why, close_code::ERROR, "the hub met a fault").await;
                    }
                    Ok(None) => return parting::say(socket, &[], close_code::AWAY, events.farewell()).await,
                },
                // Pings are answered by the library; nothing else that a client says matters.
                received = socket.recv() => if let last @ (Some(Ok(Message::Close(_)) | Err(_)) | None) = received {
                    return parting::follow(socket, last).await;
                },
            }
        };
    }
    drop(place);
}

/// Sends a message, and with it the events that are at hand.
async fn send(socket: &mut WebSocket, message: Message, events: &mut EventStream) -> Result<(), axum::Error> {
    socket.feed(message).await?;
    for item in std::iter::from_fn(|| events.ready()).take(TOGETHER) {
        socket.feed(frame(&item)).await?;
    }
    socket.flush().await
}

fn frame(item: &Item) -> Message {
    match item {
        Item::Record(record) => Message::Text(Shown::of(record).frame(record)),
        Item::Gap(gap) => fault(&format!(
            "{} events are missing: retention removed them before this listener came to them",
            gap.end.0.saturating_sub(gap.start.0)
        )),
    }
}

/// `{"type":"error",…}`: never filtered.
fn fault(text: &str) -> Message {
    // In the documented order.
    let text = serde_json::Value::from(text);
    Message::Text(format!("{{\"type\":\"error\",\"data\":{{\"errorMessage\":{text}}}}}").into())
}
