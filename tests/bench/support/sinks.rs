//! A hundred sinks in one peer process, each on a port of its own and each in the mood that it is told.
//!
//! Every sink is a listener with its connections in a set of its own: whoever changes its mood ends them all, and one that
//! refuses closes its listener too. `GET /sinks` lists the addresses, `POST /be/NTH/MOOD` sets one (`well`, `hung`,
//! `refusing`, `slow`), `GET /taken/FIRST` gives the sorted microseconds from `ce-sent` to arrival of all sinks from the
//! FIRST on, since somebody asked last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// How many.
pub(crate) const SINKS: usize = 100;
/// What a slow one takes.
const SLOW: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Hung,
    Refusing,
    Slow,
}

struct Sink {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<u64>>>,
    serving: Mutex<Option<AbortHandle>>,
}

type Sinks = Arc<Vec<Sink>>;

/// The router of the peer, with its sinks running.
pub(crate) async fn router() -> Router {
    let mut sinks = Vec::new();
    for _ in 0..SINKS {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let sink = Sink {
            address: listener.local_addr().expect("address"),
            taken: Arc::default(),
            serving: Mutex::default(),
        };
        sink.serve(listener, Mood::Well);
        sinks.push(sink);
    }
    Router::new()
        .route("/sinks", get(addresses))
        .route("/be/{nth}/{mood}", post(be))
        .route("/taken/{first}", get(taken))
        .with_state(Arc::new(sinks))
}

impl Sink {
    #[allow(clippy::disallowed_methods, reason = "a bench ends with its process")]
    fn serve(&self, listener: TcpListener, mood: Mood) {
        let taken = self.taken.clone();
        let serving = tokio::spawn(async move {
            // Ended with this task, and so are its connections.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                let taken = taken.clone();
                let answer = service_fn(move |request| answer(request, taken.clone(), mood));
                let server = hyper::server::conn::http1::Builder::new();
                connections.spawn(server.serve_connection(TokioIo::new(socket), answer));
                while connections.try_join_next().is_some() {}
            }
        });
        *self.serving.lock().expect("the task") = Some(serving.abort_handle());
    }

    async fn be(&self, mood: Mood) {
        if let Some(serving) = self.serving.lock().expect("the task").take() {
            serving.abort();
        }
        if mood == Mood::Refusing {
            return;
        }
        // The old listener is closed a moment after its task was aborted.
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        self.serve(listener, mood);
    }
}

async fn answer(
    request: Request<Incoming>,
    taken: Arc<Mutex<Vec<u64>>>,
    mood: Mood,
) -> Result<Response<Full<Bytes>>, Infallible> {
    match mood {
        Mood::Hung => std::future::pending().await,
        Mood::Slow => tokio::time::sleep(SLOW).await,
        Mood::Well | Mood::Refusing => {}
    }
    let sent = request.headers().get("ce-sent").and_then(|sent| sent.to_str().ok());
    if let Some(sent) = sent.and_then(|sent| sent.parse::<u128>().ok()) {
        let took = super::unix_nanos().saturating_sub(sent) / 1_000;
        taken
            .lock()
            .expect("the list")
            .push(u64::try_from(took).unwrap_or(u64::MAX));
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

async fn addresses(State(sinks): State<Sinks>) -> Json<Vec<SocketAddr>> {
    Json(sinks.iter().map(|sink| sink.address).collect())
}

async fn be(State(sinks): State<Sinks>, Path((nth, mood)): Path<(usize, String)>) -> StatusCode {
    let mood = match mood.as_str() {
        "well" => Mood::Well,
        "hung" => Mood::Hung,
        "refusing" => Mood::Refusing,
        "slow" => Mood::Slow,
        _ => return StatusCode::NOT_FOUND,
    };
    match sinks.get(nth) {
        Some(sink) => sink.be(mood).await,
        None => return StatusCode::NOT_FOUND,
    }
    StatusCode::NO_CONTENT
}

async fn taken(State(sinks): State<Sinks>, Path(first): Path<usize>) -> Json<Vec<u64>> {
    let mut all = Vec::new();
    for (nth, sink) in sinks.iter().enumerate() {
        let taken = std::mem::take(&mut *sink.taken.lock().expect("the list"));
        if nth >= first {
            all.extend(taken);
        }
    }
    all.sort_unstable();
    Json(all)
}
