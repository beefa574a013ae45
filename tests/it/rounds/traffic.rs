//! What goes on while the hub is killed: producers, a stream, changes of subscriptions.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::ledger::Ledger;
use crate::support::{HubProcess, PATIENCE, Receiver, client};

/// How a producer publishes.
#[derive(Clone, Copy)]
enum Way {
    Single,
    Batch(u64),
    PutEvents(u64),
}

/// Somebody who publishes, and sends again what was not answered.
struct Producer {
    name: &'static str,
    way: Way,
    next: u64,
    unanswered: Vec<Value>,
    ledger: Ledger,
}

/// Everything that goes on, kept from round to round.
pub(super) struct Traffic {
    producers: Vec<Producer>,
    /// The offsets that the stream has told.
    pub(super) streamed: Vec<u64>,
    changes: u64,
    ledger: Ledger,
}

impl Traffic {
    pub(super) fn new(ledger: Ledger) -> Self {
        let ways = [
            ("a", Way::Single),
            ("b", Way::Single),
            ("c", Way::Batch(7)),
            ("d", Way::PutEvents(3)),
        ];
        let producer = |(name, way)| Producer {
            name,
            way,
            next: 0,
            unanswered: Vec::new(),
            ledger: ledger.clone(),
        };
        Self {
            producers: ways.map(producer).into(),
            streamed: Vec::new(),
            changes: 0,
            ledger: ledger.clone(),
        }
    }

    /// Publishes one event that its only subscriber always refuses.
    pub(super) async fn publish_undeliverable(&self, hub: &HubProcess, round: u64) {
        let id = format!("dead-{round}");
        self.ledger.send(std::slice::from_ref(&id));
        let event = json!({"specversion": "1.0", "id": id, "source": "/rounds", "type": "round.dead", "data": {}});
        let answer = hub.publish(&event).await;
        self.ledger.promise(&[id], &[answer["events"][0]["offset"].as_u64()]);
    }

    /// Lets everybody work until so many events are acknowledged, and a little longer; then kills the hub.
    pub(super) async fn run_until_killed(
        &mut self,
        hub: &mut HubProcess,
        receiver: &Receiver,
        (enough, more): (u64, Duration),
    ) {
        let until = self.ledger.promised() + enough;
        let mut producers = JoinSet::new();
        for mut producer in self.producers.drain(..) {
            let base = hub.url("");
            producers.spawn(async move {
                while producer.publish(&base).await {}
                producer
            });
        }
        let mut beside = JoinSet::new();
        let (address, last) = (hub.address().to_owned(), self.streamed.last().copied());
        beside.spawn(async move { Beside::Streamed(stream(address, last).await) });
        let (base, sink, first, ledger) = (hub.url(""), receiver.url(""), self.changes, self.ledger.clone());
        beside.spawn(async move { Beside::Changes(change(&base, &sink, first, &ledger).await) });
        while self.ledger.promised() < until {
            tokio::task::yield_now().await;
        }
        // Not a wait for anything: the moment of the kill is to be a random one.
        tokio::time::sleep(more).await;
        hub.kill().await;
        self.producers = producers.join_all().await;
        self.producers.sort_by_key(|producer| producer.name);
        for ended in beside.join_all().await {
            match ended {
                Beside::Streamed(offsets) => self.streamed.extend(offsets),
                Beside::Changes(changes) => self.changes = changes,
            }
        }
    }

    /// Sends what is still unanswered.
    pub(super) async fn send_again(&mut self, hub: &HubProcess) {
        for producer in &mut self.producers {
            if !producer.unanswered.is_empty() {
                assert!(producer.publish(&hub.url("")).await, "the hub is there");
            }
        }
    }
}

enum Beside {
    Streamed(Vec<u64>),
    Changes(u64),
}

