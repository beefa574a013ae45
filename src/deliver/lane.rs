//! One subscription's lane: what it has taken, what waits, and why it rests.
//!
//! A lane is state under a short lock and, only while there is something to do, one task (`run`). What it does next
//! is decided by `step`, what an attempt's end changes by `settle`, what a checkpoint has to write by `unsaved`;
//! all three are plain functions of the state and the time, so they are tested without a socket or a disk.
//!
//! Why a lane that is full or blocked forgets its queue: its records are in the log, and the window knows where to
//! read on. A dead sink costs a cursor and a few retries, and the dispatcher never waits for anybody.
//!
//! Invariant: the queue holds at most [`QUEUE_RECORDS`] records and about [`QUEUE_BYTES`].
//! Invariant: `in_flight` counts the works that the task holds; a task that holds none and finds nothing to do ends
//! under the same lock, so that no record can slip in unseen.

mod beside;
mod complaint;
mod keys;
mod pace;
mod parked;
mod place;
mod retries;
mod run;
mod settle;
mod step;
mod unsaved;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::complaint::Complaint;
use self::keys::Keys;
use self::pace::Pace;
use self::parked::Blames;
use self::step::Row;
use super::admission::Quickness;
use super::breaker::{Breaker, Turn};
use super::bus::Bus;
use super::candidate::Candidate;
use super::replay::Replaying;
use super::window::{Feed, Window};
use super::{LaneStatus, Notice};
use crate::filter::Match;
use crate::log::Offset;
use crate::subscription::{Attempt, Retry, State as Running, Subscription, SubscriptionId};
use crate::time::Timestamp;

pub(super) use parked::Fault;
pub(super) use retries::{Retries, Waiting};
pub(super) use run::run;
pub(super) use settle::{Done, Effect, End, exactly};
pub(super) use step::Step;
pub(super) use unsaved::Change;

/// Records a lane holds before it reads the log by itself.
pub(super) const QUEUE_RECORDS: usize = 1_024;
/// Bytes of events a lane holds before it does.
pub(super) const QUEUE_BYTES: usize = 4 << 20;
/// Waiting retries and parked deliveries of one lane, together, beyond which it starts nothing new.
pub(super) const MOST_RETRIES: usize = 10_000;

/// One subscription's lane.
pub(super) struct Lane {
    /// Whose.
    pub(super) id: SubscriptionId,
    /// Its key in the bus's index.
    pub(super) key: u64,
    /// Its bus.
    pub(super) bus: Arc<Bus>,
    /// Wakes the lane's task, if there is one.
    pub(super) wake: Notify,
    /// Ends its attempts at a sink that is its sink no longer.
    pub(super) moved: Notify,
    /// What it replays, if it is no live one.
    pub(super) replay: Option<Arc<Replaying>>,
    quickness: Mutex<Quickness>,
    state: Mutex<State>,
}

/// What a lane knows. Parts of it are documented where they are used.
pub(super) struct State {
    pub(super) subscription: Arc<Subscription>,
    pub(super) window: Window,
    pub(super) retries: Retries,
    pub(super) figures: Figures,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// Started, and come back without a verdict: its plugin was not loaded, or its sink is gone for now. Or the next
    /// of a key whose last one is over.
    again: VecDeque<Queued>,
    keys: Keys,
    /// Records at or after the cursor that had a row at the start, and that the lane has not come to: a crash left the
    /// cursor behind, and they are not to be taken a second time.
    restored: BTreeSet<Offset>,
    blames: Blames,
    /// The load of its notifier, if it has one, as last seen.
    notifier: u64,
    breaker: Breaker,
    complaint: Complaint,
    pace: Pace,
    hold: Option<Hold>,
    in_flight: usize,
    retries_in_flight: usize,
    row_begun: Row,
    reading: bool,
    read_after: Option<Timestamp>,
    batch_since: Option<Timestamp>,
    running: bool,
    removed: bool,
    /// When the timer will wake it.
    alarm: Option<Timestamp>,
    unsaved: BTreeMap<Offset, Change>,
    dirty: bool,
    /// The row in the store, as far as it is known.
    row: Option<Option<Offset>>,
}

