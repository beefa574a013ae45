//! The subscription that stands for a listener, or why none can.
//!
//! | notifier | becomes |
//! |---|---|
//! | `http` | the hub's own POST in the format `pulp`; delivered by a 200 and by nothing else, as Pulp has it, and tried again by the hub's schedule, which Pulp does not |
//! | `email` | the plugin `email` in the layout `pulp`, by `[email]` |
//! | `amqp` | the plugin `amqp` with Pulp's body, subject and exchange, by `[messaging]` |
//!
//! Pure, but for the certificates that `messaging.cacert` and `ca_path` name: what delivers takes their text.

use serde_json::{Map, Value, json};
use url::Url;

use super::listener::{EVERY_TYPE, Listener, Notifier};
use super::settings::{AMQP, EMAIL, Settings};
use crate::net::Trust;

/// What is wanted of the hub.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The subscription.
    pub(super) subscription: Value,
    /// What of the listener it does not do.
    pub(super) lacks: Option<&'static str>,
}

/// The id of the subscription that stands for a listener.
pub(super) fn subscription_id(listener: &str) -> String {
    format!("pulp-{listener}")
}

/// What the listener asks for.
///
/// # Errors
/// Why it cannot be had, in words for the operator.
pub(super) fn wanted(listener: &Listener, settings: &Settings) -> Result<Wanted, String> {
    let (mut subscription, lacks) = match listener.notifier {
        Notifier::Http => http(listener)?,
        Notifier::Email => (email(listener, settings)?, None),
        Notifier::Amqp => (amqp(listener, settings)?, None),
    };
    if !listener.event_types.iter().any(|ty| ty == EVERY_TYPE) {
        let mut types = listener.event_types.clone();
        types.sort();
        types.dedup();
        subscription.insert("types".to_owned(), json!(types));
    }
    Ok(Wanted {
        subscription: Value::Object(subscription),
        lacks,
    })
}

/// One text for every reason: whoever may make listeners need not learn which files the hub's machine has.
const CA_PATH: &str = "notifier_config.ca_path is not honoured: it must be the path of a file on the hub's machine that \
    holds certificates in PEM form; until then only the public authorities are trusted";
/// More than any bundle that names an authority or two.
const LARGEST_CA: u64 = 32 << 10;

/// The certificates of a file, and nothing else of it. No device and no pipe is read: they might never end.
fn authority(path: &str) -> Option<String> {
    let file = std::fs::metadata(path).ok()?;
    if !file.is_file() || file.len() > LARGEST_CA {
        return None;
    }
    let pem = std::fs::read(path).ok()?;
    let certificates = Trust::public_and(&pem).and_then(|_| Trust::certificates(&pem));
    certificates.ok()
}

fn http(listener: &Listener) -> Result<(Map<String, Value>, Option<&'static str>), String> {
    let url = listener.text("url").ok_or("notifier_config has no url to send to")?;
    let mut url = Url::parse(url).map_err(|error| format!("notifier_config.url is no URL: {error}"))?;
    let named = |part: &str| {
        percent_encoding::percent_decode_str(part)
            .decode_utf8_lossy()
            .into_owned()
    };
    let in_url = url.password().map(|password| (named(url.username()), named(password)));
    let apart = listener.text("username").zip(listener.text("password"));
    let basic = apart
        .map(|(username, password)| (username.to_owned(), password.to_owned()))
        .or(in_url);
    // These can only be refused by URLs without a host, which the hub refuses itself.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_fragment(None);
    let mut settings = object(json!({"format": "pulp", "success": [200]}));
    if let Some((username, password)) = basic {
        let auth = json!({"basic": {"username": username, "password": password}});
        settings.insert("auth".to_owned(), auth);
    }
    let secure = url.scheme() == "https";
    let ca_path = listener.text("ca_path").filter(|_| secure);
    let ca = ca_path.and_then(authority);
    let lacks = (ca_path.is_some() && ca.is_none()).then_some(CA_PATH);
    settings.extend(ca.map(|ca| ("tls".to_owned(), json!({"ca": ca}))));
    let subscription = json!({"protocol": "HTTP", "sink": url.as_str(), "protocolsettings": settings,
        "config": {"timeout": "15s"}});
    Ok((object(subscription), lacks))
}

fn email(listener: &Listener, settings: &Settings) -> Result<Map<String, Value>, String> {
    let mail = &settings.email;
    if !mail.enabled {
        return Err("email.enabled is false in the hub's config".to_owned());
    }
    let subject = listener.text("subject").ok_or("notifier_config has no subject")?;
    let addresses = listener.config.get("addresses").and_then(Value::as_array);
    let addresses = addresses.ok_or("notifier_config has no addresses to write to")?;
    // The plugin's subjects have holes for what an event holds; Pulp's have none.
    let subject = subject.replace('{', "{{").replace('}', "}}");
    let own = json!({"host": mail.host, "port": mail.port, "security": "none", "from": mail.from, "layout": "pulp",
        "subject": subject, "addresses": addresses});
    Ok(object(json!({"protocol": EMAIL, "protocolsettings": own})))
}

