//! Reads the structure of a pattern: objects, arrays, `$or`. What stands in an array is read by `operators`.
//!
//! What can never match (an empty array, an empty object below the top, an attribute name that CloudEvents forbids)
//! is refused here, since a silent subscription is the hardest fault to find.

use serde_json::{Map, Value};

use super::super::dialect::is_attribute_name;
use super::super::path::Path;
use super::operators::{self, Test};
use super::{Node, Object};
use crate::error::Error;

/// The most characters of a pattern, as compact JSON.
pub(super) const MAX_CHARS: usize = 10_240;
/// The most objects inside one another.
pub(super) const MAX_DEPTH: usize = 32;
/// The most operators: literals do not count, since any number of them costs one search.
pub(super) const MAX_OPERATORS: usize = 256;
/// Stands for alternatives where a key would stand.
pub(super) const OR: &str = "$or";

/// What is wrong with a value outside of an array.
const BARE: &str = "values stand in an array: write [\"failed\"], not \"failed\"";

/// Reads a whole pattern; `text` is its compact form.
pub(super) fn root(json: &Value, text: &str, path: &Path<'_>) -> Result<Object, Error> {
    if text.chars().count() > MAX_CHARS {
        let rule = "a pattern must not be longer than 10240 characters";
        return Err(path.fault("pattern_too_large", rule));
    }
    let Value::Object(members) = json else {
        let rule = "a pattern must be an object, such as {\"data\": {\"state\": [\"failed\"]}}";
        return Err(path.fault("pattern_invalid", rule));
    };
    Reader { operators: 0 }.object(members, path, &Place { top: true, depth: 1 })
}

/// Counts operators while it reads them.
struct Reader {
    operators: usize,
}

/// Where in the pattern an object stands.
struct Place {
    /// Its keys are attributes and `data`.
    top: bool,
    /// How many objects deep, itself included.
    depth: usize,
}

impl Reader {
    fn object(&mut self, members: &Map<String, Value>, path: &Path<'_>, place: &Place) -> Result<Object, Error> {
        if place.depth > MAX_DEPTH {
            return Err(path.fault("pattern_too_large", "objects nest deeper than 32"));
        }
        let mut object = Object::default();
        for (key, value) in members {
            let path = path.key(key);
            if key == OR {
                object.either.push(self.either(value, &path, place)?);
            } else if place.top && key != "data" {
                let leaf = self.attribute(key, value, &path)?;
                object.fields.push((key.as_str().into(), leaf));
            } else {
                let node = self.node(value, &path, place.depth)?;
                object.fields.push((key.as_str().into(), node));
            }
        }
        // Patterns live long and by the million.
        object.fields.shrink_to_fit();
        object.either.shrink_to_fit();
        Ok(object)
    }

    /// A value in `data`, or `data` itself.
    fn node(&mut self, value: &Value, path: &Path<'_>, depth: usize) -> Result<Node, Error> {
        match value {
            Value::Array(items) => self.leaf(items, path),
            Value::Object(members) => self
                .nested(
                    members,
                    path,
                    &Place {
                        top: false,
                        depth: depth + 1,
                    },
                )
                .map(Node::Object),
            _ => Err(path.fault("pattern_invalid", BARE)),
        }
    }

    /// An object that must say something.
    fn nested(&mut self, members: &Map<String, Value>, path: &Path<'_>, place: &Place) -> Result<Object, Error> {
        if members.is_empty() {
            return Err(path.fault("pattern_invalid", "an object below the top must have a key"));
        }
        self.object(members, path, place)
    }

    /// A top-level key other than `data`.
    fn attribute(&mut self, key: &str, value: &Value, path: &Path<'_>) -> Result<Node, Error> {
        if !is_attribute_name(key) {
            let rule =
                "is no attribute name (lower-case letters a-z and digits); what is in the data stands under `data`";
            return Err(path.fault("pattern_invalid", rule));
        }
        match value {
            Value::Array(items) => self.leaf(items, path),
            Value::Object(_) => Err(path.fault("pattern_invalid", "an attribute has no parts: only `data` nests")),
            _ => Err(path.fault("pattern_invalid", BARE)),
        }
    }

    /// The alternatives of a `$or`.
    fn either(&mut self, value: &Value, path: &Path<'_>, place: &Place) -> Result<Vec<Object>, Error> {
        let Some(items) = value.as_array().filter(|items| items.len() >= 2) else {
            return Err(path.fault("pattern_invalid", "must be an array of at least two objects"));
        };
        let inner = Place {
            top: place.top,
            depth: place.depth + 1,
        };
        let mut read = |(at, item): (usize, &Value)| match item {
            Value::Object(members) => self.nested(members, &path.item(at), &inner),
            _ => Err(path.item(at).fault("pattern_invalid", "must be an object")),
        };
        items.iter().enumerate().map(&mut read).collect()
    }

    /// The array at the end of a path.
    fn leaf(&mut self, items: &[Value], path: &Path<'_>) -> Result<Node, Error> {
        if items.is_empty() {
            return Err(path.fault("pattern_invalid", "an empty array matches nothing"));
        }
        self.operators += items.iter().map(weight).sum::<usize>();
        if self.operators > MAX_OPERATORS {
            return Err(path.fault("pattern_too_large", "more than 256 operators in the pattern"));
        }
        let read = |(at, item)| operators::parse(item, &path.item(at));
        let tests = items.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Node::Leaf(Test::gather(tests)))
    }
}

/// How many operators an item is: what stands in it counts too.
fn weight(item: &Value) -> usize {
    match item {
        Value::Object(members) => members.values().map(weight).sum::<usize>() + members.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        _ => 0,
    }
}
