//! Delivery beside a bare client loop that posts the same bytes to the same sink: one subscription, then a hundred.
//!
//! "From the log": events are published while the subscriptions are paused, and what is timed is from resuming to the
//! last answer; each subscription then reads the log for itself. "Live": from the first publish to the last answer.
#![allow(missing_docs, reason = "a bench")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints and may stop"
)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use support::load::{connect, flood, once, request, send, wait_count};
use support::{block_on, event, median, now, process, thousands};

const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    process::serve_role();
    println!("delivery of 500-byte events to one local sink (structured), {ROUNDS} rounds in turn, medians\n");
    println!("{:<40} {:>14} {:>8}", "", "deliveries/s", "ratio");
    let names = [
        "bare client, 64 connections",
        "busway, 1 subscription, from the log",
        "busway, 100 subscriptions, live",
        "busway, 100 subscriptions, from the log",
    ];
    let mut rates = names.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        let sink = process::peer("sink");
        let bare = flood(sink.address, ("/", "application/cloudevents+json"), 64, 3.0, |n| {
            event(n, 500)
        });
        rates[0].push(block_on(bare).rate());
        rates[1].push(block_on(deliver(1, 100_000, true)));
        rates[2].push(block_on(deliver(100, 1_000, false)));
        rates[3].push(block_on(deliver(100, 1_000, true)));
    }
    let rates = rates.map(median);
    for (name, rate) in names.iter().zip(rates) {
        println!("{name:<40} {:>14} {:>8.2}", thousands(rate), rate / rates[0]);
    }
}

/// Deliveries a second of `events` to each of `subscriptions`, which are live, or paused until all is published.
async fn deliver(subscriptions: usize, events: u64, paused: bool) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("none"), &[]);
    let sink = process::peer("sink");
    let ids = subscribe(hub.address, sink.address, subscriptions).await;
    if paused {
        all(hub.address, &ids, "pause").await;
    }
    let mut begin = now();
    publish(hub.address, events).await;
    if paused {
        begin = now();
        all(hub.address, &ids, "resume").await;
    }
    let expected = events * subscriptions as u64;
    let seen = wait_count(sink.address, expected, PATIENCE).await;
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(seen, expected, "every delivery arrived");
    expected as f64 / seconds
}

/// Publishes so many events in batches.
async fn publish(hub: SocketAddr, events: u64) {
    let mut sender = connect(hub).await;
    for first in (0..events).step_by(1000) {
        let batch: Vec<Vec<u8>> = (first..first + 1000).map(|id| event(id, 500)).collect();
        let body = [b"[".as_slice(), &batch.join(&b","[..]), b"]"].concat();
        let batch = "application/cloudevents-batch+json";
        let request = request(hub, Method::POST, "/v1/events", batch, body.into());
        let (status, answer) = send(&mut sender, request).await;
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    }
}

/// Pauses or resumes all of them.
async fn all(hub: SocketAddr, ids: &[String], what: &str) {
    for id in ids {
        let (status, _) = once(hub, Method::POST, &format!("/v1/subscriptions/{id}/{what}"), "").await;
        assert!(status.is_success(), "{status}");
    }
}

/// Subscriptions to the sink.
async fn subscribe(hub: SocketAddr, sink: SocketAddr, count: usize) -> Vec<String> {
    let concurrency = if count == 1 { 64 } else { 4 };
    let mut ids = Vec::new();
    for n in 0..count {
        let id = format!("bench-{n}");
        let body = format!(
            r#"{{"types":["com.example.**"],"sink":"http://{sink}/","config":{{"concurrency":{concurrency}}}}}"#
        );
        let (status, answer) = once(hub, Method::PUT, &format!("/v1/subscriptions/{id}"), body).await;
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
        ids.push(id);
    }
    ids
}
