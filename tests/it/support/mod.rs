//! What the tests share: the real program on a free port, and a sink that answers as it is told.
//!
//! No test sleeps: it waits for a line of the log, a request that arrives, an end, or a state that the hub shows
//! ([`until`], the one place that asks again and again).

mod broker;
mod clients;
mod command;
#[cfg(target_os = "linux")]
mod faults;
mod guests;
mod hub;
mod mail;
mod marked;
mod plugins;
mod qpid;
mod raw;
mod receiver;
mod wire;

use std::time::Duration;

pub(crate) use broker::Broker;
pub(crate) use clients::Clients;
pub(crate) use command::{busway, run};
#[cfg(target_os = "linux")]
pub(crate) use faults::{Fault, Faults};
pub(crate) use guests::{built, keep_compiled, lend_compiled, tools};
pub(crate) use hub::HubProcess;
pub(crate) use mail::{Letter, MailServer};
pub(crate) use marked::{Deed, mark, marked};
pub(crate) use plugins::{component, generation, place, take_away};
pub(crate) use qpid::QpidPeer;
pub(crate) use raw::Raw;
pub(crate) use receiver::{Receiver, Request, status};
pub(crate) use wire::{Received, Sse, WebSocket, basic};

/// How long a test waits for what must come before it fails. Nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A client of the product's own making.
pub(crate) fn client() -> busway::net::Client {
    busway::net::Client::new(busway::net::Guard::new(busway::net::GuardSettings::default()))
}

/// Asks again and again, until it is so; fails the test if it never is.
pub(crate) async fn until(what: &str, enough: impl AsyncFnMut() -> bool) {
    assert!(comes_true(enough).await, "never came true: {what}");
}

/// The same, for those who have more to say when it is not.
async fn comes_true(mut enough: impl AsyncFnMut() -> bool) -> bool {
    let asked = async {
        // Not a wait for something to have happened: a pause, so that the question does not starve the answer.
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !enough().await {
            pause.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.is_ok()
}
