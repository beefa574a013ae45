//! Dead letters: listed, delivered again, dropped.
//!
//! All of it goes by pages, so that a hundred thousand letters take neither memory nor a lock. A lane that has no room
//! leaves letters where they are, and the answer says where to go on: whoever wants all of them asks again.
//!
//! Invariant: a letter is dropped in one step with its delivery's return to the lane, or after that has arrived.
//! Invariant: what dies while letters are gone through is left for the next time: a sink that is down ends no call late.
//! Invariant: without a word of which letters are meant, nothing is delivered again or dropped.

mod chosen;

use std::sync::Arc;

use crate::error::Error;
use crate::event::json;
use crate::hub::Hub;
use crate::log::Record;
use crate::subscription::{DeadLetter, DeadQuery};

pub use chosen::Choice;

/// Letters that a count shows of those it has counted.
const SHOWN: usize = 10;
/// At most this many reasons are told.
const TOLD: usize = 20;
/// Letters that the log has nothing of any more are delivered one by one, while the caller waits: so many in a call.
const ONE_BY_ONE: u64 = 100;

/// What became of dead letters that were to be delivered again.
#[derive(Debug, Default)]
pub struct Redelivered {
    /// How many were meant, of those looked at.
    pub matched: u64,
    /// How many are back in their lane, or have arrived.
    pub redelivered: u64,
    /// Those that stay, with the reason (the first few).
    pub failed: Vec<Failed>,
    /// The first of those that are meant, where they were only counted.
    pub first: Vec<DeadLetter>,
    /// There was no room for more: go on after this id.
    pub next: Option<u64>,
}

/// A dead letter that stays.
#[derive(Debug, serde::Serialize)]
pub struct Failed {
    /// Its id.
    pub id: u64,
    /// Why.
    pub reason: String,
}

/// What of a dead letter's event is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The record, in the log: it goes back into its lane.
    Log,
    /// The letter's own copy alone: it is delivered once, while the caller waits.
    Letter,
    /// Nothing: retention was told to remove what was not delivered.
    Nothing,
}

