//! The hub's own life as events on the bus `busway`: anything it does can be subscribed to.
//!
//! One task takes what plugins, delivery and the hub itself tell, and appends it in groups. Telling never waits, so a
//! slow disk holds up neither a swap nor a delivery.
//! Invariant: what happens to the delivery of a self-event makes no self-event, or a sink that is down would feed
//! itself for ever.

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{info, warn};

use crate::deliver;
use crate::error::Error;
use crate::event::{Data, DataKind, Draft, Event};
use crate::hub::Hub;
use crate::log::BusName;
use crate::plugin;
use crate::subscription::{Subscription, SubscriptionId};
use crate::tasks::Tasks;

/// At most this many in one append.
const GROUP: usize = 256;

/// Something that happened: the type's last words, whom it is about, and the facts.
pub(super) struct Happening {
    ty: &'static str,
    subject: Option<String>,
    facts: Value,
}

/// Where the hub itself tells what happened.
pub(super) struct Reporter(UnboundedSender<Happening>);

/// Who tells.
pub(super) struct Sources {
    /// The hub.
    pub(super) told: UnboundedReceiver<Happening>,
    /// Plugins.
    pub(super) from_plugins: UnboundedReceiver<plugin::Notice>,
    /// Delivery.
    pub(super) from_delivery: UnboundedReceiver<deliver::Notice>,
}

impl Sources {
    /// Tells how much waits, besides so many at hand.
    fn count(&self, hub: &Hub, at_hand: usize) {
        let waiting = self.told.len() + self.from_plugins.len() + self.from_delivery.len();
        let waiting = i64::try_from(waiting + at_hand).unwrap_or(i64::MAX);
        hub.0.metrics.queues.notices.set(waiting);
    }
}

impl Reporter {
    pub(super) fn new() -> (Self, UnboundedReceiver<Happening>) {
        let (told, heard) = unbounded_channel();
        (Self(told), heard)
    }

    /// Tells; never waits.
    pub(super) fn tell(&self, happening: Happening) {
        // The reporting task ends only after everything else: nobody would read it any more.
        let _ = self.0.send(happening);
    }
}

/// Appends what happens until the tasks stop and everything told by then is written.
pub(super) async fn report(hub: Hub, tasks: Tasks, mut sources: Sources) {
    loop {
        let mut group = Vec::new();
        tokio::select! {
            biased;
            Some(happening) = sources.told.recv() => group.push(happening),
            Some(notice) = sources.from_plugins.recv() => group.push(of_plugin(notice)),
            Some(notice) = sources.from_delivery.recv() => group.extend(of_delivery(&hub, notice)),
            () = tasks.stopping() => return,
        }
        while group.len() < GROUP {
            if let Ok(happening) = sources.told.try_recv() {
                group.push(happening);
            } else if let Ok(notice) = sources.from_plugins.try_recv() {
                group.push(of_plugin(notice));
            } else if let Ok(notice) = sources.from_delivery.try_recv() {
                group.extend(of_delivery(&hub, notice));
            } else {
                break;
            }
        }
        sources.count(&hub, group.len());
        append(&hub, group).await;
        sources.count(&hub, 0);
    }
}

