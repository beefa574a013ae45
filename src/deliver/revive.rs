//! Dead letters on their way back into their lanes, many at a time.
//!
//! One transaction takes the letters out and puts the retries in: a crash leaves each in one place or the other. A
//! lane takes only so many ([`ROOM`]): a hundred thousand letters are never in memory at once, and what has no room
//! stays a letter.
//! Invariant: a letter is not revived before its record was seen in the log: the letter may have the only copy.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::Delivery;
use super::lane::{Lane, MOST_RETRIES};
use crate::error::Error;
use crate::log::{BusName, Offset, ReadLimit};
use crate::subscription::{Checkpoint, DeadLetter, Retry, SubscriptionId};

/// Deliveries that wait in a lane, beyond which it takes no letters: what dies meanwhile must find room too.
const ROOM: usize = MOST_RETRIES / 2;
/// Records read at once to see whether they are there: what died together mostly lies together.
const LOOK: ReadLimit = ReadLimit {
    records: 128,
    bytes: 1 << 20,
};

/// What became of letters that were to go back into their lanes.
#[derive(Debug, Default)]
pub struct Revived {
    /// They are in their lanes.
    pub revived: Vec<u64>,
    /// Their subscription is gone.
    pub unknown: Vec<DeadLetter>,
    /// The log no longer has their records.
    pub gone: Vec<DeadLetter>,
    /// Their lane has no room for now.
    pub crowded: Vec<DeadLetter>,
}

impl Delivery {
    /// Puts dead letters back into their lanes, as first attempts. What is in a lane when this returns is in the store
    /// too, and is no letter any more: were those dropped later, the letters of deliveries that died again could be
    /// the ones to go.
    ///
    /// # Errors
    /// The log cannot be read, or the store cannot write: every letter is still there.
    pub async fn revive(&self, letters: Vec<DeadLetter>) -> Result<Revived, Error> {
        let (mut done, mut checkpoint) = (Revived::default(), Checkpoint::default());
        let mut lanes: HashMap<SubscriptionId, (Arc<Lane>, usize)> = HashMap::new();
        let mut there = There::default();
        let due = self.0.parts.clock.now();
        for letter in letters {
            let Some(lane) = self.0.lane(&letter.subscription) else {
                done.unknown.push(letter);
                continue;
            };
            if lane.bus.name != letter.bus || !there.has(self, &letter).await? {
                done.gone.push(letter);
                continue;
            }
            let (_, waiting) = lanes.entry(lane.id.clone()).or_insert_with(|| {
                let waiting = lane.lock().retries.len();
                (lane, waiting)
            });
            if *waiting >= ROOM {
                done.crowded.push(letter);
                continue;
            }
            *waiting += 1;
            checkpoint.revived.push(letter.id);
            checkpoint.retries.push(first_attempt(&letter, due));
        }
        if checkpoint.revived.is_empty() {
            return Ok(done);
        }
        done.revived = checkpoint.revived.clone();
        // On its own: were a caller who hangs up to end this in between, what the store has as retries would be in no
        // lane before a restart.
        let (delivery, retries) = (self.clone(), checkpoint.retries.clone());
        let written = self.0.tasks.spawn(async move {
            delivery.0.parts.store.checkpoint(checkpoint).await?;
            delivery.take_in(retries, &lanes);
            Ok::<_, Error>(())
        });
        written.await.map_err(Error::internal)??;
        Ok(done)
    }

    /// Each lane under one lock, and awake once.
    fn take_in(&self, retries: Vec<Retry>, lanes: &HashMap<SubscriptionId, (Arc<Lane>, usize)>) {
        let mut by_lane: HashMap<SubscriptionId, Vec<Retry>> = HashMap::new();
        for retry in retries {
            by_lane.entry(retry.subscription.clone()).or_default().push(retry);
        }
        for (id, retries) in by_lane {
            let Some((lane, _)) = lanes.get(&id) else { continue };
            let mut state = lane.lock();
            retries.into_iter().for_each(|retry| state.restore(retry));
            let asks = state.ask();
            self.0.follow(lane, state, asks);
        }
    }
}

fn first_attempt(letter: &DeadLetter, due: crate::time::Timestamp) -> Retry {
    Retry {
        subscription: letter.subscription.clone(),
        offset: letter.offset,
        due,
        attempts: Vec::new(),
        tries: 0,
        // Its turn among its key's has passed.
        key: None,
    }
}

/// What was last seen of a log.
#[derive(Default)]
struct There {
    bus: Option<BusName>,
    looked: Range<Offset>,
    seen: Vec<Offset>,
}

impl There {
    /// Whether the log has the letter's record.
    async fn has(&mut self, delivery: &Delivery, letter: &DeadLetter) -> Result<bool, Error> {
        let known = self.bus.as_ref() == Some(&letter.bus) && self.looked.contains(&letter.offset);
        if !known {
            let log = &delivery.0.parts.log;
            let batch = log.read(&letter.bus, letter.offset, LOOK).await?;
            self.bus = Some(letter.bus.clone());
            self.looked = letter.offset..batch.next.max(Offset(letter.offset.0.saturating_add(1)));
            self.seen = batch.records.iter().map(|record| record.offset).collect();
        }
        Ok(self.seen.binary_search(&letter.offset).is_ok())
    }
}
