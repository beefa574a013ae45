//! What sinks in trouble cost the others: a hundred subscriptions with a sink each, every event to all of them, at half of
//! what the machine can; times from publishing to arrival at the ninety that stay well, while one hangs, ten refuse
//! connections, or ten answer in ten seconds, in turn in one run, so that the machine's own noise shows.
//!
//! `cargo bench --bench isolation -- --small` is a try that takes seconds and says little.
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

use bytes::Bytes;
use hyper::Method;
use support::load::{connect, once, request, send};
use support::sinks::SINKS;
use support::{block_on, median, now, process, quantile, unix_nanos};

/// The first sink that stays well throughout.
const WELL: usize = 10;
/// What goes wrong, with how many, and how it is shown.
const PHASES: [(&str, usize, &str); 4] = [
    ("well", 0, "all well"),
    ("hung", 1, "1 of 100 hung"),
    ("refusing", 10, "10 of 100 refusing"),
    ("slow", 10, "10 of 100 take 10 s"),
];
/// p50, p99, p99.9.
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// How long it all takes.
struct Effort {
    rounds: usize,
    seconds: u64,
    burst: u64,
}

struct Bench {
    hub: SocketAddr,
    control: SocketAddr,
    sinks: Vec<SocketAddr>,
}

fn main() {
    process::serve_role();
    let small = std::env::args().any(|argument| argument == "--small");
    let effort = match small {
        true => Effort {
            rounds: 1,
            seconds: 1,
            burst: 20,
        },
        false => Effort {
            rounds: 5,
            seconds: 6,
            burst: 400,
        },
    };
    let folder = tempfile::tempdir().expect("a folder");
    let hub = process::hub(folder.path(), &folder.path().join("plugins"), &[]);
    let control = process::peer("sinks");
    block_on(run((hub.address, control.address), &effort));
}

async fn run((hub, control): (SocketAddr, SocketAddr), effort: &Effort) {
    let (_, listed) = once(control, Method::GET, "/sinks", "").await;
    let sinks = serde_json::from_slice(&listed).expect("addresses");
    let bench = Bench { hub, control, sinks };
    for nth in 0..SINKS {
        bench.subscribe(nth).await;
    }
    let most = bench.most(effort.burst).await;
    let rate = (most / 2.0).max(1.0);
    println!(
        "{SINKS} subscriptions, every event to each: {most:.0} events/s at most, {rate:.0} events/s published ({:.0} deliveries/s)",
        rate * SINKS as f64
    );
    let mut figures = vec![Vec::new(); PHASES.len()];
    for _ in 0..effort.rounds {
        for (nth, (mood, count, _)) in PHASES.iter().enumerate() {
            bench.set(mood, *count).await;
            figures[nth].push(bench.times(rate, effort.seconds).await);
            bench.set("well", *count).await;
            // Those in trouble begin anew: what waits for them is no part of the next phase.
            for troubled in 0..*count {
                let path = format!("/v1/subscriptions/s{troubled}");
                let (status, _) = once(bench.hub, Method::DELETE, &path, "").await;
                assert!(status.is_success(), "{status}");
                bench.subscribe(troubled).await;
            }
        }
    }
    show(&figures, effort);
}

fn show(figures: &[Vec<[u64; 3]>], effort: &Effort) {
    println!(
        "{} rounds of {} s each, medians of the rounds (least to most)\n",
        effort.rounds, effort.seconds
    );
    println!("{:<22}{:>30}{:>30}{:>30}{:>12}", "", "p50", "p99", "p99.9", "p99 ratio");
    let of = |phase: usize, nth: usize| -> Vec<f64> { figures[phase].iter().map(|round| round[nth] as f64).collect() };
    for (phase, (_, _, name)) in PHASES.iter().enumerate() {
        print!("{name:<22}");
        for nth in 0..QUANTILES.len() {
            let rounds = of(phase, nth);
            let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
            let most = rounds.iter().copied().fold(0.0, f64::max);
            print!("{:>30}", format!("{:.0} us ({least:.0} to {most:.0})", median(rounds)));
        }
        println!("{:>12.2}", median(of(phase, 1)) / median(of(0, 1)));
    }
}

impl Bench {
    async fn subscribe(&self, nth: usize) {
        let body = format!(
            r#"{{"types":["n"],"sink":"http://{}/","protocolsettings":{{"format":"binary"}}}}"#,
            self.sinks[nth]
        );
        let (status, answer) = once(self.hub, Method::PUT, &format!("/v1/subscriptions/s{nth}"), body).await;
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    }

    /// Events a second that go to all of the sinks, of a burst.
    async fn most(&self, burst: u64) -> f64 {
        let mut sender = connect(self.hub).await;
        let begin = now();
        for _ in 0..burst {
            self.publish(&mut sender).await;
        }
        let (mut arrived, mut all) = (0, burst as usize * SINKS);
        while arrived < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
            arrived += self.taken(0).await.len();
            if begin.elapsed() > Duration::from_secs(60) {
                // Told, and gone on with: a bench may meet a machine that is busy otherwise.
                println!("only {arrived} of {all} arrived in a minute");
                all = arrived;
            }
        }
        arrived as f64 / SINKS as f64 / begin.elapsed().as_secs_f64()
    }

    async fn set(&self, mood: &str, count: usize) {
        for nth in 0..count {
            let (status, _) = once(self.control, Method::POST, &format!("/be/{nth}/{mood}"), "").await;
            assert!(status.is_success(), "{status}");
        }
    }

    /// The sorted microseconds of all arrivals since the last time, at the sinks from `first` on.
    async fn taken(&self, first: usize) -> Vec<u64> {
        let (_, taken) = once(self.control, Method::GET, &format!("/taken/{first}"), "").await;
        serde_json::from_slice(&taken).expect("times")
    }

    async fn publish(&self, sender: &mut hyper::client::conn::http1::SendRequest<http_body_util::Full<Bytes>>) {
        let sent = unix_nanos();
        let body = format!(
            r#"{{"specversion":"1.0","id":"{sent}","source":"/bench","type":"n","sent":"{sent}","data":{{}}}}"#
        );
        let kind = "application/cloudevents+json";
        let (status, answer) = send(sender, request(self.hub, Method::POST, "/v1/events", kind, body.into())).await;
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    }

    /// Publishes steadily for a while; the quantiles at the sinks that stay well.
    async fn times(&self, rate: f64, seconds: u64) -> [u64; 3] {
        drop(self.taken(0).await);
        let mut sender = connect(self.hub).await;
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        let begin = now();
        while begin.elapsed() < Duration::from_secs(seconds) {
            tick.tick().await;
            self.publish(&mut sender).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let taken = self.taken(WELL).await;
        assert!(!taken.is_empty(), "nothing arrived");
        QUANTILES.map(|fraction| quantile(&taken, fraction))
    }
}
