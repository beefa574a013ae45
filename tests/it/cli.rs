//! The command line against a real hub: what it prints, and how it ends.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use http::Method;

use crate::support::{HubProcess, Receiver, busway, run};

fn here(arguments: &[&str]) -> (i32, String, String) {
    run(tempfile::tempdir().unwrap().path(), arguments)
}

/// Each command line ends with this code, and stderr says this.
#[test]
fn exit_codes_are_those_of_sysexits() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--version"], 0, ""),
        (&["serve", "--help"], 0, ""),
        (&["nonsense"], 64, "unrecognized subcommand"),
        (&["serve", "--nonsense"], 64, "unexpected argument"),
        (&["publish"], 64, "give a FILE"),
        (&["publish", "missing.json"], 66, "missing.json cannot be read"),
        (
            &["publish", "--type", "t", "--source", "/s", "--data", "{"],
            65,
            "--data is not JSON",
        ),
        (
            &["tail", "--url", "http://127.0.0.1:1"],
            69,
            "is `busway serve` running",
        ),
        (&["tail", "--url", "unix:nowhere"], 69, "is `busway serve` running"),
        (
            &["tail", "--url", "ftp://x"],
            64,
            "must begin with `http://`, `https://` or `unix:`",
        ),
        (&["dead", "drop"], 64, "say which"),
        (
            &["plugin", "inspect", "missing.wasm"],
            66,
            "missing.wasm cannot be read",
        ),
        (
            &["serve", "--config", "missing.toml"],
            78,
            "missing.toml: cannot be read",
        ),
        (&["serve", "--listen", "0.0.0.0:0"], 78, "--insecure"),
        (
            &["serve", "--delivery-timeout", "15"],
            78,
            "--delivery-timeout must be a duration",
        ),
    ];
    for (arguments, code, says) in cases {
        let (found, stdout, stderr) = here(arguments);
        assert_eq!(found, *code, "{arguments:?}\n{stdout}\n{stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
        assert_eq!(stdout.is_empty(), *code != 0, "{arguments:?}: {stdout}");
    }
}

/// A command against this hub, run in its folder.
fn at(hub: &HubProcess, folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let url = hub.url("");
    let all: Vec<&str> = arguments.iter().copied().chain(["--url", &url]).collect();
    run(folder, &all)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_from_publish_to_tail_and_to_a_sink() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, sink) = (HubProcess::start(folder.path()).await, Receiver::start().await);
    let busway = |arguments: &[&str]| at(&hub, folder.path(), arguments);
    let (code, id, error) = busway(&[
        "subscription",
        "create",
        "--type",
        "com.example.*",
        "--sink",
        &sink.url("/hook"),
    ]);
    assert_eq!(code, 0, "{error}");
    let data = r#"{"n":1}"#;
    let publish = [
        "publish",
        "--type",
        "com.example.hello",
        "--source",
        "/me",
        "--id",
        "a",
        "--data",
        data,
    ];
    let (code, stored, error) = busway(&publish);
    assert_eq!(code, 0, "{error}");
    assert!(stored.contains("stored"), "{stored}");
    assert_eq!(sink.wait_for(1).await[0].json()["data"]["n"], 1);
    let (_, again, _) = busway(&publish);
    assert!(again.contains("duplicate"), "{again}");
    let (code, tail, error) = busway(&["tail", "--from", "earliest", "--count", "1", "--format", "data"]);
    assert_eq!((code, tail.as_str()), (0, "{\"n\":1}\n"), "{error}");
    let (_, listed, _) = busway(&["subscription", "list"]);
    assert!(listed.contains(id.trim()) && listed.contains("active"), "{listed}");
    let (code, _, error) = busway(&["subscription", "get", "nobody"]);
    assert_eq!(code, 66, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_names_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut child = busway()
        .args(["publish", "-", "--url", &hub.url("")])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let good = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{good}\n{{oops\n").as_bytes())
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("line 2"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_listens_at_a_unix_socket_and_drains_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start_with(folder.path(), &["--listen", "unix:socket"]).await;
    let publish = ["publish", "--type", "t", "--source", "/s", "--url", "unix:socket"];
    let (code, _, error) = run(folder.path(), &publish);
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = run(folder.path(), &["serve", "--listen", "unix:socket", "--data", "other"]);
    assert_eq!(code, 69, "{error}");
    assert!(error.contains("another process answers"), "{error}");
    assert_eq!(hub.terminate().await, Some(0));
    assert!(!folder.path().join("socket").exists());
    assert!(!folder.path().join("ports").exists());
    let next = HubProcess::start(folder.path()).await;
    let (_, tail, _) = at(&next, folder.path(), &["tail", "--from", "earliest", "--count", "1"]);
    assert!(tail.contains("/s"), "{tail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_headers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let large = "x".repeat(80 << 10);
    let (status, _) = hub.send(Method::GET, "/healthz", &[("x-large", &large)], "").await;
    assert_eq!(status, 431);
    assert_eq!(hub.send(Method::GET, "/healthz", &[], "").await.0, 200);
}
