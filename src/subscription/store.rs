//! `state.db`: subscriptions, cursors, waiting retries, dead letters. SQLite, one writer.
//!
//! Crash rule: a [`Checkpoint`] is one transaction. A cursor never moves past a record that is not delivered,
//! filtered, or in the same transaction written as a retry or a dead letter. What a crash undoes is delivered again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Subscription, SubscriptionId};
use crate::error::Error;
use crate::log::{BusName, Offset};
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

/// A delivery that waits for its next attempt.
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
#[derive(Debug, Default)]
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
}

/// Which dead letters are meant.
#[derive(Debug, Clone, Default)]
pub struct DeadQuery {
    /// Only of this subscription.
    pub subscription: Option<SubscriptionId>,
    /// Only these.
    pub ids: Option<Vec<u64>>,
    /// Only with an id after this one (for paging).
    pub after: Option<u64>,
}

/// The store. Cheap to clone. One writer thread; every write returns when it is on disk.
#[derive(Clone)]
pub struct Store;

impl Store {
    /// Opens or creates `state.db` at `path` and reads what was kept.
    pub fn open(_path: &Path) -> Result<(Self, Kept), Error> {
        unimplemented!()
    }
    /// Writes a subscription (new or changed). Its start position goes in as a cursor, in the same transaction.
    pub async fn put(&self, _subscription: &Subscription, _cursor: Option<Offset>) -> Result<(), Error> {
        unimplemented!()
    }
    /// Removes a subscription with its cursor and retries; its dead letters stay.
    pub async fn delete(&self, _id: &SubscriptionId) -> Result<(), Error> {
        unimplemented!()
    }
    /// Writes a checkpoint. May lag behind a power cut by its last few calls (never torn): that costs repeats only.
    pub async fn checkpoint(&self, _checkpoint: Checkpoint) -> Result<(), Error> {
        unimplemented!()
    }
    /// Dead letters by id, at most `limit`.
    pub async fn dead(&self, _query: DeadQuery, _limit: usize) -> Result<Vec<DeadLetter>, Error> {
        unimplemented!()
    }
    /// Drops dead letters; how many.
    pub async fn drop_dead(&self, _query: DeadQuery) -> Result<u64, Error> {
        unimplemented!()
    }
    /// How many dead letters there are, per subscription.
    pub async fn dead_counts(&self) -> Result<Vec<(SubscriptionId, u64)>, Error> {
        unimplemented!()
    }
    /// Why writes fail now, if they do.
    pub fn fault(&self) -> Option<String> {
        unimplemented!()
    }
    /// Ends the writer after what is queued is on disk.
    pub async fn close(&self) {
        unimplemented!()
    }
}