/// A record that waits for its first attempt.
#[derive(Clone)]
pub(super) struct Queued {
    /// The record.
    pub(super) candidate: Arc<Candidate>,
    /// What its native filters said.
    pub(super) says: Match,
}

/// Why a lane takes nothing: a plugin is not loaded.
struct Hold {
    plugin: String,
    /// What is loaded has changed: one delivery may try.
    trial: bool,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) delivered: u64,
    pub(super) filtered: u64,
    pub(super) failed: u64,
    pub(super) dead: u64,
}

/// Something to do for a lane: one attempt, at one record or at a batch.
pub(super) struct Work {
    /// The subscription as it was when the work began.
    pub(super) subscription: Arc<Subscription>,
    /// The records.
    pub(super) items: Vec<Item>,
    /// Whether these wait for a retry (else they are first attempts).
    pub(super) retry: bool,
    /// Whether this is the breaker's probe.
    pub(super) probe: bool,
    /// Whether this tries if the plugin that the lane is held for works now.
    pub(super) trial: bool,
}

/// One record of a [`Work`].
pub(super) struct Item {
    /// Its place.
    pub(super) offset: Offset,
    /// The record, if it is at hand (for a retry it is in the log).
    pub(super) queued: Option<Queued>,
    /// Attempts so far.
    pub(super) tries: u32,
    /// The last few of them.
    pub(super) attempts: Vec<Attempt>,
    /// What it must stay in order with, if the subscription cares.
    pub(super) key: Option<Arc<str>>,
}

/// What an offer to a lane asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub(super) struct Asks {
    /// Note the lane for the next checkpoint.
    pub(super) note: bool,
    /// Start a task for it.
    pub(super) start: bool,
    /// Wake its task.
    pub(super) wake: bool,
}

impl Lane {
    /// A lane that takes up at `window`.
    pub(super) fn new(key: u64, bus: Arc<Bus>, subscription: Arc<Subscription>, window: Window) -> Self {
        let id = subscription.id.clone();
        Self {
            id,
            key,
            bus,
            wake: Notify::new(),
            moved: Notify::new(),
            replay: None,
            quickness: Mutex::default(),
            state: Mutex::new(State::new(subscription, window)),
        }
    }

    /// Goes by a new version of the subscription. Attempts at another sink than its own end: one that says nothing
    /// would keep the new one waiting for its whole `timeout`.
    pub(super) fn replace(&self, state: &mut State, subscription: Arc<Subscription>, now: Timestamp) -> Vec<Effect> {
        let moves = state.subscription.sink != subscription.sink;
        let effects = state.replace(subscription, now);
        if moves {
            // Under the lane's lock: attempts of the new version have not begun.
            self.moved.notify_waiters();
        }
        effects
    }

    /// How long its attempts take.
    pub(super) fn quickness(&self) -> Quickness {
        *self.quickness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt has shown how long they take.
    pub(super) fn note_quickness(&self, quickness: Quickness) {
        *self.quickness.lock().unwrap_or_else(PoisonError::into_inner) = quickness;
    }

    /// Its state. The lock is short and never held across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock would be a bug; what it guards stays usable for the others' sake.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(subscription: Arc<Subscription>, window: Window) -> Self {
        Self {
            subscription,
            window,
            retries: Retries::default(),
            figures: Figures::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            again: VecDeque::new(),
            keys: Keys::default(),
            restored: BTreeSet::new(),
            blames: Blames::new(),
            notifier: 0,
            breaker: Breaker::default(),
            complaint: Complaint::default(),
            pace: Pace::default(),
            hold: None,
            in_flight: 0,
            retries_in_flight: 0,
            row_begun: Row::default(),
            reading: false,
            read_after: None,
            batch_since: None,
            running: false,
            removed: false,
            alarm: None,
            unsaved: BTreeMap::new(),
            dirty: false,
            row: None,
        }
    }

