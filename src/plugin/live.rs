//! The snapshot of what is loaded: read on every call, replaced as a whole at every change.
//!
//! Invariant: readers take the lock for the length of one pointer's copy and see all of a change or nothing of it.
//! Invariant: only the reload task replaces it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::watch;

use super::generation::{Generation, PluginEntry, PluginSet, Rejection};
use super::status::Figures;

/// The snapshot, and a counter of its changes.
pub(super) struct Live {
    set: RwLock<Arc<PluginSet>>,
    /// Names whose next file is the operator's express wish, even if it was rolled back before.
    wanted: Mutex<BTreeSet<String>>,
    changes: watch::Sender<u64>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            set: RwLock::default(),
            wanted: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// What is loaded now.
    pub(super) fn set(&self) -> Arc<PluginSet> {
        self.set.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts up at every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The live generation of this name.
    pub(super) fn generation(&self, name: &str) -> Option<Arc<Generation>> {
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        set.get(name)?.live.clone()
    }

    /// The next file of this name is to be tried whatever became of it before.
    pub(super) fn want(&self, name: &str) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.insert(name.to_owned());
    }

    /// Whether it is; asked once.
    pub(super) fn take_wanted(&self, name: &str) -> bool {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// Why a newer file than the live one of this digest was refused, if it was.
    pub(super) fn rejection_beside(&self, name: &str, digest: &str) -> Option<Rejection> {
        let set = self.set();
        let entry = set.get(name)?;
        entry
            .rejected
            .clone()
            .filter(|_| entry.live.as_ref().is_some_and(|live| live.source.digest == digest))
    }

    /// Every name, loaded or rejected.
    pub(super) fn names(&self) -> Vec<String> {
        self.set().keys().cloned().collect()
    }

    /// Puts an entry in the place of the one before.
    pub(super) fn put(&self, name: &str, entry: PluginEntry) {
        self.change(|set| {
            set.insert(name.to_owned(), entry);
        });
    }

    /// Notes why the newest file is not loaded; whether an older one goes on serving.
    pub(super) fn reject(&self, name: &str, reason: &str, figures: &Arc<Figures>) -> bool {
        let live = self.generation(name);
        let serving = live.is_some();
        self.put(
            name,
            PluginEntry {
                live,
                rejected: Some(Rejection {
                    reason: reason.to_owned(),
                    was_live: false,
                }),
                figures: figures.clone(),
            },
        );
        serving
    }

    /// The newest file is the live one again.
    pub(super) fn clear_rejection(&self, name: &str) {
        let rejected = self.set().get(name).is_some_and(|entry| entry.rejected.is_some());
        if rejected {
            self.change(|set| {
                if let Some(entry) = set.get_mut(name) {
                    entry.rejected = None;
                }
            });
        }
    }

    /// Takes a generation out and leaves its entry.
    pub(super) fn unload(&self, name: &str) {
        self.change(|set| {
            if let Some(entry) = set.get_mut(name) {
                entry.live = None;
            }
        });
    }

    /// Takes an entry out; whether there was one.
    pub(super) fn remove(&self, name: &str) -> bool {
        let there = self.set().contains_key(name);
        if there {
            self.change(|set| {
                set.remove(name);
            });
        }
        there
    }

    fn change(&self, change: impl FnOnce(&mut PluginSet)) {
        let mut next = PluginSet::clone(&self.set());
        change(&mut next);
        let before = std::mem::replace(
            &mut *self.set.write().unwrap_or_else(PoisonError::into_inner),
            Arc::new(next),
        );
        self.changes.send_modify(|count| *count += 1);
        // A generation that nobody calls any more is torn down here, outside the lock.
        drop(before);
    }
}
