//! Sends events as email: SMTP over the TCP connections that the hub grants, letters by the crate lettre.
//!
//! It is built for `wasm32-wasip2`, where std's sockets are wasi:sockets: names are looked up and addresses checked by the
//! hub. TLS is rustls, inside the guest. (Rejected: the host's `wasi:tls`, a draft that is not in the contract.)
//!
//! `template`, `occurrence`, `letter`, `pulp`: from an event to a letter, pure. `wire`, `session`, `courier`, `notes`: from a letter
//! to the server, and what its answers mean. `config`: what `init` takes.
//! Invariant: what is refused for good (a wrong config) is refused in `init`, before any event is at stake.

mod config;
mod courier;
mod letter;
mod notes;
mod occurrence;
mod pulp;
mod session;
mod template;
mod wire;

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use config::Config;
use courier::{Courier, Failed};
use exports::busway::plugin::notifier::{About, Delivery, Event, Failure, Guest, Head};
use letter::Origin;
use occurrence::Occurrence;

wit_bindgen::generate!({ path: "../../wit/v0", world: "notifier-plugin" });

const SCHEMA: &str = include_str!("../config.schema.json");

/// Set by `init`, which the hub calls once per instance, before anything else.
static COURIER: OnceLock<Mutex<Courier>> = OnceLock::new();

struct Notifier;

impl Guest for Notifier {
    fn describe() -> About {
        About {
            summary: "sends events as email".to_owned(),
            config_schema: Some(SCHEMA.to_owned()),
        }
    }

    fn init(config: String) -> Result<(), String> {
        let config = Config::parse(&config, std::env::var(config::PASSWORD).ok())?;
        let courier = Mutex::new(Courier::new(config));
        COURIER.set(courier).map_err(|_| "init was called twice".to_owned())
    }

    #[allow(clippy::disallowed_methods, reason = "the clock of a guest is its host's")]
    fn notify(_head: Head, event: &Event, delivery: Delivery) -> Result<(), Failure> {
        let courier = COURIER
            .get()
            .ok_or_else(|| failure(Failed::never("init was not called")))?;
        let event = Occurrence::new(event.attributes(), event.data());
        let origin = Origin {
            subscription: &delivery.subscription,
            id: &delivery.id,
        };
        let mut courier = courier.lock().unwrap_or_else(PoisonError::into_inner);
        courier.deliver(&event, origin, SystemTime::now()).map_err(failure)
    }
}

export!(Notifier);

fn failure(failed: Failed) -> Failure {
    Failure {
        reason: failed.reason,
        retry: failed.retry,
        retry_after_ms: None,
    }
}
