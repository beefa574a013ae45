//! The config, checked: what cannot work is refused here, before any event is at stake.
//!
//! Secrets may come from the environment that the operator granted instead (`URL`, `PASSWORD`, `CA`): then they stand
//! in no config that anybody can read back.

use std::collections::BTreeMap;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use crate::address::Address;
use crate::body::Form;
use crate::routing_key::RoutingKey;
use crate::short::Short;

/// The longest text of a header in 0-10.
const LONGEST_HEADER: usize = 65_535;

/// What the plugin works by.
#[derive(Debug)]
pub struct Settings {
    /// The broker.
    pub address: Address,
    /// Which AMQP it speaks.
    pub dialect: Dialect,
    /// The exchange; the empty name is the broker's default exchange.
    pub exchange: Short,
    /// What an event is routed by.
    pub routing_key: RoutingKey,
    /// What is published of an event.
    pub body: Form,
    /// Whether an event that reaches no queue is a failure.
    pub mandatory: bool,
    /// Whether queues keep it over a restart of the broker.
    pub persistent: bool,
    /// Headers that every publication gets.
    pub headers: Vec<(Short, String)>,
    /// What the names of attributes begin with, as headers.
    pub header_prefix: Prefix,
    /// Whom TLS trusts, instead of the public authorities.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// The longest that one delivery may take.
    pub timeout: Duration,
}

/// The version of AMQP. 1.0 is another protocol, and not spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Dialect {
    /// RabbitMQ's and most others'.
    #[serde(rename = "0-9-1")]
    V091,
    /// Apache Qpid's.
    #[serde(rename = "0-10")]
    V010,
}

/// The two that CloudEvents' AMQP binding allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Prefix {
    /// Which JMS clients can read, and which the binding prefers.
    #[serde(rename = "cloudEvents_")]
    Underscore,
    /// The older one.
    #[serde(rename = "cloudEvents:")]
    Colon,
}

impl Prefix {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Underscore => "cloudEvents_",
            Self::Colon => "cloudEvents:",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: Option<String>,
    password: Option<String>,
    #[serde(default = "zero_nine_one")]
    protocol: Dialect,
    #[serde(default = "amq_topic")]
    exchange: String,
    #[serde(default = "by_type")]
    routing_key: String,
    #[serde(default = "only_data")]
    body: Form,
    #[serde(default)]
    mandatory: bool,
    #[serde(default = "yes")]
    persistent: bool,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "underscore")]
    header_prefix: Prefix,
    ca: Option<String>,
    #[serde(default = "eight_seconds")]
    timeout_ms: u64,
}

fn zero_nine_one() -> Dialect {
    Dialect::V091
}
fn amq_topic() -> String {
    "amq.topic".to_owned()
}
fn by_type() -> String {
    "{type}".to_owned()
}
fn only_data() -> Form {
    Form::Data
}
fn yes() -> bool {
    true
}
fn underscore() -> Prefix {
    Prefix::Underscore
}
fn eight_seconds() -> u64 {
    8_000
}

impl Settings {
    /// Reads the config; `granted` looks a variable up that the operator granted.
    pub fn parse(config: &str, granted: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| format!("config: {error}"))?;
        let url = config.url.or_else(|| granted("URL"));
        let url = url.ok_or("config: url is missing: give it here, or grant the variable URL (grants.env)")?;
        let mut address = Address::parse(&url).map_err(|error| format!("config: url {error}"))?;
        if let Some(password) = config.password.or_else(|| granted("PASSWORD")) {
            address.password = Some(password);
        }
        if config.mandatory && config.protocol == Dialect::V010 {
            return Err(
                "config: mandatory works with protocol \"0-9-1\" alone: Qpid drops what no queue takes".to_owned(),
            );
        }
        if config.timeout_ms == 0 {
            return Err("config: timeout_ms must be at least 1".to_owned());
        }
        let ca = config.ca.or_else(|| granted("CA"));
        Ok(Self {
            dialect: config.protocol,
            exchange: Short::new("config: exchange", config.exchange)?,
            routing_key: RoutingKey::parse(&config.routing_key)
                .map_err(|error| format!("config: routing_key {error}"))?,
            body: config.body,
            mandatory: config.mandatory,
            persistent: config.persistent,
            headers: config.headers.into_iter().map(header).collect::<Result<_, _>>()?,
            header_prefix: config.header_prefix,
            authorities: ca.as_deref().map(authorities).transpose()?,
            timeout: Duration::from_millis(config.timeout_ms),
            address,
        })
    }
}

