//! The events that this surface itself causes: who subscribed, who listens.
//!
//! They go the way of every event (log, filters, subscriptions), so that every listener sees them and a replay does.
//! Invariant: fields in Marathon's order, the timestamp with three digits.

use bytes::Bytes;
use serde::Serialize;

use crate::compat::Door;
use crate::error::Error;
use crate::event::native::{self, Fresh, System};
use crate::log::Offset;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscription<'a> {
    client_ip: &'a str,
    callback_url: &'a str,
    event_type: &'a str,
    timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listening<'a> {
    remote_address: &'a str,
    event_type: &'a str,
    timestamp: String,
}

/// `subscribe_event` or `unsubscribe_event`.
pub(super) fn subscription(door: &Door, ty: &str, client_ip: &str, callback_url: &str) -> Bytes {
    json(&Subscription {
        client_ip,
        callback_url,
        event_type: ty,
        timestamp: door.hub.clock().now().to_string(),
    })
}

/// `event_stream_attached` or `event_stream_detached`.
pub(super) fn listening(door: &Door, ty: &str, remote_address: &str) -> Bytes {
    json(&Listening {
        remote_address,
        event_type: ty,
        timestamp: door.hub.clock().now().to_string(),
    })
}

fn json(event: &impl Serialize) -> Bytes {
    // A struct of texts is always JSON.
    serde_json::to_vec(event).unwrap_or_default().into()
}

/// Publishes one; where it is in the log.
pub(super) async fn publish(door: &Door, json: Bytes) -> Result<Offset, Error> {
    let settings = &door.settings.marathon;
    let fresh = Fresh {
        now: door.hub.clock().now(),
        bits: crate::chance::bits(),
        source: Some(&settings.source),
    };
    let events = native::decode(json, Some(System::Marathon), &fresh)?;
    let appended = door.hub.publish(&settings.bus, events).await?;
    Ok(appended.first().map(|one| one.offset).unwrap_or_default())
}
