//! What AWS's EventBridge refuses in a pattern that ours would take (`"mode": "aws"`).
//!
//! The rest of that mode is ours, but for one rule of `evaluate`: `exists` asks for leaves, so that an object or `[]` is
//! as good as missing.
//! Invariant: what passes here may still be refused by `parse`; together they refuse what the service does.

use serde_json::{Map, Value};

use super::super::path::Path;
use super::parse::OR;
use crate::error::Error;

/// Refuses what only other modes take.
pub(super) fn check(json: &Value, path: &Path<'_>) -> Result<(), Error> {
    match json.as_object() {
        Some(members) if members.is_empty() => {
            Err(path.fault("pattern_invalid", "an empty pattern is refused in the mode `aws`"))
        }
        Some(members) => object(members, path),
        // Told by the parser, as in every mode.
        None => Ok(()),
    }
}

fn object(members: &Map<String, Value>, path: &Path<'_>) -> Result<(), Error> {
    for (key, value) in members {
        let path = path.key(key);
        match value {
            Value::Object(members) => object(members, &path)?,
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let path = path.item(at);
                    match item.as_object() {
                        Some(members) if key == OR => object(members, &path)?,
                        Some(members) => operators(members, &path)?,
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn operators(members: &Map<String, Value>, path: &Path<'_>) -> Result<(), Error> {
    if members.len() > 1 {
        let rule = "one operator an object is what the mode `aws` takes; write several items, or leave the mode out";
        return Err(path.fault("pattern_invalid", rule));
    }
    for (name, operand) in members {
        let path = path.key(name);
        match (name.as_str(), operand) {
            ("contains", _) => {
                let rule = "is no operator in the mode `aws`; use {\"wildcard\": \"*…*\"}";
                return Err(path.fault("pattern_invalid", rule));
            }
            ("numeric", Value::Array(items)) => {
                if let Some(at) = items.iter().position(|item| item == "!=") {
                    let rule = "`!=` is no operator in the mode `aws`; use {\"anything-but\": number}";
                    return Err(path.item(at).fault("pattern_invalid", rule));
                }
            }
            ("anything-but", Value::Array(items)) => {
                let (texts, numbers) = (items.iter().all(Value::is_string), items.iter().all(Value::is_number));
                if !texts && !numbers {
                    let rule = "must be all texts or all numbers in the mode `aws`";
                    return Err(path.fault("pattern_invalid", rule));
                }
            }
            ("anything-but", Value::Null | Value::Bool(_)) => {
                return Err(path.fault("pattern_invalid", "must be a text, a number, or a list of such"));
            }
            _ => {}
        }
    }
    Ok(())
}
