//! Asks the targets of callbacks whether they want events, until they agree.
//!
//! A subscription that asks for it waits as `unvalidated`: its events are in the log, and none is lost or sent. The
//! question goes out at once and then on the subscription's own schedule, whose last wait repeats: somebody may still
//! teach the target to answer. It agrees by its answer, or later by calling the URL that came with the question.
//!
//! Why in memory only what the last answer was: who still waits stands in the subscriptions, and a hub that starts
//! anew asks anew.
//! Invariant: what was agreed is written before a delivery starts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http::HeaderMap;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::Hub;
use super::life;
use crate::deliver::consent::{Question, rate};
use crate::error::Error;
use crate::subscription::{Consent, Given, Rate, Subscription, SubscriptionId};
use crate::tasks::Tasks;
use crate::time::Timestamp;

/// Targets asked at the same time.
const AT_ONCE: usize = 16;
/// Bytes of an answer's body that are read: none is of interest.
const KEEP: usize = 0;

/// How the hub introduces itself.
#[derive(Debug, Clone)]
pub struct Introduction {
    /// Its DNS name.
    pub origin: String,
    /// Where it can be called from outside, such as `https://hub.example.com`; none: targets must agree at once.
    pub callback: Option<String>,
}

impl Default for Introduction {
    fn default() -> Self {
        Self {
            origin: "busway.local".to_owned(),
            callback: None,
        }
    }
}

/// Who still has to agree.
#[derive(Default)]
pub(super) struct Waiting {
    asked: Mutex<BTreeMap<SubscriptionId, Asked>>,
    changed: Notify,
}

/// How the asking of one target goes.
#[derive(Debug, Clone)]
pub struct Asked {
    /// How often it was asked.
    pub asked: u32,
    /// What came of the last time.
    pub answer: Option<String>,
    /// When it is asked again.
    pub next: Timestamp,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SubscriptionId, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, now: Timestamp) -> Vec<SubscriptionId> {
        let asked = self.lock();
        let due = asked.iter().filter(|(_, asked)| asked.next <= now);
        due.map(|(id, _)| id.clone()).collect()
    }

    fn next(&self) -> Option<Timestamp> {
        self.lock().values().map(|asked| asked.next).min()
    }
}

impl Hub {
    /// How the asking of a subscription's target goes, if it has not agreed yet.
    pub fn asked(&self, id: &SubscriptionId) -> Option<Asked> {
        self.0.waiting.lock().get(id).cloned()
    }

    /// The target agrees by its callback. A second time changes the rate.
    ///
    /// # Errors
    /// `consent_not_found`: there is no such subscription, or the key is not its; `store_unavailable`.
    pub async fn agree(&self, id: &str, key: &str, answer: &HeaderMap) -> Result<(), Error> {
        let unknown = || Error::not_found("consent_not_found", "nobody asks for this consent, or no longer");
        let id = SubscriptionId::parse(id).map_err(|_| unknown())?;
        let rate = rate(answer).map_err(|why| Error::invalid("invalid_rate", format!("the request says {why}")))?;
        self.agreed(&id, rate, |known| known.opens(key))
            .await?
            .ok_or_else(unknown)
    }

    /// Sees that the target of a subscription is asked, if it must be.
    pub(super) fn seek_consent(&self, subscription: &Subscription) {
        let mut asked = self.0.waiting.lock();
        if !subscription.is_unvalidated() {
            asked.remove(&subscription.id);
            return;
        }
        let now = Asked {
            asked: 0,
            answer: None,
            next: self.0.clock.now(),
        };
        asked.insert(subscription.id.clone(), now);
        drop(asked);
        self.0.waiting.changed.notify_one();
    }

    /// Forgets a subscription that is gone.
    pub(super) fn stop_asking(&self, id: &SubscriptionId) {
        self.0.waiting.lock().remove(id);
    }

