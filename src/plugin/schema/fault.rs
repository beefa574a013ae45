//! What is wrong with a config, in words: the place, the rule, and apart from them what stood there.
//!
//! The crate's own sentences begin with the value; a config may hold a password, so these never do.

use std::fmt::Write;

use jsonschema::paths::LocationSegment;
use jsonschema::{JsonType, ValidationError, error::TypeKind, error::ValidationErrorKind as Kind};
use serde_json::Value;

use crate::nearest::hint;

/// The longest value that is shown, in characters.
const SHOWN: usize = 60;

/// One field of a config that breaks its plugin's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// From the config's top: names, and places in lists as digits.
    place: Vec<String>,
    /// The path as it is written: `.tls.names[0]`.
    pub path: String,
    /// What must be, such as `must be a number`.
    pub rule: String,
    /// What is there, as JSON, cut; none where nothing is, or where the schema calls it secret.
    pub given: Option<String>,
}

impl ConfigFault {
    fn new(mut place: Vec<String>, more: Option<&str>, rule: String) -> Self {
        place.extend(more.map(str::to_owned));
        let mut path = String::new();
        for step in &place {
            // Writing into a string cannot fail.
            let _ = match step.parse::<usize>() {
                Ok(index) => write!(path, "[{index}]"),
                Err(_) => write!(path, ".{step}"),
            };
        }
        Self {
            place,
            path,
            rule,
            given: None,
        }
    }

    /// The config's own field that it is in; none if it is about the config as a whole.
    pub fn top(&self) -> Option<&str> {
        self.place.first().map(String::as_str)
    }

    /// Every name on the way to it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.place.iter().map(String::as_str)
    }

    /// Path and rule, for a config that is called `whole`; no value of it.
    pub fn told(&self, whole: &str) -> String {
        format!("{whole}{}: {}", self.path, self.rule)
    }
}

/// The faults of one error: as many as there are unknown fields, else one.
pub(super) fn told(error: &ValidationError<'_>, schema: &Value) -> Vec<ConfigFault> {
    let place: Vec<String> = error
        .instance_path()
        .iter()
        .map(|step| match step {
            LocationSegment::Property(name) => name.into_owned(),
            LocationSegment::Index(index) => index.to_string(),
        })
        .collect();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = known_beside(error, schema);
            let fault = |name: &String| {
                let near = hint(name, known.iter().map(String::as_str));
                let rule = match known.is_empty() {
                    true => "is not a field of this plugin's config".to_owned(),
                    false => format!("is not a field of this plugin's config; {near}"),
                };
                ConfigFault::new(place.clone(), Some(name), rule)
            };
            unexpected.iter().map(fault).collect()
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let means = beside(error, schema)
                .and_then(|node| node.get("properties")?.get(name)?.get("description")?.as_str())
                .map(|means| format!(": {means}"));
            vec![ConfigFault::new(
                place,
                Some(name),
                format!("is required{}", means.unwrap_or_default()),
            )]
        }
        kind => {
            let mut fault = ConfigFault::new(place, None, rule(kind, error, schema));
            // What is wrong with a whole object is not told by showing all of it.
            let value = error.instance();
            let shown = !value.is_object() && !secret(error, schema, value);
            fault.given = shown.then(|| cut(&value.to_string()));
            vec![fault]
        }
    }
}

fn rule(kind: &Kind, error: &ValidationError<'_>, schema: &Value) -> String {
    match kind {
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Enum { options } => match options.as_array() {
            Some(options) => format!(
                "must be {}",
                either(&options.iter().map(Value::to_string).collect::<Vec<_>>())
            ),
            None => format!("must be {options}"),
        },
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit: 1 } => "must not be empty".to_owned(),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::UniqueItems => "must have no item twice".to_owned(),
        Kind::Pattern { pattern } => format!("must match the pattern {pattern}"),
        Kind::Format { format } => format!("must be written as {format}"),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => forms(context, schema),
        Kind::OneOfMultipleValid { .. } => "fits several forms of which only one may fit".to_owned(),
        Kind::Not { .. } => "has a form that the plugin's schema forbids".to_owned(),
        Kind::FalseSchema => "must not be given".to_owned(),
        _ => error.masked().to_string(),
    }
}

/// What would make each of several forms fit; in one breath where each lacks but one field.
fn forms(context: &[Vec<ValidationError<'_>>], schema: &Value) -> String {
    let lacks = |errors: &Vec<ValidationError<'_>>| match errors.as_slice() {
        [one] => match one.kind() {
            Kind::Required { property } => property.as_str().map(|name| format!("`{name}`")),
            _ => None,
        },
        _ => None,
    };
    if let Some(names) = context.iter().map(lacks).collect::<Option<Vec<_>>>() {
        return format!("needs {}", either(&names));
    }
    let ways: Vec<String> = context
        .iter()
        .map(|errors| {
            let faults = errors.iter().flat_map(|error| told(error, schema));
            let words: Vec<String> = faults
                .map(|fault| match fault.path.trim_start_matches('.') {
                    "" => fault.rule,
                    path => format!("`{path}` {}", fault.rule),
                })
                .collect();
            words.join(" and ")
        })
        .collect();
    either(&ways)
}

fn types(kind: &TypeKind) -> String {
    let one = |kind: JsonType| match kind {
        JsonType::Null => "null".to_owned(),
        JsonType::Array => "a list".to_owned(),
        JsonType::Boolean => "true or false".to_owned(),
        JsonType::Integer => "a whole number".to_owned(),
        JsonType::Number => "a number".to_owned(),
        JsonType::String => "a string".to_owned(),
        JsonType::Object => "an object".to_owned(),
    };
    match kind {
        TypeKind::Single(kind) => one(*kind),
        TypeKind::Multiple(kinds) => either(&kinds.into_iter().map(one).collect::<Vec<_>>()),
    }
}

/// `a`, `a or b`, `a, b or c`.
fn either(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The part of the schema that the broken keyword stands in.
fn beside<'a>(error: &ValidationError<'_>, schema: &'a Value) -> Option<&'a Value> {
    let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
    schema.pointer(parent)
}

fn known_beside(error: &ValidationError<'_>, schema: &Value) -> Vec<String> {
    let properties = beside(error, schema).and_then(|node| node.get("properties")?.as_object());
    properties.map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

/// Whether the value should not be shown: the schema says so, or it is an address with credentials in it.
fn secret(error: &ValidationError<'_>, schema: &Value, value: &Value) -> bool {
    let node = beside(error, schema);
    let marked = |key: &str, word: Value| node.and_then(|node| node.get(key)) == Some(&word);
    let address = |text: &str| text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    marked("writeOnly", true.into()) || marked("format", "password".into()) || address(&value.to_string())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
