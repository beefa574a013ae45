//! What delivery says of plugins in the program's log.

use tracing::{info, warn};

use super::Notice;

/// Says in the log of the program how a subscription fares with its plugins.
pub(super) fn log_of_plugin(notice: &Notice) {
    match notice {
        Notice::Held {
            subscription,
            held: true,
            plugin,
        } => {
            warn!(%subscription, plugin, "subscription waits for a plugin that is not loaded");
        }
        Notice::Held {
            subscription,
            held: false,
            plugin,
        } => info!(%subscription, plugin, "subscription goes on"),
        Notice::Parked {
            subscription,
            plugin,
            generation,
            offset,
            reason,
        } => {
            warn!(%subscription, plugin, generation, offset = offset.0, reason, "plugin failed, deliveries are parked until another generation of it is loaded");
        }
        Notice::Released {
            subscription,
            plugin,
            deliveries,
        } => info!(%subscription, plugin, deliveries, "parked deliveries go on"),
        _ => {}
    }
}
