//! EventBridge event patterns: `{"data": {"state": ["failed", {"prefix": "TASK_K"}]}}`.
//!
//! In three modes: our own (below), `alibaba` (its module says how it differs) and `aws` (the same).
//!
//! A pattern mirrors the event. Keys of an object are ANDed, items of an array are ORed, several operators in one
//! object are ANDed. Top-level keys are attributes and extensions in their string forms (an Integer or Boolean
//! extension is its number or truth value too); `data` nests. Operators: a literal, `prefix`, `suffix`, `contains`,
//! `equals-ignore-case`, `wildcard`, `anything-but`, `numeric`, `cidr`, `exists`; and `$or` in place of a key.
//!
//! Where the live services differ, this is ours:
//! - Numbers compare as numbers (300 is 300.0 and 3e2), exactly, and never equal texts; other types never mix either.
//! - An array matches if any of its elements does, arrays in it included. On the way down too: an object pattern
//!   matches an array if one element matches the whole of it.
//! - A missing field fails every operator but `{"exists": false}`. Data that is not JSON is missing.
//! - `exists` asks whether the key is there, whatever it holds: null, `{}` and `[]` exist. No other operator matches
//!   an object or an empty array.
//! - `anything-but` needs a value: missing is false, null is true, an array matches if any element differs.
//! - `cidr` includes every address of the range, IPv4 and IPv6; a bare address is itself.
//! - A key with a dot in it is that key, not a path.
//!
//! Invariant: evaluation visits a pair of pattern node and data node at most once: `$or` is tried, never multiplied
//! out. With the limits in `parse` that bounds the time by event × pattern.

mod parse;

mod evaluate;
mod operators;
mod scalar;

mod alibaba;
mod aws;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use super::path::Path;
use crate::error::Error;
use crate::event::Event;

pub(super) use alibaba::{Check, Flat};
pub(super) use operators::{Test, Text};
pub(super) use scalar::{Attribute, Literal, Number, Scalar, Seen};

/// An EventBridge event pattern, compiled; a clone shares it.
///
/// ```
/// use busway::{event::Draft, filter::Pattern};
/// use serde_json::json;
///
/// let pattern = Pattern::parse(&json!({"type": [{"prefix": "order."}], "subject": ["a", "b"]}))?;
/// let event = Draft {
///     id: "1".into(),
///     source: "/shop".into(),
///     ty: "order.made".into(),
///     subject: Some("b".into()),
///     ..Draft::default()
/// };
/// assert!(pattern.matches(&event.check()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Pattern(Arc<Compiled>);

/// The compiled form and the text that it came from (compact JSON, keys in order).
struct Compiled {
    text: Box<str>,
    mode: Mode,
    root: Root,
}

/// Whose rules a pattern goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Ours.
    #[default]
    Own,
    /// Those of Alibaba's EventBridge.
    Alibaba,
    /// Those of AWS's EventBridge.
    Aws,
}

/// A compiled pattern, in the shape that its mode has.
pub(super) enum Root {
    /// It mirrors the event.
    Nested(Object),
    /// A list of paths.
    Flat(Flat),
}

/// Patterns of several fields: all must match.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// Key and what its value must be.
    pub(super) fields: Vec<(Box<str>, Node)>,
    /// For each `$or`: one of these must match.
    pub(super) either: Vec<Vec<Object>>,
}

/// What a value must be.
#[derive(Debug)]
pub(super) enum Node {
    /// An object (or an array of such) with these fields.
    Object(Object),
    /// A value that passes one of these.
    Leaf(Vec<Test>),
}

impl Mode {
    /// Every mode that has a name.
    pub(super) const NAMED: [(&str, Self); 2] = [("alibaba", Self::Alibaba), ("aws", Self::Aws)];

    /// The name in a filter's `mode`; ours has none.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMED
            .iter()
            .find(|(_, mode)| *mode == self)
            .map(|(name, _)| *name)
    }
}

impl Pattern {
    /// Compiles a pattern of our own mode; paths in errors begin with `pattern`.
    ///
    /// # Errors
    /// `pattern_invalid` with the path and the rule, `pattern_too_large` with the limit.
    pub fn parse(json: &Value) -> Result<Self, Error> {
        Self::parse_at(json, Mode::Own, &Path::Root("pattern"))
    }

    /// Compiles the text of a pattern of the mode `alibaba`. As text, numbers in it keep the form that they are written
    /// in, which that mode compares by.
    ///
    /// # Errors
    /// `pattern_invalid`, `pattern_too_large`: the message is word for word what Alibaba's engine says.
    pub fn alibaba(text: &str) -> Result<Self, Error> {
        let root = Root::Flat(alibaba::text(text)?);
        Ok(Self::compiled(&Value::from(text), Mode::Alibaba, root))
    }

    /// As [`Pattern::parse`], for a pattern of this mode that stands at `path`.
    pub(super) fn parse_at(json: &Value, mode: Mode, path: &Path<'_>) -> Result<Self, Error> {
        let root = match (mode, json) {
            (Mode::Alibaba, Value::String(text)) => Root::Flat(alibaba::text(text).map_err(|error| at(path, &error))?),
            (Mode::Alibaba, json) => Root::Flat(alibaba::pattern(json).map_err(|error| at(path, &error))?),
            (Mode::Own | Mode::Aws, json) => {
                let root = parse::root(json, &json.to_string(), path)?;
                if mode == Mode::Aws {
                    aws::check(json, path)?;
                }
                Root::Nested(root)
            }
        };
        Ok(Self::compiled(json, mode, root))
    }

    fn compiled(json: &Value, mode: Mode, root: Root) -> Self {
        let text = json.to_string().into();
        Self(Arc::new(Compiled { text, mode, root }))
    }

    /// The JSON form: an object, or the text that it was given as.
    pub fn to_json(&self) -> Value {
        // The text was written from JSON; were it not, it would be shown as null, not lost in a panic.
        serde_json::from_str(&self.0.text).unwrap_or_default()
    }

    /// Whose rules it goes by.
    pub fn mode(&self) -> Mode {
        self.0.mode
    }

    /// Whether an event matches.
    pub fn matches(&self, event: &Event) -> bool {
        match &self.0.root {
            Root::Nested(root) => evaluate::matches(root, event, self.0.mode),
            Root::Flat(flat) => flat.matches(event),
        }
    }

    /// The first field that does not match, what the event has there, and what was wanted; none if it matches.
    pub(super) fn first_failing(&self, event: &Event) -> Option<String> {
        match &self.0.root {
            Root::Nested(root) => evaluate::first_failing(root, &self.to_json(), event, self.0.mode),
            Root::Flat(flat) => flat.first_failing(event),
        }
    }

    /// The compiled form, for the index.
    pub(super) fn root(&self) -> &Root {
        &self.0.root
    }
}

/// The place in front of a refusal.
fn at(path: &Path<'_>, error: &Error) -> Error {
    path.fault(error.code(), error.message())
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.text == other.0.text && self.0.mode == other.0.mode)
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
        self.0.mode.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?}, {})", self.0.mode, self.0.text)
    }
}

#[cfg(test)]
mod modes;
#[cfg(test)]
mod tests;
