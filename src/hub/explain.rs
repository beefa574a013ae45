//! Why an event did, or did not, reach a subscriber: rule by rule, plugin by plugin, attempt by attempt.
//!
//! Rules are asked now: `rules` walks them as delivery does, native ones first, and calls plugins with their effects
//! suppressed. What has happened is looked up: the lane, its retries, the dead letters, the attempts that are still
//! remembered (`standing`). `words` makes one sentence of both.
//!
//! Invariant: explaining changes nothing: no cursor, no figure of a plugin, nothing in the world.
//! Invariant: what is told of rules is what they say now; that a plugin or the subscription has changed since is told
//! beside it.

mod rules;
mod standing;
mod words;

use serde::Serialize;

use crate::error::Error;
use crate::event::Event;
use crate::hub::Hub;
use crate::log::Offset;
use crate::subscription::{State, Subscription};

pub use rules::{Heard, Rule};
pub use standing::Standing as DeliveryStanding;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The record, on the subscription's bus.
    pub offset: Offset,
    /// The subscription's id.
    pub subscription: String,
    /// Whether to call its notifier too, with its effects suppressed.
    pub notify: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// In one sentence.
    pub why: String,
    /// The event.
    pub event: Shown,
    /// The subscription.
    pub subscription: Asked,
    /// What its rules say now, in order.
    pub rules: Vec<Rule>,
    /// What its notifier does now with its effects suppressed, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifier: Option<Heard>,
    /// Where the delivery stands.
    pub delivery: DeliveryStanding,
    /// What else is to be known when reading this.
    pub notes: Vec<String>,
}

/// The event, as far as it is needed to know it again.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Its bus.
    pub bus: String,
    /// Its offset there.
    pub offset: Offset,
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its subject.
    pub subject: Option<String>,
    /// When it came in; when it was given up, if only its dead letter is left.
    pub received: String,
}

/// The subscription, as far as it matters here.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// Its id.
    pub id: String,
    /// `active` or `paused`.
    pub state: &'static str,
    /// `HTTP`, or the notifier's name.
    pub protocol: String,
    /// When it was made.
    pub created: String,
    /// When it was last changed.
    pub updated: String,
}

impl Hub {
    /// Why this event did, or did not, reach this subscriber.
    ///
    /// # Errors
    /// `subscription_not_found`; `event_not_found` (there is none at this offset yet); `event_trimmed` (retention has
    /// removed it, and no dead letter keeps it); `store_unavailable`.
    pub async fn explain(&self, question: &Question) -> Result<Explanation, Error> {
        let subscription = self.subscription(None, &question.subscription)?;
        let case = self.case(&subscription, question.offset).await?;
        let (rules, decided, replaced) = rules::ask(self, &subscription, &case.event).await;
        let notifier = match question.notify {
            true => rules::notify(self, &subscription, replaced.as_ref().unwrap_or(&case.event)).await?,
            false => None,
        };
        let standing = standing::of(self, &subscription, &case, decided);
        Ok(Explanation {
            why: words::why(&subscription, &rules, &standing),
            notes: words::notes(&subscription, &case, &rules),
            event: shown(&subscription, question.offset, &case.event, case.received.to_string()),
            subscription: asked(&subscription),
            rules,
            notifier,
            delivery: standing,
        })
    }
}

fn shown(subscription: &Subscription, offset: Offset, event: &Event, received: String) -> Shown {
    Shown {
        bus: subscription.bus.to_string(),
        offset,
        id: event.id().to_owned(),
        source: event.source().to_owned(),
        ty: event.ty().to_owned(),
        subject: event.subject().map(str::to_owned),
        received,
    }
}

fn asked(subscription: &Subscription) -> Asked {
    Asked {
        id: subscription.id.to_string(),
        state: match subscription.state {
            State::Active => "active",
            State::Paused { .. } => "paused",
        },
        protocol: match &subscription.sink {
            crate::subscription::Sink::Webhook(_) => "HTTP".to_owned(),
            crate::subscription::Sink::Bus(_) => "BUS".to_owned(),
            crate::subscription::Sink::Notifier { plugin, .. } => plugin.to_string(),
        },
        created: subscription.created.to_string(),
        updated: subscription.updated.to_string(),
    }
}
