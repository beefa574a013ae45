//! The API as clients see it: status, code and body, through the router and a real hub in a folder of its own.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::hub::tests::{event, open};
use crate::log::BusName;

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

struct Site {
    _folder: TempDir,
    hub: Hub,
    service: TowerToHyperService<Router>,
}

struct Got {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{:?}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }
}

impl Site {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = open(folder.path()).await;
        let settings = Settings {
            heartbeat: Duration::from_millis(5),
            ..Settings::default()
        };
        Self {
            _folder: folder,
            service: TowerToHyperService::new(router_with(hub.clone(), settings)),
            hub,
        }
    }

    async fn open_body(
        &self,
        request: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> axum::response::Response {
        let (method, path) = request.split_once(' ').unwrap();
        let mut building = Request::builder().method(method.parse::<Method>().unwrap()).uri(path);
        for (name, value) in headers {
            building = building.header(*name, *value);
        }
        self.service.call(building.body(body.into()).unwrap()).await.unwrap()
    }

    async fn call(&self, request: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Got {
        let response = self.open_body(request, headers, body).await;
        let (parts, body) = response.into_parts();
        Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn get(&self, path: &str) -> Got {
        self.call(&format!("GET {path}"), &[], Body::empty()).await
    }

    async fn send(&self, request: &str, json: &Value) -> Got {
        self.call(request, &[("content-type", "application/json")], json.to_string())
            .await
    }

    async fn end(self) {
        assert!(self.hub.drain(Duration::from_secs(30)).await);
    }
}

fn structured(id: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"a.b","data":{{"n":  1.0}}}}"#)
}

#[tokio::test]
async fn events_come_in_by_every_mode() {
    let site = Site::open().await;
    let got = site.call("POST /v1/events", &[STRUCTURED], structured("1")).await;
    assert_eq!(
        (got.status, got.json()),
        (202, json!({"events": [{"id": "1", "offset": 1, "duplicate": false}]}))
    );
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/t"),
        ("ce-type", "c"),
        ("content-type", "text/html"),
    ];
    assert_eq!(
        site.call("POST /v1/buses/default/events", &binary, "<p>").await.json()["events"][0]["offset"],
        2
    );
    let got = site
        .call(
            "POST /v1/events",
            &[BATCH],
            format!("[{},{}]", structured("1"), structured("3")),
        )
        .await;
    let expected =
        json!({"events": [{"id": "1", "offset": 1, "duplicate": true}, {"id": "3", "offset": 3, "duplicate": false}]});
    assert_eq!((got.status, got.json()), (202, expected));
    assert_eq!(
        site.call("POST /v1/events", &[BATCH], "[]").await.json(),
        json!({"events": []})
    );
    site.end().await;
}

#[tokio::test]
async fn events_are_read_back_as_they_came() {
    let site = Site::open().await;
    site.call("POST /v1/events", &[STRUCTURED], structured("1")).await;
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/t"),
        ("ce-type", "c"),
        ("content-type", "text/html"),
    ];
    site.call("POST /v1/events", &binary, "<p>").await;
    let list = site.get("/v1/events?type=a.*&limit=1").await.json();
    assert_eq!(
        (
            list["events"].as_array().unwrap().len(),
            &list["events"][0]["event"]["id"],
            &list["next"]
        ),
        (1, &json!("1"), &json!(2))
    );
    let one = site.get("/v1/events/1").await;
    assert_eq!(
        (
            one.status,
            one.header("content-type"),
            one.header("x-content-type-options")
        ),
        (200, "application/cloudevents+json", "nosniff")
    );
    assert!(
        String::from_utf8_lossy(&one.body).contains(r#"{"n":  1.0}"#),
        "the producer's own bytes"
    );
    let raw = site.get("/v1/events/2?format=raw").await;
    assert_eq!(
        (
            raw.body.as_ref(),
            raw.header("content-type"),
            raw.header("content-security-policy")
        ),
        (&b"<p>"[..], "text/html", "sandbox")
    );
    site.end().await;
}

const JSON: (&str, &str) = ("content-type", "application/json");
const ELSEWHERE: &[(&str, &str)] = &[("origin", "https://evil.example"), ("host", "127.0.0.1:8080")];
/// Stand for bodies that are made: one past the limit of an event, one past that of a batch.
const LARGE: &str = "LARGE";
const MANY: &str = "MANY";

type Refusal = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
);

