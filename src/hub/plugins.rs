//! What a subscription needs of plugins is checked when it is made: by the plugin's schema, which names every field at
//! fault by its path in the subscription, then by the plugin itself, in its own words. And what is loaded.
//!
//! Invariant: no answer shows a value from the operator's config, nor one that is a secret by its name or its schema.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::hub::Hub;
use crate::plugin::{CallError, ConfigFault, PluginSettings, PluginStatus, World};
use crate::subscription::{Auth, Sink, Subscription, is_secret, secrets_by_name};

/// The most faults of a config that one answer tells.
const MOST_FAULTS: usize = 5;

/// One plugin that a subscription needs.
struct Use<'a> {
    world: World,
    name: &'a str,
    config: &'a Arc<str>,
    /// Where the subscription names it.
    place: String,
    /// Where the subscription has its config.
    config_at: String,
    /// Whether the config's `sink` is the subscription's own.
    from_sink: bool,
}

/// Every plugin that a subscription needs: its filters in their order, then its notifier.
fn uses(subscription: &Subscription) -> Vec<Use<'_>> {
    let filters = subscription.selector.filters.iter().enumerate();
    let leaves = filters.flat_map(|(at, filter)| filter.plugins_from(&format!("filters[{at}]")));
    let mut uses: Vec<Use<'_>> = leaves
        .map(|(place, leaf)| Use {
            world: World::Filter,
            name: &leaf.name,
            config: &leaf.config,
            config_at: format!("{place}.config"),
            place,
            from_sink: false,
        })
        .collect();
    if let Sink::Notifier { plugin, settings, sink } = &subscription.sink {
        uses.push(Use {
            world: World::Notifier,
            name: plugin,
            config: settings,
            place: "protocol".to_owned(),
            config_at: "protocolsettings".to_owned(),
            from_sink: sink.is_some(),
        });
    }
    uses
}

