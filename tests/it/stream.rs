//! Streams of the real program: filters, resumption over a kill, heartbeats, gaps, slow readers, and the goodbye.

use serde_json::{Value, json};

use crate::support::{HubProcess, Received, Sse, WebSocket};

const FILTER: &str = "type=order.*&source=/shop&filter=%7B%22prefix%22%3A%7B%22subject%22%3A%22/eu%22%7D%7D";

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_take_the_same_filters_and_show_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let path = format!("/v1/stream?from=earliest&{FILTER}");
    let (mut sse, mut socket) = (
        Sse::open(&hub, &path, &[]).await,
        WebSocket::open(&hub, &path, &[]).await,
    );
    let mut wanted = Vec::new();
    for (n, (ty, source, subject)) in [
        ("order.made", "/shop", "/eu/1"),
        ("order.made", "/other", "/eu/2"),
        ("invoice.made", "/shop", "/eu/3"),
        ("order.made", "/shop", "/us/4"),
        ("order.paid", "/shop", "/eu/5"),
        ("order.sent", "/shop", "/eu/6"),
    ]
    .into_iter()
    .enumerate()
    {
        let event = json!({"specversion": "1.0", "id": n.to_string(), "source": source, "type": ty, "subject": subject, "data": {"n": n}});
        let answer = hub.publish(&event).await;
        if [0, 4, 5].contains(&n) {
            wanted.push((answer["events"][0]["offset"].clone(), event));
        }
    }
    for (offset, event) in wanted {
        let frame = sse.event().await;
        assert_eq!(
            (json!(frame.id), json!(frame.event)),
            (offset.clone(), event["type"].clone())
        );
        assert_same(&event, &frame.json());
        let text = socket.event().await;
        assert_eq!(text["offset"], offset);
        assert_same(&event, &text["event"]);
    }
}

