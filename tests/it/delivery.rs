//! Deliveries of the real program to a real sink: forms byte for byte, signatures, credentials, retries, ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, Method};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, basic, status, until};

/// A subscription to everything of a type, tried again quickly.
fn subscription(ty: &str, sink: String) -> Value {
    json!({"types": [ty], "sink": sink, "config": {"schedule": ["50ms"], "max_attempts": 3}})
}

/// The same in another form.
fn in_form(ty: &str, sink: String, format: &str) -> Value {
    let mut asked = subscription(ty, sink);
    asked["protocolsettings"] = json!({"format": format});
    asked
}

/// Waits until everything that was published is settled for a subscription.
async fn settled(hub: &HubProcess, id: &str) -> Value {
    let path = format!("/v1/subscriptions/{id}");
    let settled = |one: &Value| one["status"]["behind"] == 0 && one["status"]["retrying"] == 0;
    hub.until("it has settled everything", &path, settled).await
}

/// The dead letters of a subscription, once there are so many.
async fn dead(hub: &HubProcess, id: &str, count: usize) -> Vec<Value> {
    let path = format!("/v1/dead-letters?subscription={id}");
    let enough = |page: &Value| {
        page["dead_letters"]
            .as_array()
            .is_some_and(|letters| letters.len() == count)
    };
    let page = hub.until(&format!("{count} dead letters"), &path, enough).await;
    page["dead_letters"].as_array().unwrap().clone()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[derive(serde::Deserialize)]
struct Seed<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    ty: &'a str,
    source: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

const SEEDS: &str = include_str!("../fixtures/events/seeds.jsonl");

/// The seeds as they were published, in the order of their data.
fn seeds() -> Vec<Seed<'static>> {
    let mut seeds: Vec<Seed<'_>> = SEEDS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    seeds.sort_by_key(|seed| seed.data.get());
    seeds
}