impl Hub {
    /// Every plugin, by name.
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.0.plugins.status()
    }

    /// One plugin.
    ///
    /// # Errors
    /// `plugin_not_found`.
    pub fn plugin(&self, name: &str) -> Result<PluginStatus, Error> {
        let found = self.plugins().into_iter().find(|plugin| plugin.name == name);
        found.ok_or_else(|| {
            Error::not_found(
                "plugin_not_found",
                format!("there is no plugin `{name}`; {}", self.loaded(None)),
            )
        })
    }

    /// Counts up whenever what is loaded changes.
    pub fn plugin_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.plugins.changes()
    }

    /// New grants, limits and configs of plugins.
    pub async fn reconfigure(&self, plugins: BTreeMap<String, PluginSettings>) {
        self.0.plugins.reconfigure(plugins).await;
    }

    /// Checks that everything a subscription needs is there and takes its config, and marks what is secret in it.
    pub(super) async fn checked(&self, subscription: Subscription) -> Result<Subscription, Error> {
        for user in uses(&subscription) {
            self.check_use(&user).await?;
        }
        if let Sink::Webhook(webhook) = &subscription.sink {
            self.check_address("sink", &webhook.url)?;
            if let Some(Auth::OAuth2(oauth2)) = &webhook.auth {
                self.check_address("protocolsettings.auth.oauth2.token_url", &oauth2.token_url)?;
            }
        }
        let target = match &subscription.sink {
            Sink::Bus(bus) => Some(bus),
            _ => None,
        };
        for bus in target.into_iter().chain(&subscription.config.dead_letter) {
            // Makes it, while there is somebody to be told that there are too many.
            drop(self.0.log.end(bus)?);
        }
        let places = self.secrets(&subscription);
        subscription.hiding(places)
    }

    /// JSON Pointers of what is secret in a subscription by its plugins: by their schemas, and in the config of filters
    /// by name too.
    fn secrets(&self, subscription: &Subscription) -> Vec<String> {
        let mut found = Vec::new();
        for user in uses(subscription) {
            let at = user.config_at.replace(['[', '.'], "/").replace(']', "");
            let mut places = self.0.plugins.secrets(user.world, user.name, user.config);
            if user.world == World::Filter {
                places.extend(secrets_by_name(&serde_json::from_str(user.config).unwrap_or_default()));
            }
            found.extend(
                places
                    .into_iter()
                    .map(|place| match user.from_sink && place == "/sink" {
                        true => place,
                        false => format!("/{at}{place}"),
                    }),
            );
        }
        found
    }

    /// Why a plugin that a subscription needs no longer takes its config, if one does not: a newer generation may ask
    /// for more than the one that the subscription was checked against.
    pub fn misfit(&self, subscription: &Subscription) -> Option<String> {
        let uses = uses(subscription);
        uses.iter().find_map(|user| self.faults(user))
    }

    /// What the schema of the plugin says of this config, in one sentence; none if nothing is wrong.
    fn faults(&self, user: &Use<'_>) -> Option<String> {
        let faults = self.0.plugins.faults(user.world, user.name, user.config);
        let told: Vec<String> = faults
            .iter()
            .take(MOST_FAULTS)
            .map(|fault| self.told(user, fault))
            .collect();
        let more = faults.len().saturating_sub(MOST_FAULTS);
        let rest = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        (!told.is_empty()).then(|| format!("{}{rest}", told.join("; ")))
    }

    /// One fault with its place: in the subscription, or in the operator's config where the subscription is silent.
    fn told(&self, user: &Use<'_>, fault: &ConfigFault) -> String {
        let own: serde_json::Value = serde_json::from_str(user.config).unwrap_or_default();
        let top = fault.top().unwrap_or_default();
        if own.get(top).is_none() && self.0.plugins.is_operators(user.name, top) {
            let told = fault.told(&format!("[plugins.{}] config", user.name));
            return format!("{told} (it stands in the hub's own config: its operator must mend it)");
        }
        let told = match user.from_sink && top == "sink" {
            true => format!("sink: {}", fault.rule),
            false => fault.told(&user.config_at),
        };
        match &fault.given {
            Some(given) if !fault.names().any(is_secret) => format!("{told}, not {given}"),
            _ => told,
        }
    }

    async fn check_use(&self, user: &Use<'_>) -> Result<(), Error> {
        if let Some(faults) = self.faults(user) {
            let text = format!("{faults}; `busway plugin show {}` lists its fields", user.name);
            return Err(Error::invalid("plugin_config_invalid", text));
        }
        let Use {
            world,
            name,
            config,
            place,
            ..
        } = user;
        let refused = match self.0.plugins.check(*world, name, config).await {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let kind = world.as_str();
        Err(match refused {
            CallError::NotLoaded(_) => {
                let text = format!(
                    "{place}: no {kind} plugin `{name}` is loaded; {}",
                    self.loaded(Some(kind))
                );
                Error::invalid("plugin_not_loaded", text)
            }
            CallError::Config(words) => Error::invalid(
                "plugin_refused_config",
                format!("{place}: the plugin `{name}` refuses its config: {words}"),
            ),
            other => Error::invalid(
                "plugin_failed",
                format!("{place}: the plugin `{name}` failed when it was tried: {other}"),
            ),
        })
    }

    /// Which plugins there are, for messages.
    fn loaded(&self, kind: Option<&str>) -> String {
        let of_kind = |plugin: &PluginStatus| plugin.kind.is_some() && (kind.is_none() || plugin.kind == kind);
        let names: Vec<String> = self
            .plugins()
            .into_iter()
            .filter(of_kind)
            .map(|plugin| plugin.name)
            .collect();
        match names.is_empty() {
            true => "none is loaded; put NAME.wasm into the plugin directory".into(),
            false => format!("loaded: {}", names.join(", ")),
        }
    }

    /// Refuses a URL that may not be dialled, as far as its address or its name tells. Where a name leads is checked
    /// when it is dialled.
    fn check_address(&self, at: &str, url: &url::Url) -> Result<(), Error> {
        let (Some(host), port) = (url.host_str(), url.port_or_known_default().unwrap_or(80)) else {
            return Ok(());
        };
        let admitted = self.0.client.guard().admit(host, port);
        admitted.map_err(|blocked| Error::invalid("sink_not_allowed", format!("{at}: {blocked}")))
    }
}
