//! Room for request bodies: what all requests together hold in memory is bounded.
//!
//! A limit a body and a limit on connections are no bound: ten thousand connections with eight megabytes each are
//! more than any machine has. So a body takes its room before it is read, and keeps it until its request is answered:
//! what a handler makes of it, and what waits for the disk, is bounded with it. Who finds no room is told to come back.
//! Why a layer and not `body`: the older systems read their bodies themselves, and none of them can forget to ask.
//! Invariant: a request without a body, or whose body is small beside the bound, never waits: it is served or refused.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Problem;
use crate::error::{Error, Kind};

/// Room for the bodies of all requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Room {
    free: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Self {
            free: Arc::new(Semaphore::new(bytes)),
            bytes,
        }
    }

    /// Bytes taken now.
    pub fn taken(&self) -> usize {
        self.bytes.saturating_sub(self.free.available_permits())
    }

    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.free).try_acquire_many_owned(bytes).ok()
    }
}

/// Serves a request if there is room for its body.
pub(super) async fn hold(State(room): State<Room>, request: Request, next: Next) -> Response {
    match announced(request.headers()) {
        Some(0) => next.run(request).await,
        // What alone is more than all room waits for all of it; who reads it refuses most such before the first byte.
        Some(length) => match room.take(length.min(room.bytes)) {
            Some(_held) => next.run(request).await,
            None => busy(),
        },
        None => piecewise(room, request, next).await,
    }
}

/// How long a body is going to be; nothing if only its end will tell.
fn announced(headers: &HeaderMap) -> Option<usize> {
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok(),
        None if headers.contains_key(header::TRANSFER_ENCODING) => None,
        None => Some(0),
    }
}

/// A body in chunks takes its room as it comes.
async fn piecewise(room: Room, request: Request, next: Next) -> Response {
    let held: Arc<Mutex<Vec<Option<OwnedSemaphorePermit>>>> = Arc::default();
    let (head, body) = request.into_parts();
    let taking = Arc::clone(&held);
    let bounded = body.into_data_stream().map(move |chunk| {
        let Ok(bytes) = &chunk else { return chunk };
        let taken = room.take(bytes.len());
        let full = taken.is_none();
        taking.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
        if full { Err(axum::Error::new(Full)) } else { chunk }
    });
    // After a refusal nothing more is read.
    let bounded = bounded.scan(false, |over, chunk| {
        let ended = std::mem::replace(over, chunk.is_err());
        ready((!ended).then_some(chunk))
    });
    let response = next.run(Request::from_parts(head, Body::from_stream(bounded))).await;
    let held = held.lock().unwrap_or_else(PoisonError::into_inner);
    if held.iter().any(Option::is_none) {
        return busy();
    }
    response
}

#[derive(Debug)]
struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no room for the body")
    }
}

impl std::error::Error for Full {}

fn busy() -> Response {
    let retry_after = Duration::from_secs(1);
    let message = "the requests at hand hold more bytes than `limits.body_memory` allows; try again in a second";
    Problem::from(Error::new(Kind::Busy { retry_after }, "hub_busy", message)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use bytes::Bytes;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use tokio::sync::Notify;

    use super::*;

    /// Reads its body, and answers when it may.
    fn slow(room: &Room, may: Arc<Notify>) -> TowerToHyperService<Router> {
        let answer = move |body: Result<Bytes, axum::extract::rejection::BytesRejection>| async move {
            if body.is_err() {
                return StatusCode::BAD_REQUEST;
            }
            may.notified().await;
            StatusCode::NO_CONTENT
        };
        let router = Router::new().route("/", post(answer));
        TowerToHyperService::new(router.layer(from_fn_with_state(room.clone(), hold)))
    }

    fn whole(bytes: usize) -> Request {
        let body = Body::from(vec![b'x'; bytes]);
        Request::post("/").header("content-length", bytes).body(body).unwrap()
    }

    fn chunked(pieces: &'static [usize]) -> Request {
        let pieces = pieces.iter().map(|bytes| Ok::<_, axum::Error>(vec![b'x'; *bytes]));
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        Request::post("/")
            .header("transfer-encoding", "chunked")
            .body(body)
            .unwrap()
    }

    #[tokio::test]
    async fn a_body_keeps_its_room_until_its_request_is_answered() {
        let (room, may) = (Room::new(100), Arc::new(Notify::new()));
        let router = slow(&room, may.clone());
        for first in [whole(70), chunked(&[30, 30, 10])] {
            let mut first = std::pin::pin!(router.call(first));
            assert!(futures_util::poll!(first.as_mut()).is_pending());
            assert_eq!(room.taken(), 70);
            for refused in [whole(31), chunked(&[20, 11])] {
                let answer = router.call(refused).await.unwrap();
                assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
                assert_eq!(answer.headers()["retry-after"], "1");
            }
            assert_eq!(room.taken(), 70, "what is refused holds nothing");
            may.notify_one();
            assert_eq!(first.await.unwrap().status(), StatusCode::NO_CONTENT);
            assert_eq!(room.taken(), 0);
        }
    }
}
