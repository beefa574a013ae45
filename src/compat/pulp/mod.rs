//! Pulp 2's event listeners: `/pulp/api/v2/events/`, its three notifiers, and a way in for its reports.
//!
//! `calls` are the calls and `refusal` what they say no with; `listener` is what Pulp keeps and shows, `sink` the
//! subscription that stands for it, `upkeep` what keeps the two in line; `settings` are `[email]` and `[messaging]`.
//! Better than Pulp: what cannot be delivered is tried again, and survives a restart; every delivery can be looked at in
//! `/v1/subscriptions/pulp-ID`. A listener to `*` gets every event of the bus `default`, those of other producers as the
//! payload of a report.
//! Left out: OAuth and client certificates, and `ca_path`, which is accepted and warned of.
//! Invariant: a listener is accepted or refused by Pulp's rules alone; what cannot be notified is kept, and told.

mod calls;
mod listener;
mod refusal;
pub mod settings;
mod sink;
mod upkeep;

use axum::Router;
use axum::routing::{any, get, post};

pub use settings::Settings;

use super::Door;
use crate::error::Error;

/// Its routes.
pub(super) fn routes() -> Router<Door> {
    let report = || post(calls::report).fallback(calls::no_such_report_call);
    Router::new()
        .route(
            "/pulp/api/v2/events/",
            get(calls::list)
                .post(calls::create)
                .fallback(calls::no_such_collection_call),
        )
        .route(
            "/pulp/api/v2/events/{id}/",
            get(calls::show)
                .put(calls::update)
                .delete(calls::remove)
                .fallback(calls::no_such_listener_call),
        )
        // Ours: where a Pulp's own http listener points, to send its reports here.
        .route("/pulp/api/v2/events/report/", report())
        .route("/pulp/api/v2/events/report", report())
        .route("/pulp/", any(calls::unknown))
        .route("/pulp/{*rest}", any(calls::unknown))
}

/// Brings subscriptions in line with the listeners, and keeps them so.
///
/// # Errors
/// What is kept cannot be read or written.
pub(super) async fn start(door: &Door) -> Result<(), Error> {
    let changes = door.hub.plugin_changes();
    upkeep::mend(door).await?;
    door.tasks.spawn(upkeep::follow(door.clone(), changes));
    Ok(())
}
