//! One attempt: the record at hand, its filters asked, the sink called.
//!
//! Whoever makes one has a place in flight (`admission`); who waits for one holds no socket.
//! Invariant: every item of a work gets exactly one end.

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, warn};

use super::candidate::Candidate;
use super::engine::Engine;
use super::evaluate::{Failed, Judged, judge};
use super::lane::{End, Fault, Item, Queued, Work, exactly};
use super::retry::{Outcome, RetryPolicy};
use super::send::send;
use super::webhook::Answered;
use crate::event::Event;
use crate::filter::Match;
use crate::log::ReadLimit;
use crate::metrics;
use crate::subscription::{Attempt, OnError, Subscription};
use crate::time::Timestamp;

const ONE: ReadLimit = ReadLimit { records: 1, bytes: 1 };

/// An item that the filters let through, and the event they made of it, if they changed it.
pub(super) struct Passed<'a> {
    /// Which item of the work.
    pub(super) nth: usize,
    /// The item.
    pub(super) item: &'a Item,
    /// Its record.
    pub(super) candidate: &'a Candidate,
    /// The event in place of the record's.
    pub(super) replaced: Option<Arc<Event>>,
}

/// When an attempt began.
pub(super) struct Begun {
    at: Timestamp,
    instant: Instant,
}

/// Makes one attempt at a work, for which the caller has a place; the end of each item. Who drops it half-way has called
/// the sink or not.
pub(super) async fn attempt(engine: &Engine, work: &mut Work) -> Vec<End> {
    let mut ends: Vec<Option<End>> = Vec::with_capacity(work.items.len());
    for item in &mut work.items {
        ends.push(fetch(engine, &work.subscription, item).await);
    }
    leave_out(work.subscription.config.batch.bytes, &work.items, &mut ends);
    let mut passed = Vec::new();
    for (nth, item) in work.items.iter().enumerate() {
        let Some(queued) = item
            .queued
            .as_ref()
            .filter(|_| ends.get(nth).is_some_and(Option::is_none))
        else {
            continue;
        };
        match filter(engine, &work.subscription, item, queued).await {
            Ok(replaced) => passed.push(Passed {
                nth,
                item,
                candidate: &queued.candidate,
                replaced,
            }),
            Err(end) => put(&mut ends, nth, end),
        }
    }
    for (nth, end) in send(engine, &work.subscription, &passed).await {
        put(&mut ends, nth, end);
    }
    drop(passed);
    // An item without an end cannot be; were there one, it would wait and be tried again.
    ends.into_iter().map(|end| end.unwrap_or(End::Unread)).collect()
}

/// Sends one record to a sink outside of any lane, unfiltered; what came of it.
pub(super) async fn once(engine: &Engine, subscription: &Subscription, candidate: &Candidate) -> Attempt {
    let item = Item {
        offset: candidate.offset(),
        queued: None,
        tries: 0,
        attempts: Vec::new(),
        key: None,
    };
    let passed = [Passed {
        nth: 0,
        item: &item,
        candidate,
        replaced: None,
    }];
    let at = engine.parts.clock.now().0;
    let outcome = match send(engine, subscription, &passed).await.pop() {
        Some((_, End::Tried { attempt, .. })) => return attempt,
        Some((_, End::Held { plugin })) => format!("no plugin {plugin} is loaded"),
        Some((_, End::Parked(fault) | End::Spared(fault))) => fault.reason,
        _ => "not sent".to_owned(),
    };
    Attempt {
        number: 1,
        at,
        took_ms: 0,
        status: None,
        outcome,
        answer: None,
    }
}

fn put(ends: &mut [Option<End>], nth: usize, end: End) {
    if let Some(place) = ends.get_mut(nth) {
        *place = Some(end);
    }
}

/// Leaves to the next request what would make this one of several events larger than it may be. What waited for a
/// retry has not been weighed before it is read.
fn leave_out(limit: usize, items: &[Item], ends: &mut [Option<End>]) {
    let mut bytes = 0_usize;
    for (item, end) in items.iter().zip(ends).filter(|(_, end)| end.is_none()) {
        let weight = item
            .queued
            .as_ref()
            .map_or(0, |queued| queued.candidate.event().weight());
        let is_first = bytes == 0;
        bytes = bytes.saturating_add(weight);
        if bytes > limit && !is_first {
            *end = Some(End::NoRoom);
        }
    }
}

