//! Who waits for whom within a key, before there is anything to write down.
//!
//! With `ordering: key` a record whose key is busy waits here, in memory, and holds the cursor. If the one before it
//! fails, all of them go behind it as rows (`parked`), so that a key that is stuck costs rows and not the cursor.
//! Invariant: a key is busy from the start of a first attempt until that record is over or has a row.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Queued;

/// The busy keys of one lane. Empty, it owns no memory.
#[derive(Default)]
pub(super) struct Keys {
    behind: HashMap<Arc<str>, VecDeque<Queued>>,
    waiting: usize,
}

impl Keys {
    /// Begins with a record of this key, or lets it wait if the key is busy.
    pub(super) fn begin(&mut self, key: &Arc<str>, queued: Queued) -> Option<Queued> {
        if let Some(behind) = self.behind.get_mut(key) {
            behind.push_back(queued);
            self.waiting += 1;
            return None;
        }
        self.behind.insert(key.clone(), VecDeque::new());
        Some(queued)
    }

    /// The record in front is over; the next one of its key begins.
    pub(super) fn next(&mut self, key: &str) -> Option<Queued> {
        let next = self.behind.get_mut(key)?.pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => drop(self.behind.remove(key)),
        }
        next
    }

    /// The record in front waits elsewhere now; whatever waited for it has to go there too.
    pub(super) fn clear(&mut self, key: &str) -> VecDeque<Queued> {
        let behind = self.behind.remove(key).unwrap_or_default();
        self.waiting -= behind.len();
        behind
    }

    /// How many records wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}
