//! Kill -9 at random moments while producers, a callback and a filter are at work, with a ledger of ids.
//!
//! What must hold after any number of kills: every event that was answered with 202 reaches the callback at least
//! once and stands in the log once, whole; an event that was not answered may or may not be there. Repeats are
//! counted: a kill costs at most what was in flight or not yet in a checkpoint.
//! Rounds: 4, or what `BUSWAY_CRASH_ROUNDS` says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, client, status};

const PRODUCERS: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds: u64 = std::env::var("BUSWAY_CRASH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4);
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start().await;
    let arrived = count_arrivals(&receiver);
    let mut hub = HubProcess::start(folder.path()).await;
    let subscription = json!({"types": ["crash.**"], "sink": receiver.url("/"), "protocolsettings": {"format": "structured"},
        "config": {"schedule": ["100ms"], "max_attempts": 1000}});
    hub.put("/v1/subscriptions/crash", &subscription).await;

    let numbers = Arc::new(AtomicU64::new(0));
    let mut ledger = Vec::new();
    for round in 0..rounds {
        let acknowledged = produce_until_killed(&mut hub, &numbers, round).await;
        assert!(
            !acknowledged.is_empty(),
            "round {round} acknowledged nothing before the kill"
        );
        ledger.extend(acknowledged);
        hub = HubProcess::start(folder.path()).await;
    }

    let due: BTreeSet<String> = ledger.into_iter().collect();
    let all_here = || due.iter().all(|id| arrived.lock().unwrap().contains_key(id));
    receiver
        .wait_until("every acknowledged event arrived", |_| all_here())
        .await;
    let counts = arrived.lock().unwrap().clone();
    let repeats: u64 = counts.values().map(|count| count - 1).sum();
    // A checkpoint every 100 ms and a queue of 1,024: a kill repeats at most what a queue holds.
    assert!(repeats <= rounds * 1_100, "{repeats} repeats in {rounds} rounds");
    println!("{rounds} kills: {} acknowledged, 0 lost, {repeats} repeated", due.len());
    each_stands_in_the_log_once(&hub, &due).await;
}

/// Counts how often each event arrives at the sink, and checks that it came whole.
fn count_arrivals(receiver: &Receiver) -> Arc<Mutex<BTreeMap<String, u64>>> {
    let arrived = Arc::new(Mutex::new(BTreeMap::new()));
    let counts = arrived.clone();
    receiver.answer(move |request| {
        let event = request.json();
        let id = event["id"].as_str().expect("an id").to_owned();
        assert_eq!(event["data"]["check"], json!(id), "an event came whole");
        *counts.lock().unwrap().entry(id).or_default() += 1;
        status(204)
    });
    arrived
}

/// Publishes from several producers and kills the hub in the middle; the ids that were answered with 202.
async fn produce_until_killed(hub: &mut HubProcess, numbers: &Arc<AtomicU64>, round: u64) -> Vec<String> {
    let over = Arc::new(AtomicBool::new(false));
    let enough = 50 + (round * 7919) % 400;
    let answered = Arc::new(AtomicU64::new(0));
    let mut producers = tokio::task::JoinSet::new();
    for _ in 0..PRODUCERS {
        let (url, numbers, over, answered) = (hub.url("/v1/events"), numbers.clone(), over.clone(), answered.clone());
        producers.spawn(async move {
            let client = client();
            let mut acknowledged = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let id = format!("crash-{}", numbers.fetch_add(1, Ordering::Relaxed));
                let event = json!({"specversion": "1.0", "id": id, "source": "/crash", "type": "crash.test", "data": {"check": id}});
                let request = http::Request::post(&url)
                    .header("content-type", "application/cloudevents+json")
                    .body(event.to_string().into())
                    .expect("a request");
                match client.send(request, Duration::from_secs(5), 4096).await {
                    Ok(answer) if answer.status == 202 => {
                        answered.fetch_add(1, Ordering::Relaxed);
                        acknowledged.push(id);
                    }
                    Ok(answer) => panic!("publish answered {}", answer.status),
                    Err(_) => break,
                }
            }
            acknowledged
        });
    }
    while answered.load(Ordering::Relaxed) < enough {
        tokio::task::yield_now().await;
    }
    hub.kill().await;
    over.store(true, Ordering::Relaxed);
    producers.join_all().await.into_iter().flatten().collect()
}

/// Reads the whole log: offsets without holes, every acknowledged id exactly once.
async fn each_stands_in_the_log_once(hub: &HubProcess, due: &BTreeSet<String>) {
    let mut stored: BTreeMap<String, u64> = BTreeMap::new();
    let mut next = 1;
    loop {
        let page: Value = hub.get(&format!("/v1/events?from={next}&limit=500")).await;
        let events = page["events"].as_array().expect("events");
        if events.is_empty() {
            break;
        }
        for record in events {
            assert_eq!(record["offset"].as_u64(), Some(next), "offsets have no holes");
            next += 1;
            *stored
                .entry(record["event"]["id"].as_str().expect("an id").to_owned())
                .or_default() += 1;
        }
    }
    for id in due {
        assert_eq!(stored.get(id), Some(&1), "{id} stands in the log once");
    }
}
