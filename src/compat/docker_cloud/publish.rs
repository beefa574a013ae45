//! `POST` of Docker Cloud's own JSON: one event, or a list of them, all or none.
//!
//! Answers 202 once they are on disk: `{"events":[{"uuid","offset","duplicate"}]}`.
//! Invariant: everything is checked before anything is stored.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;

use super::Door;
use super::caller::{Caller, Refusal, refuse_other_sites};
use super::listen::namespace;
use crate::access::Scope;
use crate::chance;
use crate::error::Error;
use crate::event::native::{Fresh, System, decode};

/// A body must be there within this time.
const PATIENCE: Duration = Duration::from_secs(60);

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
    let body = read(body, door.hub.limits().batch_bytes).await?;
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

async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let whole = tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await;
    let refuse = |status, text: String| Err(Refusal::new(status, text));
    match whole {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {limit} bytes, the limit for this request"),
        ),
        Ok(Err(_)) => refuse(
            StatusCode::BAD_REQUEST,
            "the body did not come whole: the connection ended within it".to_owned(),
        ),
        Err(_) => refuse(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body was not complete within {} seconds", PATIENCE.as_secs()),
        ),
    }
}
