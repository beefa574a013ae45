//! The hub's own life as events on the bus `busway`: anything it does can be subscribed to.
//!
//! One task takes what plugins, delivery and the hub itself tell, and appends it in groups. Telling never waits, so a
//! slow disk holds up neither a swap nor a delivery.
//! This is the audit too: what was done for a request has `actor` and `actoraddress`, who asked for it and whence.
//! Invariant: what happens to the delivery of a self-event makes no self-event, or a sink that is down would feed
//! itself for ever.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{info, warn};

use crate::access::caller::{self, Caller};
use crate::access::{Refusals, Token};
use crate::deliver;
use crate::error::Error;
use crate::event::{Data, DataKind, Draft, Event, Value as Attribute};
use crate::hub::{Choice, Hub};
use crate::log::{BusName, Damaged};
use crate::plugin;
use crate::subscription::{Subscription, SubscriptionId};
use crate::tasks::Tasks;

/// At most this many in one append.
const GROUP: usize = 256;
/// The extensions that say who asked for it: the name of their credentials, and whence the request came.
const ACTOR: &str = "actor";
const ACTOR_ADDRESS: &str = "actoraddress";
/// What comes from strangers is told once in this time.
const QUIET: Duration = Duration::from_secs(60);
/// What comes at once is told together.
const TOGETHER: Duration = Duration::from_secs(1);

/// Something that happened: the type's last words, whom it is about, and the facts.
pub(super) struct Happening {
    ty: &'static str,
    subject: Option<String>,
    facts: Value,
}

/// Where the hub itself tells what happened.
pub(super) struct Reporter(UnboundedSender<(Happening, Caller)>);

/// Who tells.
pub(super) struct Sources {
    /// The hub.
    pub(super) told: UnboundedReceiver<(Happening, Caller)>,
    /// Plugins.
    pub(super) from_plugins: UnboundedReceiver<plugin::Notice>,
    /// Delivery.
    pub(super) from_delivery: UnboundedReceiver<deliver::Notice>,
}

impl Sources {
    /// All of them.
    pub(super) fn new(
        told: UnboundedReceiver<(Happening, Caller)>,
        from_plugins: UnboundedReceiver<plugin::Notice>,
        from_delivery: UnboundedReceiver<deliver::Notice>,
    ) -> Self {
        Self {
            told,
            from_plugins,
            from_delivery,
        }
    }

    /// Tells how much waits, besides so many at hand.
    fn count(&self, hub: &Hub, at_hand: usize) {
        let waiting = self.told.len() + self.from_plugins.len() + self.from_delivery.len();
        let waiting = i64::try_from(waiting + at_hand).unwrap_or(i64::MAX);
        hub.0.metrics.queues.notices.set(waiting);
    }
}

impl Reporter {
    pub(super) fn new() -> (Self, UnboundedReceiver<(Happening, Caller)>) {
        let (told, heard) = unbounded_channel();
        (Self(told), heard)
    }

    /// Tells; never waits. Who did it is whose request is being served.
    pub(super) fn tell(&self, happening: Happening) {
        // The reporting task ends only after everything else: nobody would read it any more.
        let _ = self.0.send((happening, caller::current()));
    }
}

