//! Who may do what on `/v1`: credentials in, a refusal or the request out.
//!
//! What a request needs follows from its method and path alone, in one table: no route can forget to ask. What a path
//! names by an id is on the bus that it is on, and not there for who may do nothing on that bus. Where a path names
//! neither ([`Place::Somewhere`]) whoever may do it on some bus comes in, and the route narrows what they see by
//! `scope`.
//! Invariant: where nobody is asked ([`Access::is_open`]) nothing here refuses.
//! Invariant: a path that the table does not know needs `admin` everywhere.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::Door;
use super::error::Problem;
use crate::access::{Access, Principal, Scope};
use crate::error::Error;
use crate::hub::Hub;

/// Refuses who is not known, may not do this, or does it too often.
pub(super) async fn refuse_strangers(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let access = &door.settings.access;
    let admitted = match access.anonymous() {
        Some(anybody) => Ok(Some(anybody)),
        None => admit(&door, access, &request),
    };
    match admitted {
        Err(refusal) => *refusal,
        Ok(None) => next.run(request).await,
        Ok(Some(who)) => {
            // What they may do besides hangs on the body: `scope` hands this to who reads it.
            request.extensions_mut().insert(who);
            next.run(request).await
        }
    }
}

fn admit(door: &Door, access: &Access, request: &Request) -> Result<Option<Principal>, Box<Response>> {
    let Some((scope, place)) = needed(request.method(), request.uri().path()) else {
        return Ok(None);
    };
    let header = request.headers().get(header::AUTHORIZATION).map(HeaderValue::to_str);
    let who = header.and_then(Result::ok).and_then(|value| access.header(value));
    let who = who.ok_or_else(|| Box::new(unauthorized()))?;
    let allowed = who
        .spend()
        .and_then(|()| allow(&door.hub, &who, scope, place.named(request)));
    allowed.map_err(|error| Box::new(Problem::from(error).into_response()))?;
    Ok(Some(who))
}

/// Where a scope is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// On all buses.
    Everywhere,
    /// On this one.
    Bus(String),
    /// On that of the subscription with this id.
    Subscription(String),
    /// On that of the subscription that the query names.
    Asked,
    /// On any: the route shows and changes what is on those.
    Somewhere,
}

impl Place {
    /// The same, with what the query says.
    fn named(self, request: &Request) -> Self {
        match self {
            Self::Asked => {
                let query = request.uri().query().unwrap_or_default().as_bytes();
                let mut pairs = form_urlencoded::parse(query);
                let id = pairs.find(|(name, _)| name == "subscription");
                Self::Subscription(id.map(|(_, id)| id.into_owned()).unwrap_or_default())
            }
            other => other,
        }
    }
}

fn allow(hub: &Hub, who: &Principal, scope: Scope, place: Place) -> Result<(), Error> {
    let bus = match place {
        Place::Everywhere | Place::Asked => None,
        Place::Bus(bus) => Some(bus),
        Place::Somewhere => {
            return who
                .may_somewhere(scope)
                .then_some(())
                .ok_or_else(|| forbidden_anywhere(scope));
        }
        Place::Subscription(id) => {
            if !who.may_somewhere(scope) {
                return Err(forbidden_anywhere(scope));
            }
            // What is not there yet is made on the bus that the body names, which the route looks at.
            return match hub.subscription(None, &id) {
                Ok(found) if !who.may(scope, Some(found.bus.as_str())) => Err(hub.no_such_subscription(&id)),
                _ => Ok(()),
            };
        }
    };
    match who.may(scope, bus.as_deref()) {
        true => Ok(()),
        false => Err(forbidden(scope, bus.as_deref())),
    }
}

