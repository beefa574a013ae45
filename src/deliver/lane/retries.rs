//! The deliveries of one lane that wait: for another attempt, or parked for a plugin; by place, by time and by key.
//!
//! Of those with one key only the oldest is ever due; the rest follow it one by one. What is parked is due when the
//! plugin it blames is loaded anew, and so is everything behind it. What a crash left ahead of the cursor is not due
//! before the lane has come to its place in the log again: there may be others of its key before it.
//!
//! Invariant: a delivery whose attempt is in flight is still here (it holds retention and is counted), but not due.
//! Invariant: `due` has what is neither parked, nor in flight, nor ahead, nor behind another of its key, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::log::Offset;
use crate::subscription::Attempt;
use crate::time::Timestamp;

/// Waiting deliveries. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(in crate::deliver) struct Retries {
    waiting: BTreeMap<Offset, Waiting>,
    due: BTreeSet<(Timestamp, Offset)>,
    keys: HashMap<Arc<str>, BTreeSet<Offset>>,
    /// What waits for which plugin.
    blamed: BTreeMap<Arc<str>, BTreeSet<Offset>>,
    parked: usize,
    ahead: usize,
}

/// One waiting delivery.
#[derive(Debug, Clone)]
pub(in crate::deliver) struct Waiting {
    /// When it is due, unless it is parked.
    pub(in crate::deliver) due: Timestamp,
    pub(in crate::deliver) tries: u32,
    pub(in crate::deliver) attempts: Vec<Attempt>,
    /// What it must stay in order with.
    pub(in crate::deliver) key: Option<Arc<str>>,
    /// The plugin whose next load makes it due at once.
    pub(in crate::deliver) blames: Option<Arc<str>>,
    /// Whether it waits for that alone.
    pub(in crate::deliver) parked: bool,
    /// Its attempt is in flight.
    pub(in crate::deliver) flying: bool,
    /// The lane has yet to come to its record again.
    pub(in crate::deliver) ahead: bool,
}

impl Waiting {
    /// One that waits for its time.
    pub(in crate::deliver) fn until(due: Timestamp, tries: u32, attempts: Vec<Attempt>) -> Self {
        Self {
            due,
            tries,
            attempts,
            key: None,
            blames: None,
            parked: false,
            flying: false,
            ahead: false,
        }
    }
}

impl Retries {
    /// Puts one in, in place of the one for the same record.
    pub(in crate::deliver) fn insert(&mut self, offset: Offset, waiting: Waiting) {
        self.take_out(offset);
        self.parked += usize::from(waiting.parked);
        self.ahead += usize::from(waiting.ahead);
        let key = waiting.key.clone();
        if let Some(key) = &key {
            self.keys.entry(key.clone()).or_default().insert(offset);
        }
        if let Some(plugin) = &waiting.blames {
            self.blamed.entry(plugin.clone()).or_default().insert(offset);
        }
        self.waiting.insert(offset, waiting);
        self.line_up(offset, key.as_ref());
    }

    /// Takes one out: it is over.
    pub(in crate::deliver) fn remove(&mut self, offset: Offset) {
        if let Some(Waiting { key: Some(key), .. }) = self.take_out(offset) {
            self.line_up(offset, Some(&key));
        }
    }

    /// The one that has been due longest, now in flight.
    pub(in crate::deliver) fn start(&mut self, now: Timestamp) -> Option<(Offset, Waiting)> {
        let (due, offset) = *self.due.first()?;
        if due > now {
            return None;
        }
        self.due.remove(&(due, offset));
        let waiting = self.waiting.get_mut(&offset)?;
        waiting.flying = true;
        Some((offset, waiting.clone()))
    }

    /// How often the one has been tried that [`Retries::start`] would take.
    pub(in crate::deliver) fn tries_of_next(&self, now: Timestamp) -> Option<u32> {
        let (_, offset) = self.due.first().filter(|(due, _)| *due <= now)?;
        self.waiting.get(offset).map(|waiting| waiting.tries)
    }

    /// The attempt in flight came to nothing: it is due again at `due`, as it was.
    pub(in crate::deliver) fn put_back(&mut self, offset: Offset, due: Timestamp) {
        if let Some(waiting) = self.waiting.get(&offset).cloned() {
            let flying = false;
            self.insert(offset, Waiting { due, flying, ..waiting });
        }
    }

