//! The settings as the hub takes them: each module's own, side by side.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::value::Address;
use crate::access::Account;
use crate::{compat, deliver, hub, log, net, plugin, subscription};

/// Hosts to which no proxy is on the way, unless the operator says otherwise.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

/// All settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `[listen]`.
    pub listen: ListenSettings,
    /// `[data]`.
    pub data: DataSettings,
    /// `[log]`.
    pub log: log::Settings,
    /// `[delivery]`: what a subscription gets that does not say otherwise.
    pub delivery: subscription::DeliveryConfig,
    /// `[delivery]`: what all subscriptions share.
    pub bounds: deliver::Bounds,
    /// `[egress]`.
    pub egress: net::GuardSettings,
    /// `[egress]`, its proxy.
    pub proxies: net::ProxySettings,
    /// `[webhooks]`: how the hub asks the targets of callbacks for consent.
    pub webhooks: hub::Introduction,
    /// `[limits]`.
    pub limits: hub::Limits,
    /// `[log_output]`.
    pub log_output: LogOutput,
    /// `[plugins.NAME]`.
    pub plugins: BTreeMap<String, plugin::PluginSettings>,
    /// `[auth.NAME]`: who may do what; with no entry, nobody is asked.
    pub accounts: BTreeMap<String, Account>,
    /// `[compat]` and the sections of the older systems.
    pub compat: compat::Settings,
}

/// Where the hub listens, and how it stops.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// Where.
    pub addresses: Vec<Address>,
    /// Names by which a hub on a loopback address may be called, besides `localhost`.
    pub hosts: Vec<String>,
    /// Whether addresses that other machines can reach are allowed although nobody is asked for credentials.
    pub insecure: bool,
    /// Where to write the bound addresses, one a line.
    pub ports_file: Option<PathBuf>,
    /// How long stopping may take.
    pub drain_timeout: Duration,
    /// Connections open at once; more wait.
    pub connections: usize,
    /// A request's header may take this long to arrive.
    pub header_timeout: Duration,
    /// A request's header may be this large, in bytes.
    pub header_size: usize,
}

/// Where things are kept.
#[derive(Debug, Clone)]
pub struct DataSettings {
    /// The store.
    pub dir: PathBuf,
    /// The plugin directory.
    pub plugins: PathBuf,
}

/// The hub's own log (not the event log).
#[derive(Debug, Clone)]
pub struct LogOutput {
    /// What is logged, as `tracing` directives: `info`, `busway::deliver=debug,info`.
    pub filter: String,
    /// In which form.
    pub format: LogFormat,
}

/// The form of the hub's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// One line of text each.
    Text,
    /// One JSON object each.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: ListenSettings {
                addresses: vec![Address::Tcp(([127, 0, 0, 1], 8080).into())],
                hosts: Vec::new(),
                insecure: false,
                ports_file: None,
                drain_timeout: Duration::from_secs(10),
                connections: 16_384,
                header_timeout: Duration::from_secs(10),
                header_size: 64 << 10,
            },
            data: DataSettings {
                dir: "busway-data".into(),
                plugins: "plugins".into(),
            },
            log: log::Settings {
                retention: log::Retention {
                    age: Some(Duration::from_secs(7 * 86_400)),
                    size: Some(10 << 30),
                    drop_unacknowledged: false,
                },
                ..log::Settings::default()
            },
            delivery: subscription::DeliveryConfig::default(),
            bounds: deliver::Bounds::default(),
            egress: net::GuardSettings::default(),
            proxies: net::ProxySettings {
                proxy: None,
                // A proxy's own loopback is hardly ever what is meant.
                except: LOCAL
                    .iter()
                    .filter_map(|local| net::Exception::parse(local).ok())
                    .collect(),
            },
            webhooks: hub::Introduction::default(),
            limits: hub::Limits {
                event_bytes: 1 << 20,
                batch_bytes: 8 << 20,
                batch_events: 1_000,
                subscriptions: 1_000_000,
                body_bytes: 256 << 20,
                streams: 12_000,
            },
            log_output: LogOutput {
                filter: "info".to_owned(),
                format: LogFormat::Auto,
            },
            plugins: BTreeMap::new(),
            accounts: BTreeMap::new(),
            compat: compat::Settings::default(),
        }
    }
}
