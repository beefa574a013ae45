//! Hub: what every front door calls. (Contract as the server expects it.)

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::time::Clock;
use crate::{log, net, plugin, subscription};

/// Everything a hub is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the store is.
    pub data: PathBuf,
    /// The event log's.
    pub log: log::Settings,
    /// The plugin host's.
    pub plugins: plugin::Settings,
    /// Which addresses may be dialled.
    pub egress: net::GuardSettings,
    /// What a subscription gets that does not say otherwise.
    pub delivery: subscription::DeliveryConfig,
    /// Bounds at the front doors.
    pub limits: Limits,
}

/// Bounds at the front doors.
#[derive(Debug, Clone)]
pub struct Limits {
    /// One event, in bytes.
    pub event_bytes: usize,
    /// One batch, in bytes.
    pub batch_bytes: usize,
    /// Events of a batch.
    pub batch_events: usize,
}

/// The hub. Cheap to clone.
#[derive(Clone)]
pub struct Hub;

impl Hub {
    /// Opens the store, loads the plugins, takes up delivery where it was.
    pub async fn open(_settings: Settings, _clock: Clock) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Every plugin, by name.
    pub fn plugins(&self) -> Vec<plugin::PluginStatus> {
        unimplemented!()
    }
    /// New grants, limits and configs of plugins.
    pub async fn reconfigure(
        &self,
        _plugins: std::collections::BTreeMap<String, plugin::PluginSettings>,
    ) {
        unimplemented!()
    }
    /// Streams end and say so; publishing answers 503.
    pub fn stop(&self) {
        unimplemented!()
    }
    /// Delivery, plugins, log, store: in this order.
    pub async fn drain(&self, _deadline: Duration) -> bool {
        unimplemented!()
    }
}
