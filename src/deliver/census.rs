//! All lanes counted: how many are in which state, how far behind, and which of them the furthest.
//!
//! For an operator's figures: one pass over the lanes when somebody asks, and nothing on the way of an event.
//! Why not a figure a lane: a million of them would be more than whoever reads them could hold; the whole truth about
//! one subscription is at `/v1/subscriptions/{id}`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::Delivery;
use crate::log::BusName;
use crate::subscription::SubscriptionId;

/// Steps by which lanes are told to be behind, in records.
pub const STEPS: [u64; 4] = [1, 100, 10_000, 1_000_000];

/// What was counted.
#[derive(Debug, Default)]
pub struct Census {
    /// Lanes in each state.
    pub states: BTreeMap<&'static str, u64>,
    /// Lanes that are at least as far behind as each of [`STEPS`].
    pub behind: [u64; STEPS.len()],
    /// Those that are furthest behind, the furthest first.
    pub furthest: Vec<Furthest>,
    /// Records in memory that wait for their first attempt.
    pub queued: u64,
    /// The bytes of their events.
    pub queued_bytes: u64,
    /// Lanes with changes that the next checkpoint writes.
    pub unwritten: usize,
    /// Since the last checkpoint that was written whole.
    pub written: Duration,
}

/// A lane that is behind. Ordered by how far.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Furthest {
    /// By how many records.
    pub behind: u64,
    /// Deliveries that wait for a retry.
    pub retrying: usize,
    /// Which.
    pub subscription: SubscriptionId,
    /// Its bus.
    pub bus: BusName,
}

/// Every state of a lane: those that nobody is in are told to be empty.
const STATES: [&str; 7] = ["idle", "delivering", "catching_up", "held", "parking", "open", "paused"];

impl Delivery {
    /// Counts all lanes, and names at most this many of those that are behind.
    pub fn census(&self, named: usize) -> Census {
        let mut census = Census {
            states: STATES.iter().map(|state| (*state, 0)).collect(),
            ..Census::default()
        };
        let mut furthest = BinaryHeap::new();
        for lane in self.0.all() {
            let (dispatched, end) = self.positions(&lane);
            let state = lane.lock();
            let status = state.status(dispatched, end);
            let (records, bytes) = state.queued();
            drop(state);
            *census.states.entry(status.state).or_default() += 1;
            census.queued += records as u64;
            census.queued_bytes += bytes as u64;
            for (step, count) in STEPS.iter().zip(&mut census.behind) {
                *count += u64::from(status.behind >= *step);
            }
            if status.behind > 0 {
                furthest.push(Reverse(Furthest {
                    behind: status.behind,
                    retrying: status.retrying,
                    subscription: lane.id.clone(),
                    bus: lane.bus.name.clone(),
                }));
            }
            if furthest.len() > named {
                furthest.pop();
            }
        }
        census.furthest = furthest.into_sorted_vec().into_iter().map(|Reverse(one)| one).collect();
        census.unwritten = self.0.noted();
        census.written = self.0.parts.clock.now().since(self.0.written_at());
        census
    }
}