    /// The lane has come to this record in the log: those before it that it must follow have begun, or have rows.
    pub(in crate::deliver) fn reached(&mut self, offset: Offset) {
        let ahead = self.waiting.get(&offset).filter(|waiting| waiting.ahead);
        if let Some(waiting) = ahead.cloned() {
            let ahead = false;
            self.insert(offset, Waiting { ahead, ..waiting });
        }
    }

    /// The first of this key is parked for this plugin: so is everything behind it.
    pub(in crate::deliver) fn park_line(&mut self, key: &str, plugin: &Arc<str>) {
        let line: Vec<Offset> = self.keys.get(key).into_iter().flatten().copied().collect();
        for offset in line {
            let idle = self.waiting.get(&offset).filter(|one| !one.parked && !one.flying);
            if let Some(waiting) = idle.cloned() {
                let (blames, parked) = (Some(plugin.clone()), true);
                self.insert(
                    offset,
                    Waiting {
                        blames,
                        parked,
                        ..waiting
                    },
                );
            }
        }
    }

    /// Another load of the plugin is there: whatever waits for it is due now, or once what is before it is over.
    /// How many of them were parked.
    pub(in crate::deliver) fn release(&mut self, plugin: &str, now: Timestamp) -> usize {
        let before = self.parked;
        for offset in self.blamed.remove(plugin).unwrap_or_default() {
            let Some(waiting) = self.waiting.get(&offset).cloned() else {
                continue;
            };
            let (due, blames, parked) = (now, None, false);
            self.insert(
                offset,
                Waiting {
                    due,
                    blames,
                    parked,
                    ..waiting
                },
            );
        }
        before - self.parked
    }

    /// When the next one is due.
    pub(in crate::deliver) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// When the one for this record is due, if it waits for a time.
    pub(in crate::deliver) fn due(&self, offset: Offset) -> Option<Timestamp> {
        let waiting = self.waiting.get(&offset).filter(|waiting| !waiting.parked);
        waiting.map(|waiting| waiting.due)
    }

    /// Whether this record waits here.
    pub(in crate::deliver) fn has(&self, offset: Offset) -> bool {
        self.waiting.contains_key(&offset)
    }

    /// The last of those that wait with this key: whatever comes later goes behind it.
    pub(in crate::deliver) fn last_of(&self, key: &str) -> Option<&Waiting> {
        self.waiting.get(self.keys.get(key)?.last()?)
    }

    /// The one for this record.
    pub(in crate::deliver) fn at(&self, offset: Offset) -> Option<&Waiting> {
        self.waiting.get(&offset)
    }

    /// The oldest record among them.
    pub(in crate::deliver) fn oldest(&self) -> Option<Offset> {
        self.waiting.keys().next().copied()
    }

    /// How many there are, those in flight and those parked too.
    pub(in crate::deliver) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How many the lane has yet to come to again.
    pub(in crate::deliver) fn ahead(&self) -> usize {
        self.ahead
    }

    /// How many there are whose place in the log the lane has come to.
    pub(in crate::deliver) fn come_up(&self) -> usize {
        self.waiting.len() - self.ahead
    }

    /// How many are parked.
    pub(in crate::deliver) fn parked(&self) -> usize {
        self.parked
    }

    /// How many are parked for this plugin.
    pub(in crate::deliver) fn parked_for(&self, plugin: &str) -> usize {
        let offsets = self.blamed.get(plugin).into_iter().flatten();
        offsets
            .filter(|offset| self.waiting.get(offset).is_some_and(|waiting| waiting.parked))
            .count()
    }

    fn take_out(&mut self, offset: Offset) -> Option<Waiting> {
        let old = self.waiting.remove(&offset)?;
        self.due.remove(&(old.due, offset));
        self.parked -= usize::from(old.parked);
        self.ahead -= usize::from(old.ahead);
        if let Some(key) = &old.key {
            leave(&mut self.keys, key, offset);
        }
        if let Some(plugin) = &old.blames
            && let Some(offsets) = self.blamed.get_mut(plugin)
        {
            offsets.remove(&offset);
            if offsets.is_empty() {
                self.blamed.remove(plugin);
            }
        }
        Some(old)
    }

