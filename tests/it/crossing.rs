//! Events cross: what came in by one system's way leaves by every other's, and by its own byte for byte.

use http::Method;
use serde_json::json;

use crate::support::{HubProcess, Raw, Receiver, Sse, WebSocket};

/// The ways in: path, media type, body. Each body holds its marker, in a place that becomes the event's subject.
const IN: [(&str, &str, &str, &str); 5] = [
    (
        "cross-cloudevents",
        "/v1/events",
        "application/cloudevents+json",
        r#"{"specversion":"1.0","id":"c1","source":"/shop","type":"com.example.order.created","subject":"cross-cloudevents","data":{"n":"cross-cloudevents"}}"#,
    ),
    (
        "cross-marathon",
        "/v2/events",
        "application/json",
        r#"{"appId":"/cross-marathon", "eventType":"app_terminated_event","timestamp":"2016-04-26T09:04:21.276Z"}"#,
    ),
    (
        "cross-docker",
        "/api/audit/v1/events/",
        "application/json",
        r#"{"type":"container","action":"update","parents":[],"resource_uri":"/api/app/v1/me/container/cross-docker/", "state":"Running","uuid":"u-1","datetime":"2016-02-01T16:47:28Z"}"#,
    ),
    (
        "cross-eventbridge",
        "/openapi/putEvents",
        "application/cloudevents-batch+json; charset=utf-8",
        r#"[{"specversion":"1.0","id":"e1","source":"acs.mse","type":"mse:Agent:GracefulShutdown","subject":"cross-eventbridge","datacontenttype":"application/json","data":{"framework":"DUBBO","extraInfo":"cross-eventbridge","timestamp":1596455074797}}]"#,
    ),
    (
        "cross-pulp",
        "/pulp/api/v2/events/report/",
        "application/json",
        r#"{"event_type": "repo.sync.start", "payload": {"repo_id": "cross-pulp"}, "call_report": null}"#,
    ),
];

async fn publish_all(hub: &HubProcess) {
    for (marker, path, media, body) in IN {
        let (status, answer) = hub.send(Method::POST, path, &[("content-type", media)], body).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!((200..300).contains(&status), "{marker}: {path}: {status} {answer}");
    }
}

/// Which markers are not in any of these texts.
fn missing(texts: &[String]) -> Vec<&'static str> {
    let absent = |marker: &&str| !texts.iter().any(|text| text.contains(marker));
    IN.iter().map(|way| way.0).filter(absent).collect()
}

fn body_of(marker: &str) -> &'static str {
    IN.iter().find(|way| way.0 == marker).unwrap().3
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_of_every_system_get_what_came_in_by_any() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let receiver = Receiver::start().await;
    hub.post(
        "/v1/subscriptions",
        &json!({"types": ["**"], "sink": receiver.url("/plain")}),
    )
    .await;
    hub.post(
        "/openapi/createRule",
        &json!({"EventBusName": "default", "RuleName": "all", "FilterPattern": "{}", "Targets": [
            {"Id": "1", "Type": "http", "Endpoint": receiver.url("/bridge"), "ParamList": []}]}),
    )
    .await;
    hub.post(
        "/pulp/api/v2/events/",
        &json!({"notifier_type_id": "http", "notifier_config": {"url": receiver.url("/pulp")}, "event_types": ["*"]}),
    )
    .await;
    hub.post(
        &format!("/v2/eventSubscriptions?callbackUrl={}", receiver.url("/marathon")),
        &json!(""),
    )
    .await;
    publish_all(&hub).await;
    let texts = |path: &str, requests: &[crate::support::Request]| -> Vec<String> {
        let of_path = requests.iter().filter(|request| request.path == path);
        of_path
            .map(|request| String::from_utf8_lossy(&request.body).into_owned())
            .collect()
    };
    let everything = |requests: &[crate::support::Request]| {
        let all = ["/plain", "/bridge", "/pulp"]
            .iter()
            .all(|path| missing(&texts(path, requests)).is_empty());
        all && texts("/marathon", requests)
            .iter()
            .any(|text| text.contains("cross-marathon"))
    };
    let seen = receiver.wait_until("every callback has every event", everything).await;
    assert!(
        texts("/marathon", &seen)
            .iter()
            .any(|text| text == body_of("cross-marathon"))
    );
    assert!(texts("/pulp", &seen).iter().any(|text| text == body_of("cross-pulp")));
    let foreign = texts("/marathon", &seen)
        .into_iter()
        .filter(|text| missing(std::slice::from_ref(text)).len() < IN.len());
    assert_eq!(foreign.count(), 1, "Marathon's callbacks get Marathon's events alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_every_system_show_what_came_in_by_any() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let types = [
        "com.example.order.created",
        "app_terminated_event",
        "container.update",
        "mse:Agent:GracefulShutdown",
        "repo.sync.start",
    ];
    let asked = types.map(|ty| format!("event_type={ty}")).join("&");
    let accept = [("accept", "text/event-stream")];
    let mut marathon = Raw::open(&hub, &format!("/v2/events?{asked}"), &accept).await;
    let mut docker = WebSocket::open(
        &hub,
        "/api/audit/v1/events/",
        &[("authorization", "Basic dXNlcjprZXk=")],
    )
    .await;
    let mut plain = Sse::open(&hub, "/v1/stream", &[]).await;
    assert_eq!(docker.event().await, json!({"type": "auth"}));
    publish_all(&hub).await;
    let mut texts = Vec::new();
    while !missing(&texts).is_empty() {
        texts.push(marathon.frame().await);
    }
    let as_it_came = format!("data: {}", body_of("cross-marathon"));
    assert!(texts.iter().any(|text| text.contains(&as_it_came)), "{texts:?}");
    texts.clear();
    while !missing(&texts).is_empty() {
        texts.push(docker.event().await.to_string());
    }
    texts.clear();
    while !missing(&texts).is_empty() {
        texts.push(plain.event().await.data);
    }
}
