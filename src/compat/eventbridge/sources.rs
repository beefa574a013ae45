//! Event sources: named by who puts events, or webhooks, each with a URL that carries its token.
//!
//! Sources that fetch from other products (queues, tables) are refused: producers of those publish here themselves.
//! Invariant: a token is drawn by chance, and never changes while its source lives.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::call::{Call, Origin};
use super::fault::Fault;
use super::settings::{Settings, Webhook};
use super::{arn, buses};
use crate::access::Scope;
use crate::compat::Door;
use crate::log::BusName;

const KIND: &str = "eventbridge.source";
const MOST_PLACES: usize = 5;

/// A source as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) event_bus_name: String,
    /// When it was made, Unix milliseconds.
    pub(super) ctime: i64,
    pub(super) webhook: Option<Http>,
}

/// A webhook: what its URL takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Http {
    pub(super) token: String,
    #[serde(rename = "Type")]
    pub(super) scheme: String,
    pub(super) method: Vec<String>,
    pub(super) security_config: String,
    pub(super) ip: Vec<String>,
    pub(super) referer: Vec<String>,
}

impl Source {
    /// The hub's bus that it puts events on; the default one, if its own is gone.
    pub(super) fn hub_bus(&self, door: &Door) -> BusName {
        buses::resolve(door, &self.event_bus_name).unwrap_or_else(BusName::default_bus)
    }
}

/// The source whose token this is, of the config or of a call.
pub(super) fn of_token(door: &Door, token: &str) -> Option<Source> {
    let configured = door.settings.eventbridge.webhooks.iter().map(configured);
    let kept = door.hub.documents(KIND);
    let kept = kept.iter().filter_map(|(_, document)| read(document));
    // All are looked at, so that time does not tell how much of a token was right.
    configured.chain(kept).fold(None, |found, source| {
        let is = source
            .webhook
            .as_ref()
            .is_some_and(|http| super::same(http.token.as_bytes(), token.as_bytes()));
        if is { Some(source) } else { found }
    })
}

pub(super) async fn create(call: &Call) -> Result<Value, Fault> {
    let (name, bus) = (call.params.required("EventSourceName")?, call.params.bus()?);
    call.bus(bus, Scope::Admin)?;
    if !buses::is_name(name) {
        let text = format!(
            "The event source name [{name}] is invalid: letters, digits, `-` and `_`, first a letter or digit."
        );
        return Err(Fault::conflict("EventSourceNameInvalid", text));
    }
    let source = Source {
        name: name.to_owned(),
        description: call.params.text("Description")?.unwrap_or_default().to_owned(),
        event_bus_name: bus.to_owned(),
        ctime: call.door.hub.clock().now().0,
        webhook: webhook(call, None)?,
    };
    let _changing = call.memory.changing.lock().await;
    if call.door.hub.document(KIND, name).is_some() {
        return Err(Fault::conflict(
            "EventSourceAlreadyExist",
            format!("The event source [{name}] already existed!"),
        ));
    }
    keep(call, &source).await?;
    let url = source.webhook.as_ref().map(|http| url(&call.from, http));
    Ok(json!({ "EventSourceARN": arn::source(call.settings(), bus, name), "PublicWebHookUrl": url }))
}

pub(super) async fn update(call: &Call) -> Result<Value, Fault> {
    find(call)?;
    let _changing = call.memory.changing.lock().await;
    let mut source = find(call)?;
    if call.params.is_given("Description") {
        source.description = call.params.text("Description")?.unwrap_or_default().to_owned();
    }
    if let Some(http) = webhook(call, source.webhook.as_ref())? {
        source.webhook = Some(http);
    }
    keep(call, &source).await?;
    Ok(json!({}))
}

pub(super) async fn delete(call: &Call) -> Result<Value, Fault> {
    let source = find(call)?;
    let _changing = call.memory.changing.lock().await;
    call.door.hub.remove_document(KIND, &source.name).await?;
    Ok(json!({}))
}

pub(super) fn list(call: &Call) -> Result<Value, Fault> {
    let window = call.params.window()?;
    let (bus, prefix) = (
        call.params.text("EventBusName")?,
        call.params.text("NamePrefix")?.unwrap_or_default(),
    );
    let documents = call.door.hub.documents(KIND);
    let kept = documents.iter().filter_map(|(_, document)| read(document));
    let sources: Vec<Source> = call
        .settings()
        .webhooks
        .iter()
        .map(configured)
        .chain(kept)
        .filter(|source| source.name.starts_with(prefix) && bus.is_none_or(|bus| bus == source.event_bus_name))
        .filter(|source| call.bus(&source.event_bus_name, Scope::Admin).is_ok())
        .collect();
    let total = sources.len();
    let (part, next) = window.cut(sources);
    let shown: Vec<Value> = part
        .iter()
        .map(|source| shown(call.settings(), &call.from, source))
        .collect();
    // The data plane and RPC name the list differently.
    Ok(json!({ "EventSources": shown, "EventSourceList": shown, "NextToken": next, "Total": total }))
}

