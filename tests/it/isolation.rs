//! One sink's trouble is its own: hung, refusing and slow sinks beside healthy ones, and a sink that is down for long.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{HubProcess, Receiver, Request, run, status};

/// A sink that takes every connection and never says a word (the kernel accepts, nobody reads).
async fn hung() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

/// The numbers that have arrived at a path.
fn numbers(seen: &[Request], path: &str) -> BTreeSet<u64> {
    let there = seen.iter().filter(|one| one.path == path);
    there.map(|one| one.json()["n"].as_u64().unwrap()).collect()
}

async fn subscribe(hub: &HubProcess, id: &str, ty: &str, sink: &str) {
    let wanted =
        json!({"types": [ty], "sink": sink, "protocolsettings": {"format": "raw"}, "config": {"timeout": "5m"}});
    hub.put(&format!("/v1/subscriptions/{id}"), &wanted).await;
}

/// Twenty subscriptions to a sink that hangs, each wanting sixteen at once.
async fn hang(hub: &HubProcess, url: &str) {
    for nth in 0..20 {
        subscribe(hub, &format!("hung-{nth}"), "n", url).await;
    }
    hub.publish_many("n", 0..100, 0).await;
    hub.until_metric("busway_deliveries_waiting", |waiting| waiting >= 200.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hung_sinks_leave_places_for_the_others() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start_with(folder.path(), &["--delivery-in-flight", "16"]).await;
    // Known to be quick before the trouble begins.
    subscribe(&hub, "well", "w", &receiver.url("/well")).await;
    hub.publish_many("w", 0..8, 0).await;
    receiver.wait_for(8).await;
    let (_silent, url) = hung().await;
    hang(&hub, &url).await;
    hub.until_metric("busway_deliveries_in_flight", |places| places <= 12.0)
        .await;
    hub.publish_many("w", 8..500, 0).await;
    receiver
        .wait_until("all of the healthy one's", |seen| numbers(seen, "/well").len() == 500)
        .await;
    assert_eq!(
        hub.get("/healthz").await["status"],
        "ok",
        "a hung sink is no trouble of the hub's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_to_one_hung_host_are_bounded_together_and_in_nobodys_way() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start_with(folder.path(), &["--delivery-connections-per-host", "4"]).await;
    let (_silent, url) = hung().await;
    hang(&hub, &url).await;
    hub.until_metric("busway_deliveries_in_flight", |places| (1.0..=4.0).contains(&places))
        .await;
    // One that nobody knows yet, at another host.
    subscribe(&hub, "new", "w", &receiver.url("/new")).await;
    hub.publish_many("w", 0..300, 0).await;
    receiver
        .wait_until("all of the new one's", |seen| numbers(seen, "/new").len() == 300)
        .await;
    // What waits for the host is let go with its subscription, and a stop does not wait for it.
    for nth in 1..20 {
        hub.send(http::Method::DELETE, &format!("/v1/subscriptions/hung-{nth}"), &[], "")
            .await;
    }
    hub.send(http::Method::POST, "/v1/subscriptions/hung-0/pause", &[], "")
        .await;
    hub.get("/readyz").await;
}

/// The words of the breaker's changes that the hub has told, in their order.
async fn changes(hub: &HubProcess) -> Vec<String> {
    let log = hub.get("/v1/buses/busway/events?limit=1000").await;
    let events = log["events"].as_array().unwrap();
    let types = events.iter().filter_map(|one| one["event"]["type"].as_str());
    types
        .filter_map(|ty| ty.strip_prefix("busway.breaker."))
        .map(str::to_owned)
        .collect()
}

async fn until(hub: &HubProcess, what: &str, enough: impl Fn(&Value) -> bool) -> Value {
    let one = hub
        .until(what, "/v1/subscriptions/s", |one| enough(&one["status"]))
        .await;
    one["status"].clone()
}

fn listed(hub: &HubProcess, folder: &Path) -> String {
    let arguments = ["subscription", "list", "--url", &hub.url(""), "--output", "table"];
    tokio::task::block_in_place(|| run(folder, &arguments)).1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_down_costs_a_cursor_and_then_gets_everything() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    receiver.answer(|_| status(500));
    let config =
        json!({"schedule": ["100ms"], "jitter": false, "breaker": {"failures": 8, "probe": "1h", "probe_most": "2h"}});
    let wanted =
        json!({"types": ["n"], "sink": receiver.url("/"), "protocolsettings": {"format": "raw"}, "config": config});
    hub.put("/v1/subscriptions/s", &wanted).await;
    for thousand in 0..5 {
        hub.publish_many("n", thousand * 1_000..(thousand + 1) * 1_000, 0).await;
    }
    let shown = until(&hub, "open, and at rest", |lane| {
        lane["state"] == "open" && lane["behind"].as_u64() > Some(4_900) && lane["retrying"].as_u64() >= Some(8)
    })
    .await;
    assert!(shown["retrying"].as_u64() <= Some(8 + 16), "{shown}");
    assert_eq!(
        (&shown["breaker"]["state"], shown["breaker"]["probe_at"].is_string()),
        (&json!("open"), true)
    );
    hub.until_metric("busway_breakers{state=\"open\"}", |count| count == 1.0)
        .await;
    let health = hub.get("/healthz").await;
    assert_eq!(
        (&health["status"], &health["failing"]["count"]),
        (&json!("ok"), &json!(1)),
        "{health}"
    );
    let table = listed(&hub, folder.path());
    assert!(
        table.lines().any(|line| line.starts_with('s') && line.contains("open")),
        "{table}"
    );
    // It is up again, and somebody says so; the next probe would be in an hour.
    receiver.answer(|_| status(204));
    hub.post("/v1/subscriptions/s/resume", &Value::Null).await;
    let done = until(&hub, "all of them delivered", |lane| lane["delivered"] == 5_000).await;
    assert_eq!(
        (&done["dead"], &done["breaker"]["state"]),
        (&json!(0), &json!("closed")),
        "{done}"
    );
    assert_eq!(numbers(&receiver.seen(), "/").len(), 5_000);
    assert_eq!(changes(&hub).await, ["opened", "half_open", "closed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_breaker_may_be_is_said_and_held_to() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_with(folder.path(), &["--delivery-breaker-failures", "3"]).await;
    let with = |breaker: Value| json!({"sink": "http://127.0.0.1:1/", "config": {"breaker": breaker}});
    let shown = hub.put("/v1/subscriptions/a", &with(Value::Null)).await;
    assert_eq!(
        shown["config"]["breaker"],
        json!({"failures": 3, "probe": "5s", "probe_most": "1m"}),
        "the hub's default"
    );
    let shown = hub.put("/v1/subscriptions/a", &with(json!("off"))).await;
    assert_eq!(shown["config"]["breaker"], "off");
    for (breaker, says) in [
        (json!("on"), "config.breaker: must be \"off\", or an object"),
        (
            json!({"failures": 0}),
            "config.breaker.failures: must be a whole number from 1 to 10000",
        ),
        (
            json!({"probe": "10s", "probe_most": "9s"}),
            "config.breaker.probe_most: must not be shorter than `probe`, 10s",
        ),
        (json!({"failure": 1}), "did you mean `config.breaker.failures`?"),
    ] {
        let headers = [("content-type", "application/json")];
        let (code, answer) = hub
            .send(
                http::Method::PUT,
                "/v1/subscriptions/b",
                &headers,
                with(breaker.clone()).to_string(),
            )
            .await;
        let answer = String::from_utf8(answer.to_vec()).unwrap().replace("\\\"", "\"");
        assert!(code == 400 && answer.contains(says), "{breaker}: {code} {answer}");
    }
}
