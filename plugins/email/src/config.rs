//! The config that `init` takes: read field by field, so that an error names the field and says what would do.
//!
//! The hub may have held it to `config.schema.json` before; here the same rules stand once more, with those a schema
//! cannot say (templates, certificates, a password that would go over the wire in the clear).
//! Invariant: what cannot work is refused here, before any event is at stake. No error shows the password.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value};

use crate::template::Template;

/// The variable that a grant of `env` may give the password in.
pub const PASSWORD: &str = "PASSWORD";

/// Longer is no address book: each address costs a dialogue with the server within one call.
const MOST_ADDRESSES: usize = 100;

/// What was asked for, checked.
#[derive(Debug)]
pub struct Config {
    pub server: Server,
    pub letter: Letter,
    pub addresses: Vec<Mailbox>,
    /// One message to all of them, in place of one for each.
    pub together: bool,
    /// How long one delivery may take, connecting included.
    pub timeout: Duration,
}

/// Where to and as whom.
pub struct Server {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub tls: Tls,
    pub login: Option<Login>,
    pub hello: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = format_args!("{}:{}", self.host, self.port);
        f.debug_tuple("Server").field(&place).finish()
    }
}

/// When the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Security {
    /// Never.
    None,
    /// If the server offers it.
    Opportunistic,
    /// After a greeting in the clear, and nothing is sent before.
    StartTls,
    /// From the first byte.
    Tls,
}

/// Whom to trust, and who the server must be.
#[derive(Clone)]
pub struct Tls {
    pub config: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

/// As whom.
#[derive(Debug)]
pub struct Login {
    pub credentials: Credentials,
    pub mechanisms: Vec<Mechanism>,
}

/// What a letter looks like.
#[derive(Debug)]
pub struct Letter {
    pub from: Mailbox,
    pub reply_to: Option<Mailbox>,
    pub subject: Template,
    pub body: Body,
}

/// What stands in it.
#[derive(Debug, PartialEq)]
pub enum Body {
    /// An outline for people.
    Text,
    /// The data as pretty ASCII JSON: what Pulp sends.
    Json,
    /// The whole event likewise.
    Event,
    /// The layout `pulp`: Pulp's own letter, whole.
    Pulp,
    /// The operator's own words.
    Own(Template),
}

impl Config {
    /// Reads the config; `password` is what the environment has, if it was granted.
    pub fn parse(config: &str, password: Option<String>) -> Result<Self, String> {
        let parsed: Value = serde_json::from_str(config).map_err(|error| format!("config: {error}"))?;
        let Value::Object(fields) = parsed else {
            return Err("config: must be a JSON object".to_owned());
        };
        let mut fields = Fields(fields);
        let read = Self::read(&mut fields, password).map_err(|error| format!("config: {error}"))?;
        match fields.0.keys().next() {
            Some(unknown) => Err(format!(
                "config: unknown field `{unknown}`; the fields are {}",
                FIELDS.join(", ")
            )),
            None => Ok(read),
        }
    }

    fn read(fields: &mut Fields, password: Option<String>) -> Result<Self, String> {
        let from = mailbox("from", &fields.required("from")?)?;
        let server = Server::read(fields, from.email.domain(), password)?;
        let sink = fields.text("sink")?.map(|sink| mailto(&sink)).transpose()?;
        let addresses = fields.texts("addresses")?.or(sink);
        let addresses =
            addresses.ok_or("field `addresses` is missing (or a `sink` such as \"mailto:a@example.com\")")?;
        if addresses.is_empty() || addresses.len() > MOST_ADDRESSES {
            return Err(format!("`addresses` must hold 1 to {MOST_ADDRESSES} addresses"));
        }
        let addresses = addresses.iter().map(|text| mailbox("addresses", text));
        Ok(Self {
            server,
            addresses: addresses.collect::<Result<_, _>>()?,
            together: fields.flag("together")?.unwrap_or(false),
            timeout: fields.timeout()?,
            letter: Letter {
                from,
                reply_to: fields
                    .text("reply_to")?
                    .map(|text| mailbox("reply_to", &text))
                    .transpose()?,
                subject: fields
                    .template("subject")?
                    .map_or_else(|| Template::parse("{type} {subject}"), Ok)?,
                body: Body::read(fields)?,
            },
        })
    }
}

impl Server {
    fn read(fields: &mut Fields, domain: &str, password: Option<String>) -> Result<Self, String> {
        let host = fields.required("host")?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == ':' || c == '/') {
            return Err(format!(
                "`host` must be a name or an IPv4 address without its port, not {host:?}"
            ));
        }
        let security = fields.security()?;
        let hello = fields.text("hello")?.unwrap_or_else(|| domain.to_owned());
        if hello.is_empty() || !hello.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("`hello` must be a host name without spaces, in ASCII".to_owned());
        }
        let login = Login::read(fields, password)?;
        if login.is_some() && security == Security::None && !is_here(&host) {
            return Err(
                "`security` is \"none\", so the password would travel in the clear: use \"starttls\" or \"tls\""
                    .to_owned(),
            );
        }
        Ok(Self {
            port: fields.port()?.unwrap_or(match security {
                Security::None | Security::Opportunistic => 25,
                Security::StartTls => 587,
                Security::Tls => 465,
            }),
            tls: Tls::read(&host, fields.text("ca")?)?,
            host,
            security,
            login,
            hello,
        })
    }

    /// Whether a password may be sent without encryption: to this machine only.
    pub fn trusts_plain(&self) -> bool {
        is_here(&self.host)
    }
}

