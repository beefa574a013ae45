//! What bad plugins cost the others: end-to-end times of a good subscription's events, alone and beside a pack of guests
//! that loop, hoard, recurse, trap, flood the log and answer hugely, in turn in one run.
//!
//! The hub's memory is shown too: it must not grow with the pack's work.
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
use std::path::Path;
use std::time::Duration;

use hyper::Method;
use support::load::{connect, once, request, send};
use support::{block_on, median, process, quantile, unix_nanos};

/// Events a second for the good subscription, and for each of the pack.
const RATE: u64 = 500;
const BAD_RATE: u64 = 20;
const SECONDS: u64 = 4;
const ROUNDS: usize = 5;
/// What the pack does.
const FILTERS: &[&str] = &[
    "loop",
    "hoard",
    "recurse",
    "trap",
    "panic",
    "error",
    "huge-replace",
    "huge-drop",
    "huge-log",
    "flood",
];
const NOTIFIERS: &[&str] = &["loop", "panic", "sleep", "fail-retry"];

fn main() {
    process::serve_role();
    let folder = tempfile::tempdir().expect("a folder");
    let plugins = folder.path().join("plugins");
    for source in [
        "plugins/filter-threshold",
        "tests/guests/misbehave",
        "tests/guests/misbehave-notifier",
    ] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        busway::devkit::build(&source, Some(&plugins), &mut |_| {}).expect("build a guest");
    }
    let hub = process::hub(folder.path(), &plugins, &[]);
    let sink = process::peer("clock");
    block_on(run(&hub, sink.address));
}

async fn run(hub: &process::Process, sink: SocketAddr) {
    let good = format!(
        r#"{{"types":["good"],"sink":"http://{sink}/","protocolsettings":{{"format":"binary"}},
        "filters":[{{"plugin":{{"name":"filter-threshold","config":{{"pointer":"/n","min":0}}}}}}]}}"#
    );
    put(hub.address, "good", good).await;
    for deed in FILTERS {
        let body = format!(
            r#"{{"types":["bad"],"sink":"http://{sink}/","filters":[{{"plugin":{{"name":"misbehave","config":{{"do":"{deed}"}}}}}}],
            "config":{{"schedule":["1s"],"max_attempts":2}}}}"#
        );
        put(hub.address, &format!("filter-{deed}"), body).await;
    }
    for deed in NOTIFIERS {
        let body = format!(
            r#"{{"types":["bad"],"protocol":"misbehave-notifier","protocolsettings":{{"do":"{deed}","ms":60000}},
            "config":{{"schedule":["1s"],"max_attempts":2}}}}"#
        );
        put(hub.address, &format!("notifier-{deed}"), body).await;
    }
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    let (mut early, mut late) = (0, 0);
    for round in 0..ROUNDS {
        pack(hub.address, "pause").await;
        quiet.push(times(hub.address, sink, 0).await);
        pack(hub.address, "resume").await;
        beside.push(times(hub.address, sink, BAD_RATE).await);
        late = hub.resident();
        if round == 0 {
            early = late;
        }
    }
    println!(
        "{RATE} events/s through a filter to a sink, {ROUNDS} rounds of {SECONDS} s in turn, medians of the rounds"
    );
    println!(
        "the pack: {} subscriptions, {BAD_RATE} events/s each\n",
        FILTERS.len() + NOTIFIERS.len()
    );
    println!("{:>8} {:>12} {:>16} {:>8}", "", "alone", "beside the pack", "ratio");
    for (nth, name) in ["p50", "p99"].iter().enumerate() {
        let of = |rounds: &[[u64; 2]]| median(rounds.iter().map(|round| round[nth] as f64).collect());
        let (alone, crowded) = (of(&quiet), of(&beside));
        println!("{name:>8} {alone:>9.0} us {crowded:>13.0} us {:>8.2}", crowded / alone);
    }
    println!(
        "\nresident memory: {} MiB after the first round, {} MiB after the last",
        early >> 20,
        late >> 20
    );
}

async fn put(hub: SocketAddr, id: &str, body: String) {
    let (status, answer) = once(hub, Method::PUT, &format!("/v1/subscriptions/{id}"), body).await;
    assert!(
        status.is_success(),
        "{id}: {status}: {}",
        String::from_utf8_lossy(&answer)
    );
}

async fn pack(hub: SocketAddr, what: &str) {
    let filters = FILTERS.iter().map(|deed| format!("filter-{deed}"));
    for id in filters.chain(NOTIFIERS.iter().map(|deed| format!("notifier-{deed}"))) {
        let (status, _) = once(hub, Method::POST, &format!("/v1/subscriptions/{id}/{what}"), "").await;
        assert!(status.is_success(), "{id}: {status}");
    }
}

/// Publishes for a while; the p50 and the p99 of what arrived at the good sink, microseconds.
async fn times(hub: SocketAddr, sink: SocketAddr, bad: u64) -> [u64; 2] {
    let mut sender = connect(hub).await;
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    for n in 0..RATE * SECONDS {
        tick.tick().await;
        let ty = if bad > 0 && n % (RATE / bad) == 0 {
            "bad"
        } else {
            "good"
        };
        let sent = unix_nanos();
        let body = format!(
            r#"{{"specversion":"1.0","id":"{sent}","source":"/bench","type":"{ty}","sent":"{sent}","data":{{"n":{n}}}}}"#
        );
        let publish = request(
            hub,
            Method::POST,
            "/v1/events",
            "application/cloudevents+json",
            body.into(),
        );
        let (status, answer) = send(&mut sender, publish).await;
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_, taken) = once(sink, Method::GET, "/taken", "").await;
    let taken: Vec<u64> = serde_json::from_slice(&taken).expect("times");
    assert!(!taken.is_empty(), "nothing arrived");
    [quantile(&taken, 0.5), quantile(&taken, 0.99)]
}
