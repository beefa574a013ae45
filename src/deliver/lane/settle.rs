//! What the end of an attempt, or of a read, changes in a lane.
//!
//! A failed first attempt leaves the window and becomes a retry row in the same change, under the same lock: a
//! checkpoint sees both or neither. What a subscription of today says of a record (dropped, gone, held) is never
//! counted as the sink's fault.
//! Invariant: a record leaves the window only when it is delivered or filtered, or when its retry or dead letter is
//! among the unsaved changes.

use std::sync::Arc;
use std::time::Duration;

use super::parked::Until;
use super::unsaved::Buried;
use super::{Change, Fault, Hold, Item, Queued, State, Waiting, Work};
use crate::deliver::Notice;
use crate::deliver::forward;
use crate::deliver::retry::{Jitter, Next, Outcome, RetryPolicy};
use crate::deliver::window::Feed;
use crate::event::json;
use crate::log::{Offset, Record};
use crate::subscription::{Attempt, DeadLetter, State as Running, Subscription};
use crate::time::Timestamp;

/// Attempts that are kept with a retry or a dead letter.
const ATTEMPTS_KEPT: usize = 20;
/// After a read of the log that failed.
const READ_PAUSE: Duration = Duration::from_secs(1);

/// A work that has ended: one end for each item.
pub(in crate::deliver) struct Done {
    /// The work; a record that had to be read is at hand now.
    pub(in crate::deliver) work: Work,
    /// How each of its items ended.
    pub(in crate::deliver) ends: Vec<End>,
}

/// How one item of a work ended.
#[derive(Debug, Clone)]
pub(in crate::deliver) enum End {
    /// The subscription does not want it.
    Filtered,
    /// An attempt was made.
    Tried {
        /// As it is shown.
        attempt: Attempt,
        /// What the sink (or a filter) said.
        outcome: Outcome,
        /// Whether it was the sink, whose breaker counts it.
        sink: bool,
    },
    /// A plugin is not loaded.
    Held {
        /// Which.
        plugin: String,
    },
    /// A plugin failed, and the subscription wants to wait for another generation of it.
    Parked(Fault),
    /// A plugin failed that may yet be rolled back: it waits on its schedule, and spends no attempt.
    Spared(Fault),
    /// A plugin failed that has been replaced since.
    Outdated,
    /// It had been due in time, but the sink was not there for so long that it is too old now.
    TooOld,
    /// Its batch was full without it.
    NoRoom,
    /// Retention removed the record.
    Lost,
    /// The log could not be read.
    Unread,
}

impl End {
    /// A plugin's failure says nothing of the load that serves now, if it is another: the delivery tries again.
    pub(in crate::deliver) fn judge_age(&mut self, generation: impl Fn(&str) -> u64) {
        if let Self::Parked(fault) | Self::Spared(fault) = self
            && ![0, fault.generation].contains(&generation(&fault.plugin))
        {
            *self = Self::Outdated;
        }
    }
}

impl End {
    /// Whether the sink has it.
    pub(in crate::deliver) fn is_delivered(&self) -> bool {
        let Self::Tried { outcome, .. } = self else {
            return false;
        };
        matches!(outcome, Outcome::Accepted | Outcome::Disabled { accepted: true })
    }

    /// Why the sink wants no more events, if it said that.
    fn parting(&self) -> Option<&'static str> {
        match self {
            Self::Tried {
                outcome: Outcome::Gone, ..
            } => Some("gone"),
            Self::Tried {
                outcome: Outcome::Disabled { .. },
                ..
            } => Some("disabled"),
            _ => None,
        }
    }
}

/// What a change of the state asks for outside of it.
#[derive(Debug, Clone)]
pub(in crate::deliver) enum Effect {
    /// Say so.
    Tell(Notice),
    /// Keep the subscription, which the sink has ended.
    Keep(Arc<Subscription>),
}

