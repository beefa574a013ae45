//! Finds who wants an event, at a cost that grows with the matches and not with the subscriptions.
//!
//! Each selector is filed under its *anchor*: the part (`anchor`) whose literals have the emptiest buckets when it is
//! put in, so a million selectors of one type and a literal each in the data spread over a million buckets. An event is
//! walked once (`fields`); the buckets of the values that it shows hold the candidates, and only these are checked.
//! Equal selectors are one entry with several keys; equal filters are evaluated once an event (`shared`). A selector
//! without any literal (`anything-but`, `numeric`, `exists` alone) is a candidate for every event.
//!
//! Rejected: an automaton over whole patterns (crate quamina): 8 to 16 KB a pattern, additions that stop matching for
//! seconds, a panic on some overlaps. Here an addition touches one bucket, and removal is exact.
//! Invariant: an entry sits in each bucket of its anchor's spots, in their order, and knows its seat in each; a bucket
//! knows nobody else. What buckets give is checked, but for the part that the anchor proves, so a poor anchor costs
//! time and never a wrong answer.

mod anchor;
mod fields;
mod shared;

mod affixes;
mod hashed;
mod slots;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use super::decide::{Match, all};
use super::selector::Selector;
use crate::event::Event;
use anchor::{Conjunct, Part, Spot};
use fields::Fields;
use hashed::Hashed;
use shared::{Scratch, Shared};
use slots::{Few, Slots};

/// The bucket of entries without an anchor. It is always there.
const LOOSE: u32 = 0;

/// Finds, for an event, the keys of all selectors that may want it, at a cost that grows with the matches.
#[derive(Debug)]
pub struct Index<K> {
    keys: HashMap<K, Kept>,
    selectors: HashMap<Hashed<Arc<Selector>>, u32>,
    entries: Slots<Entry<K>>,
    fields: Fields,
    buckets: Slots<Few<u32>>,
    shared: Shared,
    /// For the next events, one for each that is matched at the same time.
    scratch: Mutex<Vec<Scratch>>,
}

/// A selector and everybody who has it.
#[derive(Debug)]
struct Entry<K> {
    selector: Arc<Selector>,
    keys: Few<K>,
    /// Its seats in buckets, one for each spot of its anchor.
    seats: Few<Seat>,
    /// Which of its conjuncts is the anchor.
    anchor: Option<u16>,
    /// What the anchor says all of: that part of a candidate need not be checked.
    proven: Part,
    /// The number of its types in `shared`, if they must be asked.
    types: Option<u32>,
    /// Whether anything but its types is left to ask. If not, its selector is not touched: that is memory far away.
    rest: bool,
    /// Its filters' numbers in `shared`.
    filters: Box<[u32]>,
}

/// Where an entry sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    bucket: u32,
    at: u32,
}

/// Where a key is kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    entry: u32,
    at: u32,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        let mut buckets = Slots::default();
        buckets.insert(Few::None);
        Self {
            keys: HashMap::new(),
            selectors: HashMap::new(),
            entries: Slots::default(),
            fields: Fields::default(),
            buckets,
            shared: Shared::default(),
            scratch: Mutex::default(),
        }
    }
}

impl<K: Copy + Eq + Hash> Index<K> {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a selector under `key`, replacing what was there.
    pub fn insert(&mut self, key: K, selector: Arc<Selector>) {
        self.remove(key);
        let hashed = Hashed::new(selector.clone(), self.selectors.hasher());
        let entry = match self.selectors.get(&hashed) {
            Some(entry) => *entry,
            None => {
                let entry = self.file(selector);
                self.selectors.insert(hashed, entry);
                entry
            }
        };
        if let Some(filed) = self.entries.at_mut(entry) {
            let at = filed.keys.push(key);
            self.keys.insert(key, Kept { entry, at });
        }
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: K) -> bool {
        let Some(Kept { entry, at }) = self.keys.remove(&key) else {
            return false;
        };
        let Some(filed) = self.entries.at_mut(entry) else {
            return false;
        };
        filed.keys.swap_remove(at);
        if let Some(moved) = filed.keys.as_slice().get(at as usize) {
            self.keys.insert(*moved, Kept { entry, at });
        }
        if filed.keys.as_slice().is_empty() {
            self.discard(entry);
        }
        true
    }

    /// How many selectors are in it.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Appends to `hits` every key that wants the event (`Match::Yes`) or may (`Match::AskPlugins`), each once.
    pub fn matches(&self, event: &Event, hits: &mut Vec<(K, Match)>) {
        // The lock is held for a push or a pop; a panic in between leaves a stack that is still good.
        let spare = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = spare().pop().unwrap_or_default();
        scratch.begin(self.buckets.bound(), self.entries.bound(), self.shared.bound());
        self.open(LOOSE, event, &mut scratch, hits);
        self.fields.each(event, &mut |bucket| {
            if scratch.first_bucket(bucket) {
                self.open(bucket, event, &mut scratch, hits);
            }
        });
        spare().push(scratch);
    }

    /// Checks everyone in a bucket.
    fn open(&self, bucket: u32, event: &Event, scratch: &mut Scratch, hits: &mut Vec<(K, Match)>) {
        let candidates = self.buckets.at(bucket).map(Few::as_slice).unwrap_or_default();
        for number in candidates {
            let Some(entry) = self.entries.at(*number) else {
                continue;
            };
            // Who has one seat comes up once.
            if entry.seats.as_slice().len() > 1 && !scratch.first_entry(*number) {
                continue;
            }
            let answer = entry.check(event, scratch);
            if answer != Match::No {
                hits.extend(entry.keys.as_slice().iter().map(|key| (*key, answer)));
            }
        }
    }

