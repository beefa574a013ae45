//! Where guests run that may wait: notifiers, and filters that import WASI. Away from the hub's own runtime.
//!
//! Such a guest computes between its waits and gives its thread up at every tick of the epoch only, so that a few that
//! loop would take every second turn of the hub's own tasks. Here they take it from each other, and those under
//! suspicion (`conduct`) only from their like, on a thread of their own. (Rejected: blocking threads; a notifier that
//! waits a minute for its sink would hold one for a minute.)
//!
//! Invariant: what a caller no longer waits for is stopped at its next tick.
//! Invariant: both runtimes end with the last of these, and nobody waits for them: what they ran has been awaited.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::conduct::Conduct;
use crate::error::Error;
use crate::tasks::Tasks;

/// The runtimes of guests that may wait.
pub(super) struct Guests {
    sound: Option<Runtime>,
    suspect: Option<Runtime>,
    tasks: Tasks,
}

impl Guests {
    /// Starts them, the one for guests that are not suspect with this many threads.
    pub(super) fn start(threads: usize, tasks: Tasks) -> Result<Self, Error> {
        Ok(Self {
            sound: Some(runtime("busway-guest", threads)?),
            suspect: Some(runtime("busway-suspect", 1)?),
            tasks,
        })
    }

    /// Runs this to its end; none if the hub itself failed in it, or is stopping.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        conduct: &Conduct,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let runtime = match conduct.is_suspect() {
            true => &self.suspect,
            false => &self.sound,
        };
        let running = self.tasks.spawn_on(runtime.as_ref().map(Runtime::handle)?, work);
        AbortOnDropHandle::new(running).await.ok()
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        // A runtime that is merely dropped waits, which a task of another one may not.
        for runtime in [self.sound.take(), self.suspect.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, Error> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name(name)
        // A poll may take a whole tick: sockets and timers are looked at after every few, and not after 61.
        .event_interval(4)
        .enable_all()
        .build()
        .map_err(Error::internal)
}
