//! Durable publish beside an axum handler that answers 202 and does nothing: 500-byte events, 64 connections.
#![allow(missing_docs, reason = "a bench")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints and may stop"
)]

mod support;

use support::load::{Run, flood};
use support::{block_on, event, median, process, quantile, thousands};

const SINGLE: (&str, &str) = ("/v1/events", "application/cloudevents+json");
const BATCH: (&str, &str) = ("/v1/events", "application/cloudevents-batch+json");
const SECONDS: f64 = 3.0;
const ROUNDS: u64 = 3;

fn main() {
    process::serve_role();
    let folder = tempfile::tempdir().expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("none"), &[]);
    let noop = process::peer("noop");
    println!("durable publish, 500-byte events, 64 connections, {ROUNDS} rounds of {SECONDS} s in turn, medians\n");
    println!(
        "{:<28} {:>12} {:>10} {:>10} {:>8}",
        "", "events/s", "p50 µs", "p99 µs", "ratio"
    );

    let mut singles = (Vec::new(), Vec::new());
    let mut batches = (Vec::new(), Vec::new());
    let mut last: Vec<(&str, Run, u64)> = Vec::new();
    for round in 0..ROUNDS {
        let base = round * 100_000_000;
        let bare = block_on(flood(noop.address, SINGLE, 64, SECONDS, move |n| event(base + n, 500)));
        let ours = block_on(flood(hub.address, SINGLE, 64, SECONDS, move |n| event(base + n, 500)));
        singles.0.push(bare.rate());
        singles.1.push(ours.rate());
        let bare_batch = block_on(flood(noop.address, BATCH, 64, SECONDS, move |n| {
            batch(base + 50_000_000 + n * 100)
        }));
        let ours_batch = block_on(flood(hub.address, BATCH, 64, SECONDS, move |n| {
            batch(base + 50_000_000 + n * 100)
        }));
        batches.0.push(bare_batch.rate() * 100.0);
        batches.1.push(ours_batch.rate() * 100.0);
        last = vec![
            ("axum 202, single", bare, 1),
            ("busway, single", ours, 1),
            ("axum 202, batch of 100", bare_batch, 100),
            ("busway, batch of 100", ours_batch, 100),
        ];
    }
    let (bare, ours) = (median(singles.0), median(singles.1));
    let (bare_batch, ours_batch) = (median(batches.0), median(batches.1));
    let figures = [
        (bare, 1.0),
        (ours, ours / bare),
        (bare_batch, 1.0),
        (ours_batch, ours_batch / bare_batch),
    ];
    for ((name, run, _), (rate, ratio)) in last.iter().zip(figures) {
        let (p50, p99) = (quantile(&run.latencies, 0.5), quantile(&run.latencies, 0.99));
        println!("{name:<28} {:>12} {p50:>10} {p99:>10} {ratio:>8.2}", thousands(rate));
    }
}

fn batch(first: u64) -> Vec<u8> {
    let events: Vec<Vec<u8>> = (first..first + 100).map(|id| event(id, 500)).collect();
    [b"[".as_slice(), &events.join(&b","[..]), b"]"].concat()
}
