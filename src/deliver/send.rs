//! The call of a sink, in whatever way its subscription says: one POST, one POST for a batch, another
//! bus, or a notifier plugin.
//!
//! Invariant: the delivery's id is the same for every attempt at a record (of a batch: at the same records).

use std::sync::Arc;

use super::attempt::{Passed, begin, failed, tried};
use super::call::call;
use super::engine::Engine;
use super::forward::forward;
use super::lane::End;
use super::notifier::{self, Notified};
use super::shape::{body, reshaped};
use super::webhook::{self, Answered, mode};
use crate::event::Event;
use crate::event::http::encode_batch;
use crate::log::Offset;
use crate::plugin;
use crate::subscription::{Format, Sink, Subscription, SubscriptionId, Webhook};

/// Calls the sink: once for a batch, else once for each item (of which there is one).
pub(super) async fn send(engine: &Engine, subscription: &Subscription, passed: &[Passed<'_>]) -> Vec<(usize, End)> {
    let mut ends = Vec::with_capacity(passed.len());
    match &subscription.sink {
        Sink::Webhook(hook) if hook.format == Format::Batch && !passed.is_empty() => {
            let begun = begin(engine);
            let answered = post_batch(engine, subscription, hook, passed).await;
            for one in passed {
                ends.push((
                    one.nth,
                    tried(engine, subscription, one.item, (&begun, &answered, true)),
                ));
            }
        }
        Sink::Bus(bus) => {
            for one in passed {
                let begun = begin(engine);
                let answered = forward(engine, subscription, bus, one).await;
                ends.push((
                    one.nth,
                    tried(engine, subscription, one.item, (&begun, &answered, true)),
                ));
            }
        }
        Sink::Webhook(hook) => {
            for one in passed {
                let begun = begin(engine);
                let answered = post(engine, subscription, hook, one).await;
                ends.push((
                    one.nth,
                    tried(engine, subscription, one.item, (&begun, &answered, true)),
                ));
            }
        }
        Sink::Notifier { plugin, settings, .. } => {
            for one in passed {
                ends.push((one.nth, notify(engine, subscription, (plugin, settings), one).await));
            }
        }
    }
    ends
}

async fn notify(
    engine: &Engine,
    subscription: &Subscription,
    (plugin, settings): (&Arc<str>, &Arc<str>),
    one: &Passed<'_>,
) -> End {
    let begun = begin(engine);
    let event = match reshaped(subscription, one) {
        Ok(event) => event,
        Err(reason) => {
            return tried(
                engine,
                subscription,
                one.item,
                (&begun, &Answered::rejected(reason), false),
            );
        }
    };
    let delivery = plugin::Delivery {
        subscription: subscription.id.to_string(),
        attempt: one.item.tries.saturating_add(1),
        id: delivery_id(&subscription.id, one.item.offset),
    };
    match notifier::notify(&engine.parts.plugins, plugin, settings, &event, delivery).await {
        Notified::Answered(answered) => tried(engine, subscription, one.item, (&begun, &answered, true)),
        Notified::Failed(plugin, answered) => failed(engine, subscription, one.item, (&begun, plugin, answered, true)),
        Notified::Missing(plugin) => End::Held { plugin },
    }
}

async fn post(engine: &Engine, subscription: &Subscription, hook: &Webhook, one: &Passed<'_>) -> Answered {
    let id = delivery_id(&subscription.id, one.item.offset);
    let form = mode(hook.format);
    let encoded = match body(subscription, one, form) {
        Ok(encoded) => encoded,
        Err(reason) => return Answered::rejected(reason),
    };
    let trace = one.candidate.event().attribute("traceparent");
    let now = engine.parts.clock.of_day();
    let request = webhook::request(hook, encoded, &id, now, trace.as_deref());
    call(engine, subscription, hook, request).await
}

async fn post_batch(engine: &Engine, subscription: &Subscription, hook: &Webhook, all: &[Passed<'_>]) -> Answered {
    let events: Vec<&Event> = all
        .iter()
        .map(|one| one.replaced.as_deref().unwrap_or(one.candidate.event()))
        .collect();
    let (first, last) = (
        all.first().map(|one| one.item.offset),
        all.last().map(|one| one.item.offset),
    );
    let id = match (first, last) {
        (Some(first), Some(last)) if first != last => {
            format!("{}-{}", delivery_id(&subscription.id, first), last.0)
        }
        (first, _) => delivery_id(&subscription.id, first.unwrap_or_default()),
    };
    let request = webhook::request(hook, encode_batch(&events), &id, engine.parts.clock.of_day(), None);
    call(engine, subscription, hook, request).await
}

/// The same for every attempt at one record, so that a sink can tell a repeat.
fn delivery_id(subscription: &SubscriptionId, offset: Offset) -> String {
    format!("msg_{subscription}_{}", offset.0)
}
