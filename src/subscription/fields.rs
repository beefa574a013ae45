//! A JSON object read field by field: every refusal names the field by its path and the rule.
//!
//! Why not serde's derive: its errors name neither the path nor the nearest known field, and a misspelt setting that
//! is silently ignored is a subscription that does something else than its owner thinks.
//! Invariant: `null` means absent, as in a merge patch.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::Error;
use crate::nearest::nearest;
use crate::units::{DURATION_RULE, parse_duration, show_duration};

/// A JSON object and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

/// A refusal: `path` breaks `rule`.
pub(super) fn refuse(path: &str, rule: impl std::fmt::Display) -> Error {
    Error::invalid("invalid_subscription", format!("{path}: {rule}"))
}

impl<'a> Fields<'a> {
    /// Takes `value`, which stands at `path` (empty for the whole), as an object with no other fields than `known`.
    pub(super) fn of(value: &'a Value, path: &str, known: &[&str]) -> Result<Self, Error> {
        let Value::Object(map) = value else {
            let place = if path.is_empty() { "the subscription" } else { path };
            return Err(refuse(
                place,
                format_args!("must be a JSON object, not {}", kind(value)),
            ));
        };
        let fields = Self { map, path: path.into() };
        match map.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(fields.unknown(unknown, known)),
            None => Ok(fields),
        }
    }

    fn unknown(&self, name: &str, known: &[&str]) -> Error {
        let hint = match (name, nearest(name, known.iter().copied())) {
            ("sinkcredential", _) => "; credentials go into `protocolsettings.auth`".into(),
            (_, Some(near)) => format!("; did you mean `{}`?", self.path(near)),
            (_, None) => format!("; known here: {}", known.join(", ")),
        };
        Error::invalid(
            "unknown_field",
            format!("`{}` is not a field of a subscription{hint}", self.path(name)),
        )
    }

    /// The path of one field.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.into()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A field, if it is there and not null.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A field with its path.
    pub(super) fn object(&self, name: &str, known: &[&str]) -> Result<Option<Fields<'a>>, Error> {
        self.value(name)
            .map(|value| Fields::of(value, &self.path(name), known))
            .transpose()
    }

    /// A text field of at most `most` bytes.
    pub(super) fn text(&self, name: &str, most: usize) -> Result<Option<&'a str>, Error> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= most => Ok(Some(text)),
            Some(Value::String(_)) => Err(refuse(&self.path(name), format_args!("is longer than {most} bytes"))),
            Some(other) => Err(refuse(
                &self.path(name),
                format_args!("must be a string, not {}", kind(other)),
            )),
        }
    }

    /// A list field of at most `most` items, each with its path.
    pub(super) fn list(&self, name: &str, most: usize) -> Result<Vec<(String, &'a Value)>, Error> {
        let path = self.path(name);
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() <= most => Ok(items
                .iter()
                .enumerate()
                .map(|(i, item)| (format!("{path}[{i}]"), item))
                .collect()),
            Some(Value::Array(items)) => Err(refuse(
                &path,
                format_args!("has {} items; at most {most} are allowed", items.len()),
            )),
            Some(other) => Err(refuse(&path, format_args!("must be an array, not {}", kind(other)))),
        }
    }

    /// A whole number in `range`, or `default`.
    pub(super) fn number(&self, name: &str, range: RangeInclusive<u64>, default: u64) -> Result<u64, Error> {
        let Some(value) = self.value(name) else {
            return Ok(default);
        };
        value.as_u64().filter(|number| range.contains(number)).ok_or_else(|| {
            refuse(
                &self.path(name),
                format_args!("must be a whole number from {} to {}", range.start(), range.end()),
            )
        })
    }

    /// A truth value, or `default`.
    pub(super) fn truth(&self, name: &str, default: bool) -> Result<bool, Error> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(other) => Err(refuse(
                &self.path(name),
                format_args!("must be true or false, not {}", kind(other)),
            )),
        }
    }

    /// A duration in `range`, or `default`.
    pub(super) fn duration(
        &self,
        name: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Result<Duration, Error> {
        self.value(name)
            .map_or(Ok(default), |value| duration(value, &self.path(name), range))
    }

    /// One of the known words, or the default.
    pub(super) fn choice<T: Copy + Default>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, Error> {
        let Some(text) = self.text(name, 64)? else {
            return Ok(T::default());
        };
        let found = choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, choice)| *choice);
        found.ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            refuse(
                &self.path(name),
                format_args!("must be one of {}, not \"{text}\"", words.join(", ")),
            )
        })
    }
}

/// A duration in `range` that stands at `path`.
pub(super) fn duration(value: &Value, path: &str, range: RangeInclusive<Duration>) -> Result<Duration, Error> {
    let found = value
        .as_str()
        .and_then(parse_duration)
        .ok_or_else(|| refuse(path, format_args!("must be {DURATION_RULE}")))?;
    if !range.contains(&found) {
        let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
        return Err(refuse(path, format_args!("must be from {least} to {most}")));
    }
    Ok(found)
}

/// What a JSON value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
