//! Order within a key, end to end: a sink that fails at random, a filter that is swapped, and kill -9 in the middle.
//!
//! The ledger is the sink's: for each key the events in the order in which it first took them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use crate::support::{Deed, HubProcess, Receiver, marked, place, status, until};

const KEYS: u64 = 6;
const OF_EACH: u64 = 25;
const PART: u64 = KEYS * OF_EACH / 5;

/// What the sink took, by key, in the order in which it first took it; and how often it was asked.
#[derive(Default)]
struct Ledger {
    taken: BTreeMap<u64, Vec<u64>>,
    known: BTreeSet<u64>,
    asked: u64,
}

impl Ledger {
    /// Whether it takes the nth event: two times of three it does not.
    fn takes(&mut self, nth: u64) -> bool {
        self.asked += 1;
        // A number that is as good as any (splitmix64), so that the run is the same each time it is asked the same.
        let mut mixed = self.asked.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let takes = (mixed >> 32) % 3 == 0;
        if takes && self.known.insert(nth) {
            self.taken.entry(nth % KEYS).or_default().push(nth);
        }
        takes
    }
}

async fn publish(hub: &HubProcess, numbers: std::ops::Range<u64>) {
    let event = |n: u64| {
        json!({"specversion": "1.0", "id": n.to_string(), "source": "/order", "type": "n",
            "subject": format!("key-{}", n % KEYS), "data": {"n": n}})
    };
    let batch = Value::Array(numbers.map(event).collect()).to_string();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let (status, _) = hub.send(Method::POST, "/v1/events", &headers, batch).await;
    assert_eq!(status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_arrives_in_order_over_failures_swaps_and_kills() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let book = ledger.clone();
    receiver.answer(move |request| {
        let nth = request.headers["ce-id"].to_str().unwrap().parse().unwrap();
        status(if book.lock().unwrap().takes(nth) { 204 } else { 503 })
    });
    place(folder.path(), "marked", &marked(0, Deed::Sign));
    let mut hub = HubProcess::start(folder.path()).await;
    let subscription = json!({"types": ["n"], "sink": receiver.url("/"), "filters": [{"plugin": {"name": "marked"}}],
        "protocolsettings": {"format": "binary"}, "config": {"schedule": ["20ms..60ms"], "max_attempts": "unlimited",
            "ordering": "key", "concurrency": 8}});
    hub.put("/v1/subscriptions/s", &subscription).await;
    let took = |count: usize| {
        let ledger = ledger.clone();
        async move || ledger.lock().unwrap().known.len() >= count
    };
    for part in 0..5 {
        publish(&hub, part * PART..(part + 1) * PART).await;
        until(
            "some of it is taken",
            took(usize::try_from(part * PART + PART / 3).unwrap()),
        )
        .await;
        match part {
            1 | 3 => {
                hub.kill().await;
                hub = HubProcess::start(folder.path()).await;
            }
            _ => place(
                folder.path(),
                "marked",
                &marked(u32::try_from(part).unwrap() + 1, Deed::Sign),
            ),
        }
    }
    until("all of it is taken", took(usize::try_from(KEYS * OF_EACH).unwrap())).await;
    let taken = ledger.lock().unwrap().taken.clone();
    for (key, numbers) in taken {
        let want: Vec<u64> = (0..OF_EACH).map(|nth| nth * KEYS + key).collect();
        assert_eq!(numbers, want, "key {key}");
    }
    assert_eq!(hub.get("/v1/dead-letters").await["dead_letters"], json!([]));
}
