//! `/subscriptions`: the CloudEvents Subscriptions API under its own paths and with its own words, on the same
//! subscriptions as `/v1/subscriptions`.
//!
//! What differs: `sinkcredential` (write-only: it goes to `protocolsettings.auth` and never comes back),
//! `protocolsettings.method`, `protocol` as that document names protocols, 200 for DELETE, and no PUT of what is not
//! there. What it does not know (`bus`, `format`, `secret`, …) may be sent all the same.
//! Invariant: translates, and decides nothing: every rule but that of the words above is the hub's.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::error::Answer;
use super::query::Query;
use super::scope::Scope;
use super::{Door, body};
use crate::access;
use crate::error::Error;
use crate::event::parse_rfc3339;
use crate::log::BusName;
use crate::subscription::Subscription;
use crate::time::Timestamp;

/// Protocols of the document that the hub itself does not speak.
const BY_PLUGIN: [&str; 5] = ["MQTT3", "MQTT5", "AMQP", "NATS", "KAFKA"];
/// The fields of the document that are shown.
const SHOWN: [&str; 8] = [
    "id",
    "source",
    "types",
    "filters",
    "config",
    "sink",
    "protocol",
    "protocolsettings",
];
/// What is made of events: none of the document's fields, and so not shown.
const TRANSFORM: &str = "transform";
/// Settings whose values are numbers; the document has only texts in `config`.
const NUMBERS: [&str; 2] = ["max_attempts", "concurrency"];

/// `POST`: 201 with `Location`.
pub(super) async fn create(State(door): State<Door>, scope: Scope, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    Query::of(&uri, &[])?;
    let json = incoming(body::json(&headers, body).await?, None, door.hub.clock().now())?;
    scope.check_bus(&door.hub, &json)?;
    scope.check_forwarding(&json, None)?;
    let made = door.hub.create(None, &json).await?;
    let mut response = body::answer(StatusCode::CREATED, &outgoing(&made));
    // An id is made of characters that a header may have.
    let location = HeaderValue::from_str(&format!("/subscriptions/{}", made.id));
    response
        .headers_mut()
        .extend(location.ok().map(|location| (header::LOCATION, location)));
    Ok(response)
}

/// `GET`: an array by id; when there are more, `Link` says where.
pub(super) async fn list(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    let query = Query::of(&uri, &["limit", "after"])?;
    let limit = query.limit(1_000, 10_000)?;
    let seen = |bus: &BusName| scope.sees(access::Scope::Subscribe, bus);
    let mut found = door.hub.subscriptions_on(seen, query.one("after")?, limit + 1);
    let more = found.len() > limit;
    found.truncate(limit);
    let mut response = body::ok(&found.iter().map(|one| outgoing(one)).collect());
    if let Some(last) = found.last().filter(|_| more) {
        let link = format!("</subscriptions?after={}&limit={limit}>; rel=\"next\"", last.id);
        let link = HeaderValue::from_str(&link).ok();
        response.headers_mut().extend(link.map(|link| (header::LINK, link)));
    }
    Ok(response)
}

/// `GET …/{id}`.
pub(super) async fn show(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    Ok(body::ok(&outgoing(&door.hub.subscription(None, &scope.item)?)))
}

/// `PUT …/{id}`: replaces one that is there.
pub(super) async fn replace(
    State(door): State<Door>,
    scope: Scope,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::of(&uri, &[])?;
    let old = door.hub.subscription(None, &scope.item)?;
    let json = incoming(body::json(&headers, body).await?, Some(&old), door.hub.clock().now())?;
    scope.check_forwarding(&json, None)?;
    let (changed, _) = door.hub.replace(None, &scope.item, &json).await?;
    Ok(body::ok(&outgoing(&changed)))
}

/// `DELETE …/{id}`: 200 with what was removed.
pub(super) async fn remove(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let old = door.hub.subscription(None, &scope.item)?;
    door.hub.remove(None, &scope.item).await?;
    Ok(body::ok(&outgoing(&old)))
}

/// `OPTIONS`.
pub(super) async fn collection_options() -> Response {
    ([(header::ALLOW, "GET,POST,OPTIONS")]).into_response()
}

/// `OPTIONS …/{id}`.
pub(super) async fn item_options() -> Response {
    ([(header::ALLOW, "GET,PUT,DELETE,OPTIONS")]).into_response()
}

/// A subscription in the words of the document.
fn outgoing(subscription: &Subscription) -> Value {
    let mut json = subscription.to_json();
    let Some(fields) = json.as_object_mut() else {
        return json;
    };
    fields.retain(|name, _| SHOWN.contains(&name.as_str()));
    let is_http = fields.get("protocol").is_some_and(|protocol| protocol == "HTTP");
    if let Some(settings) = fields.get_mut("protocolsettings").and_then(Value::as_object_mut)
        && is_http
    {
        settings.remove("auth");
        settings.insert("method".into(), "POST".into());
    }
    json
}

