//! What became of an event: taken, matched by which rules, pushed to which targets. Told from what `explain` knows.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call::Call;
use super::fault::Fault;
use super::rule::{Rule, Target};
use super::{events, rules, subscribed};
use crate::hub::{Explanation, Question};
use crate::log::Record;

/// `queryEventTraces`.
pub(super) async fn of_event(call: &Call) -> Result<Value, Fault> {
    let bus = call.params.bus()?;
    let found = events::of_id(call, bus, call.params.required("EventId")?).await?;
    let mut traces = Vec::new();
    for record in &found {
        traces.push(trace(call, bus, record, "PutEvent"));
        for rule in rules::of_bus(&call.door, bus) {
            for target in &rule.targets {
                traces.extend(of_target(call, &rule, target, record).await?);
            }
        }
    }
    Ok(json!({ "EventTraceList": traces }))
}

/// What every trace tells.
fn trace(call: &Call, bus: &str, record: &Arc<Record>, action: &str) -> Value {
    json!({
        "ResourceOwnerId": call.settings().account,
        "Action": action,
        "ActionTime": record.received.0,
        "EventId": record.event.id(),
        "EventSource": record.event.source(),
        "EventBusName": bus,
        "ReceivedTime": record.received.0,
        "RuleName": "",
        "RuleMatchingTime": "0",
        "NotifyLatency": "0",
        "NotifyTime": 0,
        "NotifyStatus": "",
        "Endpoint": "",
    })
}

/// How a target fared with an event: filtered out, or one trace an attempt that is remembered.
async fn of_target(call: &Call, rule: &Rule, target: &Target, record: &Arc<Record>) -> Result<Vec<Value>, Fault> {
    let question = Question {
        offset: record.offset,
        subscription: subscribed::id(rule, target),
        notify: false,
    };
    // A rule that was never enabled has no subscription: nothing happened by it.
    let Ok(explained) = call.door.hub.explain(&question).await else {
        return Ok(Vec::new());
    };
    let base = |action: &str| {
        let mut base = trace(call, &rule.event_bus_name, record, action);
        set(&mut base, "RuleName", rule.rule_name.as_str());
        set(&mut base, "Endpoint", target.endpoint.as_str());
        set(&mut base, "RuleMatchingTime", record.received.0.to_string());
        base
    };
    if ["unwanted", "filtered", "before_start"].contains(&explained.delivery.state) {
        let mut filtered = base("FilterEvent");
        set(&mut filtered, "NotifyStatus", explained.why);
        return Ok(vec![filtered]);
    }
    Ok(pushes(&explained, base("PushEvent")))
}

fn pushes(explained: &Explanation, base: Value) -> Vec<Value> {
    if explained.delivery.attempts.is_empty() {
        let mut waiting = base;
        set(&mut waiting, "NotifyStatus", explained.delivery.state);
        return vec![waiting];
    }
    let pushed = explained.delivery.attempts.iter().map(|attempt| {
        let mut pushed = base.clone();
        let status = attempt
            .status
            .map_or_else(|| attempt.outcome.clone(), |status| status.to_string());
        set(&mut pushed, "ActionTime", attempt.at);
        set(&mut pushed, "NotifyTime", attempt.at);
        set(&mut pushed, "NotifyLatency", attempt.took_ms.to_string());
        set(&mut pushed, "NotifyStatus", status);
        pushed
    });
    pushed.collect()
}

fn set(trace: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = trace.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}
