//! `GET /?Action=…` is an RPC call of EventBridge's: older tools and the `aliyun` command line send it so.
//!
//! Why a layer: the path says where things are by every other request, and whoever calls signs in the query, so it must
//! pass before anybody is asked for a header. The call's own surface asks.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use url::form_urlencoded;

use crate::compat::eventbridge::RPC_BY_GET;

/// Hands RPC calls over to the routes of the older systems.
pub(super) async fn hand_over(State(older): State<Router>, mut request: Request, next: Next) -> Response {
    if !is_call(&request) {
        return next.run(request).await;
    }
    let query = request.uri().query().unwrap_or_default();
    let Ok(call) = format!("{RPC_BY_GET}?{query}").parse::<Uri>() else {
        return next.run(request).await;
    };
    *request.uri_mut() = call;
    TowerToHyperService::new(older).call(request).await.into_response()
}

fn is_call(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let names_action = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "Action")
        || request.headers().contains_key("x-acs-action");
    request.method() == Method::GET && request.uri().path() == "/" && names_action
}
