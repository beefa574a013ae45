//! `on_error: hold` in the real program: what a failing plugin held up waits, over a kill -9 too, and goes out once and
//! in its order when a generation is loaded that works. And what becomes of a plugin that is taken away.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, generation, place, take_away};

/// A subscription to `n` through `misbehave`, which fails on every event of the deed `odd-fails` while the digit of its
/// generation is odd.
fn holding(sink: String) -> Value {
    json!({"types": ["n"], "sink": sink, "filters": [{"plugin": {"name": "misbehave", "config": {"do": "pass"}}}],
        "protocolsettings": {"format": "raw"}, "config": {"schedule": ["50ms"], "max_attempts": 1, "on_error": "hold", "ordering": "key"}})
}

async fn publish(hub: &HubProcess, n: u64, key: &str, deed: &str) {
    let event = json!({"specversion": "1.0", "id": format!("{n}"), "source": "/test", "type": "n", "subject": key,
        "data": {"n": n, "key": key, "do": deed}});
    hub.publish(&event).await;
}

async fn status(hub: &HubProcess, what: &str, enough: impl Fn(&Value) -> bool) -> Value {
    let one = hub
        .until(what, "/v1/subscriptions/s", |one| enough(&one["status"]))
        .await;
    one["status"].clone()
}

/// The numbers that arrived with this key, in the order of their arrival.
fn of(seen: &[Request], key: &str) -> Vec<u64> {
    let bodies = seen.iter().map(Request::json);
    bodies
        .filter(|body| body["key"] == key)
        .map(|body| body["n"].as_u64().unwrap())
        .collect()
}

/// What the hub has told of itself, by type, about `about`.
async fn told(hub: &HubProcess, ty: &str, about: &str) -> Vec<Value> {
    let path = "/v1/buses/busway/events?limit=1000";
    let is = |one: &Value| one["event"]["type"] == ty && one["event"]["subject"] == about;
    let page = hub
        .until(ty, path, |page| {
            page["events"].as_array().is_some_and(|all| all.iter().any(is))
        })
        .await;
    let all = page["events"].as_array().unwrap();
    all.iter()
        .filter(|event| is(event))
        .map(|event| event["event"]["data"].clone())
        .collect()
}

