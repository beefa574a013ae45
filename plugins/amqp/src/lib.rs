//! Publishes events to a topic exchange of an AMQP broker: RabbitMQ and its like in 0-9-1, Apache Qpid in 0-10.
//!
//! An event is delivered when the broker has confirmed it. The connection is kept between calls, and made anew when the
//! broker ended it. Retrying and waiting are the hub's; this says what came of one try.
//! Invariant: one publication is under way at a time, and no call takes longer than `timeout_ms`.

mod publisher;

mod body;
mod config;
mod publication;
mod routing_key;

mod session;
mod v010;
mod v091;

mod address;
mod bytes;
mod error;
mod inbox;
mod short;
mod wire;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::sync::OnceLock;

use config::Settings;
use error::Error;
use exports::busway::plugin::notifier::{About, Delivery, Event, Failure, Guest, Head};
use publication::{Publication, Seen};
use publisher::Publisher;

wit_bindgen::generate!({ path: "../../wit/v0", world: "notifier-plugin" });

const SCHEMA: &str = include_str!("../config.schema.json");

/// Set by `init`, which the hub calls once per instance, before anything else.
static SETTINGS: OnceLock<Settings> = OnceLock::new();
thread_local! {
    /// The connection of this instance, which has one thread.
    static PUBLISHER: RefCell<Publisher> = const { RefCell::new(Publisher::new()) };
}

struct Notifier;

impl Guest for Notifier {
    fn describe() -> About {
        About {
            summary: "publishes events to an AMQP topic exchange".to_owned(),
            config_schema: Some(SCHEMA.to_owned()),
        }
    }

    fn init(config: String) -> Result<(), String> {
        let settings = Settings::parse(&config, |name| std::env::var(name).ok())?;
        SETTINGS.set(settings).map_err(|_| "init was called twice".to_owned())
    }

    fn notify(_head: Head, event: &Event, delivery: Delivery) -> Result<(), Failure> {
        publish(event, &delivery.id).map_err(|error| Failure {
            reason: error.to_string(),
            retry: error.retry(),
            retry_after_ms: None,
        })
    }
}

export!(Notifier);

fn publish(event: &Event, delivery: &str) -> Result<(), Error> {
    let settings = SETTINGS
        .get()
        .ok_or_else(|| Error::Broker("init was not called".to_owned()))?;
    let deadline = wire::now() + settings.timeout;
    let seen = Seen {
        attributes: event.attributes(),
        data: event.data(),
    };
    let attribute = |name: &str| seen.attribute(name).map(str::to_owned);
    let routing_key = settings.routing_key.fill(attribute, |pointer| event.at(pointer));
    let publication = Publication::of(seen, settings, delivery, routing_key)?;
    PUBLISHER.with_borrow_mut(|publisher| {
        publisher.publish(&publication, deadline, |deadline| session::open(settings, deadline))
    })
}
