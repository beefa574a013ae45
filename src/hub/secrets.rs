//! Signing secrets: replaced when somebody asks for it, and dropped when their grace is over.
//!
//! Why dropped by a task, although what is over does not sign anyway: a secret that nobody needs should not lie in the
//! store until the next change of its subscription, which may never come.
//! Invariant: everything here can be forgotten: at the start it is read from the subscriptions again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tracing::warn;

use super::{Hub, life};
use crate::error::Error;
use crate::log::BusName;
use crate::subscription::{Rotated, Rotation, Subscription, SubscriptionId};
use crate::tasks::Tasks;
use crate::time::Timestamp;

/// Before the store is asked again after it could not write.
const AGAIN: Duration = Duration::from_secs(60);

/// When whose next secret goes.
#[derive(Default)]
pub(super) struct Retiring {
    due: Mutex<BTreeSet<(Timestamp, SubscriptionId)>>,
    changed: Notify,
}

impl Retiring {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<(Timestamp, SubscriptionId)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, at: Timestamp, id: SubscriptionId) {
        self.lock().insert((at, id));
        self.changed.notify_one();
    }

    /// Who is due, or when the next one is.
    fn next(&self, now: Timestamp) -> Result<SubscriptionId, Option<Timestamp>> {
        let mut due = self.lock();
        match due.first().map(|(at, _)| *at) {
            Some(at) if at <= now => due.pop_first().map(|(_, id)| id).ok_or(None),
            next => Err(next),
        }
    }
}

impl Hub {
    /// Has a subscription sign with another secret first, and with the old ones until their grace is over.
    ///
    /// # Errors
    /// `subscription_not_found`; `not_signed`, `too_many_secrets`; what is wrong with the request; `store_unavailable`.
    pub async fn rotate_secret(&self, scope: Option<&BusName>, id: &str, json: &Value) -> Result<Rotated, Error> {
        let rotation = Rotation::from_json(json)?;
        let id = SubscriptionId::parse(id)?;
        let _changing = self.0.changing.of(&id).await;
        let chance = [crate::chance::bits(), crate::chance::bits()];
        let rotated = self.find(scope, &id)?.rotated(rotation, chance, self.0.clock.now())?;
        self.keep_secrets("secret_rotated", &rotated.subscription).await?;
        Ok(rotated)
    }

    async fn keep_secrets(&self, verb: &'static str, subscription: &Subscription) -> Result<(), Error> {
        self.0.store.put(subscription, None).await?;
        self.0.delivery.put(subscription.clone(), None);
        self.note_ends(subscription);
        self.0.life.tell(life::subscription(verb, subscription));
        Ok(())
    }

    fn note_ends(&self, subscription: &Subscription) {
        if let Some(at) = subscription.retires() {
            self.0.retiring.note(at, subscription.id.clone());
        }
    }

    /// Drops the secrets of a subscription whose grace is over.
    async fn retire(&self, id: SubscriptionId) {
        let _changing = self.0.changing.of(&id).await;
        let Some(found) = self.0.delivery.get(&id) else {
            return;
        };
        let now = self.0.clock.now();
        let Some(left) = found.retired(now) else {
            // Changed meanwhile: perhaps one goes later.
            return self.note_ends(&found);
        };
        if let Err(error) = self.keep_secrets("updated", &left).await {
            warn!(subscription = %id, %error, "an old secret cannot be dropped from the store; it signs no more, and is dropped later");
            self.0.retiring.note(now.plus(AGAIN), id);
        }
    }
}

/// Drops what is over, until the hub stops.
pub(super) async fn keep_retiring(hub: Hub, tasks: Tasks) {
    hub.0.delivery.list().iter().for_each(|one| hub.note_ends(one));
    loop {
        let next = match hub.0.retiring.next(hub.0.clock.now()) {
            Ok(id) => {
                hub.retire(id).await;
                continue;
            }
            Err(next) => next,
        };
        let next = async {
            match next {
                Some(at) => hub.0.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tasks.stopping() => return,
            () = hub.0.retiring.changed.notified() => {}
            () = next => {}
        }
    }
}
