//! Marathon's event bus: golden answers, the framing of its stream, callbacks, credentials, crossing; `source` follows a
//! real one, `clients` are its own.

mod clients;
mod source;

use std::path::Path;
use std::process::Stdio;

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, PATIENCE, Raw, Receiver, Request, basic, client, status};

const STREAM: (&str, &str) = ("accept", "text/event-stream");
const KILLED: &str = r#"{"slaveId":"S1","taskId":"my-app.1","taskStatus":"TASK_KILLED","message":"","appId":"/my-app","host":"h","ipAddresses":[],"ports":[31311],"version":"2016-04-26T09:00:57.497Z","eventType":"status_update_event","timestamp":"2016-04-26T09:04:21.276Z"}"#;

/// Publishes Marathon's JSON as Marathon would.
async fn call_back(hub: &HubProcess, event: &str) {
    let (code, body) = hub.send(Method::POST, "/v2/events", &[], event.to_owned()).await;
    assert_eq!(code, 200, "{}", String::from_utf8_lossy(&body));
}

/// One event of each type that Marathon has.
fn every_event() -> Vec<String> {
    let rows = include_str!("../fixtures/marathon/events.txt").lines();
    let rows = rows.filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| row.split_once(' ').unwrap().1.to_owned()).collect()
}

// ---- golden answers ----

/// Whether a text is the pattern, in which `<…>` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('<') else {
        return pattern == text;
    };
    let Some((_, after)) = rest
        .split_once('>')
        .filter(|(name, _)| name.bytes().all(|c| c.is_ascii_lowercase()) && !name.is_empty())
    else {
        let same = text.strip_prefix(before).and_then(|text| text.strip_prefix('<'));
        return same.is_some_and(|text| fits(rest, text));
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    let places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.skip(1).any(|at| fits(after, &text[at..]))
}

async fn check(hub: &HubProcess, request: &Path) {
    let asked = std::fs::read_to_string(request).unwrap();
    let expected = std::fs::read_to_string(request.with_extension("answer")).unwrap();
    let (head, body) = asked.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut sent = http::Request::builder().method(method).uri(hub.url(path));
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        sent = sent.header(name, value);
    }
    let sent = sent.body(body.to_owned().into()).unwrap();
    let answer = client().send(sent, PATIENCE, 1 << 20).await.unwrap();

    let (head, body) = expected.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let name = request.file_name().unwrap().display();
    assert_eq!(answer.status.as_str(), lines.next().unwrap(), "{name}: {answer:?}");
    for line in lines {
        let (header, value) = line.split_once(": ").unwrap();
        let found = answer.headers.get(header).map(|value| value.to_str().unwrap());
        assert_eq!(
            found,
            Some(value.replace("<host>", hub.address()).as_str()),
            "{name}: {header}"
        );
    }
    let found = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(fits(body, &found), "{name}: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_answers() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/marathon");
    let files = std::fs::read_dir(fixtures).unwrap().map(|file| file.unwrap().path());
    let mut requests: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|kind| kind == "request"))
        .collect();
    requests.sort();
    assert!(requests.len() > 20);
    for request in requests {
        check(&hub, &request).await;
    }
}

