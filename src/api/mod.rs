//! The HTTP API, version 1: translate, never decide. The route table is this file; each noun has one of its own.
//!
//! A request passes `gate` (who is it? for every front door), `origin` (no web page of another site), `guard` (may they?
//! for `/v1`), and finds its bus by `scope`, its words by `query` and `body` (within the `room` that all bodies share).
//! `cloudevents` is the Subscriptions API; `rpc` and `tutum` tell older clients apart that use paths of ours.
//! `/v1/…` means the bus `default` for events, and every bus for subscriptions; `/v1/buses/{bus}/…` means that bus.
//! Invariant: every refusal, of whatever route or none, is `application/problem+json` with a stable code (`error`).
//! Invariant: no body is read past its limit, and none whose announced length is over it is read at all.

mod body;
mod cloudevents;
mod consent;
mod dead_letters;
mod error;
mod events;
mod explain;
mod gate;
mod guard;
mod origin;
mod plugins;
mod query;
mod replay;
mod room;
mod rpc;
mod scope;
mod sse;
mod status;
mod stream;
mod subscriptions;
#[cfg(test)]
mod tests;
mod tokens;
mod trial;
mod tutum;
mod unique;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_response_with_state};
use axum::routing::{delete, get, post};

use crate::access::Access;
use crate::hub::Hub;
use crate::time::Clock;

pub use room::Room;

/// Options of the API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A stream on which nothing happens says that it is alive this often.
    pub heartbeat: Duration,
    /// What the hub answers to besides addresses and `localhost`; none: to every name.
    pub names: Option<Arc<[String]>>,
    /// Who may do what.
    pub access: Arc<Access>,
    /// What else is served beside `/v1`; it asks for credentials itself.
    pub beside: Router,
    /// Whether a WebSocket at `/v1/events` goes to what is beside: a client of Tutum's.
    pub tutum: bool,
    /// Whether `GET /?Action=…` goes there: an RPC call of EventBridge's.
    pub rpc: bool,
    /// What the bodies of all requests may hold together, on all addresses.
    pub room: Room,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            names: None,
            access: Arc::new(Access::new(Default::default(), Clock::system())),
            beside: Router::new(),
            tutum: false,
            rpc: false,
            room: Room::new(256 << 20),
        }
    }
}

/// What every route works with.
#[derive(Clone)]
struct Door {
    hub: Hub,
    settings: Settings,
}

/// The routes, with the default options.
pub fn router(hub: Hub) -> Router {
    router_with(hub, Settings::default())
}

/// The routes.
pub fn router_with(hub: Hub, settings: Settings) -> Router {
    let door = Door { hub, settings };
    let routes = routes()
        .layer(from_fn_with_state(door.clone(), guard::refuse_strangers))
        .merge(door.settings.beside.clone().with_state(()));
    let routes = match door.settings.tutum {
        true => routes.layer(from_fn_with_state(door.settings.beside.clone(), tutum::hand_over)),
        false => routes,
    };
    let routes = match door.settings.rpc {
        true => routes.layer(from_fn_with_state(door.settings.beside.clone(), rpc::hand_over)),
        false => routes,
    };
    let guarded = match &door.settings.names {
        Some(names) => routes.layer(from_fn_with_state(names.clone(), origin::refuse_other_names)),
        None => routes,
    };
    guarded
        .layer(from_fn_with_state(door.settings.room.clone(), room::hold))
        .layer(map_response_with_state(door.clone(), error::count))
        .layer(from_fn_with_state(door.clone(), gate::attend))
        .with_state(door)
}

fn routes() -> Router<Door> {
    Router::new()
        .nest("/v1", on_a_bus())
        .nest("/v1/buses/{bus}", on_a_bus())
        .route(
            "/v1/dead-letters",
            get(dead_letters::list).delete(dead_letters::discard),
        )
        .route("/v1/dead-letters/{id}", get(dead_letters::show))
        .route("/v1/dead-letters/redeliver", post(dead_letters::redeliver))
        .route("/v1/replay", post(replay::start))
        .route("/v1/replays", get(replay::list))
        .route("/v1/replays/{id}", get(replay::show).delete(replay::cancel))
        .route(
            "/subscriptions",
            post(cloudevents::create)
                .get(cloudevents::list)
                .options(cloudevents::collection_options),
        )
        .route(
            "/subscriptions/{id}",
            get(cloudevents::show)
                .put(cloudevents::replace)
                .delete(cloudevents::remove)
                .options(cloudevents::item_options),
        )
        .route("/v1/tokens", post(tokens::create).get(tokens::list))
        .route("/v1/tokens/{id}", delete(tokens::revoke))
        .route("/v1/explain", get(explain::show))
        .route("/v1/plugins", get(plugins::list))
        .route("/v1/plugins/{name}", get(plugins::show))
        .route(
            "/v1/plugins/{name}/trial",
            post(trial::start).get(trial::show).delete(trial::end),
        )
        .route("/v1/plugins/{name}/promote", post(trial::promote))
        .route(
            "/consent/{id}/{key}",
            get(consent::agree).post(consent::agree).head(consent::look),
        )
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready))
        .route("/metrics", get(status::metrics))
        .route("/", get(status::pointer))
        .fallback(error::no_route)
        .method_not_allowed_fallback(error::no_method)
        .layer(from_fn(origin::refuse_other_sites))
}

/// The nouns that live on a bus.
fn on_a_bus() -> Router<Door> {
    Router::new()
        .route(
            "/events",
            post(events::publish).get(events::list).options(events::consent),
        )
        .route("/events/{offset}", get(events::show))
        .route("/stream", get(stream::open))
        .route(
            "/subscriptions",
            post(subscriptions::create)
                .get(subscriptions::list)
                .options(subscriptions::collection_options),
        )
        .route(
            "/subscriptions/{id}",
            get(subscriptions::show)
                .put(subscriptions::replace)
                .patch(subscriptions::patch)
                .delete(subscriptions::remove)
                .options(subscriptions::item_options),
        )
        .route("/subscriptions/{id}/pause", post(subscriptions::pause))
        .route("/subscriptions/{id}/resume", post(subscriptions::resume))
        .route("/subscriptions/{id}/test", post(subscriptions::test))
        .route("/subscriptions/{id}/rotate-secret", post(subscriptions::rotate_secret))
        .route("/subscriptions/{id}/deliveries", get(subscriptions::deliveries))
}