/// Request, headers, body; status and code.
#[rustfmt::skip]
const REFUSED: &[Refusal] = &[
    ("GET /nowhere", &[], "", 404, "route_not_found"),
    ("GET /v1/nowhere", &[], "", 404, "route_not_found"),
    ("DELETE /v1/events", &[], "", 405, "method_not_allowed"),
    ("POST /healthz", &[], "", 405, "method_not_allowed"),
    ("POST /v1/events", &[STRUCTURED], "{", 400, "malformed_json"),
    ("POST /v1/events", &[STRUCTURED], "{}", 400, "invalid_event"),
    ("POST /v1/events", &[("content-type", "application/cloudevents+xml")], "<x/>", 415, "unsupported_media_type"),
    ("POST /v1/events", &[STRUCTURED], LARGE, 413, "body_too_large"),
    ("POST /v1/events", &[STRUCTURED, ("content-length", "104857600")], "", 413, "body_too_large"),
    ("POST /v1/events", &[BATCH], MANY, 413, "batch_too_large"),
    ("POST /v1/buses/busway/events", &[STRUCTURED], r#"{"specversion":"1.0","id":"1","source":"/t","type":"a"}"#, 400, "bus_reserved"),
    ("POST /v1/events?type=a", &[STRUCTURED], "", 400, "unknown_parameter"),
    ("GET /v1/events?typ=a", &[], "", 400, "unknown_parameter"),
    ("GET /v1/events?limit=0", &[], "", 400, "invalid_parameter"),
    ("GET /v1/events/x", &[], "", 400, "invalid_offset"),
    ("GET /v1/events/99?format=xml", &[], "", 400, "invalid_parameter"),
    ("GET /v1/stream?from=yesterday", &[], "", 400, "invalid_parameter"),
    ("GET /v1/stream?filter=%7B%22plugin%22%3A%7B%22name%22%3A%22p%22%7D%7D", &[], "", 400, "stream_filter_unsupported"),
    ("GET /v1/stream", &[("last-event-id", "x")], "", 400, "invalid_last_event_id"),
    ("GET /v1/stream", &[("upgrade", "websocket")], "", 400, "upgrade_refused"),
    ("POST /v1/subscriptions", &[JSON], "{", 400, "malformed_json"),
    ("POST /v1/subscriptions", &[JSON], "{}", 400, "invalid_subscription"),
    ("POST /v1/subscriptions", &[JSON], r#"{"snik":"x"}"#, 400, "unknown_field"),
    ("GET /v1/subscriptions/none", &[], "", 404, "subscription_not_found"),
    ("PUT /v1/subscriptions/a%20b", &[JSON], "{}", 400, "invalid_subscription_id"),
    ("PATCH /v1/subscriptions/none", &[JSON], "{}", 404, "subscription_not_found"),
    ("DELETE /v1/subscriptions/none", &[], "", 404, "subscription_not_found"),
    ("POST /v1/subscriptions/none/test", &[], "", 404, "subscription_not_found"),
    ("GET /v1/subscriptions/none/deliveries", &[], "", 404, "subscription_not_found"),
    ("GET /v1/plugins/none", &[], "", 404, "plugin_not_found"),
    ("GET /v1/dead-letters?ids=x", &[], "", 400, "invalid_parameter"),
    ("DELETE /v1/dead-letters", &[JSON], r#"{"id":[1]}"#, 400, "unknown_field"),
    ("DELETE /v1/dead-letters?subscription=a", &[JSON], r#"{"ids":[1]}"#, 400, "ambiguous_choice"),
    ("POST /v1/dead-letters/redeliver", &[JSON], r#"{"ids":"1"}"#, 400, "invalid_choice"),
    ("POST /v1/subscriptions", ELSEWHERE, r#"{"sink":"http://h/"}"#, 403, "cross_origin"),
];

#[tokio::test]
async fn every_refusal_is_a_problem_with_its_code() {
    let site = Site::open().await;
    let large = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/t","type":"a","data":"{}"}}"#,
        "x".repeat(5_000)
    );
    let many = format!(
        "[{}]",
        (0..6).map(|n| structured(&n.to_string())).collect::<Vec<_>>().join(",")
    );
    for &(request, headers, body, status, code) in REFUSED {
        let body = match body {
            LARGE => &large,
            MANY => &many,
            body => body,
        };
        let got = site.call(request, headers, body.to_owned()).await;
        assert_eq!(
            (got.status, got.header("content-type")),
            (status, "application/problem+json"),
            "{request}: {:?}",
            got.body
        );
        let problem = got.json();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&json!(code), &json!(status)),
            "{request}: {problem}"
        );
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.len() > 10) && problem["title"].is_string(),
            "{problem}"
        );
    }
    assert!(
        site.call("DELETE /v1/events", &[], "")
            .await
            .header("allow")
            .contains("POST")
    );
    assert!(
        site.get("/metrics")
            .await
            .body
            .windows(18)
            .any(|part| part == b"\"route_not_found\"}"),
        "refusals are counted by code"
    );
    site.end().await;
}

#[tokio::test]
async fn a_subscription_from_its_making_to_its_end() {
    let site = Site::open().await;
    let body = json!({"types": ["none"], "sink": "http://127.0.0.1:9/x", "protocolsettings": {"auth": {"bearer": {"token": "t"}}}});
    let made = site.send("POST /v1/subscriptions", &body).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (made.status, made.header("location")),
        (201, format!("/v1/subscriptions/{id}").as_str())
    );
    let path = format!("/v1/subscriptions/{id}");
    let shown = site.get(&path).await.json();
    assert_eq!(
        (&shown["protocolsettings"]["auth"]["bearer"]["token"], &shown["state"]),
        (&json!("***"), &json!("active"))
    );
    assert!(shown["status"]["state"].is_string(), "{shown}");
    assert_eq!(
        site.send(&format!("PUT {path}"), &shown).await.status,
        200,
        "what GET shows can be put back"
    );
    assert_eq!(
        site.send(&format!("PATCH {path}"), &json!({"types": ["a", "b"]}))
            .await
            .json()["types"],
        json!(["a", "b"])
    );
    assert_eq!(site.call(&format!("DELETE {path}"), &[], "").await.status, 204);
    assert_eq!(site.get(&path).await.status, 404);
    site.end().await;
}

