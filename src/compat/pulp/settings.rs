//! What Pulp's `server.conf` says of its notifiers: `[email]` and `[messaging]`, under the same names.
//!
//! The places that they name are granted to the plugins `email` and `amqp`: who writes them here wants them dialled.
//! Two defaults differ from Pulp's own: no `messaging.url` is set, for it would grant a place that nobody asked for.
//! Invariant: nothing is granted that the operator has not written.

use std::collections::BTreeMap;
use std::fmt;

use crate::plugin::PluginSettings;

/// The plugin that writes mail, and Pulp's name for that notifier.
pub const EMAIL: &str = "email";
/// The plugin that speaks AMQP, and Pulp's name for that notifier.
pub const AMQP: &str = "amqp";

/// Options.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether it is served.
    pub on: bool,
    /// `[email]`.
    pub email: Email,
    /// `[messaging]`.
    pub messaging: Messaging,
}

/// Mail, as Pulp's `[email]`.
#[derive(Debug, Clone)]
pub struct Email {
    /// Whether there is any.
    pub enabled: bool,
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender.
    pub from: String,
}

/// The broker, as Pulp's `[messaging]`.
#[derive(Debug, Clone)]
pub struct Messaging {
    /// Where it is; none: nothing is published.
    pub broker: Option<Broker>,
    /// Which of the AMQPs a `tcp://` or `ssl://` address speaks.
    pub transport: Transport,
    /// The authority to trust, a file in PEM form; none: the public ones.
    pub cacert: Option<std::path::PathBuf>,
    /// The exchange of listeners that name none.
    pub topic_exchange: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on: true,
            email: Email {
                enabled: false,
                host: "localhost".to_owned(),
                port: 25,
                from: "pulp@localhost".to_owned(),
            },
            messaging: Messaging {
                broker: None,
                transport: Transport::Qpid,
                cacert: None,
                topic_exchange: "amq.topic".to_owned(),
            },
        }
    }
}

/// Pulp's `transport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Apache Qpid: AMQP 0-10.
    Qpid,
    /// RabbitMQ: AMQP 0-9-1.
    RabbitMq,
}

impl Transport {
    /// Its name in `server.conf`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Qpid => "qpid",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

/// An address as Pulp and its libraries write it: `tcp://host:port`, `ssl://user:password@host`, `qpid://host:5672/`,
/// `amqp://host`, `host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct Broker {
    written: String,
    tls: bool,
    /// Which AMQP the scheme itself says; none: `transport` does.
    says: Option<Transport>,
    /// What follows the scheme.
    rest: String,
    /// `host:port`, as a grant names it.
    place: String,
}

impl fmt::Debug for Broker {
    /// The address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broker({})", self.place)
    }
}

impl Broker {
    /// Reads an address.
    ///
    /// # Errors
    /// Completes the sentence "`messaging.url` …"; the address is not repeated, it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        let (tls, says) = match scheme {
            "tcp" => (false, None),
            "ssl" | "tcp+tls" => (true, None),
            "qpid" => (false, Some(Transport::Qpid)),
            "qpids" => (true, Some(Transport::Qpid)),
            "amqp" | "pyamqp" => (false, Some(Transport::RabbitMq)),
            "amqps" => (true, Some(Transport::RabbitMq)),
            other => {
                return Err(format!(
                    "has the scheme `{other}`; it takes tcp, ssl, qpid, amqp and amqps"
                ));
            }
        };
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let has_port = place.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let host = place
            .rsplit_once(':')
            .filter(|_| has_port)
            .map_or(place, |(host, _)| host);
        if host.is_empty() || place.contains(char::is_whitespace) {
            return Err("names no host: write it as `tcp://host:port`".to_owned());
        }
        if has_port
            && place
                .rsplit_once(':')
                .is_none_or(|(_, port)| port.parse::<u16>().is_err())
        {
            return Err("has no valid port after its host".to_owned());
        }
        let port = if tls { 5671 } else { 5672 };
        Ok(Self {
            written: text.to_owned(),
            tls,
            says,
            rest: rest.to_owned(),
            place: if has_port {
                place.to_owned()
            } else {
                format!("{place}:{port}")
            },
        })
    }

    /// As it was written, without a password.
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.written.split_once("://").unwrap_or(("tcp", &self.written));
        match rest.rsplit_once('@') {
            Some((user, place)) if user.contains(':') => {
                let name = user.split_once(':').map_or(user, |(name, _)| name);
                format!("{scheme}://{name}:***@{place}")
            }
            _ => self.written.clone(),
        }
    }

    /// The address as the plugin takes it.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        // `/` alone is what kombu's and qpid's addresses end in by habit; it names no host of its own.
        format!("{scheme}://{}", self.rest.strip_suffix('/').unwrap_or(&self.rest))
    }

    /// Which AMQP it speaks, as the plugin names it.
    pub(super) fn protocol(&self, transport: Transport) -> &'static str {
        match self.says.unwrap_or(transport) {
            Transport::Qpid => "0-10",
            Transport::RabbitMq => "0-9-1",
        }
    }
}