fn amqp(listener: &Listener, settings: &Settings) -> Result<Map<String, Value>, String> {
    let messaging = &settings.messaging;
    let broker = messaging
        .broker
        .as_ref()
        .ok_or("messaging.url is not set in the hub's config")?;
    let exchange = listener.text("exchange").unwrap_or(&messaging.topic_exchange);
    let mut own = object(
        json!({"url": broker.url(), "protocol": broker.protocol(messaging.transport), "exchange": exchange,
        "routing_key": "pulp.server.{type}", "body": "pulp", "persistent": false}),
    );
    if let Some(path) = &messaging.cacert {
        let pem = std::fs::read_to_string(path);
        let pem = pem.map_err(|cause| format!("messaging.cacert cannot be read: {cause}"))?;
        own.insert("ca".to_owned(), pem.into());
    }
    Ok(object(json!({"protocol": AMQP, "protocolsettings": own})))
}

/// What was written as an object.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Broker, Transport};
    use super::*;
    use crate::time::Timestamp;

    fn listener(notifier: &str, config: Value, types: &[&str]) -> Listener {
        let body = json!({"notifier_type_id": notifier, "notifier_config": config, "event_types": types});
        Listener::create(body.as_object().unwrap(), Timestamp(0), 0).unwrap()
    }

    fn settings() -> Settings {
        let mut settings = Settings::default();
        settings.email.enabled = true;
        settings.messaging.broker = Some(Broker::parse("tcp://mq").unwrap());
        settings
    }

    #[test]
    fn each_notifier_has_its_subscription() {
        let check = |notifier: &str, config: Value, types: &[&str], expected: Value| {
            let wanted = wanted(&listener(notifier, config, types), &settings()).unwrap();
            assert_eq!(wanted.subscription, expected);
        };
        check(
            "http",
            json!({"url": "http://sink"}),
            &["repo.sync.start", "repo.publish.start", "repo.sync.start"],
            json!({"types": ["repo.publish.start", "repo.sync.start"], "protocol": "HTTP", "sink": "http://sink/",
                "protocolsettings": {"format": "pulp", "success": [200]}, "config": {"timeout": "15s"}}),
        );
        check(
            "http",
            json!({"url": "http://sink/a?b#c", "username": "u", "password": "p"}),
            &["*", "repo.sync.start"],
            json!({"protocol": "HTTP", "sink": "http://sink/a?b", "protocolsettings": {"format": "pulp",
                "success": [200], "auth": {"basic": {"username": "u", "password": "p"}}}, "config": {"timeout": "15s"}}),
        );
        check(
            "http",
            json!({"url": "http://u%40x:p@sink/", "username": "only"}),
            &["*"],
            json!({"protocol": "HTTP", "sink": "http://sink/", "protocolsettings": {"format": "pulp",
                "success": [200], "auth": {"basic": {"username": "u@x", "password": "p"}}}, "config": {"timeout": "15s"}}),
        );
        check(
            "email",
            json!({"subject": "a {b}", "addresses": ["a@example.org"]}),
            &["*"],
            json!({"protocol": "email", "protocolsettings": {"host": "localhost", "port": 25, "security": "none",
                "from": "pulp@localhost", "layout": "pulp", "subject": "a {{b}}", "addresses": ["a@example.org"]}}),
        );
        let amqp = |exchange: &str| {
            json!({"protocol": "amqp", "protocolsettings": {"url": "amqp://mq", "protocol": "0-10", "exchange": exchange,
                "routing_key": "pulp.server.{type}", "body": "pulp", "persistent": false}})
        };
        check("amqp", json!({}), &["*"], amqp("amq.topic"));
        check("amqp", json!({"exchange": "pulp"}), &["*"], amqp("pulp"));
    }

    #[test]
    fn what_cannot_be_had_says_why() {
        let check = |notifier: &str, config: Value, settings: &Settings, says: &str| {
            let why = wanted(&listener(notifier, config, &["*"]), settings).unwrap_err();
            assert!(why.contains(says), "{why}");
        };
        let (bare, mut broken) = (Settings::default(), settings());
        broken.messaging.cacert = Some("/no/such/file".into());
        broken.messaging.transport = Transport::RabbitMq;
        check("http", json!({}), &bare, "no url");
        check("http", json!({"url": 7}), &bare, "no url");
        check("http", json!({"url": "sink"}), &bare, "is no URL");
        check(
            "email",
            json!({"subject": "s", "addresses": []}),
            &bare,
            "email.enabled",
        );
        check("email", json!({"addresses": ["a@b.c"]}), &settings(), "no subject");
        check(
            "email",
            json!({"subject": "s", "addresses": "a@b.c"}),
            &settings(),
            "no addresses",
        );
        check("amqp", json!({}), &bare, "messaging.url");
        check("amqp", json!({}), &broken, "messaging.cacert");
        for (path, honoured) in [
            ("/ca", false),
            ("/", false),
            ("/dev/zero", false),
            ("tests/fixtures/tls/server.key", false),
            ("tests/fixtures/tls/ca.pem", true),
        ] {
            let asked = listener("http", json!({"url": "https://s", "ca_path": path}), &["*"]);
            let wanted = wanted(&asked, &bare).unwrap();
            assert_eq!(wanted.lacks.is_none(), honoured, "{path}");
            let ca = wanted.subscription.pointer("/protocolsettings/tls/ca");
            assert_eq!(ca.is_some(), honoured, "{path}");
        }
    }
}
