//! Whether the target of a callback has agreed to be sent events (CloudEvents webhooks, section 4).
//!
//! A subscription that asks for it (`protocolsettings.validate`) is paused as `unvalidated` until it has. What is known
//! of it is part of the subscription, so that the consent, the pause and the sink cannot come apart in a crash.
//! Invariant: a consent is for one URL. A sink that moves has not agreed.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::{Value, json};

use super::model::{Sink, State, Subscription, Webhook};
use crate::rate::Rate;
use crate::time::Timestamp;

/// Why a subscription is paused whose sink has not agreed.
const UNVALIDATED: &str = "unvalidated";

/// Whether a callback's target has agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// It is not asked.
    NotNeeded,
    /// It must agree before anything is delivered.
    Wanted(ConsentKey),
    /// It has agreed.
    Given(Given),
}

/// What opens the callback by which a target agrees later. Nobody can guess it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ConsentKey(String);

/// What a target has agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The key, so that a callback may come twice.
    pub key: ConsentKey,
    /// Whom it agreed to hear from.
    pub origin: Arc<str>,
    /// How fast; none: as fast as we like.
    pub rate: Option<Rate>,
    /// When.
    pub since: Timestamp,
}

impl ConsentKey {
    /// From 128 bits of chance.
    pub fn of(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// As it stands in the callback's URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is it; the time it takes does not tell how much of it is right.
    pub fn opens(&self, given: &str) -> bool {
        let digest = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        !self.0.is_empty() && digest(&self.0).as_ref() == digest(given).as_ref()
    }
}

impl fmt::Debug for ConsentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConsentKey(…)")
    }
}

impl Consent {
    /// As callers see it.
    pub(super) fn shown(&self) -> Option<Value> {
        match self {
            Self::NotNeeded => None,
            Self::Wanted(_) => Some(json!({"given": false})),
            Self::Given(given) => Some(json!({
                "given": true,
                "origin": &*given.origin,
                "rate": given.rate.map(|rate| rate.to_string()),
                "since": given.since.to_string(),
            })),
        }
    }

    /// As it is kept.
    pub(super) fn stored(&self) -> Option<Value> {
        match self {
            Self::NotNeeded => None,
            Self::Wanted(key) => Some(json!({"key": key.0})),
            Self::Given(given) => Some(json!({
                "key": given.key.0,
                "origin": &*given.origin,
                "rate": given.rate.map(Rate::in_a_minute),
                "since": given.since.0,
            })),
        }
    }

    /// Reads what [`Consent::stored`] wrote.
    pub(super) fn from_stored(json: &Value) -> Self {
        let key = ConsentKey(json["key"].as_str().unwrap_or_default().to_owned());
        let rate = json["rate"].as_u64().and_then(|rate| u32::try_from(rate).ok());
        match (json["origin"].as_str(), json["since"].as_i64()) {
            (Some(origin), Some(since)) => Self::Given(Given {
                key,
                origin: origin.into(),
                rate: rate.and_then(NonZeroU32::new).map(Rate::per_minute),
                since: Timestamp(since),
            }),
            _ => Self::Wanted(key),
        }
    }
}

impl Subscription {
    /// Whether it waits for its sink's consent.
    pub fn is_unvalidated(&self) -> bool {
        matches!(&self.state, State::Paused { reason } if reason == UNVALIDATED)
    }

    /// The callback of a subscription that has one.
    pub fn webhook(&self) -> Option<&Webhook> {
        match &self.sink {
            Sink::Webhook(webhook) => Some(webhook),
            Sink::Notifier { .. } | Sink::Bus(_) => None,
        }
    }

    /// This subscription as it goes on from `old`: paused, if its sink must agree and has not; not paused for that any
    /// more, if it need not.
    #[must_use]
    pub fn seeking_consent(mut self, old: Option<&Self>, key: ConsentKey) -> Self {
        let before = old.and_then(Self::webhook);
        let mut wanted = false;
        if let Sink::Webhook(webhook) = &mut self.sink
            && webhook.consent != Consent::NotNeeded
        {
            let kept = before.filter(|before| before.url == webhook.url && before.consent != Consent::NotNeeded);
            let consent = kept.map_or(Consent::Wanted(key), |before| before.consent.clone());
            wanted = matches!(consent, Consent::Wanted(_));
            Arc::make_mut(webhook).consent = consent;
        }
        self.unpause(wanted);
        self
    }

