//! The deliveries of one lane that wait for another attempt, by place and by time.
//!
//! Invariant: a retry whose attempt is in flight is still here (it holds retention and is counted), but not due.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::Offset;
use crate::subscription::Attempt;
use crate::time::Timestamp;

/// Waiting retries. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(in crate::deliver) struct Retries {
    waiting: BTreeMap<Offset, Waiting>,
    due: BTreeSet<(Timestamp, Offset)>,
}

/// One waiting retry.
#[derive(Debug, Clone)]
pub(in crate::deliver) struct Waiting {
    due: Timestamp,
    pub(in crate::deliver) tries: u32,
    pub(in crate::deliver) attempts: Vec<Attempt>,
}

impl Waiting {
    /// When it is due, or was.
    pub(in crate::deliver) fn due(&self) -> Timestamp {
        self.due
    }
}

impl Retries {
    /// Puts one in, in place of the one for the same record.
    pub(in crate::deliver) fn insert(&mut self, offset: Offset, due: Timestamp, tries: u32, attempts: Vec<Attempt>) {
        self.remove(offset);
        self.waiting.insert(offset, Waiting { due, tries, attempts });
        self.due.insert((due, offset));
    }

    /// Takes one out: it is over.
    pub(in crate::deliver) fn remove(&mut self, offset: Offset) {
        if let Some(old) = self.waiting.remove(&offset) {
            self.due.remove(&(old.due, offset));
        }
    }

    /// The one that has been due longest, now in flight.
    pub(in crate::deliver) fn start(&mut self, now: Timestamp) -> Option<(Offset, Waiting)> {
        let (due, offset) = *self.due.first()?;
        if due > now {
            return None;
        }
        self.due.remove(&(due, offset));
        self.waiting.get(&offset).map(|waiting| (offset, waiting.clone()))
    }

    /// The attempt in flight came to nothing: it is due again at `due`, as it was.
    pub(in crate::deliver) fn put_back(&mut self, offset: Offset, due: Timestamp) {
        if let Some(waiting) = self.waiting.get_mut(&offset) {
            self.due.remove(&(waiting.due, offset));
            waiting.due = due;
            self.due.insert((due, offset));
        }
    }

    /// When the next one is due.
    pub(in crate::deliver) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// When the one for this record is due.
    pub(in crate::deliver) fn due(&self, offset: Offset) -> Option<Timestamp> {
        self.waiting.get(&offset).map(|waiting| waiting.due)
    }

    /// The one for this record.
    pub(in crate::deliver) fn at(&self, offset: Offset) -> Option<&Waiting> {
        self.waiting.get(&offset)
    }

    /// The oldest record among them.
    pub(in crate::deliver) fn oldest(&self) -> Option<Offset> {
        self.waiting.keys().next().copied()
    }

    /// How many there are, those in flight too.
    pub(in crate::deliver) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_when_due_and_go_when_over() {
        let mut retries = Retries::default();
        for (offset, due) in [(5, 30), (6, 10), (7, 20)] {
            retries.insert(Offset(offset), Timestamp(due), 1, Vec::new());
        }
        assert_eq!(
            (retries.next_due(), retries.oldest()),
            (Some(Timestamp(10)), Some(Offset(5)))
        );
        assert!(retries.start(Timestamp(9)).is_none());
        let started: Vec<u64> = std::iter::from_fn(|| retries.start(Timestamp(20)))
            .map(|(at, _)| at.0)
            .collect();
        assert_eq!((started, retries.len()), (vec![6, 7], 3));
        retries.put_back(Offset(6), Timestamp(40));
        retries.insert(Offset(7), Timestamp(35), 2, Vec::new());
        retries.remove(Offset(5));
        assert_eq!(
            (retries.next_due(), retries.oldest()),
            (Some(Timestamp(35)), Some(Offset(6)))
        );
        assert_eq!(
            retries.start(Timestamp(35)).map(|(at, waiting)| (at.0, waiting.tries)),
            Some((7, 2))
        );
        retries.remove(Offset(6));
        retries.remove(Offset(7));
        assert_eq!((retries.len(), retries.next_due()), (0, None));
    }
}
