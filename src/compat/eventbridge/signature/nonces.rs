//! Nonces that have been spent: a request that was heard on the wire is not taken again.
//!
//! Invariant: at most [`MOST`] are remembered; beyond it the oldest go first.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::Timestamp;

/// Longer than a date is good for, before and after.
const KEPT: Duration = Duration::from_secs(31 * 60);
const MOST: usize = 200_000;
const LONGEST: usize = 128;

/// The nonces that have been spent.
#[derive(Debug, Default)]
pub(in crate::compat::eventbridge) struct Nonces(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    all: HashSet<String>,
    order: VecDeque<(Timestamp, String)>,
}

impl Nonces {
    /// Spends a nonce of this key; `false` if it was spent before.
    pub(super) fn spend(&self, key: &str, nonce: &str, now: Timestamp) -> bool {
        if nonce.len() > LONGEST {
            return false;
        }
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while spent.order.front().is_some_and(|(at, _)| now.since(*at) > KEPT) || spent.order.len() >= MOST {
            let Some((_, oldest)) = spent.order.pop_front() else {
                break;
            };
            spent.all.remove(&oldest);
        }
        let one = format!("{key}\n{nonce}");
        let is_new = spent.all.insert(one.clone());
        if is_new {
            spent.order.push_back((now, one));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_and_again_when_its_date_no_longer_is() {
        let nonces = Nonces::default();
        let spend = |key: &str, nonce: &str, minute: i64| nonces.spend(key, nonce, Timestamp(minute * 60_000));
        assert!(spend("a", "1", 0) && spend("a", "2", 0) && spend("b", "1", 0));
        assert!(!spend("a", "1", 1) && !spend("a", "1", 31));
        assert!(spend("a", "1", 32));
        assert!(!spend("a", &"x".repeat(129), 0));
        assert_eq!(nonces.0.lock().unwrap().order.len(), 1);
    }
}
