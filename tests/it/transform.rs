//! Transforms, patterns of other services and what else a subscription may say of its deliveries, by the API.

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_eventbridge_is_a_subscription() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let pattern = "{\"source\": [\"acs.mse\"], \"data\": {\"framework\": [{\"prefix\": \"SPRING\", \"suffix\": \"CLOUD\"}], \"n\": [3.0e2]}}";
    let template = "{\"value\": \"${f} says ${i}\", \"time\": ${t}}";
    let rule = json!({
        "filters": [{"pattern": pattern, "mode": "alibaba"}],
        "sink": receiver.url("/hook"),
        "transform": {
            "form": "TEMPLATE", "escape": true, "template": template,
            "value": "{\"f\":\"$.data.framework\",\"i\":\"$.data.extraInfo\",\"t\":\"$.data.timestamp\"}",
        },
        "config": {"schedule": ["10s..20s"], "jitter": false, "max_attempts": 4, "max_age": "1d"},
    });
    let shown = hub.put("/v1/subscriptions/rule", &rule).await;
    for name in ["filters", "transform"] {
        assert_eq!(shown[name], rule[name]);
    }
    for (name, value) in rule["config"].as_object().unwrap() {
        assert_eq!(&shown["config"][name], value);
    }
    for (id, n) in [("1", "300"), ("2", "3.0e2"), ("3", "300.0")] {
        let body = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"acs.mse","type":"mse:Agent:GracefulShutdown","data":{{"framework":"SPRING CLOUD","extraInfo":"\"quoted\"","timestamp":1596455074797,"n":{n}}}}}"#
        );
        let headers = [("content-type", "application/cloudevents+json")];
        assert_eq!(hub.send(Method::POST, "/v1/events", &headers, body).await.0, 202);
    }
    hub.until("all are looked at", "/v1/subscriptions/rule", |one| {
        one["status"]["behind"] == 0
    })
    .await;
    let seen = receiver.wait_for(1).await;
    assert_eq!(seen.len(), 1, "numbers are compared as they are written");
    assert_eq!(
        seen[0].json(),
        json!({"value": "SPRING CLOUD says \"quoted\"", "time": 1_596_455_074_797_u64})
    );
    assert_eq!(seen[0].headers["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_ones_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let with = |name: &str, value: Value| {
        let mut json = json!({"sink": "http://127.0.0.1:9/"});
        json[name] = value;
        json
    };
    for (json, words) in [
        (
            with(
                "filters",
                json!([{"pattern": {"data": {"a": [{"wildcard": "x"}]}}, "mode": "alibaba"}]),
            ),
            "filters[0].pattern: Event pattern is not valid, reason: the pattern condition is unrecognized: wildcard",
        ),
        (
            with("filters", json!([{"pattern": {}, "mode": "aws"}])),
            "an empty pattern is refused",
        ),
        (with("transfrom", json!({})), "did you mean `transform`?"),
        (
            with("transform", json!({"form": "TEMPLATE", "value": "{}"})),
            "transform.template: is missing",
        ),
        (
            with("config", json!({"max_atempts": 3})),
            "did you mean `config.max_attempts`?",
        ),
        (with("config", json!({"dead_letter": {"bus": "default"}})), "own bus"),
    ] {
        let headers = [("content-type", "application/json")];
        let (code, answer) = hub
            .send(Method::POST, "/v1/subscriptions", &headers, json.to_string())
            .await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(code, 400, "{answer}");
        assert!(
            answer["detail"].as_str().unwrap_or_default().contains(words),
            "{answer} should say {words}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_line_a_failing_event_holds_up_the_rest() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(|_| status(202));
    let hub = HubProcess::start(folder.path()).await;
    let config = json!({"schedule": ["20ms"], "jitter": false, "max_attempts": "unlimited", "ordering": "all", "breaker": "off"});
    let settings = json!({"success": [200], "format": "raw"});
    hub.put(
        "/v1/subscriptions/s",
        &json!({"sink": receiver.url("/"), "protocolsettings": settings, "config": config}),
    )
    .await;
    hub.publish_many("t", 0..50, 10).await;
    receiver.wait_for(15).await;
    receiver.answer(|_| status(200));
    let done = |one: &Value| one["status"]["behind"] == 0 && one["status"]["retrying"] == 0;
    hub.until("all are delivered", "/v1/subscriptions/s", done).await;
    let mut bodies: Vec<String> = receiver
        .seen()
        .iter()
        .map(|one| String::from_utf8_lossy(&one.body).into_owned())
        .collect();
    assert!(
        bodies[..15].iter().all(|body| *body == bodies[0]),
        "202 does not deliver here, and nothing overtakes"
    );
    bodies.dedup();
    assert_eq!(bodies.len(), 50);
}
