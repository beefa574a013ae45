//! The JSON of a subscription as it leaves: for callers (no secrets), and for the store (all of it).
//!
//! Invariant: what `to_stored` writes, `from_stored` reads back equal. A later version may add fields; it may not
//! give an old one another meaning (`v` counts up for that).

use std::sync::Arc;

use serde_json::{Map, Value};

use super::consent::Consent;
use super::model::{DeliveryConfig, Format, Sink, State, Subscription, SubscriptionId, Webhook};
use super::{proxy, secret, webhook};
use crate::error::Error;
use crate::log::BusName;
use crate::time::Timestamp;

/// The version of the stored form.
const VERSION: u64 = 1;
/// When each secret goes, in the order of the secrets.
const SECRETS_UNTIL: &str = "secrets_until";

impl Subscription {
    /// The JSON shown to callers: everything but secrets (shown as `"***"`).
    pub fn to_json(&self) -> Value {
        let mut settings = self.sink.settings();
        secret::mask(&mut settings);
        let mut body = self.body(settings);
        body.insert("config".into(), self.config.to_shown());
        let (state, reason) = match &self.state {
            State::Active => ("active", None),
            State::Paused { reason } => ("paused", Some(reason)),
        };
        body.insert("state".into(), state.into());
        if let Some(reason) = reason {
            body.insert("reason".into(), reason.as_str().into());
        }
        if let Some(consent) = self.webhook().and_then(|webhook| webhook.consent.shown()) {
            body.insert("consent".into(), consent);
        }
        if let Some(ends) = self
            .webhook()
            .and_then(|webhook| webhook.ends(|end| end.to_string().into()))
        {
            body.insert(SECRETS_UNTIL.into(), ends);
        }
        let public_keys = self.sink.public_keys();
        if !public_keys.is_empty() {
            body.insert("public_keys".into(), public_keys.into());
        }
        body.insert("created".into(), self.created.to_string().into());
        body.insert("updated".into(), self.updated.to_string().into());
        let mut shown = Value::Object(body);
        secret::mask_at(&mut shown, &self.write_only);
        shown
    }

    /// The JSON kept in the store: everything, secrets too; [`Subscription::from_stored`] reads it.
    pub fn to_stored(&self) -> Value {
        let mut body = self.body(self.sink.settings());
        body.insert(
            "paused".into(),
            match &self.state {
                State::Active => Value::Null,
                State::Paused { reason } => reason.as_str().into(),
            },
        );
        body.insert("created".into(), self.created.0.into());
        body.insert("updated".into(), self.updated.0.into());
        if !self.write_only.is_empty() {
            body.insert(
                "write_only".into(),
                self.write_only.iter().map(String::as_str).collect(),
            );
        }
        if let Some(consent) = self.webhook().and_then(|webhook| webhook.consent.stored()) {
            body.insert("consent".into(), consent);
        }
        if let Some(ends) = self.webhook().and_then(|webhook| webhook.ends(|end| end.0.into())) {
            body.insert(SECRETS_UNTIL.into(), ends);
        }
        body.insert("v".into(), VERSION.into());
        Value::Object(body)
    }

    /// Reads what [`Subscription::to_stored`] wrote, of this or an earlier version.
    ///
    /// # Errors
    /// Says which field is not as this version knows it.
    pub fn from_stored(json: Value) -> Result<Self, Error> {
        Self::from_stored_after(json, &mut LastConfig::default())
    }