impl Login {
    fn read(fields: &mut Fields, granted: Option<String>) -> Result<Option<Self>, String> {
        let (username, password) = (fields.text("username")?, fields.text("password")?);
        let mechanisms = match fields.texts("auth")? {
            None => vec![Mechanism::Plain, Mechanism::Login],
            Some(names) if names.is_empty() => return Err("`auth` must name at least one mechanism".to_owned()),
            Some(names) => names.iter().map(|name| mechanism(name)).collect::<Result<_, _>>()?,
        };
        match (username, password.or(granted)) {
            (Some(username), Some(password)) => Ok(Some(Self {
                credentials: Credentials::new(username, password),
                mechanisms,
            })),
            (Some(_), None) => Err(format!(
                "`username` has no `password`: set it, or grant env = {{ {PASSWORD} = \"file:...\" }}"
            )),
            // A granted password is no wish to log in: the same grant may serve several subscriptions.
            (None, _) => Ok(None),
        }
    }
}

impl Body {
    fn read(fields: &mut Fields) -> Result<Self, String> {
        let layout = fields.text("layout")?;
        let form = fields.text("body")?;
        match layout.as_deref() {
            None | Some("busway") => {}
            Some("pulp") if form.is_some() || fields.0.contains_key("template") => {
                return Err("`layout` \"pulp\" leaves no room for `body` and `template`".to_owned());
            }
            Some("pulp") => return Ok(Self::Pulp),
            Some(other) => return Err(format!("`layout` must be \"busway\" or \"pulp\", not {other:?}")),
        }
        if let Some(own) = fields.template("template")? {
            return Ok(Self::Own(own));
        }
        match form.as_deref() {
            None | Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some("event") => Ok(Self::Event),
            Some(other) => Err(format!("`body` must be \"text\", \"json\" or \"event\", not {other:?}")),
        }
    }
}

fn mailbox(field: &str, text: &str) -> Result<Mailbox, String> {
    let wrong =
        || format!("`{field}` has {text:?}, which is no address such as \"a@example.com\" or \"Name <a@example.com>\"");
    if text.chars().any(char::is_control) {
        return Err(wrong());
    }
    text.trim().parse().map_err(|_| wrong())
}

/// A subscription's sink as addresses.
fn mailto(sink: &str) -> Result<Vec<String>, String> {
    let plain = |addresses: &&str| !addresses.is_empty() && !addresses.contains(['?', '%']);
    let addresses = sink.strip_prefix("mailto:").filter(plain);
    let addresses =
        addresses.ok_or_else(|| format!("`sink` must be as \"mailto:a@example.com,b@example.com\", not {sink:?}"))?;
    Ok(addresses.split(',').map(str::to_owned).collect())
}

fn mechanism(name: &str) -> Result<Mechanism, String> {
    match name.to_ascii_lowercase().as_str() {
        "plain" => Ok(Mechanism::Plain),
        "login" => Ok(Mechanism::Login),
        "xoauth2" => Ok(Mechanism::Xoauth2),
        _ => Err(format!(
            "`auth` must hold \"plain\", \"login\" or \"xoauth2\", not {name:?}"
        )),
    }
}

