//! `/consent/{id}/{key}`: the target of a callback agrees to be sent events (CloudEvents webhooks, section 4.1.3).
//!
//! GET and POST do the same: a person may open the URL that they found in a log. Nobody needs credentials for it, since
//! the key in it is one.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Door;
use super::error::Answer;

/// `HEAD`: no consent. Programs that only look at what a link is (chats, mail readers) ask so.
pub(super) async fn look() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, POST")]).into_response()
}

/// `GET`, `POST`.
pub(super) async fn agree(
    State(door): State<Door>,
    Path((id, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    door.hub.agree(&id, &key, &headers).await?;
    let plain = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((plain, "Thank you: events will be delivered.\n").into_response())
}
