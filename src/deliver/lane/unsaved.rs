//! What a checkpoint has to write for a lane.
//!
//! One collection under the lane's lock takes the cursor and the changes together, so they reach the store in one
//! transaction (the crash rule of `subscription::Store`). A failed write gives them back; what has happened to the
//! same record meanwhile is newer and wins.
//! Invariant: a lane whose row may have to change without anything happening in it stays noted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Feed, State};
use crate::event::Event;
use crate::log::{BusName, Offset};
use crate::subscription::{DeadLetter, Retry};

/// What became of a record, to be written.
#[derive(Debug, Clone)]
pub(in crate::deliver) enum Change {
    /// It waits for a retry.
    Retry(Retry),
    /// Its retry is over.
    Settled,
    /// It was given up.
    Dead(Box<Buried>),
}

/// What was given up.
#[derive(Debug, Clone)]
pub(in crate::deliver) struct Buried {
    /// The letter.
    pub(in crate::deliver) letter: DeadLetter,
    /// The bus that gets a copy, before the letter is written, and the copy.
    pub(in crate::deliver) copy: Option<(BusName, Arc<Event>)>,
}

/// What to write for one lane.
#[derive(Debug, Default)]
pub(in crate::deliver) struct Collected {
    /// The row, if it is not what the store has.
    pub(in crate::deliver) row: Option<Option<Offset>>,
    /// What became of records.
    pub(in crate::deliver) changes: BTreeMap<Offset, Change>,
    /// The oldest record that the lane needs, if it needs one before the bus floor.
    pub(in crate::deliver) holds: Option<Offset>,
    /// Whether to come back at the next checkpoint.
    pub(in crate::deliver) again: bool,
}

impl State {
    /// What tells whether a step has changed something that a checkpoint must see.
    pub(in crate::deliver) fn to_write(&self) -> (bool, usize, usize) {
        (self.window.is_live(), self.unsaved.len(), self.window.outstanding())
    }

    /// Takes what is to be written, given that the bus floor will be `dispatched`. `None` of a lane that is gone.
    pub(in crate::deliver) fn collect(&mut self, dispatched: Offset) -> Option<Collected> {
        if self.removed {
            return None;
        }
        let row = self.window.row(dispatched);
        let news = self.row != Some(row);
        self.row = Some(row);
        let again = match self.window.feed() {
            // A record is in flight that the next bus floor may pass; or the floor has yet to pass the lane's start.
            Feed::Live { since, .. } => (row.is_none() && self.window.outstanding() > 0) || since > dispatched,
            Feed::Behind { .. } => false,
        };
        self.dirty = again;
        let holds = [row, self.retries.oldest()].into_iter().flatten().min();
        Some(Collected {
            row: news.then_some(row),
            changes: std::mem::take(&mut self.unsaved),
            holds,
            again,
        })
    }

    /// The write failed: takes back what was collected. The caller notes the lane again.
    pub(in crate::deliver) fn give_back(&mut self, changes: BTreeMap<Offset, Change>) {
        if self.removed {
            return;
        }
        self.row = None;
        self.dirty = true;
        for (offset, change) in changes {
            self.unsaved.entry(offset).or_insert(change);
        }
    }

    /// The row that the store has, as read at start.
    pub(in crate::deliver) fn stored_row(&mut self, row: Option<Offset>) {
        self.row = Some(row);
    }
}
