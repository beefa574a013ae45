//! The life of the real program: what it tells of itself, how it stops under load, and who may not start beside it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, PATIENCE, Receiver, Request, client, component, place, run, status, take_away};

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_the_hub_is_an_event_on_its_own_bus() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let own = json!({"bus": "busway", "sink": receiver.url("/life")});
    hub.put("/v1/subscriptions/life", &own).await;
    receiver.answer(|request| status(if request.path == "/life" { 204 } else { 500 }));

    place(folder.path(), "misbehave", &component("misbehave"));
    told(&receiver, "busway.plugin.loaded", "misbehave", |data| {
        data["generation"] == 1
    })
    .await;
    place(folder.path(), "misbehave", b"no plugin");
    let rejected = |data: &Value| {
        data["serving"] == true
            && data["reason"]
                .as_str()
                .is_some_and(|why| why.contains("not WebAssembly"))
    };
    told(&receiver, "busway.plugin.rejected", "misbehave", rejected).await;
    take_away(folder.path(), "misbehave");
    told(&receiver, "busway.plugin.removed", "misbehave", |_| true).await;

    let failing = json!({"types": ["n"], "sink": receiver.url("/fails"), "config": {"max_attempts": 1}});
    hub.put("/v1/subscriptions/s", &failing).await;
    told(&receiver, "busway.subscription.created", "s", |data| {
        data["types"] == json!(["n"])
    })
    .await;
    hub.publish_many("n", 0..8, 0).await;
    let dead = |data: &Value| data["offset"] == 8 && data["reason"].as_str().is_some_and(|why| why.contains("500"));
    told(&receiver, "busway.delivery.dead", "s", dead).await;
    told(&receiver, "busway.breaker.opened", "s", |_| true).await;
    receiver.answer(|request| status(if request.path == "/life" { 204 } else { 410 }));
    hub.put("/v1/subscriptions/s", &failing).await;
    told(&receiver, "busway.subscription.updated", "s", |_| true).await;
    hub.publish_many("n", 8..9, 0).await;
    told(&receiver, "busway.subscription.paused", "s", |data| {
        data["reason"] == "gone"
    })
    .await;
    hub.post("/v1/subscriptions/s/resume", &Value::Null).await;
    told(&receiver, "busway.subscription.resumed", "s", |data| {
        data["state"] == "active"
    })
    .await;
    hub.send(Method::DELETE, "/v1/subscriptions/s", &[], "").await;
    told(&receiver, "busway.subscription.deleted", "s", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hubs_own_bus_has_its_starts_and_stops_and_nobody_elses_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start(folder.path()).await;
    let (code, answer) = publish_on(&hub, "busway").await;
    assert_eq!(
        (code, &answer["code"]),
        (400, &json!("bus_reserved")),
        "nobody else speaks there: {answer}"
    );
    assert_eq!(hub.terminate().await, Some(0));
    let hub = HubProcess::start(folder.path()).await;
    let told = |log: &Value, ty: &str| {
        let events = log["events"].as_array().unwrap();
        events.iter().filter(|one| one["event"]["type"] == ty).count()
    };
    let started = |log: &Value| told(log, "busway.hub.started") == 2;
    let log = hub
        .until("both starts are told", "/v1/buses/busway/events?limit=1000", started)
        .await;
    assert_eq!(told(&log, "busway.hub.stopping"), 1, "{log}");
}

/// Waits for an event of the hub's own about this subject.
async fn told(receiver: &Receiver, ty: &str, subject: &str, says: impl Fn(&Value) -> bool) {
    let of = |request: &Request| {
        let event = if request.path == "/life" {
            request.json()
        } else {
            Value::Null
        };
        event["type"] == ty && event["subject"] == subject && says(&event["data"])
    };
    receiver
        .wait_until(&format!("{ty} of {subject}"), |seen| seen.iter().any(of))
        .await;
}

async fn publish_on(hub: &HubProcess, bus: &str) -> (u16, Value) {
    let event = json!({"specversion": "1.0", "id": "1", "source": "/test", "type": "n"});
    let headers = [("content-type", "application/cloudevents+json")];
    let (code, answer) = hub
        .send(
            Method::POST,
            &format!("/v1/buses/{bus}/events"),
            &headers,
            event.to_string(),
        )
        .await;
    (code, serde_json::from_slice(&answer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_parse_and_move() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let health = hub.get("/healthz").await;
    assert_eq!((&health["status"], &health["reasons"]), (&json!("ok"), &json!([])));
    assert!(health["durability"].as_str().unwrap().contains("synced"), "{health}");
    assert_eq!(hub.get("/readyz").await, json!({"ready": true}));
    hub.put(
        "/v1/subscriptions/s",
        &json!({"types": ["n"], "sink": receiver.url("/")}),
    )
    .await;
    hub.publish_many("n", 0..5, 0).await;
    hub.publish_many("n", 0..2, 0).await;
    publish_on(&hub, "busway").await;
    receiver.wait_for(5).await;
    for (name, figure) in [
        ("busway_events_published_total{bus=\"default\"}", 5.0),
        ("busway_events_duplicate_total{bus=\"default\"}", 2.0),
        ("busway_deliveries_total{outcome=\"accepted\"}", 5.0),
        ("busway_requests_refused_total{code=\"bus_reserved\"}", 1.0),
        ("busway_subscriptions", 1.0),
        ("busway_log_end_offset{bus=\"default\"}", 6.0),
        ("busway_behind_records{bus=\"default\"}", 0.0),
        ("busway_dead_letters", 0.0),
        ("busway_publish_seconds_count", 2.0),
    ] {
        hub.until_metric(name, |value| value == figure).await;
    }
    let (code, text) = hub.send(Method::GET, "/metrics", &[], "").await;
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert_eq!((code, text.ends_with("# EOF\n")), (200, true));
    let mut series = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("busway_") && value.parse::<f64>().is_ok(), "{line}");
        assert!(series.insert(name.to_owned()), "twice: {line}");
    }
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, _) = line.split_once(' ').unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name} says what it is");
    }
}

