//! A thousand server-sent event streams and a thousand WebSockets, each with a filter, at 200 events a second: from
//! the publisher's send to the listener's read, and what a listener costs the hub.
//!
//! Half of the WebSockets are `/v1/stream`, half Docker Cloud's. Each listener marks every event that it gets: one that
//! is missing, twice, or not asked for ends the bench. Listeners and publisher share the two cores with the hub, so the
//! hub's own CPU time is told too. In the last row nobody filters, which is 400,000 events a second out.
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
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::Method;
use support::{block_on, load, now, process, quantile, thousands};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SSE: usize = 1_000;
const WEBSOCKETS: usize = 1_000;
const KINDS: usize = 20;
const RATE: u64 = 200;
const SECONDS: u64 = 10;
const EVENTS: usize = (RATE * SECONDS) as usize;
/// Connections that publish, so that one slow commit does not hold the pace.
const PUBLISHERS: u64 = 8;

fn main() {
    process::serve_role();
    println!(
        "{SSE} SSE and {WEBSOCKETS} WebSocket listeners, {RATE} events of 500 bytes a second for {SECONDS} s; memory of the hub before, \
         with all listeners, and after\n"
    );
    println!(
        "{:<24} {:>11} {:>9} {:>9} {:>9} {:>9} {:>20} {:>14}",
        "each listener wants", "events/s out", "p50 ms", "p99 ms", "max ms", "hub CPU", "RSS MiB", "KiB a listener"
    );
    for kinds in [1, 5, KINDS] {
        measure(kinds);
    }
}

/// One row: every listener wants `kinds` of the kinds.
fn measure(kinds: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("none"), &[]);
    let before = hub.resident();
    block_on(async {
        // The bus begins with its first event.
        let first = load::request(
            hub.address,
            Method::POST,
            "/v1/events",
            STRUCTURED,
            event(EVENTS, usize::MAX).into(),
        );
        let _ = load::send(&mut load::connect(hub.address).await, first).await;
        let run = Arc::new(Run::new());
        let mut listeners = tokio::task::JoinSet::new();
        for nth in 0..SSE + WEBSOCKETS {
            let listener = Listener::open(hub.address, nth, kinds).await;
            listeners.spawn(listener.listen(Arc::clone(&run)));
        }
        let (with_all, ticks, begin) = (hub.resident(), hub.cpu_ticks(), now());
        publish(hub.address, &run).await;
        let expected = (SSE + WEBSOCKETS) * kinds * EVENTS / KINDS;
        while run.received.load(Ordering::Relaxed) < expected && begin.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = begin.elapsed().as_secs_f64();
        let received = run.received.load(Ordering::Relaxed);
        assert_eq!(
            received, expected,
            "events are missing, or came to who did not ask for them"
        );
        let cpu = (hub.cpu_ticks() - ticks) as f64 / 100.0 / took;
        let mut latencies = std::mem::take(&mut *run.latencies.lock().expect("latencies"));
        latencies.sort_unstable();
        let (mib, ms) = (
            |bytes: u64| bytes as f64 / (1 << 20) as f64,
            |at: f64| quantile(&latencies, at) as f64 / 1e3,
        );
        println!(
            "{:<24} {:>12} {:>9.1} {:>9.1} {:>9.1} {:>8.0}% {:>20} {:>14.1}",
            format!("{kinds} of {KINDS} kinds"),
            thousands(received as f64 / SECONDS as f64),
            ms(0.5),
            ms(0.99),
            ms(1.0),
            cpu * 100.0,
            format!("{:.0} / {:.0} / {:.0}", mib(before), mib(with_all), mib(hub.resident())),
            (with_all - before) as f64 / 1024.0 / (SSE + WEBSOCKETS) as f64,
        );
    });
}

const STRUCTURED: &str = "application/cloudevents+json";

/// Event `n`, of the kind `k<n mod KINDS>`. Its id says both.
fn event(n: usize, kind: usize) -> Vec<u8> {
    let head = format!(
        r#"{{"specversion":"1.0","id":"{n}","source":"/bench","type":"k{kind}.made","datacontenttype":"application/json","data":{{"note":""#
    );
    let mut bytes = head.into_bytes();
    bytes.resize(497, b'x');
    bytes.extend_from_slice(b"\"}}");
    bytes
}

