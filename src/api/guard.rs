//! Who may do what on `/v1`: credentials in, a refusal or the request out.
//!
//! What a request needs follows from its method and path alone, in one table: no route can forget to ask.
//! Invariant: where nobody is asked ([`Access::is_open`]) nothing here refuses.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use crate::access::{Access, Principal, Scope};
use crate::error::Error;

/// Refuses who is not known, or may not do this.
pub(super) async fn refuse_strangers(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    if access.is_open() {
        return next.run(request).await;
    }
    let Some((scope, bus)) = needed(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    match who(&access, &request) {
        None => unauthorized(),
        Some(who) if who.may(scope, bus.as_deref()) => {
            // What a subscription may do besides hangs on its body: `scope` hands this to who reads it.
            request.extensions_mut().insert(who);
            next.run(request).await
        }
        Some(_) => Problem::from(forbidden(scope, bus.as_deref())).into_response(),
    }
}

fn who(access: &Access, request: &Request) -> Option<Principal> {
    let header = request.headers().get(header::AUTHORIZATION);
    match header.map(HeaderValue::to_str) {
        Some(Ok(value)) => access.header(value),
        Some(Err(_)) => None,
        None => access.anonymous(),
    }
}

/// The scope a request needs, and the bus (none: all of them); nothing for what everybody may ask.
fn needed(method: &Method, path: &str) -> Option<(Scope, Option<String>)> {
    let rest = match path {
        "/" | "/healthz" | "/readyz" => return None,
        // Its labels name buses, plugins and subscriptions.
        "/metrics" => return Some((Scope::Subscribe, None)),
        _ if path.split('/').nth(1) == Some("subscriptions") => path.strip_prefix('/')?,
        _ => path.strip_prefix("/v1/")?,
    };
    let (bus, rest) = match rest.strip_prefix("buses/") {
        Some(named) => match named.split_once('/') {
            Some((bus, rest)) => (Some(bus.to_owned()), rest),
            None => (Some(named.to_owned()), ""),
        },
        None => (None, rest),
    };
    let noun = rest.split('/').next().unwrap_or_default();
    let reading = matches!(*method, Method::GET | Method::HEAD);
    let default = || bus.clone().or_else(|| Some("default".to_owned()));
    match noun {
        _ if *method == Method::OPTIONS => None,
        "events" if reading => Some((Scope::Subscribe, default())),
        "events" => Some((Scope::Publish, default())),
        "stream" => Some((Scope::Subscribe, default())),
        "subscriptions" => Some((Scope::Subscribe, bus)),
        "explain" if reading => Some((Scope::Subscribe, None)),
        "plugins" | "dead-letters" | "replays" if reading => Some((Scope::Subscribe, None)),
        _ => Some((Scope::Admin, None)),
    }
}

fn unauthorized() -> Response {
    let text = "this hub asks for credentials: send `Authorization: Bearer NAME:SECRET` (or Basic) of an entry of its `[auth]`";
    let mut response = Problem::from(Error::invalid("unauthorized", text)).into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"busway\", Basic realm=\"busway\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

/// Somebody lacks a scope.
pub(super) fn forbidden(scope: Scope, bus: Option<&str>) -> Error {
    let text = format!(
        "these credentials lack the scope `{}` on {}",
        scope.word(),
        bus.map_or_else(|| "all buses".to_owned(), |bus| format!("the bus `{bus}`"))
    );
    Error::invalid("forbidden", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_needs_follows_from_its_line() {
        use Scope::{Admin, Publish, Subscribe};
        for (method, path, needs) in [
            (Method::GET, "/healthz", None),
            (Method::GET, "/", None),
            (Method::GET, "/metrics", Some((Subscribe, None))),
            (Method::OPTIONS, "/v1/events", None),
            (Method::POST, "/v1/events", Some((Publish, Some("default")))),
            (Method::GET, "/v1/events/3", Some((Subscribe, Some("default")))),
            (Method::POST, "/v1/buses/orders/events", Some((Publish, Some("orders")))),
            (
                Method::GET,
                "/v1/buses/orders/stream",
                Some((Subscribe, Some("orders"))),
            ),
            (
                Method::PUT,
                "/v1/buses/orders/subscriptions/a",
                Some((Subscribe, Some("orders"))),
            ),
            (Method::GET, "/v1/subscriptions", Some((Subscribe, None))),
            (Method::GET, "/subscriptions", Some((Subscribe, None))),
            (Method::PUT, "/subscriptions/a", Some((Subscribe, None))),
            (Method::OPTIONS, "/subscriptions/a", None),
            (Method::GET, "/consent/a/b", None),
            (Method::GET, "/v1/explain", Some((Subscribe, None))),
            (Method::GET, "/v1/plugins", Some((Subscribe, None))),
            (Method::POST, "/v1/plugins/x/promote", Some((Admin, None))),
            (Method::POST, "/v1/dead-letters/redeliver", Some((Admin, None))),
            (Method::DELETE, "/v1/dead-letters", Some((Admin, None))),
            (Method::GET, "/v1/replays/x", Some((Subscribe, None))),
            (Method::POST, "/v1/replay", Some((Admin, None))),
            (Method::DELETE, "/v1/replays/x", Some((Admin, None))),
            (Method::POST, "/v1/of-tomorrow", Some((Admin, None))),
        ] {
            let found = needed(&method, path);
            let found = found.as_ref().map(|(scope, bus)| (*scope, bus.as_deref()));
            assert_eq!(found, needs, "{method} {path}");
        }
    }
}