/// Appends what happens until the tasks stop and everything told by then is written.
pub(super) async fn report(hub: Hub, tasks: Tasks, mut sources: Sources) {
    loop {
        let mut group = Vec::new();
        tokio::select! {
            biased;
            Some(told) = sources.told.recv() => group.push(told),
            Some(notice) = sources.from_plugins.recv() => group.push(by_itself(of_plugin(notice))),
            Some(notice) = sources.from_delivery.recv() => group.extend(of_delivery(&hub, notice)),
            () = tasks.stopping() => return,
        }
        while group.len() < GROUP {
            if let Ok(told) = sources.told.try_recv() {
                group.push(told);
            } else if let Ok(notice) = sources.from_plugins.try_recv() {
                group.push(by_itself(of_plugin(notice)));
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

/// The hub does it, on nobody's request.
fn by_itself(happening: Happening) -> (Happening, Caller) {
    (happening, Caller::default())
}

async fn append(hub: &Hub, group: Vec<(Happening, Caller)>) {
    if group.is_empty() {
        return;
    }
    let count = group.len();
    let events: Result<Vec<Event>, Error> = group.into_iter().map(|told| event(hub, told)).collect();
    let appended = match events {
        Ok(events) => hub.0.log.append(&BusName::own(), events).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = appended {
        warn!(count, reason = ?error, "events of the hub's own life could not be written and are left out");
    }
}

fn event(hub: &Hub, (happening, by): (Happening, Caller)) -> Result<Event, Error> {
    let name = by
        .name
        .map(|name| (ACTOR.to_owned(), Attribute::String(name.to_string())));
    let address = by.address.map(|from| {
        (
            ACTOR_ADDRESS.to_owned(),
            Attribute::String(from.to_canonical().to_string()),
        )
    });
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
        extensions: name.into_iter().chain(address).collect(),
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

/// Records were found damaged on disk.
pub(super) fn damaged(damaged: &Damaged) -> Happening {
    Happening {
        ty: "log.damaged",
        subject: Some(damaged.bus.to_string()),
        facts: json!({"bus": damaged.bus.as_str(), "from": damaged.range.start, "to": damaged.range.end,
            "file": damaged.file, "reason": damaged.reason}),
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
        "secret_rotated" => "subscription.secret_rotated",
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

/// A token was made or revoked.
pub(super) fn token(ty: &'static str, token: &Token) -> Happening {
    info!(token = token.id, name = token.name, change = ty, "a token changed");
    Happening {
        ty,
        subject: Some(token.id.clone()),
        facts: token.shown(),
    }
}

/// Dead letters were delivered again, or dropped.
pub(super) fn dead_letters(ty: &'static str, choice: &Choice, count: u64) -> Happening {
    info!(count, change = ty, "dead letters changed");
    Happening {
        ty,
        subject: choice.subscription.clone(),
        facts: json!({"count": count, "ids": choice.ids, "filter": choice.filter}),
    }
}

/// The settings were read again; these keys take effect with the next start only.
pub(super) fn reloaded(plugins: &[String], after_restart: &[&str]) -> Happening {
    Happening {
        ty: "config.reloaded",
        subject: None,
        facts: json!({"plugins": plugins, "after_restart": after_restart}),
    }
}

/// Tells what came from strangers, at most once a minute, however much that is.
pub(super) async fn watch_strangers(hub: Hub, tasks: Tasks) {
    let watch = async {
        loop {
            hub.0.access.heard_of_strangers().await;
            hub.0.clock.sleep(TOGETHER).await;
            hub.0.life.tell(refused(&hub.0.access.refusals()));
            hub.0.clock.sleep(QUIET).await;
        }
    };
    tokio::select! {
        () = tasks.stopping() => {}
        () = watch => {}
    }
}

fn refused(refusals: &Refusals) -> Happening {
    let named = |(address, count): &(std::net::IpAddr, u64)| json!({"address": address.to_canonical().to_string(), "count": count});
    let addresses: Vec<Value> = refusals.addresses.iter().map(named).collect();
    let (wrong, turned_away) = (refusals.wrong, refusals.turned_away);
    warn!(wrong, turned_away, addresses = %json!(addresses), "credentials were refused");
    Happening {
        ty: "auth.refused",
        subject: None,
        facts: json!({"wrong": wrong, "turned_away": turned_away, "addresses": addresses}),
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

fn of_delivery(hub: &Hub, notice: deliver::Notice) -> Option<(Happening, Caller)> {
    let by = match &notice {
        // Somebody called it off, or it came to its end by itself.
        deliver::Notice::Replay(_, by) => by.clone(),
        _ => Caller::default(),
    };
    let (ty, id, mut facts) = facts_of(notice);
    if is_own(hub, &id) {
        return None;
    }
    if let Some(facts) = facts.as_object_mut() {
        facts.insert("subscription".into(), id.as_str().into());
    }
    let happening = Happening {
        ty,
        subject: Some(id.to_string()),
        facts,
    };
    Some((happening, by))
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
        deliver::Notice::Replay(replay, _) => replay_ended(*replay),
        deliver::Notice::Paused { subscription, reason } => {
            ("subscription.paused", subscription, json!({"reason": reason}))
        }
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
