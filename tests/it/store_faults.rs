//! Bytes of the store that change on disk, under the real program: a stopped or killed hub's files are flipped, zeroed
//! and cut at random places, and the next start has to find it, to tell it, or to be right all the same.
//!
//! What must hold: no event is served that was not published, letter for letter; nothing changes among the
//! subscriptions unseen; what is missing is told (a refusal that says what to do, a line of the log, `/healthz`); a hub
//! that starts takes new events, at offsets that nobody has had. `BUSWAY_SEED` repeats the damage, `BUSWAY_DAMAGES` says
//! how often (60 by default).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

use crate::rounds::Choices;
use crate::support::{HubProcess, Receiver, run, status, until};

const ARGUMENTS: [&str; 2] = ["--log-segment-size", "64KiB"];
const EVENTS: u64 = 400;

/// What a whole store shows.
struct Truth {
    events: BTreeMap<u64, Value>,
    subscriptions: Value,
    /// Where the last commit of `state.db-wal` begins.
    last_commit: usize,
}

/// A store with sealed segments, a subscription that has everything, one with retries, and dead letters.
async fn store(folder: &Path) -> Truth {
    let receiver = Receiver::start().await;
    receiver.answer(|request| status(if request.path == "/good" { 204 } else { 500 }));
    let mut hub = HubProcess::start_with(folder, &ARGUMENTS).await;
    let to = |path: &str, config: Value| json!({"types": ["n"], "sink": receiver.url(path), "config": config});
    hub.put("/v1/subscriptions/good", &to("/good", json!({}))).await;
    hub.put("/v1/subscriptions/waits", &to("/waits", json!({"schedule": ["1h"]})))
        .await;
    hub.put("/v1/subscriptions/dies", &to("/dies", json!({"max_attempts": 1})))
        .await;
    for first in (0..EVENTS).step_by(50) {
        hub.publish_many("n", first..first + 50, 500).await;
    }
    hub.until("good has everything", "/v1/subscriptions/good", |one| {
        one["status"]["delivered"] == EVENTS
    })
    .await;
    hub.until("a letter", "/v1/dead-letters", |page| {
        page["dead_letters"].as_array().is_some_and(|all| !all.is_empty())
    })
    .await;
    // What a cut of the newest file cannot hide: how far delivery is.
    let state = rusqlite::Connection::open(folder.join("data/state.db")).unwrap();
    let floor = "SELECT offset FROM floor WHERE bus = 'default'";
    until("the floor is on disk", async || {
        state
            .query_row(floor, [], |row| row.get(0))
            .is_ok_and(|floor: i64| floor > EVENTS as i64)
    })
    .await;
    drop(state);
    let mut truth = Truth {
        events: events(&hub).await,
        subscriptions: subscriptions(&hub).await,
        last_commit: 0,
    };
    assert_eq!(truth.events.len() as u64, EVENTS);
    // The newest records and checkpoints are in write-ahead logs only.
    hub.kill().await;
    truth.last_commit = last_commit(&std::fs::read(folder.join("data/state.db-wal")).unwrap());
    truth
}

/// What is served of the log.
async fn events(hub: &HubProcess) -> BTreeMap<u64, Value> {
    let (mut events, mut next) = (BTreeMap::new(), 1);
    loop {
        let (status, body) = hub
            .send(Method::GET, &format!("/v1/events?from={next}&limit=500"), &[], "")
            .await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let page: Value = serde_json::from_slice(&body).unwrap();
        for record in page["events"].as_array().unwrap() {
            events.insert(record["offset"].as_u64().unwrap(), record["event"].clone());
        }
        let after = page["next"].as_u64().expect("where to go on");
        if after == next {
            return events;
        }
        next = after;
    }
}

/// The subscriptions, without what moves.
async fn subscriptions(hub: &HubProcess) -> Value {
    let mut page = hub.get("/v1/subscriptions").await;
    for one in page.as_array_mut().unwrap() {
        one.as_object_mut().unwrap().remove("status");
    }
    page
}

/// Every file of the store that holds anything.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false if entry.metadata().unwrap().len() > 0 => found.push(entry.path()),
            false => {}
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let own = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        std::fs::copy(&file, own).unwrap();
    }
}

/// Damages a file at random; what was done.
fn damage(file: &Path, choices: &mut Choices) -> String {
    let mut bytes = std::fs::read(file).unwrap();
    let length = bytes.len() as u64;
    let at = choices.below(length) as usize;
    let done = match choices.below(5) {
        0 => {
            bytes.truncate(at);
            "cut"
        }
        1 => {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(0);
            "zeroed"
        }
        2 => {
            // A page lands at another's place.
            let (page, other) = (at / 4_096 * 4_096, choices.below(length) as usize / 4_096 * 4_096);
            let end = (page + 4_096).min(bytes.len() - (other.max(page) - page).min(bytes.len() - page));
            bytes.copy_within(page..end.max(page), other);
            std::fs::write(file, bytes).unwrap();
            return format!("misplaced at {other} of {length} in {}", file.display());
        }
        _ => {
            bytes[at] ^= 1 << choices.below(8);
            "flipped"
        }
    };
    std::fs::write(file, bytes).unwrap();
    format!("{done} at {at} of {length} in {}", file.display())
}