    /// Takes a record that the dispatcher found it wants, or leaves it to the log.
    pub(super) fn offer(&mut self, queued: Queued, now: Timestamp) -> Asks {
        let offset = queued.candidate.offset();
        if self.removed || !self.window.admits(offset) {
            return Asks::default();
        }
        let full = self.queue.len() >= QUEUE_RECORDS || self.queued_bytes >= QUEUE_BYTES;
        match full {
            true => self.window.fall_behind(offset),
            false => {
                self.window.take(offset);
                self.enqueue(queued, now);
            }
        }
        self.ask()
    }

    /// What the caller must do after a change: note it, and see that a task looks at it.
    pub(super) fn ask(&mut self) -> Asks {
        let note = self.mark();
        let start = !std::mem::replace(&mut self.running, true);
        Asks {
            note,
            start,
            wake: !start,
        }
    }

    /// Something has changed that the next checkpoint must see; whether the caller has to note the lane.
    pub(super) fn mark(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    /// The lane wants to be woken at `at`; whether the timer has to be told.
    pub(super) fn set_alarm(&mut self, at: Timestamp) -> bool {
        let news = self.alarm.is_none_or(|known| at < known);
        if news {
            self.alarm = Some(at);
        }
        news
    }

    /// A new version of the subscription: what kept it from delivering may be mended, so that is tried at once.
    fn replace(&mut self, subscription: Arc<Subscription>, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.release(|_| u64::MAX, now);
        if let Some(hold) = &mut self.hold {
            hold.trial = true;
        }
        self.pace.go_on();
        let paced = self.rate();
        self.subscription = subscription;
        effects.extend(self.try_sink(now));
        if self.rate() != paced {
            // What the old rate made wait need not wait so long any more.
            self.pace = Pace::default();
        }
        effects
    }

    /// Somebody thinks that the sink works again: an open breaker probes it now, and has nothing to say if it may no
    /// longer be open.
    pub(super) fn try_sink(&mut self, now: Timestamp) -> Option<Effect> {
        if !self.subscription.config.breaker.is_off() {
            self.breaker.try_now(now, self.subscription.config.breaker);
            return None;
        }
        self.close_breaker()
    }

    /// What was said of the sink no longer counts.
    fn close_breaker(&mut self) -> Option<Effect> {
        let reason = self.breaker.reason()?.to_owned();
        self.breaker = Breaker::default();
        Some(self.turned(Turn::Closed, reason))
    }

    fn turned(&self, turn: Turn, reason: String) -> Effect {
        let subscription = self.subscription.id.clone();
        Effect::Tell(Notice::Breaker {
            subscription,
            turn,
            reason,
        })
    }

    /// Ends the lane: it takes nothing more, and what is in flight changes nothing.
    pub(super) fn remove(&mut self) {
        self.removed = true;
        self.queue = VecDeque::new();
        self.again = VecDeque::new();
        self.keys = Keys::default();
        self.unsaved.clear();
    }

    /// Whether this is the subscription that it serves now.
    pub(super) fn is_still(&self, subscription: &Arc<Subscription>) -> bool {
        !self.removed && Arc::ptr_eq(&self.subscription, subscription)
    }

    /// Whether a work that has waited for its place is still to be done: by the same subscription, and at a sink that
    /// has not been found dead meanwhile.
    pub(super) fn still_wants(&self, work: &Work) -> bool {
        self.is_still(&work.subscription) && (work.probe || self.breaker.state() != "open")
    }

    /// A plugin that the lane may be waiting for has changed; `generation` says which load of one serves now.
    pub(super) fn plugins_changed(
        &mut self,
        generation: impl Fn(&str) -> u64 + Copy,
        now: Timestamp,
    ) -> (Asks, Vec<Effect>) {
        let mut effects = Vec::new();
        let waited = self.blames.len();
        if waited > 0 {
            effects = self.release(generation, now);
        }
        effects.extend(self.renew_sink(generation));
        if let Some(hold) = &mut self.hold {
            hold.trial = true;
        } else if effects.is_empty() && waited == self.blames.len() {
            return (Asks::default(), effects);
        }
        (self.ask(), effects)
    }

    /// The timer has gone off.
    pub(super) fn alarm_rang(&mut self) -> Asks {
        self.alarm = None;
        self.ask()
    }

    /// A retry as it was kept, or a dead letter that is tried again. Already in the store. One that was parked tries
    /// again: every plugin has been loaded anew since.
    pub(super) fn restore(&mut self, retry: Retry) {
        self.keep_waiting(retry, false);
    }

    fn keep_waiting(&mut self, retry: Retry, ahead: bool) {
        let waiting = Waiting {
            key: retry.key,
            ahead,
            ..Waiting::until(retry.due, retry.tries, retry.attempts)
        };
        self.retries.insert(retry.offset, waiting);
    }

    /// Figures and state, given where the dispatcher and the log stand.
    pub(super) fn status(&self, dispatched: Offset, end: Offset) -> LaneStatus {
        let cursor = self.window.floor(dispatched).min(end);
        let (state, reason) = self.condition();
        LaneStatus {
            state,
            reason,
            cursor,
            behind: end.0.saturating_sub(cursor.0),
            breaker: self.breaker.status(),
            retrying: self.retries.len() - self.retries.parked(),
            parked: self.retries.parked(),
            parked_for: self.parked(),
            delivered: self.figures.delivered,
            filtered: self.figures.filtered,
            failed: self.figures.failed,
            dead: self.figures.dead,
        }
    }

    /// Records that wait in memory for their first attempt, and the bytes of their events.
    pub(super) fn queued(&self) -> (usize, usize) {
        (self.queue.len() + self.again.len(), self.queued_bytes)
    }

    /// The cursor, and the oldest record that is not settled.
    pub(super) fn unsettled(&self, dispatched: Offset, end: Offset) -> (Offset, Offset) {
        let cursor = self.window.floor(dispatched).min(end);
        let oldest = self.retries.oldest().map_or(cursor, |retry| retry.min(cursor));
        (cursor, oldest)
    }

    /// Whether its breaker is anything but closed.
    pub(super) fn is_failing(&self) -> bool {
        !self.removed && self.breaker.reason().is_some()
    }

    /// What its breaker is, in one word.
    pub(super) fn breaker_state(&self) -> &'static str {
        self.breaker.state()
    }

