//! `/v1/plugins/{name}/trial`: a candidate in the shadow of live traffic; and `…/promote`, which makes it live.
//!
//! A candidate comes as `application/wasm`: no web page can send that without asking first (see `origin`).

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use serde_json::json;

use super::error::Answer;
use super::query::{Query, invalid};
use super::scope::Scope;
use super::{Door, body};
use crate::error::{Error, Kind};
use crate::units::parse_duration;

/// The largest candidate.
const LARGEST: usize = 64 << 20;
/// How long a trial lasts if nobody says.
const LENGTH: Duration = Duration::from_secs(60);

/// `POST …/trial?for=60s`: 201 with the first report.
pub(super) async fn start(State(door): State<Door>, scope: Scope, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    let query = Query::of(&uri, &["for"])?;
    let length = match query.one("for")? {
        None => LENGTH,
        Some(text) => {
            let rule = format_args!("must be a duration such as 60s, not `{text}`");
            parse_duration(text).ok_or_else(|| invalid("for", rule))?
        }
    };
    let media = headers.get(header::CONTENT_TYPE).map(|media| media.as_bytes());
    if media != Some(b"application/wasm") {
        let text = "a candidate is sent as its bytes, with the content-type application/wasm";
        return Err(Error::new(Kind::UnsupportedMedia, "candidate_media_type", text).into());
    }
    let bytes = body::read(&headers, body, LARGEST).await?;
    let report = door.hub.start_trial(&scope.item, bytes, length).await?;
    Ok(body::answer(StatusCode::CREATED, &json!(report)))
}

/// `GET …/trial`: how it goes, or went.
pub(super) async fn show(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    Ok(body::ok(&json!(door.hub.trial(&scope.item)?)))
}

/// `DELETE …/trial`: ends and forgets it; its last report.
pub(super) async fn end(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    Ok(body::ok(&json!(door.hub.end_trial(&scope.item)?)))
}

/// `POST …/promote?force=true`: the candidate takes the live plugin's place; the report.
pub(super) async fn promote(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    let query = Query::of(&uri, &["force"])?;
    let force = match query.one("force")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(invalid("force", format_args!("must be true or false, not `{other}`")).into()),
    };
    Ok(body::ok(&json!(door.hub.promote(&scope.item, force).await?)))
}
