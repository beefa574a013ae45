//! Live calls, told to whoever compares them with something else.
//!
//! A shadow is a bounded queue beside one plugin's calls: what was asked and what was answered goes in after the
//! answer is there, and what does not fit is counted and left out. A plugin without a shadow pays one look at a
//! counter a call.
//!
//! Invariant: a shadow never makes a live call wait; it holds at most as many calls as it was made for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc;

use super::{CallError, Delivery, NotifyError, Verdict};
use crate::event::Event;

/// A call that was made for a delivery.
#[derive(Debug, Clone)]
pub struct Shadowed {
    /// The generation that answered.
    pub generation: u64,
    /// The subscription's config.
    pub config: Arc<str>,
    /// What it was asked about.
    pub event: Arc<Event>,
    /// What it was asked, and what it said.
    pub answer: LiveAnswer,
}

/// What a live plugin said.
#[derive(Debug, Clone)]
pub enum LiveAnswer {
    /// A filter.
    Verdict(Result<Verdict, CallError>),
    /// A notifier, of this delivery.
    Notified(Delivery, Result<(), NotifyError>),
}

/// The calls of one plugin, from now until this is dropped.
pub struct Shadow {
    plugin: String,
    calls: mpsc::Receiver<Shadowed>,
    left_out: Arc<AtomicU64>,
    taps: Arc<Taps>,
}

impl Shadow {
    /// The next call.
    pub async fn next(&mut self) -> Option<Shadowed> {
        self.calls.recv().await
    }

    /// The next call, if it is there already.
    pub fn try_next(&mut self) -> Option<Shadowed> {
        self.calls.try_recv().ok()
    }

    /// Counts the calls that did not fit.
    pub fn left_out(&self) -> Arc<AtomicU64> {
        self.left_out.clone()
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        let mut taps = self.taps.by_name.write().unwrap_or_else(PoisonError::into_inner);
        taps.remove(&self.plugin);
        self.taps.count.store(taps.len(), Ordering::Release);
    }
}

/// Where calls are told.
#[derive(Default)]
pub(super) struct Taps {
    count: AtomicUsize,
    by_name: RwLock<BTreeMap<String, Tap>>,
}

/// One plugin's.
#[derive(Clone)]
pub(super) struct Tap {
    to: mpsc::Sender<Shadowed>,
    left_out: Arc<AtomicU64>,
}

impl Taps {
    /// Follows a plugin's calls, at most so many behind; none if somebody does already.
    pub(super) fn follow(self: &Arc<Self>, plugin: &str, depth: usize) -> Option<Shadow> {
        let mut taps = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        if taps.contains_key(plugin) {
            return None;
        }
        let (to, calls) = mpsc::channel(depth);
        let left_out = Arc::<AtomicU64>::default();
        taps.insert(
            plugin.to_owned(),
            Tap {
                to,
                left_out: left_out.clone(),
            },
        );
        self.count.store(taps.len(), Ordering::Release);
        Some(Shadow {
            plugin: plugin.to_owned(),
            calls,
            left_out,
            taps: self.clone(),
        })
    }

    /// Who follows this plugin.
    pub(super) fn of(&self, plugin: &str) -> Option<Tap> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let taps = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        taps.get(plugin).cloned()
    }
}

impl Tap {
    /// Tells of one call, if there is room.
    pub(super) fn offer(&self, call: Shadowed) {
        if self.to.try_send(call).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}