impl Hub {
    /// At most `limit` dead letters, oldest first.
    ///
    /// # Errors
    /// What is wrong with the choice; `store_unavailable`.
    pub async fn dead_letters(&self, choice: &Choice, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut reading = self.choose(choice).await?;
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(page) = reading.page(self, limit).await? else {
                break;
            };
            found.extend(page);
        }
        found.truncate(limit);
        Ok(found)
    }

    /// One dead letter.
    ///
    /// # Errors
    /// `dead_letter_not_found`, `store_unavailable`.
    pub async fn dead_letter(&self, id: u64) -> Result<DeadLetter, Error> {
        let query = DeadQuery {
            ids: Some(vec![id]),
            ..DeadQuery::default()
        };
        let found = self.0.store.dead(query, 1).await?.pop();
        found.ok_or_else(|| {
            let text = format!("there is no dead letter {id}: it was delivered again, dropped, or never was");
            Error::not_found("dead_letter_not_found", text)
        })
    }

    /// What of a dead letter's event is there.
    pub fn kept(&self, letter: &DeadLetter) -> Kept {
        match letter.event.is_empty() {
            _ if letter.offset >= self.0.log.first(&letter.bus) => Kept::Log,
            false => Kept::Letter,
            true => Kept::Nothing,
        }
    }

    /// Puts dead letters back into their lanes, as far as there is room; with `dry_run` only counts them.
    ///
    /// # Errors
    /// `no_choice`, or as [`Hub::dead_letters`]. What was redelivered before an error stays so.
    pub async fn redeliver(&self, choice: &Choice, dry_run: bool) -> Result<Redelivered, Error> {
        choice.check_made()?;
        if dry_run {
            return self.count_dead(choice).await;
        }
        let mut reading = self.choose(choice).await?;
        let (mut done, mut one_by_one) = (Redelivered::default(), 0);
        loop {
            // Two callers at once would both put the same letters back, and one of each pair would come to nothing.
            let _alone = self.0.reviving.lock().await;
            let Some(page) = reading.page(self, PAGE).await? else {
                return Ok(done);
            };
            let count = |letters: &[DeadLetter]| u64::try_from(letters.len()).unwrap_or_default();
            done.matched += count(&page);
            let revived = self.0.delivery.revive(page).await?;
            done.redelivered += u64::try_from(revived.revived.len()).unwrap_or_default();
            for letter in revived.unknown {
                let reason = format!("the subscription `{}` is gone", letter.subscription);
                done.fail(letter.id, reason);
            }
            let mut left: Vec<u64> = revived.crowded.iter().map(|letter| letter.id).collect();
            for letter in revived.gone {
                if one_by_one == ONE_BY_ONE {
                    left.push(letter.id);
                    continue;
                }
                one_by_one += 1;
                match self.deliver_copy(&letter).await {
                    Ok(()) => done.redelivered += 1,
                    Err(error) => done.fail(letter.id, error.message().to_owned()),
                }
            }
            if let Some(first) = left.iter().min() {
                done.matched -= u64::try_from(left.len()).unwrap_or_default();
                done.next = Some(first - 1);
                return Ok(done);
            }
        }
    }

    /// Drops dead letters, or with `dry_run` only counts them.
    ///
    /// # Errors
    /// `no_choice`, or as [`Hub::dead_letters`].
    pub async fn drop_dead_letters(&self, choice: &Choice, dry_run: bool) -> Result<Dropped, Error> {
        choice.check_made()?;
        if dry_run {
            let Redelivered { matched, first, .. } = self.count_dead(choice).await?;
            return Ok(Dropped {
                letters: matched,
                first,
            });
        }
        let mut reading = self.choose(choice).await?;
        let mut dropped = Dropped::default();
        if let Some(query) = reading.whole() {
            // The store drops so many at a time, so that no checkpoint waits long.
            loop {
                let some = self.0.store.drop_dead(query.clone()).await?;
                dropped.letters += some;
                if some == 0 {
                    return Ok(dropped);
                }
            }
        }
        while let Some(page) = reading.page(self, PAGE).await? {
            dropped.letters += self.drop_ids(page.iter().map(|letter| letter.id).collect()).await?;
        }
        Ok(dropped)
    }

    async fn count_dead(&self, choice: &Choice) -> Result<Redelivered, Error> {
        let mut reading = self.choose(choice).await?;
        let mut counted = Redelivered::default();
        while let Some(page) = reading.page(self, PAGE).await? {
            counted.matched += u64::try_from(page.len()).unwrap_or_default();
            let room = SHOWN.saturating_sub(counted.first.len());
            counted.first.extend(page.into_iter().take(room));
        }
        Ok(counted)
    }

    async fn drop_ids(&self, ids: Vec<u64>) -> Result<u64, Error> {
        let query = DeadQuery {
            ids: Some(ids),
            ..DeadQuery::default()
        };
        self.0.store.drop_dead(query).await
    }

    /// Retention has removed the record; the letter still has the event: one attempt, now.
    async fn deliver_copy(&self, letter: &DeadLetter) -> Result<(), Error> {
        if letter.event.is_empty() {
            let text =
                "retention removed the event before it was delivered, and nothing of it is kept: drop the letter";
            return Err(Error::invalid("event_gone", text));
        }
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
}

/// What was dropped, or would be.
#[derive(Debug, Default)]
pub struct Dropped {
    /// How many letters.
    pub letters: u64,
    /// The first of them, where they were only counted.
    pub first: Vec<DeadLetter>,
}

/// Letters read from the store at once.
const PAGE: usize = 500;

impl Redelivered {
    fn fail(&mut self, id: u64, reason: String) {
        if self.failed.len() < TOLD {
            self.failed.push(Failed { id, reason });
        }
    }
}

#[cfg(test)]
mod tests;
