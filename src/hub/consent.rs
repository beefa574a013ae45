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

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
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

/// Targets asked at the same time. One that does not answer keeps its place for the whole of its timeout.
const AT_ONCE: usize = 64;
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

impl Introduction {
    /// The name by which targets call back.
    pub fn host(&self) -> Option<String> {
        let url = url::Url::parse(self.callback.as_deref()?).ok()?;
        url.host_str().map(str::to_owned)
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
    /// Whether it is being asked now.
    pending: bool,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SubscriptionId, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is to be asked now, at most so many; they count as being asked from here on.
    fn due(&self, now: Timestamp, most: usize) -> Vec<SubscriptionId> {
        let mut asked = self.lock();
        let due = asked
            .iter_mut()
            .filter(|(_, asked)| !asked.pending && asked.next <= now);
        let due = due.take(most).map(|(id, asked)| {
            asked.pending = true;
            id.clone()
        });
        due.collect()
    }

    fn next(&self) -> Option<Timestamp> {
        let asked = self.lock();
        let waiting = asked.values().filter(|asked| !asked.pending);
        waiting.map(|asked| asked.next).min()
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
        let rate = rate(answer).map_err(|why| Error::invalid("invalid_rate", format!("the request comes {why}")))?;
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
            pending: false,
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
                Err(error) => format!("it agreed, and that could not be kept: {error}"),
            },
            Err(why) => why,
        };
        self.ask_again(&subscription, why);
    }

    /// Notes why a target has not agreed, and when it is asked again. If its sink has moved meanwhile, the answer is of
    /// the old one, and the new one is being asked already.
    fn ask_again(&self, subscription: &Subscription, why: String) {
        let id = &subscription.id;
        let now = self.0.delivery.get(id);
        let mut asked = self.0.waiting.lock();
        let Some(asked) = asked.get_mut(id) else { return };
        if now.is_none_or(|now| !has_key_of(&now, subscription)) {
            return;
        }
        asked.pending = false;
        asked.asked = asked.asked.saturating_add(1);
        let wait = subscription.config.schedule.wait(asked.asked).most();
        asked.next = self.0.clock.now().plus(wait);
        warn!(subscription = %id, asked = asked.asked, answer = why, next_in_s = wait.as_secs(), "the sink has not agreed to be called, it is asked again");
        asked.answer = Some(why);
    }

    /// The rate that the target agrees to, or why it does not agree.
    async fn answer(&self, subscription: &Subscription) -> Result<Option<Rate>, String> {
        let webhook = subscription.webhook().ok_or("it is no callback")?;
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
        let answer = answer.map_err(|error| format!("it cannot be asked: {error}"))?;
        let status = answer.status.as_u16();
        question
            .agreed(&answer.headers)
            .map_err(|why| format!("{status}, {why}"))
    }

    /// Writes down that a target agrees, if it is still asked and the key is right; whether it was.
    async fn agreed(
        &self,
        id: &SubscriptionId,
        rate: Option<Rate>,
        opens: impl Fn(&crate::subscription::ConsentKey) -> bool,
    ) -> Result<Option<()>, Error> {
        let _changing = self.0.changing.of(id).await;
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

fn has_key_of(subscription: &Subscription, other: &Subscription) -> bool {
    let known = other.webhook().map(|webhook| &webhook.consent);
    matches!(known, Some(Consent::Wanted(key)) if is_key_of(subscription, key))
}

/// Asks whoever is due, until the hub stops. Nobody waits for another's answer, short of [`AT_ONCE`].
pub(super) async fn keep_asking(hub: Hub, tasks: Tasks) {
    let unvalidated = hub.0.delivery.list().into_iter().filter(|one| one.is_unvalidated());
    unvalidated.for_each(|one| hub.seek_consent(&one));
    let mut asking = FuturesUnordered::new();
    loop {
        let room = AT_ONCE.saturating_sub(asking.len());
        let due = hub.0.waiting.due(hub.0.clock.now(), room);
        asking.extend(due.into_iter().map(|id| hub.ask(id)));
        let next = hub.0.waiting.next().filter(|_| asking.len() < AT_ONCE);
        let next = async {
            match next {
                Some(at) => hub.0.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tasks.stopping() => return,
            () = hub.0.waiting.changed.notified() => {}
            () = next => {}
            Some(()) = asking.next() => {}
        }
    }
}
