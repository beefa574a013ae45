//! Targets that a notifier plugin serves: `acs.mail` by `email`, `acs.rabbitmq` by `amqp`, and every plugin by its name.
//!
//! Parameters become the plugin's settings; the plugin's own schema says what it takes, so a parameter that it does not
//! know is refused in its words. `Body` becomes the data that the plugin sees.

use serde_json::{Map, Value};

use super::super::fault::Fault;
use super::super::rule::{Param, Target};
use super::{Params, Part, body, constant};

/// Names of parameters that the service has for what a plugin calls otherwise.
const EMAIL: &[(&str, &str)] = &[
    ("To", "addresses"),
    ("ToAddress", "addresses"),
    ("Receivers", "addresses"),
    ("Address", "addresses"),
    ("From", "from"),
    ("FromAddress", "from"),
    ("AccountName", "from"),
    ("ReplyTo", "reply_to"),
    ("Subject", "subject"),
];

/// The sink of a target.
pub(super) fn sink(kind: &str, target: &Target) -> Result<Part, Fault> {
    let mut params = Params::of(target);
    let body = params.take(&["Body"]);
    let (plugin, mut settings) = match kind {
        "acs.mail" => ("email", email(target, &mut params, body.is_some())?),
        "acs.rabbitmq" => ("amqp", rabbitmq(target, &mut params, changes_data(body))?),
        name if is_plugin_name(name) => (name, other(target, &mut params)?),
        other => return Err(unknown(target, other)),
    };
    params.end()?;
    let mut part = Part::new();
    if plugin == kind && !target.endpoint.is_empty() {
        settings
            .entry("sink")
            .or_insert_with(|| target.endpoint.as_str().into());
    }
    part.insert("protocol".to_owned(), plugin.into());
    part.insert("protocolsettings".to_owned(), Value::Object(settings));
    if body.is_some() {
        part.insert("transform".to_owned(), body::transform(target, body)?);
    }
    Ok(part)
}

fn unknown(target: &Target, kind: &str) -> Fault {
    let text = format!(
        "The type {kind} is not served here: use http, https, acs.eventbridge, acs.mail, acs.rabbitmq, or the name of a \
         notifier plugin."
    );
    Fault::target(&target.id, text)
}

/// As the subscriptions have it.
fn is_plugin_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(allowed) && name != "bus"
}

fn email(target: &Target, params: &mut Params<'_>, has_body: bool) -> Result<Map<String, Value>, Fault> {
    let mut settings = Map::new();
    for (theirs, ours) in EMAIL {
        let Some(value) = params.constant(&[theirs])? else {
            continue;
        };
        let value = match *ours {
            "addresses" => addresses(value),
            _ => value.into(),
        };
        settings.insert((*ours).to_owned(), value);
    }
    settings.extend(other(target, params)?);
    if target.endpoint.contains('@') {
        let endpoint = target.endpoint.trim_start_matches("mailto:");
        settings.entry("addresses").or_insert_with(|| addresses(endpoint));
    }
    if has_body {
        // The body is what was made of the event, and nothing around it.
        settings.entry("template").or_insert("{data}".into());
    }
    Ok(settings)
}

fn addresses(text: &str) -> Value {
    let parts = text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(Value::from).collect()
}

/// Whether the plugin sees other data than the event's.
fn changes_data(body: Option<&Param>) -> bool {
    body.is_some_and(|body| !body.form.is_empty() && !body.form.eq_ignore_ascii_case("ORIGINAL"))
}

fn rabbitmq(target: &Target, params: &mut Params<'_>, changed: bool) -> Result<Map<String, Value>, Fault> {
    let mut settings = Map::new();
    for ignored in ["InstanceId", "RegionId"] {
        // Which broker it is says the Endpoint, or the operator's own config of the plugin.
        params.constant(&[ignored])?;
    }
    let host = params.constant(&["VirtualHostName"])?.filter(|host| !host.is_empty());
    if target.endpoint.starts_with("amqp://") || target.endpoint.starts_with("amqps://") {
        settings.insert("url".to_owned(), url(&target.endpoint, host).into());
    } else if let Some(host) = host {
        let text = format!("Its parameter VirtualHostName ({host}) needs an Endpoint such as amqp://host:5672.");
        return Err(Fault::target(&target.id, text));
    }
    let exchange = params.constant(&["Exchange"])?;
    let queue = params.constant(&["QueueName"])?;
    let key = params.take(&["RoutingKey"]);
    match params.constant(&["TargetType"])?.unwrap_or("Exchange") {
        kind if kind.eq_ignore_ascii_case("queue") => {
            let queue = queue.ok_or_else(|| Fault::target(&target.id, "A TargetType of Queue needs a QueueName."))?;
            // A queue is reached through the broker's own exchange, by its name.
            settings.insert("exchange".to_owned(), "".into());
            settings.insert("routing_key".to_owned(), queue.into());
        }
        _ => {
            if let Some(exchange) = exchange {
                settings.insert("exchange".to_owned(), exchange.into());
            }
            if let Some(key) = key {
                let key = filled(target, key)?;
                if changed && key.starts_with("{/") {
                    let text = "Its RoutingKey is of the event's data, and its Body makes other data of them: use the form \
                                ORIGINAL for the Body, or an attribute such as $.subject for the RoutingKey.";
                    return Err(Fault::target(&target.id, text));
                }
                settings.insert("routing_key".to_owned(), key.into());
            }
        }
    }
    settings.extend(other(target, params)?);
    Ok(settings)
}

fn url(endpoint: &str, host: Option<&str>) -> String {
    let base = endpoint.trim_end_matches('/');
    let has_path = base.splitn(4, '/').count() > 3;
    match host.filter(|_| !has_path) {
        Some(host) => {
            let host = percent_encoding::utf8_percent_encode(host, percent_encoding::NON_ALPHANUMERIC);
            format!("{base}/{host}")
        }
        None => endpoint.to_owned(),
    }
}

/// A fixed value, or one that the plugin fills from the event: `$.subject` is `{subject}`, `$.data.a.b` is `{/a/b}`.
fn filled(target: &Target, param: &Param) -> Result<String, Fault> {
    if !param.form.eq_ignore_ascii_case("JSONPATH") {
        return constant(target, param).map(str::to_owned);
    }
    let path = param.value.as_deref().unwrap_or_default();
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
    };
    let parts: Option<Vec<&str>> = path
        .strip_prefix("$.")
        .map(|rest| rest.split('.').collect::<Vec<_>>())
        .filter(|parts| parts.iter().all(|part| plain(part)));
    match parts.as_deref() {
        Some(["data", inner @ ..]) if !inner.is_empty() => Ok(format!("{{/{}}}", inner.join("/"))),
        Some([name]) => Ok(format!("{{{name}}}")),
        _ => {
            let text = format!(
                "Its parameter {} has a path that can't be followed here: {path}.",
                param.resource_key
            );
            Err(Fault::target(&target.id, text))
        }
    }
}

/// Every parameter that is left, under its own name: a text, or what it is as JSON.
fn other(target: &Target, params: &mut Params<'_>) -> Result<Map<String, Value>, Fault> {
    let mut settings = Map::new();
    for param in std::mem::take(&mut params.left) {
        let text = constant(target, param)?;
        let value = match serde_json::from_str(text) {
            Ok(value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => value,
            _ => text.into(),
        };
        settings.insert(param.resource_key.clone(), value);
    }
    Ok(settings)
}
