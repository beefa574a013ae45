//! More than anybody takes: sinks that answer 503 half of the time, and publishers beyond what the disk keeps up with.
//!
//! The first part is the flood that the nearest rival published: 253 requests a second offered while every sink answers
//! 503 half of the time. What matters is what publishers see (all accepted? how quickly?) and that nothing is lost.
//! The second lets publishers offer ever more than the hub may hold: what is accepted must stay as quick as it was, and
//! the rest be told to come back.
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

use hyper::{Method, StatusCode};
use support::load::{connect, once, request, send, wait_count};
use support::{block_on, event, now, process, quantile, thousands};

const RATE: u64 = 253;
const SECONDS: u64 = 20;
const SINKS: usize = 10;

fn main() {
    process::serve_role();
    block_on(async {
        half_refusing().await;
        beyond().await;
    });
}

/// The rival's flood.
async fn half_refusing() {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("none"), &[]);
    let sinks: Vec<_> = (0..SINKS).map(|_| process::peer("half")).collect();
    for (nth, sink) in sinks.iter().enumerate() {
        let body = format!(
            r#"{{"types":["com.example.**"],"sink":"http://{}/","config":{{"schedule":["1s"],"max_attempts":60}}}}"#,
            sink.address
        );
        let (status, answer) = once(hub.address, Method::PUT, &format!("/v1/subscriptions/s{nth}"), body).await;
        assert!(status.is_success(), "{}", String::from_utf8_lossy(&answer));
    }
    let before = hub.resident();
    let (mut latencies, mut refused) = (Vec::new(), 0);
    let mut sender = connect(hub.address).await;
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    for n in 0..RATE * SECONDS {
        tick.tick().await;
        let at = now();
        let offer = request(
            hub.address,
            Method::POST,
            "/v1/events",
            STRUCTURED,
            event(n, 500).into(),
        );
        match send(&mut sender, offer).await {
            (StatusCode::ACCEPTED, _) => latencies.push(at.elapsed().as_micros() as u64),
            _ => refused += 1,
        }
    }
    let (offered, begin) = (RATE * SECONDS, now());
    for sink in &sinks {
        let seen = wait_count(sink.address, latencies.len() as u64, Duration::from_secs(60)).await;
        assert_eq!(seen, latencies.len() as u64, "every accepted event arrived");
    }
    latencies.sort_unstable();
    println!(
        "{RATE} events/s offered for {SECONDS} s to {SINKS} subscriptions whose sinks answer 503 half of the time"
    );
    println!(
        "offered {offered}, accepted {}, refused {refused}; 202 after p50 {} us, p99 {} us; all {} deliveries made {:.1} s after the last \
         was offered; memory {} to {} MiB\n",
        latencies.len(),
        quantile(&latencies, 0.5),
        quantile(&latencies, 0.99),
        thousands((latencies.len() * SINKS) as f64),
        begin.elapsed().as_secs_f64(),
        before >> 20,
        hub.resident() >> 20,
    );
}

const STRUCTURED: &str = "application/cloudevents+json";

/// Ever more publishers at a hub that may hold 64 appends.
async fn beyond() {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("none"), &["--log-queue", "64"]);
    println!("publishers that come back at once, at a hub that may hold 64 appends (`log.queue`)");
    println!(
        "{:>12} {:>14} {:>12} {:>10} {:>10} {:>10}",
        "publishers", "accepted/s", "refused/s", "p50 us", "p99 us", "MiB"
    );
    for publishers in [32, 64, 128, 512, 2_048] {
        let (mut latencies, refused) = offer(hub.address, publishers).await;
        latencies.sort_unstable();
        println!(
            "{publishers:>12} {:>14} {:>12} {:>10} {:>10} {:>10}",
            thousands(latencies.len() as f64 / LONG),
            thousands(refused as f64 / LONG),
            quantile(&latencies, 0.5),
            quantile(&latencies, 0.99),
            hub.resident() >> 20
        );
    }
}

const LONG: f64 = 3.0;

/// How long accepted publishes took, microseconds, and how many were refused.
async fn offer(hub: SocketAddr, publishers: usize) -> (Vec<u64>, u64) {
    let begin = now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..publishers {
        all.spawn(async move {
            let (mut latencies, mut refused) = (Vec::new(), 0);
            let mut sender = connect(hub).await;
            while begin.elapsed().as_secs_f64() < LONG {
                let body = event(support::unique(), 500);
                let at = now();
                match send(
                    &mut sender,
                    request(hub, Method::POST, "/v1/events", STRUCTURED, body.into()),
                )
                .await
                {
                    (StatusCode::ACCEPTED, _) => latencies.push(at.elapsed().as_micros() as u64),
                    (StatusCode::TOO_MANY_REQUESTS, _) => {
                        refused += 1;
                        // A tenth of what the hub asks for: these are impatient.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    (status, answer) => panic!("{status}: {}", String::from_utf8_lossy(&answer)),
                }
            }
            (latencies, refused)
        });
    }
    let (latencies, refused): (Vec<_>, Vec<_>) = all.join_all().await.into_iter().unzip();
    (latencies.into_iter().flatten().collect(), refused.into_iter().sum())
}
