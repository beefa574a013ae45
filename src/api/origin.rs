//! Web pages of other sites may not act on a hub that trusts its neighbours.
//!
//! Why so: on a loopback address nobody is asked for credentials, and a browser on the same machine will send a
//! "simple" POST, or open a WebSocket, for any page that asks. It says for whom, in `Origin`; everybody else (curl,
//! clients in programs) sends none. Reading is left alone: without CORS headers the page never sees the answer.

use axum::extract::Request;
use axum::http::{Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use crate::error::Error;

/// Refuses what changes something, and WebSockets, for a page of another site.
pub(super) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let reading = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && !upgrade;
    if reading || is_same_site(&request) {
        return next.run(request).await;
    }
    let text = "the header `Origin` names another site than `Host`: web pages may use this API only from the hub's own address";
    Problem::from(Error::invalid("cross_origin", text)).into_response()
}

fn is_same_site(request: &Request) -> bool {
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return true;
    };
    let site = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.parse::<Uri>().ok())
        .and_then(|origin| origin.authority().cloned());
    let host = text(header::HOST).or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    site.is_some_and(|site| host.is_some_and(|host| site.as_str().eq_ignore_ascii_case(host)))
}
