//! The rows of Pulp's event listeners: `[email]` and `[messaging]` as its `server.conf` has them.

use super::{Key, count, none, path_or_none};
use crate::compat::pulp::settings::{Broker, Transport};
use crate::config::value::Given;

pub(super) const KEYS: &[Key] = &[
    key! { "compat.pulp", "compat-pulp", "BOOL",
    "Serve Pulp 2's event listeners: `/pulp/api/v2/events/`",
    |s, v| { s.compat.pulp.on = v.switch()?; Ok(()) },
    |s| s.compat.pulp.on.to_string() },
    key! { "email.enabled", "email-enabled", "BOOL",
    "Pulp's email listeners write mail, through the plugin `email`, which is granted `host` and `port`",
    |s, v| { s.compat.pulp.email.enabled = v.switch()?; Ok(()) },
    |s| s.compat.pulp.email.enabled.to_string() },
    key! { "email.host", "email-host", "NAME",
    "The mail server of Pulp's email listeners",
    |s, v| { s.compat.pulp.email.host = word(v)?; Ok(()) },
    |s| s.compat.pulp.email.host.clone() },
    key! { "email.port", "email-port", "NUMBER",
    "Its port",
    |s, v| { s.compat.pulp.email.port = u16::try_from(count(v, 1, 65_535)?).unwrap_or(25); Ok(()) },
    |s| s.compat.pulp.email.port.to_string() },
    key! { "email.from", "email-from", "ADDRESS",
    "The sender of Pulp's email listeners",
    |s, v| { s.compat.pulp.email.from = word(v)?; Ok(()) },
    |s| s.compat.pulp.email.from.clone() },
    key! { "messaging.url", "messaging-url", "URL",
    "The broker of Pulp's amqp listeners, granted to the plugin `amqp`: `tcp://host:5672`, `ssl://`, `qpid://`, `amqp://`, with `user:password@` if it asks for them; or `file:PATH`, `env:NAME`; `none`: nothing is published",
    |s, v| { s.compat.pulp.messaging.broker = broker(v)?; Ok(()) },
    |s| s.compat.pulp.messaging.broker.as_ref().map_or_else(none, Broker::shown) },
    key! { "messaging.transport", "messaging-transport", "NAME",
    "What a `tcp://` or `ssl://` broker speaks: `qpid` (AMQP 0-10) or `rabbitmq` (AMQP 0-9-1)",
    |s, v| { s.compat.pulp.messaging.transport = transport(v)?; Ok(()) },
    |s| s.compat.pulp.messaging.transport.word().to_owned() },
    key! { "messaging.cacert", "messaging-cacert", "PATH",
    "The authority that `ssl://` trusts, in PEM form; `none`: the public ones",
    |s, v| { s.compat.pulp.messaging.cacert = path_or_none(v)?; Ok(()) },
    |s| s.compat.pulp.messaging.cacert.as_ref().map_or_else(none, |path| path.display().to_string()) },
    key! { "messaging.topic_exchange", "messaging-topic-exchange", "NAME",
    "The exchange of amqp listeners that name none",
    |s, v| { s.compat.pulp.messaging.topic_exchange = word(v)?; Ok(()) },
    |s| s.compat.pulp.messaging.topic_exchange.clone() },
];

/// Keys of Pulp's `server.conf` that stand in the same sections and are not served, and why.
pub(super) const NOT_SERVED: &[(&str, &str)] = &[
    (
        "messaging.auth_enabled",
        "it signs what Pulp says to its agents, which the hub has none of; credentials for the broker go into `messaging.url`",
    ),
    (
        "messaging.clientcert",
        "the hub shows brokers no certificate of its own; put `user:password@` into `messaging.url`",
    ),
    (
        "messaging.event_notifications_enabled",
        "it is Pulp's feed of the states of its tasks, and the hub runs no tasks; amqp listeners need `messaging.url` and nothing else",
    ),
    (
        "messaging.event_notification_url",
        "it is for Pulp's feed of the states of its tasks, and the hub runs no tasks; the broker of amqp listeners is `messaging.url`",
    ),
];

fn word(given: &Given) -> Result<String, String> {
    match given.word()? {
        "" => Err("must not be empty".to_owned()),
        word => Ok(word.to_owned()),
    }
}

fn broker(given: &Given) -> Result<Option<Broker>, String> {
    match given.word()? {
        "none" | "" => Ok(None),
        word => {
            let url = crate::access::value_of("the address", word)?;
            Broker::parse(&url).map(Some)
        }
    }
}

fn transport(given: &Given) -> Result<Transport, String> {
    let all = [Transport::Qpid, Transport::RabbitMq];
    let word = given.word()?;
    let found = all.into_iter().find(|known| known.word() == word);
    found.ok_or_else(|| format!("must be `qpid` or `rabbitmq`, not `{word}`"))
}
