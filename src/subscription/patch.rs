//! Changes of a subscription that is there: PUT (all of it) and PATCH (RFC 7396, what differs).
//!
//! Invariant: a stored credential goes only where its owner sent it. Who may change a subscription but does not know
//! its password must not learn it by pointing the sink at himself: moving the sink asks for the credentials again.

use serde_json::Value;
use url::Url;

use super::auth::Auth;
use super::fields::refuse;
use super::model::{DeliveryConfig, Sink, Subscription};
use super::secret;
use crate::error::Error;
use crate::net::Route;
use crate::time::Timestamp;

impl Subscription {
    /// This subscription with the body of a PUT in place of its own; a secret sent as `"***"` stays.
    ///
    /// # Errors
    /// As [`Subscription::from_json`]; `credentials_required` if the sink moves and kept credentials would go along.
    pub fn replaced(&self, json: &Value, defaults: &DeliveryConfig, now: Timestamp) -> Result<Self, Error> {
        let mut json = json.clone();
        let by_schema = secret::restore_at(&mut json, &self.to_stored(), &self.write_only);
        let by_name = json
            .get_mut("protocolsettings")
            .is_some_and(|settings| secret::restore(settings, &self.kept_settings(settings)));
        let kept = by_schema || by_name;
        let mut next = Self::from_json(self.id.clone(), self.bus.clone(), &json, defaults, now)?;
        if kept && (target(&next.sink) != target(&self.sink) || takes_another_proxy(&next.sink, &self.sink)) {
            let text = "the sink, its token endpoint or its proxy moves to another place: send the credentials again (those that are kept belong to the old one), or remove them";
            return Err(Error::invalid("credentials_required", text));
        }
        next.keeping_ends(self);
        next.created = self.created;
        next.state = self.state.clone();
        Ok(next)
    }

    /// What is kept, in the spelling of what comes in: one `secret` is the only one of its `secrets`, so that a new one
    /// can be put in front of it.
    fn kept_settings(&self, incoming: &Value) -> Value {
        let mut kept = self.sink.settings();
        if let Some(settings) = kept.as_object_mut()
            && incoming.get("secrets").is_some()
            && let Some(one) = settings.remove("secret")
        {
            settings.insert("secrets".into(), Value::Array(vec![one]));
        }
        kept
    }

    /// This subscription with these places of its JSON hidden from now on.
    ///
    /// # Errors
    /// If a `"***"` stands at one of them: there was nothing to put back.
    pub fn hiding(mut self, places: Vec<String>) -> Result<Self, Error> {
        let stored = self.to_stored();
        if let Some(place) = places
            .iter()
            .find(|place| stored.pointer(place).is_some_and(|value| value == secret::MASK))
        {
            let path = place.trim_start_matches('/').replace('/', ".");
            return Err(refuse(&path, secret::NOT_KEPT));
        }
        self.write_only = places.into();
        Ok(self)
    }

    /// JSON merge patch (RFC 7396) of the shown form, then the checks of [`Subscription::from_json`]; secrets that
    /// the patch does not name stay. What the patch sets to null goes back to `defaults`.
    ///
    /// # Errors
    /// As [`Subscription::replaced`]; the patch must be an object.
    pub fn patched(&self, patch: &Value, defaults: &DeliveryConfig, now: Timestamp) -> Result<Self, Error> {
        if !patch.is_object() {
            return Err(Error::invalid(
                "invalid_subscription",
                "a patch must be a JSON object: the fields that change (null removes one)",
            ));
        }
        let mut shown = self.to_json();
        if let (Some(shown), Some(form)) = (shown.as_object_mut(), patch.pointer("/transform/form"))
            && !form.is_null()
        {
            // Another form has other fields: what the old one had would only be in its way.
            shown.remove("transform");
        }
        if let (Some(settings), Some(changes)) = (
            shown.get_mut("protocolsettings").and_then(Value::as_object_mut),
            patch.get("protocolsettings"),
        ) {
            // `secret` and `secrets` are two spellings of one thing: naming one replaces the other.
            for (named, other) in [("secret", "secrets"), ("secrets", "secret")] {
                if changes.get(named).is_some() {
                    settings.remove(other);
                }
            }
        }
        merge(&mut shown, patch);
        self.replaced(&shown, defaults, now)
    }
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(map) = target else { return };
    for (name, change) in changes {
        match change {
            Value::Null => {
                map.remove(name);
            }
            change => merge(map.entry(name.clone()).or_insert(Value::Null), change),
        }
    }
}

/// Whom credentials are meant for.
fn target(sink: &Sink) -> Vec<String> {
    let origin = |url: &Url| url.origin().ascii_serialization();
    match sink {
        Sink::Bus(bus) => vec![bus.to_string()],
        Sink::Webhook(webhook) => match &webhook.auth {
            Some(Auth::OAuth2(oauth2)) => vec![origin(&webhook.url), origin(&oauth2.token_url)],
            _ => vec![origin(&webhook.url)],
        },
        Sink::Notifier { plugin, sink, .. } => std::iter::once(plugin.to_string()).chain(sink.clone()).collect(),
    }
}

/// Whether somebody new is on the way, who would see what goes to a sink of scheme http, and its own credentials.
fn takes_another_proxy(next: &Sink, old: &Sink) -> bool {
    let proxy = |sink: &Sink| match sink {
        Sink::Webhook(webhook) => match &webhook.route {
            Some(Route::By(proxy)) => Some(proxy.url()),
            _ => None,
        },
        _ => None,
    };
    let next = proxy(next);
    next.is_some() && next != proxy(old)
}
