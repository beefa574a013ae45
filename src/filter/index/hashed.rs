//! A map key that remembers its hash: a growing map then moves its keys without reading all of them again.

use std::hash::{BuildHasher, Hash, Hasher};

/// A value and its hash.
#[derive(Debug)]
pub(super) struct Hashed<T> {
    hash: u64,
    value: T,
}

impl<T: Hash> Hashed<T> {
    /// Hashes a value; one map's keys must all come from one `state`.
    pub(super) fn new(value: T, state: &impl BuildHasher) -> Self {
        let hash = state.hash_one(&value);
        Self { hash, value }
    }
}

impl<T> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<T: PartialEq> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.value == other.value
    }
}

impl<T: Eq> Eq for Hashed<T> {}
