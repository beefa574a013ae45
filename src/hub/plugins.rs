//! What a subscription needs of plugins is checked when it is made, in the plugin's own words; and what is loaded.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::error::Error;
use crate::hub::Hub;
use crate::plugin::{CallError, PluginSettings, PluginStatus, World};
use crate::subscription::{Sink, Subscription};

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

    /// New grants, limits and configs of plugins.
    pub async fn reconfigure(&self, plugins: BTreeMap<String, PluginSettings>) {
        self.0.plugins.reconfigure(plugins).await;
    }

    /// Checks that everything a subscription needs is there and takes its config.
    pub(super) async fn check(&self, subscription: &Subscription) -> Result<(), Error> {
        for (i, filter) in subscription.selector.filters.iter().enumerate() {
            for plugin in filter.plugins() {
                let place = format!("filters[{i}]");
                self.check_plugin(World::Filter, &plugin.name, &plugin.config, &place)
                    .await?;
            }
        }
        match &subscription.sink {
            Sink::Notifier { plugin, settings, .. } => {
                self.check_plugin(World::Notifier, plugin, settings, "protocol").await
            }
            Sink::Webhook(webhook) => self.check_address(&webhook.url),
        }
    }

    async fn check_plugin(&self, world: World, name: &str, config: &Arc<str>, place: &str) -> Result<(), Error> {
        let refused = match self.0.plugins.check(world, name, config).await {
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

    /// Refuses a sink whose address is given outright and may not be dialled. A name is checked when it is dialled.
    fn check_address(&self, url: &url::Url) -> Result<(), Error> {
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => IpAddr::from(address),
            Some(url::Host::Ipv6(address)) => IpAddr::from(address),
            _ => return Ok(()),
        };
        let port = url.port_or_known_default().unwrap_or(80);
        self.0
            .client
            .guard()
            .check(SocketAddr::new(address, port))
            .map_err(|blocked| {
                Error::invalid(
                    "sink_not_allowed",
                    format!(
                        "sink: the address {} may not be dialled: {}",
                        blocked.address, blocked.rule
                    ),
                )
            })
    }
}