    /// Makes due, of one key or of this one record without a key, what is first in line, and nothing behind it.
    fn line_up(&mut self, offset: Offset, key: Option<&Arc<str>>) {
        let line: Vec<Offset> = match key {
            None => vec![offset],
            Some(key) => self.keys.get(key).into_iter().flatten().take(2).copied().collect(),
        };
        for (nth, offset) in line.into_iter().enumerate() {
            let Some(waiting) = self.waiting.get(&offset) else {
                continue;
            };
            let place = (waiting.due, offset);
            match nth == 0 && !waiting.parked && !waiting.flying && !waiting.ahead {
                true => self.due.insert(place),
                false => self.due.remove(&place),
            };
        }
    }
}

fn leave(lines: &mut HashMap<Arc<str>, BTreeSet<Offset>>, key: &Arc<str>, offset: Offset) {
    if let Some(line) = lines.get_mut(key) {
        line.remove(&offset);
        if line.is_empty() {
            lines.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(due: i64) -> Waiting {
        Waiting::until(Timestamp(due), 1, Vec::new())
    }

    fn started(retries: &mut Retries, now: i64) -> Vec<u64> {
        std::iter::from_fn(|| retries.start(Timestamp(now)))
            .map(|(at, _)| at.0)
            .collect()
    }

    #[test]
    fn of_one_key_the_oldest_goes_first_and_alone() {
        let mut retries = Retries::default();
        let keyed = |due, key: &str| Waiting {
            key: Some(key.into()),
            ..waiting(due)
        };
        for (offset, due, key) in [(5, 30, "a"), (4, 40, "a"), (6, 10, "b"), (7, 10, "a")] {
            retries.insert(Offset(offset), keyed(due, key));
        }
        assert_eq!(started(&mut retries, 30), [6], "4 is before 5 and 7");
        assert_eq!(started(&mut retries, 40), [4]);
        retries.put_back(Offset(4), Timestamp(50));
        assert!(started(&mut retries, 49).is_empty());
        assert_eq!(started(&mut retries, 50), [4]);
        retries.remove(Offset(4));
        assert_eq!(started(&mut retries, 50), [5]);
        assert!(retries.last_of("a").is_some_and(|last| last.due == Timestamp(10)));
        for offset in [5, 6, 7] {
            retries.remove(Offset(offset));
        }
        assert_eq!((retries.len(), retries.last_of("a").is_none()), (0, true));
    }

    #[test]
    fn what_is_parked_waits_for_its_plugin_in_its_line() {
        let mut retries = Retries::default();
        let parked = |plugin: &str, key: Option<&str>| Waiting {
            key: key.map(Into::into),
            blames: Some(plugin.into()),
            parked: true,
            ..waiting(0)
        };
        retries.insert(Offset(1), parked("p", Some("a")));
        retries.insert(Offset(2), parked("p", Some("a")));
        retries.insert(Offset(3), parked("q", None));
        let later = Waiting {
            blames: Some("p".into()),
            ..waiting(90)
        };
        retries.insert(Offset(4), later);
        assert_eq!(
            (retries.parked(), retries.parked_for("p"), retries.next_due()),
            (3, 2, Some(Timestamp(90)))
        );
        assert_eq!(retries.release("p", Timestamp(7)), 2);
        assert_eq!(started(&mut retries, 7), [1, 4]);
        retries.remove(Offset(1));
        assert_eq!(started(&mut retries, 7), [2]);
        assert_eq!(
            (retries.release("p", Timestamp(8)), retries.release("q", Timestamp(8))),
            (0, 1)
        );
        assert_eq!((started(&mut retries, 8), retries.parked()), (vec![3], 0));
    }

    #[test]
    fn they_come_when_due_and_go_when_over() {
        let mut retries = Retries::default();
        for (offset, due) in [(5, 30), (6, 10), (7, 20)] {
            retries.insert(Offset(offset), waiting(due));
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
        retries.insert(
            Offset(7),
            Waiting {
                tries: 2,
                ..waiting(35)
            },
        );
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
