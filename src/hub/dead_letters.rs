//! Dead letters: listed, delivered again, dropped.
//!
//! Invariant: a letter is dropped in one step with its delivery's return to the lane, or after that has arrived.
//! Invariant: what dies while letters are gone through is left for the next time: a sink that is down ends no call late.

use std::sync::Arc;

use serde_json::Value;

use crate::error::Error;
use crate::event::json;
use crate::filter::{Filter, Match};
use crate::hub::{Hub, life};
use crate::log::{ReadLimit, Record};
use crate::subscription::{DeadLetter, DeadQuery, SubscriptionId};

/// Letters read from the store at once.
const PAGE: usize = 500;

/// Which dead letters are meant; all if nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only of this subscription.
    pub subscription: Option<String>,
    /// Only these.
    pub ids: Option<Vec<u64>>,
    /// Only those whose event matches this (native filters only).
    pub filter: Option<Value>,
    /// Only with an id after this one.
    pub after: Option<u64>,
    /// Only of these buses.
    pub buses: Option<Vec<String>>,
}

/// What became of dead letters that were to be delivered again.
#[derive(Debug, Default, serde::Serialize)]
pub struct Redelivered {
    /// How many are meant.
    pub matched: u64,
    /// How many are back in their lane, or have arrived.
    pub redelivered: u64,
    /// Those that stay, with the reason (the first few).
    pub failed: Vec<Failed>,
}

/// A dead letter that stays.
#[derive(Debug, serde::Serialize)]
pub struct Failed {
    /// Its id.
    pub id: u64,
    /// Why.
    pub reason: String,
}

/// At most this many reasons are told.
const TOLD: usize = 20;

impl Hub {
    /// At most `limit` dead letters, oldest first.
    ///
    /// # Errors
    /// What is wrong with the choice; `store_unavailable`.
    pub async fn dead_letters(&self, choice: &Choice, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut reading = self.choose(choice).await?;
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(page) = reading.page(self).await? else {
                break;
            };
            found.extend(page);
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Puts dead letters back into their lanes; with `dry_run` only counts them.
    ///
    /// # Errors
    /// As [`Hub::dead_letters`]. What was redelivered before an error stays so.
    pub async fn redeliver(&self, choice: &Choice, dry_run: bool) -> Result<Redelivered, Error> {
        let mut reading = self.choose(choice).await?;
        let mut done = Redelivered::default();
        while let Some(page) = reading.page(self).await? {
            for letter in page {
                done.matched += 1;
                if dry_run {
                    continue;
                }
                match self.redeliver_one(&letter).await {
                    Ok(()) => done.redelivered += 1,
                    Err(error) if done.failed.len() < TOLD => done.failed.push(Failed {
                        id: letter.id,
                        reason: error.message().to_owned(),
                    }),
                    Err(_) => {}
                }
            }
        }
        if done.redelivered > 0 {
            self.0
                .life
                .tell(life::dead_letters("dead_letters.redelivered", choice, done.redelivered));
        }
        Ok(done)
    }

    /// Drops dead letters, or with `dry_run` only counts them; how many.
    ///
    /// # Errors
    /// As [`Hub::dead_letters`].
    pub async fn drop_dead_letters(&self, choice: &Choice, dry_run: bool) -> Result<u64, Error> {
        let mut reading = self.choose(choice).await?;
        let mut dropped = 0;
        while let Some(page) = reading.page(self).await? {
            let ids: Vec<u64> = page.iter().map(|letter| letter.id).collect();
            dropped += if dry_run {
                u64::try_from(ids.len()).unwrap_or_default()
            } else {
                self.drop_ids(ids).await?
            };
        }
        if dropped > 0 && !dry_run {
            self.0
                .life
                .tell(life::dead_letters("dead_letters.dropped", choice, dropped));
        }
        Ok(dropped)
    }

    async fn drop_ids(&self, ids: Vec<u64>) -> Result<u64, Error> {
        match ids.is_empty() {
            true => Ok(0),
            false => {
                self.0
                    .store
                    .drop_dead(DeadQuery {
                        ids: Some(ids),
                        ..DeadQuery::default()
                    })
                    .await
            }
        }
    }

    async fn redeliver_one(&self, letter: &DeadLetter) -> Result<(), Error> {
        if self.0.delivery.get(&letter.subscription).is_none() {
            let text = format!("the subscription `{}` is gone", letter.subscription);
            return Err(Error::not_found("subscription_not_found", text));
        }
        let read = self
            .0
            .log
            .read(&letter.bus, letter.offset, ReadLimit { records: 1, bytes: 1 })
            .await;
        let kept = read.is_ok_and(|batch| {
            batch
                .records
                .first()
                .is_some_and(|record| record.offset == letter.offset)
        });
        if kept {
            return self.0.delivery.redeliver(letter).await;
        }
        // Retention has removed the record; the letter still has the event: one attempt, now.
        let event = json::decode(letter.event.clone().into()).map_err(Error::from)?;
        let record = Record::new(letter.offset, letter.at, event);
        let attempt = self.0.delivery.once(&letter.subscription, Arc::new(record)).await?;
        match attempt.outcome == "delivered" {
            true => self.drop_ids(vec![letter.id]).await.map(drop),
            false => Err(Error::invalid(
                "not_delivered",
                format!(
                    "the event has left the log, and an attempt now failed: {}",
                    attempt.outcome
                ),
            )),
        }
    }

    async fn choose(&self, choice: &Choice) -> Result<Reading, Error> {
        let subscription = choice.subscription.as_deref().map(SubscriptionId::parse).transpose()?;
        let filter = choice.filter.as_ref().map(Filter::parse).transpose()?;
        if filter.as_ref().is_some_and(|filter| !filter.plugins().is_empty()) {
            return Err(Error::invalid(
                "filter_unsupported",
                "`filter` must use native dialects only, not a plugin",
            ));
        }
        Ok(Reading {
            query: DeadQuery {
                subscription,
                ids: choice.ids.clone(),
                offset: None,
                after: choice.after,
            },
            filter,
            buses: choice.buses.clone(),
            until: self.0.store.newest_dead().await?,
        })
    }
}

/// Pages of dead letters.
struct Reading {
    query: DeadQuery,
    filter: Option<Filter>,
    buses: Option<Vec<String>>,
    /// Newer ones came afterwards.
    until: u64,
}

impl Reading {
    async fn page(&mut self, hub: &Hub) -> Result<Option<Vec<DeadLetter>>, Error> {
        let mut page = hub.0.store.dead(self.query.clone(), PAGE).await?;
        page.retain(|letter| letter.id <= self.until);
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.query.after = Some(last.id);
        if let Some(buses) = &self.buses {
            page.retain(|letter| buses.iter().any(|bus| bus == letter.bus.as_str()));
        }
        if let Some(filter) = &self.filter {
            page.retain(|letter| {
                json::decode(letter.event.clone().into()).is_ok_and(|event| filter.matches(&event) == Match::Yes)
            });
        }
        Ok(Some(page))
    }
}