    /// This subscription once its sink has agreed.
    #[must_use]
    pub fn with_consent(mut self, given: Given) -> Self {
        if let Sink::Webhook(webhook) = &mut self.sink {
            Arc::make_mut(webhook).consent = Consent::Given(given);
        }
        self.unpause(false);
        self
    }

    /// This subscription when somebody lets it go on.
    #[must_use]
    pub fn resumed(mut self) -> Self {
        let wanted = self
            .webhook()
            .is_some_and(|webhook| matches!(webhook.consent, Consent::Wanted(_)));
        self.state = State::Active;
        self.unpause(wanted);
        self
    }

    fn unpause(&mut self, wanted: bool) {
        match &self.state {
            State::Active if wanted => {
                self.state = State::Paused {
                    reason: UNVALIDATED.to_owned(),
                }
            }
            State::Paused { reason } if !wanted && reason == UNVALIDATED => self.state = State::Active,
            State::Active | State::Paused { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DeliveryConfig, SubscriptionId};
    use super::*;
    use crate::log::BusName;

    fn made(url: &str, validate: bool) -> Subscription {
        let json = json!({"sink": url, "protocolsettings": {"validate": validate}});
        let (id, bus) = (SubscriptionId("s".into()), BusName::default_bus());
        Subscription::from_json(id, bus, &json, &DeliveryConfig::default(), Timestamp(5)).unwrap()
    }

    fn given() -> Given {
        let rate = NonZeroU32::new(120).map(Rate::per_minute);
        Given {
            key: ConsentKey::of(7),
            origin: "hub.example".into(),
            rate,
            since: Timestamp(9),
        }
    }

    #[test]
    fn a_sink_that_moves_is_asked_again() {
        let new = made("https://a.example/", true).seeking_consent(None, ConsentKey::of(7));
        assert!(new.is_unvalidated());
        let agreed = new.clone().with_consent(given());
        assert_eq!(agreed.state, State::Active);
        let stays = made("https://a.example/", true).seeking_consent(Some(&agreed), ConsentKey::of(8));
        assert_eq!((&stays.state, &stays.sink), (&State::Active, &agreed.sink));
        let moved = made("https://b.example/", true).seeking_consent(Some(&agreed), ConsentKey::of(8));
        assert!(moved.is_unvalidated());
        let free = made("https://a.example/", false).seeking_consent(Some(&new), ConsentKey::of(8));
        assert_eq!(free.state, State::Active);
    }

    #[test]
    fn a_pause_that_was_asked_for_stays_and_does_not_replace_consent() {
        let mut paused = made("https://a.example/", true).seeking_consent(None, ConsentKey::of(7));
        paused.state = State::Paused {
            reason: "requested".to_owned(),
        };
        assert!(paused.clone().resumed().is_unvalidated());
        let agreed = paused.with_consent(given());
        assert!(matches!(&agreed.state, State::Paused { reason } if reason == "requested"));
        assert_eq!(agreed.resumed().state, State::Active);
    }

    #[test]
    fn consent_survives_the_store_and_its_key_is_never_shown() {
        for subscription in [
            made("https://a.example/", true).seeking_consent(None, ConsentKey::of(7)),
            made("https://a.example/", true)
                .seeking_consent(None, ConsentKey::of(7))
                .with_consent(given()),
            made("https://a.example/", false),
        ] {
            let back = Subscription::from_stored(subscription.to_stored()).unwrap();
            assert_eq!(back, subscription);
            let shown = format!("{} {subscription:?}", subscription.to_json());
            assert!(!shown.contains(ConsentKey::of(7).as_str()), "{shown}");
        }
    }

    #[test]
    fn only_the_key_opens() {
        let key = ConsentKey::of(7);
        assert!(key.opens(ConsentKey::of(7).as_str()));
        assert!(!key.opens(ConsentKey::of(8).as_str()) && !key.opens("") && !ConsentKey::default().opens(""));
    }
}