impl Producer {
    /// Publishes once; whether there was an answer.
    async fn publish(&mut self, base: &str) -> bool {
        if self.unanswered.is_empty() {
            let count = match self.way {
                Way::Single => 1,
                Way::Batch(count) | Way::PutEvents(count) => count,
            };
            self.unanswered = (self.next..self.next + count)
                .map(|number| self.event(number))
                .collect();
            self.next += count;
        }
        let ids = self
            .unanswered
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned());
        let ids: Vec<String> = ids.collect();
        self.ledger.send(&ids);
        let Ok(answer) = client().send(self.request(base), PATIENCE, 1 << 20).await else {
            return false;
        };
        let text: Value = serde_json::from_slice(&answer.body).unwrap();
        let offsets: Vec<Option<u64>> = match self.way {
            Way::PutEvents(_) => {
                let taken = (answer.status.as_u16(), &text["FailedEntryCount"]);
                assert_eq!(taken, (200, &json!(0)), "{text}");
                vec![None; ids.len()]
            }
            Way::Single | Way::Batch(_) => {
                assert_eq!(answer.status, 202, "{text}");
                let events = text["events"].as_array().unwrap().iter();
                events.map(|event| event["offset"].as_u64()).collect()
            }
        };
        self.ledger.promise(&ids, &offsets);
        self.unanswered.clear();
        true
    }

    fn request(&self, base: &str) -> http::Request<bytes::Bytes> {
        let batch = || Value::from(self.unanswered.clone()).to_string();
        let (path, form, body) = match self.way {
            Way::Single => (
                "/v1/events",
                "application/cloudevents+json",
                self.unanswered[0].to_string(),
            ),
            Way::Batch(_) => ("/v1/events", "application/cloudevents-batch+json", batch()),
            Way::PutEvents(_) => ("/openapi/putEvents", "application/cloudevents-batch+json", batch()),
        };
        let request = http::Request::post(format!("{base}{path}")).header("content-type", form);
        request.body(body.into()).unwrap()
    }

    fn event(&self, number: u64) -> Value {
        json!({"specversion": "1.0", "id": format!("{}-{number}", self.name), "source": format!("/rounds/{}", self.name),
            "type": "round.n", "subject": self.name, "data": {"padding": "x".repeat(400)}})
    }
}

/// Follows the stream until it is cut off; the offsets that came whole.
async fn stream(address: String, last: Option<u64>) -> Vec<u64> {
    let Ok(mut socket) = TcpStream::connect(&address).await else {
        return Vec::new();
    };
    let resume = last
        .map(|last| format!("last-event-id: {last}\r\n"))
        .unwrap_or_default();
    let request = format!("GET /v1/stream?from=earliest HTTP/1.1\r\nhost: {address}\r\n{resume}\r\n");
    let (mut bytes, mut part) = (Vec::new(), vec![0; 64 << 10]);
    if socket.write_all(request.as_bytes()).await.is_ok() {
        while let Ok(read @ 1..) = socket.read(&mut part).await {
            bytes.extend_from_slice(&part[..read]);
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let frames = dechunked(body);
    assert!(!frames.contains("event: gap"), "the stream tells of a gap: {frames}");
    let whole = frames.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    whole
        .lines()
        .filter_map(|line| line.strip_prefix("id: ")?.parse().ok())
        .collect()
}

/// The whole chunks of a body.
fn dechunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Some(chunk) = usize::from_str_radix(size, 16).ok().and_then(|size| rest.get(..size)) else {
            break;
        };
        text.push_str(chunk);
        body = rest.get(chunk.len() + 2..).unwrap_or_default();
    }
    text
}

/// Creates and removes subscriptions, pauses one and resumes it, until the hub is gone; the next number.
async fn change(base: &str, sink: &str, first: u64, ledger: &Ledger) -> u64 {
    let mut number = first;
    loop {
        let (id, before) = (
            format!("temporary{number}"),
            format!("temporary{}", number.saturating_sub(2)),
        );
        number += 1;
        let subscription = json!({"types": ["round.n"], "sink": format!("{sink}/{id}"), "protocolsettings": {"format": "structured"},
            "config": {"schedule": ["50ms"], "max_attempts": 1_000}});
        if !ask(base, Method::PUT, &format!("/v1/subscriptions/{id}"), &subscription).await {
            return number;
        }
        ledger.created(&id);
        for verb in ["pause", "resume"] {
            if !ask(
                base,
                Method::POST,
                &format!("/v1/subscriptions/paused/{verb}"),
                &Value::Null,
            )
            .await
            {
                return number;
            }
        }
        if number > 2 {
            ledger.removing(&before);
            if !ask(
                base,
                Method::DELETE,
                &format!("/v1/subscriptions/{before}"),
                &Value::Null,
            )
            .await
            {
                return number;
            }
            ledger.removed(&before);
        }
    }
}

/// Asks the hub for a change; whether it was answered.
async fn ask(base: &str, method: Method, path: &str, body: &Value) -> bool {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("{base}{path}"))
        .header("content-type", "application/json");
    match client()
        .send(request.body(body.to_string().into()).unwrap(), PATIENCE, 1 << 20)
        .await
    {
        // A removal whose answer a kill took is asked for again, and finds nothing.
        Ok(answer) => {
            assert!(
                answer.status.is_success() || answer.status == 404,
                "{path}: {} {:?}",
                answer.status,
                answer.body
            );
            true
        }
        Err(_) => false,
    }
}
