//! The subscriptions that stand for a rule: one a target, made of the document, ordinary in every way.
//!
//! A rule that is disabled is a pause: what matches meanwhile waits in the log, and comes once it is enabled again. (The
//! live service loses it.) A rule that was never enabled has no subscriptions yet: nothing waits for it.
//! Invariant: nothing here decides what a rule is; it makes the hub's subscriptions so.

use std::collections::BTreeSet;

use super::fault::Fault;
use super::rule::{Rule, Status, Target};
use super::{buses, rules, translate};
use crate::compat::Door;
use crate::error::{Error, Kind};
use crate::subscription::{State, Subscription};

/// What every id here begins with.
const PREFIX: &str = "eventbridge-";
/// Subscriptions looked at in one go.
const PAGE: usize = 1_000;

/// The id of a target's subscription: the names, if they may stand in one, or else a hash of them.
pub(super) fn id(rule: &Rule, target: &Target) -> String {
    let names = [rule.event_bus_name.as_str(), &rule.rule_name, &target.id];
    let plain = |name: &&str| name.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
    let told = format!("{PREFIX}{}", names.join("~"));
    match names.iter().all(plain) && told.len() <= 128 {
        true => told,
        false => format!("{PREFIX}{}", super::hash(&names)),
    }
}

/// Makes the subscriptions of `new`, and removes those that only `old` had.
pub(super) async fn apply(door: &Door, old: Option<&Rule>, new: &Rule) -> Result<(), Fault> {
    for target in &new.targets {
        make(door, new, target).await?;
    }
    let gone: Vec<Target> = old
        .map(|old| old.targets.iter().filter(|target| new.target(&target.id).is_none()))
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    withdraw(door, new, &gone).await
}

/// Removes the subscriptions of these targets.
pub(super) async fn withdraw(door: &Door, rule: &Rule, targets: &[Target]) -> Result<(), Fault> {
    for target in targets {
        remove(door, &id(rule, target)).await?;
    }
    Ok(())
}

async fn remove(door: &Door, id: &str) -> Result<(), Error> {
    match door.hub.remove(None, id).await {
        Err(error) if error.kind() != Kind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn make(door: &Door, rule: &Rule, target: &Target) -> Result<(), Fault> {
    let (id, json) = (id(rule, target), translate::subscription(door, rule, target)?);
    let bus = buses::resolve(door, &rule.event_bus_name).ok_or_else(|| Fault::bus_missing(&rule.event_bus_name))?;
    let is_there = door.hub.subscription(None, &id).is_ok();
    if rule.status == Status::Disable {
        if !is_there {
            return Ok(());
        }
        // First, so that nothing goes out by what the rule says now.
        door.hub.pause(None, &id).await?;
    }
    let replaced = door.hub.replace(Some(&bus), &id, &json).await;
    replaced.map_err(|error| match error.kind() {
        Kind::Invalid => Fault::target(&target.id, error.message()),
        _ => error.into(),
    })?;
    if rule.status == Status::Enable {
        door.hub.resume(None, &id).await?;
    }
    Ok(())
}

/// Brings the subscriptions in line with the documents, after a crash or a change of the data folder by hand.
pub(super) async fn start(door: &Door) -> Result<(), Error> {
    let documents = door.hub.documents(rules::KIND);
    let all: Vec<Rule> = documents
        .iter()
        .filter_map(|(_, document)| rules::read(document))
        .collect();
    let mut wanted = BTreeSet::new();
    for rule in &all {
        for target in &rule.targets {
            let id = id(rule, target);
            if !is_current(door.hub.subscription(None, &id).ok(), rule)
                && let Err(fault) = make(door, rule, target).await
            {
                tracing::warn!(bus = rule.event_bus_name, rule = rule.rule_name, target = target.id, code = %fault.code,
                    reason = fault.message, "the target of a rule has no subscription: its rule must be mended");
            }
            wanted.insert(id);
        }
    }
    for id in ours(door) {
        if !wanted.contains(&id) {
            remove(door, &id).await?;
        }
    }
    Ok(())
}

/// Whether a subscription is as its rule says: made after the rule was last changed, and at work if the rule is.
fn is_current(found: Option<Subscription>, rule: &Rule) -> bool {
    match (found, rule.status) {
        (None, Status::Disable) => true,
        (None, Status::Enable) => false,
        (Some(found), status) => {
            let runs = found.state == State::Active;
            found.updated.0 >= rule.mtime && (status == Status::Enable || !runs)
        }
    }
}

/// The ids of all subscriptions that a rule has made, by their prefix.
fn ours(door: &Door) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), PREFIX.to_owned());
    loop {
        let page = door.hub.subscriptions(None, Some(&after), PAGE);
        let ids: Vec<String> = page
            .iter()
            .map(|one| one.id.to_string())
            .take_while(|id| id.starts_with(PREFIX))
            .collect();
        match ids.last() {
            Some(last) if ids.len() == PAGE => last.clone_into(&mut after),
            _ => {
                found.extend(ids);
                return found;
            }
        }
        found.extend(ids);
    }
}
