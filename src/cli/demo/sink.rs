//! The subscribers' side: an HTTP sink that can be killed and started again on the same port.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::Value;

use super::board::{Board, Who};
use crate::cli::exit::{Code, Failure};
use crate::config::value::Address;
use crate::server::{ConnectionLimits, accept, bind};
use crate::tasks::Tasks;

/// A sink that is killed waits no longer than this for a request at hand.
const KILL: Duration = Duration::from_millis(50);

/// A sink that runs.
pub(super) struct Sink {
    /// Where: `127.0.0.1:PORT`.
    pub(super) address: Address,
    who: Who,
    board: Board,
    tasks: Tasks,
}

impl Sink {
    /// Starts a sink on a free port.
    pub(super) async fn start(who: Who, board: &Board) -> Result<Self, Failure> {
        Self::start_at(Address::Tcp(([127, 0, 0, 1], 0).into()), who, board.clone()).await
    }

    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Ends it: its port answers no more. What is needed to start it again.
    pub(super) async fn kill(self) -> Dead {
        self.tasks.drain(KILL).await;
        Dead {
            address: self.address,
            who: self.who,
            board: self.board,
        }
    }

    async fn start_at(address: Address, who: Who, board: Board) -> Result<Self, Failure> {
        let bound = bind(&address, None)
            .await
            .map_err(|error| Failure::new(Code::Unavailable, error.to_string()))?;
        let address = bound.address.clone();
        let (tasks, shown) = (Tasks::new(), board.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let board = shown.clone();
            async move { Ok::<_, Infallible>(take(request, who, &board).await) }
        });
        let limits = ConnectionLimits {
            slots: Arc::new(tokio::sync::Semaphore::new(1_000)),
            header_timeout: Duration::from_secs(10),
            header_size: 64 << 10,
            counts: Default::default(),
        };
        tasks.spawn(accept(bound, service, limits, tasks.clone()));
        Ok(Self {
            address,
            who,
            board,
            tasks,
        })
    }
}

/// A sink that was killed.
pub(super) struct Dead {
    address: Address,
    who: Who,
    board: Board,
}

impl Dead {
    /// Starts it again on the same port.
    pub(super) async fn revive(self) -> Result<Sink, Failure> {
        Sink::start_at(self.address, self.who, self.board).await
    }
}

async fn take(request: Request<Incoming>, who: Who, board: &Board) -> Response<Full<Bytes>> {
    let body = request.into_body();
    let Ok(body) = body.collect().await else {
        return answer(400);
    };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    match id(who, &body) {
        Some(id) => {
            let stamp = body.pointer("/data/judged_by").and_then(Value::as_u64);
            board.arrived(who, &id, stamp.and_then(|version| u8::try_from(version).ok()));
            answer(204)
        }
        None => answer(422),
    }
}

/// The event's id: in a chat line the first word, by the demo's own template; in an event its `id`.
fn id(who: Who, body: &Value) -> Option<String> {
    match who {
        Who::Chat => body.get("text")?.as_str()?.split(' ').next().map(str::to_owned),
        _ => body.get("id")?.as_str().map(str::to_owned),
    }
}

fn answer(status: u16) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::new()));
    if let Ok(status) = http::StatusCode::from_u16(status) {
        *answer.status_mut() = status;
    }
    answer
}
