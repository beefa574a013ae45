//! Subscriptions: made, changed, paused, tested, removed.
//!
//! A `scope` is the bus that a front door's path names: within it only its own subscriptions are seen.
//! Invariant: written first, then told to delivery: what a caller was told of survives a crash.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::deliver::{LaneStatus, Recent};
use crate::error::{Error, Kind};
use crate::event::{Data, DataKind, Draft};
use crate::hub::{Hub, life};
use crate::log::{BusName, Offset, Record};
use crate::subscription::{Attempt, ConsentKey, State, Subscription, SubscriptionId};

impl Hub {
    /// Makes a subscription with an id of the hub's choice.
    ///
    /// # Errors
    /// What is wrong with it and where; `plugin_not_loaded`, `plugin_refused_config`; `store_unavailable`.
    pub async fn create(&self, scope: Option<&BusName>, json: &Value) -> Result<Subscription, Error> {
        let id = SubscriptionId::generate(self.0.clock.now(), crate::chance::bits());
        self.make(id, scope, json).await
    }

    /// Replaces a subscription, or makes it under this id; whether it was made.
    ///
    /// # Errors
    /// As [`Hub::create`].
    pub async fn replace(
        &self,
        scope: Option<&BusName>,
        id: &str,
        json: &Value,
    ) -> Result<(Subscription, bool), Error> {
        let id = SubscriptionId::parse(id)?;
        let _changing = self.0.changing.of(&id).await;
        match self.find(scope, &id) {
            Ok(old) => {
                let new = old.replaced(json, &self.0.defaults, self.0.clock.now())?;
                let new = new.seeking_consent(Some(&old), consent_key());
                self.change(new).await.map(|subscription| (subscription, false))
            }
            Err(missing) if self.0.delivery.get(&id).is_some() => Err(missing),
            Err(_) => self
                .make(id, scope, json)
                .await
                .map(|subscription| (subscription, true)),
        }
    }

    /// Changes a subscription by a JSON merge patch.
    ///
    /// # Errors
    /// `subscription_not_found`, or as [`Hub::create`].
    pub async fn patch(&self, scope: Option<&BusName>, id: &str, patch: &Value) -> Result<Subscription, Error> {
        let id = SubscriptionId::parse(id)?;
        let _changing = self.0.changing.of(&id).await;
        let old = self.find(scope, &id)?;
        let new = old.patched(patch, &self.0.defaults, self.0.clock.now())?;
        self.change(new.seeking_consent(Some(&old), consent_key())).await
    }

    /// Removes a subscription; its dead letters stay.
    ///
    /// # Errors
    /// `subscription_not_found`, `store_unavailable`.
    pub async fn remove(&self, scope: Option<&BusName>, id: &str) -> Result<(), Error> {
        let id = SubscriptionId::parse(id)?;
        let _changing = self.0.changing.of(&id).await;
        let old = self.find(scope, &id)?;
        self.0.store.delete(&id).await?;
        self.0.delivery.remove(&id);
        self.stop_asking(&id);
        self.0.metrics.subscriptions.dec();
        self.0.life.tell(life::subscription("deleted", &old));
        Ok(())
    }

    /// What is said of a subscription that is not there, or not for who asks.
    pub fn no_such_subscription(&self, id: &str) -> Error {
        missing(None, id)
    }

    /// A subscription.
    ///
    /// # Errors
    /// `subscription_not_found`.
    pub fn subscription(&self, scope: Option<&BusName>, id: &str) -> Result<Subscription, Error> {
        self.find(scope, &SubscriptionId::parse(id)?)
    }

    /// At most `limit` subscriptions by id, after this one.
    pub fn subscriptions(&self, scope: Option<&BusName>, after: Option<&str>, limit: usize) -> Vec<Arc<Subscription>> {
        self.subscriptions_on(|bus| scope.is_none_or(|scope| scope == bus), after, limit)
    }