async fn append(hub: &Hub, group: Vec<Happening>) {
    if group.is_empty() {
        return;
    }
    let count = group.len();
    let events: Result<Vec<Event>, Error> = group.into_iter().map(|happening| event(hub, happening)).collect();
    let appended = match events {
        Ok(events) => hub.0.log.append(&BusName::own(), events).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = appended {
        warn!(count, reason = ?error, "events of the hub's own life could not be written and are left out");
    }
}

fn event(hub: &Hub, happening: Happening) -> Result<Event, Error> {
    let draft = Draft {
        id: format!("{:032x}", crate::chance::bits()),
        source: "busway".into(),
        ty: format!("busway.{}", happening.ty),
        subject: happening.subject,
        time: Some(hub.0.clock.now().to_string()),
        datacontenttype: Some("application/json".into()),
        data: Some(Data {
            kind: DataKind::Json,
            bytes: happening.facts.to_string().into(),
        }),
        ..Draft::default()
    };
    draft.check().map_err(Error::internal)
}

/// The hub is ready.
pub(super) fn started() -> Happening {
    Happening {
        ty: "hub.started",
        subject: None,
        facts: json!({"version": env!("CARGO_PKG_VERSION")}),
    }
}

/// The hub was asked to stop.
pub(super) fn stopping() -> Happening {
    Happening {
        ty: "hub.stopping",
        subject: None,
        facts: json!({"version": env!("CARGO_PKG_VERSION")}),
    }
}

/// A caller made, changed, paused, resumed or removed a subscription.
pub(super) fn subscription(verb: &'static str, subscription: &Subscription) -> Happening {
    let ty = match verb {
        "created" => "subscription.created",
        "deleted" => "subscription.deleted",
        "paused" => "subscription.paused",
        "resumed" => "subscription.resumed",
        "validated" => "subscription.validated",
        _ => "subscription.updated",
    };
    info!(subscription = %subscription.id, bus = %subscription.bus, change = verb, "a subscription changed");
    Happening {
        ty,
        subject: Some(subscription.id.to_string()),
        facts: subscription.to_json(),
    }
}

/// A trial began or ended, or its candidate was promoted.
pub(super) fn trial(ty: &'static str, plugin: &str, facts: Value) -> Happening {
    info!(plugin, change = ty, %facts, "a trial changed");
    Happening {
        ty,
        subject: Some(plugin.to_owned()),
        facts,
    }
}

/// Somebody asked for a replay.
pub(super) fn replay_started(replay: &deliver::ReplayStatus) -> Happening {
    let (id, from, to) = (&replay.id, replay.from.0, replay.to.0);
    info!(subscription = %replay.subscription, replay = %id, from, to, "a replay begins");
    Happening {
        ty: "replay.started",
        subject: Some(replay.subscription.to_string()),
        facts: serde_json::to_value(replay).unwrap_or_default(),
    }
}

fn of_plugin(notice: plugin::Notice) -> Happening {
    match notice {
        plugin::Notice::Loaded {
            name,
            digest,
            generation,
            took,
        } => Happening {
            ty: "plugin.loaded",
            facts: json!({"name": name, "digest": digest, "generation": generation, "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX)}),
            subject: Some(name),
        },
        plugin::Notice::Rejected { name, reason, serving } => Happening {
            ty: "plugin.rejected",
            facts: json!({"name": name, "reason": reason, "serving": serving}),
            subject: Some(name),
        },
        plugin::Notice::RolledBack {
            name,
            digest,
            generation,
            serving,
            reason,
        } => Happening {
            ty: "plugin.rolled_back",
            facts: json!({"name": name, "digest": digest, "generation": generation, "serving": serving, "reason": reason}),
            subject: Some(name),
        },
        plugin::Notice::Removed { name } => Happening {
            ty: "plugin.removed",
            facts: json!({"name": name}),
            subject: Some(name),
        },
    }
}

fn of_delivery(hub: &Hub, notice: deliver::Notice) -> Option<Happening> {
    let (ty, id, mut facts) = facts_of(notice);
    if is_own(hub, &id) {
        return None;
    }
    if let Some(facts) = facts.as_object_mut() {
        facts.insert("subscription".into(), id.as_str().into());
    }
    Some(Happening {
        ty,
        subject: Some(id.to_string()),
        facts,
    })
}

/// The type's last words, the subscription it is about, and the facts.
fn facts_of(notice: deliver::Notice) -> (&'static str, SubscriptionId, Value) {
    match notice {
        deliver::Notice::Dead {
            subscription,
            bus,
            offset,
            reason,
        } => (
            "delivery.dead",
            subscription,
            json!({"bus": bus.as_str(), "offset": offset, "reason": reason}),
        ),
        deliver::Notice::Breaker {
            subscription,
            turn,
            reason,
        } => (turned(turn), subscription, json!({"reason": reason})),
        deliver::Notice::Held {
            subscription,
            held,
            plugin,
        } => (
            if held {
                "subscription.held"
            } else {
                "subscription.released"
            },
            subscription,
            json!({"plugin": plugin}),
        ),
        deliver::Notice::Parked {
            subscription,
            plugin,
            generation,
            offset,
            reason,
        } => (
            "subscription.parked",
            subscription,
            json!({"plugin": plugin, "generation": generation, "offset": offset, "reason": reason}),
        ),
        deliver::Notice::Released {
            subscription,
            plugin,
            deliveries,
        } => (
            "subscription.unparked",
            subscription,
            json!({"plugin": plugin, "deliveries": deliveries}),
        ),
        deliver::Notice::Replay(replay) => replay_ended(*replay),
        deliver::Notice::Gone { subscription } => ("subscription.paused", subscription, json!({"reason": "gone"})),
        deliver::Notice::Gap { subscription, from, to } => ("log.gap", subscription, json!({"from": from, "to": to})),
    }
}

fn turned(turn: deliver::Turn) -> &'static str {
    match turn {
        deliver::Turn::Opened => "breaker.opened",
        deliver::Turn::HalfOpened => "breaker.half_open",
        deliver::Turn::Closed => "breaker.closed",
    }
}

fn replay_ended(replay: deliver::ReplayStatus) -> (&'static str, SubscriptionId, Value) {
    let ty = match replay.state {
        "done" => "replay.done",
        _ => "replay.cancelled",
    };
    let facts = serde_json::to_value(&replay).unwrap_or_default();
    (ty, replay.subscription, facts)
}

/// Whether a subscription listens to the hub's own life.
fn is_own(hub: &Hub, id: &SubscriptionId) -> bool {
    hub.0
        .delivery
        .get(id)
        .is_some_and(|subscription| subscription.bus == BusName::own())
}
