//! Swaps under fire: generations that work, dawdle, trap and refuse replace each other while events flow; a ledger says
//! who judged each event, and how often it arrived.
//!
//! `BUSWAY_SWAPS=1000` makes it as long as the product's own promise; the suite makes fewer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Deed, HubProcess, client, mark, marked, place, until};

/// Events a second, and how many at once.
const RATE: u64 = 2_000;
const BATCH: u64 = 20;

/// What arrived: how often, and whose mark it bore last.
type Ledger = Arc<Mutex<BTreeMap<u64, (u32, String)>>>;

async fn note(State(ledger): State<Ledger>, headers: HeaderMap, body: String) -> StatusCode {
    let id = headers["ce-id"].to_str().expect("an id").parse().expect("a number");
    let mut ledger = ledger.lock().unwrap();
    let entry = ledger.entry(id).or_insert((0, String::new()));
    *entry = (entry.0 + 1, body);
    StatusCode::NO_CONTENT
}

/// A sink that keeps the ledger; its address.
async fn sink(ledger: Ledger) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let router = Router::new().fallback(note).with_state(ledger);
    #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
    format!("http://{address}/")
}

/// Publishes at the rate until told to stop. For each batch: the number of swaps that were known to be live before it.
async fn fire(events: String, epoch: watch::Receiver<u32>, stop: watch::Receiver<bool>) -> Vec<u32> {
    let client = client();
    let mut pace = tokio::time::interval(Duration::from_millis(1000 * BATCH / RATE));
    let mut epochs = Vec::new();
    while !*stop.borrow() {
        pace.tick().await;
        let known = *epoch.borrow();
        let first = epochs.len() as u64 * BATCH;
        let event =
            |id: u64| json!({"specversion": "1.0", "id": id.to_string(), "source": "/fire", "type": "n", "data": {}});
        let batch = Value::Array((first..first + BATCH).map(event).collect()).to_string();
        let request = http::Request::post(&events)
            .header("content-type", "application/cloudevents-batch+json")
            .body(batch.into())
            .expect("a request");
        let answer = client
            .send(request, Duration::from_secs(60), 1 << 20)
            .await
            .expect("an answer");
        assert_eq!(answer.status, 202);
        epochs.push(known);
    }
    epochs
}

/// What the nth swap puts in place.
fn deed(nth: u32) -> Deed {
    match nth % 10 {
        3 => Deed::Dawdle,
        5 => Deed::Refuse,
        8 => Deed::Trap,
        _ => Deed::Sign,
    }
}

/// Swaps once, and waits for what must come of it. The mark that serves then.
async fn swap(hub: &HubProcess, folder: &Path, (nth, serving): (u32, u32)) -> u32 {
    let before = hub.get("/v1/plugins/marked").await;
    place(folder, "marked", &marked(nth, deed(nth)));
    let moved = |page: &Value| page["digest"] != before["digest"];
    let page = "/v1/plugins/marked";
    match deed(nth) {
        Deed::Sign | Deed::Dawdle => {
            hub.until("the new generation is live", page, |page| {
                page["state"] == "active" && moved(page)
            })
            .await;
            nth
        }
        Deed::Refuse => {
            let refused = |page: &Value| {
                page["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains("describe"))
            };
            hub.until("it is refused", page, refused).await;
            serving
        }
        // It goes live, fails, and the one before it takes over again.
        Deed::Trap => {
            let back = |page: &Value| {
                page["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains("rolled back"))
            };
            hub.until("it is rolled back", page, back).await;
            serving
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generations_that_work_dawdle_trap_and_refuse_lose_nothing_and_repeat_nothing() {
    let swaps: u32 = std::env::var("BUSWAY_SWAPS").map_or(30, |count| count.parse().expect("BUSWAY_SWAPS: a number"));
    let (folder, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    place(folder.path(), "marked", &marked(0, Deed::Sign));
    std::fs::write(
        folder.path().join("busway.toml"),
        "[plugins.marked]\nrollback = { window = \"1m\", calls = 20, failures = 0.5 }\n",
    )
    .unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let subscription = json!({"types": ["n"], "sink": sink(ledger.clone()).await, "filters": [{"plugin": {"name": "marked"}}],
        "protocolsettings": {"format": "binary"}, "config": {"schedule": ["100ms"], "max_attempts": 100, "concurrency": 64}});
    hub.put("/v1/subscriptions/s", &subscription).await;

    let (epoch, known) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    #[allow(clippy::disallowed_methods, reason = "joined below")]
    let publisher = tokio::spawn(fire(hub.url("/v1/events"), known, stopped));
    let mut live = vec![0];
    for nth in 1..=swaps {
        let serving = *live.last().unwrap();
        live.push(swap(&hub, folder.path(), (nth, serving)).await);
        // From here on the publisher knows that this swap is done.
        epoch.send(nth).unwrap();
    }
    stop.send(true).unwrap();
    let epochs = publisher.await.expect("the publisher");
    let due = epochs.len() * BATCH as usize;
    until("everything has arrived", async || ledger.lock().unwrap().len() == due).await;
    hub.until("it has settled everything", "/v1/subscriptions/s", |one| {
        one["status"]["behind"] == 0
    })
    .await;

    let arrived = ledger.lock().unwrap();
    let repeated: Vec<_> = arrived.iter().filter(|(_, (count, _))| *count != 1).take(5).collect();
    assert!(repeated.is_empty(), "more than once: {repeated:?}");
    let marks: Vec<String> = live.iter().map(|number| mark(*number)).collect();
    let stale: Vec<_> = arrived
        .iter()
        .filter(|(id, (_, judge))| {
            let swapped = epochs[usize::try_from(**id / BATCH).unwrap()];
            !marks[swapped as usize..].contains(judge)
        })
        .take(5)
        .collect();
    assert!(
        stale.is_empty(),
        "judged by who was swapped out before they were published: {stale:?}"
    );
    println!("{swaps} swaps, {due} events: none lost, none repeated, none judged by the past");
}