/// The body of a request in the hub's words. Without `sinkcredential` the credentials of `old` stay, and so does what is
/// made of its events: neither was shown, so whoever sends back what they got did not mean to remove it (null does).
fn incoming(mut json: Value, old: Option<&Subscription>, now: Timestamp) -> Result<Value, Error> {
    let Some(fields) = json.as_object_mut() else {
        return Err(refuse("", "must be a JSON object"));
    };
    check_protocol(fields)?;
    if fields.get("sink").is_none_or(Value::is_null) {
        return Err(refuse("sink", "is missing: where events are sent"));
    }
    let transform = old.and_then(|old| old.to_json().get(TRANSFORM).cloned());
    if let (Some(transform), false) = (transform, fields.contains_key(TRANSFORM)) {
        fields.insert(TRANSFORM.into(), transform);
    }
    let credential = fields.remove("sinkcredential");
    let kept = || old.and_then(|old| old.to_json().pointer("/protocolsettings/auth").cloned());
    let auth = match &credential {
        None => kept(),
        Some(Value::Null) => None,
        Some(credential) => Some(auth(credential, now)?),
    };
    if !fields.get("protocolsettings").is_some_and(Value::is_object) && auth.is_some() {
        fields.insert("protocolsettings".into(), json!({}));
    }
    if let Some(settings) = fields.get_mut("protocolsettings").and_then(Value::as_object_mut) {
        check_method(settings)?;
        match (auth, settings.contains_key("auth")) {
            (Some(_), true) if credential.is_some() => {
                return Err(refuse(
                    "sinkcredential",
                    "is given, and `protocolsettings.auth` too; give one of them",
                ));
            }
            (Some(auth), false) => drop(settings.insert("auth".into(), auth)),
            _ => {}
        }
    }
    if let Some(config) = fields.get_mut("config").and_then(Value::as_object_mut) {
        for name in NUMBERS {
            let number = config
                .get(name)
                .and_then(Value::as_str)
                .and_then(|text| text.parse::<u64>().ok());
            if let Some(number) = number {
                config.insert(name.into(), number.into());
            }
        }
    }
    Ok(json)
}

fn check_protocol(fields: &Map<String, Value>) -> Result<(), Error> {
    let protocol = match fields.get("protocol") {
        None | Some(Value::Null) => return Err(refuse("protocol", "is missing; the hub itself speaks \"HTTP\"")),
        // What is no text is refused with all the other rules.
        Some(given) => given.as_str().unwrap_or_default(),
    };
    match BY_PLUGIN.into_iter().find(|known| *known == protocol) {
        None => Ok(()),
        Some(known) => {
            let text = format!(
                "protocol: {known} is not the hub's own; load a notifier plugin that speaks it, and name the plugin here (\"protocol\": \"{}\")",
                known.to_ascii_lowercase()
            );
            Err(Error::invalid("protocol_not_served", text))
        }
    }
}

/// `method` goes: there is only one.
fn check_method(settings: &mut Map<String, Value>) -> Result<(), Error> {
    match settings.remove("method") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(method)) if method == "POST" => Ok(()),
        Some(_) => Err(refuse(
            "protocolsettings.method",
            "must be \"POST\": events are delivered by no other",
        )),
    }
}

/// `sinkcredential` as `protocolsettings.auth`.
fn auth(credential: &Value, now: Timestamp) -> Result<Value, Error> {
    let field = |name: &str| {
        let text = credential.get(name).and_then(Value::as_str);
        text.ok_or_else(|| refuse(&format!("sinkcredential.{name}"), "is missing, or no text"))
    };
    match field("credentialtype")? {
        "PLAIN" => Ok(json!({"basic": {"username": field("identifier")?, "password": field("secret")?}})),
        "ACCESSTOKEN" => {
            let kind = credential
                .get("accesstokentype")
                .and_then(Value::as_str)
                .unwrap_or("bearer");
            if !kind.eq_ignore_ascii_case("bearer") {
                return Err(refuse("sinkcredential.accesstokentype", "must be \"bearer\""));
            }
            if let Some(expires) = credential.get("accesstokenexpiresutc").filter(|value| !value.is_null()) {
                let expires = expires.as_str().and_then(parse_rfc3339);
                let path = "sinkcredential.accesstokenexpiresutc";
                let expires = expires.ok_or_else(|| refuse(path, "must be a time such as \"2027-01-31T12:00:00Z\""))?;
                if expires <= now {
                    return Err(refuse(path, "is past: the token has expired"));
                }
            }
            Ok(json!({"bearer": {"token": field("accesstoken")?}}))
        }
        "REFRESHTOKEN" => {
            let text = "sinkcredential: REFRESHTOKEN is not served: the hub fetches no tokens; send an ACCESSTOKEN, and a new one by PUT before it expires";
            Err(Error::invalid("credential_not_served", text))
        }
        other => {
            let rule = format!(
                "must be PLAIN or ACCESSTOKEN, not {:?}",
                other.chars().take(64).collect::<String>()
            );
            Err(refuse("sinkcredential.credentialtype", rule))
        }
    }
}