// ---- the stream ----

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_framed_as_marathons() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut all = Raw::open(&hub, "/v2/events", &[STREAM]).await;
    assert!(all.head.starts_with("HTTP/1.1 200"), "{}", all.head);
    for line in [
        "content-type: text/event-stream;charset=UTF-8\r\n",
        "connection: close\r\n",
        "transfer-encoding: chunked\r\n",
        "cache-control: no-cache, no-store, must-revalidate\r\n",
    ] {
        assert!(all.head.contains(line), "{line:?} is not in {}", all.head);
    }
    let first = all.chunk().await;
    let attached = "event: event_stream_attached\r\ndata: {\"remoteAddress\":\"127.0.0.1\",\"eventType\":\"event_stream_attached\",\"timestamp\":\"<time>\"}\r\n\r\n";
    assert!(fits(attached, &first), "{first:?}");

    let mut some = Raw::open(
        &hub,
        "/v2/events?event_type=status_update_event&event_type=event_stream_detached",
        &[STREAM],
    )
    .await;
    assert!(fits(attached, &all.chunk().await), "the second listener");
    call_back(
        &hub,
        r#"{"appId":"/a","eventType":"app_terminated_event","timestamp":"2016-04-26T09:04:21.276Z"}"#,
    )
    .await;
    call_back(&hub, &KILLED.replacen(',', ",\r\n  ", 1)).await;
    assert!(all.chunk().await.starts_with("event: app_terminated_event\r\n"));
    let killed = format!(
        "event: status_update_event\r\ndata: {}\r\n\r\n",
        KILLED.replacen(',', ",  ", 1)
    );
    assert_eq!(all.chunk().await, killed);
    assert_eq!(some.chunk().await, killed, "the one before was of another type");

    drop(all);
    assert!(some.frame().await.starts_with("event: event_stream_detached\r\n"));
    assert_eq!(some.chunk().await, "\r\n", "nothing for ten seconds but a sign of life");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_list_of_types_opens_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let many: String = (0..500).map(|n| format!("event_type=of_{n}&")).collect();
    let long = format!("event_type={}&", "x".repeat(20_000));
    let mut streams = Vec::new();
    for types in ["event_type=&", &many, &long] {
        let path = format!("/v2/events?{types}event_type=status_update_event");
        streams.push(Raw::open(&hub, &path, &[STREAM]).await);
    }
    let mut none = Raw::open(&hub, "/v2/events?event_type=", &[STREAM]).await;
    for stream in streams.iter().chain([&none]) {
        assert!(stream.head.starts_with("HTTP/1.1 200"), "{}", stream.head);
    }
    call_back(
        &hub,
        r#"{"eventType":"app_terminated_event","appId":"/a","timestamp":"t"}"#,
    )
    .await;
    call_back(&hub, KILLED).await;
    let killed = format!("event: status_update_event\r\ndata: {KILLED}\r\n\r\n");
    for stream in &mut streams {
        assert_eq!(stream.chunk().await, killed, "the one before was of another type");
    }
    assert_eq!(none.chunk().await, "\r\n", "no event is of the empty type");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_asks_to_resume_gets_ids_and_resumes_over_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start(folder.path()).await;
    call_back(&hub, KILLED).await;
    let mut from = Raw::open(
        &hub,
        "/v2/events?from=earliest&event_type=status_update_event",
        &[STREAM],
    )
    .await;
    let shown = format!("id: 1\r\nevent: status_update_event\r\ndata: {KILLED}");
    assert_eq!(from.frame().await, shown);
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    call_back(&hub, KILLED).await;
    let headers = [STREAM, ("last-event-id", "1")];
    let mut resumed = Raw::open(&hub, "/v2/events?event_type=status_update_event", &headers).await;
    assert_eq!(
        resumed.frame().await,
        shown.replace("id: 1", "id: 3"),
        "2 is the first listener's own event"
    );
    let bad = Raw::open(&hub, "/v2/events?from=yesterday", &[STREAM]).await;
    assert!(bad.head.starts_with("HTTP/1.1 422"), "{}", bad.head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_does_not_read_gets_everything_later() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let path = "/v2/events?event_type=deployment_info&plan-format=light";
    let mut slow = Raw::open(&hub, path, &[STREAM]).await;
    // More than what sockets hold, and more than Marathon would have kept.
    let padding = "x".repeat(200_000);
    let count = 100;
    for n in 0..count {
        let plan = format!(r#"{{"id":"{n}","original":{{"id":"/"}},"target":{{"id":"/"}},"version":"{padding}"}}"#);
        call_back(
            &hub,
            &format!(r#"{{"plan":{plan},"eventType":"deployment_info","timestamp":"t"}}"#),
        )
        .await;
    }
    for n in 0..count {
        let frame = slow.frame().await;
        let light = format!(r#"data: {{"plan":{{"id":"{n}","version":"x"#);
        assert!(frame.contains(&light), "{n}: {}", &frame[..200]);
        assert!(frame.ends_with(r#"x"},"eventType":"deployment_info","timestamp":"t"}"#));
    }
}

// ---- callbacks ----

/// The events that a sink has got on this path, by type.
fn types(receiver: &Receiver, path: &str) -> Vec<String> {
    let seen = receiver.seen().into_iter().filter(|request| request.path == path);
    seen.map(|request| request.json()["eventType"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_are_tried_again_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Receiver::start().await;
    let refuses = std::sync::atomic::AtomicBool::new(true);
    sink.answer(
        move |_| match refuses.swap(false, std::sync::atomic::Ordering::Relaxed) {
            true => status(503),
            false => status(200),
        },
    );
    let quick = ["--delivery-schedule", "50ms"];
    let mut hub = HubProcess::start_with(folder.path(), &quick).await;
    let path = format!("/v2/eventSubscriptions?callbackUrl={}", sink.url("/cb?a=1"));
    let told = hub.post(&path, &json!(null)).await;
    sink.wait_for(2).await;
    let (first, second) = (sink.seen()[0].clone(), sink.seen()[1].clone());
    assert_eq!(first.body, second.body, "refused, and sent again");
    assert_eq!(first.json(), told, "its own subscription is the first that it hears of");
    assert_eq!(first.path, "/cb?a=1");
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(first.headers["accept"], "application/json");

    assert_eq!(hub.terminate().await, Some(0));
    let hub = HubProcess::start_with(folder.path(), &quick).await;
    let listed = hub.get("/v2/eventSubscriptions").await;
    assert_eq!(listed, json!({"callbackUrls": [sink.url("/cb?a=1")]}));
    let ordinary = hub.get("/v1/subscriptions").await;
    assert_eq!(ordinary[0]["protocolsettings"]["format"], "raw", "{ordinary}");
    let events = every_event();
    for event in &events {
        call_back(&hub, event).await;
    }
    hub.publish(&json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "com.example", "data": {"a": 1}}))
        .await;
    let seen = sink.wait_for(2 + events.len()).await;
    for event in events {
        assert!(
            seen.iter().any(|one| one.body == event.as_bytes()),
            "not byte for byte: {event}"
        );
    }
    let (code, _) = hub.send(Method::DELETE, &path, &[], "").await;
    assert_eq!(code, 200);
    assert_eq!(hub.get("/v1/subscriptions").await, json!([]));
    let left = |one: &Request| one.json()["eventType"] == "unsubscribe_event" && one.json()["clientIp"] == "127.0.0.1";
    assert!(!sink.seen().iter().any(left), "that it has left is told to the others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_was_gone_is_taken_up_by_the_next_subscribe() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Receiver::start().await;
    sink.answer(|_| status(410));
    let hub = HubProcess::start(folder.path()).await;
    let path = format!("/v2/eventSubscriptions?callbackUrl={}", sink.url("/cb"));
    hub.post(&path, &json!(null)).await;
    hub.until("it is gone", "/v1/subscriptions", |all| all[0]["state"] == "paused")
        .await;
    assert_eq!(hub.get("/v2/eventSubscriptions").await, json!({"callbackUrls": []}));
    sink.answer(|_| status(200));
    hub.post(&path, &json!(null)).await;
    assert_eq!(
        hub.get("/v2/eventSubscriptions").await,
        json!({"callbackUrls": [sink.url("/cb")]})
    );
    sink.wait_for(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marathons_own_flags_start_callbacks() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Receiver::start().await;
    let endpoints = format!("{}, {}", sink.url("/a"), sink.url("/b"));
    let flags = ["--event_subscriber", "http_callback", "--http_endpoints", &endpoints];
    let mut hub = HubProcess::start_with(folder.path(), &flags).await;
    call_back(&hub, KILLED).await;
    for path in ["/a", "/b"] {
        sink.wait_until("the event on each", |_| {
            types(&sink, path).contains(&"status_update_event".to_owned())
        })
        .await;
    }
    hub.terminate().await;
    let none = HubProcess::start_with(folder.path(), &["--event_subscriber", "none"]).await;
    let (code, body) = none.send(Method::GET, "/v2/eventSubscriptions", &[], "").await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let words = r#"{"message":"http event callback system is not running on this Marathon instance. Please re-start this instance with\n\"--event_subscriber http_callback\"."}"#;
    assert_eq!((code, text.as_str()), (400, words));
}

// ---- who may, and crossing ----

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_for_in_marathons_way() {
    let folder = tempfile::tempdir().unwrap();
    let accounts =
        "[auth.ann]\nsecret = \"s3cret\"\nscopes = [\"subscribe\"]\n[marathon]\nallow_origin = \"http://ui.example\"\n";
    std::fs::write(folder.path().join("busway.toml"), accounts).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let ann = basic("ann", "s3cret");
    for (method, path, credentials, expected) in [
        (Method::GET, "/v2/eventSubscriptions", None, 401),
        (Method::GET, "/v2/events", None, 401),
        (Method::GET, "/v2/eventSubscriptions", Some(basic("ann", "guess")), 401),
        (Method::GET, "/v2/eventSubscriptions", Some(ann.clone()), 200),
        (
            Method::GET,
            "/v2/eventSubscriptions",
            Some("token=ann:s3cret".to_owned()),
            200,
        ),
        (Method::POST, "/v2/events", Some(ann), 403),
        (Method::GET, "/ping", None, 200),
    ] {
        let mut request = http::Request::builder().method(method).uri(hub.url(path));
        if let Some(credentials) = credentials {
            request = request.header("authorization", credentials);
        }
        let answer = client()
            .send(request.body(KILLED.into()).unwrap(), PATIENCE, 1 << 20)
            .await
            .unwrap();
        assert_eq!(answer.status.as_u16(), expected, "{path}");
        let challenge = answer
            .headers
            .get("www-authenticate")
            .map(|value| value.to_str().unwrap());
        assert_eq!(
            challenge,
            (expected == 401).then_some("basic realm=\"Mesosphere\""),
            "{path}"
        );
        assert_eq!(answer.headers["access-control-allow-origin"], "http://ui.example");
        if answer.status != 200 {
            let told: Value = serde_json::from_slice(&answer.body).unwrap();
            assert!(told["message"].is_string(), "{told}");
        }
    }
    let preflight = http::Request::builder()
        .method(Method::OPTIONS)
        .uri(hub.url("/v2/events"));
    let preflight = preflight.header("origin", "http://ui.example");
    let preflight = preflight
        .header("access-control-request-headers", "accept, x-a")
        .body("".into());
    let answer = client().send(preflight.unwrap(), PATIENCE, 1 << 20).await.unwrap();
    assert_eq!(answer.headers["access-control-allow-headers"], "accept, x-a");
    assert_eq!(answer.headers["access-control-allow-methods"], "GET, HEAD, OPTIONS");
    assert_eq!(answer.headers["access-control-max-age"], "86400");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_cross() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, sink) = (HubProcess::start(folder.path()).await, Receiver::start().await);
    // In as Marathon's, out as a CloudEvent.
    hub.put(
        "/v1/subscriptions/s",
        &json!({"sink": sink.url("/hook"), "types": ["status_update_event"]}),
    )
    .await;
    call_back(&hub, KILLED).await;
    let event = sink.wait_for(1).await[0].json();
    assert_eq!(event["type"], "status_update_event");
    assert_eq!(event["subject"], "/my-app");
    assert_eq!(event["time"], "2016-04-26T09:04:21.276Z");
    assert_eq!(event["data"], serde_json::from_str::<Value>(KILLED).unwrap());
    // In as a CloudEvent, out on Marathon's stream: to who names its type, and to nobody else.
    let mut asked = Raw::open(&hub, "/v2/events?event_type=com.example.order", &[STREAM]).await;
    let mut other = Raw::open(&hub, "/v2/events", &[STREAM]).await;
    other.frame().await;
    let order = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "com.example.order", "time": "2020-01-01T00:00:00Z", "data": {"n": 1}});
    hub.publish(&order).await;
    let shown = r#"data: {"n":1,"eventType":"com.example.order","timestamp":"2020-01-01T00:00:00.000Z"}"#;
    assert_eq!(asked.frame().await, format!("event: com.example.order\r\n{shown}"));
    let native = json!({"specversion": "1.0", "id": "2", "source": "/s", "type": "status_update_event", "data": serde_json::from_str::<Value>(KILLED).unwrap()});
    hub.publish(&native).await;
    assert!(
        other.frame().await.starts_with("event: status_update_event\r\n"),
        "the order was not shown"
    );
}

// ---- the README's section ----

/// Runs a line of the README against this hub; what it printed.
fn shell(hub: &HubProcess, line: &str) -> std::process::Child {
    let line = line.replace("http://127.0.0.1:8080", &hub.url(""));
    let (program, place) = match line.strip_prefix("busway ") {
        Some(_) => (env!("CARGO_BIN_EXE_busway"), format!(" --url {}", hub.url(""))),
        None => ("curl", String::new()),
    };
    let rest = line.split_once(' ').unwrap().1;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("exec {program} {rest}{place}")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("run a command of the README")
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_its_section_of_the_readme_run() {
    let readme = include_str!("../../README.md");
    let section = readme
        .split("### Marathon\n")
        .nth(1)
        .unwrap()
        .split("\n#")
        .next()
        .unwrap();
    let block = section
        .split("```console\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let (mut ran, mut lasting) = (0, Vec::new());
    for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let child = shell(&hub, line);
        if line.contains(" -N ") || line.contains(" source ") {
            lasting.push(child);
            continue;
        }
        let ended = tokio::task::block_in_place(|| child.wait_with_output()).unwrap();
        assert!(ended.status.success(), "{line}: {ended:?} (curl is asked for)");
        assert!(ended.stdout.starts_with(b"{"), "{line}: {ended:?}");
        assert!(!ended.stdout.starts_with(b"{\"message\""), "{line}: {ended:?}");
        ran += 1;
    }
    assert_eq!((ran, lasting.len()), (4, 2));
    let both = |page: &Value| page["events"].as_array().is_some_and(|all| all.len() >= 2);
    hub.until("both listen", "/v1/events?type=event_stream_attached", both)
        .await;
    for mut child in lasting {
        assert!(child.try_wait().unwrap().is_none(), "it should go on");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
