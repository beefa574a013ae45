//! Events on their way to another bus of this hub: the sink BUS, and the copies of what is given up.
//!
//! An event keeps its id and source, so that a second try, or a second way to the same bus, is answered as a duplicate
//! there (within the log's window). Where its data is another one, by a transform, it is another event: its id gets the
//! subscription's. A copy of a dead letter is a third: it says whose, why and of which offset in extensions.
//!
//! Loops end: every event that is forwarded counts in the extension `buswayhops`, and is given up beyond
//! [`MOST_HOPS`]; mostly the duplicate ends it earlier.
//! Invariant: a delivery to a bus counts only once the event is on disk there.

use std::sync::Arc;

use super::attempt::Passed;
use super::engine::Engine;
use super::retry::Outcome;
use super::shape::reshaped;
use super::webhook::Answered;
use crate::error::{Error, Kind};
use crate::event::{Draft, Event, Value};
use crate::log::BusName;
use crate::metrics;
use crate::subscription::{DeadLetter, Subscription};

/// Buses that one event may be forwarded to, one after the other.
const MOST_HOPS: i32 = 8;
/// Counts them.
const HOPS: &str = "buswayhops";
/// The bus that an Alibaba event names.
const ALIBABA_BUS: &str = "aliyuneventbusname";
/// The most characters of a reason that go along.
const REASON: usize = 1_024;

/// Publishes one record's event on another bus.
pub(super) async fn forward(engine: &Engine, subscription: &Subscription, bus: &BusName, one: &Passed<'_>) -> Answered {
    let event = match reshaped(subscription, one).and_then(|event| moved(subscription, &event, bus)) {
        Ok(event) => event,
        Err(reason) => return Answered::rejected(reason),
    };
    match append(engine, bus, vec![event]).await {
        Ok(()) => Answered::without_answer(Outcome::Accepted, "delivered".to_owned()),
        Err(error) if is_final(&error) => Answered::rejected(error.message().to_owned()),
        Err(error) => {
            let words = format!("cannot publish on the bus {bus}: {}", error.message());
            Answered::without_answer(Outcome::Retry { after: None }, words)
        }
    }
}

/// The copy of an event that is given up, for the bus that its subscription names; none if it has been forwarded too
/// often, or a subscription of it would only feed itself.
pub(super) fn copy(event: &Event, letter: &DeadLetter, bus: &BusName) -> Option<Event> {
    let mut draft = event.to_draft();
    hop(&mut draft, bus).ok()?;
    let id = format!("{}-dead-{}", draft.id, letter.subscription);
    let mut say = |name: &str, value: Value| {
        draft.extensions.retain(|(known, _)| known != name);
        draft.extensions.push((name.to_owned(), value));
    };
    say("deadid", Value::String(std::mem::replace(&mut draft.id, id)));
    say("deadsubscription", Value::String(letter.subscription.to_string()));
    say("deadbus", Value::String(letter.bus.to_string()));
    say("deadoffset", Value::String(letter.offset.0.to_string()));
    say("deadtime", Value::String(letter.at.to_string()));
    say(
        "deadattempts",
        Value::Integer(i32::try_from(letter.tries).unwrap_or(i32::MAX)),
    );
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let bare = draft.clone();
    let reason: String = letter.reason.chars().take(REASON).map(plain).collect();
    draft.extensions.retain(|(known, _)| known != "deadreason");
    draft.extensions.push(("deadreason".to_owned(), Value::String(reason)));
    // A sink may have said what no attribute can hold.
    draft.check().or_else(|_| bare.check()).ok()
}

/// Publishes copies; an error is worth another try.
pub(super) async fn publish_copies(engine: &Engine, bus: &BusName, copies: Vec<Arc<Event>>) -> Result<(), Error> {
    let events = copies.into_iter().map(|event| Event::clone(&event)).collect();
    match append(engine, bus, events).await {
        Err(error) if is_final(&error) => {
            tracing::error!(%bus, %error, "what was given up cannot be published there, it is in the dead letters alone");
            Ok(())
        }
        other => other,
    }
}

async fn append(engine: &Engine, bus: &BusName, events: Vec<Event>) -> Result<(), Error> {
    let appended = engine.parts.log.append(bus, events).await?;
    let stored = appended.iter().filter(|one| !one.duplicate).count();
    let label = metrics::Bus { bus: bus.to_string() };
    let published = engine.parts.metrics.published.get_or_create(&label);
    published.inc_by(u64::try_from(stored).unwrap_or_default());
    Ok(())
}

/// The event as it comes to another bus.
fn moved(subscription: &Subscription, event: &Event, bus: &BusName) -> Result<Event, String> {
    let mut draft = event.to_draft();
    hop(&mut draft, bus)?;
    if subscription
        .transform
        .as_ref()
        .is_some_and(|transform| !transform.is_original())
    {
        draft.id = format!("{}-{}", draft.id, subscription.id);
    }
    draft.check().map_err(|invalid| invalid.to_string())
}

fn hop(draft: &mut Draft, bus: &BusName) -> Result<(), String> {
    let so_far = draft.extensions.iter().find(|(name, _)| name == HOPS);
    let hops = so_far
        .and_then(|(_, value)| value.as_str().parse::<i32>().ok())
        .unwrap_or(0)
        .max(0);
    if hops >= MOST_HOPS {
        return Err(format!(
            "it has been forwarded over {MOST_HOPS} buses: do subscriptions send it in a circle?"
        ));
    }
    draft.extensions.retain(|(name, _)| name != HOPS);
    draft.extensions.push((HOPS.to_owned(), Value::Integer(hops + 1)));
    if let Some((_, named)) = draft.extensions.iter_mut().find(|(name, _)| name == ALIBABA_BUS) {
        *named = Value::String(bus.to_string());
    }
    Ok(())
}

/// Whether another try would end the same.
fn is_final(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::Invalid | Kind::TooLarge | Kind::Conflict | Kind::NotFound
    )
}
