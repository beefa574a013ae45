//! A WebSocket at `/v1/events` is a client of Tutum's, from before Docker Cloud: it gets the older stream.
//!
//! Why a layer: the path is ours by every other request, and the client's credentials may be in the query, so it must
//! pass before anybody is asked for a header. The older stream asks for them itself.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

/// Where the stream is.
const STREAM: &str = "/api/audit/v1/events";

/// Hands Tutum's clients over to the routes of the older systems.
pub(super) async fn hand_over(State(older): State<Router>, mut request: Request, next: Next) -> Response {
    let upgrade = request.headers().get(header::UPGRADE);
    let websocket = upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !websocket || !matches!(request.uri().path(), "/v1/events" | "/v1/events/") {
        return next.run(request).await;
    }
    let query = request.uri().query().unwrap_or_default();
    let Ok(stream) = format!("{STREAM}?{query}").parse::<Uri>() else {
        return next.run(request).await;
    };
    *request.uri_mut() = stream;
    TowerToHyperService::new(older).call(request).await.into_response()
}
