//! A sink: an HTTP server that records every request and answers as the test tells it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::PATIENCE;

/// One request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its method.
    pub(crate) method: http::Method,
    /// Its path.
    pub(crate) path: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Request {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

type Rule = Box<dyn Fn(&Request) -> Response + Send>;

struct Shared {
    seen: watch::Sender<Vec<Request>>,
    rule: Mutex<Rule>,
}

/// A sink on a free port of the loopback address.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// A sink that answers 204.
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            seen: watch::Sender::default(),
            rule: Mutex::new(Box::new(|_| status(204))),
        });
        let router = Router::new().fallback(record).with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        #[allow(clippy::disallowed_methods, reason = "aborted when the receiver is dropped")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serve") });
        Self {
            address,
            shared,
            server,
        }
    }

    /// The URL of a path at this sink.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on, answers by `rule`.
    pub(crate) fn answer(&self, rule: impl Fn(&Request) -> Response + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Everything that has arrived.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.shared.seen.borrow().clone()
    }

    /// Waits until what has arrived satisfies `enough`; fails the test, saying what it waited for, if it never does.
    pub(crate) async fn wait_until(&self, what: &str, enough: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let mut seen = self.shared.seen.subscribe();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| enough(seen))).await;
        match waited {
            Ok(seen) => seen.expect("the receiver lives").clone(),
            Err(_) => panic!("never came true: {what}; {} requests had arrived", self.seen().len()),
        }
    }

    /// Waits for so many requests.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Request> {
        self.wait_until(&format!("{count} requests arrived"), |seen| seen.len() >= count)
            .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An empty answer.
pub(crate) fn status(code: u16) -> Response {
    let mut answer = Response::default();
    *answer.status_mut() = http::StatusCode::from_u16(code).expect("a status");
    answer
}

async fn record(State(shared): State<Arc<Shared>>, request: http::Request<axum::body::Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let request = Request {
        method: parts.method,
        path: parts.uri.to_string(),
        headers: parts.headers,
        body,
    };
    let answer = (shared.rule.lock().unwrap())(&request);
    shared.seen.send_modify(|seen| seen.push(request));
    answer
}
