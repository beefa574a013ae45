//! The task of one trial: takes live calls as they come, makes them again on the candidate, and tallies.
//!
//! A filter is compared with what it said live. A notifier's live call was real and its effects were not written down,
//! so both are called here with their effects suppressed.
//! Invariant: the task rests as long as it worked, and a candidate that fails is asked about one event at a time, so
//! that the end of a trial is never far.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Trial;
use super::books::Books;
use super::compare::Said;
use crate::hub::Hub;
use crate::plugin::{Delivery, Effects, LiveAnswer, Observer, Shadow, Shadowed, World};

/// Calls that are made again in one go.
const GROUP: usize = 64;
/// Configs whose instances are kept.
const CONFIGS: usize = 16;
/// Runs until the trial's time is over, somebody ends it, or the hub stops.
pub(super) async fn run(hub: Hub, trial: Arc<Trial>, mut calls: Shadow) {
    let (clock, left_out) = (hub.0.clock.clone(), calls.left_out());
    let mut bench = Bench {
        books: Books {
            hub: hub.clone(),
            trial: trial.clone(),
        },
        seats: VecDeque::new(),
    };
    let mut changes = hub.0.plugins.changes();
    let mut most = GROUP;
    let why = loop {
        let first = tokio::select! {
            biased;
            () = trial.stop.stopping() => return,
            () = clock.sleep_until(trial.until) => break "its time was over",
            Ok(()) = changes.changed() => match is_live(&hub, &trial) {
                true => break "its candidate went live",
                false => continue,
            },
            Some(call) = calls.next() => call,
        };
        let mut group = vec![first];
        while group.len() < most
            && let Some(call) = calls.try_next()
        {
            group.push(call);
        }
        let began = clock.instant();
        let worked = async {
            let sound = bench.compare(group).await;
            let worked = clock.instant().saturating_duration_since(began);
            tokio::time::sleep(worked).await;
            sound
        };
        let sound = tokio::select! {
            biased;
            () = trial.stop.stopping() => return,
            sound = worked => sound,
        };
        most = if sound { GROUP } else { 1 };
        trial.lock().tally.left_out = left_out.load(Ordering::Relaxed);
    };
    hub.end(&trial, why);
}

fn is_live(hub: &Hub, trial: &Trial) -> bool {
    let live = hub.0.plugins.live(&trial.name);
    live.is_some_and(|live| live.digest == trial.specimen.observed().digest)
}

/// Where the candidate is called.
struct Bench {
    books: Books,
    /// One for each config, the one used last at the end.
    seats: VecDeque<Seat>,
}

/// The candidate with one config, and of a notifier the live plugin too.
struct Seat {
    config: Arc<str>,
    candidate: Observer,
    live: Option<Observer>,
}

impl Bench {
    /// Makes these calls again; whether the candidate failed on none of them.
    async fn compare(&mut self, group: Vec<Shadowed>) -> bool {
        let mut verdicts: Vec<(Arc<str>, Vec<Shadowed>)> = Vec::new();
        let mut sound = true;
        for call in group {
            match &call.answer {
                LiveAnswer::Verdict(_) => match verdicts.iter_mut().find(|(config, _)| *config == call.config) {
                    Some((_, calls)) => calls.push(call),
                    None => verdicts.push((call.config.clone(), vec![call])),
                },
                LiveAnswer::Notified(delivery, _) => sound &= self.notify(&call, delivery.clone()).await,
            }
        }
        for (config, calls) in verdicts {
            sound &= self.evaluate(&config, calls).await;
        }
        sound
    }

    async fn evaluate(&mut self, config: &Arc<str>, calls: Vec<Shadowed>) -> bool {
        let events = calls.iter().map(|call| call.event.clone()).collect();
        let mut seat = self.seat(config);
        let seen = seat.candidate.evaluate(events).await;
        self.put_back(seat);
        let mut sound = true;
        for (call, seen) in calls.iter().zip(seen) {
            let LiveAnswer::Verdict(live) = &call.answer else {
                continue;
            };
            sound &= seen.result.is_ok();
            self.books.trial.lock().tally.observe(&seen);
            let said = (Said::of_filter(live), Said::of_filter(&seen.result));
            self.books.tally(call, said).await;
        }
        sound
    }

    async fn notify(&mut self, call: &Shadowed, delivery: Delivery) -> bool {
        let event = call.event.clone();
        let mut seat = self.seat(&call.config);
        let seen = seat.candidate.notify(event.clone(), delivery.clone()).await;
        let live = match &mut seat.live {
            Some(live) => Some(live.notify(event, delivery).await),
            None => None,
        };
        self.put_back(seat);
        // It was unloaded since: there is nothing to compare with.
        let Some(live) = live else {
            return true;
        };
        let said = (
            Said::of_notifier(&live.result, &live.trace.effects),
            Said::of_notifier(&seen.result, &seen.trace.effects),
        );
        {
            let mut progress = self.books.trial.lock();
            progress.tally.observe(&seen);
            progress.tally.live_costs.add(live.took);
        }
        self.books.tally(call, said).await;
        seen.result.is_ok()
    }

    /// The seat for a config, its live side of the generation that is live now.
    fn seat(&mut self, config: &Arc<str>) -> Seat {
        let (plugins, name) = (&self.books.hub.0.plugins, &self.books.trial.name);
        let known = self.seats.iter().position(|seat| seat.config == *config);
        let mut seat = known.and_then(|at| self.seats.remove(at)).unwrap_or_else(|| Seat {
            config: config.clone(),
            candidate: self.books.trial.specimen.observer(config, Effects::Suppressed),
            live: None,
        });
        if self.books.trial.against.world == World::Notifier {
            let now = plugins.live(name);
            let stale = seat.live.as_ref().map(Observer::observed) != now;
            if stale {
                seat.live = plugins
                    .observer(World::Notifier, name, config, Effects::Suppressed)
                    .ok();
            }
        }
        seat
    }

    /// Puts a seat back for the next call with its config; the one that was used longest ago makes room.
    fn put_back(&mut self, seat: Seat) {
        if self.seats.len() >= CONFIGS {
            self.seats.pop_front();
        }
        self.seats.push_back(seat);
    }
}
