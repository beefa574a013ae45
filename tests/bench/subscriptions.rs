//! What an idle subscription costs: memory, disk, the time to make one, and the time of a start with all of them.
//!
//! `BUSWAY_SUBSCRIPTIONS` says how many (100,000 unless told). Each wants a type of its own and has a sink of its own,
//! as tenants have; at the end one of them gets an event, to show that they are alive.
#![allow(missing_docs, reason = "a bench")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints and may stop"
)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use support::load::{connect, once, request, send, wait_count};
use support::{block_on, now, process, thousands};

const CONNECTIONS: usize = 64;

fn main() {
    process::serve_role();
    let count = std::env::var("BUSWAY_SUBSCRIPTIONS").map_or(100_000, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let none = folder.path().join("none");
    let sink = process::peer("sink");
    let hub = process::hub(folder.path(), &none, &["--limits-subscriptions", "10000000"]);
    let (before, begin) = (hub.resident(), now());
    block_on(subscribe(hub.address, sink.address, count));
    let took = begin.elapsed().as_secs_f64();
    let with_all = hub.resident();
    println!(
        "{} subscriptions, each with a type and a sink of its own\n",
        thousands(count as f64)
    );
    println!(
        "made at {} a second, each on disk before its 201",
        thousands(count as f64 / took)
    );
    println!(
        "memory {} to {} MiB: {:.2} KiB a subscription",
        before >> 20,
        with_all >> 20,
        (with_all - before) as f64 / 1024.0 / count as f64
    );
    drop(hub);
    let begin = now();
    let hub = process::hub(folder.path(), &none, &["--limits-subscriptions", "10000000"]);
    println!(
        "started with all of them (after kill -9) in {:.2} s; memory {} MiB; {} MiB on disk",
        begin.elapsed().as_secs_f64(),
        hub.resident() >> 20,
        on_disk(folder.path()) >> 20
    );
    let begin = now();
    block_on(async {
        let event = format!(
            r#"{{"specversion":"1.0","id":"1","source":"/bench","type":"tenant.{}"}}"#,
            count / 2
        );
        let one = request(
            hub.address,
            Method::POST,
            "/v1/events",
            "application/cloudevents+json",
            event.into(),
        );
        let (status, _) = send(&mut connect(hub.address).await, one).await;
        assert!(status.is_success(), "{status}");
        assert_eq!(
            wait_count(sink.address, 1, Duration::from_secs(10)).await,
            1,
            "it arrived"
        );
    });
    println!(
        "an event for one of them: delivered {:.1} ms after it was sent",
        begin.elapsed().as_secs_f64() * 1e3
    );
}

async fn subscribe(hub: std::net::SocketAddr, sink: std::net::SocketAddr, count: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let next = Arc::clone(&next);
        workers.spawn(async move {
            let mut sender = connect(hub).await;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                // What the sink counts is one path; the query makes each URL its own.
                let body = format!(
                    r#"{{"types":["tenant.{n}"],"sink":"http://{sink}/?tenant={n}","protocolsettings":{{"secret":"whsec_{}"}}}}"#,
                    SECRET
                );
                let path = format!("/v1/subscriptions/tenant-{n}");
                let (status, answer) = send(&mut sender, request(hub, Method::PUT, &path, "application/json", body.into())).await;
                assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
            }
        });
    }
    workers.join_all().await;
    let (status, _) = once(hub, Method::GET, "/healthz", "").await;
    assert!(status.is_success(), "{status}");
}

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Bytes of the files in a folder and those below.
fn on_disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(known) if known.is_dir() => on_disk(&entry.path()),
            Ok(known) => known.len(),
            Err(_) => 0,
        })
        .sum()
}