fn find(call: &Call) -> Result<Source, Fault> {
    let name = call.params.required("EventSourceName")?;
    let found = call.door.hub.document(KIND, name).as_ref().and_then(read);
    let missing = || Fault::conflict("EventSourceNotExist", format!("The event source [{name}] not existed!"));
    let source = match found {
        Some(source) => source,
        // Who may do nothing is told that, and not what sources there are.
        None => return call.bus("default", Scope::Admin).and(Err(missing())),
    };
    call.bus(&source.event_bus_name, Scope::Admin)?;
    Ok(source)
}

async fn keep(call: &Call, source: &Source) -> Result<(), Fault> {
    let document = serde_json::to_value(source).unwrap_or_default();
    Ok(call.door.hub.put_document(KIND, &source.name, document).await?)
}

fn read(document: &Arc<Value>) -> Option<Source> {
    serde_json::from_value(Value::clone(document)).ok()
}

fn configured(webhook: &Webhook) -> Source {
    Source {
        name: webhook.name.clone(),
        description: "of the hub's config".to_owned(),
        event_bus_name: webhook.bus.to_string(),
        ctime: 0,
        webhook: Some(Http {
            token: webhook.token.clone(),
            scheme: "HTTP&HTTPS".to_owned(),
            method: Vec::new(),
            security_config: "none".to_owned(),
            ip: Vec::new(),
            referer: Vec::new(),
        }),
    }
}

/// The webhook that a call asks for; its token is the one that it had.
fn webhook(call: &Call, old: Option<&Http>) -> Result<Option<Http>, Fault> {
    for other in [
        "RabbitMQ",
        "MNS",
        "RocketMQ",
        "Kafka",
        "SLS",
        "ScheduledEvent",
        "MySQL",
        "DTS",
        "MQTT",
        "OSSEvent",
    ] {
        if call
            .params
            .structured(&format!("Source{other}Parameters"))?
            .is_some_and(|given| !given.is_null())
        {
            let text = format!(
                "An event source of the kind {other} is not served by this hub: publish the events here instead."
            );
            return Err(Fault::conflict("OperationNotSupported", text));
        }
    }
    let Some(given) = call.params.structured("SourceHttpEventParameters")? else {
        return Ok(None);
    };
    let text = |name: &str| given.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let http = Http {
        token: old.map_or_else(|| format!("{:032x}", crate::chance::bits()), |old| old.token.clone()),
        scheme: text("Type").unwrap_or("HTTP&HTTPS").to_ascii_uppercase(),
        method: texts(&given, "Method")
            .iter()
            .map(|method| method.to_ascii_uppercase())
            .collect(),
        security_config: text("SecurityConfig").unwrap_or("none").to_ascii_lowercase(),
        ip: texts(&given, "Ip"),
        referer: texts(&given, "Referer"),
    };
    check(&http).map(|()| Some(http))
}

fn check(http: &Http) -> Result<(), Fault> {
    let refuse = |rule: &str| Err(Fault::parameter("SourceHttpEventParameters", rule));
    let places = match http.security_config.as_str() {
        "none" => None,
        "ip" => Some(&http.ip),
        "referer" => Some(&http.referer),
        _ => return refuse("must have a SecurityConfig of none, ip or referer"),
    };
    if !["HTTP", "HTTPS", "HTTP&HTTPS"].contains(&http.scheme.as_str()) {
        return refuse("must have a Type of HTTP, HTTPS or HTTP&HTTPS");
    }
    if places.is_some_and(|places| places.is_empty() || places.len() > MOST_PLACES) {
        return refuse("must name 1 to 5 of what its SecurityConfig asks for");
    }
    match http.security_config == "ip" && !http.ip.iter().all(|place| super::webhook::range(place).is_some()) {
        true => refuse("must have addresses or ranges such as 10.0.0.0/8 as Ip"),
        false => Ok(()),
    }
}

fn texts(given: &Value, name: &str) -> Vec<String> {
    let items = given.get(name).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn url(from: &Origin, http: &Http) -> String {
    format!("{}/webhook/putEvents?token={}", from.base, http.token)
}

fn shown(settings: &Settings, from: &Origin, source: &Source) -> Value {
    let arn = arn::source(settings, &source.event_bus_name, &source.name);
    let mut shown = json!({
        "Name": source.name,
        "Description": source.description,
        "EventBusName": source.event_bus_name,
        "Arn": arn,
        "ARN": arn,
        "Status": "Activated",
        "Type": "UserDefined",
        "Ctime": source.ctime,
    });
    if let (Some(http), Some(object)) = (&source.webhook, shown.as_object_mut()) {
        let parameters = json!({
            "Type": http.scheme,
            "Method": http.method,
            "SecurityConfig": http.security_config,
            "Ip": http.ip,
            "Referer": http.referer,
            "PublicWebHookUrl": [url(from, http)],
            "VpcWebHookUrl": [],
        });
        // The data plane and RPC name it differently.
        object.insert("SourceHttpEventParameters".to_owned(), parameters.clone());
        object.insert("SourceHttpEventResponse".to_owned(), parameters);
    }
    shown
}
