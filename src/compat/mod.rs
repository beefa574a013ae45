//! The four older systems, each in a place of its own: translate, never decide.
//!
//! Each is a way in (its producers' JSON becomes an event, byte for byte) and a way out (its clients are answered as
//! they know it), under its own original paths. What they keep for themselves (rules, listeners, callbacks) are
//! documents of the hub; what delivers is an ordinary subscription, to be seen in `/v1/subscriptions`.
//! Invariant: a document is written before the subscriptions that stand for it; [`start`] mends what a crash left.
//! Invariant: every call asks [`Access`] first, in the words of its own system.

mod body;
pub mod docker_cloud;
pub mod eventbridge;
pub mod marathon;
pub mod parting;
pub mod pulp;
pub mod site;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn;

use crate::access::Access;
use crate::error::Error;
use crate::hub::Hub;
use crate::tasks::Tasks;

/// Options of all four.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Marathon.
    pub marathon: marathon::Settings,
    /// Docker Cloud.
    pub docker_cloud: docker_cloud::Settings,
    /// Alibaba EventBridge.
    pub eventbridge: eventbridge::Settings,
    /// Pulp.
    pub pulp: pulp::Settings,
}

impl Settings {
    /// The names of those that are on.
    pub fn served(&self) -> Vec<&'static str> {
        let all = [
            ("Marathon", self.marathon.on),
            ("Docker Cloud", self.docker_cloud.on),
            ("Alibaba EventBridge", self.eventbridge.on),
            ("Pulp", self.pulp.on),
        ];
        all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
    }
}

/// What every route works with. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    /// The hub.
    pub hub: Hub,
    /// Who may do what.
    pub access: Arc<Access>,
    /// Options.
    pub settings: Arc<Settings>,
    /// The owner of what a route starts.
    pub tasks: Tasks,
    /// Held while a document is read, changed and written with what stands for it, so that no change is lost.
    pub changing: Arc<tokio::sync::Mutex<()>>,
}

/// The routes of those that are on.
pub fn router(door: Door) -> Router {
    let all = [
        (door.settings.marathon.on, marathon::routes as fn() -> Router<Door>),
        (door.settings.docker_cloud.on, docker_cloud::routes),
        (door.settings.eventbridge.on, || guarded(eventbridge::routes())),
        (door.settings.pulp.on, || guarded(pulp::routes())),
    ];
    let routes = all
        .into_iter()
        .filter(|(on, _)| *on)
        .fold(Router::new(), |routes, (_, more)| routes.merge(more()));
    routes.with_state(door)
}

/// Not for pages of other sites. (The other two answer such a page in their own words.)
fn guarded(routes: Router<Door>) -> Router<Door> {
    routes.layer(from_fn(site::refuse_changes))
}

/// Brings what delivers in line with what is kept, before the first caller comes.
///
/// # Errors
/// What is kept cannot be read or written.
pub async fn start(door: &Door) -> Result<(), Error> {
    if door.settings.marathon.on {
        marathon::start(door).await?;
    }
    if door.settings.docker_cloud.on {
        docker_cloud::start(door).await?;
    }
    if door.settings.eventbridge.on {
        eventbridge::start(door).await?;
    }
    if door.settings.pulp.on {
        pulp::start(door).await?;
    }
    Ok(())
}
