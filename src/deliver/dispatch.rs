//! The dispatcher of a bus: reads the log in order and offers each record to whoever wants it.
//!
//! It never waits for a lane: one that has no room reads the log by itself later. The order of its steps is what
//! makes the hand-over safe (see `window`): publish the position after a batch, offer the batch, and only then count
//! it as dispatched, which is what a checkpoint takes for the bus floor.
//! Invariant: `dispatched` never passes a record that has not been offered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::warn;

use super::Notice;
use super::bus::{Bus, Route};
use super::candidate::{Candidate, ask_together};
use super::engine::Engine;
use super::lane::Queued;
use crate::filter::{Match, PluginFilter};
use crate::log::{Batch, Offset, ReadLimit, Record};
use crate::plugin::Plugins;

const READ: ReadLimit = ReadLimit {
    records: 512,
    bytes: 2 << 20,
};
/// After a read that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// A candidate and who it is offered to.
struct Offered {
    candidate: Arc<Candidate>,
    to: Vec<(Route, Match)>,
}

/// Dispatches the records of a bus until the engine stops.
pub(super) async fn dispatch(engine: Arc<Engine>, bus: Arc<Bus>, mut end: watch::Receiver<Offset>) {
    let mut at = bus.position.dispatched();
    loop {
        let log_end = *end.borrow_and_update();
        if at >= log_end {
            tokio::select! {
                changed = end.changed() => match changed {
                    Ok(()) => continue,
                    // The log is closed: nothing more will come.
                    Err(_) => return,
                },
                () = engine.tasks.stopping() => return,
            }
        }
        if engine.tasks.is_stopping() {
            return;
        }
        if let Some(skipped) = skip(&bus, log_end) {
            at = skipped;
            continue;
        }
        match engine.parts.log.read(&bus.name, at, READ).await {
            Ok(batch) => at = offer_all(&engine, &bus, batch),
            Err(error) => {
                warn!(bus = %bus.name, offset = at.0, %error, "cannot read the log, will try again");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = engine.tasks.stopping() => return,
                }
            }
        }
        tokio::task::coop::consume_budget().await;
    }
}

/// A bus without subscriptions is not read. The position is published before the second look: a lane that is added
/// after it begins by reading up to that position itself.
fn skip(bus: &Bus, log_end: Offset) -> Option<Offset> {
    if !bus.routes().index.is_empty() {
        return None;
    }
    bus.position.publish(log_end);
    if !bus.routes().index.is_empty() {
        return None;
    }
    bus.position.dispatch(log_end);
    Some(log_end)
}

fn offer_all(engine: &Arc<Engine>, bus: &Bus, batch: Batch) -> Offset {
    if let Some(gap) = &batch.gap {
        warn!(bus = %bus.name, from = gap.start.0, to = gap.end.0, "retention removed records before they were dispatched");
        let lanes: Vec<_> = bus.routes().lanes.values().map(|route| route.lane.id.clone()).collect();
        for subscription in lanes {
            engine.tell(Notice::Gap {
                subscription,
                from: gap.start,
                to: gap.end,
            });
        }
    }
    let offered = find(bus, batch.records);
    ask_for(&engine.parts.plugins, &offered);
    bus.position.publish(batch.next);
    let now = engine.parts.clock.now();
    for Offered { candidate, to } in offered {
        for (route, says) in to {
            let candidate = candidate.clone();
            let mut state = route.lane.lock();
            let asks = state.offer(Queued { candidate, says }, now);
            engine.follow(&route.lane, state, asks);
        }
    }
    bus.position.dispatch(batch.next);
    batch.next
}

/// Who wants these records.
fn find(bus: &Bus, records: Vec<Arc<Record>>) -> Vec<Offered> {
    let routes = bus.routes();
    let mut hits = Vec::new();
    let mut offered = Vec::new();
    for record in records {
        hits.clear();
        routes.index.matches(&record.event, &mut hits);
        let known = hits
            .iter()
            .filter_map(|(key, says)| Some((routes.lanes.get(key)?.clone(), *says)));
        let to: Vec<_> = known.collect();
        if !to.is_empty() {
            offered.push(Offered {
                candidate: Arc::new(Candidate::new(record)),
                to,
            });
        }
    }
    offered
}

/// One call for each filter that anybody asks first, about all of the batch's records that it is asked about.
fn ask_for(plugins: &Plugins, offered: &[Offered]) {
    let mut asked: HashMap<&PluginFilter, Vec<Arc<Candidate>>> = HashMap::new();
    for Offered { candidate, to } in offered {
        for (route, says) in to {
            let (Some(filter), Match::AskPlugins) = (route.asks.as_deref(), says) else {
                continue;
            };
            let candidates = asked.entry(filter).or_default();
            if !candidates.last().is_some_and(|last| Arc::ptr_eq(last, candidate)) {
                candidates.push(candidate.clone());
            }
        }
    }
    for (filter, candidates) in asked {
        ask_together(plugins, filter, &candidates);
    }
}
