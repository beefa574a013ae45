//! Every background task has an owner: [`Tasks`] starts them, asks them to stop, and waits for them.
//!
//! Why so: `tokio::spawn` alone loses a task, and a lost task is lost work at shutdown. Clones share one owner.
//! Invariant: `tokio::spawn` and `spawn_blocking` stand in this file alone (clippy holds to it).

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The owner of a group of tasks.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

/// Work that runs elsewhere and that an owner waits for.
#[derive(Debug)]
pub struct Owned(#[allow(dead_code, reason = "held for its drop")] tokio_util::task::task_tracker::TaskTrackerToken);

impl Tasks {
    /// An owner with no tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An owner whose tasks are also asked to stop when this one's are.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: self.stop.child_token(),
        }
    }

    /// Starts a task in the caller's span. It should end soon after [`Tasks::stopping`].
    pub fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(work.in_current_span())
    }

    /// The same, on another runtime than the caller's.
    pub fn spawn_on<F>(&self, runtime: &tokio::runtime::Handle, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn_on(work.in_current_span(), runtime)
    }

    /// Runs `work` on a thread that may block, in the caller's span.
    pub fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> tokio::task::JoinHandle<T> {
        let span = tracing::Span::current();
        self.tracker.spawn_blocking(move || span.in_scope(work))
    }

    /// The same for work that a stop cuts off: nobody waits for its end.
    #[allow(
        clippy::disallowed_methods,
        reason = "what is to be waited for is not its own, but what awaits it"
    )]
    pub fn expendable<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> tokio::task::JoinHandle<T> {
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(work))
    }

    /// Something that counts as a task although nobody spawned it here: [`Tasks::drain`] waits until it is dropped.
    pub fn owned(&self) -> Owned {
        Owned(self.tracker.token())
    }

    /// Resolves once the tasks have been asked to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the tasks have been asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Asks every task to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Asks every task to stop and waits for the last one; `false` if the deadline came first.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}
