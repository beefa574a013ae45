//! What credentials of one bus see and may do of dead letters, replays and explanations; who is told to have done it; and
//! credentials that end, or make no sense, in the middle of things.

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{HubProcess, PATIENCE, Receiver, status, until};
use crate::tokens::{ask, guarded, make};

/// A hub on which a delivery of each of two buses has died: `mine` of `orders`, `theirs` of `other`.
struct Two {
    hub: HubProcess,
    root: String,
    /// `admin:orders`.
    lead: String,
    /// `subscribe:orders`.
    shop: String,
    /// The dead letters' ids, first that of `orders`.
    letters: [u64; 2],
}

impl Two {
    async fn start(folder: &std::path::Path, sink: &Receiver) -> Self {
        sink.answer(|_| status(500));
        let (hub, root) = guarded(folder).await;
        let lead = make(&hub, Some(&root), json!({"name": "lead", "scopes": ["admin:orders"]})).await;
        let shop = make(
            &hub,
            Some(&root),
            json!({"name": "shop", "scopes": ["subscribe:orders"]}),
        )
        .await;
        let letters = [0; 2];
        let mut two = Self {
            hub,
            root,
            lead,
            shop,
            letters,
        };
        for (id, bus) in [("mine", "orders"), ("theirs", "other")] {
            let body = json!({"sink": sink.url("/"), "bus": bus, "config": {"max_attempts": 1},
                "protocolsettings": {"secret": "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="}});
            two.done(&two.root, (Method::PUT, &format!("/v1/subscriptions/{id}")), &body, 201)
                .await;
            let event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"});
            two.done(
                &two.root,
                (Method::POST, &format!("/v1/buses/{bus}/events")),
                &event,
                202,
            )
            .await;
        }
        until("both have died", async || two.seen(&two.root, "").await.len() == 2).await;
        let all = two.seen(&two.root, "").await;
        let of = |bus: &str| all.iter().find(|(_, on)| on == bus).unwrap().0;
        two.letters = [of("orders"), of("other")];
        two
    }

    /// Asks, and holds the status against what is expected.
    async fn done(&self, by: &str, asked: (Method, &str), body: &Value, expected: u16) -> Value {
        let (method, path) = asked;
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (found, answer) = ask(&self.hub, Some(by), method.clone(), path, &text).await;
        assert_eq!(found, expected, "{method} {path} {body}: {answer}");
        answer
    }

