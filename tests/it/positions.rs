//! Where reading begins: the same words mean the same place to subscriptions, streams, `GET /v1/events` and replays.

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, Sse};

const SMALL: [&str; 4] = ["--log-segment-size", "64KiB", "--log-retention-size", "300KiB"];

/// When the record at this offset came.
async fn received(hub: &HubProcess, offset: u64) -> String {
    let page = hub.get(&format!("/v1/events?from={offset}&limit=1")).await;
    page["events"][0]["received"].as_str().unwrap().to_owned()
}

async fn first_read(hub: &HubProcess, from: &str) -> Option<u64> {
    let page = hub.get(&format!("/v1/events?from={from}&limit=1")).await;
    page["events"][0]["offset"].as_u64()
}

async fn first_streamed(hub: &HubProcess, from: &str) -> u64 {
    let mut stream = Sse::open(hub, &format!("/v1/stream?from={from}"), &[]).await;
    loop {
        let frame = stream.event().await;
        if frame.event.as_deref() != Some("gap") {
            return frame.id.unwrap();
        }
    }
}

async fn first_delivered(hub: &HubProcess, receiver: &Receiver, name: &str, start: &Value) -> u64 {
    let path = format!("/{name}");
    let one = json!({"sink": receiver.url(&path), "config": {"start": start, "ordering": "all"}});
    hub.put(&format!("/v1/subscriptions/{name}"), &one).await;
    first_of(receiver, &path, name).await
}

async fn first_replayed(hub: &HubProcess, receiver: &Receiver, from: &Value) -> u64 {
    let begun = hub
        .post("/v1/replay", &json!({"subscription": "r", "from": from}))
        .await;
    let replay = begun["id"].as_str().unwrap().to_owned();
    let marked = |request: &&Request| {
        request
            .headers
            .get("busway-replay")
            .is_some_and(|mark| *mark == *replay)
    };
    let seen = receiver
        .wait_until("the replay came", |seen| seen.iter().any(|one| marked(&one)))
        .await;
    // Only so many may go on at once.
    let path = format!("/v1/replays/{replay}");
    hub.send(Method::DELETE, &path, &[], "").await;
    offset(seen.iter().find(marked).unwrap(), "r")
}

async fn first_of(receiver: &Receiver, path: &str, name: &str) -> u64 {
    let seen = receiver
        .wait_until("the first came", |seen| seen.iter().any(|one| one.path == path))
        .await;
    offset(seen.iter().find(|one| one.path == path).unwrap(), name)
}

fn offset(request: &Request, name: &str) -> u64 {
    let id = request.headers["webhook-id"].to_str().unwrap();
    id.trim_start_matches(&format!("msg_{name}_")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_the_same_place_for_everybody() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start_with(folder.path(), &SMALL).await;
    for part in 0..20 {
        hub.publish_many("x", part * 10..(part + 1) * 10, 4_000).await;
    }
    hub.until_metric("busway_log_bytes{bus=\"default\"}", |bytes| bytes <= 307_200.0)
        .await;
    let first = first_read(&hub, "earliest").await.unwrap();
    assert!(first > 1);
    let replayer = json!({"sink": receiver.url("/r"), "config": {"ordering": "all"}});
    hub.put("/v1/subscriptions/r", &replayer).await;
    let at = received(&hub, 195).await;
    let at_first = first_read(&hub, &at).await.unwrap();
    assert!(at_first <= 195, "all that came in that millisecond");
    for (n, (text, start, place)) in [
        ("earliest", json!("earliest"), first),
        ("1", json!(1), first),
        ("198", json!(198), 198),
        (at.as_str(), json!(at), at_first),
        ("1999-01-01T00:00:00Z", json!("1999-01-01T00:00:00Z"), first),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(first_read(&hub, text).await, Some(place), "GET /v1/events from {text}");
        assert_eq!(first_streamed(&hub, text).await, place, "stream from {text}");
        assert_eq!(
            first_delivered(&hub, &receiver, &format!("s{n}"), &start).await,
            place,
            "subscription from {text}"
        );
        assert_eq!(
            first_replayed(&hub, &receiver, &start).await,
            place,
            "replay from {text}"
        );
    }
    let begun = hub
        .post("/v1/replay", &json!({"subscription": "r", "from": 1, "dry_run": true}))
        .await;
    assert_eq!(begun["missed"], first - 1, "what retention took is told before");
    let replays = hub.get("/v1/replays").await;
    let missed = replays["replays"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["from"] == 1)
        .unwrap();
    assert_eq!(missed["missed"], first - 1, "and after: {missed}");
    nothing_yet(&hub).await;
}

/// Past the end there is nothing yet, and nobody is refused for it.
async fn nothing_yet(hub: &HubProcess) {
    for text in ["latest", "201", "99999", "2999-01-01T00:00:00Z"] {
        let page = hub.get(&format!("/v1/events?from={text}")).await;
        assert_eq!(
            (&page["events"], &page["next"]),
            (&json!([]), &json!(201)),
            "{text}: nothing yet"
        );
        let covers = hub
            .post(
                "/v1/replay",
                &json!({"subscription": "r", "from": text, "dry_run": true}),
            )
            .await;
        assert_eq!(
            (&covers["from"], &covers["offsets"]),
            (&json!(201), &json!(0)),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_past_the_end_gets_what_comes_next() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    hub.publish_many("x", 0..5, 0).await;
    let starts = [json!("latest"), json!(6), json!(99_999), json!("2999-01-01T00:00:00Z")];
    for (n, start) in starts.iter().enumerate() {
        let one = json!({"sink": receiver.url(&format!("/s{n}")), "config": {"start": start}});
        hub.put(&format!("/v1/subscriptions/s{n}"), &one).await;
    }
    hub.publish_many("x", 5..6, 0).await;
    for (n, start) in starts.iter().enumerate() {
        let name = format!("s{n}");
        assert_eq!(first_of(&receiver, &format!("/{name}"), &name).await, 6, "{start}");
    }
    for wrong in ["yesterday", "-1", "1.5", "", "2026-01-31"] {
        let one = json!({"sink": receiver.url("/w"), "config": {"start": wrong}}).to_string();
        let headers = [("content-type", "application/json")];
        let (made, _) = hub.send(http::Method::POST, "/v1/subscriptions", &headers, one).await;
        let (read, _) = hub
            .send(http::Method::GET, &format!("/v1/events?from={wrong}"), &[], "")
            .await;
        let (streamed, _) = hub
            .send(http::Method::GET, &format!("/v1/stream?from={wrong}"), &[], "")
            .await;
        assert_eq!((made, read, streamed), (400, 400, 400), "{wrong:?}");
    }
}
