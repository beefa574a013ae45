//! Ten thousand streams on which nothing happens, and a thousand whose readers stand still: what each costs the hub, and
//! what a reader that keeps up notices of them.
//!
//! The slow ones want every event and read none: what fits into their sockets is theirs, the rest must cost a position.
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
use support::load::{self, connect, send};
use support::{block_on, process, quantile, unix_nanos};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const IDLE: usize = 10_000;
const SLOW: usize = 1_000;
const RATE: u64 = 200;
const SECONDS: u64 = 10;
/// Data of one event: so large that the sockets of the slow are full within seconds.
const DATA: usize = 4_000;

fn main() {
    // A file each, here and there.
    let files = rustix::process::Resource::Nofile;
    let mut limit = rustix::process::getrlimit(files);
    limit.current = limit.maximum;
    rustix::process::setrlimit(files, limit).expect("raise the limit on open files");
    process::serve_role();
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("none"), &[]);
    println!("{RATE} events/s of {DATA} bytes, {SECONDS} s a row; a live reader's time from publish to arrival\n");
    println!(
        "{:<36} {:>9} {:>9} {:>10} {:>14}",
        "", "p50 us", "p99 us", "hub MiB", "KiB a stream"
    );
    block_on(async {
        let mut before = hub.resident();
        let mut row = |name: &str, more: usize, taken: Vec<u64>| {
            let resident = hub.resident();
            println!(
                "{name:<36} {:>9} {:>9} {:>10} {:>14.1}",
                quantile(&taken, 0.5),
                quantile(&taken, 0.99),
                resident >> 20,
                resident.saturating_sub(before) as f64 / 1024.0 / more.max(1) as f64
            );
            before = resident;
        };
        row("one live reader", 1, live(hub.address).await);
        let mut idle = Vec::new();
        for _ in 0..IDLE {
            idle.push(open(hub.address, "/v1/stream?type=never").await);
        }
        row(&format!("and {IDLE} idle streams"), IDLE, live(hub.address).await);
        let mut slow = Vec::new();
        for _ in 0..SLOW {
            slow.push(open(hub.address, "/v1/stream?type=bench").await);
        }
        row(&format!("and {SLOW} that stand still"), SLOW, live(hub.address).await);
        row("the same, later", SLOW, live(hub.address).await);
    });
}

async fn open(hub: SocketAddr, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(hub).await.expect("connect");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {hub}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("ask");
    let mut head = [0; 12];
    socket.read_exact(&mut head).await.expect("an answer");
    assert!(head.ends_with(b"200"), "{}", String::from_utf8_lossy(&head));
    socket
}

/// Publishes for a while; how long each event took to one live reader, microseconds, sorted.
async fn live(hub: SocketAddr) -> Vec<u64> {
    let mut socket = open(hub, "/v1/stream?type=bench&format=raw").await;
    #[allow(clippy::disallowed_methods, reason = "a bench ends with its process")]
    let reader = tokio::spawn(async move {
        let (mut taken, mut bytes) = (Vec::new(), Vec::new());
        while taken.len() < (RATE * SECONDS) as usize {
            let read = tokio::time::timeout(Duration::from_secs(30), socket.read_buf(&mut bytes)).await;
            assert!(
                read.expect("events come").is_ok_and(|read| read > 0),
                "the stream ended"
            );
            let at = unix_nanos();
            while let Some(end) = bytes.windows(2).position(|two| two == b"\n\n") {
                let frame = String::from_utf8_lossy(&bytes[..end]).into_owned();
                bytes.drain(..end + 2);
                let sent = frame
                    .split("\"sent\":")
                    .nth(1)
                    .and_then(|rest| rest.split(',').next()?.parse::<u128>().ok());
                taken.extend(sent.map(|sent| (at.saturating_sub(sent) / 1_000) as u64));
            }
        }
        taken
    });
    let mut sender = connect(hub).await;
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    for _ in 0..RATE * SECONDS {
        tick.tick().await;
        let (id, note) = (support::unique(), "x".repeat(DATA));
        let sent = unix_nanos();
        let body = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/bench","type":"bench","data":{{"sent":{sent},"note":"{note}"}}}}"#
        );
        let request = load::request(
            hub,
            Method::POST,
            "/v1/events",
            "application/cloudevents+json",
            body.into(),
        );
        let (status, answer) = send(&mut sender, request).await;
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    }
    let mut taken = reader.await.expect("the reader");
    taken.sort_unstable();
    taken
}
