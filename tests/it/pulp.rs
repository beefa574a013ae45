//! Pulp's event listeners: golden requests and answers, its three notifiers end to end, and events that cross.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Broker, HubProcess, MailServer, PATIENCE, QpidPeer, Receiver, Sse, client, component, place, status,
};

const EVENTS: &str = "/pulp/api/v2/events/";
/// A report as Pulp 2.0 wrote it, and its keys in no order of ours.
const REPORT: &str = r#"{"call_report": {"task_id": "79be77a8", "tags": ["pulp:repository:p\u00fclp2", "pulp:action:sync"], "start_time": "2012-10-19T19:09:16Z", "progress": {}}, "event_type": "repo.sync.start", "payload": {"repo_id": "p\u00fclp2"}}"#;

/// One request of a file against a hub, and the answer that stands beside it; `{id}` is the last listener that was made.
async fn check(hub: &HubProcess, request: &Path, id: &mut String) {
    let text = std::fs::read_to_string(request).unwrap().replace("{id}", id);
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let mut lines = head.lines();
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut asked = http::Request::builder().method(method).uri(hub.url(path));
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        asked = asked.header(name, value);
    }
    let asked = asked.body(body.trim_end().to_owned().into()).unwrap();
    let answer = client().send(asked, PATIENCE, 1 << 20).await.unwrap();
    let shown = String::from_utf8(answer.body.to_vec()).unwrap();
    if answer.status == 201 {
        let made: Value = serde_json::from_str(&shown).unwrap();
        made["id"].as_str().unwrap().clone_into(id);
    }
    let known = ["content-type", "location", "allow", "warning"];
    let headers = known
        .iter()
        .filter_map(|name| Some((*name, answer.headers.get(*name)?.to_str().unwrap())));
    let headers: String = headers.map(|(name, value)| format!("{name}: {value}\n")).collect();
    let found = format!("{}\n{headers}\n{shown}", answer.status.as_u16());
    let expected = std::fs::read_to_string(request.with_extension("answer")).unwrap();
    let expected = expected.replace("{id}", id);
    assert_eq!(found.trim_end(), expected.trim_end(), "{}", request.display());
}