fn header((name, value): (String, String)) -> Result<(Short, String), String> {
    if value.len() > LONGEST_HEADER {
        return Err(format!("config: headers.{name} has more than {LONGEST_HEADER} bytes"));
    }
    Ok((Short::new("config: the name of a header", name)?, value))
}

fn authorities(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(found) if found.is_empty() => {
            Err("config: ca holds no certificate; it takes the text of a PEM file".to_owned())
        }
        Ok(found) => Ok(found),
        Err(error) => Err(format!("config: ca is no PEM text of certificates: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../config.schema.json");

    fn parse(config: &str) -> Result<Settings, String> {
        Settings::parse(config, |_| None)
    }

    #[test]
    fn defaults_are_those_of_the_schema() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let mut config = serde_json::Map::from_iter([("url".to_owned(), "amqp://h".into())]);
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name} has no description");
            if let Some(default) = property.get("default") {
                config.insert(name.clone(), default.clone());
            }
        }
        assert!(config.len() > 8);
        let spelled_out = parse(&serde_json::Value::Object(config).to_string()).unwrap();
        assert_eq!(
            format!("{spelled_out:?}"),
            format!("{:?}", parse(r#"{"url": "amqp://h"}"#).unwrap())
        );
    }

    #[test]
    fn secrets_may_be_granted() {
        let granted = |name: &str| match name {
            "URL" => Some("amqp://u@h/v".to_owned()),
            "PASSWORD" => Some("secret".to_owned()),
            _ => None,
        };
        let check = |config: &str, host: &str, password: &str| {
            let settings = Settings::parse(config, granted).unwrap();
            assert_eq!(
                (settings.address.host.as_str(), settings.address.password.as_deref()),
                (host, Some(password))
            );
            assert!(!format!("{settings:?}").contains("secret"));
        };
        check("{}", "h", "secret");
        check(r#"{"url": "amqp://u:p@other"}"#, "other", "secret");
        check(r#"{"password": "own"}"#, "h", "own");
    }

    #[test]
    fn refuses_a_wrong_config() {
        let check = |config: &str, says: &str| {
            let error = parse(config).unwrap_err();
            assert!(
                error.starts_with("config: ") && error.contains(says),
                "{config}: {error}"
            );
        };
        let with = |more: &str| format!(r#"{{"url": "amqp://h", {more}}}"#);
        check("{}", "url is missing");
        check(r#"{"url": "http://h"}"#, "url must begin with amqp://");
        check(&with(r#""protocol": "1.0""#), "expected `0-9-1` or `0-10`");
        check(
            &with(r#""protocol": "0-10", "mandatory": true"#),
            "mandatory works with protocol",
        );
        check(&with(r#""routing_key": "{""#), "routing_key has a {");
        check(
            &with(&format!(r#""exchange": "{}""#, "x".repeat(256))),
            "exchange has 256 bytes",
        );
        check(
            &with(&format!(r#""headers": {{"{}": ""}}"#, "x".repeat(256))),
            "name of a header has 256",
        );
        check(
            &with(&format!(r#""headers": {{"x": "{}"}}"#, "x".repeat(65_536))),
            "headers.x has more than",
        );
        check(
            &with(r#""body": "xml""#),
            "expected one of `data`, `cloudevent`, `pulp`",
        );
        check(&with(r#""ca": "/etc/ca.pem""#), "ca holds no certificate");
        check(&with(r#""timeout_ms": 0"#), "timeout_ms");
        check(&with(r#""queue": "q""#), "unknown field `queue`");
    }
}
