//! What the tests share: the real program on a free port, and a sink that answers as it is told.
//!
//! Nothing here sleeps: a test waits for a line of the log, a request that arrives, or an end.

mod command;
mod hub;
mod receiver;

use std::time::Duration;

pub(crate) use command::{busway, run};
pub(crate) use hub::HubProcess;
pub(crate) use receiver::{Receiver, status};

/// How long a test waits for what must come before it fails. Nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A client of the product's own making.
pub(crate) fn client() -> busway::net::Client {
    busway::net::Client::new(busway::net::Guard::new(busway::net::GuardSettings::default()))
}
