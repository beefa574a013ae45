//! `POST` of Docker Cloud's own JSON: one event, or a list of them, all or none.
//!
//! Answers 202 once they are on disk: `{"events":[{"uuid","offset","duplicate"}]}`.
//! Invariant: everything is checked before anything is stored.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Door;
use super::caller::{Caller, Refusal, refuse_other_sites};
use super::listen::namespace;
use crate::access::Scope;
use crate::chance;
use crate::compat::body;
use crate::error::Error;
use crate::event::native::{Fresh, System, decode};

/// Publishes.
pub(super) async fn accept(State(door): State<Door>, request: Request) -> Result<Response, Refusal> {
    let (mut parts, body) = request.into_parts();
    refuse_other_sites(&door, &parts.headers)?;
    let caller = Caller::of(&door, &parts.headers, &parts.uri)?;
    let namespace = namespace(&mut parts).await;
    let bus = caller.bus(&door, namespace.as_deref())?;
    if !caller.may(Scope::Publish, &bus) {
        let text = format!("these credentials lack the scope `publish` on the bus `{bus}`");
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    }
    let source = namespace.map(|name| format!("/api/audit/v1/{name}/"));
    let fresh = Fresh {
        now: door.hub.clock().now(),
        bits: chance::bits(),
        source: source.as_deref(),
    };
    let body = body::read(body, door.hub.limits().batch_bytes).await;
    let body = body.map_err(|unread| Refusal::new(unread.status(), unread.words()))?;
    let events = decode(body, Some(System::DockerCloud), &fresh).map_err(Error::from)?;
    let ids: Vec<String> = events.iter().map(|event| event.id().to_owned()).collect();
    let appended = door.hub.publish(&bus, events).await?;
    let stored = ids.into_iter().zip(&appended).map(|(uuid, one)| Stored {
        uuid,
        offset: one.offset.0,
        duplicate: one.duplicate,
    });
    let receipt = Receipt {
        events: stored.collect(),
    };
    Ok((StatusCode::ACCEPTED, Json(receipt)).into_response())
}

#[derive(Serialize)]
struct Receipt {
    events: Vec<Stored>,
}

/// What became of one event.
#[derive(Serialize)]
struct Stored {
    uuid: String,
    offset: u64,
    duplicate: bool,
}