/// Everything that was published is there as it was (the hub may add what it defaults).
fn assert_same(published: &Value, shown: &Value) {
    for (name, value) in published.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name} of {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_resumes_over_a_kill_without_a_gap_or_a_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start(folder.path()).await;
    hub.publish_many("resume", 0..50, 10).await;
    let mut before = Sse::open(&hub, "/v1/stream?from=earliest", &[]).await;
    assert_eq!(before.offsets(20).await, (1..=20).collect::<Vec<_>>());
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;

    let rest: Vec<u64> = (21..=60).collect();
    let mut by_id = Sse::open(&hub, "/v1/stream", &[("last-event-id", "20")]).await;
    let mut both = Sse::open(&hub, "/v1/stream?from=earliest", &[("last-event-id", "20")]).await;
    let mut by_from = Sse::open(&hub, "/v1/stream?from=21", &[]).await;
    let mut socket = WebSocket::open(&hub, "/v1/stream?from=21", &[]).await;
    let mut socket_by_id = WebSocket::open(&hub, "/v1/stream", &[("last-event-id", "20")]).await;
    let mut future = Sse::open(&hub, "/v1/stream", &[("last-event-id", "50")]).await;
    hub.publish_many("resume", 50..60, 10).await;
    assert_eq!(by_id.offsets(40).await, rest, "Last-Event-ID");
    assert_eq!(
        both.offsets(40).await,
        rest,
        "Last-Event-ID says more than `from`: it is what a browser repeats"
    );
    assert_eq!(by_from.offsets(40).await, rest, "from");
    assert_eq!(socket.offsets(40).await, rest, "from, WebSocket");
    assert_eq!(socket_by_id.offsets(40).await, rest, "Last-Event-ID, WebSocket");
    assert_eq!(future.offsets(10).await, rest[30..], "nothing was waiting");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_beats() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let (mut sse, mut socket) = (
        Sse::open(&hub, "/v1/stream", &[]).await,
        WebSocket::open(&hub, "/v1/stream", &[]).await,
    );
    socket.send(0x89, b"are you there").await;
    assert_eq!(socket.receive().await, Received::Pong(b"are you there".to_vec()));
    assert!(!sse.frame().await.unwrap().beat, "the greeting");
    let (beat, ping) = tokio::join!(sse.frame(), socket.receive());
    assert!(beat.unwrap().beat);
    assert_eq!(ping, Received::Ping(Vec::new()));
    socket.send(0x8a, b"").await;
    hub.publish_many("after", 0..1, 0).await;
    assert_eq!(sse.offsets(1).await, [1], "it goes on after a beat");
    assert_eq!(socket.offsets(1).await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_is_told_as_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ["--log-segment-size", "64KiB", "--log-retention-size", "300KiB"];
    let hub = HubProcess::start_with(folder.path(), &limits).await;
    for part in 0..20 {
        hub.publish_many("trimmed", part * 10..(part + 1) * 10, 4_000).await;
    }
    hub.until_metric("busway_log_bytes{bus=\"default\"}", |bytes| bytes <= 307_200.0)
        .await;
    let page = hub.get("/v1/events?limit=1").await;
    let kept = page["events"][0]["offset"].as_u64().unwrap();
    assert!(kept > 1, "{page}");
    let rest: Vec<u64> = (kept..=201).collect();
    let mut sse = Sse::open(&hub, "/v1/stream?from=1", &[]).await;
    let mut resumed = Sse::open(&hub, "/v1/stream", &[("last-event-id", "3")]).await;
    let mut earliest = Sse::open(&hub, "/v1/stream?from=earliest", &[]).await;
    let mut socket = WebSocket::open(&hub, "/v1/stream?from=1", &[]).await;
    hub.publish_many("trimmed", 200..201, 0).await;

    let gap = sse.event().await;
    assert_eq!((gap.event.as_deref(), gap.id), (Some("gap"), None));
    assert_eq!(gap.json(), json!({"from": 1, "to": kept}));
    assert_eq!(sse.offsets(rest.len()).await, rest);
    assert_eq!(resumed.event().await.json(), json!({"from": 4, "to": kept}));
    assert_eq!(resumed.offsets(rest.len()).await, rest);
    assert_eq!(
        earliest.offsets(rest.len()).await,
        rest,
        "who asked for what is there misses nothing"
    );
    assert_eq!(socket.event().await, json!({"gap": {"from": 1, "to": kept}}));
    assert_eq!(socket.offsets(rest.len()).await, rest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_holds_nobody_and_gets_everything_later() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut slow = Sse::open(&hub, "/v1/stream?from=earliest", &[]).await;
    let mut slow_socket = WebSocket::open(&hub, "/v1/stream?from=earliest", &[]).await;
    let mut quick = Sse::open(&hub, "/v1/stream?from=earliest", &[]).await;
    let (parts, size) = (20, 100);
    // More than what sockets hold: 20 MB.
    for part in 0..parts {
        hub.publish_many("much", part * size..(part + 1) * size, 10_000).await;
        let expected: Vec<u64> = (part * size + 1..=(part + 1) * size).collect();
        assert_eq!(quick.offsets(expected.len()).await, expected);
    }
    let all: Vec<u64> = (1..=parts * size).collect();
    assert_eq!(slow.offsets(all.len()).await, all);
    assert_eq!(slow_socket.offsets(all.len()).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_told_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = HubProcess::start(folder.path()).await;
    let (mut sse, mut socket) = (
        Sse::open(&hub, "/v1/stream", &[]).await,
        WebSocket::open(&hub, "/v1/stream", &[]).await,
    );
    hub.publish_many("last", 0..1, 0).await;
    assert_eq!((sse.offsets(1).await, socket.offsets(1).await), (vec![1], vec![1]));
    assert_eq!(hub.terminate().await, Some(0), "{:#?}", hub.log());
    assert_eq!(socket.receive().await, Received::Close(1001));
    assert_eq!(sse.frame().await, None, "the last chunk, not a cut");
}
