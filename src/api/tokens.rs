//! `/v1/tokens`: credentials, made, listed and revoked by who administers everything.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::error::Answer;
use super::query::{Query, invalid};
use super::scope::Scope;
use super::{Door, body};
use crate::access::Token;
use crate::error::Error;
use crate::hub::Forced;

/// Said once, with the first token of a hub that asked nobody until then.
const FROM_NOW_ON: &str =
    "from now on everybody is asked for credentials, on every way in; streams that were opened without any have ended";

/// `POST`: 201, with the token itself: nobody is shown it again.
pub(super) async fn create(State(door): State<Door>, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    let forced = forced(&uri)?;
    let json = body::json(&headers, body).await?;
    let issued = door.hub.create_token(&json, forced).await?;
    let mut shown = issued.token.shown();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("token".to_owned(), json!(issued.text.0));
        fields.extend(issued.first.then(|| ("note".to_owned(), json!(FROM_NOW_ON))));
    }
    let mut response = body::answer(StatusCode::CREATED, &shown);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let location = HeaderValue::from_str(&format!("/v1/tokens/{}", issued.token.id)).ok();
    headers.extend(location.map(|location| (header::LOCATION, location)));
    Ok(response)
}

/// `GET`: all, without what proves them.
pub(super) async fn list(State(door): State<Door>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let all: Vec<Value> = door.hub.access().tokens().iter().map(Token::shown).collect();
    Ok(body::ok(&json!({ "tokens": all })))
}

/// `DELETE …/{id}`: 204; by its name too.
pub(super) async fn revoke(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    let forced = forced(&uri)?;
    door.hub.revoke_token(&scope.item, forced).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn forced(uri: &Uri) -> Result<Forced, Error> {
    match Query::of(uri, &["force"])?.one("force")? {
        None | Some("false") => Ok(Forced::No),
        Some("true" | "") => Ok(Forced::Yes),
        Some(other) => Err(invalid("force", format_args!("must be true or false, not `{other}`"))),
    }
}
