//! Delivery beside a bare client loop that posts the same bytes to the same sink: one subscription, then a hundred.
//!
//! Events are published while the subscriptions are paused, then resumed: what is timed is delivery alone, from the
//! log to the last answer.
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
    println!("{:<34} {:>14} {:>8}", "", "deliveries/s", "ratio");
    let mut bare = Vec::new();
    let mut one = Vec::new();
    let mut hundred = Vec::new();
    for _ in 0..ROUNDS {
        let sink = process::peer("sink");
        bare.push(
            block_on(flood(
                sink.address,
                ("/", "application/cloudevents+json"),
                64,
                3.0,
                |n| event(n, 500),
            ))
            .rate(),
        );
        one.push(block_on(deliver(1, 100_000)));
        hundred.push(block_on(deliver(100, 1_000)));
    }
    let (bare, one, hundred) = (median(bare), median(one), median(hundred));
    println!(
        "{:<34} {:>14} {:>8.2}",
        "bare client, 64 connections",
        thousands(bare),
        1.0
    );
    println!(
        "{:<34} {:>14} {:>8.2}",
        "busway, 1 subscription",
        thousands(one),
        one / bare
    );
    println!(
        "{:<34} {:>14} {:>8.2}",
        "busway, 100 subscriptions",
        thousands(hundred),
        hundred / bare
    );
}

/// Deliveries a second of `events` to each of `subscriptions`.
async fn deliver(subscriptions: usize, events: u64) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("none"), &[]);
    let sink = process::peer("sink");
    let ids = subscribe(hub.address, sink.address, subscriptions).await;
    let mut sender = connect(hub.address).await;
    for first in (0..events).step_by(1000) {
        let batch: Vec<Vec<u8>> = (first..first + 1000).map(|id| event(id, 500)).collect();
        let body = [b"[".as_slice(), &batch.join(&b","[..]), b"]"].concat();
        let publish = request(
            hub.address,
            Method::POST,
            "/v1/events",
            "application/cloudevents-batch+json",
            body.into(),
        );
        let (status, answer) = send(&mut sender, publish).await;
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    }
    let begin = now();
    for id in &ids {
        once(hub.address, Method::POST, &format!("/v1/subscriptions/{id}/resume"), "").await;
    }
    let expected = events * subscriptions as u64;
    let seen = wait_count(sink.address, expected, PATIENCE).await;
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(seen, expected, "every delivery arrived");
    expected as f64 / seconds
}

/// Paused subscriptions to the sink.
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
        let (status, _) = once(hub, Method::POST, &format!("/v1/subscriptions/{id}/pause"), "").await;
        assert!(status.is_success(), "{status}");
        ids.push(id);
    }
    ids
}
