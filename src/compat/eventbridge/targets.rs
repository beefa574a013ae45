//! Targets of a rule: added, replaced, removed, one by one; what is wrong with one is told beside the others.

use serde_json::{Value, json};

use super::call::Call;
use super::fault::Fault;
use super::rule::{Rule, Target};
use super::{rules, translate};

/// What becomes of a target whose id is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Present {
    Refused,
    Replaced,
}

pub(super) async fn put(call: &Call, present: Present) -> Result<Value, Fault> {
    let asked = call
        .params
        .list(call.params.first_of(&["Targets", "EventTargets"]))?
        .unwrap_or_default();
    if asked.is_empty() {
        return Err(Fault::new(
            400,
            "MissingParameter",
            "The input parameter Targets is mandatory.",
        ));
    }
    rules::find(call)?;
    let _changing = call.memory.changing.lock().await;
    let old = rules::find(call)?;
    let mut new = old.clone();
    let mut refused = Vec::new();
    for given in &asked {
        let id = given.get("Id").and_then(Value::as_str).unwrap_or_default();
        match read(call, &old, given, present) {
            Ok(target) => {
                new.targets.retain(|known| known.id != target.id);
                new.targets.push(target);
            }
            Err(fault) => refused.push(entry(id, &fault)),
        }
    }
    rules::check_count(call, new.targets.len())?;
    if new.targets != old.targets {
        rules::change(call, &old, new).await?;
    }
    Ok(answer(refused))
}

pub(super) async fn delete(call: &Call) -> Result<Value, Fault> {
    let ids = call.params.list("TargetIds")?.unwrap_or_default();
    rules::find(call)?;
    let _changing = call.memory.changing.lock().await;
    let old = rules::find(call)?;
    let mut new = old.clone();
    let mut refused = Vec::new();
    for id in ids.iter().map(|id| id.as_str().unwrap_or_default()) {
        if new.target(id).is_none() {
            let fault = Fault::conflict("EventTargetNotExist", format!("The event target [{id}] not existed!"));
            refused.push(entry(id, &fault));
        }
        new.targets.retain(|target| target.id != id);
    }
    if new.targets != old.targets {
        rules::change(call, &old, new).await?;
    }
    Ok(answer(refused))
}

pub(super) fn list(call: &Call) -> Result<Value, Fault> {
    let window = call.params.window()?;
    let rule = rules::find(call)?;
    let total = rule.targets.len();
    let (part, next) = window.cut(rule.targets.iter().map(|target| shown(&rule, target)).collect());
    Ok(json!({ "Targets": part, "NextToken": next, "Total": total }))
}

fn shown(rule: &Rule, target: &Target) -> Value {
    let mut shown = target.shown();
    if let Some(object) = shown.as_object_mut() {
        object.insert("EventBusName".to_owned(), rule.event_bus_name.as_str().into());
        object.insert("RuleName".to_owned(), rule.rule_name.as_str().into());
    }
    shown
}

fn read(call: &Call, rule: &Rule, given: &Value, present: Present) -> Result<Target, Fault> {
    let target = Target::read(given)?;
    let known = rule.target(&target.id);
    if known.is_some() && present == Present::Refused {
        let text = format!("The event target [{}] already existed!", target.id);
        return Err(Fault::conflict("EventTargetAlreadyExist", text));
    }
    let target = target.restored(known)?;
    translate::subscription(&call.door, rule, &target)?;
    Ok(target)
}

fn entry(id: &str, fault: &Fault) -> Value {
    json!({ "EntryId": id, "ErrorCode": fault.code, "ErrorMessage": fault.message })
}

fn answer(refused: Vec<Value>) -> Value {
    json!({ "ErrorEntriesCount": refused.len(), "ErrorEntries": refused })
}
