//! Signing secrets replaced while consumers still hold the old ones: the new one signs first, the old ones beside it
//! until their grace is over.
//!
//! The end of each is kept beside the secret, so that it holds over a restart and whoever cleans up: what is over does
//! not sign ([`Webhook::signing`]), and is dropped at the next change or by [`Subscription::retired`].
//! Invariant: the first secret has no end: a subscription that signs goes on signing.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::fields::{Fields, refuse};
use super::model::{Sink, Subscription, Webhook};
use super::secret::MASK;
use super::signing::{Secret, SigningSecret};
use super::webhook::MOST_SECRETS;
use crate::error::{Error, Kind};
use crate::time::Timestamp;

const GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(90 * 86_400);
const USUAL_GRACE: Duration = Duration::from_secs(86_400);

/// What a caller wants.
#[derive(Debug)]
pub struct Rotation {
    secret: Option<Secret>,
    grace: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Rotated {
    /// The subscription from now on.
    pub subscription: Subscription,
    /// The secret, as it is written, if it was drawn here and its consumer needs it.
    pub drawn: Option<String>,
}

impl Rotation {
    /// Reads `{"secret"?, "grace"?}`.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn from_json(json: &Value) -> Result<Self, Error> {
        let fields = Fields::of(json, "", &["secret", "grace"])?;
        let secret = match fields.value("secret") {
            None => None,
            Some(mask) if mask == MASK => {
                return Err(refuse("secret", "is the new one; leave it out and the hub draws one"));
            }
            Some(secret) => Some(Secret::read("secret", secret)?),
        };
        Ok(Self {
            secret,
            grace: fields.duration("grace", GRACE, USUAL_GRACE)?,
        })
    }
}

impl Subscription {
    /// This subscription, signing with another secret first. `chance` becomes the secret if none is given; of which kind
    /// is that of the one it takes over from.
    ///
    /// # Errors
    /// `not_signed` if its sink is no callback; `too_many_secrets`.
    pub fn rotated(&self, rotation: Rotation, chance: [u128; 2], now: Timestamp) -> Result<Rotated, Error> {
        let Some(webhook) = self.webhook() else {
            let text = "only callbacks (protocol HTTP) are signed; this subscription has another sink";
            return Err(Error::new(Kind::Conflict, "not_signed", text));
        };
        let first = webhook.secrets.first().map(|kept| &kept.secret);
        let (secret, drawn) = match rotation.secret {
            Some(given) => (given, None),
            None => {
                let drawn = Secret::generate(first, chance);
                let shown = matches!(drawn, Secret::Shared(_)).then(|| drawn.written());
                (drawn, shown)
            }
        };
        let end = now.plus(rotation.grace);
        let old = webhook.secrets.iter().filter(|kept| kept.secret != secret);
        let old = old.map(|kept| SigningSecret {
            secret: kept.secret.clone(),
            until: Some(kept.until.map_or(end, |until| until.min(end))),
        });
        let mut secrets: Vec<SigningSecret> = old.filter(|kept| kept.signs(now)).collect();
        if secrets.len() >= MOST_SECRETS {
            return Err(too_many(&secrets));
        }
        secrets.insert(0, SigningSecret::lasting(secret));
        Ok(Rotated {
            subscription: self.with_secrets(secrets, now),
            drawn,
        })
    }

    /// This subscription without the secrets whose grace is over; nothing if there are none.
    #[must_use]
    pub fn retired(&self, now: Timestamp) -> Option<Self> {
        let secrets = &self.webhook()?.secrets;
        let left: Vec<_> = secrets.iter().filter(|kept| kept.signs(now)).cloned().collect();
        (left.len() < secrets.len()).then(|| self.with_secrets(left, now))
    }

    /// When the next of its secrets goes.
    pub fn retires(&self) -> Option<Timestamp> {
        self.webhook()?.secrets.iter().filter_map(|kept| kept.until).min()
    }

    fn with_secrets(&self, secrets: Vec<SigningSecret>, now: Timestamp) -> Self {
        let mut next = self.clone();
        next.updated = now;
        if let Sink::Webhook(webhook) = &mut next.sink {
            Arc::make_mut(webhook).secrets = secrets;
        }
        next
    }

    /// What has an end in `old` has it here too, except for the first.
    pub(super) fn keeping_ends(&mut self, old: &Self) {
        let (Sink::Webhook(webhook), Some(old)) = (&mut self.sink, old.webhook()) else {
            return;
        };
        if webhook.secrets.len() < 2 || old.secrets.iter().all(|kept| kept.until.is_none()) {
            return;
        }
        for kept in Arc::make_mut(webhook).secrets.iter_mut().skip(1) {
            let known = old.secrets.iter().find(|known| known.secret == kept.secret);
            kept.until = known.and_then(|known| known.until);
        }
    }

    /// Puts back the ends that were stored.
    pub(super) fn set_ends(&mut self, ends: &Value) {
        let Sink::Webhook(webhook) = &mut self.sink else {
            return;
        };
        let ends = ends.as_array().into_iter().flatten();
        for (kept, end) in Arc::make_mut(webhook).secrets.iter_mut().zip(ends) {
            kept.until = end.as_i64().map(Timestamp);
        }
    }
}

impl Webhook {
    /// The secrets that sign at this time, in their order.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let valid = self.secrets.iter().filter(move |kept| kept.signs(now));
        valid.map(|kept| &kept.secret)
    }

    /// When each secret goes, one a secret, if one does.
    pub(super) fn ends(&self, show: impl Fn(Timestamp) -> Value) -> Option<Value> {
        let ends = self.secrets.iter().map(|kept| kept.until.map_or(Value::Null, &show));
        let any = self.secrets.iter().any(|kept| kept.until.is_some());
        any.then(|| ends.collect())
    }
}

fn too_many(secrets: &[SigningSecret]) -> Error {
    let soonest = secrets.iter().filter_map(|kept| kept.until).min();
    let soonest = soonest.map(|until| until.to_string()).unwrap_or_default();
    let text = format!(
        "{MOST_SECRETS} secrets sign already, which is as many as may be: the grace of the next ends at {soonest}; wait for it, or give a shorter `grace`"
    );
    Error::new(Kind::Conflict, "too_many_secrets", text)
}

#[cfg(test)]
mod tests;