    /// Makes an entry for a selector that nobody had.
    fn file(&mut self, selector: Arc<Selector>) -> u32 {
        let conjuncts = anchor::conjuncts(&selector);
        let anchor = self.choose(&conjuncts);
        let chosen = anchor.and_then(|at| conjuncts.get(usize::from(at)));
        let whole = chosen.filter(|conjunct| conjunct.whole);
        let proven = whole.map_or(Part::Fraction, |conjunct| conjunct.part);
        let source = selector.source.is_some() && proven != Part::Source;
        let rest = source || (0..selector.filters.len()).any(|at| !proven.is_filter(at));
        let types = self.shared.take_types(&selector, proven);
        let filters = self.shared.take_filters(&selector, proven);
        let number = self.entries.insert(Entry {
            selector: selector.clone(),
            keys: Few::None,
            seats: Few::None,
            anchor,
            proven,
            types,
            rest,
            filters,
        });
        match chosen {
            Some(conjunct) => conjunct.spots.iter().for_each(|spot| self.seat_at(spot, number)),
            None => self.seat(LOOSE, number),
        }
        number
    }

    /// The conjunct whose buckets are emptiest.
    fn choose(&self, conjuncts: &[Conjunct<'_>]) -> Option<u16> {
        let size = |spot: &Spot<'_>| {
            let bucket = self.fields.at(spot).and_then(|bucket| self.buckets.at(bucket));
            bucket.map_or(0, |entries| entries.as_slice().len())
        };
        let cost = |conjunct: &Conjunct<'_>| {
            let sizes: usize = conjunct.spots.iter().map(size).sum();
            let rank = conjunct.spots.iter().map(Spot::rank).max();
            (sizes + conjunct.spots.len(), rank)
        };
        // The number is small in memory: of more parts than it can count, the first are enough.
        let known = conjuncts
            .iter()
            .take(usize::from(u16::MAX))
            .enumerate()
            .filter(|(_, conjunct)| !conjunct.spots.is_empty());
        let (best, _) = known.min_by_key(|(_, conjunct)| cost(conjunct))?;
        u16::try_from(best).ok()
    }

    fn seat_at(&mut self, spot: &Spot<'_>, entry: u32) {
        let bucket = self.fields.at(spot).unwrap_or_else(|| {
            let bucket = self.buckets.insert(Few::None);
            self.fields.insert(spot, bucket);
            bucket
        });
        self.seat(bucket, entry);
    }

    fn seat(&mut self, bucket: u32, entry: u32) {
        let seats = self.entries.at_mut(entry).map(|filed| &mut filed.seats);
        if let (Some(entries), Some(seats)) = (self.buckets.at_mut(bucket), seats) {
            let at = entries.push(entry);
            seats.push(Seat { bucket, at });
        }
    }

    /// Takes an entry out of everything.
    fn discard(&mut self, number: u32) {
        let seats = self.entries.at(number).map_or(0, |entry| entry.seats.as_slice().len());
        let emptied: Vec<Option<u32>> = (0..seats).map(|nth| self.unseat(number, nth)).collect();
        let Some(entry) = self.entries.remove(number) else {
            return;
        };
        let hashed = Hashed::new(entry.selector.clone(), self.selectors.hasher());
        self.selectors.remove(&hashed);
        self.shared.give_back(&entry.selector, entry.proven);
        let conjuncts = anchor::conjuncts(&entry.selector);
        let Some(conjunct) = entry.anchor.and_then(|at| conjuncts.get(usize::from(at))) else {
            return;
        };
        for (spot, bucket) in conjunct.spots.iter().zip(emptied) {
            if let Some(bucket) = bucket {
                self.fields.remove(spot);
                self.buckets.remove(bucket);
            }
        }
    }

    /// Takes an entry from its nth seat; the last of that bucket moves there. The bucket's number if none is left.
    fn unseat(&mut self, number: u32, nth: usize) -> Option<u32> {
        let seat = *self.entries.at(number)?.seats.as_slice().get(nth)?;
        let entries = self.buckets.at_mut(seat.bucket)?;
        let last = Seat {
            at: (entries.as_slice().len() as u32).saturating_sub(1),
            ..seat
        };
        entries.swap_remove(seat.at);
        let left = entries.as_slice();
        if let Some(moved) = left.get(seat.at as usize) {
            let moved = self.entries.at_mut(*moved)?;
            if let Some(old) = moved.seats.as_mut_slice().iter_mut().find(|old| **old == last) {
                *old = seat;
            }
            return None;
        }
        (left.is_empty() && seat.bucket != LOOSE).then_some(seat.bucket)
    }
}

impl<K> Entry<K> {
    /// What the selector says of a candidate.
    fn check(&self, event: &Event, scratch: &mut Scratch) -> Match {
        let selector = &self.selector;
        if let Some(number) = self.types
            && scratch.answer(number, || selector.type_matches(event).into()) == Match::No
        {
            return Match::No;
        }
        if !self.rest {
            return Match::Yes;
        }
        if !selector.source_matches(event) {
            return Match::No;
        }
        let filters = selector.filters.iter().enumerate();
        let left = filters.filter(|(at, _)| !self.proven.is_filter(*at));
        all(left.map(|(at, filter)| match self.filters.get(at) {
            Some(number) => scratch.answer(*number, || filter.matches(event)),
            None => filter.matches(event),
        }))
    }
}

#[cfg(test)]
mod tests;
