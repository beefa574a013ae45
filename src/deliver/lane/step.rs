//! What a lane does next.
//!
//! Order: what blocks the lane as a whole; then reading, so that the disk works while sinks do; then first attempts,
//! and retries that are due. First attempts go before retries, so that what has just happened does not wait behind
//! ten thousand old failures; but after [`FIRSTS_ROW`] of them a retry that is due has its turn, so that these come to
//! their end too. Retries take at most half of the places: those that hang leave room.
//! A blocked lane gives its queue back to the log.
//! Invariant: a [`Step::Rest`] with nothing in flight ends the task in the same breath (`running` is false then).

use super::{Feed, Item, MOST_RETRIES, QUEUE_BYTES, QUEUE_RECORDS, State, Work};
use crate::deliver::breaker::Admits;
use crate::deliver::bus::Position;
use crate::log::Offset;
use crate::subscription::{Consent, Format, Ordering, Rate, Sink, State as Running};
use crate::time::Timestamp;

/// A lane that is behind reads on when its queue is this short.
const LOW: usize = QUEUE_RECORDS / 4;
/// First attempts in a row while a retry is due.
const FIRSTS_ROW: u32 = 3;

/// What to do next.
pub(in crate::deliver) enum Step {
    /// Make this attempt.
    Attempt(Work),
    /// Read the log from here.
    Read(Offset),
    /// Nothing before this time, unless something happens; with nothing in flight the task ends.
    Rest {
        /// When there is something to do by itself.
        until: Option<Timestamp>,
        /// Whether the task ends.
        end: bool,
    },
}

/// Which first attempts may start.
enum Firsts {
    All,
    /// As many as the breaker lets out.
    Few,
    None {
        until: Option<Timestamp>,
    },
}

impl State {
    /// What to do next. The caller does it and says so to `settle` (or `took_read`).
    pub(in crate::deliver) fn step(&mut self, now: Timestamp, at: &Position, stopping: bool) -> Step {
        if stopping || self.removed || self.is_blocked() {
            self.park(at);
            return self.rest(None);
        }
        let admits = self.breaker.admits(now);
        let firsts = self.firsts(admits);
        let until = match &firsts {
            Firsts::None { until } => {
                self.park(at);
                *until
            }
            Firsts::All | Firsts::Few => match self.feed(now, at, &firsts) {
                Ok(read) => return read,
                Err(until) => until,
            },
        };
        let probe = match admits {
            // The retries wait for the sink too, whatever their time.
            Admits::NoneBefore(at) => return self.rest(Some(at)),
            Admits::None => return self.rest(None),
            Admits::Few(most) if self.in_flight >= most => return self.rest(None),
            Admits::Probe => true,
            Admits::Few(_) | Admits::All => false,
        };
        if let Some(opens) = self.rate().and_then(|_| self.pace.opens(now)) {
            return self.rest(until.filter(|at| *at > now).into_iter().chain([opens]).min());
        }
        match self.next_work(now, &firsts, probe) {
            Ok(work) => Step::Attempt(work),
            Err(ready_at) => {
                // What is due already waits for a place, and an attempt that ends brings one.
                let ahead = [until, ready_at, self.retries.next_due()]
                    .into_iter()
                    .flatten()
                    .filter(|at| *at > now);
                let until = ahead.min();
                self.rest(until)
            }
        }
    }

    /// A first attempt or a retry, whoever's turn it is; or when a batch is ready.
    fn next_work(&mut self, now: Timestamp, firsts: &Firsts, probe: bool) -> Result<Work, Option<Timestamp>> {
        if self.firsts_in_row >= FIRSTS_ROW
            && let Some(retry) = self.next_retry(now, probe)
        {
            return Ok(retry);
        }
        let first = match firsts {
            Firsts::All | Firsts::Few => self.next_first(now, probe),
            Firsts::None { .. } => Err(None),
        };
        match first {
            Ok(first) => Ok(first),
            Err(ready_at) => self.next_retry(now, probe).ok_or(ready_at),
        }
    }

    fn rest(&mut self, until: Option<Timestamp>) -> Step {
        let end = self.in_flight == 0 && !self.reading;
        if end {
            self.running = false;
        }
        Step::Rest { until, end }
    }

    /// Whether the lane as a whole takes nothing: paused, or held (but for one trial).
    fn is_blocked(&self) -> bool {
        let paused = matches!(self.subscription.state, Running::Paused { .. });
        let held = self.hold.as_ref().is_some_and(|hold| !hold.trial || self.in_flight > 0);
        paused || held
    }

    fn firsts(&self, admits: Admits) -> Firsts {
        // In one line, what waits for a retry, or for a plugin, is before everything that has not been tried.
        let stuck = self.subscription.config.ordering == Ordering::All && self.retries.len() > 0;
        if stuck || self.retries.len() >= MOST_RETRIES {
            return Firsts::None { until: None };
        }
        match admits {
            Admits::All => Firsts::All,
            Admits::Few(_) | Admits::Probe => Firsts::Few,
            Admits::NoneBefore(at) => Firsts::None { until: Some(at) },
            Admits::None => Firsts::None { until: None },
        }
    }

    /// Gives the queue back to the log, and with it the dispatcher's offers.
    fn park(&mut self, at: &Position) {
        match self.queue.front() {
            Some(front) => self.window.fall_behind(front.candidate.offset()),
            // What was being read came after: it will not be wanted.
            None => self.window.detach(at.dispatched()),
        }
        self.queue.clear();
        self.queue.shrink_to(0);
        self.queued_bytes = 0;
        self.batch_since = None;
    }

