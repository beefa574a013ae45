//! The task of a lane that has something to do.
//!
//! It starts what `step` says, waits for the first of it to end, and tells `settle`; all its attempts run inside it,
//! so a lane with sixteen slow requests is still one task, and a lane with nothing to do is none.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::{debug, warn};

use super::{Done, End, Lane, Queued, Step, Work};
use crate::deliver::Notice;
use crate::deliver::Recent;
use crate::deliver::admission::Admitted;
use crate::deliver::attempt::attempt;
use crate::deliver::candidate::{Candidate, ask_together};
use crate::deliver::engine::Engine;
use crate::deliver::evaluate::first_asked;
use crate::deliver::retry::Jitter;
use crate::error::Error;
use crate::filter::Match;
use crate::log::{Batch, Offset, ReadLimit};
use crate::subscription::Attempt;

/// One read of a lane that catches up.
const READ: ReadLimit = ReadLimit {
    records: 256,
    bytes: 1 << 20,
};

/// What is in flight.
enum Flight {
    Attempt(Work),
    Read(Offset),
}

/// What came back.
enum Landed {
    Done {
        done: Done,
        /// What of plugins was loaded when it began.
        loaded: u64,
    },
    Read(Offset, Result<Batch, Error>),
}

/// Runs a lane until it has nothing to do.
pub(in crate::deliver) async fn run(engine: Arc<Engine>, lane: Arc<Lane>) {
    let mut flying = FuturesUnordered::new();
    loop {
        loop {
            let stopping = engine.tasks.is_stopping();
            let mut state = lane.lock();
            let before = state.to_write();
            let step = state.step(engine.parts.clock.now(), &lane.bus.position, stopping);
            // Whether the bus floor speaks for this lane has changed, and its row must say so before the floor moves
            // on; or a record went behind another of its key.
            let note = state.to_write() != before && state.mark();
            engine.note_if(note, &lane);
            drop(state);
            let flight = match step {
                Step::Attempt(work) => {
                    engine.charge_live(&lane);
                    Flight::Attempt(work)
                }
                Step::Read(from) => Flight::Read(from),
                Step::Rest { until, end } => {
                    if let Some(at) = until {
                        engine.alarm(&lane, at);
                    }
                    match end {
                        true => return,
                        false => break,
                    }
                }
            };
            flying.push(fly(engine.clone(), lane.clone(), flight));
        }
        tokio::select! {
            Some(landed) = flying.next() => match landed {
                Landed::Done { done, loaded } => finish(&engine, &lane, done, loaded),
                Landed::Read(from, batch) => take_read(&engine, &lane, from, batch),
            },
            () = lane.wake.notified() => {}
        }
        // A lane whose every event is filtered never waits for I/O: it lets the others in.
        tokio::task::coop::consume_budget().await;
    }
}

async fn fly(engine: Arc<Engine>, lane: Arc<Lane>, flight: Flight) -> Landed {
    match flight {
        Flight::Attempt(work) => land(&engine, &lane, work).await,
        Flight::Read(from) => Landed::Read(from, engine.read(&lane.bus.name, from, READ).await),
    }
}

/// Makes an attempt once there is a place for it. It may have waited long: what has changed meanwhile sends it back,
/// and so does a change of the sink while it is made.
async fn land(engine: &Arc<Engine>, lane: &Arc<Lane>, mut work: Work) -> Landed {
    // A place that is free is taken even while the hub stops: what is sent back then leaves a hole, behind which what
    // others have delivered would be delivered again after the next start.
    let place = tokio::select! {
        biased;
        place = engine.admission.place(lane, &work.subscription) => place,
        () = engine.tasks.stopping() => None,
    };
    let loaded = *engine.parts.plugins.changes().borrow();
    // From before the look at the subscription, so that no change falls in between.
    let moved = lane.moved.notified();
    let wanted = lane.lock().still_wants(&work);
    let ends = match place {
        Some(_place) if wanted => tokio::select! {
            biased;
            ends = attempt(engine, &mut work) => Some(ends),
            () = moved => None,
        },
        place => {
            place.into_iter().for_each(Admitted::give_back);
            None
        }
    };
    let ends = ends.unwrap_or_else(|| work.items.iter().map(|_| End::Outdated).collect());
    let done = Done { work, ends };
    Landed::Done { done, loaded }
}

