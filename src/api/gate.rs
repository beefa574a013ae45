//! The outermost layer, before all front doors: whose request this is, and whether to listen to them at all.
//!
//! An address from which too many wrong credentials came is turned away before any others are looked at, right ones too:
//! an answer to those would tell a guesser which guess was right. What asks for no credentials, and what brings none, is
//! served all the same.
//! Invariant: credentials count as wrong where some were looked at and nobody was recognised, whatever the door's words.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::Door;
use super::error::{Problem, is_counted};
use crate::access::caller;
use crate::error::{Error, Kind};

/// Parameters of a query in which older systems' clients send credentials.
const IN_QUERY: [&str; 4] = ["auth", "token", "AccessKeyId", "Signature"];

/// Serves a request as its sender's.
pub(super) async fn attend(State(door): State<Door>, request: Request, next: Next) -> Response {
    let access = &door.settings.access;
    let address = address(&request);
    if !access.is_open()
        && let Some(wait) = access.turned_away(address).filter(|_| brings_credentials(&request))
    {
        door.hub.count_refusal("too_many_failures");
        return too_many(wait).into_response();
    }
    let (response, end) = caller::serving(address, next.run(request)).await;
    if end.stranger {
        access.failed(address);
    }
    // `/v1` counts its refusals itself, whatever they are; these also come from the older systems' doors.
    if !is_counted(&response) {
        let code = end
            .stranger
            .then_some("unauthorized")
            .or(end.limited.then_some("rate_limited"));
        code.into_iter().for_each(|code| door.hub.count_refusal(code));
    }
    response
}

fn address(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| peer.ip())
}

fn brings_credentials(request: &Request) -> bool {
    // RPC calls of EventBridge's have them in the body.
    let in_body = *request.method() == Method::POST && request.uri().path() == "/";
    let query = request.uri().query().unwrap_or_default();
    let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    in_body
        || request.headers().contains_key(header::AUTHORIZATION)
        || names.any(|name| IN_QUERY.contains(&name.as_ref()))
}

fn too_many(wait: Duration) -> Problem {
    let text = "too many wrong credentials came from this address (`listen.auth_failures`); try again later";
    Error::new(Kind::Busy { retry_after: wait }, "too_many_failures", text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_seen_wherever_clients_put_them() {
        for (method, uri, header, brings) in [
            (Method::GET, "/v1/events", false, false),
            (Method::GET, "/v1/events", true, true),
            (Method::GET, "/v1/events?token=x&user=y", false, true),
            (Method::GET, "/v1/events?type=token", false, false),
            (Method::GET, "/?Action=PutEvents&AccessKeyId=x", false, true),
            (Method::POST, "/", false, true),
            (Method::GET, "/", false, false),
        ] {
            let mut request = Request::builder().method(&method).uri(uri);
            if header {
                request = request.header("authorization", "Bearer x");
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            assert_eq!(brings_credentials(&request), brings, "{method} {uri}");
        }
    }
}
