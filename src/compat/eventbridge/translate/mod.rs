//! A rule and one of its targets as a subscription of the hub's.
//!
//! `http`, `bus` and `notifier` know one kind of target each, `body` what becomes of the event, `delivery` how often and
//! how long it is tried. What a target asks for and the hub cannot do is refused by name, never left out in silence.

mod body;
mod bus;
mod delivery;
mod http;
mod notifier;

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::pattern;
use super::rule::{Param, Rule, Target};
use crate::compat::Door;

/// The subscription that delivers a rule's events to a target.
///
/// # Errors
/// `EventTargetInvalid`: what it asks for that cannot be.
pub(super) fn subscription(door: &Door, rule: &Rule, target: &Target) -> Result<Value, Fault> {
    let sink = match target.kind.as_str() {
        "http" | "https" => http::sink(&door.settings.eventbridge, target)?,
        "acs.eventbridge" => bus::sink(door, target)?,
        kind => notifier::sink(kind, target)?,
    };
    let mut json = json!({ "filters": filters(rule)?, "config": delivery::config(door, target)? });
    if let Some(object) = json.as_object_mut() {
        object.extend(sink);
    }
    Ok(json)
}

fn filters(rule: &Rule) -> Result<Vec<Value>, Fault> {
    let compiled = pattern::compile(&rule.filter_pattern)?;
    Ok(compiled.filter.into_iter().collect())
}

/// A part of a subscription.
type Part = Map<String, Value>;

/// The parameters of a target, each to be taken once; what nobody takes is refused.
struct Params<'a> {
    target: &'a Target,
    left: Vec<&'a Param>,
}

impl<'a> Params<'a> {
    fn of(target: &'a Target) -> Self {
        Self {
            target,
            left: target.param_list.iter().collect(),
        }
    }

    /// Takes the first of these names, whatever its case.
    fn take(&mut self, names: &[&str]) -> Option<&'a Param> {
        let is = |param: &&Param| names.iter().any(|name| param.resource_key.eq_ignore_ascii_case(name));
        let at = self.left.iter().position(is)?;
        Some(self.left.remove(at))
    }

    /// Takes one whose value is fixed.
    fn constant(&mut self, names: &[&str]) -> Result<Option<&'a str>, Fault> {
        let Some(param) = self.take(names) else { return Ok(None) };
        constant(self.target, param).map(Some)
    }

    /// Takes those that may only say one thing, or nothing.
    fn only(&mut self, name: &str, allowed: &[&str]) -> Result<(), Fault> {
        match self.constant(&[name])? {
            Some(value) if !value.is_empty() && !allowed.iter().any(|known| known.eq_ignore_ascii_case(value)) => {
                let text = format!(
                    "Its parameter {name} can only be {} here, not {value}.",
                    allowed.join(" or ")
                );
                Err(Fault::target(&self.target.id, text))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what is left.
    fn end(self) -> Result<(), Fault> {
        match self.left.first() {
            None => Ok(()),
            Some(param) => {
                let text = format!(
                    "Its parameter {} is not served for targets of the type {}.",
                    param.resource_key, self.target.kind
                );
                Err(Fault::target(&self.target.id, text))
            }
        }
    }
}

/// The value of a parameter that must be fixed.
fn constant<'a>(target: &Target, param: &'a Param) -> Result<&'a str, Fault> {
    match param.form.to_ascii_uppercase().as_str() {
        "CONSTANT" | "" => Ok(param.value.as_deref().unwrap_or_default()),
        form => {
            let text = format!(
                "Its parameter {} can only be CONSTANT here, not {form}.",
                param.resource_key
            );
            Err(Fault::target(&target.id, text))
        }
    }
}

#[cfg(test)]
mod tests;