impl Tls {
    /// Trusts the authorities in `ca` and no others, or those that browsers trust.
    fn read(host: &str, ca: Option<String>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => authorities(&mut roots, &pem).map_err(|why| {
                format!("`ca` {why}; give certificates in PEM form, -----BEGIN CERTIFICATE----- and so on")
            })?,
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Self {
            config: Arc::new(config.with_root_certificates(roots).with_no_client_auth()),
            name: ServerName::try_from(host.to_owned()).map_err(|_| format!("`host` {host:?} is no host name"))?,
        })
    }
}

fn authorities(roots: &mut RootCertStore, pem: &str) -> Result<(), String> {
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| "cannot be read")?;
        roots
            .add(certificate)
            .map_err(|error| format!("cannot be used ({error})"))?;
    }
    if roots.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(())
}

fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.starts_with("127.")
}

/// Every field, for whoever has misspelt one.
const FIELDS: [&str; 18] = [
    "host",
    "port",
    "security",
    "username",
    "password",
    "auth",
    "ca",
    "hello",
    "from",
    "addresses",
    "sink",
    "together",
    "reply_to",
    "subject",
    "layout",
    "body",
    "template",
    "timeout",
];

/// What has not been read yet. A null is a field that is not there.
struct Fields(Map<String, Value>);

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("`{name}` must be a string, not {}", kind(&other))),
        }
    }

    fn required(&mut self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("field `{name}` is missing"))
    }

    fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, String> {
        let wrong = |what: &str| format!("`{name}` must be a list of strings, not {what}");
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            return Err(wrong(kind(&value)));
        };
        let text = |item| match item {
            Value::String(text) => Ok(text),
            other => Err(wrong(&format!("one with {}", kind(&other)))),
        };
        items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(format!("`{name}` must be true or false, not {}", kind(&other))),
        }
    }

    fn template(&mut self, name: &str) -> Result<Option<Template>, String> {
        let parse = |text: String| Template::parse(&text).map_err(|error| format!("`{name}` {error}"));
        self.text(name)?.map(parse).transpose()
    }

    fn port(&mut self) -> Result<Option<u16>, String> {
        let Some(value) = self.take("port") else {
            return Ok(None);
        };
        let port = value
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0);
        port.map(Some)
            .ok_or_else(|| format!("`port` must be a number from 1 to 65535, not {value}"))
    }

    fn timeout(&mut self) -> Result<Duration, String> {
        let Some(value) = self.take("timeout") else {
            return Ok(Duration::from_secs(8));
        };
        let seconds = value.as_f64().filter(|seconds| (0.1..=3600.0).contains(seconds));
        seconds
            .map(Duration::from_secs_f64)
            .ok_or_else(|| format!("`timeout` must be a number of seconds from 0.1 to 3600, not {value}"))
    }

    fn security(&mut self) -> Result<Security, String> {
        match self.text("security")?.as_deref() {
            None | Some("starttls") => Ok(Security::StartTls),
            Some("tls") => Ok(Security::Tls),
            Some("opportunistic") => Ok(Security::Opportunistic),
            Some("none") => Ok(Security::None),
            Some(other) => Err(format!(
                "`security` must be \"starttls\", \"tls\", \"opportunistic\" or \"none\", not {other:?}"
            )),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What must be there, with `more` laid over it.
    fn parse(more: Value, password: Option<&str>) -> Result<Config, String> {
        let mut config = json!({"host": "smtp.example.com", "from": "hub@example.com", "addresses": ["a@example.org"]});
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        Config::parse(&config.to_string(), password.map(str::to_owned))
    }

    #[test]
    fn three_fields_are_enough() {
        let config = parse(json!({}), None).unwrap();
        let server = &config.server;
        assert_eq!((server.port, server.security), (587, Security::StartTls));
        assert_eq!(server.hello, "example.com");
        assert!(server.login.is_none() && !config.together);
        assert_eq!(config.letter.body, Body::Text);
        assert_eq!(config.timeout, Duration::from_secs(8));
    }

    #[test]
    fn a_mailto_sink_is_addresses() {
        let check = |more: Value, expected: &[&str]| {
            let addresses = parse(more, None).unwrap().addresses;
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            assert_eq!(addresses, expected);
        };
        let sink = "mailto:b@example.org,c@example.org";
        check(
            json!({"addresses": null, "sink": sink}),
            &["b@example.org", "c@example.org"],
        );
        check(json!({"sink": sink}), &["a@example.org"]);
    }

    #[test]
    fn the_port_follows_the_security() {
        let check = |security: &str, port| {
            assert_eq!(
                parse(json!({"security": security}), None).unwrap().server.port,
                port,
                "{security}"
            );
        };
        check("none", 25);
        check("opportunistic", 25);
        check("starttls", 587);
        check("tls", 465);
    }

    #[test]
    fn the_password_comes_from_the_config_or_a_grant() {
        let check = |more: Value, granted: Option<&str>, expected: Option<(&str, &str)>| {
            let login = parse(more, granted)
                .unwrap()
                .server
                .login
                .map(|login| login.credentials);
            let expected = expected.map(|(user, password)| Credentials::new(user.to_owned(), password.to_owned()));
            assert!(login == expected);
        };
        check(json!({"username": "u", "password": "p"}), None, Some(("u", "p")));
        check(json!({"username": "u", "password": "p"}), Some("q"), Some(("u", "p")));
        check(json!({"username": "u"}), Some("q"), Some(("u", "q")));
        check(json!({}), Some("q"), None);
        check(
            json!({"username": "u", "password": "p", "security": "none", "host": "127.0.0.1"}),
            None,
            Some(("u", "p")),
        );
        let shown = format!(
            "{:?}",
            parse(json!({"username": "u", "password": "hunter2"}), None).unwrap()
        );
        assert!(!shown.contains("hunter2"));
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_name() {
        let check = |more: Value, says: &str| {
            let error = parse(more.clone(), None).unwrap_err();
            assert!(error.starts_with("config: ") && error.contains(says), "{more}: {error}");
        };
        check(json!({"host": null}), "field `host` is missing");
        check(json!({"host": 5}), "`host` must be a string, not a number");
        check(json!({"host": "a:25"}), "`host` must be a name");
        check(json!({"from": "nobody"}), "`from` has \"nobody\"");
        check(json!({"addresses": null}), "field `addresses` is missing");
        check(
            json!({"addresses": null, "sink": "https://example.com"}),
            "`sink` must be",
        );
        check(
            json!({"addresses": null, "sink": "mailto:a@example.com?bcc=b@example.com"}),
            "`sink` must be",
        );
        check(json!({"addresses": []}), "`addresses` must hold 1 to 100");
        check(
            json!({"addresses": "a@b.c"}),
            "`addresses` must be a list of strings, not a string",
        );
        check(json!({"addresses": ["a@b.c", 7]}), "not one with a number");
        check(json!({"addresses": ["a@b.c\r\nRCPT TO:<x@y.z>"]}), "`addresses` has");
        check(json!({"reply_to": "x"}), "`reply_to` has");
        check(json!({"port": 70000}), "`port` must be a number from 1 to 65535");
        check(json!({"security": "ssl"}), "`security` must be");
        check(json!({"username": "u"}), "`username` has no `password`");
        check(
            json!({"username": "u", "password": "p", "security": "none"}),
            "in the clear",
        );
        check(json!({"auth": ["cram-md5"]}), "`auth` must hold");
        check(json!({"ca": "no pem"}), "`ca` holds no certificate");
        check(
            json!({"ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}),
            "`ca` cannot be used",
        );
        check(json!({"hello": "a b"}), "`hello` must be");
        check(json!({"subject": "{"}), "`subject` has a { without its }");
        check(json!({"template": "}"}), "`template` has a } without its {");
        check(json!({"body": "xml"}), "`body` must be");
        check(json!({"layout": "xml"}), "`layout` must be");
        check(json!({"layout": "pulp", "body": "json"}), "leaves no room for `body`");
        check(json!({"together": "yes"}), "`together` must be true or false");
        check(json!({"timeout": 0}), "`timeout` must be");
        check(json!({"subjct": "x"}), "unknown field `subjct`");
        assert!(Config::parse("[]", None).unwrap_err().contains("must be a JSON object"));
        assert!(Config::parse("{", None).unwrap_err().starts_with("config: "));
    }

    #[test]
    fn the_schema_names_the_same_fields() {
        let schema: Value = serde_json::from_str(crate::SCHEMA).unwrap();
        let mut described: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let mut known = FIELDS.to_vec();
        described.sort();
        known.sort_unstable();
        assert_eq!(described, known);
    }
}
