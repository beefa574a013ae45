//! The one writer: takes whatever is queued into one transaction, commits, then answers everybody.
//!
//! Poison rule: after a failed transaction the connection is not trusted again; a new one is opened. While writes
//! fail, an empty transaction is tried every second, so that health clears without traffic.
//! Invariant: an answer `Ok` is sent only after the commit of the transaction that the write was in.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::{error, info};

use super::{Checkpoint, DeadQuery, Replay, ReplayProgress, replays, rows, schema, unavailable};
use crate::error::Error;
use crate::log::Offset;
use crate::subscription::SubscriptionId;

/// At most this many writes wait; more wait outside.
const QUEUE: usize = 1_024;
/// At most this many writes in one transaction.
const GROUP: usize = 256;
/// Between two tries while writes fail.
const PROBE: Duration = Duration::from_secs(1);

/// What is to be written.
pub(super) enum Write {
    /// A subscription.
    Put {
        id: SubscriptionId,
        json: String,
        cursor: Option<Offset>,
    },
    /// A subscription's end.
    Delete(SubscriptionId),
    /// A document; without its text, its end.
    Document {
        kind: String,
        key: String,
        json: Option<String>,
    },
    /// How far things are.
    Checkpoint(Checkpoint),
    /// A replay that begins, or is called off.
    Replay(Box<(Replay, ReplayProgress)>),
    /// Dead letters that go.
    DropDead(DeadQuery),
}

struct Queued {
    write: Write,
    answer: oneshot::Sender<Result<u64, Error>>,
    _room: OwnedSemaphorePermit,
}

enum Order {
    Write(Queued),
    Close(oneshot::Sender<()>),
}

/// Where writes go.
pub(super) struct Writer {
    orders: Sender<Order>,
    room: Arc<Semaphore>,
    fault: Arc<Mutex<Option<String>>>,
}

impl Writer {
    /// Starts the thread on an open file.
    pub(super) fn start(path: PathBuf, connection: Connection) -> Result<Self, Error> {
        let (orders, ordered) = channel();
        let fault = Arc::new(Mutex::new(None));
        let desk = Desk {
            path,
            open: Some(connection),
            synced: true,
            fault: Arc::clone(&fault),
        };
        thread::Builder::new()
            .name("busway-state-write".into())
            .spawn(move || desk.work(&ordered))
            .map_err(Error::internal)?;
        Ok(Self {
            orders,
            room: Arc::new(Semaphore::new(QUEUE)),
            fault,
        })
    }

    /// Writes; returns once it is committed, with the number of rows where that is asked for.
    pub(super) async fn write(&self, write: Write) -> Result<u64, Error> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(Error::internal)?;
        let (answer, answered) = oneshot::channel();
        // A closed channel drops the order and with it the sender of the answer: `answered` tells.
        let _ = self.orders.send(Order::Write(Queued {
            write,
            answer,
            _room: room,
        }));
        answered
            .await
            .unwrap_or_else(|_| Err(unavailable("be written to", anyhow::anyhow!("it is closed"))))
    }

    /// Why writes fail now.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the thread after what is queued.
    pub(super) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        let _ = self.orders.send(Order::Close(done));
        let _ = ended.await;
    }
}

/// What the thread works with.
struct Desk {
    path: PathBuf,
    open: Option<Connection>,
    synced: bool,
    fault: Arc<Mutex<Option<String>>>,
}

impl Desk {
    fn work(mut self, orders: &Receiver<Order>) {
        loop {
            let first = match self.failing() {
                false => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                true => orders.recv_timeout(PROBE),
            };
            match first {
                Ok(Order::Write(first)) => {
                    let (group, close) = gather(first, orders);
                    self.commit(group);
                    if let Some(done) = close {
                        return self.end(done);
                    }
                }
                Ok(Order::Close(done)) => return self.end(done),
                Err(RecvTimeoutError::Timeout) => self.commit(Vec::new()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn end(self, done: oneshot::Sender<()>) {
        // Closing the last connection folds the WAL into the file.
        drop(self.open);
        let _ = done.send(());
    }

    fn commit(&mut self, group: Vec<Queued>) {
        let durable = group.is_empty() || group.iter().any(|queued| !matches!(queued.write, Write::Checkpoint(_)));
        let result = self.transact(&group, durable);
        match result {
            Ok(counts) => {
                self.clear();
                for (queued, count) in group.into_iter().zip(counts) {
                    let _ = queued.answer.send(Ok(count));
                }
            }
            Err(error) => {
                self.open = None;
                self.set_fault(&error);
                let text = format!("{error:#}");
                for queued in group {
                    let _ = queued
                        .answer
                        .send(Err(unavailable("be written to", anyhow::anyhow!(text.clone()))));
                }
            }
        }
    }

    fn transact(&mut self, group: &[Queued], durable: bool) -> anyhow::Result<Vec<u64>> {
        let connection = match self.open.take() {
            Some(connection) => connection,
            None => {
                self.synced = true;
                schema::open(&self.path)?
            }
        };
        let connection = self.open.insert(connection);
        if durable != self.synced {
            connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
            self.synced = durable;
        }
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        if group.is_empty() {
            // The probe must reach the disk: an empty transaction would not.
            let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
            transaction.pragma_update(None, "user_version", version)?;
        }
        let counts = group
            .iter()
            .map(|queued| apply(&transaction, &queued.write))
            .collect::<rusqlite::Result<_>>()?;
        transaction.commit()?;
        Ok(counts)
    }

    fn failing(&self) -> bool {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn set_fault(&self, cause: &anyhow::Error) {
        let before = self
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(format!("state.db: {cause:#}"));
        if before.is_none() {
            error!(
                reason = format!("{cause:#}"),
                "state.db cannot be written: subscriptions cannot change, and deliveries would repeat after a restart"
            );
        }
    }

    fn clear(&self) {
        if self
            .fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .is_some()
        {
            info!("state.db can be written again");
        }
    }
}

fn gather(first: Queued, orders: &Receiver<Order>) -> (Vec<Queued>, Option<oneshot::Sender<()>>) {
    let mut group = vec![first];
    while group.len() < GROUP {
        match orders.try_recv() {
            Ok(Order::Write(next)) => group.push(next),
            Ok(Order::Close(done)) => return (group, Some(done)),
            Err(_) => break,
        }
    }
    (group, None)
}

fn apply(connection: &Connection, write: &Write) -> rusqlite::Result<u64> {
    match write {
        Write::Put { id, json, cursor } => rows::put(connection, id, json, *cursor).map(|()| 0),
        Write::Delete(id) => rows::delete(connection, id).map(|()| 0),
        Write::Document { kind, key, json } => rows::put_document(connection, kind, key, json.as_deref()).map(|()| 0),
        Write::Checkpoint(checkpoint) => rows::write_checkpoint(connection, checkpoint).map(|()| 0),
        Write::Replay(kept) => replays::put(connection, &kept.0, &kept.1).map(|()| 0),
        Write::DropDead(query) => rows::drop_dead(connection, query),
    }
}