/// Publishes one event after the other until the hub no longer answers; the ids it was told are safe.
async fn produce(url: String, numbers: Arc<AtomicU64>, safe: Arc<Mutex<Vec<String>>>) {
    let client = client();
    loop {
        let id = format!("load-{}", numbers.fetch_add(1, Ordering::Relaxed));
        let event = json!({"specversion": "1.0", "id": id, "source": "/test", "type": "load", "data": {"id": id}});
        let request = http::Request::post(&url).header("content-type", "application/cloudevents+json");
        let request = request.body(event.to_string().into()).unwrap();
        match client.send(request, PATIENCE, 1 << 20).await {
            Ok(answer) if answer.status == 202 => safe.lock().unwrap().push(id),
            Ok(answer) => assert_eq!(answer.status, 503, "what is turned away is told so"),
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_is_clean_and_loses_nothing() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    hub.put(
        "/v1/subscriptions/s",
        &json!({"types": ["load"], "sink": receiver.url("/"), "protocolsettings": {"format": "raw"}}),
    )
    .await;
    let (numbers, safe) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        producers.spawn(produce(hub.url("/v1/events"), numbers.clone(), safe.clone()));
    }
    receiver.wait_for(300).await;
    assert_eq!(hub.terminate().await, Some(0), "{:#?}", hub.log());
    hub.said("\"message\":\"stopped\"").await;
    producers.join_all().await;
    let hub = HubProcess::start(folder.path()).await;
    let due: BTreeSet<String> = safe.lock().unwrap().drain(..).collect();
    assert!(due.len() >= 300);
    let ids = |seen: &[Request]| {
        seen.iter()
            .map(|one| one.json()["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let seen = receiver
        .wait_until("everything acknowledged arrived", |seen| {
            ids(seen).into_iter().collect::<BTreeSet<_>>().is_superset(&due)
        })
        .await;
    hub.until("it is all settled", "/v1/subscriptions/s", |one| {
        one["status"]["behind"] == 0
    })
    .await;
    assert_eq!(
        ids(&seen).len(),
        ids(&seen).into_iter().collect::<BTreeSet<_>>().len(),
        "a clean stop repeats nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_settings_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("busway.toml");
    std::fs::write(&file, "[log_output]\nfilter = \"info\"").unwrap();
    let hub = HubProcess::start(folder.path()).await;
    // The same file: only the signal says that it should be looked at.
    hub.signal("HUP");
    hub.said("settings reloaded").await;
    std::fs::write(&file, "[log_output]\nfilter = \"busway=debug,info\"").unwrap();
    hub.signal("HUP");
    hub.said("busway=debug,info").await;
    std::fs::write(&file, "[log_output]\nfilter = 7 7").unwrap();
    hub.signal("HUP");
    hub.said("the new settings are refused, the old ones stay").await;
    assert_eq!(hub.get("/readyz").await, json!({"ready": true}));
}

/// A page that was loaded from a name of its own, which then leads here, could do whatever its neighbours may.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_the_hubs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_with(folder.path(), &["--listen-hosts", "hub.example.com"]).await;
    for (host, expected) in [
        ("evil.example:8080", 403),
        ("127.0.0.1.evil.example", 403),
        ("hub.example.com", 200),
        ("localhost:1", 200),
        ("[::1]", 200),
    ] {
        let headers = [("host", host)];
        let (status, _) = hub.send(http::Method::GET, "/v1/subscriptions", &headers, "").await;
        assert_eq!(status, expected, "{host}");
        // As a browser would post for it: of the same site, as far as that goes.
        let origin = format!("http://{host}");
        let headers = [("host", host), ("origin", &origin)];
        let (status, _) = hub.send(http::Method::POST, "/v1/subscriptions", &headers, "{}").await;
        assert_eq!(status == 403, expected == 403, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hub_on_the_same_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let second = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        "data",
        "--plugins",
        "plugins",
    ];
    let (code, _, error) = tokio::task::block_in_place(|| run(folder.path(), &second));
    assert_eq!(code, 69, "{error}");
    assert!(
        error.contains("another hub is using this data directory") && error.contains("store_locked"),
        "{error}"
    );
    hub.publish_many("n", 0..1, 0).await;
    assert_eq!(
        hub.get("/healthz").await["status"],
        "ok",
        "the first one does not notice"
    );
}