    /// Whether an operator has to look at it: it is held, or deliveries are parked.
    pub(super) fn waits_for_plugins(&self) -> bool {
        !self.removed && (self.hold.is_some() || self.retries.parked() > 0)
    }

    fn condition(&self) -> (&'static str, Option<String>) {
        if let Running::Paused { reason } = &self.subscription.state {
            return ("paused", Some(reason.clone()));
        }
        if let Some(hold) = &self.hold {
            return ("held", Some(format!("no plugin {} is loaded", hold.plugin)));
        }
        if let Some(reason) = self.breaker.reason() {
            return (self.breaker.state(), Some(reason.to_owned()));
        }
        if let Some(until) = self.pace.rests() {
            return ("throttled", Some(format!("the sink asked for no call before {until}")));
        }
        let (waiting, parked) = (self.retries.len(), self.retries.parked());
        if waiting >= MOST_RETRIES && parked < waiting / 2 {
            return ("open", Some(format!("{MOST_RETRIES} deliveries wait for a retry")));
        }
        if parked > 0 {
            return ("parking", Some(self.why_parked()));
        }
        match self.window.feed() {
            Feed::Behind { .. } if self.reading || self.in_flight > 0 || !self.queue.is_empty() => {
                ("catching_up", None)
            }
            _ if self.in_flight > 0 || !self.queue.is_empty() => ("delivering", None),
            _ => ("idle", None),
        }
    }

    fn enqueue(&mut self, queued: Queued, now: Timestamp) {
        self.queued_bytes += queued.candidate.event().weight();
        self.batch_since = self.batch_since.or(Some(now));
        self.queue.push_back(queued);
    }

    fn dequeue(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes = self.queued_bytes.saturating_sub(queued.candidate.event().weight());
        if self.queue.is_empty() {
            self.batch_since = None;
            // A burst's room goes back: a million idle lanes hold none.
            self.queue.shrink_to(16);
        }
        Some(queued)
    }
}
