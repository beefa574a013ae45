//! `POST /v2/events`: takes the callbacks of a real Marathon, so that this hub can be one of its `http_endpoints`.
//!
//! Marathon sends one event a request and only asks for a 2xx. The callback's URL may name the sender, so that
//! several can be told apart: `…/v2/events?source=http://marathon-a:8080`.
//! Where the sender gives a delivery an id that stays over its retries (`webhook-id`, as this hub does), the event's id
//! follows from it, and a repeated delivery is no second event. Nor is one that comes round: hubs that are each other's
//! callbacks, or a hub that is its own, would else send an event in a circle for ever.

use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use ring::digest;
use serde_json::json;

use super::asked::Asked;
use super::refusal::Refusal;
use crate::compat::{Door, body};
use crate::event::native::{self, Fresh, System};

/// The member that tells events apart which are alike otherwise.
const STAMP: &[u8] = b"\"timestamp\"";

/// Publishes one event (or a list of them); 200 once it is on disk.
pub(super) async fn publish(door: &Door, asked: &Asked, body: Body) -> Result<Response, Refusal> {
    let settings = &door.settings.marathon;
    let most = door.hub.limits().event_bytes;
    let bytes = body::read(body, most)
        .await
        .map_err(|unread| Refusal::unread(&unread))?;
    let named = asked.value("source").filter(|source| !source.is_empty());
    let fresh = Fresh {
        now: door.hub.clock().now(),
        bits: bits(asked, &bytes),
        source: Some(named.as_deref().unwrap_or(&settings.source)),
    };
    let events = native::decode(bytes, Some(System::Marathon), &fresh);
    let events = events.map_err(|fault| Refusal::not_json(fault.to_string()))?;
    let ids: Vec<String> = events.iter().map(|event| event.id().to_owned()).collect();
    let appended = door.hub.publish(&settings.bus, events).await?;
    let receipt = ids.iter().zip(appended);
    let receipt: Vec<_> = receipt
        .map(|(id, one)| json!({"id": id, "offset": one.offset.0, "duplicate": one.duplicate}))
        .collect();
    let text = json!({ "events": receipt }).to_string();
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// What the id is made of: by chance, unless the sender names the delivery. Then of its body, which stays the same all
/// the way round, and has the millisecond in it; without that, of the delivery's name too.
fn bits(asked: &Asked, body: &[u8]) -> u128 {
    let Some(delivery) = asked.text(HeaderName::from_static("webhook-id")) else {
        return crate::chance::bits();
    };
    let mut hash = digest::Context::new(&digest::SHA256);
    if !body.windows(STAMP.len()).any(|part| part == STAMP) {
        hash.update(delivery.as_bytes());
        hash.update(b"\n");
    }
    hash.update(body);
    let hash = hash.finish();
    let first = hash.as_ref().first_chunk().copied();
    first.map_or_else(crate::chance::bits, u128::from_be_bytes)
}
