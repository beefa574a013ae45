//! `state.db`: subscriptions, cursors, waiting retries, dead letters, documents. SQLite, one writer.
//!
//! Crash rule: a [`Checkpoint`] is one transaction. A cursor never moves past a record that is not delivered,
//! filtered, or in the same transaction written as a retry or a dead letter. What a crash undoes is delivered again.
//!
//! On disk (`schema` has the tables): one SQLite file in WAL mode. A write that a caller was told of ([`Store::put`],
//! [`Store::delete`], [`Store::drop_dead`], [`Store::put_document`]) has been synced and survives a power cut; a
//! checkpoint survives the end of the process, and a power cut may undo the last few (repeats, never losses). `writer`
//! takes whatever is queued into one transaction; `reader` answers about dead letters on its own connection, so that a
//! long listing never holds up a checkpoint. Both are threads of their own: SQLite blocks.
//!
//! Why not rows in the event log: a cursor changes many times a second and an event never; and the log drops whole
//! files. Why one writer: SQLite has one anyway, and queueing for it here makes groups of what would be lock waits.

mod reader;
mod replays;
mod rows;
mod schema;
mod seal;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;
use serde::{Deserialize, Serialize};
use tracing::error;

pub use self::replays::{ENDED_KEPT, KeptReplay, Replay, ReplayId, ReplayProgress, ReplayState, ReplayStep};

use self::reader::Reader;
use self::writer::{Write, Writer};
use super::{Subscription, SubscriptionId};
use crate::error::{Error, Kind};
use crate::log::{BusName, Offset, wal};
use crate::time::Timestamp;

/// One try of one delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When it began, Unix milliseconds.
    pub at: i64,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// `delivered`, or why not, in words.
    pub outcome: String,
    /// The beginning of the answer's body, cut.
    pub answer: Option<String>,
}

/// A delivery that waits for its next attempt, or is parked until a plugin works again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Which record of the subscription's bus.
    pub offset: Offset,
    /// When the next attempt is due.
    pub due: Timestamp,
    /// The attempts so far (the last few).
    pub attempts: Vec<Attempt>,
    /// How many attempts so far.
    pub tries: u32,
    /// What must go out in order: of those that wait with the same key, the oldest goes first.
    pub key: Option<Arc<str>>,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// Its own id, increasing.
    pub id: u64,
    /// Whose.
    pub subscription: SubscriptionId,
    /// Of which bus.
    pub bus: BusName,
    /// Which record.
    pub offset: Offset,
    /// When it was given up.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// The attempts (the last few).
    pub attempts: Vec<Attempt>,
    /// How many attempts there were.
    pub tries: u32,
    /// The event in the JSON format, so that the letter outlives the log's retention.
    pub event: Vec<u8>,
}

/// How far things are, to be written in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Checkpoint {
    /// Per bus: every subscription without a cursor row has handled everything before this offset.
    pub floors: Vec<(BusName, Offset)>,
    /// Subscriptions that are behind their bus's floor: everything before the offset is handled (`Some`), or the
    /// subscription has caught up and needs no row (`None`).
    pub cursors: Vec<(SubscriptionId, Option<Offset>)>,
    /// Retries to write (replacing the row of the same subscription and offset).
    pub retries: Vec<Retry>,
    /// Retries that are over.
    pub settled: Vec<(SubscriptionId, Offset)>,
    /// New dead letters (`id` is given by the store). One per subscription and offset: writing it again replaces.
    pub dead: Vec<DeadLetter>,
    /// Dead letters that are over because their delivery is among `retries`.
    pub revived: Vec<u64>,
    /// How far replays have come.
    pub replays: Vec<ReplayStep>,
}

/// Everything that was kept, as read at start.
#[derive(Debug, Default)]
pub struct Kept {
    /// All subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Per bus, as in [`Checkpoint::floors`].
    pub floors: Vec<(BusName, Offset)>,
    /// As in [`Checkpoint::cursors`].
    pub cursors: Vec<(SubscriptionId, Offset)>,
    /// Waiting retries.
    pub retries: Vec<Retry>,
    /// Documents: kind, key, value.
    pub documents: Vec<(String, String, serde_json::Value)>,
    /// Replays, those that have ended too.
    pub replays: Vec<KeptReplay>,
}

