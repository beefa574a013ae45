//! How long a log takes to open after a kill, by its size; and what retention costs the appends beside it.
//!
//! A child fills the log to a size and goes on appending until it is killed; the parent opens what is left and appends
//! once. The second table publishes steadily, alone and while retention drops a file every few moments, by turns.
//!
//! `cargo bench --bench recovery`: up to a million records, or as many as `BUSWAY_RECOVERY` says (10000000 takes about
//! 4 GB of `TMPDIR`, and some minutes).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends when something fails"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use busway::event::{Data, DataKind, Draft, Event};
use busway::log::{BusName, EventLog, Retention, Settings};
use busway::tasks::Tasks;
use busway::time::Clock;
use tokio::runtime::Runtime;

/// Tells the child how many records, and where.
const CHILD: &str = "BUSWAY_RECOVERY_CHILD";
const BATCH: u64 = 1_000;
/// Appends in each turn of the second table.
const APPENDS: usize = 4_000;
const TURNS: usize = 4;

fn event(number: u64) -> Event {
    let draft = Draft {
        id: format!("0192f0c1-{number:012x}"),
        source: "/bench/recovery".into(),
        ty: "com.example.bench".into(),
        data: Some(Data {
            kind: DataKind::Binary,
            bytes: vec![b'x'; 120].into(),
        }),
        ..Draft::default()
    };
    draft.check().expect("a valid event")
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures the machine's own time")]
fn now() -> Instant {
    Instant::now()
}

fn open(dir: &Path, settings: Settings) -> EventLog {
    EventLog::open(dir, settings, Clock::system(), Tasks::new()).expect("open")
}

fn end(log: &EventLog) -> u64 {
    log.end(&BusName::default_bus()).expect("a bus").borrow().0
}

/// The child: fills the log, says so, and goes on until it is killed.
fn fill(task: &str) {
    let (count, dir) = task.split_once(' ').expect("a count and a folder");
    let count: u64 = count.parse().expect("a count");
    let (log, bus) = (open(Path::new(dir), Settings::default()), BusName::default_bus());
    let mut next = end(&log);
    Runtime::new().expect("runtime").block_on(async {
        loop {
            let batch = if next <= count { BATCH } else { 1 };
            log.append(&bus, (next..next + batch).map(event).collect())
                .await
                .expect("append");
            if next <= count && next + batch > count {
                println!("FULL");
            }
            next += batch;
        }
    });
}

/// Fills the log to this size by a child, and kills it while it appends.
fn kill_at(dir: &Path, count: u64) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(CHILD, format!("{count} {}", dir.display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert!(
        lines.any(|line| line.is_ok_and(|line| line == "FULL")),
        "the child ended"
    );
    child.kill().expect("kill");
    child.wait().expect("wait");
}

fn recovery(most: u64) {
    println!("| records | bytes | open after a kill | then the first append | open after a close |");
    println!("|--:|--:|--:|--:|--:|");
    let (dir, runtime) = (tempfile::tempdir().expect("a folder"), Runtime::new().expect("runtime"));
    let sizes = [10_000, 100_000, 1_000_000, 10_000_000];
    for count in sizes.into_iter().filter(|count| *count <= most) {
        kill_at(dir.path(), count);
        let began = now();
        let log = open(dir.path(), Settings::default());
        let opened = began.elapsed();
        let began = now();
        let first = event(u64::MAX - count);
        runtime
            .block_on(log.append(&BusName::default_bus(), vec![first]))
            .expect("append");
        let appended = began.elapsed();
        let (records, bytes) = (end(&log) - 1, log.stats()[0].bytes);
        runtime.block_on(log.close());
        let began = now();
        let again = open(dir.path(), Settings::default());
        let reopened = began.elapsed();
        runtime.block_on(again.close());
        println!(
            "| {records} | {} MiB | {opened:.1?} | {appended:.1?} | {reopened:.1?} |",
            bytes >> 20
        );
    }
}

/// Appends one by one, with retention at every so many or never; how long each took.
fn appends(runtime: &Runtime, log: &EventLog, first: u64, trims: bool) -> Vec<Duration> {
    let bus = BusName::default_bus();
    let mut took = Vec::with_capacity(APPENDS);
    for n in 0..APPENDS {
        let trimming = (trims && n % 50 == 0).then(|| {
            let log = log.clone();
            #[allow(clippy::disallowed_methods, reason = "a bench ends with its process")]
            runtime.spawn(async move { log.trim().await })
        });
        let began = now();
        // Ten at a time, so that files fill.
        let some = (0..10).map(|part| event(first + n as u64 * 10 + part)).collect();
        runtime.block_on(log.append(&bus, some)).expect("append");
        took.push(began.elapsed());
        if let Some(trimming) = trimming {
            runtime.block_on(trimming).expect("trim").expect("trim");
        }
    }
    took
}

fn quantiles(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |part: f64| took[((took.len() as f64 * part) as usize).min(took.len() - 1)];
    format!(
        "{:.1?} / {:.1?} / {:.1?} / {:.1?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    )
}

fn retention() {
    println!("\n| retention | append p50 / p99 / p99.9 / worst | files dropped |");
    println!("|---|---|--:|");
    let runtime = Runtime::new().expect("runtime");
    let (mut with, mut without, mut dropped) = (Vec::new(), Vec::new(), 0);
    let settings = Settings {
        retention: Retention {
            age: None,
            size: Some(4 << 20),
            drop_unacknowledged: false,
        },
        segment_size: 1 << 20,
        ..Settings::default()
    };
    let (dir, beside) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let (trimmed, kept) = (open(dir.path(), settings.clone()), open(beside.path(), settings));
    for turn in 0..TURNS as u64 {
        let first = turn * APPENDS as u64 * 10;
        with.extend(appends(&runtime, &trimmed, first, true));
        without.extend(appends(&runtime, &kept, first, false));
    }
    let files = |dir: &Path| std::fs::read_dir(dir.join("default")).expect("its files").count();
    dropped += files(beside.path()).saturating_sub(files(dir.path()));
    runtime.block_on(async { tokio::join!(trimmed.close(), kept.close()) });
    println!("| never | {} | 0 |", quantiles(without));
    println!("| every 50 appends | {} | {dropped} |", quantiles(with));
}

fn main() {
    if let Ok(task) = std::env::var(CHILD) {
        return fill(&task);
    }
    let most = std::env::var("BUSWAY_RECOVERY").ok().and_then(|most| most.parse().ok());
    recovery(most.unwrap_or(1_000_000));
    retention();
}
