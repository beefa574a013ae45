//! The AMQP notifier: against a real RabbitMQ, read back by another client; and Qpid's 0-10 byte for byte.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Broker, HubProcess, QpidPeer, component, place};

/// A hub with the plugin, which may reach these places.
async fn hub_with(folder: &Path, places: &[String]) -> HubProcess {
    place(folder, "amqp", &component("amqp"));
    let grants = json!(places).to_string();
    std::fs::write(
        folder.join("busway.toml"),
        format!("[plugins.amqp]\ngrants = {{ tcp = {grants} }}\n"),
    )
    .unwrap();
    HubProcess::start(folder).await
}

/// A subscription to a type that publishes by these settings, in order, tried again quickly.
fn publishing(ty: &str, settings: &Value) -> Value {
    json!({"types": [ty], "protocol": "amqp", "protocolsettings": settings,
        "config": {"schedule": ["100ms"], "max_attempts": 600, "concurrency": 1}})
}

fn event(ty: &str, id: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/pulp", "type": ty, "time": "2012-10-19T19:09:16Z", "data": data})
}

/// Waits until the newest attempt of a subscription says `text`; that attempt.
async fn says(hub: &HubProcess, id: &str, text: &str) -> Value {
    let path = format!("/v1/subscriptions/{id}/deliveries");
    let newest = |page: &Value| page["deliveries"][0].clone();
    let said = |page: &Value| {
        newest(page)["outcome"]
            .as_str()
            .is_some_and(|outcome| outcome.contains(text))
    };
    newest(&hub.until(text, &path, said).await)
}