/// Reads the record of a retry; an end if that is not possible or it is no longer wanted.
async fn fetch(engine: &Engine, subscription: &Subscription, item: &mut Item) -> Option<End> {
    if item.queued.is_some() {
        return None;
    }
    let batch = match engine.read(&subscription.bus, item.offset, ONE).await {
        Ok(batch) => batch,
        Err(error) => {
            warn!(subscription = %subscription.id, offset = item.offset.0, %error, "cannot read the log, will try again");
            return Some(End::Unread);
        }
    };
    let Some(record) = exactly(item.offset, batch.records) else {
        return Some(End::Lost);
    };
    let says = subscription.selector.matches(&record.event);
    let received = record.received;
    item.queued = Some(Queued {
        candidate: Arc::new(Candidate::new(record)),
        says,
    });
    // It may have been due in time, and then have waited for the sink or for a place.
    let policy = RetryPolicy::of(&subscription.config);
    match says {
        Match::No => Some(End::Filtered),
        _ if item.tries > 0 && policy.is_too_old(received, engine.parts.clock.now()) => Some(End::TooOld),
        _ => None,
    }
}

/// The event as the plugin filters want it, or the end.
async fn filter(
    engine: &Engine,
    subscription: &Subscription,
    item: &Item,
    queued: &Queued,
) -> Result<Option<Arc<Event>>, End> {
    if queued.says != Match::AskPlugins {
        return Ok(None);
    }
    let begun = begin(engine);
    match judge(&engine.parts.plugins, subscription, &queued.candidate).await {
        Judged::Passed(replaced) => Ok(replaced),
        Judged::Dropped(reason) => {
            debug!(subscription = %subscription.id, offset = item.offset.0, reason, "filtered");
            count(engine, "filtered");
            Err(End::Filtered)
        }
        Judged::Failed(plugin) => {
            let answered = Answered {
                outcome: Outcome::Retry { after: None },
                status: None,
                words: plugin.words.clone(),
                answer: None,
            };
            Err(failed(engine, subscription, item, (&begun, plugin, answered, false)))
        }
        Judged::Held(plugin) => Err(End::Held { plugin }),
    }
}

pub(super) fn begin(engine: &Engine) -> Begun {
    Begun {
        at: engine.parts.clock.now(),
        instant: engine.parts.clock.instant(),
    }
}

/// The end that a plugin's failure is: what the subscription wants, or an attempt like any other.
pub(super) fn failed(
    engine: &Engine,
    subscription: &Subscription,
    item: &Item,
    (begun, plugin, answered, sink): (&Begun, Failed, Answered, bool),
) -> End {
    let fault = Fault {
        plugin: plugin.plugin,
        generation: plugin.by.generation,
        reason: plugin.words,
    };
    let holds = subscription.config.on_error == OnError::Hold;
    // A notifier's word that no try will help is its answer, unless its load may yet turn out to be a bad one.
    let is_answer = matches!(answered.outcome, Outcome::Rejected { .. });
    match plugin.own {
        true if holds && !is_answer => {
            count(engine, "parked");
            debug!(subscription = %subscription.id, offset = item.offset.0, reason = fault.reason, "parked");
            End::Parked(fault)
        }
        true if plugin.by.on_probation => {
            count(engine, "spared");
            debug!(subscription = %subscription.id, offset = item.offset.0, reason = fault.reason, "spared");
            End::Spared(fault)
        }
        _ => tried(engine, subscription, item, (begun, &answered, sink)),
    }
}

/// The end that an answer is, counted and logged.
pub(super) fn tried(
    engine: &Engine,
    subscription: &Subscription,
    item: &Item,
    (begun, answered, sink): (&Begun, &Answered, bool),
) -> End {
    let took = engine.parts.clock.instant().saturating_duration_since(begun.instant);
    let attempt = Attempt {
        number: item.tries.saturating_add(1),
        at: begun.at.0,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        status: answered.status,
        outcome: answered.words.clone(),
        answer: answered.answer.clone(),
    };
    engine.parts.metrics.attempt_seconds.observe(took.as_secs_f64());
    let accepted = matches!(
        answered.outcome,
        Outcome::Accepted | Outcome::Disabled { accepted: true }
    );
    if let Some(queued) = item.queued.as_ref().filter(|_| accepted) {
        let waited = engine.parts.clock.of_day().since(queued.candidate.record.received);
        engine.parts.metrics.delivery_seconds.observe(waited.as_secs_f64());
    }
    let outcome = match answered.outcome {
        Outcome::Accepted => "accepted",
        Outcome::Retry { .. } => "retry",
        Outcome::Gone => "gone",
        Outcome::Disabled { .. } => "disabled",
        Outcome::Rejected { .. } => "rejected",
    };
    count(engine, outcome);
    let (offset, number) = (item.offset.0, attempt.number);
    debug!(subscription = %subscription.id, offset, attempt = number, status = attempt.status, outcome, "attempt made");
    End::Tried {
        attempt,
        outcome: answered.outcome.clone(),
        sink,
    }
}

fn count(engine: &Engine, outcome: &'static str) {
    engine
        .parts
        .metrics
        .deliveries
        .get_or_create(&metrics::Outcome { outcome })
        .inc();
}