async fn publish(hub: SocketAddr, run: &Arc<Run>) {
    let begin = tokio::time::Instant::now();
    let mut publishers = tokio::task::JoinSet::new();
    for first in 0..PUBLISHERS {
        let run = Arc::clone(run);
        publishers.spawn(async move {
            let mut sender = load::connect(hub).await;
            for n in (first..EVENTS as u64).step_by(PUBLISHERS as usize) {
                tokio::time::sleep_until(begin + Duration::from_micros(n * 1_000_000 / RATE)).await;
                let n = n as usize;
                let body = event(n, n % KINDS).into();
                run.sent[n].store(run.micros(), Ordering::Relaxed);
                let request = load::request(hub, Method::POST, "/v1/events", STRUCTURED, body);
                let (status, answer) = load::send(&mut sender, request).await;
                assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
            }
        });
    }
    publishers.join_all().await;
}

/// What all listeners tell.
struct Run {
    begin: Instant,
    /// When each event was sent, microseconds.
    sent: Vec<AtomicU64>,
    received: AtomicUsize,
    latencies: Mutex<Vec<u64>>,
}

impl Run {
    fn new() -> Self {
        Self {
            begin: now(),
            sent: (0..EVENTS).map(|_| AtomicU64::new(0)).collect(),
            received: AtomicUsize::new(0),
            latencies: Mutex::default(),
        }
    }

    fn micros(&self) -> u64 {
        self.begin.elapsed().as_micros() as u64
    }
}

/// One that listens, and what it wants.
struct Listener {
    socket: TcpStream,
    /// What stands before an event's id in its frames.
    marker: &'static [u8],
    wants: Vec<usize>,
}

impl Listener {
    async fn open(hub: SocketAddr, nth: usize, kinds: usize) -> Self {
        let wants: Vec<usize> = (0..kinds).map(|more| (nth + more) % KINDS).collect();
        let websocket = "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let native: Vec<String> = wants.iter().map(|kind| format!("type=k{kind}.*")).collect();
        let docker: Vec<String> = wants.iter().map(|kind| format!("k{kind}")).collect();
        let (path, headers, marker) = match nth {
            nth if nth < SSE => (format!("/v1/stream?{}", native.join("&")), "", &b"\"id\":\""[..]),
            nth if nth % 2 == 0 => (format!("/v1/stream?{}", native.join("&")), websocket, &b"\"id\":\""[..]),
            _ => (
                format!("/api/audit/v1/events?type={}", docker.join(",")),
                websocket,
                &b"\"uuid\":\""[..],
            ),
        };
        let mut socket = TcpStream::connect(hub).await.expect("connect");
        let request = format!("GET {path} HTTP/1.1\r\nhost: {hub}\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.expect("ask");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.expect("the head of the answer"));
        }
        assert!(
            head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        Self { socket, marker, wants }
    }

    /// Reads until the hub ends; marks what comes.
    async fn listen(mut self, run: Arc<Run>) {
        let mut seen = vec![false; EVENTS];
        let mut bytes: Vec<u8> = Vec::with_capacity(4 << 10);
        while self.socket.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
            let (at, mut found, mut rest) = (run.micros(), Vec::new(), &bytes[..]);
            while let Some((id, after)) = self.next(rest) {
                assert!(!std::mem::replace(&mut seen[id], true), "event {id} came twice");
                assert!(self.wants.contains(&(id % KINDS)), "event {id} was not asked for");
                found.push(at.saturating_sub(run.sent[id].load(Ordering::Relaxed)));
                rest = after;
            }
            let kept = rest.len();
            bytes.drain(..bytes.len() - kept);
            run.latencies.lock().expect("latencies").extend(&found);
            run.received.fetch_add(found.len(), Ordering::Relaxed);
        }
    }

    /// The next id that is there whole, and what follows it.
    fn next<'a>(&self, bytes: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let mut at = 0;
        // By the first byte first: this runs for every byte that comes.
        while let Some(quote) = bytes.get(at..)?.iter().position(|byte| *byte == b'"') {
            let begin = at + quote;
            let Some(rest) = bytes.get(begin..)?.strip_prefix(self.marker) else {
                at = begin + 1;
                continue;
            };
            let end = rest.iter().position(|byte| *byte == b'"')?;
            let id = std::str::from_utf8(&rest[..end]).expect("text").parse();
            return Some((id.expect("a number"), &rest[end..]));
        }
        None
    }
}
