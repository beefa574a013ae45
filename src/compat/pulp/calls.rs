//! The calls, each as Pulp answers it: who may, what is asked, what is done, what is said.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::listener::{COLLECTION, Listener};
use super::refusal::Refusal;
use super::upkeep;
use crate::access::Scope;
use crate::compat::Door;
use crate::compat::body::{self, Unread};
use crate::error::{Error, Kind};
use crate::event::native::{self, Fresh, System};
use crate::log::BusName;

/// More than any listener's JSON.
const MOST_BYTES: usize = 1 << 20;
/// The most of a body that an answer repeats.
const SHOWN: usize = 80;

/// A request, but for its body.
pub(super) struct Asked {
    door: Door,
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
}

impl FromRequestParts<Door> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Infallible> {
        Ok(Self {
            door: door.clone(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
        })
    }
}

impl Asked {
    /// The answer, or the refusal in Pulp's form.
    fn answer(&self, result: Result<Response, Refusal>) -> Response {
        result.unwrap_or_else(|refusal| refusal.answer(&self.method, &self.path))
    }

    /// The listener that the path names.
    fn listener(&self) -> Result<Listener, Refusal> {
        let id = self.path.strip_prefix(COLLECTION).unwrap_or_default();
        let id = id.trim_end_matches('/');
        upkeep::listener(&self.door, id).ok_or_else(|| {
            let shown = percent_decode_str(id).decode_utf8_lossy();
            Refusal::Missing(shown.into_owned())
        })
    }

    /// Whether whoever asks may; `operation` is Pulp's word for it.
    fn admit(&self, scope: Scope, operation: &'static str) -> Result<(), Refusal> {
        let access = &self.door.access;
        let who = match self.headers.get(header::AUTHORIZATION).map(HeaderValue::to_str) {
            None => access.anonymous().ok_or(Refusal::NoCredentials)?,
            Some(given) => {
                let given = given.unwrap_or_default();
                let unknown = || basic_name(given).map_or(Refusal::NoCredentials, Refusal::WrongCredentials);
                access.header(given).ok_or_else(unknown)?
            }
        };
        who.spend()?;
        if who.may(scope, Some(BusName::default_bus().as_str())) {
            return Ok(());
        }
        let user = who.name.map(|name| name.to_string()).unwrap_or_default();
        Err(Refusal::NotAllowed { user, operation })
    }
}

/// `GET` of all.
pub(super) async fn list(asked: Asked) -> Response {
    let listed = asked.admit(Scope::Subscribe, "READ").map(|()| {
        let all: Vec<String> = upkeep::listeners(&asked.door).iter().map(Listener::to_json).collect();
        shown(StatusCode::OK, format!("[{}]", all.join(", ")))
    });
    asked.answer(listed)
}

/// `POST` of a new one.
pub(super) async fn create(asked: Asked, body: Body) -> Response {
    asked.answer(created(&asked, body).await)
}

async fn created(asked: &Asked, body: Body) -> Result<Response, Refusal> {
    asked.admit(Scope::Subscribe, "CREATE")?;
    let body = object(&read(body, MOST_BYTES).await?)?;
    let door = &asked.door;
    let listener = Listener::create(&body, door.hub.clock().now(), crate::chance::bits())?;
    let _changing = door.changing.lock().await;
    let lacks = upkeep::keep(door, listener.clone(), None).await?;
    let mut response = shown(StatusCode::CREATED, listener.to_json());
    if let Ok(place) = HeaderValue::from_str(&listener.href()) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(warned(response, lacks))
}

/// `GET` of one.
pub(super) async fn show(asked: Asked) -> Response {
    let found = asked
        .admit(Scope::Subscribe, "READ")
        .and_then(|()| Ok(shown(StatusCode::OK, asked.listener()?.to_json())));
    asked.answer(found)
}

/// `PUT` of what changes of one.
pub(super) async fn update(asked: Asked, body: Body) -> Response {
    asked.answer(updated(&asked, body).await)
}

async fn updated(asked: &Asked, body: Body) -> Result<Response, Refusal> {
    asked.admit(Scope::Subscribe, "UPDATE")?;
    let bytes = read(body, MOST_BYTES).await?;
    let body = if bytes.is_empty() { Map::new() } else { object(&bytes)? };
    let door = &asked.door;
    let _changing = door.changing.lock().await;
    let old = asked.listener()?;
    let new = old.changed(&body, door.hub.clock().now())?;
    let lacks = upkeep::keep(door, new.clone(), Some(old)).await?;
    Ok(warned(shown(StatusCode::OK, new.to_json()), lacks))
}

