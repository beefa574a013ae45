//! What delivery says in the program's log.

use tracing::{info, warn};

use super::{Notice, Turn};

/// Says in the log of the program what happened.
pub(super) fn log(notice: &Notice) {
    match notice {
        Notice::Dead {
            subscription,
            bus,
            offset,
            reason,
        } => {
            warn!(%subscription, %bus, offset = offset.0, reason, "delivery given up, it is in the dead letters");
        }
        Notice::Breaker {
            subscription,
            turn,
            reason,
        } => match turn {
            Turn::Opened => warn!(%subscription, reason, "sink keeps failing, it is only probed now"),
            Turn::HalfOpened => info!(%subscription, "sink answered a probe, it gets a few deliveries at a time"),
            Turn::Closed => info!(%subscription, "sink works again"),
        },
        Notice::Paused { subscription, reason } => {
            warn!(%subscription, reason, "sink wants no more events, subscription paused");
        }
        Notice::Replay(replay, _) => {
            info!(subscription = %replay.subscription, replay = %replay.id, state = replay.state, "a replay ended");
        }
        Notice::Gap { subscription, from, to } => {
            warn!(%subscription, from = from.0, to = to.0, "retention removed records before they were delivered");
        }
        Notice::Held { .. } | Notice::Parked { .. } | Notice::Released { .. } => log_of_plugin(notice),
    }
}

/// How a subscription fares with its plugins.
fn log_of_plugin(notice: &Notice) {
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
