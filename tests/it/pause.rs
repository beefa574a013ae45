//! Pause and resume under load, over restarts and kills, with deliveries in flight: a ledger of ids.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, client, status};

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_loses_nothing_under_load_over_a_stop_and_a_kill() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    let one =
        json!({"types": ["load"], "sink": receiver.url("/s"), "config": {"schedule": ["50ms"], "max_attempts": 1000}});
    hub.put("/v1/subscriptions/s", &one).await;
    // One in five fails the first time: retries wait while it is paused.
    let turn = AtomicU64::new(0);
    receiver.answer(move |_| {
        status(if turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(5) {
            503
        } else {
            204
        })
    });
    let (numbers, mut due) = (Arc::new(AtomicU64::new(0)), BTreeSet::new());
    for round in 0..4 {
        let (over, producing) = produce(&hub, &numbers);
        let sofar = receiver.seen().len();
        receiver.wait_for(sofar + 30).await;
        hub.post("/v1/subscriptions/s/pause", &Value::Null).await;
        hub.until("it is paused, and nothing is in flight", "/v1/subscriptions/s", |s| {
            s["status"]["state"] == "paused"
        })
        .await;
        let more = numbers.load(Ordering::Relaxed) + 30;
        crate::support::until("events come while it is paused", async || {
            numbers.load(Ordering::Relaxed) >= more
        })
        .await;
        over.store(true, Ordering::Relaxed);
        due.extend(producing.await.expect("the producer"));
        match round {
            1 => assert_eq!(hub.terminate().await, Some(0)),
            2 => hub.kill().await,
            _ => {}
        }
        if matches!(round, 1 | 2) {
            hub = HubProcess::start(folder.path()).await;
            let still = hub.get("/v1/subscriptions/s").await;
            assert_eq!(still["state"], "paused", "a pause outlives the hub");
        }
        hub.post("/v1/subscriptions/s/resume", &Value::Null).await;
    }
    let all = |seen: &[Request]| due.is_subset(&seen.iter().map(event_id).collect());
    receiver.wait_until("every acknowledged event arrived", all).await;
    let idle = |s: &Value| s["status"]["behind"] == 0 && s["status"]["retrying"] == 0;
    hub.until("nothing is left", "/v1/subscriptions/s", idle).await;
}

fn event_id(request: &Request) -> String {
    request.json()["id"].as_str().unwrap().to_owned()
}

/// Publishes one event after the other until told to end; the ids that were acknowledged.
fn produce(hub: &HubProcess, numbers: &Arc<AtomicU64>) -> (Arc<AtomicBool>, tokio::task::JoinHandle<Vec<String>>) {
    let over = Arc::new(AtomicBool::new(false));
    let (url, numbers, until) = (hub.url("/v1/events"), numbers.clone(), over.clone());
    #[allow(clippy::disallowed_methods, reason = "joined by the test")]
    let producing = tokio::spawn(async move {
        let (client, mut acknowledged) = (client(), Vec::new());
        while !until.load(Ordering::Relaxed) {
            let id = format!("load-{}", numbers.fetch_add(1, Ordering::Relaxed));
            let event = json!({"specversion": "1.0", "id": id, "source": "/load", "type": "load", "data": 1});
            let request = http::Request::post(&url)
                .header("content-type", "application/cloudevents+json")
                .body(event.to_string().into())
                .expect("a request");
            let answer = client
                .send(request, crate::support::PATIENCE, 4_096)
                .await
                .expect("an answer");
            assert_eq!(answer.status, 202);
            acknowledged.push(id);
        }
        acknowledged
    });
    (over, producing)
}