/// Which dead letters are meant.
#[derive(Debug, Clone, Default)]
pub struct DeadQuery {
    /// Only of this subscription.
    pub subscription: Option<SubscriptionId>,
    /// Only these.
    pub ids: Option<Vec<u64>>,
    /// Only of this record of their bus.
    pub offset: Option<Offset>,
    /// Only with an id after this one (for paging).
    pub after: Option<u64>,
    /// Only with an id up to this one.
    pub upto: Option<u64>,
    /// Only of this bus.
    pub bus: Option<BusName>,
    /// Only given up at this time or later.
    pub since: Option<Timestamp>,
    /// Only given up before this time.
    pub until: Option<Timestamp>,
    /// Only whose reason has these words in it, in whatever case.
    pub reason: Option<String>,
}

/// The store. Cheap to clone. One writer thread; every write returns when it is on disk.
#[derive(Clone)]
pub struct Store {
    writer: Arc<Writer>,
    reader: Arc<Reader>,
}

impl Store {
    /// Opens or creates `state.db` at `path` and reads what was kept. Blocks: call it off the runtime.
    ///
    /// # Errors
    /// `store_unavailable` if the file cannot be opened; `store_newer` if a later version wrote it.
    pub fn open(path: &Path) -> Result<(Self, Kept), Error> {
        tell_lost(path);
        let connection = schema::open(path)?;
        let kept = rows::read_kept(&connection)?;
        let reader = Reader::start(path)?;
        let writer = Writer::start(path.to_owned(), connection)?;
        Ok((
            Self {
                writer: Arc::new(writer),
                reader: Arc::new(reader),
            },
            kept,
        ))
    }

    /// Whether the file, which is there, holds a document of this kind. Blocks; looks only. What cannot be read has none.
    pub fn has_documents(path: &Path, kind: &str) -> bool {
        let found = schema::open_reading(path).and_then(|connection| {
            rows::has_documents(&connection, kind).map_err(|error| unavailable("be read", error))
        });
        found.unwrap_or_else(|error| {
            tracing::debug!(reason = ?error, "the documents of a store could not be looked at");
            false
        })
    }

    /// Writes a subscription (new or changed). Its start position goes in as a cursor, in the same transaction;
    /// without one the position stays as it is.
    ///
    /// # Errors
    /// `store_unavailable`: nothing was written.
    pub async fn put(&self, subscription: &Subscription, cursor: Option<Offset>) -> Result<(), Error> {
        let (id, json) = (subscription.id.clone(), subscription.to_stored().to_string());
        self.writer.write(Write::Put { id, json, cursor }).await.map(drop)
    }

    /// Removes a subscription with its cursor and retries; its dead letters stay.
    ///
    /// # Errors
    /// `store_unavailable`: nothing was written.
    pub async fn delete(&self, id: &SubscriptionId) -> Result<(), Error> {
        self.writer.write(Write::Delete(id.clone())).await.map(drop)
    }

    /// Writes a document, or removes it.
    ///
    /// # Errors
    /// `store_unavailable`: nothing was written.
    pub async fn put_document(&self, kind: &str, key: &str, value: Option<&serde_json::Value>) -> Result<(), Error> {
        let (kind, key, json) = (kind.to_owned(), key.to_owned(), value.map(ToString::to_string));
        self.writer.write(Write::Document { kind, key, json }).await.map(drop)
    }

    /// Writes a replay that begins, or one that is called off. One that has ended stays as it is.
    ///
    /// # Errors
    /// `store_unavailable`: nothing was written.
    pub async fn put_replay(&self, replay: &Replay, progress: &ReplayProgress) -> Result<(), Error> {
        let kept = Box::new((replay.clone(), progress.clone()));
        self.writer.write(Write::Replay(kept)).await.map(drop)
    }