/// Ten events of the key `a` of which the first fails, ten of `b` that do well, all parked or delivered.
async fn parked(folder: &Path, receiver: &Receiver) -> HubProcess {
    place(folder, "misbehave", &generation(1));
    let hub = HubProcess::start(folder).await;
    hub.put("/v1/subscriptions/s", &holding(receiver.url("/"))).await;
    publish(&hub, 0, "a", "odd-fails").await;
    status(&hub, "the first is parked", |status| status["parked"] == 1).await;
    for n in 1..20 {
        publish(&hub, n, if n % 2 == 0 { "a" } else { "b" }, "pass").await;
    }
    status(&hub, "its key is parked", |status| {
        status["parked"] == 10 && status["delivered"] == 10
    })
    .await;
    hub
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_is_told_and_goes_out_once_in_key_order() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = parked(folder.path(), &receiver).await;
    let (a, mut b) = (of(&receiver.seen(), "a"), of(&receiver.seen(), "b"));
    // Nothing held them up, and no order was asked for.
    b.sort_unstable();
    assert_eq!((a, b), (vec![], (1..20).step_by(2).collect()));
    let status = status(&hub, "it is parking", |status| status["state"] == "parking").await;
    let why = &status["parked_for"][0];
    assert_eq!(
        (&why["plugin"], &why["generation"], &why["deliveries"]),
        (&json!("misbehave"), &json!(1), &json!(10))
    );
    assert!(why["reason"].as_str().unwrap().contains("odd"), "{status}");
    assert!(why["since"].is_string(), "{status}");
    let health = hub.get("/healthz").await;
    assert_eq!(health["status"], "degraded");
    assert!(
        health["reasons"][0]
            .as_str()
            .unwrap()
            .contains("subscription s: parking"),
        "{health}"
    );
    hub.until_metric("busway_deliveries_parked", |parked| parked == 10.0)
        .await;
    assert_eq!(told(&hub, "busway.subscription.parked", "s").await.len(), 1);

    place(folder.path(), "misbehave", &generation(2));
    let seen = receiver.wait_for(20).await;
    assert_eq!(of(&seen, "a"), (0..20).step_by(2).collect::<Vec<_>>(), "in order");
    hub.until("all is settled", "/v1/subscriptions/s", |one| {
        one["status"]["state"] == "idle" && one["status"]["delivered"] == 20
    })
    .await;
    assert_eq!(receiver.seen().len(), 20, "and once");
    assert_eq!(
        told(&hub, "busway.subscription.unparked", "s").await[0]["deliveries"],
        10
    );
    assert_eq!(hub.get("/healthz").await["status"], "ok");
    hub.until_metric("busway_deliveries_parked", |parked| parked == 0.0)
        .await;
    let dead = hub.get("/v1/dead-letters?subscription=s").await;
    assert_eq!(
        dead["dead_letters"],
        json!([]),
        "one attempt was allowed, and none was spent"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_survives_a_kill() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = parked(folder.path(), &receiver).await;
    // Still broken after a restart: parked again, in the same order, and nothing arrives.
    hub.kill().await;
    let mut hub = {
        let hub = HubProcess::start(folder.path()).await;
        status(&hub, "it is parked again", |status| {
            status["parked"] == 10 && status["state"] == "parking"
        })
        .await;
        hub
    };
    let before = receiver.seen();
    assert_eq!(of(&before, "a"), Vec::<u64>::new());
    hub.kill().await;
    place(folder.path(), "misbehave", &generation(2));
    let hub = HubProcess::start(folder.path()).await;
    receiver.wait_until("all of a", |seen| of(seen, "a").len() >= 10).await;
    status(&hub, "all is settled", |status| {
        status["state"] == "idle" && status["behind"] == 0 && status["retrying"] == 0
    })
    .await;
    assert_eq!(of(&receiver.seen(), "a"), (0..20).step_by(2).collect::<Vec<_>>());
}

/// More than a lane may park: the rest waits in the log, over a kill in the middle of it, and the order of a key is kept.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_be_parked_goes_out_in_order_after_a_kill() {
    const EVENTS: u64 = 12_000;
    const PARKED: u64 = 10_000;
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    place(folder.path(), "misbehave", &generation(1));
    let mut hub = HubProcess::start(folder.path()).await;
    let mut subscription = holding(receiver.url("/"));
    subscription["filters"][0]["plugin"]["config"]["do"] = json!("odd-fails");
    subscription["config"]["ordering"] = json!("key");
    hub.put("/v1/subscriptions/s", &subscription).await;
    for first in (0..EVENTS).step_by(1_000) {
        let event = |n: u64| {
            let key = ["a", "b", "c"][(n % 3) as usize];
            json!({"specversion": "1.0", "id": n.to_string(), "source": "/test", "type": "n", "subject": key,
                "data": {"n": n, "key": key}})
        };
        let batch = Value::Array((first..first + 1_000).map(event).collect()).to_string();
        let headers = [("content-type", "application/cloudevents-batch+json")];
        let sent = hub.send(http::Method::POST, "/v1/events", &headers, batch).await;
        assert_eq!(sent.0, 202);
    }
    let full = |status: &Value| status["parked"].as_u64().is_some_and(|parked| parked >= PARKED);
    let parked = status(&hub, "as many as may be are parked", full).await;
    assert!(parked["parked"].as_u64().unwrap() < PARKED + 500, "{parked}");
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    status(&hub, "they are parked again", full).await;
    assert!(receiver.seen().is_empty());
    place(folder.path(), "misbehave", &generation(2));
    receiver.wait_for(EVENTS as usize).await;
    status(&hub, "all is settled", |status| {
        status["state"] == "idle" && status["behind"] == 0
    })
    .await;
    for (rest, key) in ["a", "b", "c"].into_iter().enumerate() {
        let due: Vec<u64> = (rest as u64..EVENTS).step_by(3).collect();
        assert_eq!(of(&receiver.seen(), key), due, "{key}: once, in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_subscription_lets_it_try_again() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = parked(folder.path(), &receiver).await;
    // Without the filter there is nobody to fail.
    let mut plain = holding(receiver.url("/"));
    plain["filters"] = json!([]);
    hub.put("/v1/subscriptions/s", &plain).await;
    let seen = receiver.wait_for(20).await;
    assert_eq!(of(&seen, "a"), (0..20).step_by(2).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_taken_away_holds_its_subscription_and_loses_nothing() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    place(folder.path(), "misbehave", &generation(0));
    let hub = HubProcess::start(folder.path()).await;
    hub.put("/v1/subscriptions/s", &holding(receiver.url("/"))).await;
    hub.publish_many("n", 0..100, 0).await;
    receiver.wait_for(100).await;
    take_away(folder.path(), "misbehave");
    told(&hub, "busway.plugin.removed", "misbehave").await;
    hub.publish_many("n", 100..1_000, 0).await;
    hub.publish_many("n", 1_000..1_500, 0).await;
    status(&hub, "it is held", |status| status["state"] == "held").await;
    told(&hub, "busway.subscription.held", "s").await;
    let health = hub.get("/healthz").await;
    assert!(
        health["reasons"].to_string().contains("no plugin misbehave is loaded"),
        "{health}"
    );
    place(folder.path(), "misbehave", &generation(2));
    receiver.wait_for(1_500).await;
    status(&hub, "all is settled", |status| {
        status["state"] == "idle" && status["behind"] == 0
    })
    .await;
    told(&hub, "busway.subscription.released", "s").await;
    let mut numbers: Vec<u64> = receiver
        .seen()
        .iter()
        .map(|one| one.json()["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1_500).collect::<Vec<_>>(), "everything, once");
}
