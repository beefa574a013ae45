//! Web pages of other sites, which a browser on this machine lets speak to a hub that trusts its neighbours.
//!
//! A page's requests say for whom they are, in `Origin`; programs send none, or the hub's own. Reading is left alone:
//! without CORS headers a page never sees the answer.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Whether a page of another site sent this.
pub fn is_foreign(headers: &HeaderMap, uri: &Uri) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let site = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let site = site.as_ref().and_then(Uri::authority);
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = named.or_else(|| uri.authority().map(|authority| authority.as_str()));
    !site
        .zip(host)
        .is_some_and(|(site, host)| site.as_str().eq_ignore_ascii_case(host))
}

/// Refuses what would change something for a page of another site.
pub(super) async fn refuse_changes(request: Request, next: Next) -> Response {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reading || !is_foreign(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let text =
        "the header `Origin` names another site than `Host`: web pages may use this only from the hub's own address\n";
    (StatusCode::FORBIDDEN, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_origin() {
        for (host, origin, foreign) in [
            (Some("127.0.0.1:8080"), None, false),
            (Some("127.0.0.1:8080"), Some("http://127.0.0.1:8080"), false),
            (Some("Localhost:8080"), Some("http://localhost:8080"), false),
            (Some("localhost:8080"), Some("http://localhost:9090"), true),
            (Some("localhost:8080"), Some("https://evil.example"), true),
            (Some("localhost:8080"), Some("null"), true),
            (None, Some("http://localhost:8080"), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(host.map(|host| (header::HOST, host.parse().unwrap())));
            headers.extend(origin.map(|origin| (header::ORIGIN, origin.parse().unwrap())));
            let found = is_foreign(&headers, &Uri::from_static("/v2/events"));
            assert_eq!(found, foreign, "{host:?} {origin:?}");
        }
    }
}
