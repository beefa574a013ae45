//! SIGTERM while everything is in flight: publishers at work, sinks that never answer, streams open, a plugin that loops,
//! another that is being compiled. The hub ends in its time with code 0; what was accepted is delivered after the next
//! start, and what had been delivered is not delivered again, but for what was in flight when the time was up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{HubProcess, PATIENCE, Receiver, Request, Sse, client, component, generation, place};

/// A sink that takes connections and says nothing; its address, and what it holds.
async fn hung() -> (String, JoinSet<Vec<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let mut holding = JoinSet::new();
    holding.spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
        held
    });
    (format!("http://{address}/"), holding)
}

/// Publishes batches until the hub no longer answers; the numbers that were accepted.
async fn produce(url: String, numbers: Arc<AtomicU64>, safe: Arc<Mutex<Vec<u64>>>) {
    let client = client();
    loop {
        let first = numbers.fetch_add(5, Ordering::Relaxed);
        let event = |n: u64| json!({"specversion": "1.0", "id": n.to_string(), "source": "/load", "type": "n", "data": {"n": n, "do": "pass"}});
        let batch = Value::Array((first..first + 5).map(event).collect()).to_string();
        let request = http::Request::post(&url).header("content-type", "application/cloudevents-batch+json");
        match client
            .send(request.body(batch.into()).unwrap(), PATIENCE, 1 << 20)
            .await
        {
            Ok(answer) if answer.status == 202 => safe.lock().unwrap().extend(first..first + 5),
            Ok(answer) => assert!(matches!(answer.status.as_u16(), 429 | 503), "{}", answer.status),
            Err(_) => return,
        }
    }
}

fn to(sink: &str) -> Value {
    json!({"types": ["n"], "sink": sink, "protocolsettings": {"format": "raw"}, "config": {"timeout": "5m", "schedule": ["50ms"]}})
}

/// How often each number arrived at this path.
fn counts(seen: &[Request], path: &str) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for request in seen.iter().filter(|one| one.path == path) {
        *counts
            .entry(request.json()["n"].as_u64().expect("a number"))
            .or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_with_everything_in_flight_is_in_time_and_loses_nothing() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    place(folder.path(), "misbehave", &component("misbehave"));
    let mut hub = HubProcess::start_with(folder.path(), &["--drain-timeout", "3s"]).await;
    hub.put("/v1/subscriptions/good", &to(&receiver.url("/good"))).await;
    let (silent, _held) = hung().await;
    hub.put("/v1/subscriptions/hung", &to(&silent)).await;
    let mut looping = to(&receiver.url("/looping"));
    looping["filters"] = json!([{"plugin": {"name": "misbehave", "config": {"do": "loop"}}}]);
    looping["types"] = json!(["loop"]);
    hub.put("/v1/subscriptions/looping", &looping).await;
    let mut stream = Sse::open(&hub, "/v1/stream?type=n", &[]).await;

    let (numbers, safe) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
    let mut producers = JoinSet::new();
    for _ in 0..6 {
        producers.spawn(produce(hub.url("/v1/events"), numbers.clone(), safe.clone()));
    }
    hub.publish_many("loop", 0..20, 0).await;
    stream.event().await;
    receiver.wait_for(200).await;
    place(folder.path(), "misbehave", &generation(3));
    hub.signal("TERM");
    assert_eq!(hub.ended().await, Some(0), "{:#?}", hub.log());
    hub.said("\"message\":\"stopped").await;
    producers.join_all().await;

    let safe = safe.lock().unwrap().clone();
    let before = counts(&receiver.seen(), "/good");
    let hub = HubProcess::start(folder.path()).await;
    hub.put("/v1/subscriptions/hung", &to(&receiver.url("/hung"))).await;
    for path in ["/good", "/hung"] {
        let all = |seen: &[Request]| {
            let counts = counts(seen, path);
            safe.iter().all(|n| counts.contains_key(n))
        };
        receiver
            .wait_until(&format!("everything accepted arrived at {path}"), all)
            .await;
    }
    hub.until("it is settled", "/v1/subscriptions/good", |one| {
        one["status"]["behind"] == 0
    })
    .await;
    let after = counts(&receiver.seen(), "/good");
    let twice: Vec<_> = before
        .keys()
        .filter(|n| after.get(n).is_some_and(|count| *count > 1))
        .collect();
    // Where the drain ends before an answer has been taken in, that delivery is made again: what was in flight, no more.
    assert!(
        twice.len() <= 16,
        "delivered before the stop and again after it: {twice:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start_with(folder.path(), &["--drain-timeout", "1h"]).await;
    let (silent, _held) = hung().await;
    hub.put("/v1/subscriptions/hung", &to(&silent)).await;
    hub.publish_many("n", 0..10, 0).await;
    hub.until("it is in flight", "/v1/subscriptions/hung", |one| {
        one["status"]["state"] == "delivering"
    })
    .await;
    hub.signal("TERM");
    hub.said("draining").await;
    hub.signal("TERM");
    assert_eq!(hub.ended().await, Some(130));
    let hub = HubProcess::start(folder.path()).await;
    let (status, _) = hub.send(Method::GET, "/v1/events/10", &[], "").await;
    assert_eq!(status, 200, "what was accepted is there");
}
