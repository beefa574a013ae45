//! `/webhook/putEvents?token=…`: any HTTP request becomes an event of the source whose token it carries.
//!
//! The token is the credential, and nothing else is asked for. The body stays the sender's bytes.
//! Invariant: what a sender proves itself with to others (`authorization`, `cookie`) is in no event.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::http::{HeaderMap, Method, Uri, header};
use bytes::Bytes;
use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use url::form_urlencoded;

use super::arn;
use super::call::{Call, Origin};
use super::fault::Fault;
use super::put_events::{Entry, put};
use super::request_id;
use super::settings::Settings;
use super::sources::{Http, Source};
use crate::event::native::eventbridge::set_extension;
use crate::event::{Data, DataKind, Draft, Value as Attribute};

const TYPE: &str = "eventbridge:Events:HTTPEvent";
const HIDDEN: [header::HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// One request to a webhook.
pub(super) struct Hit {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What the event carries.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Carried<'a> {
    headers: BTreeMap<String, String>,
    path: &'a str,
    body: Box<RawValue>,
    http_method: &'a str,
    query_string: BTreeMap<String, String>,
}

/// The token that a request carries.
pub(super) fn token(uri: &Uri) -> Option<String> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs
        .into_owned()
        .find(|(name, _)| name == "token")
        .map(|(_, value)| value)
}

/// Puts a request as an event of this source.
pub(super) async fn take(call: &Call, source: &Source, http: &Http, hit: Hit) -> Result<Value, Fault> {
    if let Err(why) = check(http, &hit, &call.from) {
        let text = format!("The security check of the request failed: {why}.");
        return Err(Fault::conflict("PutEventsRequestSecurityCheckFailed", text));
    }
    let draft = draft(call.settings(), source, &hit)?;
    put(call, vec![Entry::made(draft)], Some(&source.event_bus_name)).await
}

/// Whether the source takes a request like this one.
fn check(http: &Http, hit: &Hit, from: &Origin) -> Result<(), &'static str> {
    if !http.method.is_empty() && !http.method.iter().any(|method| method == hit.method.as_str()) {
        return Err("the source does not take this method");
    }
    let header = |name: &str| hit.headers.get(name).and_then(|value| value.to_str().ok());
    // The hub speaks no TLS itself: only a proxy before it can tell.
    let scheme = header("x-forwarded-proto").map(str::to_ascii_uppercase);
    if scheme.is_some_and(|scheme| !http.scheme.split('&').any(|known| known == scheme)) {
        return Err("the source does not take this scheme");
    }
    match http.security_config.as_str() {
        "ip" => {
            let real = header("x-real-ip").and_then(|text| text.trim().parse::<IpAddr>().ok());
            let address = real.or(from.address).map(|address| address.to_canonical());
            let is_in = |place: &String| {
                address.is_some_and(|address| range(place).is_some_and(|range| range.contains(&address)))
            };
            http.ip
                .iter()
                .any(is_in)
                .then_some(())
                .ok_or("its address is not one of the source's")
        }
        "referer" => {
            let host = header("referer").and_then(|text| url::Url::parse(text).ok()?.host_str().map(str::to_owned));
            let is = |place: &String| {
                let place = place.trim_start_matches("*.").trim_start_matches('.');
                let within =
                    |host: &str| host == place || host.strip_suffix(place).is_some_and(|rest| rest.ends_with('.'));
                host.as_deref().is_some_and(within)
            };
            http.referer
                .iter()
                .any(is)
                .then_some(())
                .ok_or("its referer is not one of the source's")
        }
        _ => Ok(()),
    }
}

/// An address, or a range of them.
pub(super) fn range(text: &str) -> Option<IpNet> {
    let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.trim().parse().ok().or_else(one)
}

fn draft(settings: &Settings, source: &Source, hit: &Hit) -> Result<Draft, Fault> {
    let pairs = form_urlencoded::parse(hit.uri.query().unwrap_or_default().as_bytes()).into_owned();
    let mut query = BTreeMap::new();
    for (name, value) in pairs.filter(|(name, _)| name != "token") {
        query.entry(name).or_insert(value);
    }
    let carried = Carried {
        headers: headers(&hit.headers),
        path: hit.uri.path(),
        body: body(&hit.headers, &hit.body)?,
        http_method: hit.method.as_str(),
        query_string: query,
    };
    let json = serde_json::to_vec(&carried).map_err(|error| Fault::new(500, "InternalError", error.to_string()))?;
    let mut draft = Draft {
        id: request_id().to_ascii_lowercase(),
        source: source.name.clone(),
        ty: TYPE.to_owned(),
        subject: Some(arn::source(settings, &source.event_bus_name, &source.name)),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(Data {
            kind: DataKind::Json,
            bytes: json.into(),
        }),
        ..Draft::default()
    };
    set_extension(
        &mut draft,
        "aliyunoriginalaccountid",
        Attribute::String(settings.account.clone()),
    );
    Ok(draft)
}

