//! Refusals as RFC 9457 problems. The only place that knows status codes.
//!
//! Invariant: the caller gets the message, the log gets the cause; `code` is stable, the words are not.

use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::{error, warn};

use super::Door;
use crate::error::{Error, Kind};

/// An error on its way to the caller.
#[derive(Debug)]
pub(super) struct Problem(Error);

/// The answer of a route.
pub(super) type Answer<T = Response> = Result<T, Problem>;

/// Left in a response for [`count`].
#[derive(Clone)]
struct Refused(&'static str);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let (status, title) = status(error.kind(), error.code());
        match error.kind() {
            Kind::Internal => error!(code = error.code(), reason = ?error, "a request failed"),
            Kind::Unavailable => {
                warn!(code = error.code(), reason = ?error, "a request could not be served")
            }
            _ => {}
        }
        let body = json!({
            "type": format!("urn:busway:problem:{}", error.code()),
            "title": title,
            "status": status.as_u16(),
            "detail": error.message(),
            "code": error.code(),
        });
        let headers = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, headers, body.to_string()).into_response();
        if let Some(seconds) = retry_after(error.kind()) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Refused(error.code()));
        response
    }
}

fn status(kind: Kind, code: &str) -> (StatusCode, &'static str) {
    match kind {
        Kind::Invalid if code == "method_not_allowed" => {
            (StatusCode::METHOD_NOT_ALLOWED, "This method is not served here")
        }
        Kind::Invalid if code == "unauthorized" => (StatusCode::UNAUTHORIZED, "Who is asking?"),
        Kind::Invalid if code == "forbidden" => (StatusCode::FORBIDDEN, "These credentials do not allow this"),
        Kind::Invalid if code == "host_unknown" => (StatusCode::FORBIDDEN, "The hub does not answer to this name"),
        Kind::Invalid if code == "cross_origin" => (StatusCode::FORBIDDEN, "Web pages of other sites may not do this"),
        Kind::Invalid => (StatusCode::BAD_REQUEST, "The request is not valid"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        Kind::Conflict => (StatusCode::CONFLICT, "The request contradicts what is there"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
        Kind::UnsupportedMedia => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The media type is not understood"),
        Kind::Busy { .. } if code == "rate_limited" || code == "too_many_failures" => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many requests")
        }
        Kind::Busy { .. } => (StatusCode::TOO_MANY_REQUESTS, "The hub is full for the moment"),
        Kind::Unavailable if code == "too_many_subscriptions" => {
            (StatusCode::INSUFFICIENT_STORAGE, "There is no room for this")
        }
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "The hub cannot do this now"),
        Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "A fault of the hub"),
    }
}

fn retry_after(kind: Kind) -> Option<u64> {
    match kind {
        Kind::Busy { retry_after } => Some(retry_after.as_secs().max(1)),
        // It tries to recover every second; sooner makes no sense.
        Kind::Unavailable => Some(5),
        _ => None,
    }
}

/// No such path.
pub(super) async fn no_route(uri: Uri) -> Problem {
    let text = format!(
        "nothing is served at {}; the API is under /v1 (GET / lists it)",
        uri.path()
    );
    Problem(Error::not_found("route_not_found", text))
}

/// The path is there, the method is not.
pub(super) async fn no_method(method: Method, uri: Uri) -> Problem {
    let text = format!(
        "{method} is not served at {}; the header `Allow` says what is",
        uri.path()
    );
    Problem(Error::invalid("method_not_allowed", text))
}

/// Whether [`count`] counts this.
pub(super) fn is_counted(response: &Response) -> bool {
    response.extensions().get::<Refused>().is_some()
}

/// Counts what was refused.
pub(super) async fn count(State(door): State<Door>, response: Response) -> Response {
    let stable = response.extensions().get().map(|Refused(code)| *code);
    if let Some(code) = stable.or_else(|| unnamed(response.status())) {
        door.hub.count_refusal(code);
    }
    response
}

/// What older systems' refusals count as: they have no stable codes.
fn unnamed(status: StatusCode) -> Option<&'static str> {
    let code = match status.as_u16() {
        400 => "http_400",
        401 => "http_401",
        403 => "http_403",
        404 => "http_404",
        409 => "http_409",
        413 => "http_413",
        422 => "http_422",
        429 => "http_429",
        503 => "http_503",
        402..=499 => "http_4xx",
        500..=599 => "http_5xx",
        _ => return None,
    };
    Some(code)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_kind_has_its_status_and_says_when_to_come_back() {
        let busy = Kind::Busy {
            retry_after: Duration::from_millis(1_500),
        };
        for (kind, code, status, retry) in [
            (Kind::Invalid, "x", 400, None),
            (Kind::Invalid, "method_not_allowed", 405, None),
            (Kind::Invalid, "cross_origin", 403, None),
            (Kind::Invalid, "host_unknown", 403, None),
            (Kind::NotFound, "x", 404, None),
            (Kind::Conflict, "x", 409, None),
            (Kind::TooLarge, "x", 413, None),
            (Kind::UnsupportedMedia, "x", 415, None),
            (busy, "x", 429, Some("1")),
            (Kind::Unavailable, "x", 503, Some("5")),
            (Kind::Internal, "x", 500, None),
        ] {
            let response = Problem(Error::new(kind, code, "m")).into_response();
            let after = response
                .headers()
                .get("retry-after")
                .map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), after), (status, retry), "{kind:?}");
            assert_eq!(
                response.headers().get("content-type").unwrap(),
                "application/problem+json"
            );
        }
    }
}
