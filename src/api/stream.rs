//! `GET /v1/stream`: events as they come; server-sent events, or a WebSocket on upgrade.
//!
//! Both follow the log at their own position (`hub::EventStream`): TCP holds back a slow reader, and nothing piles up.

use axum::extract::{FromRequestParts, Request, State, WebSocketUpgrade};
use axum::http::{HeaderMap, header};

use super::error::Answer;
use super::events::Form;
use super::query::Query;
use super::scope::Scope;
use super::{Door, sse, websocket};
use crate::error::Error;
use crate::hub::Wish;
use crate::log::Offset;
use crate::subscription::Start;

/// Opens a stream.
pub(super) async fn open(State(door): State<Door>, scope: Scope, request: Request) -> Answer {
    let query = Query::of(
        request.uri(),
        &["type", "source", "subject", "filter", "from", "format"],
    )?;
    let form = Form::of(&query)?;
    let start = match last_event_id(request.headers())? {
        Some(after) => after,
        None => query.from()?.unwrap_or(Start::Latest),
    };
    let wish = Wish {
        bus: scope.bus(),
        start,
        selector: query.selector()?,
    };
    if !is_websocket(request.headers()) {
        return Ok(sse::answer(door.hub.stream(wish).await?, form, door.settings.heartbeat));
    }
    let (mut parts, _) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &door).await;
    let upgrade = upgrade.map_err(|refusal| {
        Error::invalid(
            "upgrade_refused",
            format!("the WebSocket handshake is not valid: {refusal}"),
        )
    })?;
    let stream = door.hub.stream(wish).await?;
    Ok(websocket::answer(upgrade, stream, form, door))
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Resumes after the event of this id, which is its offset.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Start>, Error> {
    let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let offset = id.to_str().ok().and_then(|id| id.parse::<u64>().ok());
    match offset {
        Some(offset) => Ok(Some(Start::Offset(Offset(offset.saturating_add(1))))),
        None => Err(Error::invalid(
            "invalid_last_event_id",
            "the header `Last-Event-ID` must be an offset, as the stream's own ids are",
        )),
    }
}
