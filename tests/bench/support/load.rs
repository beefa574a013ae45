//! Load over raw hyper connections: the cheapest client there is, so that the server is what is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::now;

/// What a load did.
pub(crate) struct Run {
    /// Requests answered as hoped.
    pub(crate) done: u64,
    /// How long it took, seconds.
    pub(crate) seconds: f64,
    /// Time of each answer, microseconds, sorted.
    pub(crate) latencies: Vec<u64>,
}

impl Run {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }
}

/// One open connection.
pub(crate) async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(address).await.expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("handshake");
    #[allow(clippy::disallowed_methods, reason = "a bench ends with its process")]
    tokio::spawn(connection);
    sender
}

/// One request, whole; its status and body.
pub(crate) async fn send(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
    sender.ready().await.expect("ready");
    let answer = sender.send_request(request).await.expect("answer");
    let status = answer.status();
    (status, answer.into_body().collect().await.expect("body").to_bytes())
}

/// A request on a connection of its own.
pub(crate) async fn once(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: impl Into<Bytes>,
) -> (StatusCode, Bytes) {
    send(
        &mut connect(address).await,
        request(address, method, path, "application/json", body.into()),
    )
    .await
}

/// A request with a body.
pub(crate) fn request(
    address: SocketAddr,
    method: Method,
    path: &str,
    content_type: &str,
    body: Bytes,
) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("content-type", content_type)
        .body(Full::new(body))
        .expect("a request")
}

/// POSTs as fast as answers come, over `connections`, for `seconds`; bodies come from `make(n)`, n unique.
pub(crate) async fn flood(
    address: SocketAddr,
    target: (&'static str, &'static str),
    connections: usize,
    seconds: f64,
    make: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static,
) -> Run {
    let (path, content_type) = target;
    let make = Arc::new(make);
    let next = Arc::new(AtomicU64::new(0));
    let begin = now();
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (make, next) = (make.clone(), next.clone());
        workers.spawn(async move {
            let mut sender = connect(address).await;
            let mut latencies = Vec::new();
            while begin.elapsed().as_secs_f64() < seconds {
                let body = make(next.fetch_add(1, Ordering::Relaxed));
                let at = now();
                let (status, answer) = send(
                    &mut sender,
                    request(address, Method::POST, path, content_type, body.into()),
                )
                .await;
                assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
                latencies.push(at.elapsed().as_micros() as u64);
            }
            latencies
        });
    }
    let mut latencies: Vec<u64> = workers.join_all().await.into_iter().flatten().collect();
    let seconds = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Run {
        done: latencies.len() as u64,
        seconds,
        latencies,
    }
}

/// Waits until the sink has counted `count` requests; how many it has when nothing came for `patience`.
pub(crate) async fn wait_count(sink: SocketAddr, count: u64, patience: Duration) -> u64 {
    let mut sender = connect(sink).await;
    let (mut seen, mut since) = (0, now());
    while seen < count && since.elapsed() < patience {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let (_, body) = send(
            &mut sender,
            request(sink, Method::GET, "/count", "text/plain", Bytes::new()),
        )
        .await;
        let new = String::from_utf8_lossy(&body).parse().unwrap_or(0);
        if new != seen {
            (seen, since) = (new, now());
        }
    }
    seen
}