impl State {
    /// Takes in how a work ended.
    pub(in crate::deliver) fn settle(
        &mut self,
        done: Done,
        now: Timestamp,
        chance: &mut dyn FnMut() -> Jitter,
    ) -> Vec<Effect> {
        let Done { work, ends } = done;
        self.in_flight = self.in_flight.saturating_sub(1);
        if work.retry {
            self.retries_in_flight = self.retries_in_flight.saturating_sub(1);
        }
        let mut effects = Vec::new();
        if self.removed {
            return effects;
        }
        // What the sink of an older version said tells nothing about this one's.
        let current = self.is_still(&work.subscription);
        if current {
            self.judge_sink(&work, &ends, now, &mut effects);
        }
        self.judge_plugin(&work, &ends, &mut effects);
        let policy = RetryPolicy::of(&work.subscription.config);
        // A sink that wants no more of an older version may yet want more of this one.
        let parting = ends.iter().find_map(End::parting).filter(|_| current);
        // One draw for all of a batch: what failed together comes back together.
        let jitter = chance();
        for (item, end) in work.items.into_iter().zip(ends) {
            match end {
                End::Filtered => {
                    self.figures.filtered += 1;
                    self.over(&item, work.retry);
                }
                End::Tried { attempt, outcome, .. } => {
                    // A try that was made had its record at hand.
                    let received = item
                        .queued
                        .as_ref()
                        .map_or(now, |queued| queued.candidate.record.received);
                    let next = policy.next(attempt.number, &outcome, (received, now), jitter);
                    effects.extend(self.tried(item, (attempt, next), work.retry, now));
                }
                End::Held { .. } | End::Outdated | End::NoRoom => self.come_back(item, work.retry, now),
                End::Parked(fault) => {
                    effects.extend(self.set_aside(item, (fault, Until::Loaded), work.retry, now));
                }
                End::Spared(fault) => {
                    let due = now.plus(policy.wait(item.tries.saturating_add(1), jitter));
                    effects.extend(self.set_aside(item, (fault, Until::Time(due)), work.retry, now));
                }
                End::Unread => self.come_back(item, work.retry, now.plus(READ_PAUSE)),
                End::TooOld => {
                    let tries = item.tries;
                    let last = item.attempts.last().map_or("", |attempt| attempt.outcome.as_str());
                    let reason = format!("{last} (attempt {tries}; no other could be made within `config.max_age`)");
                    effects.push(self.bury(item, reason, now));
                }
                End::Lost => {
                    let reason = "retention removed the record before it was delivered".to_owned();
                    effects.push(self.bury(item, reason, now));
                }
            }
        }
        effects.extend(parting.into_iter().flat_map(|reason| self.pause(reason, now)));
        effects
    }

    /// Takes in what was read from the log: the records that are wanted, and where to read on.
    pub(in crate::deliver) fn took_read(&mut self, from: Offset, wanted: Vec<Queued>, upto: Offset, now: Timestamp) {
        self.reading = false;
        // Parked meanwhile, or removed: it will be read again from where the window says.
        if self.removed || self.window.feed() != (Feed::Behind { next: from }) {
            return;
        }
        if upto <= from {
            self.read_after = Some(now.plus(READ_PAUSE));
            return;
        }
        self.window
            .take_read(wanted.iter().map(|queued| queued.candidate.offset()), upto);
        wanted.into_iter().for_each(|queued| self.enqueue(queued, now));
    }

    /// A read failed: another one in a while.
    pub(in crate::deliver) fn read_failed(&mut self, now: Timestamp) {
        self.reading = false;
        self.read_after = Some(now.plus(READ_PAUSE));
    }

    /// One attempt with its sink counts once for the breaker, however many records it carried.
    fn judge_sink(&mut self, work: &Work, ends: &[End], now: Timestamp, effects: &mut Vec<Effect>) {
        let said = ends.iter().find_map(|end| match end {
            End::Tried {
                attempt,
                outcome,
                sink: true,
            } => Some((attempt, outcome)),
            _ => None,
        });
        let reason = self.breaker.reason().unwrap_or_default().to_owned();
        let turned = match said {
            Some((attempt, Outcome::Retry { after })) => {
                if let (Some(429 | 503), Some(_)) = (attempt.status, after) {
                    let asked = RetryPolicy::of(&work.subscription.config).asked(*after);
                    self.pace.rest_until(now.plus(asked));
                }
                let why = (work.probe, attempt.outcome.as_str());
                let turn = self.breaker.failed(now, why, work.subscription.config.breaker);
                turn.map(|turn| (turn, attempt.outcome.clone()))
            }
            Some((_, Outcome::Accepted | Outcome::Disabled { accepted: true })) => {
                let more = self.has_more(now);
                let turn = self.breaker.succeeded(now, work.probe, more);
                turn.map(|turn| (turn, reason))
            }
            // Neither a word about the sink's health.
            Some((_, Outcome::Gone | Outcome::Disabled { .. } | Outcome::Rejected { .. })) | None => {
                if work.probe {
                    self.breaker.probe_told_nothing();
                }
                None
            }
        };
        effects.extend(turned.map(|(turn, reason)| self.turned(turn, reason)));
    }

    /// Whether something waits for the sink that could go now.
    fn has_more(&self, now: Timestamp) -> bool {
        let due = self.retries.next_due().is_some_and(|due| due <= now);
        due || !self.queue.is_empty() || !self.again.is_empty() || !self.window.is_live()
    }