/// `DELETE` of one.
pub(super) async fn remove(asked: Asked) -> Response {
    asked.answer(removed(&asked).await)
}

async fn removed(asked: &Asked) -> Result<Response, Refusal> {
    asked.admit(Scope::Subscribe, "DELETE")?;
    let _changing = asked.door.changing.lock().await;
    upkeep::forget(&asked.door, &asked.listener()?.id).await?;
    Ok(shown(StatusCode::OK, "null".to_owned()))
}

/// `POST` of a report: what a Pulp whose listener names this place sends. It counts nothing but a 200 as success. Which
/// of several Pulps it was can stand in the URL, as `?source=`.
pub(super) async fn report(asked: Asked, body: Body) -> Response {
    asked.answer(published(&asked, body).await)
}

async fn published(asked: &Asked, body: Body) -> Result<Response, Refusal> {
    asked.admit(Scope::Publish, "EXECUTE")?;
    let hub = &asked.door.hub;
    let bytes = read(body, hub.limits().event_bytes).await?;
    let mut named = form_urlencoded::parse(asked.query.as_bytes());
    let source = named.find(|(name, _)| name == "source").map(|(_, source)| source);
    let fresh = Fresh {
        now: hub.clock().now(),
        bits: crate::chance::bits(),
        source: source.as_deref(),
    };
    let events = native::decode(bytes, Some(System::Pulp), &fresh).map_err(Error::from)?;
    let ids: Vec<String> = events.iter().map(|event| event.id().to_owned()).collect();
    let appended = hub.publish(&BusName::default_bus(), events).await?;
    let events: Vec<Value> = ids
        .iter()
        .zip(&appended)
        .map(|(id, one)| json!({"id": id, "offset": one.offset.0, "duplicate": one.duplicate}))
        .collect();
    Ok(shown(StatusCode::OK, json!({"events": events}).to_string()))
}

/// Any other path under `/pulp/`.
pub(super) async fn unknown() -> Response {
    shown(StatusCode::NOT_FOUND, "null".to_owned())
}

/// Another method than the collection has.
pub(super) async fn no_such_collection_call(method: Method) -> Response {
    allowed(&method, "GET, POST, HEAD, OPTIONS")
}

/// Another method than a listener has.
pub(super) async fn no_such_listener_call(method: Method) -> Response {
    allowed(&method, "GET, PUT, DELETE, HEAD, OPTIONS")
}

/// Another method than a report has.
pub(super) async fn no_such_report_call(method: Method) -> Response {
    allowed(&method, "POST, OPTIONS")
}

fn allowed(method: &Method, methods: &'static str) -> Response {
    let status = match *method {
        Method::OPTIONS => StatusCode::OK,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    (status, [(header::ALLOW, methods)]).into_response()
}

fn shown(status: StatusCode, json: String) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        json,
    )
        .into_response()
}

/// What the hub does not do of a listener, where no client of Pulp's looks (RFC 9111, 5.5: `199` is any warning).
fn warned(mut response: Response, lacks: Option<String>) -> Response {
    let clean = |c: char| {
        if c.is_ascii_graphic() && c != '"' && c != '\\' {
            c
        } else {
            ' '
        }
    };
    let text = lacks.map(|lacks| format!("199 busway \"{}\"", lacks.chars().map(clean).collect::<String>()));
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(header::WARNING, value);
    }
    response
}

async fn read(whole: Body, most: usize) -> Result<Bytes, Refusal> {
    body::read(whole, most).await.map_err(|unread| {
        let error = match unread {
            Unread::TooLarge(_) => Error::new(Kind::TooLarge, "body_too_large", unread.words()),
            Unread::Incomplete => Error::invalid("body_incomplete", unread.words()),
            Unread::TooSlow(_) => Error::invalid("body_too_slow", unread.words()),
            Unread::Revoked => Error::invalid("unauthorized", unread.words()),
        };
        Refusal::Hub(error)
    })
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        let shown = String::from_utf8_lossy(bytes);
        Refusal::NotUtf8(shown.chars().take(SHOWN).collect())
    })?;
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Refusal::NotAnObject),
        Err(_) => Err(Refusal::NotJson),
    }
}

/// The name in Basic credentials, for the words of their refusal.
fn basic_name(given: &str) -> Option<String> {
    let (scheme, rest) = given.trim().split_once(' ')?;
    let decoded = BASE64
        .decode(rest.trim())
        .ok()
        .filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(decoded).ok()?;
    Some(text.split_once(':')?.0.to_owned())
}
