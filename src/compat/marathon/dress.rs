//! The headers of every answer: nothing is cached, who leads, and what web pages may read.

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, Method};
use axum::response::Response;

use super::Settings;
use super::asked::Asked;

/// Adds them. The hub is its own leader, by the name that the client calls it by.
pub(super) fn dress(response: &mut Response, settings: &Settings, asked: &Asked) {
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate"),
    );
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
    let leader = asked
        .host()
        .and_then(|host| HeaderValue::from_str(&format!("{}://{host}", asked.scheme())).ok());
    if let Some(leader) = leader {
        headers.insert(HeaderName::from_static("x-marathon-leader"), leader);
    }
    let allowed = settings.allow_origin.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(origin)) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if *asked.method() == Method::OPTIONS {
            preflight(response, asked);
        }
    }
}

fn preflight(response: &mut Response, asked: &Asked) {
    let headers = response.headers_mut();
    let wanted = asked.text(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(Ok(wanted)) = wanted.map(HeaderValue::from_str) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    }
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, OPTIONS"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}