    /// The same, of one after the other.
    pub(super) fn from_stored_after(json: Value, last: &mut LastConfig) -> Result<Self, Error> {
        let broken = |what: &str| {
            Error::invalid(
                "stored_subscription",
                format!("a stored subscription has no proper `{what}`"),
            )
        };
        let Value::Object(mut body) = json else {
            return Err(broken("body"));
        };
        if body
            .remove("v")
            .and_then(|v| v.as_u64())
            .is_none_or(|version| version > VERSION)
        {
            return Err(broken("v"));
        }
        let mut time = |name: &str| {
            body.remove(name)
                .and_then(|v| v.as_i64())
                .map(Timestamp)
                .ok_or_else(|| broken(name))
        };
        let (created, updated) = (time("created")?, time("updated")?);
        let paused = body
            .remove("paused")
            .and_then(|reason| reason.as_str().map(str::to_owned));
        let write_only = body.remove("write_only");
        let consent = body.remove("consent");
        let ends = body.remove(SECRETS_UNTIL);
        let config = last.read(body.remove("config"))?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).ok_or_else(|| broken(name));
        let (id, bus) = (SubscriptionId(text("id")?.into()), BusName::parse(text("bus")?)?);
        let mut read = Self::from_json(id, bus, &Value::Object(body), &config, updated)?;
        read.created = created;
        let write_only = write_only.as_ref().and_then(Value::as_array).into_iter().flatten();
        read.write_only = write_only.filter_map(Value::as_str).map(str::to_owned).collect();
        if let (Some(consent), Sink::Webhook(webhook)) = (consent, &mut read.sink) {
            Arc::make_mut(webhook).consent = Consent::from_stored(&consent);
        }
        if let Some(ends) = ends {
            read.set_ends(&ends);
        }
        if let Some(reason) = paused {
            read.state = State::Paused { reason };
        }
        Ok(read)
    }

    fn body(&self, settings: Value) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("id".into(), self.id.as_str().into());
        body.insert("bus".into(), self.bus.as_str().into());
        if let Some(source) = &self.selector.source {
            body.insert("source".into(), source.as_str().into());
        }
        if !self.selector.types.is_empty() {
            body.insert(
                "types".into(),
                self.selector.types.iter().map(|pattern| pattern.as_str()).collect(),
            );
        }
        if !self.selector.filters.is_empty() {
            body.insert(
                "filters".into(),
                self.selector.filters.iter().map(|filter| filter.to_json()).collect(),
            );
        }
        if let Some(transform) = &self.transform {
            body.insert("transform".into(), transform.to_json());
        }
        let (protocol, sink) = match &self.sink {
            Sink::Bus(bus) => ("BUS", Some(bus.as_str())),
            Sink::Webhook(webhook) => ("HTTP", Some(webhook.url.as_str())),
            Sink::Notifier { plugin, sink, .. } => (plugin.as_ref(), sink.as_deref()),
        };
        body.insert("protocol".into(), protocol.into());
        if let Some(sink) = sink {
            body.insert("sink".into(), sink.into());
        }
        body.insert("protocolsettings".into(), settings);
        body.insert("config".into(), self.config.to_json());
        body
    }
}

/// The `config` that was read last: most subscriptions have the same, and it is the most of what there is to read.
#[derive(Default)]
pub(super) struct LastConfig(Option<(Value, DeliveryConfig)>);

impl LastConfig {
    fn read(&mut self, stored: Option<Value>) -> Result<DeliveryConfig, Error> {
        let Some(stored) = stored else {
            return Ok(DeliveryConfig::default());
        };
        if let Some((_, config)) = self.0.as_ref().filter(|(last, _)| *last == stored) {
            return Ok(config.clone());
        }
        let config = DeliveryConfig::default().with(&stored)?;
        self.0 = Some((stored, config.clone()));
        Ok(config)
    }
}

impl Sink {
    /// What consumers verify signatures with.
    fn public_keys(&self) -> Vec<String> {
        match self {
            Self::Webhook(webhook) => webhook.secrets.iter().filter_map(|kept| kept.secret.public()).collect(),
            Self::Notifier { .. } | Self::Bus(_) => Vec::new(),
        }
    }

    /// `protocolsettings`, secrets and all.
    pub(super) fn settings(&self) -> Value {
        match self {
            Self::Webhook(webhook) => webhook.settings(),
            Self::Bus(_) => Value::Object(Map::new()),
            Self::Notifier { sink, settings, .. } => {
                let mut settings: Value = serde_json::from_str(settings).unwrap_or_default();
                if let (Some(map), Some(sink)) = (settings.as_object_mut(), sink)
                    && map.get("sink").and_then(Value::as_str) == Some(sink)
                {
                    // It was put there from the field of that name, and goes there again.
                    map.remove("sink");
                }
                settings
            }
        }
    }
}

impl Webhook {
    fn settings(&self) -> Value {
        let mut settings = Map::new();
        let format = match self.format {
            Format::Structured => "structured",
            Format::Binary => "binary",
            Format::Batch => "batch",
            Format::Raw => "raw",
            Format::Pulp => "pulp",
        };
        settings.insert("format".into(), format.into());
        if !self.headers.is_empty() {
            let headers = self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().into()))
                .collect();
            settings.insert("headers".into(), Value::Object(headers));
        }
        if let Some(auth) = &self.auth {
            settings.insert("auth".into(), auth.to_json());
        }
        if !self.success.is_empty() {
            settings.insert("success".into(), self.success.iter().copied().collect());
        }
        if let Some(push) = &self.push {
            settings.insert("sign".into(), webhook::EVENTBRIDGE.into());
            settings.extend(
                push.token
                    .as_ref()
                    .map(|token| ("token".to_owned(), token.as_str().into())),
            );
        }
        match self.secrets.as_slice() {
            [] => {}
            [one] => {
                settings.insert("secret".into(), one.secret.written().into());
            }
            several => {
                settings.insert(
                    "secrets".into(),
                    several.iter().map(|kept| kept.secret.written()).collect(),
                );
            }
        }
        if self.consent != Consent::NotNeeded {
            settings.insert("validate".into(), true.into());
        }
        if let Some(tls) = &self.tls {
            settings.insert("tls".into(), tls.to_json());
        }
        if let Some(route) = &self.route {
            settings.insert("proxy".into(), proxy::to_json(route));
        }
        Value::Object(settings)
    }
}
