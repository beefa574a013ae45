//! From a publisher's send to the sink that has the event, at 20, 50 and 90 % of what the hub can carry.
//!
//! The most it can carry is found first: publishers as fast as answers come, one subscription, until the sink has all.
//! Then events come at a steady pace, whether the hub keeps up or not: one that had to wait for its connection counts
//! from when it was due, so that a stall shows in every event that it held up. Publishers and sink share the two cores
//! with the hub.
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
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use support::load::{connect, once, request, send};
use support::{block_on, median, now, process, quantile, thousands, unix_nanos};

const CONNECTIONS: u64 = 64;
const SECONDS: f64 = 5.0;
const ROUNDS: usize = 3;
const SHARES: [f64; 3] = [0.2, 0.5, 0.9];

fn main() {
    process::serve_role();
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("none"), &[]);
    let sink = process::peer("clock");
    block_on(run(hub.address, sink.address));
}

async fn run(hub: SocketAddr, sink: SocketAddr) {
    let subscription = format!(
        r#"{{"types":["bench"],"sink":"http://{sink}/","protocolsettings":{{"format":"binary"}},"config":{{"concurrency":64}}}}"#
    );
    let (status, answer) = once(hub, Method::PUT, "/v1/subscriptions/bench", subscription).await;
    assert!(status.is_success(), "{}", String::from_utf8_lossy(&answer));
    let mut most = Vec::new();
    for _ in 0..ROUNDS {
        most.push(saturate(hub, sink).await);
    }
    let most = median(most);
    println!("publish (durable) to delivered, 500-byte events, {CONNECTIONS} connections, one subscription");
    println!("the most: {} events/s\n", thousands(most));
    println!(
        "{:>10} {:>12} {:>10} {:>10} {:>10} {:>10}",
        "load", "events/s", "p50 us", "p99 us", "p99.9 us", "max us"
    );
    for share in SHARES {
        let mut taken = Vec::new();
        for _ in 0..ROUNDS {
            taken.extend(steady(hub, sink, most * share).await);
        }
        taken.sort_unstable();
        let at = |fraction| quantile(&taken, fraction);
        println!(
            "{:>9.0}% {:>12} {:>10} {:>10} {:>10} {:>10}",
            share * 100.0,
            thousands(most * share),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}

/// Events a second, from the first publish until the sink has the last.
async fn saturate(hub: SocketAddr, sink: SocketAddr) -> f64 {
    let (begin, count) = (now(), Arc::new(AtomicU64::new(0)));
    let mut publishers = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let count = Arc::clone(&count);
        publishers.spawn(async move {
            let mut sender = connect(hub).await;
            while begin.elapsed().as_secs_f64() < SECONDS {
                publish(&mut sender, hub, unix_nanos()).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    publishers.join_all().await;
    let published = count.load(Ordering::Relaxed);
    taken(sink, published).await;
    published as f64 / begin.elapsed().as_secs_f64()
}

/// How long each event took at this pace, microseconds.
async fn steady(hub: SocketAddr, sink: SocketAddr, rate: f64) -> Vec<u64> {
    let (begin, total) = (tokio::time::Instant::now(), (rate * SECONDS) as u64);
    let began = unix_nanos();
    let mut publishers = tokio::task::JoinSet::new();
    for first in 0..CONNECTIONS {
        publishers.spawn(async move {
            let mut sender = connect(hub).await;
            for n in (first..total).step_by(CONNECTIONS as usize) {
                let after = Duration::from_secs_f64(n as f64 / rate);
                let late = begin.elapsed() > after;
                tokio::time::sleep_until(begin + after).await;
                let sent = if late { began + after.as_nanos() } else { unix_nanos() };
                publish(&mut sender, hub, sent).await;
            }
        });
    }
    publishers.join_all().await;
    taken(sink, total).await
}

type Sender = hyper::client::conn::http1::SendRequest<http_body_util::Full<bytes::Bytes>>;

async fn publish(sender: &mut Sender, hub: SocketAddr, sent: u128) {
    let id = support::unique();
    let mut body = format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/bench","type":"bench","sent":"{sent}","datacontenttype":"application/json","data":{{"note":""#
    )
    .into_bytes();
    body.resize(497, b'x');
    body.extend_from_slice(b"\"}}");
    let request = request(
        hub,
        Method::POST,
        "/v1/events",
        "application/cloudevents+json",
        body.into(),
    );
    let (status, answer) = send(sender, request).await;
    assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
}

/// The times of so many events, once the sink has them all.
async fn taken(sink: SocketAddr, expected: u64) -> Vec<u64> {
    let (mut all, since) = (Vec::new(), now());
    while (all.len() as u64) < expected {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "{} of {expected} arrived",
            all.len()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (_, some) = once(sink, Method::GET, "/taken", "").await;
        all.extend(serde_json::from_slice::<Vec<u64>>(&some).expect("times"));
    }
    assert_eq!(all.len() as u64, expected, "each arrived once");
    all
}
