//! Durable publish beside an axum handler that answers 202 and does nothing: 500-byte events, 64 connections.
//!
//! A second hub keeps its store in memory: what it lacks to the bare handler is the hub's own work, what the first
//! lacks to it is the disk's.
#![allow(missing_docs, reason = "a bench")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench prints and may stop"
)]

mod support;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use support::load::flood;
use support::{block_on, event, median, now, process, quantile, thousands};

const SINGLE: (&str, &str) = ("/v1/events", "application/cloudevents+json");
const BATCH: (&str, &str) = ("/v1/events", "application/cloudevents-batch+json");
const SECONDS: f64 = 3.0;
const ROUNDS: u64 = 3;

fn main() {
    process::serve_role();
    let (disk, memory) = (folder("."), folder("/dev/shm"));
    let hub = process::hub(disk.path(), &disk.path().join("none"), &[]);
    let unsynced = process::hub(memory.path(), &memory.path().join("none"), &[]);
    let noop = process::peer("noop");
    println!("durable publish, 500-byte events, 64 connections, {ROUNDS} rounds of {SECONDS} s in turn, medians");
    println!(
        "the disk syncs 40 KB in {} µs (median); no commit is quicker than that\n",
        sync_micros(disk.path())
    );
    println!(
        "{:<38} {:>12} {:>10} {:>10} {:>8}",
        "", "events/s", "p50 µs", "p99 µs", "ratio"
    );
    compare(
        SINGLE,
        1,
        &[
            ("axum 202", noop.address),
            ("busway", hub.address),
            ("busway, no disk wait", unsynced.address),
        ],
    );
    compare(
        BATCH,
        100,
        &[
            ("axum 202", noop.address),
            ("busway", hub.address),
            ("busway, no disk wait", unsynced.address),
        ],
    );
}

/// Floods each peer in turn with requests of `events` events, and prints a row each.
fn compare(target: (&'static str, &'static str), events: u64, peers: &[(&str, SocketAddr)]) {
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    let mut quantiles = vec![(0, 0); peers.len()];
    for round in 0..ROUNDS {
        let base = round * 1_000_000_000 + events * 100_000_000_000;
        for (nth, (_, address)) in peers.iter().enumerate() {
            let run = block_on(flood(*address, target, 64, SECONDS, move |n| match events {
                1 => event(base + n, 500),
                many => batch(base + n * many, many),
            }));
            rates[nth].push(run.rate() * events as f64);
            quantiles[nth] = (quantile(&run.latencies, 0.5), quantile(&run.latencies, 0.99));
        }
    }
    let rates: Vec<f64> = rates.into_iter().map(median).collect();
    for (((name, _), rate), (p50, p99)) in peers.iter().zip(&rates).zip(quantiles) {
        let name = format!(
            "{name}, {}",
            if events == 1 {
                "single".to_owned()
            } else {
                format!("batches of {events}")
            }
        );
        println!(
            "{name:<38} {:>12} {p50:>10} {p99:>10} {:>8.2}",
            thousands(*rate),
            rate / rates[0]
        );
    }
}

/// A temporary folder in `parent`, or anywhere if that is not there.
fn folder(parent: &str) -> tempfile::TempDir {
    tempfile::tempdir_in(parent)
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// What the disk takes to make one commit's worth of bytes durable.
fn sync_micros(folder: &Path) -> u64 {
    let mut file = std::fs::File::create(folder.join("sync")).expect("a file");
    let took: Vec<f64> = (0..200)
        .map(|_| {
            file.write_all(&[b'x'; 40 << 10]).expect("write");
            let begin = now();
            file.sync_data().expect("sync");
            begin.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    median(took) as u64
}

fn batch(first: u64, count: u64) -> Vec<u8> {
    let events: Vec<Vec<u8>> = (first..first + count).map(|id| event(id, 500)).collect();
    [b"[".as_slice(), &events.join(&b","[..]), b"]"].concat()
}