/// The scope a request needs, and where; nothing for what everybody may ask.
fn needed(method: &Method, path: &str) -> Option<(Scope, Place)> {
    let rest = match path {
        "/" | "/healthz" | "/readyz" => return None,
        // Its labels name buses, plugins and subscriptions.
        "/metrics" => return Some((Scope::Subscribe, Place::Everywhere)),
        _ if path.split('/').nth(1) == Some("subscriptions") => path.strip_prefix('/')?,
        _ => path.strip_prefix("/v1/")?,
    };
    if *method == Method::OPTIONS {
        return None;
    }
    let (bus, rest) = match rest.strip_prefix("buses/") {
        Some(named) => match named.split_once('/') {
            Some((bus, rest)) => (Some(decoded(bus)), rest),
            None => (Some(decoded(named)), ""),
        },
        None => (None, rest),
    };
    let mut parts = rest.split('/');
    let (noun, item) = (
        parts.next().unwrap_or_default(),
        parts.next().filter(|item| !item.is_empty()),
    );
    let reading = matches!(*method, Method::GET | Method::HEAD);
    let default = || Place::Bus(bus.clone().unwrap_or_else(|| "default".to_owned()));
    match noun {
        "events" if reading => Some((Scope::Subscribe, default())),
        "events" => Some((Scope::Publish, default())),
        "stream" => Some((Scope::Subscribe, default())),
        "subscriptions" => {
            let place = match (&bus, item) {
                (Some(bus), _) => Place::Bus(bus.clone()),
                (None, Some(id)) => Place::Subscription(decoded(id)),
                (None, None) => Place::Somewhere,
            };
            Some((Scope::Subscribe, place))
        }
        "explain" if reading => Some((Scope::Subscribe, Place::Asked)),
        "plugins" if reading => Some((Scope::Subscribe, Place::Everywhere)),
        "dead-letters" | "replays" if reading => Some((Scope::Subscribe, Place::Somewhere)),
        "dead-letters" | "replay" | "replays" => Some((Scope::Admin, Place::Somewhere)),
        _ => Some((Scope::Admin, Place::Everywhere)),
    }
}

/// A part of a path as the routes read it. What is not UTF-8 they refuse.
fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

fn unauthorized() -> Response {
    let text = "this hub asks for credentials: send `Authorization: Bearer TOKEN` with a token of its `/v1/tokens`, or `Bearer NAME:SECRET` (or Basic) of an entry of its `[auth]`";
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

fn forbidden_anywhere(scope: Scope) -> Error {
    let text = format!("these credentials lack the scope `{}` on any bus", scope.word());
    Error::invalid("forbidden", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_needs_follows_from_its_line() {
        use Place::{Asked, Everywhere, Somewhere};
        use Scope::{Admin, Publish, Subscribe};
        let bus = |name: &str| Place::Bus(name.to_owned());
        let one = |id: &str| Place::Subscription(id.to_owned());
        for (method, path, needs) in [
            (Method::GET, "/healthz", None),
            (Method::GET, "/metrics", Some((Subscribe, Everywhere))),
            (Method::POST, "/v1/events", Some((Publish, bus("default")))),
            (Method::GET, "/v1/events/3", Some((Subscribe, bus("default")))),
            (Method::POST, "/v1/buses/orders/events", Some((Publish, bus("orders")))),
            (
                Method::POST,
                "/v1/buses/or%64ers/events",
                Some((Publish, bus("orders"))),
            ),
            (Method::GET, "/v1/buses/orders/stream", Some((Subscribe, bus("orders")))),
            (Method::GET, "/v1/buses/busway/events", Some((Subscribe, bus("busway")))),
            (
                Method::PUT,
                "/v1/buses/orders/subscriptions/a",
                Some((Subscribe, bus("orders"))),
            ),
            (Method::GET, "/v1/subscriptions", Some((Subscribe, Somewhere))),
            (Method::POST, "/v1/subscriptions/", Some((Subscribe, Somewhere))),
            (Method::GET, "/v1/subscriptions/a", Some((Subscribe, one("a")))),
            (
                Method::POST,
                "/v1/subscriptions/%61/rotate-secret",
                Some((Subscribe, one("a"))),
            ),
            (Method::GET, "/subscriptions", Some((Subscribe, Somewhere))),
            (Method::PUT, "/subscriptions/a", Some((Subscribe, one("a")))),
            (Method::OPTIONS, "/subscriptions/a", None),
            (Method::GET, "/consent/a/b", None),
            (Method::GET, "/v1/explain", Some((Subscribe, Asked))),
            (Method::GET, "/v1/plugins", Some((Subscribe, Everywhere))),
            (Method::POST, "/v1/plugins/x/promote", Some((Admin, Everywhere))),
            (Method::GET, "/v1/dead-letters", Some((Subscribe, Somewhere))),
            (Method::POST, "/v1/dead-letters/redeliver", Some((Admin, Somewhere))),
            (Method::DELETE, "/v1/dead-letters", Some((Admin, Somewhere))),
            (Method::GET, "/v1/dead-letters/7", Some((Subscribe, Somewhere))),
            (Method::GET, "/v1/replays/x", Some((Subscribe, Somewhere))),
            (Method::POST, "/v1/replay", Some((Admin, Somewhere))),
            (Method::DELETE, "/v1/replays/x", Some((Admin, Somewhere))),
            (Method::GET, "/v1/tokens", Some((Admin, Everywhere))),
            (Method::DELETE, "/v1/tokens/a", Some((Admin, Everywhere))),
            (Method::POST, "/v1/of-tomorrow", Some((Admin, Everywhere))),
        ] {
            assert_eq!(needed(&method, path), needs, "{method} {path}");
        }
    }
}
