//! Replays: a range of the log, to one subscription again.
//!
//! Invariant: written first, then told to delivery: what a caller was told of survives a crash.

use serde_json::Value;

use super::moment;
use crate::deliver::ReplayStatus;
use crate::error::{Error, Kind};
use crate::filter::Filter;
use crate::hub::{Hub, life};
use crate::log::{BusName, Offset};
use crate::subscription::{Rate, Replay, ReplayId, ReplayProgress, Start, Subscription, SubscriptionId};
use crate::units::parse_duration;

/// Replays at once of one subscription.
const MOST_OF_ONE: usize = 4;
/// Replays at once in all.
const MOST: usize = 64;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct ReplayWish {
    /// Who gets it.
    pub subscription: String,
    /// From where: as [`Start::parse`], or how long ago.
    pub from: String,
    /// To before where; the end as it is now if nothing is said.
    pub to: Option<String>,
    /// How fast at most: `100/s`.
    pub rate: Option<String>,
    /// Which events (native filters only), besides what the subscription says itself.
    pub filter: Option<Value>,
}

/// What a replay would cover.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ReplayOutlook {
    /// Who would get it.
    pub subscription: SubscriptionId,
    /// The first offset.
    pub from: Offset,
    /// The offset after the last one.
    pub to: Offset,
    /// How many offsets it would cover.
    pub offsets: u64,
    /// How many of them retention has removed.
    pub missed: u64,
}

impl Hub {
    /// What a replay would cover. Nothing is delivered.
    ///
    /// # Errors
    /// `subscription_not_found`, `invalid_replay`, `invalid_range`.
    pub async fn replay_outlook(&self, wish: &ReplayWish) -> Result<ReplayOutlook, Error> {
        let subscription = self.subscription(None, &wish.subscription)?;
        self.look_ahead(&subscription, wish).await
    }

    /// Begins a replay.
    ///
    /// # Errors
    /// As [`Hub::replay_outlook`]; `too_many_replays`, `stopping`, `store_unavailable`.
    pub async fn replay(&self, wish: &ReplayWish) -> Result<ReplayStatus, Error> {
        self.refuse_when_stopping()?;
        let _changing = self.0.changing.of(&SubscriptionId::parse(&wish.subscription)?).await;
        let subscription = self.subscription(None, &wish.subscription)?;
        let range = self.look_ahead(&subscription, wish).await?;
        self.refuse_too_many(&subscription.id)?;
        let now = self.0.clock.now();
        let replay = Replay {
            id: ReplayId::generate(now, crate::chance::bits()),
            subscription: subscription.id.clone(),
            bus: subscription.bus.clone(),
            from: range.from,
            to: range.to,
            rate: wish.rate.clone(),
            filter: wish.filter.clone(),
            started: now.0,
        };
        self.0
            .store
            .put_replay(&replay, &ReplayProgress::at(range.from))
            .await?;
        let status = self.0.delivery.replay(replay)?;
        // What happens to the delivery of a self-event makes none.
        if subscription.bus != BusName::own() {
            self.0.life.tell(life::replay_started(&status));
        }
        Ok(status)
    }

    /// All replays, oldest first; of those that have ended the last hundred.
    pub fn replays(&self) -> Vec<ReplayStatus> {
        self.0.delivery.replays()
    }

    /// One replay.
    ///
    /// # Errors
    /// `replay_not_found`.
    pub fn replay_status(&self, id: &str) -> Result<ReplayStatus, Error> {
        let found = self.0.delivery.replay_status(&ReplayId(id.into()));
        found.ok_or_else(|| Self::no_such_replay(id))
    }

    /// What is said of a replay that is not there, or not for who asks.
    pub fn no_such_replay(id: &str) -> Error {
        let text = format!("there is no replay `{id}`; `GET /v1/replays` lists all");
        Error::not_found("replay_not_found", text)
    }

    /// Calls a replay off.
    ///
    /// # Errors
    /// `replay_not_found`, `replay_ended`, `store_unavailable`.
    pub async fn cancel_replay(&self, id: &str) -> Result<ReplayStatus, Error> {
        let subscription = self.replay_status(id)?.subscription;
        let _changing = self.0.changing.of(&subscription).await;
        self.0.delivery.cancel_replay(&ReplayId(id.into())).await
    }

    async fn look_ahead(&self, subscription: &Subscription, wish: &ReplayWish) -> Result<ReplayOutlook, Error> {
        check_rate(wish.rate.as_deref())?;
        check_filter(wish.filter.as_ref())?;
        let bus = &subscription.bus;
        let end = self.end_of(bus)?;
        let from = self.place("from", &wish.from, bus).await?;
        let to = match &wish.to {
            Some(to) => self.place("to", to, bus).await?,
            None => end,
        };
        if from > to {
            let text = format!(
                "`from` is offset {} and `to` is {}: it must not come after it",
                from.0, to.0
            );
            return Err(Error::invalid("invalid_range", text));
        }
        let first = self.0.log.first(bus).min(to);
        Ok(ReplayOutlook {
            subscription: subscription.id.clone(),
            from,
            to,
            offsets: to.0 - from.0,
            missed: first.0.saturating_sub(from.0),
        })
    }

    async fn place(&self, name: &str, text: &str, bus: &BusName) -> Result<Offset, Error> {
        let start = match Start::parse(text) {
            Some(start) => start,
            None if parse_duration(text).is_some() => Start::Time(moment(name, text, self.0.clock.now())?),
            None => {
                let rule = format!(
                    "`{name}` must be an offset, an RFC 3339 time, a time ago such as `2h`, `earliest` or `latest`, not `{text}`"
                );
                return Err(Error::invalid("invalid_replay", rule));
            }
        };
        self.position(bus, start).await
    }

    /// Of one subscription so many begin and no more. Of all, those that are asked for at the same moment may all pass.
    fn refuse_too_many(&self, id: &SubscriptionId) -> Result<(), Error> {
        let running = self.0.delivery.replays().into_iter().filter(|one| one.ended.is_none());
        let (all, of_one) = running.fold((0, 0), |(all, of_one), replay| {
            (all + 1, of_one + usize::from(replay.subscription == *id))
        });
        let (count, whose) = match () {
            () if of_one >= MOST_OF_ONE => (MOST_OF_ONE, format!(" of the subscription `{id}`")),
            () if all >= MOST => (MOST, String::new()),
            () => return Ok(()),
        };
        let text = format!("{count} replays{whose} go on, which is as many as may at once: wait for one, or cancel it");
        Err(Error::new(Kind::Conflict, "too_many_replays", text))
    }
}

fn check_rate(rate: Option<&str>) -> Result<(), Error> {
    match rate {
        Some(rate) if Rate::parse(rate).is_none() => {
            let text = format!("`rate` must be a rate such as \"100/s\", \"120/m\" or \"5000/h\", not `{rate}`");
            Err(Error::invalid("invalid_replay", text))
        }
        _ => Ok(()),
    }
}

fn check_filter(filter: Option<&Value>) -> Result<(), Error> {
    let filter = filter.map(Filter::parse).transpose()?;
    match filter.is_some_and(|filter| !filter.plugins().is_empty()) {
        true => Err(Error::invalid(
            "filter_unsupported",
            "`filter` must use native dialects only; the subscription's own plugins are asked anyway",
        )),
        false => Ok(()),
    }
}