/// Takes in how a work ended, and tells whoever looks.
fn finish(engine: &Arc<Engine>, lane: &Arc<Lane>, mut done: Done, loaded: u64) {
    let tried = tried(&done);
    let generation = |plugin: &str| engine.parts.plugins.generation_of(plugin);
    done.ends.iter_mut().for_each(|end| end.judge_age(generation));
    let now = engine.parts.clock.now();
    let held = done.ends.iter().any(|end| matches!(end, End::Held { .. }));
    let blames = done
        .ends
        .iter()
        .any(|end| matches!(end, End::Parked(_) | End::Spared(_)));
    let went_well = done.ends.iter().any(End::is_delivered);
    let mut state = lane.lock();
    let effects = state.settle(done, now, &mut Jitter::random);
    if went_well {
        state.complaint.went_well();
    }
    let dues: Vec<_> = tried.iter().map(|(offset, ..)| state.retries.due(*offset)).collect();
    let mut is_news = dues.iter().any(Option::is_some) && state.complaint.is_news(now);
    engine.note_if(state.mark(), lane);
    drop(state);
    engine.apply(effects, lane);
    // Not under the lock: whoever reads the program's log may be slow, and the dispatcher waits for this lock.
    for ((offset, event, attempt), due) in tried.into_iter().zip(dues) {
        if let Some(due) = due {
            say_failed(lane, &attempt, due.since(now), std::mem::take(&mut is_news));
        }
        let next = due.map(|due| due.to_string());
        engine.history.note(
            &lane.id,
            Recent {
                offset,
                event,
                attempt,
                next,
                replay: lane.replay.as_ref().map(|replaying| replaying.id().clone()),
            },
        );
    }
    // The plugin may have come between the attempt and now, when the lane was not yet seen to be held.
    if blames || (held && *engine.parts.plugins.changes().borrow() != loaded) {
        engine.recheck(lane);
    }
}

/// Says in the program's log that an attempt failed: aloud only if that is news.
fn say_failed(lane: &Lane, attempt: &Attempt, wait: Duration, is_news: bool) {
    let (number, status, outcome) = (attempt.number, attempt.status, attempt.outcome.as_str());
    let next_in_s = wait.as_secs();
    if is_news {
        warn!(subscription = %lane.id, attempt = number, status, outcome, next_in_s, "delivery failed, will retry");
    } else {
        debug!(subscription = %lane.id, attempt = number, status, outcome, next_in_s, "delivery failed again, will retry");
    }
}

/// The attempts that a work made.
fn tried(done: &Done) -> Vec<(Offset, String, Attempt)> {
    let pairs = done.work.items.iter().zip(&done.ends);
    pairs
        .filter_map(|(item, end)| {
            let End::Tried { attempt, .. } = end else {
                return None;
            };
            let event = item
                .queued
                .as_ref()
                .map(|queued| queued.candidate.event().id().to_owned())
                .unwrap_or_default();
            Some((item.offset, event, attempt.clone()))
        })
        .collect()
}

/// Takes in what was read: what of it is wanted goes into the queue.
fn take_read(engine: &Arc<Engine>, lane: &Arc<Lane>, from: Offset, batch: Result<Batch, Error>) {
    let now = engine.parts.clock.now();
    let batch = match batch {
        Ok(batch) => match &lane.replay {
            Some(replaying) => replaying.cut(batch),
            None => batch,
        },
        Err(error) => {
            warn!(subscription = %lane.id, bus = %lane.bus.name, %error, "cannot read the log, will try again");
            lane.lock().read_failed(now);
            return;
        }
    };
    if let Some(gap) = &batch.gap {
        let (from, to) = (gap.start, gap.end);
        engine.tell(Notice::Gap {
            subscription: lane.id.clone(),
            from,
            to,
        });
    }
    let subscription = lane.lock().subscription.clone();
    let wanted: Vec<Queued> = batch
        .records
        .into_iter()
        .filter_map(|record| match subscription.selector.matches(&record.event) {
            Match::No => None,
            says => Some(Queued {
                candidate: Arc::new(Candidate::new(record)),
                says,
            }),
        })
        .collect();
    if let Some(asks) = first_asked(&subscription) {
        let asking = wanted.iter().filter(|queued| queued.says == Match::AskPlugins);
        let asking: Vec<_> = asking.map(|queued| queued.candidate.clone()).collect();
        ask_together(&engine.parts.plugins, &asks, &asking);
    }
    let mut state = lane.lock();
    state.took_read(from, wanted, batch.next, now);
    engine.note_if(state.mark(), lane);
}
