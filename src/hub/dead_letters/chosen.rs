//! Which dead letters are meant, and the way through them.
//!
//! What the store can tell by itself is its business; what is in the event is looked at here, page by page.

use serde_json::Value;

use crate::error::Error;
use crate::event::json;
use crate::filter::{Filter, Match, Selector, TypePattern};
use crate::hub::{Hub, moment};
use crate::log::BusName;
use crate::subscription::{DeadLetter, DeadQuery, SubscriptionId};

/// The fewest letters read from the store at once.
const LEAST: usize = 50;
/// The most.
const MOST: usize = 500;

/// Which dead letters are meant: those for which all of this holds.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only of this subscription.
    pub subscription: Option<String>,
    /// Only of this bus.
    pub bus: Option<String>,
    /// Only these.
    pub ids: Option<Vec<u64>>,
    /// Only of one of these types.
    pub types: Vec<String>,
    /// Only whose reason has these words in it, in whatever case.
    pub reason: Option<String>,
    /// Only given up then or later: an RFC 3339 time, or how long ago.
    pub since: Option<String>,
    /// Only given up before then.
    pub until: Option<String>,
    /// Only those whose event matches this (native filters only).
    pub filter: Option<Value>,
    /// Only with an id after this one.
    pub after: Option<u64>,
    /// Everything is meant: whoever narrows nothing must say so.
    pub all: bool,
}

impl Choice {
    /// Nobody means everything by saying nothing.
    ///
    /// # Errors
    /// `no_choice`.
    pub(super) fn check_made(&self) -> Result<(), Error> {
        let narrowed = self.subscription.is_some()
            || self.bus.is_some()
            || self.ids.is_some()
            || !self.types.is_empty()
            || self.reason.is_some()
            || self.since.is_some()
            || self.until.is_some()
            || self.filter.is_some();
        if narrowed || self.all {
            return Ok(());
        }
        let text = "say which dead letters: `subscription`, `bus`, `ids`, `type`, `reason`, `since`, `until` or `filter`; or `all`: true for every one there is";
        Err(Error::invalid("no_choice", text))
    }
}

/// Pages of dead letters.
pub(super) struct Reading {
    query: DeadQuery,
    selector: Option<Selector>,
}

impl Hub {
    pub(super) async fn choose(&self, choice: &Choice) -> Result<Reading, Error> {
        let filter = choice.filter.as_ref().map(Filter::parse).transpose()?;
        if filter.as_ref().is_some_and(|filter| !filter.plugins().is_empty()) {
            return Err(Error::invalid(
                "filter_unsupported",
                "`filter` must use native dialects only, not a plugin",
            ));
        }
        let types: Vec<_> = choice
            .types
            .iter()
            .map(|text| TypePattern::parse(text))
            .collect::<Result<_, _>>()?;
        let looks_inside = filter.is_some() || !types.is_empty();
        let now = self.0.clock.now();
        let time = |name, text: &Option<String>| text.as_deref().map(|text| moment(name, text, now)).transpose();
        Ok(Reading {
            query: DeadQuery {
                subscription: choice.subscription.as_deref().map(SubscriptionId::parse).transpose()?,
                bus: choice.bus.as_deref().map(BusName::parse).transpose()?,
                ids: choice.ids.clone(),
                reason: choice.reason.clone(),
                since: time("since", &choice.since)?,
                until: time("until", &choice.until)?,
                after: choice.after,
                // Newer ones came afterwards.
                upto: Some(self.0.store.newest_dead().await?),
                offset: None,
            },
            selector: looks_inside.then(|| Selector {
                source: None,
                types,
                filters: filter.into_iter().collect(),
            }),
        })
    }
}

impl Reading {
    /// What the store can find without anybody's looking into events.
    pub(super) fn whole(&self) -> Option<&DeadQuery> {
        self.selector.is_none().then_some(&self.query)
    }

    /// Some more of them, which may be none; nothing once all were seen.
    pub(super) async fn page(&mut self, hub: &Hub, wanted: usize) -> Result<Option<Vec<DeadLetter>>, Error> {
        let limit = wanted.clamp(LEAST, MOST);
        let mut page = hub.0.store.dead(self.query.clone(), limit).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.query.after = Some(last.id);
        if let Some(selector) = &self.selector {
            page.retain(|letter| {
                json::decode(letter.event.clone().into()).is_ok_and(|event| selector.matches(&event) == Match::Yes)
            });
        }
        Ok(Some(page))
    }
}
