//! A disk that is slow, that fails or cannot be written, and a clock that jumps, under the real program: a library
//! between it and the system does what they would do (`support/faults.rs`). Refusals are in the right words, what was
//! acknowledged is there, and when the fault is over so is its effect.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};

use crate::support::{Fault, Faults, HubProcess, PATIENCE, Receiver, Request, client, status};

const NONE: [&str; 0] = [];
const DAY: i64 = 86_400;

/// Publishes one event: the status, `Retry-After`, and the problem's code.
async fn publish(base: &str, id: &str) -> (u16, Option<u64>, String) {
    let event =
        json!({"specversion": "1.0", "id": id, "source": "/test", "type": "n", "data": {"padding": "x".repeat(2_000)}});
    let request =
        http::Request::post(format!("{base}/v1/events")).header("content-type", "application/cloudevents+json");
    let answer = client()
        .send(request.body(event.to_string().into()).unwrap(), PATIENCE, 1 << 20)
        .await
        .unwrap();
    let wait = answer
        .headers
        .get("retry-after")
        .and_then(|wait| wait.to_str().ok()?.parse().ok());
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    (
        answer.status.as_u16(),
        wait,
        body["code"].as_str().unwrap_or_default().to_owned(),
    )
}

/// The records in the log, which must have no gap.
async fn records(hub: &HubProcess) -> Vec<Value> {
    let (mut records, mut next) = (Vec::new(), 1);
    loop {
        let page = hub.get(&format!("/v1/events?from={next}&limit=1000")).await;
        assert_eq!(page["gap"], Value::Null);
        records.extend(page["events"].as_array().unwrap().iter().cloned());
        if page["next"] == next {
            return records;
        }
        next = page["next"].as_u64().unwrap();
    }
}

