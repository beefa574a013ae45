//! Request bodies, read up to a limit, and answers in JSON.
//!
//! Invariant: a body whose announced length is over the limit is refused before a byte of it is read.
//! Invariant: no body is waited for without end.
//! Invariant: what came with credentials that were revoked meanwhile is not taken: whoever trickles a body in would else
//! outlive them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use super::unique;
use crate::access::caller;
use crate::error::{Error, Kind};

/// Bodies that are not events are small.
const SETTINGS: usize = 1 << 20;
/// A body must be there within this time: whoever trickles one in holds a connection, of which there are not many.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Error> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        return Err(too_large(limit));
    }
    let whole = collect(body, limit, PATIENCE).await?;
    match caller::has_ended() {
        false => Ok(whole),
        true => Err(Error::invalid(
            "unauthorized",
            "these credentials were revoked, or expired, before the body had come",
        )),
    }
}

async fn collect(body: Body, limit: usize, patience: Duration) -> Result<Bytes, Error> {
    let whole = tokio::time::timeout(patience, Limited::new(body, limit).collect());
    let Ok(collected) = whole.await else {
        let text = format!("the body was not complete within {} seconds", patience.as_secs());
        return Err(Error::invalid("body_too_slow", text));
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(limit)),
        Err(_) => Err(Error::invalid(
            "body_incomplete",
            "the body did not come whole: the connection ended within it, or its chunks are malformed",
        )),
    }
}

fn too_large(limit: usize) -> Error {
    Error::new(
        Kind::TooLarge,
        "body_too_large",
        format!("the body is larger than {limit} bytes, the limit for this request"),
    )
}

/// Reads a JSON body.
pub(super) async fn json(headers: &HeaderMap, body: Body) -> Result<Value, Error> {
    let bytes = read(headers, body, SETTINGS).await?;
    parse(&bytes)
}

/// Reads a JSON body where there need not be one: none is an empty object.
pub(super) async fn json_or_nothing(headers: &HeaderMap, body: Body) -> Result<Value, Error> {
    let bytes = read(headers, body, SETTINGS).await?;
    let nothing = Value::Object(serde_json::Map::new());
    match bytes.is_empty() {
        true => Ok(nothing),
        false => parse(&bytes).map(|json| if json.is_null() { nothing } else { json }),
    }
}

/// JSON in which no object names a field twice.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    unique::from_slice(bytes)
        .map_err(|error| Error::invalid("malformed_json", format!("the body is not JSON: {error}")))
}

/// Answers with JSON.
pub(super) fn answer(status: StatusCode, json: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], json.to_string()).into_response()
}

/// Answers 200 with JSON.
pub(super) fn ok(json: &Value) -> Response {
    answer(StatusCode::OK, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let error = collect(Body::from_stream(never), 9, Duration::ZERO).await.unwrap_err();
        assert_eq!(error.code(), "body_too_slow");
    }
}
