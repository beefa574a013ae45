//! The reading connection, on a thread of its own: a listing of many dead letters holds up neither the async runtime
//! nor the writer.
//!
//! Invariant: a question whose asker has gone away is not answered; the thread ends with the last [`Reader`].

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{schema, unavailable};
use crate::error::Error;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// Where questions go.
pub(super) struct Reader {
    questions: Sender<Question>,
}

impl Reader {
    /// Starts the thread; the file is there.
    pub(super) fn start(path: &Path) -> Result<Self, Error> {
        let (questions, asked) = channel();
        let path = path.to_owned();
        let answering = move || answer(&path, &asked);
        thread::Builder::new()
            .name("busway-state-read".into())
            .spawn(answering)
            .map_err(Error::internal)?;
        Ok(Self { questions })
    }

    /// Has `question` answered.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let question = move |connection: &Connection| {
            if !answer.is_closed() {
                // Whoever asked may be gone by now: nobody to tell.
                let _ = answer.send(question(connection));
            }
        };
        let sent = self.questions.send(Box::new(question)).is_ok();
        match answered.await {
            Ok(Ok(found)) if sent => Ok(found),
            Ok(Err(error)) => Err(unavailable("be read", error)),
            _ => Err(unavailable(
                "be read",
                anyhow::anyhow!("state.db cannot be opened for reading"),
            )),
        }
    }
}

fn answer(path: &Path, asked: &Receiver<Question>) {
    let mut open: Option<Connection> = None;
    while let Ok(question) = asked.recv() {
        if open.is_none() {
            open = schema::open_reading(path)
                .inspect_err(|error| tracing::error!(reason = ?error, "state.db cannot be opened for reading"))
                .ok();
        }
        // Without a connection the question is dropped, which its asker sees; the next one tries again.
        if let Some(connection) = &open {
            question(connection);
        }
    }
}
