//! Finds all known prefixes of a text.
//!
//! One look-up for each length that some prefix has: in practice a few dozen, whatever the number of prefixes.
//! Rejected: a sorted map, asked again and again for the greatest key not above what the last one had in common
//! (measured: at a hundred thousand prefixes each question is dozens of far reads, and digits make one question each),
//! and a trie (four times the memory at a million keys).

use std::collections::{BTreeMap, HashMap};

/// Prefixes and their buckets. For suffixes both sides are given backwards.
#[derive(Debug, Default)]
pub(super) struct Affixes {
    buckets: HashMap<Box<[u8]>, u32>,
    /// How many prefixes have each length.
    lengths: BTreeMap<usize, usize>,
}

impl Affixes {
    /// Every bucket whose prefix `text` begins with.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(u32)) {
        for (length, _) in self.lengths.range(..=text.len()) {
            if let Some(bucket) = text.get(..*length).and_then(|part| self.at(part)) {
                found(bucket);
            }
        }
    }

    pub(super) fn at(&self, prefix: &[u8]) -> Option<u32> {
        self.buckets.get(prefix).copied()
    }

    pub(super) fn insert(&mut self, prefix: &[u8], bucket: u32) {
        if self.buckets.insert(prefix.into(), bucket).is_none() {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, prefix: &[u8]) {
        if self.buckets.remove(prefix).is_none() {
            return;
        }
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_scan_finds(
            prefixes in proptest::collection::btree_set("[ab]{1,6}", 0..30),
            removed in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
            text in "[abc]{0,8}",
        ) {
            let mut affixes = Affixes::default();
            for (bucket, prefix) in prefixes.iter().enumerate() {
                affixes.insert(prefix.as_bytes(), bucket as u32);
            }
            // Buckets stay as they were numbered; the scan is given the same numbers.
            let mut numbered: Vec<(usize, String)> = prefixes.into_iter().enumerate().collect();
            for index in removed {
                if !numbered.is_empty() {
                    let (_, prefix) = numbered.remove(index.index(numbered.len()));
                    affixes.remove(prefix.as_bytes());
                    affixes.remove(prefix.as_bytes());
                }
            }
            prop_assert_eq!(affixes.is_empty(), numbered.is_empty());
            let mut found = Vec::new();
            affixes.each(text.as_bytes(), |bucket| found.push(bucket));
            found.sort_unstable();
            let scan = numbered.iter().filter(|(_, prefix)| text.starts_with(prefix.as_str()));
            let scanned: Vec<u32> = scan.map(|(bucket, _)| *bucket as u32).collect();
            prop_assert_eq!(found, scanned);
        }
    }
}
