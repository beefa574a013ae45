//! A plugin's config schema: what `describe` gives, compiled once a load, and every config held to it before `init`.
//!
//! Why: words from `init` come one at a time, in fifty styles, and name no path. A schema names every fault with its
//! place at once, and the same text makes the options of the command line and the table of the docs (`fields`).
//! Why not whatever JSON Schema allows: it comes from a stranger. A schema that refers to itself, fetches a reference or
//! grows exponentially when its references are followed could hold a thread for ever, so those are refused at load;
//! what is left costs at most `MOST_NODES` steps a value.
//!
//! Invariant: nothing is fetched, and no pattern backtracks without bound.
//! Invariant: the words of a fault never hold a value from a config; whoever may show it adds it ([`ConfigFault::given`]).

mod fault;
mod fields;
mod secrets;

pub use fault::ConfigFault;
pub use fields::{Field, FieldKind, fields};
pub(super) use secrets::texts;

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

/// The longest schema, in bytes.
const LARGEST: usize = 128 << 10;
/// The most objects, lists and values of a schema with its references followed.
const MOST_NODES: usize = 10_000;
/// The most levels of a schema with its references followed.
const DEEPEST: usize = 64;
/// The most steps of a pattern that cannot be matched without going back.
const BACKTRACK: usize = 10_000;
/// The largest compiled pattern, in bytes.
const PATTERN: usize = 256 << 10;

/// A compiled schema. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Schema(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    json: Value,
    validator: Validator,
}

impl Schema {
    /// Compiles the text that a plugin gives; the refusal is for its author.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("the config schema that describe gives {why}");
        if text.len() > LARGEST {
            return Err(wrong(format!("has {} bytes; it may have {LARGEST}", text.len())));
        }
        let json: Value = serde_json::from_str(text).map_err(|error| wrong(format!("is not JSON: {error}")))?;
        if !json.is_object() {
            return Err(wrong("must be a JSON object".to_owned()));
        }
        Bounds { root: &json, nodes: 0 }.check(&json, 0).map_err(wrong)?;
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(BACKTRACK)
            .size_limit(PATTERN)
            .dfa_size_limit(PATTERN);
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(patterns)
            .should_validate_formats(true)
            .build(&json)
            .map_err(|error| {
                let place = error.instance_path().as_str();
                let place = if place.is_empty() { "at its top" } else { place };
                wrong(format!("is not valid JSON Schema, {place}: {error}"))
            })?;
        Ok(Self(Arc::new(Inner { json, validator })))
    }

    /// The schema as it was given.
    pub(super) fn json(&self) -> &Value {
        &self.0.json
    }

    /// Everything that is wrong with a whole config.
    pub(super) fn faults(&self, config: &Map<String, Value>) -> Vec<ConfigFault> {
        let config = Value::Object(config.clone());
        let found = self.0.validator.iter_errors(&config);
        found.flat_map(|error| fault::told(&error, &self.0.json)).collect()
    }

    /// What is wrong with a part of a config whose other top-level fields come later: only what no other field can mend.
    pub(super) fn faults_of_part(&self, part: &Map<String, Value>) -> Vec<ConfigFault> {
        let mut faults = self.faults(part);
        faults.retain(|fault| fault.top().is_some_and(|field| part.contains_key(field)));
        faults
    }

    /// The JSON Pointers of what is secret in a config.
    pub(super) fn secrets(&self, config: &Value) -> Vec<String> {
        secrets::places(&self.0.json, config)
    }

    /// Whether a config may hold `sink`, which the hub adds to a notifier's settings: one that names all its fields and
    /// not this one would refuse it.
    pub(super) fn takes_sink(&self) -> bool {
        let names = |key: &str| self.0.json.get(key).is_some();
        let closed = names("additionalProperties") || names("unevaluatedProperties");
        !closed || self.0.json.pointer("/properties/sink").is_some()
    }
}

/// Walks a schema as validation would, references followed.
struct Bounds<'a> {
    root: &'a Value,
    nodes: usize,
}

impl Bounds<'_> {
    fn check(&mut self, node: &Value, depth: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(format!(
                "has more than {MOST_NODES} parts when its references are followed; make it simpler"
            ));
        }
        if depth > DEEPEST {
            return Err(format!(
                "is deeper than {DEEPEST} levels when its references are followed; does it refer to itself?"
            ));
        }
        match node {
            Value::Object(members) => members.iter().try_for_each(|(key, member)| {
                self.reference(key, member, depth)?;
                self.check(member, depth + 1)
            }),
            Value::Array(items) => items.iter().try_for_each(|item| self.check(item, depth + 1)),
            _ => Ok(()),
        }
    }

    fn reference(&mut self, key: &str, member: &Value, depth: usize) -> Result<(), String> {
        let Some(target) = member.as_str() else { return Ok(()) };
        match key {
            "$ref" => {}
            "$dynamicRef" | "$recursiveRef" => return Err(format!("uses {key}; use $ref to a place in $defs")),
            "$id" | "id" if depth > 0 => return Err(format!("has an {key} within; only the whole may have one")),
            _ => return Ok(()),
        }
        let Some(pointer) = target
            .strip_prefix('#')
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            return Err(format!(
                "refers to `{target}`: nothing is fetched; put it into $defs and refer to `#/$defs/NAME`"
            ));
        };
        let root = self.root;
        match root.pointer(pointer) {
            Some(found) => self.check(found, depth + 1),
            None => Err(format!("refers to `{target}`, and there is nothing there")),
        }
    }
}

#[cfg(test)]
mod tests;
