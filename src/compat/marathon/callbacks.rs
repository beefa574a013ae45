//! `/v2/eventSubscriptions`: callbacks by URL. Each is an ordinary subscription, and a document that keeps its URL as
//! it was given, which is its name here.
//!
//! A document says whether its subscription has been made, so that a start can tell what a crash left (make it) from
//! what somebody removed by the hub's own API (forget it).
//! Why a callback whose sink answered 410 is not listed: clients look here to see whether they must subscribe again,
//! and it gets nothing; a POST takes it up again. Marathon knows no 410.
//! Invariant: what is listed is delivered to, or was paused by a person.

use std::sync::Arc;

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::asked::Asked;
use super::endpoint::Endpoint;
use super::own;
use super::refusal::Refusal;
use crate::compat::Door;
use crate::digest::short_sha256;
use crate::error::{Error, Kind};
use crate::log::BusName;
use crate::subscription::{State, Subscription};

/// The kind of their documents.
const KIND: &str = "marathon.callback";
/// Why a subscription whose sink answered 410 is paused.
const GONE: &str = "gone";

/// All of `/v2/eventSubscriptions`.
pub(super) async fn answer(door: &Door, asked: &Asked, method: &Method) -> Result<Response, Refusal> {
    if !door.settings.marathon.callbacks {
        return Err(Refusal::no_callbacks());
    }
    let named = || asked.value("callbackUrl").unwrap_or_default();
    match *method {
        Method::GET | Method::HEAD => Ok(json_answer(list(door))),
        Method::POST => {
            let endpoint = Endpoint::parse(&named()).map_err(Refusal::not_valid)?;
            Ok(json_answer(subscribe(door, &endpoint, &asked.client_ip()).await?))
        }
        Method::DELETE => {
            let endpoint = Endpoint::parse(&named()).map_err(Refusal::not_valid)?;
            Ok(json_answer(unsubscribe(door, &endpoint, &asked.client_ip()).await?))
        }
        _ => Err(Refusal::method(super::allowed(asked.path()))),
    }
}

