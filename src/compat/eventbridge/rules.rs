//! Rules: made, changed, switched, removed.
//!
//! Invariant: the document is written first; if the subscriptions cannot be made of it, the older document and its
//! subscriptions are put back before the caller is told. What a crash leaves between is mended at the next start.

use std::sync::Arc;

use serde_json::{Value, json};

use super::call::Call;
use super::fault::Fault;
use super::rule::{Rule, Status, Target};
use super::{arn, buses, pattern, subscribed, translate};
use crate::access::Scope;
use crate::compat::Door;

pub(super) const KIND: &str = "eventbridge.rule";
const ALL: &str = "{}";
const LONGEST_NAME: usize = 127;

/// The key of a rule's document; no name has a slash.
fn key(bus: &str, rule: &str) -> String {
    format!("{bus}/{rule}")
}

/// Reads a document.
pub(super) fn read(document: &Arc<Value>) -> Option<Rule> {
    serde_json::from_value(Value::clone(document)).ok()
}

/// The rules of a bus, by name.
pub(super) fn of_bus(door: &Door, bus: &str) -> Vec<Rule> {
    let all = door.hub.documents(KIND);
    all.iter()
        .filter_map(|(_, document)| read(document))
        .filter(|rule| rule.event_bus_name == bus)
        .collect()
}

/// A rule that is there, for somebody who may see its bus.
pub(super) fn find(call: &Call) -> Result<Rule, Fault> {
    let (bus, name) = (call.params.bus()?, call.params.required("RuleName")?);
    call.bus(bus, Scope::Subscribe)?;
    one(&call.door, bus, name).ok_or_else(|| Fault::rule_missing(bus, name))
}

/// One rule.
pub(super) fn one(door: &Door, bus: &str, name: &str) -> Option<Rule> {
    door.hub.document(KIND, &key(bus, name)).as_ref().and_then(read)
}

pub(super) async fn create(call: &Call) -> Result<Value, Fault> {
    let (bus, name) = (call.params.bus()?, call.params.required("RuleName")?);
    call.bus(bus, Scope::Subscribe)?;
    if name.len() > LONGEST_NAME || !buses::is_name(name) {
        let text = format!(
            "The event rule name [{name}] is invalid: 1 to {LONGEST_NAME} letters, digits, `-` and `_`, first a letter or digit."
        );
        return Err(Fault::conflict("EventRuleNameInvalid", text));
    }
    let now = call.door.hub.clock().now().0;
    let rule = Rule {
        event_bus_name: bus.to_owned(),
        rule_name: name.to_owned(),
        description: call.params.text("Description")?.unwrap_or_default().to_owned(),
        status: call.params.text("Status")?.map_or(Ok(Status::Enable), Status::parse)?,
        filter_pattern: given_pattern(call)?.unwrap_or_else(|| ALL.to_owned()),
        targets: given_targets(call, None)?.unwrap_or_default(),
        tags: call.params.structured("Tags")?.unwrap_or(json!([])),
        ctime: now,
        mtime: now,
    };
    let _changing = call.memory.changing.lock().await;
    if one(&call.door, bus, name).is_some() {
        let text = format!("The event rule [{name}] of the event bus [{bus}] already existed!");
        return Err(Fault::conflict("EventRuleAlreadyExist", text));
    }
    let most = call.settings().limits.rules;
    if of_bus(&call.door, bus).len() >= most {
        let text = format!("The count of event rules of the event bus [{bus}] exceed the limit [{most}].");
        return Err(Fault::conflict("EventRuleCountExceedLimit", text));
    }
    save(call, None, &rule).await?;
    Ok(json!({ "RuleARN": arn::rule(call.settings(), bus, name) }))
}

pub(super) async fn update(call: &Call) -> Result<Value, Fault> {
    find(call)?;
    let _changing = call.memory.changing.lock().await;
    let old = find(call)?;
    let mut new = old.clone();
    if call.params.is_given("Description") {
        call.params
            .text("Description")?
            .unwrap_or_default()
            .clone_into(&mut new.description);
    }
    if let Some(status) = call.params.text("Status")? {
        new.status = Status::parse(status)?;
    }
    if let Some(pattern) = given_pattern(call)? {
        new.filter_pattern = pattern;
    }
    if let Some(targets) = given_targets(call, Some(&old))? {
        new.targets = targets;
    }
    if let Some(tags) = call.params.structured("Tags")? {
        new.tags = tags;
    }
    change(call, &old, new).await?;
    Ok(json!({}))
}

pub(super) async fn switch(call: &Call, on: bool) -> Result<Value, Fault> {
    find(call)?;
    let _changing = call.memory.changing.lock().await;
    let old = find(call)?;
    let mut new = old.clone();
    new.status = if on { Status::Enable } else { Status::Disable };
    change(call, &old, new).await?;
    Ok(json!({}))
}

