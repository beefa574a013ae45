//! Which `source` and `id` have been accepted lately, and where: the memory behind "at most once into the log".
//!
//! An id is kept as a 128-bit keyed hash (a collision would swallow an event; at 128 bits nobody will see one, and
//! nobody outside can make one without the key). Ids live in generations: a new one begins when the newest is full or
//! old, and whole old ones go, so that forgetting costs nothing an event. Rejected: an index in SQLite, which
//! doubles what a commit writes; and one map with a queue of expiries, which costs twice the memory.
//!
//! Invariant: only ids of durable records are in here. Invariant: never more than `capacity` ids; when that is less
//! than the window needs, [`reach`] tells the truth about it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::time::Duration;

use crate::time::Timestamp;

/// Generations within a window, and within the capacity: a quarter is forgotten at a time.
const PARTS: u32 = 4;

/// A hash of `source` and `id`.
pub(super) type Key = u128;

/// The memory of one bus.
pub(super) struct Dedup {
    window: Duration,
    capacity: usize,
    hash: RandomState,
    /// Oldest first.
    generations: VecDeque<Generation>,
    /// Ids of records received before this may have been forgotten though they are within the window.
    known_since: Option<Timestamp>,
}

struct Generation {
    ids: HashMap<Key, Seen, BuildHasherDefault<Identity>>,
    oldest: Timestamp,
    newest: Timestamp,
}

#[derive(Clone, Copy)]
struct Seen {
    offset: u64,
    received: Timestamp,
}

impl Dedup {
    /// A memory of nothing, for this window and at most this many ids.
    pub(super) fn new(window: Duration, capacity: usize) -> Self {
        Self {
            window,
            capacity,
            hash: RandomState::new(),
            generations: VecDeque::new(),
            known_since: None,
        }
    }

    /// The key of an event. Differs from one process to the next.
    pub(super) fn key(&self, source: &str, id: &str) -> Key {
        // One keyed hash over two different inputs: two independent halves.
        let half = |salt: u8| self.hash.hash_one((salt, source, id));
        (u128::from(half(0)) << 64) | u128::from(half(1))
    }

    /// Where the record with this key is, if it was accepted within the window before `now`.
    pub(super) fn find(&self, key: Key, now: Timestamp) -> Option<u64> {
        let seen = self
            .generations
            .iter()
            .rev()
            .find_map(|generation| generation.ids.get(&key))?;
        (now.since(seen.received) < self.window).then_some(seen.offset)
    }

    /// Remembers a record. They come in the order of their offsets.
    pub(super) fn remember(&mut self, key: Key, offset: u64, received: Timestamp) {
        if self.capacity == 0 {
            self.known_since = Some(received);
            return;
        }
        self.forget(received);
        let begun = self.generations.back().is_some_and(|newest| {
            newest.ids.len() < self.capacity.div_ceil(PARTS as usize)
                && received.since(newest.oldest) <= self.window / PARTS
        });
        if !begun {
            self.generations.push_back(Generation {
                ids: HashMap::default(),
                oldest: received,
                newest: received,
            });
        }
        if let Some(newest) = self.generations.back_mut() {
            newest.newest = received;
            newest.ids.insert(key, Seen { offset, received });
        }
    }

    /// Says that records received before `at` were never looked at (after a restart).
    pub(super) fn known_only_since(&mut self, at: Timestamp) {
        self.known_since = Some(at);
    }

    /// Since when every id is known, if that may be less than a window ago.
    pub(super) fn known_since(&self) -> Option<Timestamp> {
        self.known_since
    }

    /// Makes room for one more: drops what the window has passed, then what the capacity does not allow.
    fn forget(&mut self, now: Timestamp) {
        while let Some(oldest) = self.generations.front() {
            let expired = now.since(oldest.newest) >= self.window;
            let held: usize = self.generations.iter().map(|generation| generation.ids.len()).sum();
            if !expired && held < self.capacity {
                return;
            }
            if !expired {
                self.known_since = Some(oldest.newest);
            }
            self.generations.pop_front();
        }
    }
}

