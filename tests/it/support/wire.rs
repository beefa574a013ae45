//! Streams as a client without a library sees them: a socket, the head of the answer, and what follows.
//!
//! By hand, because a library would read ahead, answer pings and reconnect by itself: the tests must see every byte
//! and be able to stop reading.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::hub::Duplex;
use super::{HubProcess, PATIENCE};

/// One frame of server-sent events.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Frame {
    /// `id`: the offset.
    pub(crate) id: Option<u64>,
    /// `event`.
    pub(crate) event: Option<String>,
    /// The `data` lines, joined.
    pub(crate) data: String,
    /// Nothing but a comment.
    pub(crate) beat: bool,
}

impl Frame {
    /// The data as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("JSON")
    }
}

/// An open stream of server-sent events.
pub(crate) struct Sse(BufReader<Box<dyn Duplex>>, String);

impl Sse {
    /// Opens it; the answer must be 200.
    pub(crate) async fn open(hub: &HubProcess, path: &str, headers: &[(&str, &str)]) -> Self {
        let (socket, head) = ask(hub, path, headers).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        Self(socket, String::new())
    }

    /// The next frame; `None` when the stream was ended properly.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.1.split_once("\n\n") {
                let read = parse(frame);
                self.1 = rest.to_owned();
                return Some(read);
            }
            let chunk = in_time("a chunk", chunk(&mut self.0)).await?;
            self.1.push_str(&String::from_utf8(chunk).expect("text"));
        }
    }

    /// The next frame that is an event: no greeting, no heartbeat.
    pub(crate) async fn event(&mut self) -> Frame {
        loop {
            let frame = self.frame().await.expect("the stream goes on");
            if frame.event.is_some() {
                return frame;
            }
        }
    }

    /// The offsets of the next so many events.
    pub(crate) async fn offsets(&mut self, count: usize) -> Vec<u64> {
        let mut offsets = Vec::with_capacity(count);
        while offsets.len() < count {
            let frame = self.event().await;
            offsets.push(frame.id.unwrap_or_else(|| panic!("no id: {frame:?}")));
        }
        offsets
    }
}

fn parse(text: &str) -> Frame {
    let mut frame = Frame::default();
    let mut data = Vec::new();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => frame.id = Some(id.parse().expect("an offset")),
            Some(("event", event)) => frame.event = Some(event.to_owned()),
            Some(("data", line)) => data.push(line),
            Some(("retry", _)) => {}
            _ if line.starts_with(':') => frame.beat = true,
            _ => panic!("an unknown line: {line:?}"),
        }
    }
    frame.data = data.join("\n");
    frame
}

async fn chunk(socket: &mut BufReader<Box<dyn Duplex>>) -> Option<Vec<u8>> {
    let mut line = String::new();
    socket.read_line(&mut line).await.expect("a chunk's size");
    let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("cut off at {line:?}"));
    let mut bytes = vec![0; size + 2];
    socket.read_exact(&mut bytes).await.expect("a chunk");
    bytes.truncate(size);
    (size > 0).then_some(bytes)
}

/// What came over a WebSocket.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    /// A text frame.
    Text(String),
    /// A ping, with its payload.
    Ping(Vec<u8>),
    /// A pong, with its payload.
    Pong(Vec<u8>),
    /// A close, with its code.
    Close(u16),
}

/// An open WebSocket (RFC 6455), the client's end.
pub(crate) struct WebSocket(BufReader<Box<dyn Duplex>>);

impl WebSocket {
    /// Shakes hands; the hub must accept, with the right proof.
    pub(crate) async fn open(hub: &HubProcess, path: &str, headers: &[(&str, &str)]) -> Self {
        // The key and its proof are those of the RFC, section 1.3.
        let mut all = vec![
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        all.extend(headers);
        let (socket, head) = ask(hub, path, &all).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(
            head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{head}"
        );
        Self(socket)
    }

    /// The next frame, whole: the hub never splits one.
    pub(crate) async fn receive(&mut self) -> Received {
        in_time("a frame", async {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).await.expect("a frame");
            assert_eq!(head[1] & 0x80, 0, "a server must not mask");
            let length = match head[1] {
                126 => usize::from(self.0.read_u16().await.expect("a length")),
                127 => usize::try_from(self.0.read_u64().await.expect("a length")).expect("a length"),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.expect("a payload");
            match head[0] {
                0x81 => Received::Text(String::from_utf8(payload).expect("text")),
                0x88 => Received::Close(u16::from_be_bytes([payload[0], payload[1]])),
                0x89 => Received::Ping(payload),
                0x8a => Received::Pong(payload),
                other => panic!("a frame of kind {other:#x}"),
            }
        })
        .await
    }

    /// The next text frame as JSON.
    pub(crate) async fn event(&mut self) -> Value {
        loop {
            match self.receive().await {
                Received::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Received::Ping(payload) => self.send(0x8a, &payload).await,
                other => panic!("{other:?}"),
            }
        }
    }

    /// The offsets of the next so many events.
    pub(crate) async fn offsets(&mut self, count: usize) -> Vec<u64> {
        let mut offsets = Vec::with_capacity(count);
        while offsets.len() < count {
            let event = self.event().await;
            offsets.push(event["offset"].as_u64().unwrap_or_else(|| panic!("no offset: {event}")));
        }
        offsets
    }

    /// Sends a frame of this kind (its first byte) with a short payload, masked as a client must.
    pub(crate) async fn send(&mut self, kind: u8, payload: &[u8]) {
        let mask = [7, 1, 9, 3];
        let mut frame = vec![kind, 0x80 | u8::try_from(payload.len()).expect("a short payload")];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.0.get_mut().write_all(&frame).await.expect("send");
    }
}

/// Sends a GET and reads the head of the answer, in lower case but for the first line and values.
async fn ask(hub: &HubProcess, path: &str, headers: &[(&str, &str)]) -> (BufReader<Box<dyn Duplex>>, String) {
    let mut socket = hub.dial().await;
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", hub.address());
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    socket.write_all(request.as_bytes()).await.expect("send");
    let mut socket = BufReader::new(socket);
    let mut head = String::new();
    in_time("the head", async {
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(socket.read_line(&mut head).await.expect("a line"), 0, "cut off: {head}");
        }
    })
    .await;
    (socket, head)
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} never came"))
}

/// The value of a Basic `authorization` header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}
