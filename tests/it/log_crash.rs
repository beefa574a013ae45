//! The log under kill -9.
//!
//! The test binary starts itself again as a child that appends from several threads and prints every acknowledgement.
//! The parent kills it in the middle, opens the log, and looks for everything it was told, again and again on the
//! same files. `BUSWAY_CRASH_ROUNDS` sets how often.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use busway::event::{Data, DataKind, Draft, Event};
use busway::log::{Appended, BusName, EventLog, ReadLimit, Retention, Settings};
use busway::tasks::Tasks;
use busway::time::Clock;

/// Tells the child that it is one, and where the log lies.
const CHILD: &str = "BUSWAY_CRASH_CHILD";
const PRODUCERS: u64 = 4;

fn open(dir: &Path) -> EventLog {
    let settings = Settings {
        retention: Retention {
            age: None,
            // A few files: kills hit retention too, and `check` says that it was at work.
            size: Some(512 << 10),
            drop_unacknowledged: false,
        },
        // A hundred appends a file: kills hit rotations too.
        segment_size: 64 << 10,
        ..Settings::default()
    };
    loop {
        match EventLog::open(dir, settings.clone(), Clock::system(), Tasks::new()) {
            // A process that another test starts holds our lock too, until it is another program.
            Err(error) if error.code() == "store_locked" => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// Appends of one to five events; each event says with how many others it came.
fn events(run: u64, producer: u64, append: u64) -> Vec<Event> {
    let size = append % 5 + 1;
    let event = |part: u64| {
        let id = format!("{run}-{producer}-{append}-{part}");
        let bytes = format!("{id} of {size} {}", "x".repeat((append % 7 * 100) as usize));
        let draft = Draft {
            id,
            source: "/tests/crash".into(),
            ty: "com.example.crash".into(),
            datacontenttype: Some("text/plain".into()),
            data: Some(Data {
                kind: DataKind::Text,
                bytes: bytes.into(),
            }),
            ..Draft::default()
        };
        draft.check().unwrap()
    };
    (0..size).map(event).collect()
}

/// What the child does until it is killed. As a test of its own it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_child() {
    let Ok(child) = std::env::var(CHILD) else {
        return;
    };
    let (run, dir) = child.split_once(' ').unwrap();
    let run: u64 = run.parse().unwrap();
    let log = open(Path::new(dir));
    let producers = (0..PRODUCERS).map(|producer| {
        let log = log.clone();
        async move {
            for append in 0.. {
                let events = events(run, producer, append);
                let ids: Vec<_> = events.iter().map(|event| event.id().to_owned()).collect();
                let places = append_until_stored(&log, &events).await;
                let mut lines = String::new();
                for (id, place) in ids.iter().zip(places) {
                    lines += &format!("\nACK {} {id} .", place.offset.0);
                }
                // One write: what the parent reads is whole lines, but for the last.
                std::io::stdout().write_all(lines.as_bytes()).unwrap();
                std::io::stdout().flush().unwrap();
            }
        }
    });
    let retention = async {
        loop {
            // What cannot be deleted now goes the next time.
            let _ = log.trim().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    futures_util::future::join(futures_util::future::join_all(producers), retention).await;
}

/// A producer that does what the answer says: it sends the same events again.
async fn append_until_stored(log: &EventLog, events: &[Event]) -> Vec<Appended> {
    loop {
        match log.append(&BusName::default_bus(), events.to_vec()).await {
            Ok(places) => return places,
            Err(error) => {
                assert_eq!(error.code(), "store_unavailable");
                assert!(log.fault().is_some());
                std::io::stdout().write_all(b"\nREFUSED .").unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// A child, and where its complaints go.
struct Worker {
    process: Child,
    complaints: PathBuf,
}

impl Worker {
    fn start(run: u64, dir: &Path) -> Self {
        let complaints = dir.with_extension("stderr");
        // Past a limit on file sizes the kernel sends a signal, unless it is ignored: then writing is an error.
        let process = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(this_program())
            .args(["--exact", "log_crash::crash_child", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{run} {}", dir.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&complaints).unwrap())
            .spawn()
            .unwrap();
        Self { process, complaints }
    }

    /// Waits for its end; how it ended, in words for an assertion that fails.
    fn end(mut self) -> String {
        let ended = self.process.wait().unwrap();
        let said = std::fs::read_to_string(&self.complaints).unwrap_or_default();
        format!("the child ended with {ended}; it said: {said}")
    }
}

/// The program that runs, even if a build has put another one in its place since.
fn this_program() -> PathBuf {
    let held = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    if held.exists() {
        return held;
    }
    std::env::current_exe().unwrap()
}

/// A line of the child's.
enum Told {
    Stored(u64, String),
    Refused,
}

/// What the child tells, until it ends. The pipe still has more after a kill: all of it was acknowledged.
fn listen(child: &mut Child) -> impl Iterator<Item = Told> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            ["ACK", offset, id, "."] => Some(Told::Stored(offset.parse().unwrap(), id.to_owned())),
            ["REFUSED", "."] => Some(Told::Refused),
            _ => None,
        })
}

/// Lets the child acknowledge so many events, kills it, and returns what it told: offsets and ids.
fn kill_after(mut child: Worker, acknowledged: usize) -> Vec<(u64, String)> {
    let mut told = Vec::new();
    for line in listen(&mut child.process) {
        if let Told::Stored(offset, id) = line {
            told.push((offset, id));
        }
        if told.len() == acknowledged {
            child.process.kill().unwrap();
        }
    }
    let (count, ended) = (told.len(), child.end());
    assert!(
        count >= acknowledged,
        "by itself after {count} of {acknowledged}: {ended}"
    );
    told
}

async fn read_all(log: &EventLog) -> Vec<(u64, String, String)> {
    let bus = BusName::default_bus();
    let end = log.end(&bus).unwrap().borrow().0;
    let (mut read, mut at) = (Vec::new(), log.first(&bus));
    while at.0 < end {
        let batch = log
            .read(
                &bus,
                at,
                ReadLimit {
                    records: 1_000,
                    bytes: 8 << 20,
                },
            )
            .await
            .unwrap();
        assert_eq!(batch.gap, None, "nothing is torn");
        read.extend(batch.records.iter().map(|record| {
            let text = String::from_utf8(record.event.data().unwrap().bytes.to_vec()).unwrap();
            (record.offset.0, record.event.id().to_owned(), text)
        }));
        at = batch.next;
    }
    read
}

/// Every append is there whole or not at all, in one piece.
fn check_whole(read: &[(u64, String, String)]) {
    let mut parts: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    for (offset, id, text) in read {
        let (append, part) = id.rsplit_once('-').unwrap();
        assert!(text.starts_with(&format!("{id} of ")), "{text}");
        parts.entry(append).or_default().push((part.parse().unwrap(), *offset));
    }
    for (append, parts) in parts {
        let number: u64 = append.rsplit_once('-').unwrap().1.parse().unwrap();
        assert_eq!(parts.len() as u64, number % 5 + 1, "{append} is there in part");
        let first = parts[0].1;
        assert!(
            parts.iter().all(|(part, offset)| *offset == first + part),
            "{append}: {parts:?}"
        );
    }
}

/// Opens the log and looks for everything that was told; the first offset that retention has left.
fn check(dir: &Path, told: &HashMap<u64, String>) -> u64 {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let log = open(dir);
        let (first, read) = (log.first(&BusName::default_bus()).0, read_all(&log).await);
        for (at, (offset, ..)) in read.iter().enumerate() {
            assert_eq!(*offset, at as u64 + first, "offsets follow each other");
        }
        for (offset, id) in told.iter().filter(|(offset, _)| **offset >= first) {
            let found = read.get((*offset - first) as usize).map(|(_, id, _)| id);
            assert_eq!(found, Some(id), "{id} was acknowledged at {offset}");
        }
        check_whole(&read);
        tokio::time::timeout(Duration::from_secs(60), log.close())
            .await
            .unwrap();
        first
    })
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let rounds = std::env::var("BUSWAY_CRASH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut told = HashMap::new();
    for run in 0..rounds.unwrap_or(10_u64) {
        // Anywhere: in the first commits, in a rotation, in a write-back, in retention.
        let acknowledged = 1 + (busway::chance::share() * 600.0) as usize;
        told.extend(kill_after(Worker::start(run, &log), acknowledged));
        check(&log, &told);
    }
    // More than retention leaves.
    told.extend(kill_after(Worker::start(u64::MAX, &log), 2_000));
    assert!(check(&log, &told) > 1, "retention was not at work");
}

/// From here on the kernel refuses what the process writes past so many bytes of any file; with none, nothing.
#[cfg(target_os = "linux")]
fn limit_files(child: &Child, bytes: Option<u64>) {
    let bytes = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let pid = child.id().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={bytes}:")])
        .status();
    assert!(set.unwrap().success());
}

/// True errors of the kernel's, in the middle of commits, and then a kill.
#[cfg(target_os = "linux")]
#[test]
fn writes_that_the_kernel_refuses_are_survived_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut child = Worker::start(0, &log);
    let (mut told, mut refused, mut enough) = (HashMap::new(), 0, usize::MAX);
    for line in listen(&mut child.process) {
        match line {
            Told::Refused => refused += 1,
            Told::Stored(offset, id) => _ = told.insert(offset, id),
        }
        match (told.len(), refused) {
            (200, 0) => limit_files(&child.process, Some(4_096)),
            (stored, 20..) if enough == usize::MAX => {
                limit_files(&child.process, None);
                enough = stored + 300;
            }
            (stored, _) if stored >= enough => child.process.kill().unwrap(),
            _ => {}
        }
    }
    let ended = child.end();
    assert!(
        refused >= 20 && told.len() >= enough,
        "{refused} refused, {} stored; {ended}",
        told.len()
    );
    check(&log, &told);
}