fn json_answer(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn list(door: &Door) -> Bytes {
    let bus = &door.settings.marathon.bus;
    let urls: Vec<Value> = door
        .hub
        .documents(KIND)
        .iter()
        .filter(|(id, _)| door.hub.subscription(Some(bus), id).is_ok_and(|found| !is_gone(&found)))
        .filter_map(|(_, document)| document.get("url").cloned())
        .collect();
    json!({ "callbackUrls": urls }).to_string().into()
}

/// Adds a callback, or takes up again what is there, and tells everybody; the event.
async fn subscribe(door: &Door, endpoint: &Endpoint, client_ip: &str) -> Result<Bytes, Refusal> {
    let bus = &door.settings.marathon.bus;
    let id = id(bus, endpoint);
    let changing = door.changing.lock().await;
    match door.hub.subscription(Some(bus), &id) {
        Ok(found) if is_gone(&found) => drop(door.hub.resume(Some(bus), &id).await?),
        Ok(_) => {}
        Err(_) => make(door, endpoint, &id).await?,
    }
    drop(changing);
    let event = own::subscription(door, "subscribe_event", client_ip, endpoint.as_str());
    own::publish(door, event.clone()).await?;
    Ok(event)
}

async fn make(door: &Door, endpoint: &Endpoint, id: &str) -> Result<(), Refusal> {
    let bus = &door.settings.marathon.bus;
    door.hub.put_document(KIND, id, document(bus, endpoint, false)).await?;
    let asked = subscription(door, endpoint);
    if let Err(error) = door.hub.replace(Some(bus), id, &asked).await {
        door.hub.remove_document(KIND, id).await?;
        return Err(match error.kind() {
            Kind::Invalid => Refusal::not_valid(error.message()),
            _ => error.into(),
        });
    }
    Ok(finish(door, id, bus, endpoint).await?)
}

/// The subscription is there: a start need not make it.
async fn finish(door: &Door, id: &str, bus: &BusName, endpoint: &Endpoint) -> Result<(), Error> {
    door.hub.put_document(KIND, id, document(bus, endpoint, true)).await
}

/// Removes a callback, if it is there, and tells everybody else; the event.
async fn unsubscribe(door: &Door, endpoint: &Endpoint, client_ip: &str) -> Result<Bytes, Refusal> {
    let bus = &door.settings.marathon.bus;
    let id = id(bus, endpoint);
    let changing = door.changing.lock().await;
    match door.hub.remove(Some(bus), &id).await {
        Err(error) if error.kind() != Kind::NotFound => return Err(error.into()),
        _ => drop(door.hub.remove_document(KIND, &id).await?),
    }
    drop(changing);
    let event = own::subscription(door, "unsubscribe_event", client_ip, endpoint.as_str());
    own::publish(door, event.clone()).await?;
    Ok(event)
}

/// Makes what a crash left unmade, and forgets what was removed elsewhere. Callbacks of another bus (the setting has
/// changed) stay as they are.
pub(super) async fn mend(door: &Door) -> Result<(), Error> {
    for (id, document) in door.hub.documents(KIND) {
        let Some((bus, endpoint, made)) = read(&document) else {
            tracing::warn!(callback = id, "a callback's record is not readable and was removed");
            door.hub.remove_document(KIND, &id).await?;
            continue;
        };
        let there = door.hub.subscription(Some(&bus), &id).is_ok();
        match (made, there) {
            (true, true) => {}
            (true, false) => drop(door.hub.remove_document(KIND, &id).await?),
            (false, true) => finish(door, &id, &bus, &endpoint).await?,
            (false, false) => {
                let made = door.hub.replace(Some(&bus), &id, &subscription(door, &endpoint)).await;
                match made {
                    Ok(_) => finish(door, &id, &bus, &endpoint).await?,
                    // Whoever asked for it has been told, or was when the hub broke off.
                    Err(error) if error.kind() == Kind::Invalid => {
                        tracing::warn!(callback = endpoint.as_str(), reason = %error, "a callback cannot be made");
                        door.hub.remove_document(KIND, &id).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

/// Subscribes the endpoints of the settings. Marathon tells everybody so at every start, in the name of its own host.
pub(super) async fn take_up(door: &Door) -> Result<(), Error> {
    for endpoint in &door.settings.marathon.endpoints {
        if let Err(refused) = subscribe(door, endpoint, &host_name()).await {
            let url = endpoint.as_str();
            return Err(Error::invalid(
                "http_endpoint_refused",
                format!("`marathon.http_endpoints`: {url} is refused: {}", refused.words()),
            ));
        }
    }
    Ok(())
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.map(|name| name.trim().to_owned()).unwrap_or_default();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// `marathon-` and twelve digits that follow from the bus and the URL.
fn id(bus: &BusName, endpoint: &Endpoint) -> String {
    let digits = short_sha256(format!("{bus} {}", endpoint.as_str()), 12);
    format!("marathon-{digits}")
}

fn document(bus: &BusName, endpoint: &Endpoint, made: bool) -> Value {
    json!({"url": endpoint.as_str(), "bus": bus.as_str(), "subscribed": made})
}

fn read(document: &Arc<Value>) -> Option<(BusName, Endpoint, bool)> {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let bus = BusName::parse(text("bus")?).ok()?;
    let endpoint = Endpoint::parse(text("url")?).ok()?;
    Some((bus, endpoint, document.get("subscribed")?.as_bool()?))
}

/// What a callback is to the hub: whatever has the shape of Marathon's events, in the producer's own bytes.
fn subscription(door: &Door, endpoint: &Endpoint) -> Value {
    json!({
        "filters": [{"pattern": {"data": {"eventType": [{"exists": true}]}}}],
        "sink": endpoint.sink(),
        "protocolsettings": {"format": "raw", "headers": {"accept": "application/json"}},
        "config": {"timeout": crate::units::show_duration(door.settings.marathon.slow_consumer)}
    })
}

fn is_gone(subscription: &Subscription) -> bool {
    matches!(&subscription.state, State::Paused { reason } if reason == GONE)
}
