//! Where a delivery stands: what the lane, the retries, the dead letters and the remembered attempts know of it.
//!
//! A delivery that is over leaves nothing behind but a cursor that has passed it, so of old ones it can only be said
//! what the rules make of them now; the state says so (`settled`) where that is not enough.

use std::sync::Arc;

use serde::Serialize;

use super::rules::Decided;
use crate::deliver::{Place, Until};
use crate::error::{Error, Kind};
use crate::event::{Event, json};
use crate::hub::Hub;
use crate::log::Offset;
use crate::subscription::{Attempt, DeadLetter, DeadQuery, Start, Subscription};
use crate::time::Timestamp;

/// Where the delivery stands.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// `delivered`, `filtered` (by a plugin), `unwanted` (by a native rule), `before_start`, `dead`, `retrying`,
    /// `parked`, `in_flight`, `waiting`, `held`, `paused`, or `settled`: it is over, and how is not known any more.
    pub state: &'static str,
    /// In words, where the state needs them.
    pub reason: Option<String>,
    /// Everything before this offset is settled.
    pub cursor: Option<Offset>,
    /// How many attempts were made, as far as is known.
    pub tries: u32,
    /// When the next attempt is due.
    pub next: Option<String>,
    /// The plugin that failed, of which another generation is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked_for: Option<String>,
    /// The dead letter's id.
    pub dead_letter: Option<u64>,
    /// The attempts that are still remembered, oldest first.
    pub attempts: Vec<Attempt>,
}

/// What is looked up before the rules are asked.
pub(super) struct Case {
    pub(super) offset: Offset,
    pub(super) event: Arc<Event>,
    pub(super) received: Timestamp,
    /// Whether the log has lost the event, and the dead letter keeps it.
    pub(super) is_trimmed: bool,
    letter: Option<DeadLetter>,
}

impl Hub {
    /// The event, from the log or else from its dead letter.
    pub(super) async fn case(&self, subscription: &Subscription, offset: Offset) -> Result<Case, Error> {
        let query = DeadQuery {
            subscription: Some(subscription.id.clone()),
            offset: Some(offset),
            ..DeadQuery::default()
        };
        let mut letter = self.0.store.dead(query, 1).await?.pop();
        // The offset alone may be another bus's, if the subscription once listened there.
        letter = letter.filter(|letter| letter.bus == subscription.bus);
        let missing = match self.event(&subscription.bus, offset).await {
            Ok(record) => {
                return Ok(Case {
                    offset,
                    event: record.event.clone(),
                    received: record.received,
                    is_trimmed: false,
                    letter,
                });
            }
            Err(missing) if missing.kind() == Kind::NotFound => missing,
            Err(other) => return Err(other),
        };
        if let Some(letter) = letter {
            let event = json::decode(letter.event.clone().into()).map_err(Error::from)?;
            return Ok(Case {
                offset,
                event: Arc::new(event),
                received: letter.at,
                is_trimmed: true,
                letter: Some(letter),
            });
        }
        let first = self.0.log.first(&subscription.bus);
        match offset < first {
            false => Err(missing),
            true => Err(Error::not_found(
                "event_trimmed",
                format!(
                    "the event at offset {offset} of the bus `{bus}` is gone: retention has removed all before {first}, \
                     and no dead letter keeps it",
                    offset = offset.0,
                    bus = subscription.bus,
                    first = first.0
                ),
            )),
        }
    }
}

/// Where the delivery stands.
pub(super) fn of(hub: &Hub, subscription: &Subscription, case: &Case, decided: Decided) -> Standing {
    let lane = hub.0.delivery.status(&subscription.id);
    let place = hub.0.delivery.place(&subscription.id, case.offset);
    let mut standing = Standing {
        state: "settled",
        reason: None,
        cursor: lane.as_ref().map(|lane| lane.cursor),
        tries: 0,
        next: None,
        parked_for: None,
        dead_letter: None,
        attempts: remembered(hub, subscription, case.offset),
    };
    standing.tries = standing.attempts.last().map_or(0, |last| last.number);
    let lane_parked = lane.as_ref().map(|lane| lane.parked_for.clone()).unwrap_or_default();
    let resting = lane.filter(|lane| matches!(lane.state, "held" | "paused" | "open" | "half_open" | "throttled"));
    match (place, &case.letter) {
        (Some(Place::Retrying { until, tries, attempts }), _) => {
            standing.tries = tries;
            take_longer(&mut standing.attempts, attempts);
            standing.reason = resting.and_then(|lane| lane.reason);
            standing.state = match until {
                Until::Answered => "in_flight",
                Until::Due(due) => {
                    standing.next = Some(due.to_string());
                    "retrying"
                }
                Until::Loaded(plugin) => {
                    let parked = lane_parked.into_iter().find(|parked| parked.plugin == plugin);
                    standing.reason = parked.map(|parked| parked.reason).or(standing.reason);
                    standing.parked_for = Some(plugin);
                    "parked"
                }
            };
        }
        (_, Some(letter)) => {
            standing.state = "dead";
            standing.reason = Some(letter.reason.clone());
            (standing.dead_letter, standing.tries) = (Some(letter.id), letter.tries);
            take_longer(&mut standing.attempts, letter.attempts.clone());
        }
        (Some(place @ (Place::Taken | Place::Ahead)), None) => {
            standing.state = match (&resting, place) {
                (Some(lane), _) if !matches!(lane.state, "open" | "half_open" | "throttled") => lane.state,
                (None, Place::Taken) => "in_flight",
                _ => "waiting",
            };
            standing.reason = resting.and_then(|lane| lane.reason);
        }
        (Some(Place::Settled) | None, None) => standing.state = over(subscription, case, &standing, decided),
    }
    standing
}

/// What became of a delivery that is over.
fn over(subscription: &Subscription, case: &Case, standing: &Standing, decided: Decided) -> &'static str {
    if standing.attempts.last().is_some_and(|last| last.outcome == "delivered") {
        return "delivered";
    }
    let before = match subscription.config.start {
        _ if case.received >= subscription.created => false,
        Start::Earliest => false,
        Start::Latest => true,
        Start::Offset(start) => case.offset < start,
        Start::Time(start) => case.received < start,
    };
    match decided {
        _ if before => "before_start",
        // Its rules were others when the event came up.
        _ if subscription.updated > case.received && subscription.updated > subscription.created => "settled",
        Decided::Unwanted => "unwanted",
        Decided::Filtered => "filtered",
        Decided::Passes => "delivered",
        Decided::Unknown => "settled",
    }
}

/// The attempts of this delivery that are among the subscription's last ones, oldest first.
fn remembered(hub: &Hub, subscription: &Subscription, offset: Offset) -> Vec<Attempt> {
    let recent = hub.0.delivery.recent(&subscription.id).into_iter();
    let mut attempts: Vec<Attempt> = recent
        .filter(|one| one.offset == offset)
        .map(|one| one.attempt)
        .collect();
    attempts.reverse();
    attempts
}

fn take_longer(known: &mut Vec<Attempt>, other: Vec<Attempt>) {
    if other.len() >= known.len() {
        *known = other;
    }
}
