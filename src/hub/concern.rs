//! What those around the hub want its operator to know: told at `/healthz` until it is over.
//!
//! Why so: the hub's own parts are asked when somebody looks; what stands above it (listeners, the machine that it
//! runs on) is not known to it, so it comes here and says so.
//! Invariant: one concern a topic, so what is said again and again is there once.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Hub;

/// By topic.
#[derive(Debug, Default)]
pub(super) struct Concerns(Mutex<BTreeMap<&'static str, String>>);

impl Hub {
    /// Says what is wrong with `topic`, in words and with what helps; or that it is over.
    pub fn concern(&self, topic: &'static str, words: Option<String>) {
        let mut concerns = self.0.concerns.0.lock().unwrap_or_else(PoisonError::into_inner);
        match words {
            Some(words) => concerns.insert(topic, words),
            None => concerns.remove(topic),
        };
    }

    /// What is wrong now.
    pub(super) fn concerns(&self) -> Vec<String> {
        let concerns = self.0.concerns.0.lock().unwrap_or_else(PoisonError::into_inner);
        concerns.values().cloned().collect()
    }
}
