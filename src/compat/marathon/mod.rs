//! Marathon's event bus (1.4, the last that had both transports): callbacks, the stream of server-sent events, `/ping`.
//!
//! `asked` is a request as Marathon reads one, `refusal` its error bodies, `dress` the headers of every answer;
//! `callbacks` is `/v2/eventSubscriptions` (`endpoint`: which URLs Java takes), `stream` is `/v2/events` (`show`: an
//! event as its clients know it, `members`: JSON changed without respelling it), `intake` takes the callbacks of a
//! real Marathon, and `own` makes the events that the surface itself causes.
//!
//! Why one entrance and not a handler a route: Marathon's headers, challenge and error bodies are on every answer,
//! those of unknown paths too.
//! Better than the original: callbacks are retried and survive a restart, and a slow reader of the stream reads on
//! from the log, where Marathon drops.
//! Invariant: no event that is not Marathon's own kind is shown to a client that did not name its type.

mod asked;
mod callbacks;
mod dress;
mod endpoint;
mod intake;
mod members;
mod own;
mod refusal;
mod show;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

pub use endpoint::Endpoint;

use super::Door;
use crate::access::Scope;
use crate::error::Error;
use crate::log::BusName;
use asked::Asked;
use refusal::Refusal;

/// Options.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether it is served.
    pub on: bool,
    /// The bus that it stands for.
    pub bus: BusName,
    /// Whether callbacks are served (`event_subscriber`).
    pub callbacks: bool,
    /// Callbacks that are there from the start (`http_endpoints`).
    pub endpoints: Vec<Endpoint>,
    /// A callback that answers later than this has failed.
    pub slow_consumer: Duration,
    /// The `source` of events whose sender does not say it.
    pub source: String,
    /// In the challenge of a 401.
    pub realm: String,
    /// Web pages of this origin may read (CORS); none: no other site's.
    pub allow_origin: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: true,
            bus: BusName::default_bus(),
            callbacks: true,
            endpoints: Vec::new(),
            slow_consumer: Duration::from_secs(10),
            source: "/marathon".to_owned(),
            realm: "Mesosphere".to_owned(),
            allow_origin: None,
        }
    }
}

/// Its routes.
pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/v2", any(enter))
        .route("/v2/", any(enter))
        .route("/v2/{*rest}", any(enter))
        .route("/ping", any(enter))
}

/// Brings subscriptions in line with what is kept, and takes up the endpoints of the settings.
///
/// # Errors
/// What is kept cannot be read or written.
pub(super) async fn start(door: &Door) -> Result<(), Error> {
    callbacks::mend(door).await?;
    if door.settings.marathon.callbacks {
        callbacks::take_up(door).await?;
    }
    Ok(())
}

async fn enter(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(parts);
    let settings = &door.settings.marathon;
    let answered = match refuse_strangers(&door, &asked) {
        Ok(()) => answer(&door, &asked, body).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = answered.unwrap_or_else(|refusal| refusal.answer(&settings.realm));
    dress::dress(&mut response, settings, &asked);
    response
}

/// What a request needs follows from its path and method; whoever may not is refused before anything is looked at.
fn refuse_strangers(door: &Door, asked: &Asked) -> Result<(), Refusal> {
    if asked.path() == "/ping" || *asked.method() == Method::OPTIONS {
        return Ok(());
    }
    let publishes = *asked.method() == Method::POST && asked.path() == "/v2/events";
    let scope = if publishes { Scope::Publish } else { Scope::Subscribe };
    let who = match asked.text(header::AUTHORIZATION) {
        Some(value) => door.access.header(value),
        None => door.access.anonymous(),
    };
    let who = who.ok_or_else(Refusal::unauthorized)?;
    who.spend()?;
    if !who.may(scope, Some(door.settings.marathon.bus.as_str())) {
        return Err(Refusal::forbidden());
    }
    let reads = matches!(*asked.method(), Method::GET | Method::HEAD);
    if !reads && !asked.is_of_this_site() {
        return Err(Refusal::other_site());
    }
    Ok(())
}

async fn answer(door: &Door, asked: &Asked, body: axum::body::Body) -> Result<Response, Refusal> {
    match (asked.path(), asked.method()) {
        (_, &Method::OPTIONS) => Ok(([(header::ALLOW, allowed(asked.path()))], "").into_response()),
        ("/ping", &Method::GET | &Method::HEAD) => Ok(ping(asked)),
        ("/v2/eventSubscriptions", method) => callbacks::answer(door, asked, method).await,
        ("/v2/events", &Method::GET) => stream::open(door, asked).await,
        ("/v2/events", &Method::HEAD) => stream::head(asked),
        ("/v2/events", &Method::POST) => intake::publish(door, asked, body).await,
        ("/v2/events", method) => Err(Refusal::page(method, asked.path())),
        ("/ping", _) => Err(Refusal::method(allowed(asked.path()))),
        _ => Err(Refusal::no_path(asked.path_as_sent())),
    }
}

/// `OPTIONS`, and the header of a 405. Of `/v2/events` Marathon's own word: that it takes a POST here is ours.
fn allowed(path: &str) -> &'static str {
    match path {
        "/v2/eventSubscriptions" => "OPTIONS, GET, HEAD, POST, DELETE",
        _ => "GET, HEAD, OPTIONS",
    }
}

fn ping(asked: &Asked) -> Response {
    let (kind, text) = match asked.wants_json() {
        true => ("application/json", "\"pong\""),
        false => ("text/plain", "pong"),
    };
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], text).into_response()
}