pub(super) async fn delete(call: &Call) -> Result<Value, Fault> {
    find(call)?;
    let _changing = call.memory.changing.lock().await;
    let rule = find(call)?;
    let key = key(&rule.event_bus_name, &rule.rule_name);
    call.door.hub.remove_document(KIND, &key).await?;
    subscribed::withdraw(&call.door, &rule, &rule.targets).await?;
    Ok(json!({}))
}

pub(super) fn show(call: &Call) -> Result<Value, Fault> {
    Ok(find(call)?.shown(call.settings()))
}

pub(super) fn list(call: &Call) -> Result<Value, Fault> {
    let window = call.params.window()?;
    let bus = call.params.bus()?;
    call.bus(bus, Scope::Subscribe)?;
    let prefix = call.params.text("RuleNamePrefix")?.unwrap_or_default();
    let rules: Vec<Rule> = of_bus(&call.door, bus)
        .into_iter()
        .filter(|rule| rule.rule_name.starts_with(prefix))
        .collect();
    let total = rules.len();
    let (part, next) = window.cut(rules);
    let rules: Vec<Value> = part.iter().map(|rule| rule.shown(call.settings())).collect();
    Ok(json!({ "Rules": rules, "NextToken": next, "Total": total }))
}

/// Writes a changed rule, and makes its subscriptions so.
pub(super) async fn change(call: &Call, old: &Rule, mut new: Rule) -> Result<(), Fault> {
    // Never the same twice: by it the start tells which subscriptions are older than their rule.
    new.mtime = call.door.hub.clock().now().0.max(old.mtime + 1);
    save(call, Some(old), &new).await
}

async fn save(call: &Call, old: Option<&Rule>, new: &Rule) -> Result<(), Fault> {
    // What was allowed before stays so; but who lets other events through, or any at all, answers for where they go.
    let opens = |old: &Rule| {
        let wakes = old.status == Status::Disable && new.status == Status::Enable;
        wakes || old.filter_pattern != new.filter_pattern
    };
    for target in &new.targets {
        let known = old.filter(|old| !opens(old)).and_then(|old| old.target(&target.id));
        if known != Some(target) {
            translate::allow(call, new, target)?;
        }
    }
    let key = key(&new.event_bus_name, &new.rule_name);
    let hub = &call.door.hub;
    hub.put_document(KIND, &key, document(new)).await?;
    let Err(fault) = subscribed::apply(&call.door, old, new).await else {
        return Ok(());
    };
    match old {
        Some(old) => {
            hub.put_document(KIND, &key, document(old)).await?;
            // What was there before was accepted then; if it is not now, the first refusal says more.
            let _ = subscribed::apply(&call.door, Some(new), old).await;
        }
        None => {
            hub.remove_document(KIND, &key).await?;
            subscribed::withdraw(&call.door, new, &new.targets).await?;
        }
    }
    Err(fault)
}

fn document(rule: &Rule) -> Value {
    serde_json::to_value(rule).unwrap_or_default()
}

/// The pattern that a call gives, checked.
fn given_pattern(call: &Call) -> Result<Option<String>, Fault> {
    if !call.params.is_given("FilterPattern") {
        return Ok(None);
    }
    let Some(text) = call.params.text("FilterPattern")? else {
        return Err(Fault::conflict(
            "EventRuleFilterPatternEmpty",
            "The filter pattern is empty.",
        ));
    };
    pattern::compile(text).map(|_| Some(text.to_owned()))
}

/// The targets that a call gives; the data plane and RPC name them differently.
fn given_targets(call: &Call, old: Option<&Rule>) -> Result<Option<Vec<Target>>, Fault> {
    let name = call.params.first_of(&["Targets", "EventTargets"]);
    let Some(items) = call.params.list(name)? else {
        return Ok(None);
    };
    let mut targets: Vec<Target> = Vec::with_capacity(items.len());
    for item in &items {
        let target = Target::read(item)?;
        if targets.iter().any(|known| known.id == target.id) {
            return Err(Fault::conflict(
                "EventTargetAlreadyExist",
                format!("The event target [{}] is given twice.", target.id),
            ));
        }
        let kept = old.and_then(|old| old.target(&target.id));
        targets.push(target.restored(kept)?);
    }
    check_count(call, targets.len())?;
    Ok(Some(targets))
}

/// Refuses more targets than a rule may have.
pub(super) fn check_count(call: &Call, count: usize) -> Result<(), Fault> {
    let most = call.settings().limits.targets;
    match count > most {
        true => Err(Fault::conflict(
            "EventTargetCountExceedLimit",
            format!("The count of event targets exceed the limit [{most}]."),
        )),
        false => Ok(()),
    }
}