    fn judge_plugin(&mut self, work: &Work, ends: &[End], effects: &mut Vec<Effect>) {
        let missing = ends.iter().find_map(|end| match end {
            End::Held { plugin } => Some(plugin.clone()),
            _ => None,
        });
        let (plugin, held) = match (missing, &self.hold) {
            (Some(plugin), known) => {
                let news = known.is_none();
                self.hold = Some(Hold {
                    plugin: plugin.clone(),
                    trial: false,
                });
                if !news {
                    return;
                }
                (plugin, true)
            }
            (None, Some(hold)) if work.trial => {
                let plugin = hold.plugin.clone();
                self.hold = None;
                (plugin, false)
            }
            (None, _) => return,
        };
        let subscription = self.subscription.id.clone();
        effects.push(Effect::Tell(Notice::Held {
            subscription,
            held,
            plugin,
        }));
    }

    fn tried(&mut self, mut item: Item, (attempt, next): (Attempt, Next), retry: bool, now: Timestamp) -> Vec<Effect> {
        let reason = attempt.outcome.clone();
        let tries = attempt.number;
        match next {
            Next::Done => {
                self.figures.delivered += 1;
                self.over(&item, retry);
            }
            Next::Keep => self.come_back(item, retry, now),
            Next::At(due) => {
                self.figures.failed += 1;
                note(&mut item.attempts, attempt);
                let waiting = Waiting {
                    key: self.row_key(&item, retry, false),
                    ..Waiting::until(due, tries, item.attempts)
                };
                self.write_down(item.offset, waiting, item.key.as_ref());
            }
            Next::DeadLetter | Next::TooOld => {
                let too_old = next == Next::TooOld;
                self.figures.failed += 1;
                note(&mut item.attempts, attempt);
                item.tries = tries;
                let reason = match (tries, too_old) {
                    (1, false) => reason,
                    (_, false) => format!("{reason} (attempt {tries})"),
                    (_, true) => format!("{reason} (attempt {tries}; the next would come after `config.max_age`)"),
                };
                return vec![self.bury(item, reason, now)];
            }
        }
        Vec::new()
    }

    /// Delivered or filtered.
    fn over(&mut self, item: &Item, retry: bool) {
        self.window.settle(item.offset);
        if retry {
            self.retries.remove(item.offset);
            self.unsaved.insert(item.offset, Change::Settled);
        }
        self.let_next(item.key.as_ref());
    }

    /// Not settled, and no attempt was spent: it waits as it did before.
    fn come_back(&mut self, item: Item, retry: bool, due: Timestamp) {
        match (retry, item.queued) {
            (true, _) => self.retries.put_back(item.offset, due),
            (false, Some(queued)) => self.again.push_back(queued),
            // A first attempt has its record at hand.
            (false, None) => {}
        }
    }

    fn bury(&mut self, item: Item, reason: String, now: Timestamp) -> Effect {
        let (subscription, bus, offset) = (self.subscription.id.clone(), self.subscription.bus.clone(), item.offset);
        let told = Effect::Tell(Notice::Dead {
            subscription: subscription.clone(),
            bus: bus.clone(),
            offset,
            reason: reason.clone(),
        });
        let event = item
            .queued
            .as_ref()
            .map(|queued| json::encode(queued.candidate.event()))
            .unwrap_or_default();
        let (tries, attempts) = (item.tries, item.attempts);
        let letter = DeadLetter {
            id: 0,
            subscription,
            bus,
            offset,
            at: now,
            reason,
            attempts,
            tries,
            event,
        };
        self.figures.dead += 1;
        self.window.settle(offset);
        self.retries.remove(offset);
        let event = item.queued.as_ref().map(|queued| queued.candidate.event());
        let copy = self
            .subscription
            .config
            .dead_letter
            .clone()
            .zip(event)
            .and_then(|(bus, event)| {
                let copy = forward::copy(event, &letter, &bus)?;
                Some((bus, Arc::new(copy)))
            });
        self.unsaved
            .insert(offset, Change::Dead(Box::new(Buried { letter, copy })));
        self.let_next(item.key.as_ref());
        told
    }

    /// The sink wants no more events.
    pub(in crate::deliver) fn pause(&mut self, reason: &'static str, now: Timestamp) -> Vec<Effect> {
        if matches!(self.subscription.state, Running::Paused { .. }) {
            return Vec::new();
        }
        let mut paused = Subscription::clone(&self.subscription);
        paused.state = Running::Paused {
            reason: reason.to_owned(),
        };
        paused.updated = now;
        self.subscription = Arc::new(paused);
        let subscription = self.subscription.id.clone();
        vec![
            Effect::Keep(self.subscription.clone()),
            Effect::Tell(Notice::Paused { subscription, reason }),
        ]
    }
}

/// Adds an attempt and lets the oldest go.
fn note(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    if attempts.len() >= ATTEMPTS_KEPT {
        attempts.drain(..=attempts.len() - ATTEMPTS_KEPT);
    }
    attempts.push(attempt);
}

/// The record that a read for one offset returned, if it is the one.
pub(in crate::deliver) fn exactly(offset: Offset, records: Vec<Arc<Record>>) -> Option<Arc<Record>> {
    records.into_iter().next().filter(|record| record.offset == offset)
}