    /// Writes a checkpoint. May lag behind a power cut by its last few calls (never torn): that costs repeats only.
    /// What it says of a subscription that is gone by now is left out.
    ///
    /// # Errors
    /// `store_unavailable`: nothing was written.
    pub async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), Error> {
        self.writer.write(Write::Checkpoint(checkpoint)).await.map(drop)
    }

    /// Dead letters by id, at most `limit`.
    ///
    /// # Errors
    /// `store_unavailable` if the file cannot be read.
    pub async fn dead(&self, query: DeadQuery, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        self.reader
            .ask(move |connection| rows::read_dead(connection, &query, limit))
            .await
    }

    /// Drops the first of these dead letters, at most a few thousand; how many. Zero once there are none left.
    ///
    /// # Errors
    /// `store_unavailable`: nothing was dropped.
    pub async fn drop_dead(&self, query: DeadQuery) -> Result<u64, Error> {
        self.writer.write(Write::DropDead(query)).await
    }

    /// The id of the newest dead letter; 0 if there is none.
    ///
    /// # Errors
    /// `store_unavailable` if the file cannot be read.
    pub async fn newest_dead(&self) -> Result<u64, Error> {
        self.reader.ask(rows::newest_dead).await
    }

    /// How many dead letters there are, per subscription.
    ///
    /// # Errors
    /// `store_unavailable` if the file cannot be read.
    pub async fn dead_counts(&self) -> Result<Vec<(SubscriptionId, u64)>, Error> {
        self.reader.ask(rows::count_dead).await
    }

    /// Why writes fail now, if they do.
    pub fn fault(&self) -> Option<String> {
        self.writer.fault()
    }

    /// Ends the writer after what is queued is on disk.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

/// Looks over the file at `path`, which no hub has open. None is not an error: a hub would make one.
///
/// # Errors
/// `store_damaged` and its like: what is wrong with it.
pub fn check(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let connection = schema::open_reading(path)?;
    let found = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    match found {
        Ok(found) if found == "ok" => {}
        Ok(found) => return Err(damaged(anyhow::anyhow!(found))),
        Err(error) => return Err(unavailable("be read", error)),
    }
    // One of an earlier version has no checksums yet.
    match schema::is_current(&connection) {
        Ok(true) => rows::read_kept(&connection).map(drop),
        Ok(false) => Ok(()),
        Err(error) => Err(unavailable("be read", error)),
    }
}

/// A break in the write-ahead log, which SQLite passes over in silence. After a power cut it may be nothing but
/// checkpoints that were never synced, so it is no reason to refuse.
fn tell_lost(path: &Path) {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    if let Ok(bytes @ 1..) = wal::lost(Path::new(&wal)) {
        error!(
            bytes,
            "the newest changes in state.db were lost to a power cut or a damaged disk: subscriptions may be as they were before, and deliveries repeat"
        );
    }
}

/// The store cannot do it now; it goes on trying by itself, unless the file is damaged.
fn unavailable(doing: &str, cause: impl Into<anyhow::Error>) -> Error {
    let cause = cause.into();
    let broken = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
    let code = cause
        .downcast_ref::<rusqlite::Error>()
        .and_then(rusqlite::Error::sqlite_error_code);
    if code.is_some_and(|code| broken.contains(&code)) {
        return damaged(cause);
    }
    let text = format!(
        "the store of subscriptions cannot {doing} now ({cause}); it recovers by itself once the cause is gone"
    );
    Error::new(Kind::Unavailable, "store_unavailable", text).with_cause(cause)
}

/// Time mends nothing here: an operator has to.
fn damaged(cause: anyhow::Error) -> Error {
    let text = format!(
        "state.db is damaged ({cause}); put a copy of it back (its deliveries repeat from there), or move it away with \
         its -wal and -shm: then subscriptions, cursors and dead letters are lost, and the events are not"
    );
    Error::new(Kind::Unavailable, "store_damaged", text).with_cause(cause)
}