/// Where the last commit of a write-ahead log of SQLite's begins: after the frame before it that ends one.
fn last_commit(wal: &[u8]) -> usize {
    const FRAME: usize = 24 + 4_096;
    let salts = &wal[16..24];
    let frames = wal[32..].chunks_exact(FRAME).take_while(|frame| &frame[8..16] == salts);
    let ends: Vec<usize> = frames
        .enumerate()
        .filter(|(_, frame)| frame[4..8] != [0; 4])
        .map(|(nth, _)| 32 + (nth + 1) * FRAME)
        .collect();
    ends.iter().rev().nth(1).copied().unwrap_or(0)
}

fn hits_last_commit(what: &str, begins: usize) -> bool {
    let at = what.split(' ').nth(2).and_then(|at| at.parse::<usize>().ok());
    // What is zeroed or put elsewhere may reach beyond the frame it begins in.
    what.contains("state.db-wal") && (what.starts_with("cut") || at.is_some_and(|at| at + 4_096 > begins))
}

/// A hub that started on a damaged store is right, or says what is wrong.
async fn check_served(hub: &HubProcess, truth: &Truth, what: &str) {
    let served = events(hub).await;
    for (offset, event) in &served {
        assert_eq!(
            truth.events.get(offset),
            Some(event),
            "{what}: {offset} is served and is not what was published"
        );
    }
    let shown = subscriptions(hub).await;
    let health = hub.get("/healthz").await;
    let told = health["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty());
    let log = hub.log().join("\n");
    if served.len() < truth.events.len() {
        assert!(
            told && log.contains("damaged"),
            "{what}: {} events are missing, and {health}\n{log}",
            truth.events.len() - served.len()
        );
    }
    // The last commit of a write-ahead log may have been cut off by a crash: nobody can tell.
    let lost = log.contains("changes in state.db were lost") || hits_last_commit(what, truth.last_commit);
    assert!(lost || shown == truth.subscriptions, "{what}: {shown:#} {log}");
    let (first, last) = hub.publish_many("new", 0..3, 10).await;
    assert!(
        first > EVENTS && last == first + 2,
        "{what}: offsets {first} to {last} were used before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_bytes_are_found_and_told_and_never_served() {
    let damages = std::env::var("BUSWAY_DAMAGES")
        .ok()
        .and_then(|count| count.parse().ok());
    let (damages, mut choices) = (damages.unwrap_or(60_u64), Choices::from_environment());
    let whole = tempfile::tempdir().unwrap();
    let truth = store(whole.path()).await;
    let names: Vec<PathBuf> = files(&whole.path().join("data"))
        .iter()
        .map(|file| file.strip_prefix(whole.path()).unwrap().to_owned())
        .collect();
    let (mut refused, mut told, mut harmless) = (0, 0, 0);
    for nth in 0..damages {
        let folder = tempfile::tempdir().unwrap();
        copy(whole.path(), folder.path());
        let name = &names[(nth % names.len() as u64) as usize];
        let what = damage(&folder.path().join(name), &mut choices);
        match HubProcess::try_start(folder.path(), &ARGUMENTS).await {
            Err(said) => {
                let helps = ["store_damaged", "store_newer", "another version", "another program"];
                assert!(helps.iter().any(|words| said.contains(words)), "{what}: {said}");
                refused += 1;
            }
            Ok(hub) => {
                check_served(&hub, &truth, &what).await;
                let health = hub.get("/healthz").await;
                match health["status"] == "ok" {
                    true => harmless += 1,
                    false => told += 1,
                }
            }
        }
    }
    println!("{damages} damages: {refused} starts refused, {told} told, {harmless} without effect");
}

/// What an operator does after a disk has failed: asks what is left, sets the ruin aside, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_out_what_is_damaged_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path()).await;
    let check = || tokio::task::block_in_place(|| run(folder.path(), &["store", "check", "--data", "data"]));
    let (code, said, _) = check();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("records in"), "{said}");
    let segments: Vec<PathBuf> = files(&folder.path().join("data/log/default"))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|end| end == "sqlite"))
        .collect();
    std::fs::write(&segments[0], "ruin").unwrap();
    let newest = segments.last().unwrap();
    // With its write-ahead log, which would mend it.
    std::fs::write(newest, vec![7; 70_000]).unwrap();
    std::fs::write(newest.with_extension("sqlite-wal"), "").unwrap();
    let (code, said, _) = check();
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("records 1 to") && said.contains(newest.file_name().unwrap().to_str().unwrap()),
        "{said}"
    );
    let Err(said) = HubProcess::try_start(folder.path(), &ARGUMENTS).await else {
        panic!("it started on a ruin");
    };
    assert!(
        said.contains("store_damaged") && said.contains(newest.file_name().unwrap().to_str().unwrap()),
        "{said}"
    );
    std::fs::rename(newest, newest.with_extension("sqlite.damaged")).unwrap();
    let hub = HubProcess::start_with(folder.path(), &ARGUMENTS).await;
    let (first, _) = hub.publish_many("new", 0..1, 10).await;
    assert!(first > EVENTS, "{first}");
    hub.get("/v1/events?from=1").await;
    hub.until("it says so", "/healthz", |health| {
        health["reasons"].to_string().contains("records 1 to")
    })
    .await;
    let told = |page: &Value| page.to_string().contains("busway.log.damaged");
    hub.until("it is an event", "/v1/buses/busway/events?limit=1000", told)
        .await;
    drop(hub);
    let state = folder.path().join("data/state.db");
    std::fs::write(&state, "ruin").unwrap();
    std::fs::write(state.with_extension("db-wal"), "").unwrap();
    let Err(said) = HubProcess::try_start(folder.path(), &ARGUMENTS).await else {
        panic!("it started on a ruin");
    };
    assert!(
        said.contains("state.db is damaged") && said.contains("move it away"),
        "{said}"
    );
}