impl Settings {
    /// Grants the plugins what these settings name, beside what they were granted.
    pub fn grant(&self, plugins: &mut BTreeMap<String, PluginSettings>) {
        if !self.on {
            return;
        }
        let mail = Some(format!("{}:{}", self.email.host, self.email.port)).filter(|_| self.email.enabled);
        let broker = self.messaging.broker.as_ref().map(|broker| broker.place.clone());
        for (name, place) in [(EMAIL, mail), (AMQP, broker)] {
            let Some(place) = place else { continue };
            let granted = &mut plugins.entry(name.to_owned()).or_default().grants.tcp;
            if !granted.contains(&place) {
                granted.push(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_pulp() {
        let check = |text: &str, url: &str, protocol: &str, place: &str| {
            let broker = Broker::parse(text).unwrap();
            let found = (broker.url(), broker.protocol(Transport::Qpid), broker.place.as_str());
            assert_eq!(found, (url.to_owned(), protocol, place), "{text}");
        };
        check(
            "tcp://localhost:5672",
            "amqp://localhost:5672",
            "0-10",
            "localhost:5672",
        );
        check(
            "ssl://mq.example.com",
            "amqps://mq.example.com",
            "0-10",
            "mq.example.com:5671",
        );
        check("qpid://u:p@h:99/", "amqp://u:p@h:99", "0-10", "h:99");
        check("amqp://u@h/pulp", "amqp://u@h/pulp", "0-9-1", "h:5672");
        check("amqps://[::1]", "amqps://[::1]", "0-9-1", "[::1]:5671");
        check("[::1]:7", "amqp://[::1]:7", "0-10", "[::1]:7");
        check("mq:5673", "amqp://mq:5673", "0-10", "mq:5673");
        let plain = Broker::parse("tcp://h").unwrap();
        assert_eq!(plain.protocol(Transport::RabbitMq), "0-9-1");
        for wrong in ["", "tcp://", "http://h", "tcp://h:port", "tcp://u:p@:1", "tcp://h h"] {
            assert!(Broker::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let broker = Broker::parse("ssl://hub:s3cret@mq:1/v").unwrap();
        assert_eq!(broker.shown(), "ssl://hub:***@mq:1/v");
        assert!(!format!("{broker:?}").contains("s3cret"));
        assert_eq!(Broker::parse("mq").unwrap().shown(), "mq");
    }

    #[test]
    fn only_what_is_written_is_granted() {
        let granted = |settings: &Settings| {
            let mut plugins = BTreeMap::new();
            settings.grant(&mut plugins);
            settings.grant(&mut plugins);
            plugins
                .into_iter()
                .map(|(name, plugin)| (name, plugin.grants.tcp))
                .collect::<Vec<_>>()
        };
        let mut settings = Settings::default();
        assert_eq!(granted(&settings), []);
        settings.email.enabled = true;
        settings.messaging.broker = Some(Broker::parse("tcp://mq").unwrap());
        let both = [
            ("amqp".to_owned(), vec!["mq:5672".to_owned()]),
            ("email".to_owned(), vec!["localhost:25".to_owned()]),
        ];
        assert_eq!(granted(&settings), both);
        settings.on = false;
        assert_eq!(granted(&settings), []);
    }
}
