//! Accepts connections and serves HTTP/1.1 on each, within limits, until told to stop.
//!
//! Why not `axum::serve`: it has no bound on headers, on the time they may take, or on connections.
//! Every request carries where it came from ([`ConnectInfo`]), unless that was a unix socket; and [`Scheme::HTTPS`] if
//! it came over TLS.
//! A TLS handshake is the connection's own matter, after it has its slot: whoever is slow at it holds up nobody.
//! Invariant: a connection holds a slot that comes back by itself; a stop lets the request at hand end.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use http::uri::Scheme;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bind::{Bound, Listener};
use super::tls::Tls;
use crate::metrics::Doors;
use crate::tasks::Tasks;
use crate::time::Clock;

/// How long to wait when the machine refuses a connection (no file handles left, most often).
const BREATHER: Duration = Duration::from_millis(100);

/// Bounds on connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Connections at once, over all addresses that share this.
    pub slots: Arc<Semaphore>,
    /// A request's header must arrive within this time.
    pub header_timeout: Duration,
    /// A request's header may be this large, in bytes.
    pub header_size: usize,
    /// Where connections are counted.
    pub counts: Doors,
}

/// What an open connection holds; it comes back by itself.
struct Held {
    _slot: OwnedSemaphorePermit,
    counts: Doors,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counts.connections.dec();
    }
}

impl ConnectionLimits {
    /// Waits for a slot.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = self.slots.clone().try_acquire_owned() {
            return Some(slot);
        }
        self.counts.connections_waited.inc();
        self.slots.clone().acquire_owned().await.ok()
    }

    /// An open connection's.
    fn held(&self, slot: OwnedSemaphorePermit) -> Held {
        self.counts.connections.inc();
        Held {
            _slot: slot,
            counts: self.counts.clone(),
        }
    }
}

/// Serves `service` at `bound` until `tasks` are asked to stop; connections are tasks of `tasks`.
pub async fn accept<S, B>(bound: Bound, service: S, limits: ConnectionLimits, tasks: Tasks)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    loop {
        let next = async {
            let slot = limits.slot().await?;
            Some((slot, accept_one(&bound.listener).await))
        };
        let accepted = tokio::select! {
            () = tasks.stopping() => return,
            accepted = next => accepted,
        };
        match accepted {
            None => return,
            Some((slot, Ok((arrived, peer)))) => {
                let (service, limits, stop) = (service.clone(), limits.clone(), tasks.clone());
                let held = limits.held(slot);
                let secured = arrived.is_veiled();
                tasks.spawn(async move {
                    let Some(stream) = arrived.open(limits.header_timeout, &stop).await else {
                        return;
                    };
                    let from = service_fn(move |mut request: Request<Incoming>| {
                        if let Some(peer) = peer {
                            request.extensions_mut().insert(ConnectInfo(peer));
                        }
                        if secured {
                            request.extensions_mut().insert(Scheme::HTTPS);
                        }
                        service.call(request)
                    });
                    serve(stream, from, &limits, &stop).await;
                    drop(held);
                });
            }
            Some((_, Err(cause))) => {
                tracing::warn!(address = %bound.address, %cause, "a connection was not accepted, will go on");
                Clock::system().sleep(BREATHER).await;
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, before anything was said.
enum Arrived {
    Open(Box<dyn Stream>),
    Veiled(TcpStream, Arc<Tls>),
}

impl Arrived {
    fn is_veiled(&self) -> bool {
        matches!(self, Self::Veiled(..))
    }

    /// The stream that HTTP is spoken on, once there is one.
    async fn open(self, within: Duration, stop: &Tasks) -> Option<Box<dyn Stream>> {
        let (stream, tls) = match self {
            Self::Open(stream) => return Some(stream),
            Self::Veiled(stream, tls) => (stream, tls),
        };
        let secured = tokio::select! {
            () = stop.stopping() => None,
            secured = tls.secure(stream, within) => secured,
        };
        secured.map(|secured| Box::new(secured) as Box<dyn Stream>)
    }
}

async fn accept_one(listener: &Listener) -> std::io::Result<(Arrived, Option<SocketAddr>)> {
    let tcp = match listener {
        Listener::Tcp(listener) | Listener::Tls(listener, _) => listener,
        Listener::Unix(listener) => return Ok((Arrived::Open(Box::new(listener.accept().await?.0)), None)),
    };
    let (stream, peer) = tcp.accept().await?;
    // Answers are small; waiting to fill a packet would cost 40 ms.
    stream.set_nodelay(true)?;
    let arrived = match listener {
        Listener::Tls(_, tls) => Arrived::Veiled(stream, Arc::clone(tls)),
        _ => Arrived::Open(Box::new(stream)),
    };
    Ok((arrived, Some(peer)))
}

async fn serve<S, B>(stream: Box<dyn Stream>, service: S, limits: &ConnectionLimits, stop: &Tasks)
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_size)
        .max_buf_size(limits.header_size.max(64 << 10))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(cause) = ended {
        // The other side went away, or spoke something else: its matter, not the operator's.
        tracing::debug!(%cause, "a connection ended early");
    }
}
