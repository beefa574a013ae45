//! The newest records of a bus, in memory: where dispatch and live streams read.
//!
//! Why so: nearly every read is at the end of the log, right after the commit. Serving it from here takes neither
//! SQLite, nor decoding, nor a hop to another thread, and all readers share one copy of an event.
//!
//! Invariant: the records are contiguous and end where the log does; only durable records get in.

use std::collections::VecDeque;
use std::sync::Arc;

use super::model::{ReadLimit, Record};

/// Bytes of events that a bus keeps in memory, about.
const WEIGHT: usize = 8 << 20;

/// The newest records, so many of them, keep what readers have made of them.
const SHOWN: usize = 1_024;

/// A bounded row of records.
#[derive(Debug, Default)]
pub(super) struct Tail {
    records: VecDeque<Arc<Record>>,
    weight: usize,
}

impl Tail {
    /// Adds the next record; the oldest go when there are too many bytes.
    pub(super) fn push(&mut self, record: Arc<Record>) {
        let follows = self
            .records
            .back()
            .is_none_or(|last| last.offset.0 + 1 == record.offset.0);
        if !follows {
            self.records.clear();
            self.weight = 0;
        }
        self.weight += record.event.weight();
        self.records.push_back(record);
        // Who reads that far behind reads alone: what was made for all is not needed any more.
        let aged = self.records.len().checked_sub(SHOWN + 1);
        if let Some(record) = aged.and_then(|at| self.records.get(at)) {
            record.age();
        }
        while self.weight > WEIGHT {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.weight -= oldest.event.weight();
        }
    }

    /// The records from `from` on, as many as `limit` allows; `None` if `from` is not held here.
    pub(super) fn read(&self, from: u64, limit: ReadLimit) -> Option<Vec<Arc<Record>>> {
        let first = self.records.front()?.offset.0;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        let mut room = Room::new(limit);
        let rest = self.records.range(skip.min(self.records.len())..);
        let records: Vec<_> = rest
            .take_while(|record| room.takes(record.event.weight()))
            .cloned()
            .collect();
        (!records.is_empty()).then_some(records)
    }
}

/// Counts a [`ReadLimit`] down. The first record always fits.
pub(super) struct Room {
    left: ReadLimit,
    empty: bool,
}

impl Room {
    pub(super) fn new(limit: ReadLimit) -> Self {
        Self {
            left: ReadLimit {
                records: limit.records.max(1),
                bytes: limit.bytes,
            },
            empty: true,
        }
    }

    /// Whether one more record of this weight fits; if so it is counted.
    pub(super) fn takes(&mut self, weight: usize) -> bool {
        let fits = self.left.records > 0 && (self.empty || weight <= self.left.bytes);
        if fits {
            self.empty = false;
            self.left.records -= 1;
            self.left.bytes = self.left.bytes.saturating_sub(weight);
        }
        fits
    }

    /// How many more records may come at most.
    pub(super) fn records(&self) -> usize {
        self.left.records
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;
    use crate::log::Offset;
    use crate::time::Timestamp;

    fn record(offset: u64, bytes: usize) -> Arc<Record> {
        let event = event(&offset.to_string(), bytes);
        Arc::new(Record::new(Offset(offset), Timestamp(0), event))
    }

    fn offsets(tail: &Tail, from: u64, records: usize, bytes: usize) -> Option<Vec<u64>> {
        let read = tail.read(from, ReadLimit { records, bytes })?;
        Some(read.iter().map(|record| record.offset.0).collect())
    }

    #[test]
    fn serves_what_it_holds_within_the_limit() {
        let mut tail = Tail::default();
        assert_eq!(offsets(&tail, 1, 10, 1 << 20), None);
        (5..10).for_each(|offset| tail.push(record(offset, 100)));
        assert_eq!(offsets(&tail, 4, 10, 1 << 20), None, "older than the oldest");
        assert_eq!(offsets(&tail, 5, 3, 1 << 20), Some(vec![5, 6, 7]));
        assert_eq!(offsets(&tail, 8, 10, 1 << 20), Some(vec![8, 9]));
        assert_eq!(offsets(&tail, 8, 10, 0), Some(vec![8]), "one always fits");
        assert_eq!(offsets(&tail, 10, 10, 1 << 20), None, "not there yet");
    }

    #[test]
    fn is_bounded_by_weight_and_starts_anew_after_a_jump() {
        let mut tail = Tail::default();
        (1..=20).for_each(|offset| tail.push(record(offset, 1 << 20)));
        assert!(tail.weight <= WEIGHT);
        assert_eq!(offsets(&tail, 20, 1, 0), Some(vec![20]));
        assert_eq!(offsets(&tail, 10, 1, 0), None);
        tail.push(record(30, 10));
        assert_eq!(offsets(&tail, 20, 1, 0), None);
        assert_eq!(offsets(&tail, 30, 1, 0), Some(vec![30]));
    }
}
