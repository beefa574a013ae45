//! Writing down how far things are, so that a restart goes on from there.
//!
//! About ten times a second, if anything has changed, one transaction: the bus floors, and of every lane that has
//! changed its row, its retries and its dead letters. The floors are read *before* the lanes are looked at: whatever
//! a floor covers had been offered by then, and a lane that was offered something is among those looked at.
//! A write that fails is made again with the next one; until then a crash repeats deliveries and loses none.
//!
//! What was given up is published on the bus that its subscription names before its letter is written: a crash between
//! the two tries it once more, and the copy is then a duplicate of itself.
//!
//! Invariant: what a checkpoint says of a lane was true of it at one moment (it is collected under one lock).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use super::bus::Bus;
use super::engine::Engine;
use super::forward::publish_copies;
use super::lane::{Change, Lane};
use super::replay;
use crate::error::Error;
use crate::event::Event;
use crate::log::{BusName, Offset};
use crate::subscription::{Checkpoint, SubscriptionId};

/// Between two checkpoints. In the machine's time: it is about the disk, not about any policy.
const PAUSE: Duration = Duration::from_millis(100);
/// Copies of dead letters in one append.
const COPIES: usize = 256;

/// What the store has.
#[derive(Default)]
pub(super) struct Written {
    floors: HashMap<BusName, Offset>,
    failing: bool,
}

/// What was taken out of a lane, to be given back if the write fails.
struct Taken {
    lane: Arc<Lane>,
    changes: BTreeMap<Offset, Change>,
}

impl Written {
    /// What the store had at start.
    pub(super) fn new(floors: impl IntoIterator<Item = (BusName, Offset)>) -> Self {
        Self {
            floors: floors.into_iter().collect(),
            failing: false,
        }
    }
}

/// Writes checkpoints until the engine stops; the last one is `drain`'s.
pub(super) async fn keep_writing(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            biased;
            () = engine.tasks.stopping() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        write(&engine).await;
    }
}

/// Writes one checkpoint, if there is anything to write; whether the store is up to date now.
pub(super) async fn write(engine: &Arc<Engine>) -> bool {
    // Held across the write on purpose: two checkpoints must reach the store in the order they were collected.
    let mut written = engine.written.lock().await;
    let floors: Vec<(Arc<Bus>, Offset)> = engine
        .buses()
        .into_iter()
        .map(|bus| (bus.position.dispatched(), bus))
        .map(|(at, bus)| (bus, at))
        .collect();
    let mut checkpoint = Checkpoint::default();
    let moved = floors
        .iter()
        .filter(|(bus, floor)| written.floors.get(&bus.name) != Some(floor));
    checkpoint.floors = moved.map(|(bus, floor)| (bus.name.clone(), *floor)).collect();
    let at: HashMap<BusName, Offset> = floors.iter().map(|(bus, floor)| (bus.name.clone(), *floor)).collect();
    let taken = collect(engine, &at, &mut checkpoint);
    let nothing = checkpoint.floors.is_empty()
        && checkpoint.cursors.is_empty()
        && checkpoint.retries.is_empty()
        && checkpoint.settled.is_empty()
        && checkpoint.dead.is_empty()
        && checkpoint.replays.is_empty();
    if nothing {
        protect(engine, &floors);
        if !written.failing {
            engine.note_written();
        }
        return !written.failing;
    }
    let replays = checkpoint.replays.clone();
    let written_down = match publish_dead(engine, &taken).await {
        Ok(()) => engine.parts.store.checkpoint(checkpoint).await,
        Err(cause) => Err(cause),
    };
    match written_down {
        Ok(()) => {
            if std::mem::take(&mut written.failing) {
                info!("checkpoints are written again");
            }
            written.floors.extend(at);
            engine.replays_written(&replays);
            protect(engine, &floors);
            engine.note_written();
            true
        }
        Err(cause) => {
            if !std::mem::replace(&mut written.failing, true) {
                error!(error = %cause, "cannot write checkpoints: a restart would repeat deliveries");
            }
            for Taken { lane, changes } in taken {
                let mut state = lane.lock();
                state.give_back(changes);
                engine.note_if(true, &lane);
            }
            false
        }
    }
}

/// Publishes the copies of what was given up, on the buses that their subscriptions name.
async fn publish_dead(engine: &Engine, taken: &[Taken]) -> Result<(), Error> {
    let mut copies: BTreeMap<&BusName, Vec<Arc<Event>>> = BTreeMap::new();
    for change in taken.iter().flat_map(|taken| taken.changes.values()) {
        if let Change::Dead(buried) = change
            && let Some((bus, copy)) = &buried.copy
        {
            copies.entry(bus).or_default().push(copy.clone());
        }
    }
    for (bus, copies) in copies {
        for some in copies.chunks(COPIES) {
            publish_copies(engine, bus, some.to_vec()).await?;
        }
    }
    Ok(())
}

/// Takes what is to be written out of every lane that was noted.
fn collect(engine: &Arc<Engine>, floors: &HashMap<BusName, Offset>, checkpoint: &mut Checkpoint) -> Vec<Taken> {
    let mut taken = Vec::new();
    for lane in engine.take_noted() {
        if let Some(replaying) = &lane.replay {
            if let Some(changes) = replay::collect(engine, &lane, replaying, checkpoint) {
                taken.push(Taken { lane, changes });
            }
            continue;
        }
        let Some(floor) = floors.get(&lane.bus.name) else {
            continue;
        };
        let mut state = lane.lock();
        let Some(collected) = state.collect(*floor) else {
            continue;
        };
        // Under the lane's lock: a lane that is removed now must not be held for afterwards.
        lane.bus.hold(lane.key, collected.holds);
        engine.note_if(collected.again, &lane);
        drop(state);
        if collected.row.is_none() && collected.changes.is_empty() {
            continue;
        }
        if let Some(row) = collected.row {
            checkpoint.cursors.push((lane.id.clone(), row));
        }
        for (offset, change) in &collected.changes {
            add(checkpoint, &lane.id, *offset, change.clone());
        }
        taken.push(Taken {
            lane,
            changes: collected.changes,
        });
    }
    taken
}

fn add(checkpoint: &mut Checkpoint, id: &SubscriptionId, offset: Offset, change: Change) {
    match change {
        Change::Retry(retry) => checkpoint.retries.push(retry),
        Change::Settled => checkpoint.settled.push((id.clone(), offset)),
        Change::Dead(buried) => {
            checkpoint.settled.push((id.clone(), offset));
            checkpoint.dead.push(buried.letter);
        }
    }
}

/// Tells retention what is still needed, now that the store says so too.
fn protect(engine: &Engine, floors: &[(Arc<Bus>, Offset)]) {
    for (bus, floor) in floors {
        engine.parts.log.protect(&bus.name, bus.needed(*floor));
    }
}
