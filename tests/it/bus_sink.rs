//! Other buses of the hub: as a sink, chained, in a circle, over a kill; and for what is given up.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, status};

/// The events of a bus.
async fn on(hub: &HubProcess, bus: &str) -> Vec<Value> {
    let page = hub
        .get(&format!("/v1/buses/{bus}/events?from=earliest&limit=1000"))
        .await;
    page["events"].as_array().cloned().unwrap_or_default()
}

fn of(event: &Value, name: &str) -> Value {
    event.get("event").unwrap_or(event)[name].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_another_bus_and_its_subscribers_once_over_a_kill() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    let shown = hub
        .put(
            "/v1/subscriptions/forward",
            &json!({"types": ["order"], "protocol": "BUS", "sink": "orders"}),
        )
        .await;
    assert_eq!((&shown["protocol"], &shown["sink"]), (&json!("BUS"), &json!("orders")));
    hub.put(
        "/v1/buses/orders/subscriptions/out",
        &json!({"sink": receiver.url("/")}),
    )
    .await;
    hub.publish_many("order", 0..100, 10).await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    hub.publish_many("order", 100..150, 10).await;
    let arrived = |seen: &[crate::support::Request]| {
        seen.iter()
            .map(|one| one.json()["id"].to_string())
            .collect::<BTreeSet<_>>()
    };
    let seen = receiver
        .wait_until("all of them", |seen| arrived(seen).len() == 150)
        .await;
    assert_eq!(seen[0].json()["buswayhops"], 1);
    let there = on(&hub, "orders").await;
    let ids: BTreeSet<String> = there.iter().map(|one| of(one, "id").to_string()).collect();
    assert_eq!((there.len(), ids.len()), (150, 150), "each is there once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_ends_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    hub.put("/v1/buses/a/subscriptions/ab", &json!({"protocol": "BUS", "sink": "b"}))
        .await;
    // A transform makes another event each time, so that no duplicate ends the circle.
    let transform = json!({"form": "JSONPATH", "value": "$.data"});
    hub.put(
        "/v1/buses/b/subscriptions/ba",
        &json!({"protocol": "BUS", "sink": "a", "transform": transform}),
    )
    .await;
    let event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"n": 1}});
    let headers = [("content-type", "application/cloudevents+json")];
    let (code, _) = hub
        .send(Method::POST, "/v1/buses/a/events", &headers, event.to_string())
        .await;
    assert_eq!(code, 202);
    let ended = |page: &Value| {
        page["dead_letters"]
            .as_array()
            .is_some_and(|letters| letters.len() == 1)
    };
    let page = hub.until("it ends", "/v1/dead-letters", ended).await;
    assert!(
        page["dead_letters"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("forwarded over 8 buses"),
        "{page}"
    );
    assert_eq!((on(&hub, "a").await.len(), on(&hub, "b").await.len()), (5, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_on_its_bus_and_in_the_dead_letters() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(|_| status(500));
    let mut hub = HubProcess::start(folder.path()).await;
    let config = json!({"max_attempts": 1, "breaker": "off", "dead_letter": {"bus": "dead"}});
    hub.put(
        "/v1/subscriptions/s",
        &json!({"types": ["t"], "sink": receiver.url("/"), "config": config}),
    )
    .await;
    hub.publish_many("t", 0..20, 10).await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    let all = |page: &Value| {
        page["dead_letters"]
            .as_array()
            .is_some_and(|letters| letters.len() == 20)
    };
    hub.until("all are given up", "/v1/dead-letters?limit=100", all).await;
    let there = on(&hub, "dead").await;
    assert_eq!(there.len(), 20, "each is there once");
    assert_eq!(of(&there[0], "deadsubscription"), "s");
    assert_eq!(of(&there[0], "deadreason"), "the sink answered 500");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_publish_there_cannot_have_it_forwarded_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[auth.bob]\nsecret = \"s3cret-of-bob\"\nscopes = [\"subscribe:orders\", \"publish:mirror\"]\n";
    std::fs::write(folder.path().join("busway.toml"), config).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer bob:s3cret-of-bob"),
    ];
    let bus = |name: &str| json!({"protocol": "BUS", "sink": name});
    let dead = |name: &str| json!({"sink": "http://127.0.0.1:9/", "config": {"dead_letter": {"bus": name}}});
    for (method, id, body, status) in [
        (Method::PUT, "a", bus("mirror"), 201),
        (Method::PUT, "b", bus("other"), 403),
        (Method::PUT, "c", dead("mirror"), 201),
        (Method::PUT, "d", dead("other"), 403),
        (Method::POST, "", bus("other"), 403),
        (Method::PATCH, "a", json!({"sink": "other"}), 403),
        (Method::PATCH, "c", bus("other"), 403),
        (
            Method::PATCH,
            "c",
            json!({"config": {"dead_letter": {"bus": "other"}}}),
            403,
        ),
        (Method::PATCH, "a", json!({"types": ["t"]}), 200),
    ] {
        let path = format!("/v1/buses/orders/subscriptions/{id}");
        let path = path.trim_end_matches('/');
        let (found, answer) = hub.send(method.clone(), path, &headers, body.to_string()).await;
        assert_eq!(
            found,
            status,
            "{method} {path} {body}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
}
