//! Walks a pattern and an event side by side.
//!
//! In the mode `aws` a leaf is what has a value: an object or an array without one is missing, and what is only asked to
//! be missing must be so in every element of an array.

use serde_json::Value;

use super::super::explain::shown;
use super::operators::Test;
use super::scalar::{Attribute, Seen};
use super::{Mode, Node, Object};
use crate::event::Event;

/// Whether an event matches.
pub(super) fn matches(root: &Object, event: &Event, mode: Mode) -> bool {
    root.fields.iter().all(|field| field_matches(field, event, mode))
        && root
            .either
            .iter()
            .all(|objects| objects.iter().any(|object| matches(object, event, mode)))
}

fn field_matches((key, node): &(Box<str>, Node), event: &Event, mode: Mode) -> bool {
    match (&**key, node) {
        ("data", node) => node_matches(node, event.json(), mode),
        // The parser lets only `data` nest.
        (_, Node::Object(_)) => false,
        (name, Node::Leaf(tests)) => match Attribute::of(event, name) {
            Some(attribute) => tests.iter().any(|test| test.holds(attribute.seen())),
            None => tests.iter().any(Test::holds_for_missing),
        },
    }
}

/// The first field that does not match, in words; `wanted` is the pattern as it was written.
pub(super) fn first_failing(root: &Object, wanted: &Value, event: &Event, mode: Mode) -> Option<String> {
    let alone = |field: &(Box<str>, Node)| field_matches(field, event, mode);
    if let Some(failing) = root.fields.iter().find(|field| !alone(field)) {
        return Some(told(failing, wanted.get(&*failing.0), event, mode));
    }
    let failing = root
        .either
        .iter()
        .find(|objects| !objects.iter().any(|object| matches(object, event, mode)))?;
    let written = wanted.get("$or").and_then(Value::as_array);
    let each = failing.iter().enumerate().filter_map(|(at, object)| {
        let wanted = written.and_then(|written| written.get(at)).unwrap_or(&Value::Null);
        first_failing(object, wanted, event, mode)
    });
    Some(format!(
        "none of $or matches: {}",
        each.take(TOLD).collect::<Vec<_>>().join("; ")
    ))
}

/// Alternatives of an `$or` that are told.
const TOLD: usize = 3;

/// What a top-level field that does not match has, and what was wanted.
fn told((key, node): &(Box<str>, Node), wanted: Option<&Value>, event: &Event, mode: Mode) -> String {
    let (mut path, mut node, mut wanted) = (key.to_string(), node, wanted);
    let mut has = match &**key {
        "data" => event.json().cloned(),
        name => event.attribute(name).map(|value| Value::from(value.into_owned())),
    };
    // Down to the leaf that fails, as far as the way is plain: an array has many ways.
    while let (Node::Object(object), Some(Value::Object(members))) = (node, &has) {
        let failing = |(key, node): &&(Box<str>, Node)| !node_matches(node, members.get(&**key), mode);
        let Some((key, below)) = object.fields.iter().find(failing) else {
            break;
        };
        path = format!("{path}.{key}");
        (node, wanted) = (below, wanted.and_then(|wanted| wanted.get(&**key)));
        has = members.get(&**key).cloned();
    }
    let is = has.map_or("is not there".to_owned(), |has| {
        format!("is {}", shown(&has.to_string()))
    });
    let wanted = wanted.map(Value::to_string).unwrap_or_default();
    let must = if matches!(node, Node::Leaf(_)) {
        "be one of"
    } else {
        "match"
    };
    format!("{path} {is}, and must {must} {}", shown(&wanted))
}

/// `None` is a value that is not there.
fn node_matches(node: &Node, value: Option<&Value>, mode: Mode) -> bool {
    match (node, value) {
        (Node::Object(object), Some(Value::Array(items))) if !items.is_empty() => {
            let in_item = |item: &Value| match item {
                Value::Array(_) => node_matches(node, Some(item), mode),
                _ => object_matches(object, item.as_object(), mode),
            };
            match mode == Mode::Aws && asks_for_nothing(object) {
                true => items.iter().all(in_item),
                false => items.iter().any(in_item),
            }
        }
        (Node::Object(object), value) => object_matches(object, value.and_then(Value::as_object), mode),
        (Node::Leaf(tests), None) => tests.iter().any(Test::holds_for_missing),
        (Node::Leaf(tests), Some(value)) if mode == Mode::Aws && !has_value(value) => {
            tests.iter().any(Test::holds_for_missing)
        }
        (Node::Leaf(tests), Some(value)) => {
            (mode != Mode::Aws && tests.iter().any(Test::holds_without_value))
                || any_value(value, &|seen| tests.iter().any(|test| test.holds(seen)))
        }
    }
}

fn object_matches(object: &Object, members: Option<&serde_json::Map<String, Value>>, mode: Mode) -> bool {
    let field =
        |(key, node): &(Box<str>, Node)| node_matches(node, members.and_then(|members| members.get(&**key)), mode);
    object.fields.iter().all(field)
        && object
            .either
            .iter()
            .all(|objects| objects.iter().any(|object| object_matches(object, members, mode)))
}

/// Whether every field of an object may be missing.
fn asks_for_nothing(object: &Object) -> bool {
    object_matches(object, None, Mode::Aws)
}

/// Whether a value is one to compare, or an array has one in it.
fn has_value(value: &Value) -> bool {
    any_value(value, &|_| true)
}

/// Whether a value, or for an array one of its elements, passes.
fn any_value(value: &Value, test: &dyn Fn(Seen<'_>) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any_value(item, test)),
        value => Seen::of(value).is_some_and(test),
    }
}
