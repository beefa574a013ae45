//! Docker Cloud's events, and Tutum's before it: a WebSocket out, and their own JSON in.
//!
//! | path | does |
//! |---|---|
//! | `GET /api/audit/v1/[NAMESPACE/]events[/]`, upgraded | `{"type":"auth"}`, then each event in a text frame (`listen`) |
//! | `POST` of the same | publishes one event or a list of them, all or none (`publish`); ours, there was no such call |
//! | `GET /v1/events`, upgraded | the same stream for Tutum's clients (the API hands it over) |
//!
//! A namespace is a bus; with none it is the user's own, if there is such a bus, or else `default`. `caller` knows who
//! asks, `shown` what an event looks like here, `narrow` the filters, `lineage` who is whose ancestor.
//! Invariant: no event is answered for that was not on disk; a listener sees what is published after its handshake.

mod caller;
mod lineage;
mod listen;
mod narrow;
mod publish;
mod shown;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Door;
use crate::error::Error;
use crate::log::BusName;
use lineage::Lineage;

/// Options.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether it is served.
    pub on: bool,
    /// Listeners at once; more are refused before their handshake.
    pub listeners: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: true,
            listeners: 10_000,
        }
    }
}

/// Its routes.
pub(super) fn routes() -> Router<Door> {
    let events = || {
        get(listen::open).post(publish::accept).fallback(async || {
            caller::Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are served here")
        })
    };
    // The documentation writes the last slash, the clients do not.
    Router::new()
        .route("/api/audit/v1/events", events())
        .route("/api/audit/v1/events/", events())
        .route("/api/audit/v1/{namespace}/events", events())
        .route("/api/audit/v1/{namespace}/events/", events())
        .layer(Extension(Arc::new(Hall::default())))
}

/// Nothing is kept: who listens is gone with its connection, and the hierarchy is read from the log when it is asked for.
///
/// # Errors
/// None; the other systems have some.
pub(super) async fn start(_door: &Door) -> Result<(), Error> {
    Ok(())
}

/// What all listeners share.
#[derive(Debug, Default)]
struct Hall {
    places: OnceLock<Arc<Semaphore>>,
    lineages: Mutex<HashMap<BusName, Arc<Lineage>>>,
}

impl Hall {
    /// One of `most` places, if one is free.
    fn place(&self, most: usize) -> Option<OwnedSemaphorePermit> {
        let places = self.places.get_or_init(|| Arc::new(Semaphore::new(most)));
        Arc::clone(places).try_acquire_owned().ok()
    }

    fn lineage(&self, bus: &BusName) -> Arc<Lineage> {
        let mut lineages = self.lineages.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lineages.entry(bus.clone()).or_default())
    }
}