    /// Reads on, if the lane is behind and has room; else when it may.
    fn feed(&mut self, now: Timestamp, at: &Position, firsts: &Firsts) -> Result<Step, Option<Timestamp>> {
        let low = match firsts {
            Firsts::All => LOW,
            _ => 0,
        };
        if self.reading || self.queue.len() > low || self.queued_bytes > QUEUE_BYTES / 2 {
            return Err(None);
        }
        if self.window.catch_up(at.published()) {
            return Err(None);
        }
        match (self.window.feed(), self.read_after) {
            (Feed::Live { .. }, _) => Err(None),
            (_, Some(after)) if after > now => Err(Some(after)),
            (Feed::Behind { next }, _) => {
                self.reading = true;
                self.read_after = None;
                Ok(Step::Read(next))
            }
        }
    }

    /// A retry that is due, or for a batch sink as many as fit.
    fn next_retry(&mut self, now: Timestamp, probe: bool) -> Option<Work> {
        let places = self.places();
        let half = places.div_ceil(2);
        if self.in_flight >= places || self.retries_in_flight >= half {
            return None;
        }
        let most = self.batch_count().unwrap_or(1);
        let mut items = Vec::new();
        while items.len() < most
            && let Some((offset, waiting)) = self.retries.start(now)
        {
            items.push(Item {
                offset,
                queued: None,
                tries: waiting.tries,
                attempts: waiting.attempts,
                key: waiting.key,
            });
        }
        if items.is_empty() {
            return None;
        }
        self.retries_in_flight += 1;
        self.firsts_in_row = 0;
        Some(self.start(items, now, (true, probe)))
    }

    /// How many works may be in flight.
    fn places(&self) -> usize {
        match self.subscription.config.ordering {
            Ordering::All => 1,
            Ordering::None | Ordering::Key => self.subscription.config.concurrency.max(1),
        }
    }

    /// How fast the sink may be called: as fast as the subscriber and the sink both allow.
    pub(super) fn rate(&self) -> Option<Rate> {
        let subscription = &self.subscription;
        let allowed = match subscription.webhook().map(|webhook| &webhook.consent) {
            Some(Consent::Given(given)) => given.rate,
            _ => None,
        };
        let both = subscription.config.rate.into_iter().chain(allowed);
        both.max_by_key(|rate| rate.interval())
    }

    fn start(&mut self, items: Vec<Item>, now: Timestamp, (retry, probe): (bool, bool)) -> Work {
        if let Some(rate) = self.rate() {
            self.pace.spend(rate, now);
        }
        self.in_flight += 1;
        if probe {
            self.breaker.probe_started();
        }
        let trial = self.hold.is_some();
        Work {
            subscription: self.subscription.clone(),
            items,
            retry,
            probe,
            trial,
        }
    }

    /// A first attempt; or when a batch that is still filling is ready.
    fn next_first(&mut self, now: Timestamp, probe: bool) -> Result<Work, Option<Timestamp>> {
        if self.in_flight >= self.places() {
            return Err(None);
        }
        let most = match self.batch_count() {
            None => 1,
            Some(most) => {
                self.batch_ready(now, most)?;
                most
            }
        };
        let items = self.firsts_up_to(most);
        if items.is_empty() {
            return Err(None);
        }
        // What is left begins a batch of its own.
        self.batch_since = self.batch_since.map(|_| now);
        self.firsts_in_row = self.firsts_in_row.saturating_add(1);
        Ok(self.start(items, now, (false, probe)))
    }

    fn firsts_up_to(&mut self, most: usize) -> Vec<Item> {
        let limit = self.subscription.config.batch.bytes;
        let (mut items, mut bytes) = (Vec::new(), 0_usize);
        while items.len() < most {
            let next = self.again.front().or_else(|| self.queue.front());
            let Some(weight) = next.map(|queued| queued.candidate.event().weight()) else {
                break;
            };
            bytes = bytes.saturating_add(weight);
            if !items.is_empty() && bytes > limit {
                break;
            }
            let again = self.again.pop_front();
            let is_again = again.is_some();
            // What begins may turn out to have to wait: in a row, or in memory, and there is room for only so much.
            if !is_again && (self.retries.len() >= MOST_RETRIES || self.keys.waiting() >= QUEUE_RECORDS) {
                break;
            }
            let Some(queued) = again.or_else(|| self.dequeue()) else {
                break;
            };
            items.extend(self.begin(queued, is_again));
        }
        items
    }

    /// Whether a batch may go: full, or old enough. Else when it will be.
    fn batch_ready(&self, now: Timestamp, count: usize) -> Result<(), Option<Timestamp>> {
        let batch = &self.subscription.config.batch;
        let full = self.queue.len() >= count.min(QUEUE_RECORDS) || self.queued_bytes >= batch.bytes.min(QUEUE_BYTES);
        match self.batch_since.map(|since| since.plus(batch.wait)) {
            _ if full || !self.again.is_empty() => Ok(()),
            Some(ready) if now >= ready => Ok(()),
            ready => Err(ready),
        }
    }

    /// How many events go into one request, if the sink takes batches.
    fn batch_count(&self) -> Option<usize> {
        match &self.subscription.sink {
            Sink::Webhook(webhook) if webhook.format == Format::Batch => {
                Some(self.subscription.config.batch.count.max(1))
            }
            Sink::Webhook(_) | Sink::Bus(_) | Sink::Notifier { .. } => None,
        }
    }
}
