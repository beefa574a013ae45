//! Nothing grows with what others do or fail to do: slow readers, held bodies, too many streams.

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{HubProcess, PATIENCE, Sse, until};

/// The padding of one event, bytes: more than sockets swallow within a few.
const PADDING: usize = 50_000;
const SLOW: usize = 40;
const EVENTS: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_stand_still_cost_a_position_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(Sse::open(&hub, "/v1/stream?from=earliest", &[]).await);
    }
    let mut quick = Sse::open(&hub, "/v1/stream?from=earliest", &[]).await;
    let mut full = 0;
    for first in (0..EVENTS).step_by(50) {
        hub.publish_many("big", first..first + 50, PADDING).await;
        assert_eq!(quick.offsets(50).await.len(), 50, "one that reads is not held up");
        if first == 150 {
            full = hub.resident_mib();
        }
    }
    // What comes after the first 200 events is 40 times 20 MB; a reader that stands still may hold a few events.
    let grown = hub.resident_mib().saturating_sub(full);
    assert!(grown < 64, "{grown} MiB more for readers that stand still");
    for reader in slow.iter_mut().take(3) {
        let all: Vec<u64> = (1..=EVENTS).collect();
        assert_eq!(reader.offsets(all.len()).await, all, "nothing is left out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_at_hand_are_bounded_together_and_who_is_refused_may_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_with(folder.path(), &["--limits-body-memory", "8MiB"]).await;
    // Announced, begun, and not finished. While somebody asks it finds no room itself, and begins again.
    let mut held = begun(&hub, 8 << 20).await;
    until("a second body finds no room", async || {
        let full = ask(&hub).await.0 == 429;
        if !full {
            held = begun(&hub, 8 << 20).await;
        }
        full
    })
    .await;
    let (_, refused) = ask(&hub).await;
    assert_eq!(refused["code"], "hub_busy");
    assert!(
        refused["detail"].as_str().unwrap().contains("limits.body_memory"),
        "{refused}"
    );
    hub.until_metric("busway_requests_refused_total{code=\"hub_busy\"}", |count| count > 0.0)
        .await;
    drop(held);
    until("its room is free again", async || ask(&hub).await.0 == 202).await;
}

/// A request whose body does not end.
async fn begun(hub: &HubProcess, length: usize) -> TcpStream {
    let mut socket = TcpStream::connect(hub.address()).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {}\r\ncontent-type: application/cloudevents-batch+json\r\ncontent-length: {length}\r\n\r\n[",
        hub.address()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

async fn ask(hub: &HubProcess) -> (u16, Value) {
    let headers = [("content-type", "application/cloudevents+json")];
    let event = json!({"specversion": "1.0", "id": "1", "source": "/it", "type": "t"});
    let (status, body) = hub.send(Method::POST, "/v1/events", &headers, event.to_string()).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_a_bound_of_their_own_so_that_publishers_find_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_with(folder.path(), &["--limits-streams", "2"]).await;
    let first = Sse::open(&hub, "/v1/stream", &[]).await;
    let _second = Sse::open(&hub, "/v2/events", &[("accept", "text/event-stream")]).await;
    let (status, answer) = hub.send(Method::GET, "/v1/stream", &[], "").await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((status, &answer["code"]), (429, &json!("too_many_streams")), "{answer}");
    assert_eq!(ask(&hub).await.0, 202);
    drop(first);
    until("its place is free again", async || opens(&hub).await).await;
}

/// Whether one more stream is let in; it is left at once.
async fn opens(hub: &HubProcess) -> bool {
    let mut socket = TcpStream::connect(hub.address()).await.unwrap();
    let request = format!("GET /v1/stream HTTP/1.1\r\nhost: {}\r\n\r\n", hub.address());
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    let read = tokio::time::timeout(PATIENCE, socket.read_exact(&mut head)).await;
    read.expect("an answer").expect("its first line");
    head.ends_with(b"200")
}
