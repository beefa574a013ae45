//! Durable events a second: the log beside the bare limit, in one run.
//!
//! The limit is a file to which the same bytes are appended and synced (`fdatasync`) at the same points. Absolute
//! figures move with the neighbours of a shared disk, so the two take turns and the ratio is what counts.
//!
//! `cargo bench --bench log`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends when something fails"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use busway::event::{Data, DataKind, Draft, Event};
use busway::log::{BusName, EventLog, Settings};
use busway::tasks::Tasks;
use busway::time::Clock;

/// How long each engine runs in each turn.
const TURN: Duration = Duration::from_millis(700);
const TURNS: usize = 5;

/// Events, the time they took, and how long each commit took.
#[derive(Default)]
struct Run {
    events: usize,
    took: Duration,
    commits: Vec<Duration>,
}

impl Run {
    fn add(&mut self, events: usize, took: Duration) {
        self.events += events;
        self.took += took;
        self.commits.push(took);
    }

    fn rate(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    fn quantile(&mut self, part: f64) -> Duration {
        self.commits.sort();
        let at = (self.commits.len() as f64 * part) as usize;
        self.commits[at.min(self.commits.len() - 1)]
    }
}

fn event(number: u64, bytes: usize) -> Event {
    let draft = Draft {
        id: format!("0192f0c1-{number:012x}"),
        source: "/bench/log".into(),
        ty: "com.example.bench.log".into(),
        subject: Some("orders/42".into()),
        data: Some(Data {
            kind: DataKind::Binary,
            bytes: vec![b'x'; bytes].into(),
        }),
        ..Draft::default()
    };
    draft.check().expect("a valid event")
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures the machine's own time")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let done = work();
    (done, begin.elapsed())
}

fn bare(dir: &Path, batch: usize, bytes: usize, run: &mut Run) {
    let mut file = File::create(dir.join("bare")).expect("create");
    // The event's attributes are written too.
    let written = vec![b'x'; batch * (bytes + 100)];
    let until = run.took + TURN;
    while run.took < until {
        let ((), took) = timed(|| {
            file.write_all(&written).expect("write");
            file.sync_data().expect("sync");
        });
        run.add(batch, took);
    }
}

fn log(runtime: &tokio::runtime::Runtime, log: &EventLog, (batch, bytes): (usize, usize), run: &mut Run) {
    let bus = BusName::default_bus();
    let mut next = run.events as u64;
    let until = run.took + TURN;
    while run.took < until {
        let events: Vec<_> = (next..next + batch as u64).map(|number| event(number, bytes)).collect();
        next += batch as u64;
        let (stored, took) = timed(|| runtime.block_on(log.append(&bus, events)));
        run.add(stored.expect("append").len(), took);
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    println!("| bytes | batch | bare events/s | log events/s | ratio | bare p50 / p99.9 | log p50 / p99.9 / worst |");
    println!("|--:|--:|--:|--:|--:|--:|--:|");
    for bytes in [500, 1_000] {
        for batch in [1, 16, 256, 1_024] {
            let dir = tempfile::tempdir().expect("a folder");
            let settings = Settings {
                dedup_window: Duration::from_secs(60),
                ..Settings::default()
            };
            let path = dir.path().join("log");
            let opened = EventLog::open(&path, settings, Clock::system(), Tasks::new()).expect("open");
            let (mut limit, mut ours) = (Run::default(), Run::default());
            for _ in 0..TURNS {
                bare(dir.path(), batch, bytes, &mut limit);
                log(&runtime, &opened, (batch, bytes), &mut ours);
            }
            runtime.block_on(opened.close());
            let ratio = ours.rate() / limit.rate();
            println!(
                "| {bytes} | {batch} | {:.0} | {:.0} | {ratio:.2} | {:.1?} / {:.1?} | {:.1?} / {:.1?} / {:.1?} |",
                limit.rate(),
                ours.rate(),
                limit.quantile(0.5),
                limit.quantile(0.999),
                ours.quantile(0.5),
                ours.quantile(0.999),
                ours.quantile(1.0),
            );
        }
    }
}