#[tokio::test]
async fn a_subscription_of_the_callers_naming_is_paused_resumed_and_listed() {
    let site = Site::open().await;
    let made = site
        .send(
            "PUT /v1/subscriptions/other",
            &json!({"sink": "http://127.0.0.1:9/y", "types": ["none"]}),
        )
        .await;
    assert_eq!(made.header("location"), "/v1/subscriptions/other");
    let path = "/v1/subscriptions/other";
    let named = site
        .send(
            "PUT /v1/subscriptions/mine",
            &json!({"sink": "http://127.0.0.1:9/y", "types": ["none"]}),
        )
        .await;
    assert_eq!((named.status, &named.json()["id"]), (201, &json!("mine")));
    let paused = site.call(&format!("POST {path}/pause"), &[], "").await.json();
    assert_eq!(
        (&paused["state"], &paused["reason"]),
        (&json!("paused"), &json!("requested"))
    );
    assert_eq!(
        site.call(&format!("POST {path}/resume"), &[], "").await.json()["state"],
        json!("active")
    );
    let first = site.get("/v1/subscriptions?limit=1").await;
    assert_eq!(first.json()[0]["id"], "mine");
    assert_eq!(
        first.header("link"),
        "</v1/subscriptions?after=mine&limit=1>; rel=\"next\""
    );
    assert_eq!(
        site.get("/v1/subscriptions?after=mine")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        site.get(&format!("{path}/deliveries")).await.json(),
        json!({"deliveries": []})
    );
    site.end().await;
}

#[tokio::test]
async fn a_test_delivery_answers_the_attempt() {
    let site = Site::open().await;
    site.send(
        "PUT /v1/subscriptions/s",
        &json!({"sink": "http://127.0.0.1:1/x", "types": ["none"]}),
    )
    .await;
    let got = site.call("POST /v1/subscriptions/s/test", &[], "").await;
    assert_eq!(got.status, 200);
    let attempt = got.json();
    assert!(
        attempt["status"].is_null()
            && attempt["outcome"]
                .as_str()
                .is_some_and(|outcome| outcome != "delivered"),
        "{attempt}"
    );
    site.end().await;
}

