//! `busway source marathon`: a hub that follows a hub, and a Marathon of the test's own.

use std::process::Stdio;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::Value;

use super::{KILLED, call_back};
use crate::support::{HubProcess, PATIENCE, basic, busway};

/// `busway source marathon` with these arguments; it ends with the test.
fn follow(arguments: &[&str]) -> tokio::process::Child {
    let mut command = tokio::process::Command::from(busway());
    command
        .args(["source", "marathon"])
        .args(arguments)
        .stdin(Stdio::null());
    command
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("start busway source")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_follows_a_hub_over_a_restart_of_either() {
    let folders = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (place, socket) = (
        port.to_string(),
        format!("unix:{}", folders.1.path().join("s").display()),
    );
    let (listen, sidecar) = (["--listen", place.as_str()], ["--listen", socket.as_str()]);
    let mut marathon = HubProcess::start_with(folders.0.path(), &listen).await;
    let mut hub = HubProcess::start_with(folders.1.path(), &sidecar).await;
    let node = format!("http://{place}");
    let _source = follow(&[&node, "--url", &socket]);
    let path = "/v1/events?type=event_stream_attached";
    hub.until("it listens", path, |page| {
        page["events"].as_array().is_some_and(|all| all.len() == 1)
    })
    .await;
    let event = |app: &str| KILLED.replace("/my-app", app);
    let arrives = async |hub: &HubProcess, app: &str| {
        let path = format!("/v1/events?subject={app}");
        let page = hub
            .until(app, &path, |page| {
                page["events"].as_array().is_some_and(|all| !all.is_empty())
            })
            .await;
        assert_eq!(page["events"].as_array().unwrap().len(), 1, "once: {page}");
        assert_eq!(page["events"][0]["event"]["source"], node.as_str());
        assert_eq!(
            page["events"][0]["event"]["data"],
            serde_json::from_str::<Value>(&event(app)).unwrap()
        );
    };
    call_back(&marathon, &event("/first")).await;
    arrives(&hub, "/first").await;
    // The hub is away: what it misses waits for it.
    hub.kill().await;
    call_back(&marathon, &event("/second")).await;
    hub = HubProcess::start_with(folders.1.path(), &sidecar).await;
    arrives(&hub, "/second").await;
    // Marathon is away: it is taken up again.
    marathon.kill().await;
    marathon = HubProcess::start_with(folders.0.path(), &listen).await;
    hub.until("it listens again", path, |page| {
        page["events"].as_array().is_some_and(|all| all.len() == 2)
    })
    .await;
    call_back(&marathon, &event("/third")).await;
    arrives(&hub, "/third").await;
}

/// What a Marathon of the test's own was asked, and how often.
type Asked = std::sync::Arc<std::sync::Mutex<Vec<http::HeaderMap>>>;

async fn leader(State(asked): State<Asked>, headers: http::HeaderMap) -> impl IntoResponse {
    let mut asked = asked.lock().unwrap();
    asked.push(headers);
    // Each connection brings one event and ends; between them the same line comes twice, as over two connections.
    let event = KILLED.replace("/my-app", if asked.len() < 3 { "/one" } else { "/two" });
    (
        [("content-type", "text/event-stream;charset=UTF-8")],
        format!("\r\nevent: x\r\ndata: {event}\r\n\r\n"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_to_the_leader_with_credentials_and_publishes_a_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let asked = Asked::default();
    let router = Router::new()
        .route("/leader/v2/events", axum::routing::get(leader))
        .with_state(asked.clone());
    let moved = || async {
        (
            http::StatusCode::FOUND,
            [("location", "/leader/v2/events?event_type=a")],
        )
    };
    let router = router.route("/v2/events", axum::routing::get(moved));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = format!("http://ops:pw@{}", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods, reason = "ends with the test")]
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let source = follow(&[
        &node,
        "--type",
        "a",
        "--count",
        "3",
        "--source",
        "/m",
        "--url",
        &hub.url(""),
    ]);
    let ended = tokio::time::timeout(PATIENCE, source.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    server.abort();
    assert!(ended.status.success(), "{said}");
    assert!(
        said.contains("is not the leader") && said.contains("3 events seen, 3 published"),
        "{said}"
    );
    assert!(!said.contains("pw"), "{said}");
    for headers in asked.lock().unwrap().iter() {
        assert_eq!(headers["accept"], "text/event-stream");
        assert_eq!(headers["authorization"], basic("ops", "pw").as_str());
    }
    let page = hub.get("/v1/events?source=/m").await;
    let subjects: Vec<&str> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["event"]["subject"].as_str())
        .collect();
    assert_eq!(subjects, ["/one", "/two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_is_wrong_with_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    for (node, ca, code, words) in [
        ("ftp://x".to_owned(), None, 64, "must begin with `http://`"),
        (hub.url(""), Some("/no/such/file"), 64, "cannot be read"),
        (hub.url("/nothing"), None, 66, "no stream of events there"),
    ] {
        let hub = hub.url("");
        let ca = ca.into_iter().flat_map(|path| ["--ca", path]);
        let arguments: Vec<&str> = [node.as_str(), "--url", &hub].into_iter().chain(ca).collect();
        let ended = follow(&arguments).wait_with_output().await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
