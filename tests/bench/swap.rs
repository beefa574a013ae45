//! Swapping a filter under 2,000 events/s: from the file in place to the new generation answering, and the ledger.
//!
//! The new file is the old one with a custom section added: another digest, so a whole swap (settle, hash, compile,
//! probe, trial), while verdicts stay comparable. What is counted: every event is delivered exactly once or filtered.
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
use support::load::{connect, once, request, send, wait_count};
use support::{block_on, event, median, now, process};

const SWAPS: u32 = 10;
const RATE: u64 = 2_000;
const CONFIG: &str = r#"{"pointer":"/amount","min":500}"#;

fn main() {
    process::serve_role();
    let folder = tempfile::tempdir().expect("a folder");
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins).expect("plugin folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/filter-threshold");
    let component = busway::devkit::build(&source, Some(folder.path()), &mut |_| {}).expect("build the filter");
    let component = std::fs::read(component).expect("the component");
    put(&plugins, &component, 0);
    let hub = process::hub(folder.path(), &plugins, &[]);
    let sink = process::peer("sink");
    block_on(run(hub.address, sink.address, &plugins, &component));
}

async fn run(hub: SocketAddr, sink: SocketAddr, plugins: &Path, component: &[u8]) {
    let body = format!(
        r#"{{"types":["com.example.**"],"sink":"http://{sink}/","filters":[{{"plugin":{{"name":"filter-threshold","config":{CONFIG}}}}}],"config":{{"concurrency":64}}}}"#
    );
    let (status, answer) = once(hub, Method::PUT, "/v1/subscriptions/swap", body).await;
    assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));

    let (stop, stopped) = tokio::sync::watch::channel(false);
    #[allow(clippy::disallowed_methods, reason = "a bench ends with its process")]
    let publisher = tokio::spawn(publish(hub, stopped));
    let mut taken = Vec::new();
    for swap in 1..=SWAPS {
        let before = generation(hub).await;
        let begin = now();
        put(plugins, component, swap);
        while generation(hub).await == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        taken.push(begin.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stop.send(true).expect("tell the publisher");
    let published = publisher.await.expect("publisher");
    // amount is n % 1000, and 500 and more pass.
    let passing = (0..published).filter(|n| n % 1000 >= 500).count() as u64;
    let seen = wait_count(sink, passing, Duration::from_secs(10)).await;
    let errors = plugin(hub).await["errors"].as_u64().unwrap_or(u64::MAX);
    let worst = taken.iter().copied().fold(0.0, f64::max);
    println!("{SWAPS} swaps of a filter under {RATE} events/s");
    println!(
        "  file in place to the new generation answering: median {:.0} ms, worst {worst:.0} ms",
        median(taken)
    );
    println!(
        "  published {published}, due {passing}, delivered {seen}, lost {}, calls failed by a swap {errors}",
        passing.saturating_sub(seen)
    );
    assert_eq!((seen, errors), (passing, 0), "the ledger closes");
}

/// Publishes at the rate until told to stop; how many.
async fn publish(hub: SocketAddr, stop: tokio::sync::watch::Receiver<bool>) -> u64 {
    let mut sender = connect(hub).await;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut published = 0;
    while !*stop.borrow() {
        tick.tick().await;
        let next = published + RATE / 100;
        let batch: Vec<Vec<u8>> = (published..next).map(|id| event(id, 500)).collect();
        let body = [b"[".as_slice(), &batch.join(&b","[..]), b"]"].concat();
        let publish = request(
            hub,
            Method::POST,
            "/v1/events",
            "application/cloudevents-batch+json",
            body.into(),
        );
        let (status, answer) = send(&mut sender, publish).await;
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
        published = next;
    }
    published
}

async fn plugin(hub: SocketAddr) -> serde_json::Value {
    let (_, body) = once(hub, Method::GET, "/v1/plugins/filter-threshold", "").await;
    serde_json::from_slice(&body).expect("JSON")
}

async fn generation(hub: SocketAddr) -> u64 {
    plugin(hub).await["generation"].as_u64().unwrap_or(0)
}

/// Puts version `n` in place, as an editor of good manners does: written beside, then renamed.
fn put(plugins: &Path, component: &[u8], n: u32) {
    let name = format!("v{n}");
    let length = u8::try_from(name.len()).expect("short");
    let mut bytes = component.to_vec();
    bytes.extend_from_slice(&[0, length + 1, length]);
    bytes.extend_from_slice(name.as_bytes());
    std::fs::write(plugins.join("next.tmp"), bytes).expect("write");
    std::fs::rename(plugins.join("next.tmp"), plugins.join("filter-threshold.wasm")).expect("rename");
}
