//! Docker Cloud's event stream: frames byte for byte, filters and the hierarchy, credentials, ends, its own client.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Clients, HubProcess, Received, WebSocket, basic};

const EVENTS: &str = "/api/audit/v1/events";
const UPGRADE: [(&str, &str); 4] = [
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A listener that has been greeted.
async fn listen(hub: &HubProcess, path: &str, headers: &[(&str, &str)]) -> WebSocket {
    let mut socket = WebSocket::open(hub, path, headers).await;
    assert_eq!(text(&mut socket).await, r#"{"type":"auth"}"#);
    socket
}

async fn text(socket: &mut WebSocket) -> String {
    match socket.receive().await {
        Received::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

/// An event of Docker Cloud's own.
fn native(kind: &str, object: &str, parents: &[&str], uuid: &str) -> Value {
    json!({
        "type": kind, "action": "update", "parents": parents, "resource_uri": object, "state": "Running",
        "uuid": uuid, "datetime": "2016-02-01T16:47:28Z",
    })
}

async fn publish(hub: &HubProcess, event: &Value) -> Value {
    hub.post(EVENTS, event).await
}

/// The uuids of the next frames, up to and with `last`.
async fn uuids(socket: &mut WebSocket, last: &str) -> Vec<String> {
    let mut found = Vec::new();
    while found.last().is_none_or(|uuid| uuid != last) {
        let event: Value = serde_json::from_str(&text(socket).await).unwrap();
        found.push(event["uuid"].as_str().unwrap().to_owned());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_events_are_shown_as_they_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/docker_cloud");
    let mut checked = 0;
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "request") {
            check_golden(&hub, &path).await;
            checked += 1;
        }
    }
    assert!(checked >= 6);
}

/// `METHOD PATH CONTENT-TYPE`, then the body; the answer has the frames, between empty lines.
async fn check_golden(hub: &HubProcess, path: &std::path::Path) {
    let request = std::fs::read_to_string(path).unwrap();
    let frames = std::fs::read_to_string(path.with_extension("answer")).unwrap();
    let mut socket = listen(hub, EVENTS, &[]).await;
    let (line, body) = request.split_once('\n').unwrap();
    let [_, target, media] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    let (status, answer) = hub
        .send(
            Method::POST,
            target,
            &[("content-type", media)],
            body.trim_end().to_owned(),
        )
        .await;
    assert_eq!(status, 202, "{path:?}: {}", String::from_utf8_lossy(&answer));
    for frame in frames.split("\n\n") {
        assert_eq!(text(&mut socket).await, frame, "{path:?}");
    }
}

/// What is asked for, what lets `end` pass too (so that it is seen when nothing more will come), what comes.
const WANTED: [(&str, &str, &[&str]); 13] = [
    ("", "", &["stack", "service", "container", "action", "node"]),
    (
        "type=&object=",
        "",
        &["stack", "service", "container", "action", "node"],
    ),
    ("type=container", "&type=end", &["container"]),
    ("type=container,node", ",end", &["container", "node"]),
    ("type=container&type=node", "&type=end", &["container", "node"]),
    ("object=/api/app/v1/ns/stack/1", "&object=/end", &["stack"]),
    ("object=%2Fapi%2Fapp%2Fv1%2Fns%2Fstack%2F1%2F", "%2C/end", &["stack"]),
    ("parent=/other", "&parent=/end/", &["node"]),
    (
        "parent=/api/app/v1/ns/service/1/",
        "&parents=/end",
        &["container", "action"],
    ),
    (
        "parents=/api/app/v1/ns/stack/1/",
        ",/end",
        &["service", "container", "action"],
    ),
    (
        "parents=/api/app/v1/ns/stack/1,/other/",
        ",/end",
        &["service", "container", "action", "node"],
    ),
    (
        "parent=/api/app/v1/ns/stack/1&type=action&auth=x",
        "&parent=/end&type=end",
        &["action"],
    ),
    (
        "type=stack&parent=/api/app/v1/ns/stack/1/",
        "&type=end&parent=/end",
        &[],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_or_within_a_key_and_and_across_keys() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let (stack, service, container) = (
        "/api/app/v1/ns/stack/1/",
        "/api/app/v1/ns/service/1/",
        "/api/app/v1/ns/container/1/",
    );
    let events = [
        native("stack", stack, &[], "stack"),
        native("service", service, &[stack], "service"),
        native("container", container, &[service], "container"),
        native("action", "/api/app/v1/ns/action/1/", &[container], "action"),
        native("node", "/api/infra/v1/ns/node/1/", &["/other"], "node"),
        native("end", "/end", &["/end"], "end"),
    ];
    let mut sockets = Vec::new();
    for (query, end, _) in WANTED {
        sockets.push(listen(&hub, &format!("{EVENTS}/?{query}{end}"), &[]).await);
    }
    for event in &events {
        publish(&hub, event).await;
    }
    for ((query, _, expected), socket) in WANTED.into_iter().zip(&mut sockets) {
        let found = uuids(socket, "end").await;
        assert_eq!(found[..found.len() - 1], *expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hierarchy_is_what_the_log_has_told_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start(folder.path()).await;
    // Nobody listens while the service says whose it is.
    publish(&hub, &native("service", "/s/1/", &["/stack/1/"], "before")).await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    let mut by_stack = listen(&hub, &format!("{EVENTS}?parent=/stack/1"), &[]).await;
    publish(&hub, &native("container", "/c/1/", &["/s/1/"], "known")).await;
    publish(&hub, &native("container", "/c/2/", &["/s/2/"], "unknown")).await;
    publish(&hub, &native("service", "/s/2/", &["/stack/1/"], "now known")).await;
    publish(&hub, &native("container", "/c/2/", &["/s/2/"], "last")).await;
    assert_eq!(uuids(&mut by_stack, "last").await, ["known", "now known", "last"]);
    drop(by_stack);
    // Nobody listens again.
    publish(&hub, &native("service", "/s/3/", &["/stack/2/"], "meanwhile")).await;
    let mut later = listen(&hub, &format!("{EVENTS}?parent=/stack/2/"), &[]).await;
    publish(&hub, &native("container", "/c/3/", &["/s/3/"], "child")).await;
    assert_eq!(uuids(&mut later, "child").await, ["child"]);
}

const ACCOUNTS: &str = r#"
[auth.ann]
secret = "key-of-ann"
scopes = ["admin"]
[auth.bob]
secret = "key:of:bob"
scopes = ["subscribe:bob", "publish:bob"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_credential_opens_and_a_wrong_one_is_refused_at_the_handshake() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("busway.toml"), ACCOUNTS).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let (ann, bob) = (basic("ann", "key-of-ann"), basic("bob", "key:of:bob"));
    for (path, header, status) in [
        (EVENTS, None, 401),
        (EVENTS, Some(ann.as_str()), 101),
        (EVENTS, Some("ApiKey ann:key-of-ann"), 101),
        (EVENTS, Some("key-of-ann"), 101),
        (EVENTS, Some("ApiKey ann:key-of-bob"), 401),
        (EVENTS, Some(&basic("eve", "")), 401),
        (EVENTS, Some("Basic %%%"), 401),
        ("/api/audit/v1/events/?auth=ApiKey%20ann%3Akey-of-ann", None, 101),
        ("/api/audit/v1/events/?auth=ApiKey%20ann%3Akey", None, 401),
        ("/api/audit/v1/events?token=key-of-ann&user=ann", None, 101),
        ("/v1/events?token=key-of-ann&user=ann", None, 101),
        ("/v1/events/?token=key-of-ann&user=bob", None, 401),
        ("/v1/events", None, 401),
        ("/v1/events", Some(&ann), 101),
        // Bob's own namespace is not there yet; `default` is not his.
        (EVENTS, Some(&bob), 401),
        ("/api/audit/v1/bob/events/", Some(&bob), 404),
        ("/api/audit/v1/nobody/events", Some(&bob), 401),
        ("/api/audit/v1/nobody/events", Some(&ann), 404),
        ("/api/audit/v1/No-Bus/events", Some(&ann), 404),
    ] {
        let headers: Vec<_> = header.into_iter().map(|value| ("authorization", value)).collect();
        if status == 101 {
            listen(&hub, path, &headers).await;
            continue;
        }
        let headers = [&UPGRADE[..], &headers].concat();
        let (found, answer) = hub.send(Method::GET, path, &headers, "").await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(found, status, "{path} {header:?}: {answer}");
        assert!(
            answer["error"].as_str().is_some_and(|text| !text.contains("-of-")),
            "{answer}"
        );
    }
    // With the first event it is.
    let json = [("content-type", "application/json"), ("authorization", bob.as_str())];
    let first = native("container", "/c/1/", &[], "first").to_string();
    for (path, status) in [
        ("/api/audit/v1/events/", 403),
        ("/api/audit/v1/bob/events/", 202),
        (EVENTS, 202),
    ] {
        let (found, answer) = hub.send(Method::POST, path, &json, first.clone()).await;
        assert_eq!(found, status, "{path}: {}", String::from_utf8_lossy(&answer));
    }
    let mut own = listen(&hub, EVENTS, &[("authorization", bob.as_str())]).await;
    let second = native("container", "/c/1/", &[], "second").to_string();
    hub.send(Method::POST, "/api/audit/v1/bob/events", &json, second).await;
    assert_eq!(uuids(&mut own, "second").await, ["second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tutums_client_is_told_in_a_frame_what_it_does_not_know_as_a_401() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("busway.toml"), ACCOUNTS).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let agent = [("user-agent", "python-tutum/0.21.2")];
    let mut stranger = WebSocket::open(&hub, "/v1/events?token=x&user=ann", &agent).await;
    assert_eq!(
        text(&mut stranger).await,
        r#"{"type":"error","data":{"errorMessage":"UNAUTHORIZED"}}"#
    );
    assert_eq!(stranger.receive().await, Received::Close(1008));
    listen(&hub, "/v1/events?token=key-of-ann&user=ann", &agent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_or_too_many_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_with(folder.path(), &["--compat-docker-cloud-listeners", "1"]).await;
    let foreign = [("origin", "http://evil.example")];
    let credentials = [("origin", "http://evil.example"), ("authorization", "ApiKey a:b")];
    for (method, headers, status) in [
        (Method::GET, &[][..], 426),
        (Method::GET, &UPGRADE[..3], 400),
        (Method::PUT, &[], 405),
        (Method::GET, &[&UPGRADE[..], &foreign].concat(), 403),
        (Method::POST, &foreign, 403),
    ] {
        let (found, answer) = hub.send(method, EVENTS, headers, "").await;
        assert_eq!(found, status, "{headers:?}: {}", String::from_utf8_lossy(&answer));
        assert!(serde_json::from_slice::<Value>(&answer).unwrap()["error"].is_string());
    }
    // A page cannot send credentials in a header; the clients send an `Origin` too.
    let mut first = listen(&hub, EVENTS, &credentials).await;
    let (status, _) = hub.send(Method::GET, EVENTS, &UPGRADE, "").await;
    assert_eq!(status, 503, "its place is taken");
    first.send(0x88, &1000_u16.to_be_bytes()).await;
    hub.until_metric("busway_streams", |streams| streams == 0.0).await;
    listen(&hub, EVENTS, &[("origin", &hub.url(""))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_stored_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let good = native("stack", "/s/1/", &[], "1");
    let mut reserved = good.clone();
    reserved["type"] = json!("error");
    for (body, words) in [
        (
            json!([good, {"type": "x"}]).to_string(),
            "event 1: expected an event of Docker Cloud's",
        ),
        (
            json!([good, reserved]).to_string(),
            "event 1: attribute `type` must be that of an object",
        ),
        (r#"{"eventType":"x"}"#.to_owned(), "expected an event of Docker Cloud's"),
        ("[".to_owned(), "EOF"),
        (String::new(), "EOF"),
    ] {
        let (status, answer) = hub.send(Method::POST, EVENTS, &[], body.clone()).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(words), "{body}: {answer}");
    }
    let (status, _) = hub.send(Method::GET, "/v1/events", &[], "").await;
    assert_eq!(status, 404, "no event has made this bus");
    let answer = publish(&hub, &json!([good, native("stack", "/s/2/", &[], "2"), good])).await;
    let stored = json!({"events": [
        {"uuid": "1", "offset": 1, "duplicate": false},
        {"uuid": "2", "offset": 2, "duplicate": false},
        {"uuid": "1", "offset": 1, "duplicate": true},
    ]});
    assert_eq!(answer, stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_and_the_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start(folder.path()).await;
    let mut sockets = Vec::new();
    for path in [EVENTS, "/api/audit/v1/default/events/", "/v1/events"] {
        let mut socket = listen(&hub, path, &[]).await;
        socket.send(0x89, b"5").await;
        assert_eq!(socket.receive().await, Received::Pong(b"5".to_vec()), "{path}");
        // Whatever else a client says is let be.
        socket.send(0x81, b"{}").await;
        sockets.push(socket);
    }
    publish(&hub, &native("stack", "/s/1/", &[], "1")).await;
    for socket in &mut sockets {
        assert_eq!(uuids(socket, "1").await, ["1"]);
    }
    assert_eq!(hub.terminate().await, Some(0), "{:#?}", hub.log());
    for socket in &mut sockets {
        assert_eq!(socket.receive().await, Received::Close(1001));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_is_answered_and_a_breach_of_the_protocol_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    for path in [EVENTS, "/v1/stream"] {
        for (kind, payload, code) in [
            (0x88, &[0x03, 0xe8, b'o', b'k'][..], 1000),
            (0x83, b"a kind that is not there", 1002),
            (0xc1, b"compressed, which nobody agreed to", 1002),
        ] {
            let mut socket = WebSocket::open(&hub, path, &[]).await;
            if path == EVENTS {
                assert_eq!(text(&mut socket).await, r#"{"type":"auth"}"#);
            }
            socket.send(kind, payload).await;
            assert_eq!(socket.receive().await, Received::Close(code), "{path} {kind:#x}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_as_docker_clouds_is_an_ordinary_event() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let event = native("container", "/api/app/v1/user_namespace/container/1/", &["/p/"], "u-1");
    publish(&hub, &event).await;
    let shown = &hub.get("/v1/events?type=container.*").await["events"][0]["event"];
    for (name, value) in [
        ("id", json!("u-1")),
        ("type", json!("container.update")),
        ("source", json!("/api/audit/v1/user_namespace/")),
        ("subject", event["resource_uri"].clone()),
        ("time", json!("2016-02-01T16:47:28Z")),
        ("datacontenttype", json!("application/json")),
        ("data", event.clone()),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
}

/// Prints every message; asks for the type that is given, if one is.
const LISTENER: &str = r#"
import os, sys
os.environ["DOCKERCLOUD_STREAM_HOST"], auth = sys.argv[1], sys.argv[2]
if auth: os.environ["DOCKERCLOUD_AUTH"] = auth
if sys.argv[3]: os.environ["DOCKERCLOUD_NAMESPACE"] = sys.argv[3]
import dockercloud
events = dockercloud.Events()
events.on_open(lambda: print("open"))
events.on_message(lambda message: print(message))
try:
    events.run_forever()
except dockercloud.AuthError as error:
    print("AuthError", error)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn docker_clouds_own_client_listens_comes_back_and_knows_a_401() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("busway.toml"), ACCOUNTS).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let host = format!("ws://{}", hub.address());
    let ann = basic("ann", "key-of-ann");
    let headers = [("content-type", "application/json"), ("authorization", ann.as_str())];
    let event = native("container", "/c/1/", &["/s/1/"], "u-1");
    hub.send(Method::POST, "/api/audit/v1/bob/events/", &headers, event.to_string())
        .await;

    for (auth, namespace) in [(ann.as_str(), ""), ("ApiKey ann:key-of-ann", "default"), (&ann, "bob")] {
        let mut client = Clients::Python.start(LISTENER, &[&host, auth, namespace]);
        assert_eq!(client.line().await.as_deref(), Some("open"), "{auth} {namespace}");
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        // The client calls this before it has read the greeting: the stream stands by then.
        let path = format!("/api/audit/v1/{namespace}/events");
        let sent = native("service", "/s/1/", &[], &format!("{auth} {namespace}")).to_string();
        hub.send(Method::POST, &path, &headers, sent.clone()).await;
        assert_eq!(client.line().await, Some(sent), "byte for byte, and no greeting");
    }
    let mut stranger = Clients::Python.start(LISTENER, &[&host, "Basic bm86Ym9keQ==", ""]);
    assert_eq!(stranger.line().await.as_deref(), Some("AuthError Not Authorized"));
    assert!(stranger.ended().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_readme_works() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, section) = readme.split_once("### Docker Cloud\n").unwrap();
    let block = |language: &str| {
        let (_, rest) = section.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let setting = r#"import os, sys; os.environ["DOCKERCLOUD_STREAM_HOST"] = sys.argv[1]"#;
    let told = "events.on_message(process_event)";
    let listener = block("python").replace(told, &format!("{told}\nevents.on_open(lambda: print('open'))"));
    let host = format!("ws://{}", hub.address());
    let mut client = Clients::Python.start(&format!("{setting}\n{listener}"), &[&host]);
    assert_eq!(client.line().await.as_deref(), Some("open"));
    let (command, answer) = block("console").split_once('\n').unwrap();
    let command = command
        .strip_prefix("$ ")
        .unwrap()
        .replace("127.0.0.1:8080", hub.address());
    let ran = tokio::process::Command::new("sh")
        .args(["-c", &command])
        .output()
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        answer.trim_end(),
        "curl must be installed; {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let sent = command.split('\'').nth(1).unwrap();
    assert_eq!(client.line().await.as_deref(), Some(sent));
}