/// JSON stays the sender's own; anything else is a text.
fn body(headers: &HeaderMap, body: &[u8]) -> Result<Box<RawValue>, Fault> {
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let invalid = |error: serde_json::Error| {
        Fault::conflict(
            "JsonAttributeInvalid",
            format!("The body is not JSON, as its content type says: {error}."),
        )
    };
    match media.to_ascii_lowercase().contains("application/json") {
        true => RawValue::from_string(text.trim().to_owned()).map_err(invalid),
        false => to_raw_value(&text).map_err(invalid),
    }
}

/// The headers, spelled as people write them.
fn headers(all: &HeaderMap) -> BTreeMap<String, String> {
    let shown = all.iter().filter(|(name, _)| !HIDDEN.contains(name));
    let mut headers = BTreeMap::new();
    for (name, value) in shown {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(spelled(name.as_str())).or_insert(value);
    }
    headers
}

/// `content-type` as `Content-Type`.
fn spelled(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase())
            .into_iter()
            .chain(letters)
            .collect::<String>()
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(method: &str, uri: &str, pairs: &[(&'static str, &'static str)], body: &'static str) -> Hit {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                header::HeaderValue::from_static(value),
            )
        });
        Hit {
            method: method.parse().unwrap(),
            uri: uri.parse().unwrap(),
            headers: pairs.collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn http(security: &str, places: &[&str]) -> Http {
        let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
        Http {
            token: "t".into(),
            scheme: "HTTPS".into(),
            method: vec!["POST".into()],
            security_config: security.into(),
            ip: places.clone(),
            referer: places,
        }
    }

    #[test]
    fn a_request_becomes_an_event() {
        let source = Source {
            name: "shop".into(),
            description: String::new(),
            event_bus_name: "orders".into(),
            ctime: 0,
            webhook: None,
        };
        let hit = hit(
            "POST",
            "/webhook/putEvents?token=t&a=1&a=2&b=%20x",
            &[
                ("host", "hub"),
                ("content-type", "application/json"),
                ("authorization", "z"),
                ("cookie", "c=1"),
            ],
            r#"{"infoId": 1.0}"#,
        );
        let event = draft(&Settings::default(), &source, &hit).unwrap().check().unwrap();
        let data = String::from_utf8(event.data().unwrap().bytes.to_vec()).unwrap();
        assert_eq!(
            data,
            r#"{"headers":{"Content-Type":"application/json","Host":"hub"},"path":"/webhook/putEvents","body":{"infoId": 1.0},"httpMethod":"POST","queryString":{"a":"1","b":" x"}}"#
        );
        assert_eq!((event.source(), event.ty()), ("shop", TYPE));
        assert_eq!(
            event.subject(),
            Some("acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/orders/eventsource/shop")
        );
    }

    #[test]
    fn bodies_are_json_only_by_their_content_type() {
        let check = |media: &'static str, given: &'static str, expected: Result<&str, &str>| {
            let all = hit("POST", "/", &[("content-type", media)], "").headers;
            let found = body(&all, given.as_bytes())
                .map(|raw| raw.get().to_owned())
                .map_err(|fault| fault.code.into_owned());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{media} {given}");
        };
        check("application/json; charset=utf-8", " [1] ", Ok("[1]"));
        check("application/json", "{", Err("JsonAttributeInvalid"));
        check("text/plain", "{\"", Ok(r#""{\"""#));
        check("text/plain", "", Ok(r#""""#));
    }

    #[test]
    fn a_source_takes_what_it_was_made_for() {
        let near = Origin {
            address: Some("10.1.2.3".parse().unwrap()),
            base: String::new(),
        };
        let post = |pairs: &[(&'static str, &'static str)]| hit("POST", "/", pairs, "");
        for (http, hit, good) in [
            (http("none", &[]), post(&[]), true),
            (http("none", &[]), hit("GET", "/", &[], ""), false),
            (http("none", &[]), post(&[("x-forwarded-proto", "https")]), true),
            (http("none", &[]), post(&[("x-forwarded-proto", "http")]), false),
            (http("ip", &["10.0.0.0/8"]), post(&[]), true),
            (http("ip", &["10.0.0.0/8"]), post(&[("x-real-ip", "192.0.2.1")]), false),
            (http("ip", &["192.0.2.1"]), post(&[("x-real-ip", "192.0.2.1")]), true),
            (
                http("referer", &["example.com"]),
                post(&[("referer", "https://a.example.com/x")]),
                true,
            ),
            (
                http("referer", &["example.com"]),
                post(&[("referer", "https://notexample.com/x")]),
                false,
            ),
            (http("referer", &["example.com"]), post(&[]), false),
        ] {
            assert_eq!(check(&http, &hit, &near).is_ok(), good, "{http:?} {:?}", hit.headers);
        }
    }
}