/// Their ids.
async fn stored(hub: &HubProcess) -> Vec<String> {
    let records = records(hub).await;
    records
        .iter()
        .map(|one| one["event"]["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Each of these stands in the log once.
async fn check_kept(hub: &HubProcess, safe: &BTreeSet<String>) {
    let stored = stored(hub).await;
    assert_eq!(stored.iter().collect::<BTreeSet<_>>().len(), stored.len(), "each once");
    let stored: BTreeSet<String> = stored.into_iter().collect();
    assert_eq!(
        safe.difference(&stored).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "acknowledged and not there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_makes_publishers_wait_or_come_back_and_stops_nobody_else() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let faults = Faults::new(folder.path());
    let hub = HubProcess::start_faulty(folder.path(), &faults, &["--log-queue", "6"]).await;
    hub.put(
        "/v1/subscriptions/s",
        &json!({"types": ["n"], "sink": receiver.url("/")}),
    )
    .await;
    faults.set(Fault::SlowSync, 200);
    let (safe, over) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    let busy = Arc::new(AtomicBool::new(false));
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..24 {
        let (base, safe, busy, over) = (hub.url(""), safe.clone(), busy.clone(), over.clone());
        producers.spawn(async move {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let id = format!("{producer}-{n}");
                match publish(&base, &id).await {
                    (202, ..) => _ = safe.lock().unwrap().insert(id),
                    (429, Some(1..), code) if code == "hub_busy" => busy.store(true, Ordering::Relaxed),
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    // While it is slow: publishers are told, readers are served, and what was accepted is delivered.
    receiver.wait_for(30).await;
    assert_eq!(hub.get("/healthz").await["status"], "ok", "slow is not broken");
    assert!(!stored(&hub).await.is_empty());
    over.store(true, Ordering::Relaxed);
    producers.join_all().await;
    assert!(
        busy.load(Ordering::Relaxed),
        "24 producers and room for 6, and nobody was told to come back"
    );
    let safe = safe.lock().unwrap().clone();
    receiver.wait_for(safe.len()).await;
    assert_eq!(
        stored(&hub).await.into_iter().collect::<BTreeSet<_>>(),
        safe,
        "what was turned away is not there"
    );
}

/// Publishes while a fault strikes (so many times, or until it is ended), and on until all is well again.
async fn publish_through(
    hub: &HubProcess,
    (faults, fault, count): (&Faults, Fault, i64),
    (safe, number): (&mut BTreeSet<String>, &mut u64),
) {
    let before = faults.struck();
    faults.set(fault, count);
    let (mut refused, mut fine) = (false, 0);
    while !refused || fine < 20 {
        *number += 1;
        match publish(&hub.url(""), &number.to_string()).await {
            (202, ..) => {
                safe.insert(number.to_string());
                fine += 1;
            }
            (503, Some(_), code) if code == "store_unavailable" => refused = true,
            other => panic!("{other:?}"),
        }
        // One that is counted may have struck checkpoints alone.
        refused |= count > 0 && faults.struck() >= before + count;
        if refused {
            faults.set(fault, 0);
        }
    }
    hub.until("it is over", "/healthz", |health| health["status"] == "ok")
        .await;
}

/// Whatever fails, in the store or in state.db, for a while: nothing that was acknowledged rests on it.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_on_the_disk_is_refused_and_not_forgiven_later() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let faults = Faults::new(folder.path());
    let arguments = ["--log-segment-size", "64KiB"];
    let mut hub = HubProcess::start_faulty(folder.path(), &faults, &arguments).await;
    hub.put(
        "/v1/subscriptions/s",
        &json!({"types": ["n"], "sink": receiver.url("/")}),
    )
    .await;
    let (mut safe, mut number) = (BTreeSet::new(), 0);
    for (fault, count) in [
        (Fault::Sync, 1),
        (Fault::Write, 1),
        (Fault::Sync, 3),
        (Fault::Sync, -1),
        (Fault::Write, -1),
        (Fault::Sync, 7),
    ] {
        publish_through(&hub, (&faults, fault, count), (&mut safe, &mut number)).await;
    }
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    check_kept(&hub, &safe).await;
    let ids = |seen: &[Request]| -> BTreeSet<String> {
        let ids = seen.iter().map(|one| one.json()["id"].as_str().unwrap().to_owned());
        ids.collect()
    };
    receiver
        .wait_until("everything acknowledged arrived", |seen| ids(seen).is_superset(&safe))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_read_now_is_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::new(folder.path());
    let mut hub = HubProcess::start(folder.path()).await;
    hub.publish_many("n", 0..200, 500).await;
    assert_eq!(hub.terminate().await, Some(0));
    let hub = HubProcess::start_faulty(folder.path(), &faults, &NONE).await;
    faults.set(Fault::Read, -1);
    let (code, body) = hub.send(Method::GET, "/v1/events?from=1&limit=10", &[], "").await;
    assert_eq!(code, 503, "{}", String::from_utf8_lossy(&body));
    faults.set(Fault::Read, 0);
    assert_eq!(stored(&hub).await.len(), 200);
    assert_eq!(
        hub.get("/healthz").await["status"],
        "ok",
        "what could not be read is not damaged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::new(folder.path());
    let mut hub = HubProcess::start(folder.path()).await;
    hub.publish_many("n", 0..5, 0).await;
    assert_eq!(hub.terminate().await, Some(0));
    faults.set(Fault::ReadOnly, 1);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", "data"];
    let refused = Command::new(env!("CARGO_BIN_EXE_busway"))
        .args(serve)
        .current_dir(folder.path())
        .envs(faults.environment())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(69), "{said}");
    assert!(said.contains("may not be written"), "{said}");
    assert!(faults.struck() > 0);
    let hub = HubProcess::start(folder.path()).await;
    assert_eq!(stored(&hub).await.len(), 5);
}

fn seconds(request: &Request) -> i64 {
    request.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap()
}

async fn put_retried(hub: &HubProcess, receiver: &Receiver, name: &str, schedule: &str) {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let subscription = json!({"types": [name], "sink": receiver.url(&format!("/{name}")),
        "protocolsettings": {"secret": secret}, "config": {"schedule": [schedule]}});
    hub.put(&format!("/v1/subscriptions/{name}"), &subscription).await;
}

/// A clock that is set a day ahead, and then two days back: waits last as long as they should, and no day longer.
#[tokio::test(flavor = "multi_thread")]
async fn retries_neither_burst_nor_starve_when_the_clock_is_set() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let faults = Faults::new(folder.path());
    let mut hub = HubProcess::start_faulty(folder.path(), &faults, &NONE).await;
    put_retried(&hub, &receiver, "soon", "300ms").await;
    put_retried(&hub, &receiver, "later", "1h").await;
    let count = |seen: &[Request], path: &str| seen.iter().filter(|one| one.path == path).count();
    // Every other attempt fails.
    let odd = Mutex::new(std::collections::BTreeMap::<String, u64>::new());
    receiver.answer(move |request| {
        let mut odd = odd.lock().unwrap();
        let tries = odd.entry(request.path.clone()).or_default();
        *tries += 1;
        status(if *tries % 2 == 1 { 503 } else { 204 })
    });
    hub.publish_many("later", 0..1, 0).await;
    receiver.wait_for(1).await;
    let mut attempts = 0;
    for (n, ahead) in [0, DAY, -DAY, 0].into_iter().enumerate() {
        hub.publish_many("soon", n as u64..n as u64 + 1, 0).await;
        attempts += 2;
        receiver
            .wait_until("the first attempt", |seen| count(seen, "/soon") >= attempts - 1)
            .await;
        // Between an attempt and its retry.
        faults.set(Fault::Clock, ahead);
        let seen = receiver
            .wait_until("the retry", |seen| count(seen, "/soon") >= attempts)
            .await;
        assert_eq!(count(&seen, "/later"), 1, "an hour has not passed");
    }
    let first = seconds(&receiver.seen()[0]);
    faults.set(Fault::Clock, DAY);
    hub.publish_many("soon", 10..11, 0).await;
    attempts += 1;
    let seen = receiver
        .wait_until("one more", |seen| count(seen, "/soon") >= attempts)
        .await;
    let last = seen.iter().rfind(|one| one.path == "/soon").unwrap();
    assert!(
        seconds(last) - first >= DAY,
        "signatures bear the time of day: {first} {}",
        seconds(last)
    );
    // Over a restart, after which the clock is right: the retry is due tomorrow, as it was written down.
    hub.until("it is written down", "/v1/subscriptions/soon", |one| {
        one["status"]["retrying"] == 1
    })
    .await;
    // Whole: the retry is on disk.
    assert_eq!(hub.terminate().await, Some(0));
    faults.set(Fault::Clock, 0);
    let hub = HubProcess::start_faulty(folder.path(), &faults, &NONE).await;
    receiver
        .wait_until("today", |seen| count(seen, "/soon") > attempts)
        .await;
    assert_eq!(hub.get("/healthz").await["status"], "ok");
}

/// A year in a moment deletes nothing; `from=TIME` and new records go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_year_ahead_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::new(folder.path());
    let arguments = ["--log-retention-age", "1d", "--log-segment-size", "64KiB"];
    let mut hub = HubProcess::start_faulty(folder.path(), &faults, &arguments).await;
    hub.publish_many("n", 0..500, 500).await;
    faults.set(Fault::Clock, 365 * DAY);
    // Retention comes round every ten seconds.
    hub.said("the clock is further ahead than it should be").await;
    assert_eq!(stored(&hub).await.len(), 500);
    hub.kill().await;
    let hub = HubProcess::start_faulty(folder.path(), &faults, &arguments).await;
    hub.said("the clock is further ahead than it should be").await;
    faults.set(Fault::Clock, 0);
    hub.publish_many("n", 500..501, 0).await;
    assert_eq!(stored(&hub).await.len(), 501);
    check_times(&hub).await;
}

/// Times never go back from one record to the next.
async fn check_times(hub: &HubProcess) {
    let records = records(hub).await;
    let times: Vec<&str> = records.iter().filter_map(|one| one["received"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times.len(), 501);
}

/// What the tests stand on: without faults the program behaves as ever.
#[tokio::test(flavor = "multi_thread")]
async fn without_faults_nothing_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults::new(folder.path());
    let hub = HubProcess::start_faulty(folder.path(), &faults, &NONE).await;
    hub.publish_many("n", 0..5, 0).await;
    assert_eq!(faults.struck(), 0);
    assert!(Path::new("/proc").exists(), "files are known by their names there");
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", hub.pid())).unwrap();
    assert!(maps.contains("disk.so"), "the library was not loaded");
}