/// How far back every duplicate is known at `now`.
pub(super) fn reach(window: Duration, known_since: Option<Timestamp>, now: Timestamp) -> Duration {
    known_since.map_or(window, |since| window.min(now.since(since)))
}

/// Keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        // The low half is as good as any.
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    #[test]
    fn knows_an_id_for_the_window_and_no_longer() {
        let mut dedup = Dedup::new(WINDOW, 1_000);
        let key = dedup.key("/s", "1");
        assert_ne!(key, dedup.key("/s", "2"));
        assert_ne!(dedup.key("/s1", "2"), dedup.key("/s", "12"));
        assert_eq!(dedup.find(key, Timestamp(0)), None);
        dedup.remember(key, 1, Timestamp(0));
        assert_eq!(dedup.find(key, Timestamp(99)), Some(1));
        assert_eq!(dedup.find(key, Timestamp(100)), None);
        dedup.remember(key, 2, Timestamp(100));
        assert_eq!(dedup.find(key, Timestamp(150)), Some(2), "the later one counts");
    }

    #[test]
    fn says_how_far_it_reaches_when_the_capacity_is_too_small() {
        let mut dedup = Dedup::new(WINDOW, 8);
        let reach_at = |dedup: &Dedup, at| reach(WINDOW, dedup.known_since(), Timestamp(at));
        for at in 0..8_u64 {
            dedup.remember(at.into(), at, Timestamp(at as i64));
        }
        assert_eq!(reach_at(&dedup, 8), WINDOW);
        dedup.remember(8, 8, Timestamp(8));
        assert_eq!(reach_at(&dedup, 8), Duration::from_millis(7), "0 and 1 went");
        assert_eq!(dedup.find(1, Timestamp(8)), None);
        assert_eq!(dedup.find(2, Timestamp(8)), Some(2));
        assert_eq!(reach_at(&dedup, 200), WINDOW, "what went is past the window by now");
    }

    #[test]
    fn a_capacity_of_nothing_knows_nothing_and_says_so() {
        let mut dedup = Dedup::new(WINDOW, 0);
        dedup.remember(1, 1, Timestamp(50));
        assert_eq!(dedup.find(1, Timestamp(50)), None);
        assert_eq!(reach(WINDOW, dedup.known_since(), Timestamp(50)), Duration::ZERO);
    }

    proptest! {
        /// Against a plain list: whatever was accepted within the reach is found, and nothing outside the window.
        #[test]
        fn agrees_with_a_list(capacity in 1..40_usize, steps in proptest::collection::vec((0..30_u64, 0..40_i64), 0..200)) {
            let mut dedup = Dedup::new(WINDOW, capacity);
            let mut list: Vec<(u64, u64, i64)> = Vec::new();
            let mut now = 0;
            for (offset, (id, pause)) in steps.into_iter().enumerate() {
                now += pause;
                let found = dedup.find(id.into(), Timestamp(now));
                let last = list.iter().rev().find(|(known, _, at)| *known == id && now - at < 100);
                let within = reach(WINDOW, dedup.known_since(), Timestamp(now)).as_millis() as i64;
                match (found, last) {
                    (Some(found), Some((_, offset, _))) => prop_assert_eq!(found, *offset),
                    (Some(_), None) => prop_assert!(false, "found what the window has passed"),
                    (None, Some((_, _, at))) => prop_assert!(now - at >= within, "forgot within its reach"),
                    (None, None) => {}
                }
                if found.is_none() {
                    dedup.remember(id.into(), offset as u64, Timestamp(now));
                    list.push((id, offset as u64, now));
                }
                let held: usize = dedup.generations.iter().map(|generation| generation.ids.len()).sum();
                prop_assert!(held <= capacity);
            }
        }
    }
}