/// Publishes the seeds to a subscription in this form; what arrived.
async fn seeds_in(form: &str) -> Vec<Request> {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    hub.put("/v1/subscriptions/s", &in_form("*", receiver.url("/"), form))
        .await;
    let batch = format!("[{}]", SEEDS.lines().collect::<Vec<_>>().join(","));
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let (status, answer) = hub.send(Method::POST, "/v1/events", &headers, batch).await;
    assert_eq!(status, 202, "{answer:?}");
    settled(&hub, "s").await;
    receiver.seen()
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_is_the_producers_bytes_and_nothing_else() {
    let mut seen = seeds_in("raw").await;
    seen.sort_by(|a, b| a.body.cmp(&b.body));
    let bodies: Vec<&[u8]> = seen.iter().map(|one| one.body.as_ref()).collect();
    assert_eq!(
        bodies,
        seeds()
            .iter()
            .map(|seed| seed.data.get().as_bytes())
            .collect::<Vec<_>>()
    );
    for request in &seen {
        assert_eq!(header(&request.headers, "content-type"), Some("application/json"));
        assert!(
            request.headers.keys().all(|name| !name.as_str().starts_with("ce-")),
            "{request:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_has_the_attributes_in_headers_and_the_bytes_as_they_were() {
    let seen = seeds_in("binary").await;
    let seeds = seeds();
    assert_eq!(seen.len(), seeds.len());
    for seed in seeds {
        let request = seen
            .iter()
            .find(|one| header(&one.headers, "ce-id") == Some(seed.id))
            .unwrap();
        let of = |name: &str| header(&request.headers, name);
        assert_eq!(request.body, seed.data.get().as_bytes(), "{}", seed.id);
        assert_eq!(
            (of("ce-type"), of("ce-source"), of("ce-specversion")),
            (Some(seed.ty), Some(seed.source), Some("1.0"))
        );
        assert_eq!(of("content-type"), Some("application/json"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn structured_and_batch_are_the_events_as_they_were_published() {
    let published: BTreeMap<String, Value> = SEEDS
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| (event["id"].to_string(), event))
        .collect();
    let single = seeds_in("structured").await;
    let arrived: BTreeMap<String, Value> = single
        .iter()
        .map(|one| (one.json()["id"].to_string(), one.json()))
        .collect();
    assert_eq!(arrived, published);
    for request in &single {
        assert_eq!(
            header(&request.headers, "content-type"),
            Some("application/cloudevents+json")
        );
        let text = String::from_utf8(request.body.to_vec()).unwrap();
        assert!(
            seeds().iter().any(|seed| text.contains(seed.data.get())),
            "the data as it was written: {text}"
        );
    }
    let batches = seeds_in("batch").await;
    assert!(batches.len() < published.len(), "several in one request");
    let mut arrived: Vec<Value> = batches
        .iter()
        .flat_map(|one| one.json().as_array().unwrap().clone())
        .collect();
    arrived.sort_by_key(|event| event["id"].to_string());
    assert_eq!(arrived, published.into_values().collect::<Vec<_>>());
    for request in &batches {
        assert_eq!(
            header(&request.headers, "content-type"),
            Some("application/cloudevents-batch+json")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_signed_and_carry_credentials() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let (old, new) = ([1_u8; 32], [2_u8; 24]);
    let secrets = [new.as_slice(), old.as_slice()].map(|key| format!("whsec_{}", BASE64.encode(key)));
    let settings = [
        (
            "basic",
            json!({"auth": {"basic": {"username": "u", "password": "p:q"}}, "headers": {"x-tenant": "a b"}}),
        ),
        (
            "bearer",
            json!({"auth": {"bearer": {"token": "t0ken"}}, "secret": secrets[1]}),
        ),
        ("both", json!({"secrets": secrets})),
    ];
    for (id, settings) in settings {
        let mut asked = subscription("n", receiver.url(&format!("/{id}")));
        asked["protocolsettings"] = settings;
        let shown = hub.put(&format!("/v1/subscriptions/{id}"), &asked).await.to_string();
        for secret in ["p:q", "t0ken", &secrets[0], &secrets[1]] {
            assert!(!shown.contains(secret), "a secret is never shown: {shown}");
        }
    }
    hub.publish_many("n", 0..1, 0).await;
    let seen = receiver.wait_for(3).await;
    let at = |path: &str| seen.iter().find(|request| request.path == path).unwrap();
    let authorization = |path: &str| header(&at(path).headers, "authorization");
    assert_eq!(authorization("/basic"), Some(basic("u", "p:q").as_str()));
    assert_eq!(header(&at("/basic").headers, "x-tenant"), Some("a b"));
    assert_eq!(header(&at("/basic").headers, "webhook-signature"), None);
    assert_eq!(authorization("/bearer"), Some("Bearer t0ken"));
    for (path, keys) in [("/bearer", vec![old.as_slice()]), ("/both", vec![&new, &old])] {
        let request = at(path);
        let of = |name: &str| header(&request.headers, name).unwrap();
        let mut signed = format!("{}.{}.", of("webhook-id"), of("webhook-timestamp")).into_bytes();
        signed.extend(&request.body);
        let signatures: Vec<&str> = of("webhook-signature").split(' ').collect();
        assert_eq!(signatures.len(), keys.len());
        for (key, signature) in keys.iter().zip(signatures) {
            let tag = BASE64.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
            ring::hmac::verify(&key, &signed, &tag).expect("the signature fits the bytes that came");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_under_the_same_id() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let calls = AtomicUsize::new(0);
    receiver.answer(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => {
            let mut answer = Response::new("come back later".into());
            *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            answer
        }
        1 => {
            let mut answer = status(302);
            answer.headers_mut().insert("location", "/elsewhere".parse().unwrap());
            answer
        }
        _ => status(204),
    });
    hub.put("/v1/subscriptions/s", &subscription("n", receiver.url("/hook")))
        .await;
    hub.publish_many("n", 0..1, 0).await;
    let seen = receiver.wait_for(3).await;
    let ids: Vec<_> = seen
        .iter()
        .map(|request| header(&request.headers, "webhook-id"))
        .collect();
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(
        seen.iter().all(|request| request.path == "/hook"),
        "a redirect is not followed: {seen:?}"
    );
    settled(&hub, "s").await;
    let shown = hub.get("/v1/subscriptions/s/deliveries").await;
    let of = |nth: usize, name: &str| shown["deliveries"][nth][name].clone();
    assert_eq!(
        (of(0, "number"), of(0, "status"), of(0, "next")),
        (json!(3), json!(204), Value::Null),
        "{shown}"
    );
    assert_eq!((of(1, "number"), of(1, "status")), (json!(2), json!(302)), "{shown}");
    assert_eq!(
        (of(2, "number"), of(2, "status"), of(2, "answer")),
        (json!(1), json!(503), json!("come back later"))
    );
    assert!(of(2, "next").is_string(), "{shown}");
    assert_eq!((of(2, "event"), of(2, "offset")), (json!("n-0"), json!(1)), "{shown}");
    assert_eq!(hub.get("/v1/dead-letters").await["dead_letters"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_gone_pauses_its_subscription() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    receiver.answer(|_| status(410));
    hub.put("/v1/subscriptions/s", &subscription("n", receiver.url("/")))
        .await;
    hub.publish_many("n", 0..1, 0).await;
    let gone = |one: &Value| one["state"] == "paused" && one["reason"] == "gone";
    hub.until("it is gone", "/v1/subscriptions/s", gone).await;
    hub.publish_many("n", 1..3, 0).await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    assert!(gone(&hub.get("/v1/subscriptions/s").await), "over a kill, too");
    assert_eq!(receiver.seen().len(), 1, "nothing more was sent");
    receiver.answer(|_| status(204));
    hub.post("/v1/subscriptions/s/resume", &Value::Null).await;
    let seen = receiver.wait_for(4).await;
    let mut ids: Vec<String> = seen[1..].iter().map(|one| one.json()["id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"n-0\"", "\"n-1\"", "\"n-2\""], "nothing was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_redelivered_and_dropped() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    receiver.answer(|_| status(500));
    hub.put("/v1/subscriptions/s", &subscription("n", receiver.url("/")))
        .await;
    hub.publish_many("n", 0..3, 0).await;
    let letters = dead(&hub, "s", 3).await;
    assert_eq!(receiver.seen().len(), 9, "three attempts each");
    for letter in &letters {
        assert_eq!(
            (&letter["tries"], letter["attempts"].as_array().unwrap().len()),
            (&json!(3), 3),
            "{letter}"
        );
        assert!(letter["reason"].as_str().unwrap().contains("500"), "{letter}");
        assert_eq!(letter["event"]["type"], "n");
    }
    receiver.answer(|_| status(204));
    let one = json!({"ids": [letters[0]["id"]]});
    let dry = json!({"subscription": "s", "dry_run": true});
    let answer = hub.post("/v1/dead-letters/redeliver", &dry).await;
    assert_eq!(
        (&answer["matched"], &answer["redelivered"]),
        (&json!(3), &json!(null)),
        "{answer}"
    );
    let answer = hub.post("/v1/dead-letters/redeliver", &one).await;
    assert_eq!(answer["redelivered"], 1, "{answer}");
    let seen = receiver.wait_for(10).await;
    assert_eq!(seen[9].json()["id"], letters[0]["event"]["id"]);
    settled(&hub, "s").await;
    dead(&hub, "s", 2).await;
    let (code, answer) = hub
        .send(Method::DELETE, "/v1/dead-letters?subscription=s", &[], "")
        .await;
    assert_eq!(
        (code, &answer[..]),
        (200, br#"{"dropped":2,"dry_run":false}"#.as_slice())
    );
    dead(&hub, "s", 0).await;
    assert_eq!(receiver.seen().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_outlives_a_kill() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    receiver.answer(|_| status(503));
    let mut asked = subscription("n", receiver.url("/"));
    asked["config"] = json!({"schedule": ["50ms", "3s"], "max_attempts": 3});
    hub.put("/v1/subscriptions/s", &asked).await;
    hub.publish_many("n", 0..1, 0).await;
    receiver.wait_for(2).await;
    // What a checkpoint has written is what a kill leaves.
    until("the second attempt is in the store", async || {
        kept_tries(folder.path()) == Some(2)
    })
    .await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    let letter = &dead(&hub, "s", 1).await[0];
    assert_eq!(
        (&letter["event"]["id"], &letter["tries"]),
        (&json!("n-0"), &json!(3)),
        "{letter}"
    );
    assert_eq!(receiver.seen().len(), 3, "attempts are counted over a kill");
}

/// How many attempts the store has for the one delivery that waits for a retry.
fn kept_tries(folder: &Path) -> Option<u32> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(folder.join("data/state.db"), flags).ok()?;
    store.query_row("SELECT tries FROM retry", [], |row| row.get(0)).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_hangs_or_is_away_holds_no_other() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    // Accepts connections (the kernel does) and never answers.
    let hung = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut asked = subscription("n", format!("http://{}/", hung.local_addr().unwrap()));
    asked["config"] = json!({"timeout": "60s", "concurrency": 4});
    hub.put("/v1/subscriptions/hung", &asked).await;
    hub.put(
        "/v1/subscriptions/away",
        &subscription("n", "http://127.0.0.1:9/".to_owned()),
    )
    .await;
    hub.put("/v1/subscriptions/well", &subscription("n", receiver.url("/")))
        .await;
    hub.publish_many("n", 0..500, 100).await;
    receiver.wait_for(500).await;
    settled(&hub, "well").await;
    let status = hub.get("/v1/subscriptions/hung").await["status"].clone();
    assert_eq!(
        (&status["behind"], &status["delivered"]),
        (&json!(500), &json!(0)),
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_address_is_refused_at_once_and_dead_later() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let metadata = subscription("n", "http://169.254.169.254/latest".to_owned());
    let mut hub = HubProcess::start(folder.path()).await;
    let (code, answer) = hub
        .send(Method::PUT, "/v1/subscriptions/s", &[], metadata.to_string())
        .await;
    let problem: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((code, &problem["code"]), (400, &json!("sink_not_allowed")), "{problem}");
    hub.kill().await;
    // Allowed when it was made, and no longer: what the operator takes away is gone for what is there, too.
    let allow = ["--egress-allow", "169.254.169.254/32"];
    let mut hub = HubProcess::start_with(folder.path(), &allow).await;
    hub.put("/v1/subscriptions/s", &metadata).await;
    hub.put("/v1/subscriptions/loop", &subscription("n", receiver.url("/")))
        .await;
    assert_eq!(hub.terminate().await, Some(0));
    let deny = ["--egress-deny", "127.0.0.0/8"];
    let hub = HubProcess::start_with(folder.path(), &deny).await;
    hub.publish_many("n", 0..1, 0).await;
    for (id, says) in [("s", "169.254.169.254"), ("loop", "127.0.0.1")] {
        let letter = &dead(&hub, id, 1).await[0];
        assert_eq!(letter["tries"], 1, "no wait makes it allowed: {letter}");
        assert!(letter["reason"].as_str().unwrap().contains(says), "{letter}");
    }
    assert!(receiver.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_paused_changed_and_deleted_without_loss() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    hub.put("/v1/subscriptions/s", &subscription("n", receiver.url("/first")))
        .await;
    hub.publish_many("n", 0..2, 0).await;
    receiver.wait_for(2).await;
    let paused = hub.post("/v1/subscriptions/s/pause", &Value::Null).await;
    assert_eq!(
        (&paused["state"], &paused["reason"]),
        (&json!("paused"), &json!("requested"))
    );
    hub.publish_many("n", 2..300, 0).await;
    let waiting = |one: &Value| one["status"]["state"] == "paused" && one["status"]["behind"] == 298;
    hub.until("they wait", "/v1/subscriptions/s", waiting).await;
    // A change keeps the place and the pause.
    let changed = hub
        .put("/v1/subscriptions/s", &in_form("n", receiver.url("/second"), "raw"))
        .await;
    assert_eq!(changed["state"], "paused", "{changed}");
    assert_eq!(receiver.seen().len(), 2, "a paused subscription gets nothing");
    hub.post("/v1/subscriptions/s/resume", &Value::Null).await;
    let seen = receiver.wait_for(300).await;
    settled(&hub, "s").await;
    let mut numbers: Vec<u64> = seen
        .iter()
        .filter(|one| one.path == "/second")
        .map(|one| one.json()["n"].as_u64().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..300).collect::<Vec<_>>(), "each once, at the new place");

    let (code, _) = hub.send(Method::DELETE, "/v1/subscriptions/s", &[], "").await;
    assert_eq!(code, 204);
    assert_eq!(hub.send(Method::GET, "/v1/subscriptions/s", &[], "").await.0, 404);
    hub.put("/v1/subscriptions/after", &subscription("n", receiver.url("/after")))
        .await;
    hub.publish_many("n", 300..301, 0).await;
    receiver.wait_for(301).await;
    settled(&hub, "after").await;
    assert_eq!(receiver.seen().len(), 301);
    assert_eq!(receiver.seen()[300].path, "/after");
}
