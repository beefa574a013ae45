//! A full disk under the real program: producers are told, nothing acknowledged is lost, and room is all it needs.
//!
//! By every way there is: a small file system in memory, where that may be mounted; everywhere a library between the
//! hub and the system that finds no room, and a kernel that refuses to let files grow.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Fault, Faults, HubProcess, PATIENCE, Receiver, Request, client};

/// What is full.
enum Disk {
    /// A file system of its own, mounted here.
    Small(PathBuf),
    /// What the hub believes to be the system.
    Played(Faults),
    /// The limit of the hub's process on the size of a file.
    Limit,
}

impl Disk {
    async fn start(&self, folder: &Path) -> HubProcess {
        match self {
            Self::Small(_) => HubProcess::start(folder).await,
            Self::Played(faults) => HubProcess::start_faulty(folder, faults, &[] as &[&str]).await,
            Self::Limit => HubProcess::start_limitable(folder).await,
        }
    }

    fn fill(&self, hub: &HubProcess) {
        match self {
            Self::Small(mount) => {
                let mut ballast = std::fs::File::create(mount.join("ballast")).unwrap();
                // The last page is what a commit would still fit into.
                for size in [1 << 20, 4_096] {
                    while ballast.write_all(&vec![1; size]).is_ok() {}
                }
            }
            Self::Played(faults) => faults.set(Fault::Full, 1),
            Self::Limit => limit(hub, "4096"),
        }
    }

    fn empty(&self, hub: &HubProcess) {
        match self {
            Self::Small(mount) => std::fs::remove_file(mount.join("ballast")).unwrap(),
            Self::Played(faults) => faults.set(Fault::Full, 0),
            Self::Limit => limit(hub, "unlimited"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Small(mount) = self {
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
        }
    }
}

fn limit(hub: &HubProcess, bytes: &str) {
    let (pid, size) = (hub.pid().to_string(), format!("--fsize={bytes}:"));
    let set = Command::new("prlimit").args(["--pid", &pid, &size]).status();
    assert!(set.unwrap().success());
}

/// A file system of 16 MiB at this folder, if that is permitted.
fn mount(folder: &Path) -> Option<Disk> {
    std::fs::create_dir_all(folder).unwrap();
    let mut command = Command::new("mount");
    let done = command
        .args(["-t", "tmpfs", "-o", "size=16m", "busway-test"])
        .arg(folder)
        .output()
        .ok()?;
    done.status.success().then(|| Disk::Small(folder.to_owned()))
}

/// Publishes one event; the status, `Retry-After` and the body.
async fn publish(hub: &HubProcess, n: usize) -> (u16, Option<String>, Value) {
    let event = json!({"specversion": "1.0", "id": n.to_string(), "source": "/test", "type": "n", "data": {"padding": "x".repeat(20_000)}});
    let request = http::Request::post(hub.url("/v1/events")).header("content-type", "application/cloudevents+json");
    let answer = client()
        .send(request.body(event.to_string().into()).unwrap(), PATIENCE, 1 << 20)
        .await
        .unwrap();
    let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    if answer.status == 503 {
        assert_eq!(header("content-type").as_deref(), Some("application/problem+json"));
    }
    (
        answer.status.as_u16(),
        header("retry-after"),
        serde_json::from_slice(&answer.body).unwrap(),
    )
}

/// Publishes until five events have been refused, each in the right words; those that were not are safe.
async fn publish_until_refused(hub: &HubProcess, safe: &mut BTreeSet<String>, says: &str) {
    let mut refused = 0;
    for n in 20.. {
        match publish(hub, n).await {
            (202, ..) => _ = safe.insert(n.to_string()),
            (503, retry, problem) => {
                assert_eq!(problem["code"], "store_unavailable");
                assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
                assert!(retry.is_some_and(|seconds| seconds.parse::<u64>().is_ok()));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
        if refused == 5 {
            break;
        }
    }
}

/// Each acknowledged event stands in the log, once, and nothing else does.
async fn check_kept(hub: &HubProcess, safe: &BTreeSet<String>) {
    let log = hub.get("/v1/events?limit=1000").await;
    let kept: Vec<String> = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["event"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kept.len(), safe.len(), "each once");
    assert_eq!(kept.into_iter().collect::<BTreeSet<_>>(), *safe);
}

async fn check(folder: &Path, disk: Disk, says: &str) {
    let receiver = Receiver::start().await;
    let mut hub = disk.start(folder).await;
    hub.put(
        "/v1/subscriptions/s",
        &json!({"types": ["n"], "sink": receiver.url("/")}),
    )
    .await;
    let mut safe = BTreeSet::new();
    for n in 0..20 {
        assert_eq!(publish(&hub, n).await.0, 202);
        safe.insert(n.to_string());
    }
    disk.fill(&hub);
    publish_until_refused(&hub, &mut safe, says).await;
    let health = hub
        .until("it says so", "/healthz", |health| health["status"] == "failing")
        .await;
    assert!(health["reasons"][0].as_str().unwrap().contains(says), "{health}");
    let ready = hub
        .until("it is not ready", "/readyz", |ready| ready["ready"] == false)
        .await;
    assert!(ready["reasons"][0].as_str().unwrap().contains(says), "{ready}");
    let log = hub.get("/v1/events?limit=1000").await;
    assert_eq!(
        log["events"].as_array().unwrap().len(),
        safe.len(),
        "reads go on, and show what was acknowledged"
    );

    disk.empty(&hub);
    hub.until("room is all it needs", "/healthz", |health| health["status"] == "ok")
        .await;
    for n in 10_000..10_010 {
        let (status, _, answer) = publish(&hub, n).await;
        assert_eq!(status, 202, "{answer}");
        safe.insert(n.to_string());
    }
    let ids = |seen: &[Request]| {
        seen.iter()
            .map(|one| one.json()["id"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    receiver
        .wait_until("everything acknowledged arrived", |seen| ids(seen).is_superset(&safe))
        .await;
    hub.kill().await;
    check_kept(&HubProcess::start(folder).await, &safe).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    check(
        folder.path(),
        Disk::Played(Faults::new(folder.path())),
        "the disk is full",
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    // The same by the kernel's own word, where it gives one.
    if let Some(disk) = mount(&folder.path().join("data")) {
        check(folder.path(), disk, "the disk is full").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_the_kernel_refuses_are_told_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), Disk::Limit, "disk").await;
}