/// Every request of a folder in order, against one hub with this config.
async fn check_all(folder: &str, config: &str) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("busway.toml"), config).unwrap();
    let hub = HubProcess::start(home.path()).await;
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/pulp")
        .join(folder);
    let mut requests: Vec<_> = std::fs::read_dir(&fixtures)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "request"))
        .collect();
    requests.sort();
    assert!(requests.len() >= 10, "{}", fixtures.display());
    let mut id = String::new();
    for request in requests {
        check(&hub, &request, &mut id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_pairs() {
    check_all("open", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_pairs_with_credentials() {
    let auth = "[auth.admin]\nsecret = \"admin\"\nscopes = [\"admin\"]\n\
                [auth.pulp]\nsecret = \"reports\"\nscopes = [\"publish\"]\n\
                [auth.watch]\nsecret = \"listens\"\nscopes = [\"subscribe\"]\n";
    check_all("guarded", auth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_in_pulps_words() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let check = async |method: Method, path: &str, body: Vec<u8>, code: u16, says: &str| {
        let (status, answer) = hub.send(method, path, &[], body).await;
        let shown = String::from_utf8(answer.to_vec()).unwrap();
        assert!(status == code && shown.contains(says), "{path}: {status} {shown}");
    };
    let text = |text: &str| text.as_bytes().to_vec();
    check(
        Method::POST,
        EVENTS,
        b"{\"a\": \"\xff\"}".to_vec(),
        400,
        "\"code\": \"PLP0019\"",
    )
    .await;
    check(Method::POST, EVENTS, text(&"[".repeat(10_000)), 400, "PLP1009").await;
    check(Method::POST, EVENTS, vec![b' '; 2 << 20], 413, "body_too_large").await;
    let config = r#"{"event_types": ["*"], "notifier_type_id": "http", "notifier_config": "x"}"#;
    check(Method::POST, EVENTS, text(config), 400, "['notifier_config']").await;
    let path = format!("{EVENTS}%C3%BC%22%0A/");
    check(Method::GET, &path, Vec::new(), 404, r#""event_listener": "\u00fc\"\n""#).await;
    check(Method::GET, &format!("{EVENTS}%FF/"), Vec::new(), 404, "PLP0009").await;
    let reports = format!("{EVENTS}report/");
    for (report, code, says) in [
        ("{", 400, "malformed_json"),
        ("{}", 400, "invalid_event"),
        (r#"{"eventType": "deployment_failed"}"#, 400, "invalid_event"),
        (
            r#"[{"event_type": "a", "payload": 1}, {"event_type": "b"}]"#,
            400,
            "event 1",
        ),
        (
            r#"[{"event_type": "a", "payload": 1}, {"event_type": "b", "payload": 2}]"#,
            200,
            r#""offset":2"#,
        ),
    ] {
        check(Method::POST, &reports, text(report), code, says).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_without_room_keeps_no_listener() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("busway.toml"), "[limits]\nsubscriptions = 1\n").unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let config = json!({"url": "http://127.0.0.1:9/"});
    let id = listen(&hub, "http", &config, &["*"]).await;
    let more = json!({"notifier_type_id": "http", "notifier_config": config, "event_types": ["*"]}).to_string();
    let (status, answer) = hub.send(Method::POST, EVENTS, &[], more).await;
    let shown = String::from_utf8_lossy(&answer);
    assert!(
        status == 503 && shown.contains("too_many_subscriptions"),
        "{status} {shown}"
    );
    let listed = hub.get(EVENTS).await;
    assert!(
        listed.as_array().unwrap().len() == 1 && listed[0]["id"] == id,
        "{listed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_of_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("busway.toml"), "[compat]\npulp = false\n").unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let (status, answer) = hub.send(Method::GET, EVENTS, &[], "").await;
    let shown = String::from_utf8_lossy(&answer);
    assert!(status == 404 && shown.contains("route_not_found"), "{status} {shown}");
}

/// Makes a listener; its id.
async fn listen(hub: &HubProcess, notifier: &str, config: &Value, types: &[&str]) -> String {
    let body = json!({"notifier_type_id": notifier, "notifier_config": config, "event_types": types});
    let made = hub.post(EVENTS, &body).await;
    made["id"].as_str().unwrap().to_owned()
}

/// Sends a report as a Pulp does that names the hub as its listener: nothing but a 200 is good.
async fn report(hub: &HubProcess, text: &str) {
    let headers = [("content-type", "application/json")];
    let sent = hub.send(Method::POST, "/pulp/api/v2/events/report/", &headers, text.to_owned());
    let (status, answer) = sent.await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

fn event(id: &str, ty: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/test", "type": ty, "data": data})
}

#[tokio::test(flavor = "multi_thread")]
async fn http_listeners_get_reports_as_they_came_and_other_events_as_reports() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    sink.answer(|_| status(200));
    let hub = HubProcess::start(folder.path()).await;
    let config = json!({"url": sink.url("/sync"), "username": "u", "password": "p"});
    let sync = listen(&hub, "http", &config, &["repo.sync.start"]).await;
    let half = json!({"url": sink.url("/all"), "username": "u"});
    listen(&hub, "http", &half, &["*", "repo.sync.start"]).await;
    report(&hub, REPORT).await;
    hub.publish(&event("1", "order.made", &json!({"total": 7}))).await;
    let seen = sink.wait_for(3).await;
    let to = |path: &str| seen.iter().filter(|one| one.path == path).collect::<Vec<_>>();
    let (sync_only, all) = (to("/sync"), to("/all"));
    let [synced] = sync_only[..] else { panic!("{seen:?}") };
    let header = |name: &str| synced.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(synced.body, REPORT);
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(header("authorization"), Some("Basic dTpw"));
    assert!(!synced.headers.keys().any(|name| name.as_str().starts_with("ce-")));
    let mut bodies: Vec<&[u8]> = all.iter().map(|one| one.body.as_ref()).collect();
    bodies.sort_unstable();
    let other = r#"{"event_type": "order.made", "payload": {"total": 7}, "call_report": null}"#;
    assert_eq!(bodies, [REPORT.as_bytes(), other.as_bytes()]);
    assert!(all.iter().all(|one| !one.headers.contains_key("authorization")));

    // An ordinary subscription stands for it, and goes with it.
    let stands = format!("/v1/subscriptions/pulp-{sync}");
    let shown = hub.get(&stands).await;
    assert_eq!(shown["types"], json!(["repo.sync.start"]));
    assert_eq!(shown["protocolsettings"]["auth"]["basic"]["password"], "***");
    let (code, _) = hub.send(Method::DELETE, &format!("{EVENTS}{sync}/"), &[], "").await;
    assert_eq!(code, 200);
    assert_eq!(hub.send(Method::GET, &stands, &[], "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_200_delivers_and_all_else_is_tried_again() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    std::fs::write(folder.path().join("busway.toml"), "[delivery]\nschedule = [\"20ms\"]\n").unwrap();
    let tries = std::sync::atomic::AtomicU16::new(0);
    sink.answer(move |_| {
        let nth = tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        status([204, 500, 302, 200].get(usize::from(nth)).copied().unwrap_or(200))
    });
    let hub = HubProcess::start(folder.path()).await;
    let id = listen(&hub, "http", &json!({"url": sink.url("/")}), &["*"]).await;
    report(&hub, REPORT).await;
    let page = format!("/v1/subscriptions/pulp-{id}/deliveries");
    let done = hub
        .until("it is delivered", &page, |page| {
            page["deliveries"][0]["outcome"] == "delivered"
        })
        .await;
    let tried = done["deliveries"].as_array().unwrap().iter().rev();
    let tried: Vec<&Value> = tried.map(|attempt| &attempt["status"]).collect();
    assert_eq!(tried, [204, 500, 302, 200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_leave_by_every_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut stream = Sse::open(&hub, "/v1/stream?type=repo.**", &[]).await;
    report(&hub, REPORT).await;
    let frame = stream.event().await.json();
    let of = |name: &str| {
        frame
            .get(name)
            .or(frame["event"].get(name))
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(of("type"), "repo.sync.start");
    assert_eq!(of("subject"), "p\u{fc}lp2");
    assert_eq!(of("source"), "/pulp");
    assert_eq!(of("time"), "2012-10-19T19:09:16Z");
    assert_eq!(of("data"), serde_json::from_str::<Value>(REPORT).unwrap());
    // What has the shape of a report is one on the hub's own path too.
    let headers = [("content-type", "application/json")];
    let (status, _) = hub.send(Method::POST, "/v1/events", &headers, REPORT).await;
    assert_eq!(status, 202);
    assert_eq!(stream.event().await.json()["subject"], frame["subject"]);
    // Which Pulp it was, if there are several.
    let from = format!("{EVENTS}report/?source=https%3A%2F%2Fpulp.example.com");
    let (status, _) = hub.send(Method::POST, &from, &headers, REPORT).await;
    assert_eq!(status, 200);
    assert_eq!(stream.event().await.json()["source"], "https://pulp.example.com");
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_outlive_the_hub_and_their_subscriptions_are_mended() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    sink.answer(|_| status(200));
    let mut hub = HubProcess::start(folder.path()).await;
    let kept = listen(&hub, "http", &json!({"url": sink.url("/kept")}), &["*"]).await;
    let lost = listen(&hub, "http", &json!({"url": sink.url("/lost")}), &["*"]).await;
    let paused = listen(&hub, "http", &json!({"url": sink.url("/paused")}), &["*"]).await;
    let listed = hub.get(EVENTS).await;
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(kept), &json!(lost), &json!(paused)]);
    let (code, _) = hub
        .send(Method::DELETE, &format!("/v1/subscriptions/pulp-{lost}"), &[], "")
        .await;
    assert_eq!(code, 204);
    hub.post(&format!("/v1/subscriptions/pulp-{paused}/pause"), &json!({}))
        .await;
    // One whose listener a crash has kept from being written.
    let stray = json!({"sink": sink.url("/stray"), "protocolsettings": {"format": "pulp"}});
    hub.put("/v1/subscriptions/pulp-5081a42ce19a00ea4300000e", &stray).await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    assert_eq!(hub.get(EVENTS).await, listed);
    let (code, _) = hub
        .send(Method::GET, "/v1/subscriptions/pulp-5081a42ce19a00ea4300000e", &[], "")
        .await;
    assert_eq!(code, 404);
    report(&hub, REPORT).await;
    let mut paths: Vec<String> = sink.wait_for(2).await.into_iter().map(|one| one.path).collect();
    paths.sort();
    assert_eq!(paths, ["/kept", "/lost"]);
    assert_eq!(
        hub.get(&format!("/v1/subscriptions/pulp-{paused}")).await["state"],
        "paused"
    );
}

/// A hub with `[email]` for this server.
fn mailing(server: &MailServer) -> String {
    format!(
        "[email]\nenabled = true\nhost = \"localhost\"\nport = {}\nfrom = \"no-reply@your.domain\"\n",
        server.port
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn email_listeners_get_pulps_letter() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    place(folder.path(), "email", &component("email"));
    std::fs::write(folder.path().join("busway.toml"), mailing(&server)).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let addresses = ["someone@redhat.com", "another@redhat.com"];
    let config = json!({"subject": "pulp {notification}", "addresses": addresses});
    listen(&hub, "email", &config, &["repo.sync.start"]).await;
    report(&hub, REPORT).await;
    hub.publish(&event("1", "repo.sync.start", &json!({"repo_id": "zoo"})))
        .await;
    let letters = server.wait_for(4).await;
    let letter = |to: &str, body: &str| {
        let head = format!(
            "Content-Type: text/plain; charset=\"us-ascii\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\n\
             Subject: pulp {{notification}}\nFrom: no-reply@your.domain\nTo: {to}\n\n"
        );
        format!("{head}{body}\n").replace('\n', "\r\n")
    };
    // As Python 2 indents: a space stays behind a comma at a line's end.
    let native = "{\n  \"call_report\": {\n    \"task_id\": \"79be77a8\", \n    \"tags\": [\n      \
                  \"pulp:repository:p\\u00fclp2\", \n      \"pulp:action:sync\"\n    ], \n    \
                  \"start_time\": \"2012-10-19T19:09:16Z\", \n    \"progress\": {}\n  }, \n  \
                  \"event_type\": \"repo.sync.start\", \n  \"payload\": {\n    \"repo_id\": \"p\\u00fclp2\"\n  }\n}";
    let other = "{\n  \"event_type\": \"repo.sync.start\", \n  \"payload\": {\n    \"repo_id\": \"zoo\"\n  }, \n  \
                 \"call_report\": null\n}";
    let mut expected: Vec<String> = [native, other]
        .iter()
        .flat_map(|body| addresses.map(|to| letter(to, body)))
        .collect();
    expected.sort();
    let mut found: Vec<&str> = letters
        .iter()
        .map(|one| one.delivery("text").as_str().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    let receivers = letters.iter().map(|one| one.delivery("to").as_array().unwrap().len());
    assert!(receivers.into_iter().all(|count| count == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_waits_for_its_plugin_and_misses_nothing() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    std::fs::write(folder.path().join("busway.toml"), mailing(&server)).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let body = json!({"notifier_type_id": "email", "event_types": ["*"],
        "notifier_config": {"subject": "s", "addresses": ["a@example.org"]}});
    let asked = http::Request::post(hub.url(EVENTS))
        .body(body.to_string().into())
        .unwrap();
    let made = client().send(asked, PATIENCE, 1 << 20).await.unwrap();
    assert_eq!(made.status, 201);
    let warning = made.headers.get("warning").unwrap().to_str().unwrap();
    assert!(warning.contains("no notifier plugin `email` is loaded"), "{warning}");
    hub.said("no notifier plugin `email` is loaded").await;
    report(&hub, REPORT).await;
    place(folder.path(), "email", &component("email"));
    let letter = server.wait_for(1).await.remove(0);
    assert_eq!(letter.header("Subject"), "s");
}

#[tokio::test(flavor = "multi_thread")]
async fn amqp_listeners_publish_to_a_real_broker() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Broker::start().await);
    place(folder.path(), "amqp", &component("amqp"));
    let config = format!(
        "[messaging]\nurl = \"tcp://{}\"\ntransport = \"rabbitmq\"\n",
        broker.address()
    );
    std::fs::write(folder.path().join("busway.toml"), config).unwrap();
    broker.bind("amq.topic", "all", "pulp.server.#");
    let hub = HubProcess::start(folder.path()).await;
    listen(&hub, "amqp", &json!({}), &["repo.sync.start"]).await;
    let own = listen(&hub, "amqp", &json!({"exchange": "pulp"}), &["*"]).await;
    report(&hub, REPORT).await;
    let page = format!("/v1/subscriptions/pulp-{own}/deliveries");
    // The exchange is made when it is first needed; only then can a queue be bound to it.
    hub.until("it is delivered", &page, |page| {
        page["deliveries"][0]["outcome"] == "delivered"
    })
    .await;
    broker.bind("pulp", "own", "pulp.server.order.*");
    hub.publish(&event("1", "order.made", &json!({"total": 7}))).await;
    hub.until("it is delivered", &page, |page| {
        page["deliveries"][1]["outcome"] == "delivered"
    })
    .await;
    let of_own = &broker.read("own", 1)[0];
    assert_eq!(of_own["routing_key"], "pulp.server.order.made");
    assert_eq!(
        of_own["body"],
        r#"{"event_type": "order.made", "payload": {"total": 7}, "call_report": null}"#
    );
    let native = &broker.read("all", 1)[0];
    assert_eq!(native["routing_key"], "pulp.server.repo.sync.start");
    assert_eq!(native["body"], REPORT);
    assert_eq!(
        (&native["content_type"], &native["delivery_mode"]),
        (&Value::Null, &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn qpid_gets_what_pulp_would_send() {
    let (folder, peer) = (tempfile::tempdir().unwrap(), QpidPeer::start().await);
    place(folder.path(), "amqp", &component("amqp"));
    let config = format!(
        "[messaging]\nurl = \"tcp://{}\"\ntopic_exchange = \"pulp\"\n",
        peer.address()
    );
    std::fs::write(folder.path().join("busway.toml"), config).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let id = listen(&hub, "amqp", &json!({}), &["repo.sync.start"]).await;
    let native = r#"{"event_type": "repo.sync.start", "payload": {"repo_id": "pulp2"}, "call_report": null}"#;
    let page = format!("/v1/subscriptions/pulp-{id}/deliveries");
    for count in 1..=2 {
        report(&hub, native).await;
        let delivered = |page: &Value| {
            let all = page["deliveries"].as_array().unwrap();
            all.len() == count && all[0]["outcome"] == "delivered"
        };
        hub.until("it is delivered", &page, delivered).await;
    }
    peer.played().await;
}
