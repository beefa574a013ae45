//! Patterns as Alibaba's EventBridge reads them (`"mode": "alibaba"`).
//!
//! A pattern here is a flat list: attributes, and paths into the data, all of which must match; each has checks of
//! which one must hold. What is unlike our own patterns:
//! - Literals compare by their texts across types: 300 matches `"300"`, `"true"` matches true; 300, 300.0 and 3.0e2 are
//!   three values. `null` is only null.
//! - An array matches if any element does, unless an object or an array is in it: then nothing matches, and nothing
//!   ever matches an object. Paths do not go through arrays.
//! - A missing value passes `{"exists": false}` and nothing else. null exists; an object or `[]` neither exists nor
//!   does not. Where data is absent altogether, every path fails.
//! - `numeric` sees JSON numbers alone and takes what is 1e-7 apart for equal; `prefix`, `suffix`, `contains` see texts
//!   alone; `cidr` leaves out the first and the last address of its range.
//! - A key of the data with a dot in it is a path.
//!
//! Where the live service takes more than its published engine (several operators in one object, ANDed; `contains`),
//! so does this. Faults are told in the engine's own words, which clients look for.
//! Invariant: a check takes time linear in the value and in its operand; one look at the written form of a number costs
//! a pass over the data, and only literals that are equal as numbers cause it.

mod check;
mod parse;

use serde_json::Value;

use super::super::explain::shown;
use super::scalar::{Attribute, Scalar};
use crate::event::native::eventbridge::ORIGINAL_TIME;
use crate::event::{self, Event, Lexed};
pub(in crate::filter) use check::Check;
use check::Given;
pub(super) use parse::{pattern, text};

/// The attribute that has two forms.
const TIME: &str = "time";

/// A pattern, flat.
#[derive(Debug, Default)]
pub(in crate::filter) struct Flat {
    /// By attribute.
    pub(in crate::filter) attributes: Vec<(Box<str>, Entry)>,
    /// By path into the data.
    pub(in crate::filter) data: Vec<(Box<[Box<str>]>, Entry)>,
}

/// What one value must be: one of these.
#[derive(Debug)]
pub(in crate::filter) struct Entry {
    /// The checks.
    pub(in crate::filter) checks: Vec<Check>,
    /// As they were written.
    written: Box<str>,
}

impl Flat {
    /// The attributes of which one shows what an entry of this name asks for.
    pub(in crate::filter) fn places(name: &str) -> impl Iterator<Item = &str> {
        let original = (name == TIME).then_some(ORIGINAL_TIME);
        std::iter::once(name).chain(original)
    }

    /// Whether an event matches.
    pub(super) fn matches(&self, event: &Event) -> bool {
        self.attributes
            .iter()
            .all(|(name, entry)| attribute_matches(name, entry, event))
            && (self.data.is_empty() || self.data_matches(event))
    }

    fn data_matches(&self, event: &Event) -> bool {
        let Some(data) = event.json() else { return false };
        self.data
            .iter()
            .all(|(path, entry)| value_matches(path, entry, data, event))
    }

    /// The first entry that does not match, in words.
    pub(super) fn first_failing(&self, event: &Event) -> Option<String> {
        let failing = self
            .attributes
            .iter()
            .find(|(name, entry)| !attribute_matches(name, entry, event));
        if let Some((name, entry)) = failing {
            return Some(told(
                name,
                event.attribute(name).map(|value| Value::from(value.into_owned())),
                entry,
            ));
        }
        if self.data.is_empty() {
            return None;
        }
        let Some(data) = event.json() else {
            return Some("the event has no JSON data, and the pattern asks for some".to_owned());
        };
        let (path, entry) = self
            .data
            .iter()
            .find(|(path, entry)| !value_matches(path, entry, data, event))?;
        Some(told(
            &format!("data.{}", path.join(".")),
            at(data, path).cloned(),
            entry,
        ))
    }
}

fn told(place: &str, has: Option<Value>, entry: &Entry) -> String {
    let is = has.map_or("is not there".to_owned(), |has| {
        format!("is {}", shown(&has.to_string()))
    });
    format!("{place} {is}, and must be one of {}", shown(&entry.written))
}

fn attribute_matches(name: &str, entry: &Entry, event: &Event) -> bool {
    let Some(attribute) = attribute(event, name) else {
        return entry.checks.iter().any(Check::holds_for_missing);
    };
    let seen = attribute.seen();
    let text = seen.text().unwrap_or_default();
    let given = match seen.also {
        Some(Scalar::Boolean(truth)) => Given::Boolean(truth),
        Some(Scalar::Number(number)) => Given::Number(number.float(), &|| Some(text.to_owned())),
        _ => Given::Text(text),
    };
    entry.checks.iter().any(|check| check.holds(&given))
}

/// An attribute; the time as its producer wrote it, whatever form that is.
fn attribute<'a>(event: &'a Event, name: &str) -> Option<Attribute<'a>> {
    let original = (name == TIME).then(|| Attribute::of(event, ORIGINAL_TIME)).flatten();
    original.or_else(|| Attribute::of(event, name))
}

fn value_matches(path: &[Box<str>], entry: &Entry, data: &Value, event: &Event) -> bool {
    let Some(value) = at(data, path) else {
        return entry.checks.iter().any(Check::holds_for_missing);
    };
    let passes = |value: &Value, item: Option<usize>| {
        // A whole number has one form.
        let written = || match value {
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            _ => written(event, path, item),
        };
        let given = match value {
            Value::Null => Given::Null,
            Value::Bool(truth) => Given::Boolean(*truth),
            Value::String(text) => Given::Text(text),
            // serde_json's numbers have an `f64`, however large they are.
            Value::Number(number) => Given::Number(number.as_f64().unwrap_or_default(), &written),
            Value::Array(_) | Value::Object(_) => return false,
        };
        entry.checks.iter().any(|check| check.holds(&given))
    };
    match value {
        Value::Array(items) if items.iter().any(|item| item.is_array() || item.is_object()) => false,
        Value::Array(items) => items.iter().enumerate().any(|(nth, item)| passes(item, Some(nth))),
        value => passes(value, None),
    }
}

fn at<'a>(data: &'a Value, path: &[Box<str>]) -> Option<&'a Value> {
    path.iter().try_fold(data, |value, key| value.as_object()?.get(&**key))
}

/// How the producer wrote the number at a path, or in the array there.
fn written(event: &Event, path: &[Box<str>], item: Option<usize>) -> Option<String> {
    let event::Data { bytes, .. } = event.data()?;
    let data = Lexed::parse(std::str::from_utf8(bytes).ok()?)?;
    let value = path.iter().try_fold(&data, |value, key| value.member(key))?;
    let value = match item {
        None => value,
        Some(nth) => value.item(i64::try_from(nth).ok()?)?,
    };
    value.primitive().map(std::borrow::Cow::into_owned)
}