    async fn ask(&self, id: SubscriptionId) {
        let waiting = self.0.delivery.get(&id).filter(Subscription::is_unvalidated);
        let Some(subscription) = waiting else {
            return self.stop_asking(&id);
        };
        let why = match self.answer(&subscription).await {
            Ok(rate) => match self.agreed(&id, rate, |key| is_key_of(&subscription, key)).await {
                // Changed while it was asked: then it has been noted anew.
                Ok(_) => return,
                Err(error) => format!("with its consent, which could not be kept: {error}"),
            },
            Err(why) => why,
        };
        let mut asked = self.0.waiting.lock();
        let Some(asked) = asked.get_mut(&id) else { return };
        asked.asked = asked.asked.saturating_add(1);
        let schedule = &subscription.config.schedule;
        let nth = usize::try_from(asked.asked.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = schedule.get(nth).or(schedule.last());
        let wait = wait.map_or(Duration::from_secs(60), |step| step.most());
        asked.next = self.0.clock.now().plus(wait);
        warn!(subscription = %id, asked = asked.asked, answer = why, next_in_s = wait.as_secs(), "the sink has not agreed to be called, it is asked again");
        asked.answer = Some(why);
    }

    /// The rate that the target agrees to, or why it does not agree.
    async fn answer(&self, subscription: &Subscription) -> Result<Option<Rate>, String> {
        let webhook = subscription.webhook().ok_or("which is no callback")?;
        let callback = match (&self.0.introduction.callback, &webhook.consent) {
            (Some(base), Consent::Wanted(key)) => {
                let base = base.trim_end_matches('/');
                Some(format!("{base}/consent/{}/{}", subscription.id, key.as_str()))
            }
            _ => None,
        };
        let question = Question {
            origin: &self.0.introduction.origin,
            rate: subscription.config.rate,
            callback,
        };
        let request = question.request(webhook)?;
        let answer = self.0.client.send(request, subscription.config.timeout, KEEP).await;
        let answer = answer.map_err(|error| format!("that it cannot be asked: {error}"))?;
        let status = answer.status.as_u16();
        question
            .agreed(&answer.headers)
            .map_err(|why| format!("{status} {why}"))
    }

    /// Writes down that a target agrees, if it is still asked and the key is right; whether it was.
    async fn agreed(
        &self,
        id: &SubscriptionId,
        rate: Option<Rate>,
        opens: impl Fn(&crate::subscription::ConsentKey) -> bool,
    ) -> Result<Option<()>, Error> {
        let _changing = self.0.changing.lock().await;
        let Some(found) = self.0.delivery.get(id) else {
            return Ok(None);
        };
        let key = match found.webhook().map(|webhook| &webhook.consent) {
            Some(Consent::Wanted(key)) => key.clone(),
            Some(Consent::Given(given)) => given.key.clone(),
            Some(Consent::NotNeeded) | None => return Ok(None),
        };
        if !opens(&key) {
            return Ok(None);
        }
        let mut agreed = found.with_consent(Given {
            key,
            origin: self.0.introduction.origin.as_str().into(),
            rate,
            since: self.0.clock.now(),
        });
        agreed.updated = self.0.clock.now();
        self.0.store.put(&agreed, None).await?;
        self.0.delivery.put(agreed.clone(), None);
        self.stop_asking(id);
        info!(subscription = %id, rate = rate.map(Rate::in_a_minute), "the sink has agreed to be called");
        self.0.life.tell(life::subscription("validated", &agreed));
        Ok(Some(()))
    }
}

fn is_key_of(subscription: &Subscription, key: &crate::subscription::ConsentKey) -> bool {
    let known = subscription.webhook().map(|webhook| &webhook.consent);
    matches!(known, Some(Consent::Wanted(known)) if known == key)
}

/// Asks whoever is due, until the hub stops.
pub(super) async fn keep_asking(hub: Hub, tasks: Tasks) {
    let unvalidated = hub.0.delivery.list().into_iter().filter(|one| one.is_unvalidated());
    unvalidated.for_each(|one| hub.seek_consent(&one));
    loop {
        let due = hub.0.waiting.due(hub.0.clock.now());
        let asking = stream::iter(due).for_each_concurrent(AT_ONCE, |id| hub.ask(id));
        tokio::select! {
            () = tasks.stopping() => return,
            () = asking => {}
        }
        let next = async {
            match hub.0.waiting.next() {
                Some(at) => hub.0.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tasks.stopping() => return,
            () = hub.0.waiting.changed.notified() => {}
            () = next => {}
        }
    }
}