fn refuse(path: &str, rule: impl std::fmt::Display) -> Error {
    let path = if path.is_empty() { "the subscription" } else { path };
    Error::invalid("invalid_subscription", format!("{path}: {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::BusName;
    use crate::subscription::{DeliveryConfig, SubscriptionId};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn stored(json: &Value) -> Subscription {
        let (id, bus) = (SubscriptionId("s".into()), BusName::default_bus());
        Subscription::from_json(id, bus, json, &DeliveryConfig::default(), NOW).unwrap()
    }

    #[test]
    fn the_words_of_the_document_become_ours_and_come_back() {
        let sent = json!({
            "id": "mine", "source": "/src", "types": ["com.a"], "config": {"max_attempts": "3"},
            "filters": [{"exact": {"type": "com.a"}}, {"sql": "EXISTS subject"}], "sink": "https://x.example/",
            "sinkcredential": {"credentialtype": "ACCESSTOKEN", "accesstoken": "t0p", "accesstokenexpiresutc": "2099-01-01T00:00:00Z"},
            "protocol": "HTTP", "protocolsettings": {"method": "POST", "headers": {"k": "v"}},
        });
        let ours = stored(&incoming(sent.clone(), None, NOW).unwrap());
        assert_eq!(
            ours.to_stored().pointer("/protocolsettings/auth/bearer/token"),
            Some(&json!("t0p"))
        );
        let shown = outgoing(&ours);
        for field in ["source", "types", "filters", "sink", "protocol"] {
            assert_eq!(shown[field], sent[field], "{field}");
        }
        assert_eq!(
            shown["protocolsettings"],
            json!({"method": "POST", "headers": {"k": "v"}, "format": "structured"})
        );
        assert_eq!(
            (&shown["config"]["max_attempts"], shown.get("sinkcredential")),
            (&json!(3), None)
        );
        assert!(!shown.to_string().contains("t0p"));
        // What is shown can be sent back, and what was not shown stays.
        let again = incoming(shown.clone(), Some(&ours), NOW).unwrap();
        let again = ours.replaced(&again, &DeliveryConfig::default(), NOW).unwrap();
        assert_eq!(again.sink, ours.sink);
        let mut transformed = sent;
        transformed["transform"] = json!({"form": "CONSTANT", "value": "x"});
        let transformed = stored(&incoming(transformed, None, NOW).unwrap());
        let back = outgoing(&transformed);
        assert_eq!(back.get("transform"), None);
        let back = incoming(back, Some(&transformed), NOW).unwrap();
        assert_eq!(back["transform"], json!({"form": "CONSTANT", "value": "x"}));
        let mut without = shown;
        without["sinkcredential"] = Value::Null;
        let without = incoming(without, Some(&ours), NOW).unwrap();
        assert_eq!(without.pointer("/protocolsettings/auth"), None);
    }

    /// What is sent beside `sink` and `protocol`, and what is wrong with it.
    const REFUSED: [(&str, &str); 12] = [
        (r#"{"protocol": "MQTT5"}"#, r#""protocol": "mqtt5""#),
        (r#"{"protocol": null}"#, "protocol: is missing"),
        (r#"{"sink": null}"#, "sink: is missing"),
        (r#"{"protocolsettings": {"method": "PUT"}}"#, r#"must be "POST""#),
        (
            r#"{"sinkcredential": {"credentialtype": "REFRESHTOKEN"}}"#,
            "send an ACCESSTOKEN",
        ),
        (
            r#"{"sinkcredential": {"credentialtype": "KEY"}}"#,
            "PLAIN or ACCESSTOKEN",
        ),
        (
            r#"{"sinkcredential": {"credentialtype": "PLAIN", "identifier": "u"}}"#,
            "sinkcredential.secret",
        ),
        (r#"{"sinkcredential": {}}"#, "sinkcredential.credentialtype"),
        (
            r#"{"sinkcredential": {"credentialtype": "ACCESSTOKEN", "accesstokentype": "mac"}}"#,
            "bearer",
        ),
        (
            r#"{"sinkcredential": {"credentialtype": "ACCESSTOKEN", "accesstokenexpiresutc": "2001-01-01T00:00:00Z"}}"#,
            "is past",
        ),
        (
            r#"{"sinkcredential": {"credentialtype": "ACCESSTOKEN", "accesstokenexpiresutc": 7}}"#,
            "must be a time",
        ),
        (
            r#"{"sinkcredential": {"credentialtype": "ACCESSTOKEN", "accesstoken": "t"}, "protocolsettings": {"auth": {}}}"#,
            "give one of them",
        ),
    ];

    #[test]
    fn what_is_not_served_is_refused_in_words_that_help() {
        for (change, message) in REFUSED {
            let mut json = json!({"sink": "https://x.example/", "protocol": "HTTP"});
            let change: Map<String, Value> = serde_json::from_str(change).unwrap();
            json.as_object_mut().unwrap().extend(change);
            let error = incoming(json, None, NOW).unwrap_err();
            assert!(error.message().contains(message), "{error}");
        }
    }
}
