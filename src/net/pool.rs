//! Connections kept alive, per origin, the newest first (so that the rest can age and go).
//!
//! A connection is its sender *and* its driver: nobody polls an idle one, whoever takes it does. That saves a task and
//! two wake-ups a request against hyper-util's pool, where a task of its own drives each connection (measured: 12
//! against 18 µs of CPU a request). What an idle connection missed (the peer's close) is seen by the first poll of
//! who takes it.
//! Age is counted in sweeps, not by a clock: the sweeper is a task that lives only while something is idle.
//! Invariant: never more than [`PER_ORIGIN`] idle connections to one origin and [`IN_ALL`] in all.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::dial::Stream;
use super::{Proxy, Trust};
use crate::tasks::Tasks;

/// Idle connections kept to one origin.
const PER_ORIGIN: usize = 128;
/// Idle connections kept in all.
const IN_ALL: usize = 1_024;
/// A connection goes after between two and three of these without use.
const SWEEP: Duration = Duration::from_secs(15);

/// Whom a connection talks to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Whom it is trusted to be named by, and who we are to it; none: as the client says.
    pub(super) trust: Option<Trust>,
    /// The proxy on the way there, with what it is asked with.
    pub(super) via: Option<Proxy>,
}

/// A connection: who sends on it, and what drives it. Dropping it closes it.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    driver: Connection<TokioIo<Stream>, Full<Bytes>>,
    /// The driver has ended and may not be polled again.
    over: bool,
}

impl Link {
    /// HTTP/1.1 on a new connection.
    pub(super) async fn open(stream: Stream) -> hyper::Result<Self> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            sender,
            driver,
            over: false,
        })
    }

    /// Sends a request; what came of it.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let answer = self.sender.try_send_request(request);
        self.driving(answer).await
    }

    /// Waits for something that needs the connection to move.
    pub(super) async fn driving<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            // Twice, because the work's own poll may be what the driver waits for (room for the next piece of
            // a body): that saves a way through the scheduler.
            for _ in 0..2 {
                self.drive(cx);
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(done);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Whether a request can be sent now. Sees what happened while nobody looked.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(!self.over && self.sender.is_ready())
        })
        .await
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.over {
            self.over = Pin::new(&mut self.driver).poll(cx).is_ready();
        }
    }
}

/// The idle connections of one client.
#[derive(Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    tasks: Tasks,
}

#[derive(Default)]
struct State {
    idle: HashMap<Origin, VecDeque<(u64, Link)>>,
    count: usize,
    sweeps: u64,
    sweeping: bool,
}

impl Pool {
    /// The connection to `origin` that was used last, if one is idle.
    pub(super) fn take(&self, origin: &Origin) -> Option<Link> {
        let mut state = self.lock();
        let (_, link) = state.idle.get_mut(origin)?.pop_back()?;
        state.count = state.count.saturating_sub(1);
        Some(link)
    }

    /// Keeps a connection for the next request, unless there are enough.
    pub(super) fn keep(self: &Arc<Self>, origin: Origin, link: Link) {
        let mut state = self.lock();
        let now = state.sweeps;
        if state.count >= IN_ALL {
            return;
        }
        let idle = state.idle.entry(origin).or_default();
        if idle.len() >= PER_ORIGIN {
            return;
        }
        idle.push_back((now, link));
        state.count += 1;
        if !state.sweeping {
            state.sweeping = true;
            drop(self.tasks.spawn(sweep(Arc::downgrade(self))));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in here can panic half way: a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.lock().count
    }
}

/// Closes what has not been used for long; ends when nothing is idle, or with the client.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut state = pool.lock();
        state.sweeps += 1;
        let oldest = state.sweeps.saturating_sub(2);
        state.idle.retain(|_, links| {
            links.retain(|(used, _)| *used >= oldest);
            !links.is_empty()
        });
        state.count = state.idle.values().map(VecDeque::len).sum();
        if state.count == 0 {
            state.sweeping = false;
            return;
        }
    }
}
