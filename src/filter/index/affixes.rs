//! Finds all known prefixes of a text.
//!
//! A sorted map is asked for the greatest key that is not above the text; what that key has in common with the text
//! bounds the next question. Each question shortens the bound, and in practice there are few more questions than
//! answers. Rejected: a trie (four times the memory at a million keys), and a hash look-up for each length in use
//! (a look-up a letter once somebody uses all lengths).

use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

/// Prefixes and their buckets. For suffixes both sides are given backwards.
#[derive(Debug, Default)]
pub(super) struct Affixes(BTreeMap<Box<[u8]>, u32>);

impl Affixes {
    /// Every bucket whose prefix `text` begins with.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(u32)) {
        let mut rest = text;
        while !rest.is_empty() {
            let below = (Unbounded, Included(rest));
            let Some((prefix, bucket)) = self.0.range::<[u8], _>(below).next_back() else {
                return;
            };
            let common = prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
            let whole = common == prefix.len();
            if whole {
                found(*bucket);
            }
            // A key that is not a whole prefix has less in common with `rest` than all of it: it is not above it.
            let bound = if whole {
                common.saturating_sub(1)
            } else {
                common
            };
            rest = rest.get(..bound).unwrap_or_default();
        }
    }

    pub(super) fn at(&self, prefix: &[u8]) -> Option<u32> {
        self.0.get(prefix).copied()
    }

    pub(super) fn insert(&mut self, prefix: &[u8], bucket: u32) {
        self.0.insert(prefix.into(), bucket);
    }

    pub(super) fn remove(&mut self, prefix: &[u8]) {
        self.0.remove(prefix);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
            text in "[abc]{0,8}",
        ) {
            let mut affixes = Affixes::default();
            for (bucket, prefix) in prefixes.iter().enumerate() {
                affixes.insert(prefix.as_bytes(), bucket as u32);
            }
            let mut found = Vec::new();
            affixes.each(text.as_bytes(), |bucket| found.push(bucket));
            found.sort_unstable();
            let scan = prefixes.iter().enumerate().filter(|(_, prefix)| text.starts_with(*prefix));
            let scanned: Vec<u32> = scan.map(|(bucket, _)| bucket as u32).collect();
            prop_assert_eq!(found, scanned);
        }
    }
}