/// Reads a stream's frames until `enough` says so; the text.
async fn read_until(body: &mut Body, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    while !enough(&text) {
        let frame = body
            .frame()
            .await
            .unwrap_or_else(|| panic!("the stream ended after {text}"))
            .unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    text
}

#[tokio::test]
async fn a_stream_begins_where_it_is_told_and_brings_what_comes() {
    let site = Site::open().await;
    let bus = BusName::default_bus();
    site.hub
        .publish(&bus, vec![event("1", "a"), event("2", "b"), event("3", "a")])
        .await
        .unwrap();
    let response = site
        .open_body("GET /v1/stream?from=earliest&type=a", &[("last-event-id", "1")], "")
        .await;
    assert_eq!(
        (
            response.headers()["content-type"].as_bytes(),
            response.headers()["x-accel-buffering"].as_bytes()
        ),
        (&b"text/event-stream"[..], &b"no"[..])
    );
    let mut body = response.into_body();
    let text = read_until(&mut body, |text| text.contains("id: 3")).await;
    assert!(
        text.starts_with("retry: 1000\n\n") && !text.contains("id: 1") && !text.contains("id: 2"),
        "{text}"
    );
    assert!(text.ends_with("id: 3\nevent: a\ndata: {\"specversion\":\"1.0\",\"id\":\"3\",\"source\":\"/t\",\"type\":\"a\",\"data\":{\"n\": 1}}\n\n"), "{text}");
    read_until(&mut body, |text| text.contains(":\n\n")).await;
    site.hub.publish(&bus, vec![event("4", "a")]).await.unwrap();
    read_until(&mut body, |text| text.contains("id: 4")).await;
    site.hub.stop();
    while let Some(frame) = body.frame().await {
        assert_eq!(
            frame.unwrap().into_data().unwrap(),
            ":\n\n",
            "nothing but heartbeats before the end"
        );
    }
    site.end().await;
}

#[tokio::test]
async fn a_raw_stream_splits_lines_and_keeps_them() {
    let site = Site::open().await;
    site.call(
        "POST /v1/events",
        &[STRUCTURED],
        "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/t\",\"type\":\"a\",\"data\":{\n \"n\": 1\n}}",
    )
    .await;
    let mut body = site
        .open_body("GET /v1/stream?from=1&format=raw", &[], "")
        .await
        .into_body();
    let text = read_until(&mut body, |text| text.contains("id: 1")).await;
    assert!(
        text.ends_with("id: 1\nevent: a\ndata: {\ndata:  \"n\": 1\ndata: }\n\n"),
        "{text}"
    );
    drop(body);
    site.end().await;
}

#[tokio::test]
async fn a_sender_of_webhooks_gets_consent() {
    let site = Site::open().await;
    let asked = [
        ("webhook-request-origin", "hub.example.com"),
        ("webhook-request-rate", "120"),
    ];
    let got = site.call("OPTIONS /v1/events", &asked, "").await;
    assert_eq!(
        (
            got.status,
            got.header("webhook-allowed-origin"),
            got.header("webhook-allowed-rate")
        ),
        (200, "hub.example.com", "*")
    );
    assert!(got.header("allow").contains("POST"));
    assert_eq!(
        site.call("OPTIONS /v1/events", &[], "")
            .await
            .header("webhook-allowed-origin"),
        ""
    );
    assert_eq!(
        site.call("OPTIONS /v1/subscriptions", &[], "").await.header("allow"),
        "GET, POST, OPTIONS"
    );
    site.end().await;
}

#[tokio::test]
async fn the_hub_says_how_it_is() {
    let site = Site::open().await;
    site.call("POST /v1/events", &[STRUCTURED], structured("1")).await;
    let health = site.get("/healthz").await;
    assert_eq!(
        (health.status, &health.json()["status"], &health.json()["reasons"]),
        (200, &json!("ok"), &json!([]))
    );
    assert!(health.json()["durability"].as_str().unwrap().contains("synced"));
    assert_eq!(site.get("/readyz").await.status, 200);
    let metrics = site.get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        text.contains("busway_events_published_total{bus=\"default\"} 1") && text.ends_with("# EOF\n"),
        "{text}"
    );
    assert_eq!(site.get("/v1/plugins").await.json(), json!({"plugins": []}));
    assert!(String::from_utf8_lossy(&site.get("/").await.body).contains("/v1/events"));
    site.hub.stop();
    let stopped = site.call("POST /v1/events", &[STRUCTURED], structured("2")).await;
    assert_eq!((stopped.status, stopped.header("retry-after")), (503, "5"));
    assert_eq!(site.get("/readyz").await.status, 503);
    assert_eq!(site.get("/healthz").await.json()["status"], "failing");
    site.end().await;
}

#[tokio::test]
async fn a_page_of_the_hubs_own_may_act() {
    let site = Site::open().await;
    let same = [
        ("origin", "http://127.0.0.1:8080"),
        ("host", "127.0.0.1:8080"),
        STRUCTURED,
    ];
    assert_eq!(site.call("POST /v1/events", &same, structured("1")).await.status, 202);
    site.end().await;
}
