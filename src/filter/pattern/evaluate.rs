//! Walks a pattern and an event side by side.

use serde_json::Value;

use super::operators::Test;
use super::scalar::{Attribute, Seen};
use super::{Node, Object};
use crate::event::Event;

/// Whether an event matches.
pub(super) fn matches(root: &Object, event: &Event) -> bool {
    let field = |(key, node): &(Box<str>, Node)| match (&**key, node) {
        ("data", node) => node_matches(node, event.json()),
        // The parser lets only `data` nest.
        (_, Node::Object(_)) => false,
        (name, Node::Leaf(tests)) => match Attribute::of(event, name) {
            Some(attribute) => tests.iter().any(|test| test.holds(attribute.seen())),
            None => tests.iter().any(Test::holds_for_missing),
        },
    };
    root.fields.iter().all(field)
        && root
            .either
            .iter()
            .all(|objects| objects.iter().any(|object| matches(object, event)))
}

/// `None` is a value that is not there.
fn node_matches(node: &Node, value: Option<&Value>) -> bool {
    match (node, value) {
        (Node::Object(object), Some(Value::Array(items))) if !items.is_empty() => items.iter().any(|item| match item {
            Value::Array(_) => node_matches(node, Some(item)),
            _ => object_matches(object, item.as_object()),
        }),
        (Node::Object(object), value) => object_matches(object, value.and_then(Value::as_object)),
        (Node::Leaf(tests), None) => tests.iter().any(Test::holds_for_missing),
        (Node::Leaf(tests), Some(value)) => {
            tests.iter().any(Test::holds_without_value)
                || any_value(value, &|seen| tests.iter().any(|test| test.holds(seen)))
        }
    }
}

fn object_matches(object: &Object, members: Option<&serde_json::Map<String, Value>>) -> bool {
    let field = |(key, node): &(Box<str>, Node)| node_matches(node, members.and_then(|members| members.get(&**key)));
    object.fields.iter().all(field)
        && object
            .either
            .iter()
            .all(|objects| objects.iter().any(|object| object_matches(object, members)))
}

/// Whether a value, or for an array one of its elements, passes.
fn any_value(value: &Value, test: &dyn Fn(Seen<'_>) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| any_value(item, test)),
        value => Seen::of(value).is_some_and(test),
    }
}