    /// The same, of those on buses that pass.
    pub fn subscriptions_on(
        &self,
        passes: impl Fn(&BusName) -> bool,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<Subscription>> {
        let mut all = self.0.delivery.list();
        all.retain(|one| passes(&one.bus) && after.is_none_or(|after| one.id.as_str() > after));
        all.truncate(limit);
        all
    }

    /// Figures of a subscription's deliveries.
    pub fn lane(&self, id: &SubscriptionId) -> Option<LaneStatus> {
        self.0.delivery.status(id)
    }

    /// Recent attempts of a subscription, newest first.
    ///
    /// # Errors
    /// `subscription_not_found`.
    pub fn deliveries(&self, scope: Option<&BusName>, id: &str) -> Result<Vec<Recent>, Error> {
        let found = self.subscription(scope, id)?;
        Ok(self.0.delivery.recent(&found.id))
    }

    /// Lets events wait in the log.
    ///
    /// # Errors
    /// `subscription_not_found`, `store_unavailable`.
    pub async fn pause(&self, scope: Option<&BusName>, id: &str) -> Result<Subscription, Error> {
        self.set_state(
            scope,
            id,
            State::Paused {
                reason: "requested".into(),
            },
        )
        .await
    }

    /// Goes on where it was paused.
    ///
    /// # Errors
    /// `subscription_not_found`, `store_unavailable`.
    pub async fn resume(&self, scope: Option<&BusName>, id: &str) -> Result<Subscription, Error> {
        self.set_state(scope, id, State::Active).await
    }

    /// Delivers one event of type `busway.subscription.test` now, outside the queue; what became of it.
    ///
    /// # Errors
    /// `subscription_not_found`; `unvalidated` if its sink has not agreed to be called.
    pub async fn test(&self, scope: Option<&BusName>, id: &str) -> Result<Attempt, Error> {
        let found = self.subscription(scope, id)?;
        if found.is_unvalidated() {
            let text =
                "the sink has not agreed to be called (`status.consent` says what it answered), and so nothing is sent";
            return Err(Error::new(Kind::Conflict, "unvalidated", text));
        }
        let now = self.0.clock.now();
        let data =
            json!({"subscription": found.id.as_str(), "message": "a test event: the sink is reached"}).to_string();
        let draft = Draft {
            id: format!("test-{:032x}", crate::chance::bits()),
            source: "busway".into(),
            ty: "busway.subscription.test".into(),
            subject: Some(found.id.to_string()),
            time: Some(now.to_string()),
            datacontenttype: Some("application/json".into()),
            data: Some(Data {
                kind: DataKind::Json,
                bytes: data.into(),
            }),
            ..Draft::default()
        };
        let event = draft.check().map_err(Error::internal)?;
        // Offset 0 is before the first record: it stands for none in the log.
        let record = Record::new(Offset(0), now, event);
        self.0.delivery.once(&found.id, Arc::new(record)).await
    }

    pub(super) fn find(&self, scope: Option<&BusName>, id: &SubscriptionId) -> Result<Subscription, Error> {
        let found = self
            .0
            .delivery
            .get(id)
            .filter(|found| scope.is_none_or(|bus| found.bus == *bus));
        found.ok_or_else(|| missing(scope, id.as_str()))
    }

    async fn make(&self, id: SubscriptionId, scope: Option<&BusName>, json: &Value) -> Result<Subscription, Error> {
        self.refuse_when_stopping()?;
        let named = json.get("bus").and_then(Value::as_str);
        let bus = match (scope, named) {
            (Some(bus), _) => bus.clone(),
            (None, Some(named)) => BusName::parse(named)?,
            (None, None) => BusName::default_bus(),
        };
        let new = Subscription::from_json(id, bus, json, &self.0.defaults, self.0.clock.now())?;
        self.refuse_when_full()?;
        let new = self.checked(new).await?.seeking_consent(None, consent_key());
        let from = self.position(&new.bus, new.config.start).await?;
        self.0.store.put(&new, Some(from)).await?;
        self.0.delivery.put(new.clone(), Some(from));
        self.seek_consent(&new);
        self.0.metrics.subscriptions.inc();
        self.0.life.tell(life::subscription("created", &new));
        Ok(new)
    }

    /// Callers that come at the same moment may all pass: it bounds, and does not count.
    fn refuse_when_full(&self) -> Result<(), Error> {
        let most = self.0.limits.subscriptions;
        if self.0.delivery.count() < most {
            return Ok(());
        }
        let text = format!(
            "there are {most} subscriptions, which is as many as may be (`limits.subscriptions`): delete some, or raise it"
        );
        Err(Error::new(Kind::Unavailable, "too_many_subscriptions", text))
    }

    async fn change(&self, new: Subscription) -> Result<Subscription, Error> {
        let new = self.checked(new).await?;
        self.0.store.put(&new, None).await?;
        self.0.delivery.put(new.clone(), None);
        self.seek_consent(&new);
        self.0.life.tell(life::subscription("updated", &new));
        Ok(new)
    }

    async fn set_state(&self, scope: Option<&BusName>, id: &str, state: State) -> Result<Subscription, Error> {
        let id = SubscriptionId::parse(id)?;
        let _changing = self.0.changing.of(&id).await;
        let mut found = self.find(scope, &id)?;
        // `gone` says more than `requested`: a pause of what is paused changes nothing. But who waits for consent goes
        // on by itself, unless it is paused for good.
        let same = match (&found.state, &state) {
            (State::Active, State::Active) => true,
            (State::Paused { .. }, State::Paused { .. }) => !found.is_unvalidated(),
            _ => false,
        };
        if same {
            if state == State::Active {
                // Who says "go on" to one that runs means its sink.
                self.0.delivery.try_sink(&id);
            }
            return Ok(found);
        }
        let verb = if state == State::Active { "resumed" } else { "paused" };
        found.updated = self.0.clock.now();
        match state {
            State::Active => found = found.resumed(),
            paused => found.state = paused,
        }
        self.0.store.put(&found, None).await?;
        self.0.delivery.put(found.clone(), None);
        self.seek_consent(&found);
        self.0.life.tell(life::subscription(verb, &found));
        Ok(found)
    }
}

fn missing(scope: Option<&BusName>, id: &str) -> Error {
    let place = scope.map(|bus| format!(" on the bus `{bus}`")).unwrap_or_default();
    let text = format!("there is no subscription `{id}`{place}");
    Error::not_found("subscription_not_found", text)
}

fn consent_key() -> ConsentKey {
    ConsentKey::of(crate::chance::bits())
}
