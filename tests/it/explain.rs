//! Why an event did, or did not, arrive: every end of a delivery, told from the outside.

use http::Method;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, component, place, run, status};

async fn explain(hub: &HubProcess, offset: u64, subscription: &str) -> Value {
    hub.get(&format!("/v1/explain?offset={offset}&subscription={subscription}"))
        .await
}

/// Publishes one event; its offset.
async fn publish(hub: &HubProcess, id: &str, subject: &str, n: u64) -> u64 {
    let event =
        json!({"specversion": "1.0", "id": id, "source": "/t", "type": "n", "subject": subject, "data": {"n": n}});
    hub.publish(&event).await["events"][0]["offset"].as_u64().unwrap()
}

/// Subscriptions whose deliveries end in every way, and the offsets of the events: early, good, small and other.
async fn every_end(folder: &Path, receiver: &Receiver) -> (HubProcess, [u64; 4]) {
    receiver.answer(|request| status(if request.path == "/down" { 503 } else { 200 }));
    place(folder, "judge", &component("filter-threshold"));
    let hub = HubProcess::start(folder).await;
    let early = publish(&hub, "early", "/a", 9).await;
    let filters =
        json!([{"prefix": {"subject": "/a"}}, {"plugin": {"name": "judge", "config": {"pointer": "/n", "min": 5}}}]);
    let up = json!({"types": ["n"], "sink": receiver.url("/up"), "filters": filters});
    hub.put("/v1/subscriptions/up", &up).await;
    let config = |schedule: &str, most: u64| json!({"schedule": [schedule], "max_attempts": most});
    let down = json!({"sink": receiver.url("/down"), "config": config("1ms", 2)});
    hub.put("/v1/subscriptions/down", &down).await;
    let slow = json!({"sink": receiver.url("/down"), "config": config("1h", 5)});
    hub.put("/v1/subscriptions/slow", &slow).await;
    hub.put("/v1/subscriptions/still", &json!({"sink": receiver.url("/up")}))
        .await;
    hub.post("/v1/subscriptions/still/pause", &Value::Null).await;

    let good = publish(&hub, "good", "/a/1", 9).await;
    let small = publish(&hub, "small", "/a/1", 3).await;
    let other = publish(&hub, "other", "/b", 9).await;
    for id in ["up", "down", "slow"] {
        let path = format!("/v1/subscriptions/{id}");
        hub.until("all is taken", &path, |one| {
            one["status"]["cursor"] == other + 1 || id == "slow"
        })
        .await;
    }
    hub.until("it is dead", "/v1/dead-letters?subscription=down", |dead| {
        dead["dead_letters"][2].is_object()
    })
    .await;
    hub.until("it is tried", "/v1/subscriptions/slow/deliveries", |all| {
        all["deliveries"][0].is_object()
    })
    .await;
    (hub, [early, good, small, other])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_delivery_is_explained() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let (hub, [early, good, small, other]) = every_end(folder.path(), &receiver).await;
    for (offset, subscription, state, words) in [
        (good, "up", "delivered", "attempt 1, delivered, status 20"),
        (
            small,
            "up",
            "filtered",
            "filters[1]: the plugin judge drops it: 3 at /n is below 5",
        ),
        (
            other,
            "up",
            "unwanted",
            r#"filters[0]: subject is "/b", and must begin with "/a""#,
        ),
        (early, "up", "before_start", "before the subscription `up` was made"),
        (good, "down", "dead", "busway dead redeliver"),
        (good, "slow", "retrying", "1 of 5 attempts failed"),
        (good, "still", "paused", "busway subscription resume still"),
    ] {
        let told = explain(&hub, offset, subscription).await;
        let why = told["why"].as_str().unwrap();
        assert!(
            told["delivery"]["state"] == state && why.contains(words),
            "{offset} {subscription}: {told:#}"
        );
    }
    let told = explain(&hub, small, "up").await;
    let heard = &told["rules"][2]["plugins"][0];
    let page = hub.get("/v1/plugins/judge").await;
    assert_eq!(
        (&heard["verdict"], &heard["generation"], &heard["digest"]),
        (&json!("drop"), &json!(1), &page["digest"])
    );
    assert_eq!(heard["host_calls"], json!({"at": 1}));
    assert_eq!(
        explain(&hub, good, "down").await["delivery"]["attempts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let (code, out, err) = run(
        folder.path(),
        &["explain", &small.to_string(), "up", "--url", &hub.url("")],
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("filtered: ") && out.contains("filters[1]  no"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    hub.put("/v1/subscriptions/s", &json!({"sink": receiver.url("/s")}))
        .await;
    for (query, expected) in [
        ("offset=1&subscription=nobody", (404, "subscription_not_found")),
        ("offset=7&subscription=s", (404, "event_not_found")),
        ("subscription=s", (400, "invalid_parameter")),
        ("offset=x&subscription=s", (400, "invalid_parameter")),
        ("offset=1", (400, "invalid_parameter")),
        ("offset=1&subscription=s&notify=perhaps", (400, "invalid_parameter")),
        ("ofset=1", (400, "unknown_parameter")),
    ] {
        let (status, body) = hub.send(Method::GET, &format!("/v1/explain?{query}"), &[], "").await;
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (status, problem["code"].as_str().unwrap()),
            expected,
            "{query}: {problem}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_for_a_plugin_is_said() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    place(folder.path(), "judge", &component("misbehave"));
    let hub = HubProcess::start(folder.path()).await;
    let parks = json!({"sink": receiver.url("/s"), "config": {"on_error": "hold"},
        "filters": [{"plugin": {"name": "judge", "config": {"do": "trap"}}}]});
    hub.put("/v1/subscriptions/s", &parks).await;
    let offset = publish(&hub, "one", "/a", 1).await;
    hub.until("it is parked", "/v1/subscriptions/s", |one| {
        one["status"]["parked"] == 1
    })
    .await;
    let told = explain(&hub, offset, "s").await;
    assert_eq!(
        (&told["delivery"]["state"], &told["delivery"]["parked_for"]),
        (&json!("parked"), &json!("judge")),
        "{told:#}"
    );
    assert!(told["why"].as_str().unwrap().contains("crashed"), "{told:#}");
    assert_eq!(
        told["rules"][1]["passes"],
        Value::Null,
        "a plugin that fails says nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_plugin_holds_and_a_notifier_is_asked_without_effects() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    place(folder.path(), "notifier-chat", &component("notifier-chat"));
    let grants = format!(
        "[plugins.notifier-chat]\ngrants = {{ http = [\"{}\"] }}\n",
        receiver.url("")
    );
    std::fs::write(folder.path().join("busway.toml"), grants).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let chat = json!({"types": ["n"], "protocol": "notifier-chat",
        "protocolsettings": {"url": receiver.url("/chat"), "template": "{type} {/n}"}});
    hub.put("/v1/subscriptions/chat", &chat).await;
    let offset = publish(&hub, "one", "/a", 7).await;
    receiver.wait_for(1).await;
    assert!(
        explain(&hub, offset, "chat").await["notifier"].is_null(),
        "nobody asked for it"
    );
    let told = hub
        .get(&format!("/v1/explain?offset={offset}&subscription=chat&notify=true"))
        .await;
    let notifier = &told["notifier"];
    assert_eq!(
        (&notifier["verdict"], &notifier["effects"][0]["url"]),
        (&json!("delivered"), &json!(receiver.url("/***"))),
        "{told:#}"
    );
    assert_eq!(receiver.seen().len(), 1, "explaining sent something");

    crate::support::take_away(folder.path(), "notifier-chat");
    hub.until("it is gone", "/v1/plugins", |page| {
        page["plugins"].as_array().unwrap().is_empty()
    })
    .await;
    let offset = publish(&hub, "two", "/a", 8).await;
    hub.until("it is held", "/v1/subscriptions/chat", |one| {
        one["status"]["state"] == "held"
    })
    .await;
    let told = explain(&hub, offset, "chat").await;
    assert_eq!(told["delivery"]["state"], "held", "{told:#}");
    assert!(told["why"].as_str().unwrap().contains("notifier-chat"), "{told:#}");
}