/// Publishing is tried again for as long as this is wrong, in words that say so.
async fn keeps_trying(hub: &HubProcess, id: &str, settings: Value, text: &str) {
    let ty = format!("fails.{id}");
    hub.put(&format!("/v1/subscriptions/{id}"), &publishing(&ty, &settings))
        .await;
    hub.publish(&event(&ty, id, &json!(1))).await;
    says(hub, id, text).await;
    let dead = hub.get(&format!("/v1/dead-letters?subscription={id}")).await;
    assert!(!dead.to_string().contains(&ty), "{dead}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_broker_gets_what_was_published() {
    let (folder, mut broker) = (tempfile::tempdir().unwrap(), Broker::start().await);
    let hub = hub_with(folder.path(), &[broker.address()]).await;
    let url = format!("amqp://{}", broker.address());
    forms(&hub, &broker, &url).await;
    thousand_in_order(&hub, &broker, &url).await;
    an_exchange_of_its_own(&hub, &broker, &url).await;
    unroutable(&hub, &broker, &url).await;
    failures(&hub, &broker).await;
    a_restart(&hub, &mut broker).await;
}

async fn forms(hub: &HubProcess, broker: &Broker, url: &str) {
    broker.bind("amq.topic", "forms", "form.#");
    broker.bind("amq.topic", "pulp", "pulp.server.repo.sync.*");
    let settings = [
        ("binary", "form.a", json!({"url": url, "headers": {"x-site": "north"}})),
        (
            "whole",
            "form.b",
            json!({"url": url, "body": "cloudevent", "persistent": false, "routing_key": "{type}.{/repo_id}"}),
        ),
        (
            "pulp",
            "repo.sync.start",
            json!({"url": url, "body": "pulp", "routing_key": "pulp.server.{type}"}),
        ),
    ];
    for (id, ty, settings) in &settings {
        hub.put(&format!("/v1/subscriptions/{id}"), &publishing(ty, settings))
            .await;
        hub.publish(&event(ty, id, &json!({"repo_id": "pulp2"}))).await;
        says(hub, id, "delivered").await;
    }
    let read = broker.read("forms", 2);
    let headers = json!({"x-site": "north", "cloudEvents_specversion": "1.0", "cloudEvents_id": "binary",
        "cloudEvents_source": "/pulp", "cloudEvents_type": "form.a", "cloudEvents_time": "2012-10-19T19:09:16Z"});
    let binary = json!({"content_type": "application/json", "headers": headers, "delivery_mode": 2,
        "message_id": read[0]["message_id"], "timestamp": 1_350_673_756, "routing_key": "form.a", "exchange": "amq.topic",
        "body": r#"{"repo_id":"pulp2"}"#});
    assert_eq!(read[0], binary);
    assert!(
        read[0]["message_id"].as_str().unwrap().starts_with("msg_binary_"),
        "{}",
        read[0]
    );
    let whole: Value = serde_json::from_str(read[1]["body"].as_str().unwrap()).unwrap();
    assert_eq!(whole, event("form.b", "whole", &json!({"repo_id": "pulp2"})));
    let of = |name: &str| read[1][name].clone();
    assert_eq!(of("content_type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!(
        (of("delivery_mode"), of("routing_key")),
        (json!(1), json!("form.b.pulp2"))
    );
    let pulp = &broker.read("pulp", 1)[0];
    assert_eq!(pulp["routing_key"], "pulp.server.repo.sync.start");
    assert_eq!((&pulp["content_type"], &pulp["headers"]), (&Value::Null, &Value::Null));
    assert_eq!(
        pulp["body"],
        r#"{"event_type": "repo.sync.start", "payload": {"repo_id": "pulp2"}, "call_report": null}"#
    );
}

async fn thousand_in_order(hub: &HubProcess, broker: &Broker, url: &str) {
    broker.bind("amq.topic", "many", "many");
    hub.put("/v1/subscriptions/many", &publishing("many", &json!({"url": url})))
        .await;
    hub.publish_many("many", 0..1_000, 100).await;
    let number = |one: &Value| {
        serde_json::from_str::<Value>(one["body"].as_str().unwrap()).unwrap()["n"]
            .as_u64()
            .unwrap()
    };
    let numbers: Vec<u64> = broker.read("many", 1_000).iter().map(number).collect();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    // Larger than a frame: cut, and put together again.
    hub.publish_many("many", 1_000..1_001, 300_000).await;
    assert!(broker.read("many", 1)[0]["body"].as_str().unwrap().len() > 300_000);
}

async fn an_exchange_of_its_own(hub: &HubProcess, broker: &Broker, url: &str) {
    let settings = json!({"url": url, "exchange": "pulp"});
    hub.put("/v1/subscriptions/own", &publishing("own", &settings)).await;
    for id in ["own-1", "own-2"] {
        // Declared when it is first needed, and again when somebody deletes it while the connection is kept.
        hub.publish(&event("own", id, &json!(1))).await;
        let path = "/v1/subscriptions/own/deliveries";
        let attempts = hub
            .until("it is delivered", path, |page| page["deliveries"][0]["event"] == id)
            .await;
        assert_eq!(attempts["deliveries"][0]["outcome"], "delivered", "{attempts}");
        broker.drop_exchange("pulp");
    }
}

async fn unroutable(hub: &HubProcess, broker: &Broker, url: &str) {
    keeps_trying(
        hub,
        "lost",
        json!({"url": url, "mandatory": true}),
        "no queue takes it (mandatory): 312 NO_ROUTE",
    )
    .await;
    broker.bind("amq.topic", "found", "fails.lost");
    says(hub, "lost", "delivered").await;
    assert_eq!(broker.read("found", 1)[0]["body"], "1");
}

async fn failures(hub: &HubProcess, broker: &Broker) {
    let place = broker.address();
    let wrong = json!({"url": format!("amqp://guest@{place}"), "password": "wrong"});
    keeps_trying(
        hub,
        "password",
        wrong,
        "the login: the broker refused: 403 ACCESS_REFUSED",
    )
    .await;
    let nowhere = json!({"url": format!("amqp://{place}/nowhere")});
    keeps_trying(
        hub,
        "vhost",
        nowhere,
        "opening the vhost: the broker refused: 530 NOT_ALLOWED - vhost nowhere not found",
    )
    .await;
    let tls = json!({"url": format!("amqps://{place}")});
    keeps_trying(hub, "tls", tls, "the TLS handshake with").await;
    let other = json!({"url": format!("amqp://{place}"), "protocol": "0-10"});
    keeps_trying(
        hub,
        "dialect",
        other,
        "does not speak AMQP 0-10; it offers 0-0-9-1 (see protocol)",
    )
    .await;

    // What is wrong with the event is not tried again.
    let long = json!({"url": format!("amqp://{place}"), "routing_key": "{/key}"});
    hub.put("/v1/subscriptions/long", &publishing("long", &long)).await;
    hub.publish(&event("long", "long", &json!({"key": "x".repeat(256)})))
        .await;
    let reason = "the routing key has 256 bytes, and AMQP carries at most 255";
    hub.until(reason, "/v1/dead-letters?subscription=long", |page| {
        page.to_string().contains(reason)
    })
    .await;
}

async fn a_restart(hub: &HubProcess, broker: &mut Broker) {
    let settings = json!({"url": format!("amqp://{}", broker.address())});
    broker.bind("amq.topic", "kept", "kept");
    hub.put("/v1/subscriptions/kept", &publishing("kept", &settings)).await;
    hub.publish(&event("kept", "kept-1", &json!(1))).await;
    says(hub, "kept", "delivered").await;
    // It ends the connection while nothing is under way: no attempt fails for that.
    broker.go_down();
    broker.go_up().await;
    hub.publish(&event("kept", "kept-2", &json!(2))).await;
    let path = "/v1/subscriptions/kept/deliveries";
    let attempts = hub
        .until("it is delivered", path, |page| {
            page["deliveries"][0]["event"] == "kept-2"
        })
        .await;
    assert_eq!(attempts["deliveries"].as_array().unwrap().len(), 2, "{attempts}");
    assert_eq!(attempts["deliveries"][0]["outcome"], "delivered", "{attempts}");
    // What comes while it is away waits; and what was confirmed was persistent.
    broker.go_down();
    hub.publish(&event("kept", "kept-3", &json!(3))).await;
    says(hub, "kept", "connecting to").await;
    broker.go_up().await;
    let bodies: Vec<Value> = broker.read("kept", 3).iter().map(|one| one["body"].clone()).collect();
    assert_eq!(bodies, ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dialled_without_a_grant() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub_with(folder.path(), &["127.0.0.1:1".to_owned()]).await;
    keeps_trying(
        &hub,
        "numbers",
        json!({"url": "amqp://127.0.0.1:2"}),
        "grant it in grants.tcp",
    )
    .await;
    keeps_trying(
        &hub,
        "names",
        json!({"url": "amqp://localhost"}),
        "grant it in grants.tcp",
    )
    .await;
    hub.said(r#"tcp = [\"127.0.0.1:1\", \"127.0.0.1:2\"]"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_config_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub_with(folder.path(), &["127.0.0.1:1".to_owned()]).await;
    let refused = [
        (json!({}), "url"),
        (json!({"url": "rabbit"}), "url"),
        (json!({"url": "amqp://h:port"}), "no valid port"),
        (json!({"url": "amqp://h", "routing_key": "{type"}), "routing_key"),
        (json!({"url": "amqp://h", "protocol": "1.0"}), "protocol"),
        (
            json!({"url": "amqp://h", "protocol": "0-10", "mandatory": true}),
            "mandatory",
        ),
        (json!({"url": "amqp://h", "queue": "q"}), "queue"),
    ];
    for (settings, names) in refused {
        let body = publishing("t", &settings).to_string();
        let (status, answer) = hub.send(Method::PUT, "/v1/subscriptions/wrong", &[], body).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(status == 400 && answer.contains(names), "{settings}: {status} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn qpid_gets_what_pulp_would_send() {
    let peer = QpidPeer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let hub = hub_with(folder.path(), &[peer.address()]).await;
    let settings = json!({"url": format!("amqp://{}", peer.address()), "protocol": "0-10", "exchange": "pulp",
        "routing_key": "pulp.server.{type}", "body": "pulp", "persistent": false});
    hub.put("/v1/subscriptions/pulp", &publishing("repo.sync.start", &settings))
        .await;
    for id in ["1", "2"] {
        hub.publish(&event("repo.sync.start", id, &json!({"repo_id": "pulp2"})))
            .await;
        let path = "/v1/subscriptions/pulp/deliveries";
        let attempts = hub
            .until("it is delivered", path, |page| page["deliveries"][0]["event"] == id)
            .await;
        assert_eq!(
            attempts["deliveries"][0]["outcome"],
            "delivered",
            "{attempts}; {:?}",
            peer.complaint()
        );
    }
    peer.played().await;
}