    /// Dead letters, and their buses.
    async fn seen(&self, by: &str, query: &str) -> Vec<(u64, String)> {
        let path = format!("/v1/dead-letters{query}");
        let answer = self.done(by, (Method::GET, &path), &Value::Null, 200).await;
        let letters = answer["dead_letters"].as_array().unwrap().iter();
        letters
            .map(|one| (one["id"].as_u64().unwrap(), one["bus"].as_str().unwrap().to_owned()))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_another_bus_are_not_there() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let two = Two::start(folder.path(), &sink).await;
    let [mine, theirs] = two.letters;
    for by in [&two.lead, &two.shop] {
        for (query, count) in [
            ("", 1),
            ("?bus=orders", 1),
            ("?bus=other", 0),
            ("?subscription=theirs", 0),
        ] {
            assert_eq!(two.seen(by, query).await.len(), count, "{query}");
        }
        let ids = format!("?ids={mine},{theirs}");
        assert_eq!(two.seen(by, &ids).await, [(mine, "orders".to_owned())]);
        two.done(
            by,
            (Method::GET, &format!("/v1/dead-letters/{mine}")),
            &Value::Null,
            200,
        )
        .await;
        two.done(
            by,
            (Method::GET, &format!("/v1/dead-letters/{theirs}")),
            &Value::Null,
            404,
        )
        .await;
    }
    let redeliver = "/v1/dead-letters/redeliver";
    for choice in [
        json!({"ids": [theirs]}),
        json!({"bus": "other"}),
        json!({"subscription": "theirs"}),
    ] {
        two.done(&two.shop, (Method::POST, redeliver), &choice, 403).await;
        let answer = two.done(&two.lead, (Method::POST, redeliver), &choice, 200).await;
        assert_eq!(
            (&answer["matched"], &answer["redelivered"]),
            (&json!(0), &json!(0)),
            "{choice}: {answer}"
        );
        let answer = two
            .done(&two.lead, (Method::DELETE, "/v1/dead-letters"), &choice, 200)
            .await;
        assert_eq!(answer["dropped"], 0, "{choice}: {answer}");
    }
    let all = json!({"all": true, "dry_run": true});
    let counted = two
        .done(&two.lead, (Method::DELETE, "/v1/dead-letters"), &all, 200)
        .await;
    assert_eq!(counted["matched"], 1, "{counted}");
    let all = json!({"all": true});
    two.done(&two.shop, (Method::DELETE, "/v1/dead-letters"), &all, 403)
        .await;
    let answer = two
        .done(&two.lead, (Method::DELETE, "/v1/dead-letters"), &all, 200)
        .await;
    assert_eq!(answer["dropped"], 1, "{answer}");
    assert_eq!(two.seen(&two.root, "").await, [(theirs, "other".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_and_explanations_of_another_bus_are_not_there() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let two = Two::start(folder.path(), &sink).await;
    let wish = |id: &str| json!({"subscription": id, "from": "earliest"});
    two.done(&two.shop, (Method::POST, "/v1/replay"), &wish("mine"), 403)
        .await;
    two.done(&two.lead, (Method::POST, "/v1/replay"), &wish("theirs"), 404)
        .await;
    let peek = json!({"subscription": "theirs", "from": "earliest", "dry_run": true});
    two.done(&two.lead, (Method::POST, "/v1/replay"), &peek, 404).await;
    let mine = two
        .done(&two.lead, (Method::POST, "/v1/replay"), &wish("mine"), 202)
        .await;
    let theirs = two
        .done(&two.root, (Method::POST, "/v1/replay"), &wish("theirs"), 202)
        .await;
    let path = |replay: &Value| format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    for by in [&two.lead, &two.shop] {
        let list = two.done(by, (Method::GET, "/v1/replays"), &Value::Null, 200).await;
        let list = list["replays"].as_array().unwrap().clone();
        assert_eq!(list.len(), 1, "{list:?}");
        assert_eq!(list[0]["id"], mine["id"]);
        let list = two
            .done(by, (Method::GET, "/v1/replays?subscription=theirs"), &Value::Null, 200)
            .await;
        assert_eq!(list["replays"], json!([]));
        two.done(by, (Method::GET, &path(&mine)), &Value::Null, 200).await;
        two.done(by, (Method::GET, &path(&theirs)), &Value::Null, 404).await;
        // Who administers no bus learns nothing else either.
        let refused = if *by == two.lead { 404 } else { 403 };
        two.done(by, (Method::DELETE, &path(&theirs)), &Value::Null, refused)
            .await;
        for (query, status) in [
            ("offset=1&subscription=mine", 200),
            ("offset=1&subscription=theirs", 404),
            ("offset=1&subscription=mine&subscription=theirs", 400),
            ("subscription=theirs&subscription=mine&offset=1", 404),
            ("offset=1&subscription=th%65irs", 404),
        ] {
            two.done(by, (Method::GET, &format!("/v1/explain?{query}")), &Value::Null, status)
                .await;
        }
    }
    two.done(&two.shop, (Method::DELETE, &path(&mine)), &Value::Null, 403)
        .await;
    // A replay goes with its subscription.
    two.done(&two.root, (Method::DELETE, "/v1/subscriptions/mine"), &Value::Null, 204)
        .await;
    two.done(&two.lead, (Method::GET, &path(&mine)), &Value::Null, 404)
        .await;
    two.done(&two.root, (Method::GET, &path(&mine)), &Value::Null, 404)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_replays_and_dead_letters_are_told_with_who_changed_them() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let two = Two::start(folder.path(), &sink).await;
    let nothing = &Value::Null;
    let lead = &two.lead;
    two.done(
        lead,
        (Method::POST, "/v1/subscriptions/mine/rotate-secret"),
        nothing,
        200,
    )
    .await;
    two.done(lead, (Method::POST, "/v1/subscriptions/mine/pause"), nothing, 200)
        .await;
    let wish = json!({"subscription": "mine", "from": "earliest"});
    let replay = two.done(lead, (Method::POST, "/v1/replay"), &wish, 202).await;
    let metrics = async || {
        let headers = [("authorization", &*format!("Bearer {}", two.root))];
        let (_, text) = two.hub.send(Method::GET, "/metrics", &headers, "").await;
        String::from_utf8_lossy(&text).into_owned()
    };
    assert!(metrics().await.contains("\nbusway_replays 1\n"));
    let path = format!("/v1/replays/{}", replay["id"].as_str().unwrap());
    two.done(lead, (Method::DELETE, &path), nothing, 200).await;
    assert!(metrics().await.contains("\nbusway_replays 0\n"));
    two.done(
        lead,
        (Method::DELETE, "/v1/dead-letters"),
        &json!({"ids": [two.letters[0]]}),
        200,
    )
    .await;
    let wanted = [
        "subscription.secret_rotated",
        "replay.started",
        "replay.cancelled",
        "dead_letters.dropped",
    ];
    let all_there = async || {
        let told = two
            .done(&two.root, (Method::GET, "/v1/buses/busway/events"), nothing, 200)
            .await;
        let told = told["events"].as_array().unwrap().clone();
        wanted.iter().all(|word| {
            let ty = format!("busway.{word}");
            let mut of = told
                .iter()
                .map(|record| &record["event"])
                .filter(|event| event["type"] == ty);
            of.any(|event| event["actor"] == "lead" && event["actoraddress"] == "127.0.0.1")
        })
    };
    until("the audit is whole", all_there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_uploaded_under_revoked_credentials_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, root) = guarded(folder.path()).await;
    for (path, media, body) in [
        (
            "/v1/events",
            "application/cloudevents+json",
            r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#,
        ),
        (
            "/api/audit/v1/events",
            "application/json",
            r#"{"type":"service","action":"update","resource_uri":"/x/"}"#,
        ),
    ] {
        let shop = make(&hub, Some(&root), json!({"name": "shop", "scopes": ["publish"]})).await;
        let mut socket = TcpStream::connect(hub.address()).await.unwrap();
        let (host, length) = (hub.address(), body.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {shop}\r\ncontent-type: {media}\r\n\
             content-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 25];
        socket.read_exact(&mut first).await.unwrap();
        assert!(
            first.starts_with(b"HTTP/1.1 100 "),
            "the hub waits for the body: {first:?}"
        );
        let (gone, answer) = ask(&hub, Some(&root), Method::DELETE, "/v1/tokens/shop", "").await;
        assert_eq!(gone, 204, "{answer}");
        socket.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer}");
    }
    // A bus is made by its first event.
    let (found, answer) = ask(&hub, Some(&root), Method::GET, "/v1/events", "").await;
    assert_eq!(found, 404, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_make_no_sense_are_refused_and_harm_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_with(folder.path(), &["--auth-failures", "none"]).await;
    let root = make(&hub, None, json!({"name": "root", "scopes": ["admin"]})).await;
    let (id, secret) = root.rsplit_once('_').unwrap();
    for (credentials, codes) in [
        (format!("Bearer  {root}  "), &[200][..]),
        (format!("bEARER {root}"), &[200]),
        (format!("Bearer {id} _{secret}"), &[401]),
        (format!("Bearer {root}\t{root}"), &[401]),
        (format!("Bearer {}", root.to_ascii_uppercase()), &[401]),
        (format!("Bearer {root}{root}"), &[401]),
        (format!("Bearer {id}_{}", "0".repeat(64)), &[401]),
        (format!("Basic {root}"), &[401]),
        ("Basic cm9vdA==".into(), &[401]),
        ("Basic Og==".into(), &[401]),
        ("Basic /////w==".into(), &[401]),
        ("Bearer".into(), &[401]),
        ("Bearer :".into(), &[401]),
        ("Bearer root:".into(), &[401]),
        ("token=".into(), &[401]),
        ("ApiKey root".into(), &[401]),
        (String::new(), &[401]),
        (format!("Bearer {}", "x".repeat(20_000)), &[401, 431]),
        (format!("Basic {}", "QUFB".repeat(15_000)), &[401, 431]),
        (format!("Bearer {}", ":".repeat(7_000)), &[401]),
    ] {
        for path in ["/v1/subscriptions", "/v2/eventSubscriptions", "/pulp/api/v2/events/"] {
            let headers = [("authorization", credentials.as_str())];
            let asked = tokio::time::timeout(PATIENCE, hub.send(Method::GET, path, &headers, ""));
            let (found, _) = asked.await.expect("an answer");
            assert!(codes.contains(&found), "{path} {:.90}: {found}", credentials);
        }
    }
}
