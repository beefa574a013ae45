//! A schema as a list of fields: what the command line makes options of, and the docs a table.
//!
//! Only what a person would set is a field: nested objects are taken apart (`tls.ca`), lists and free objects are one.
//! Invariant: whatever the schema, at most `MOST` fields; one that cannot be read as a list of fields gives none.

use serde_json::{Map, Value};

/// The most levels of objects within objects.
const DEEPEST: usize = 4;
/// The most fields.
const MOST: usize = 500;

/// One field of a plugin's config.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its path: `host`, `tls.ca`.
    pub name: String,
    /// What it takes.
    pub kind: FieldKind,
    /// What it takes, in words: `integer, 1 to 65535`.
    pub takes: String,
    /// Whether a config must have it (in the object that it stands in).
    pub required: bool,
    /// What holds if it is left out.
    pub default: Option<Value>,
    /// What it is for.
    pub description: String,
}

/// What a field takes, as far as text must be read by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// `true` or `false`.
    Switch,
    /// A number without a fraction.
    Integer,
    /// A number.
    Number,
    /// Several of one kind.
    List(Box<FieldKind>),
    /// Several kinds, or an object: JSON.
    Any,
}

/// The fields of a config with this schema: first those that it must have, each group by name.
pub fn fields(schema: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    Walk {
        root: schema,
        found: &mut found,
    }
    .object(schema, "", 0);
    found.sort_by_key(|field| !field.required);
    found
}

struct Walk<'a> {
    root: &'a Value,
    found: &'a mut Vec<Field>,
}

impl<'a> Walk<'a> {
    fn object(&mut self, node: &'a Value, above: &str, depth: usize) {
        let node = self.resolved(node);
        let required = node.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
        for (name, member) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = match above {
                "" => name.clone(),
                above => format!("{above}.{name}"),
            };
            let resolved = self.resolved(member);
            if resolved.get("properties").is_some() && depth + 1 < DEEPEST {
                self.object(member, &path, depth + 1);
            } else if self.found.len() < MOST {
                let text = |key: &str| member.get(key).or_else(|| resolved.get(key));
                self.found.push(Field {
                    name: path,
                    kind: self.kind(resolved),
                    takes: self.takes(resolved),
                    required: is_required(name),
                    default: text("default").cloned(),
                    description: text("description")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                });
            }
        }
    }

    /// Follows a reference within the schema. The load refused chains that do not end; the count is for other callers.
    fn resolved(&self, mut node: &'a Value) -> &'a Value {
        for _ in 0..8 {
            let target = node
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|at| at.strip_prefix('#'));
            match target.and_then(|pointer| self.root.pointer(pointer)) {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    fn kind(&self, node: &'a Value) -> FieldKind {
        match node.get("type").and_then(Value::as_str) {
            Some("string") => FieldKind::Text,
            Some("boolean") => FieldKind::Switch,
            Some("integer") => FieldKind::Integer,
            Some("number") => FieldKind::Number,
            Some("array") => {
                let items = node.get("items").map(|items| self.resolved(items));
                FieldKind::List(Box::new(items.map_or(FieldKind::Any, |items| match self.kind(items) {
                    FieldKind::List(_) => FieldKind::Any,
                    plain => plain,
                })))
            }
            None if all_text(node) => FieldKind::Text,
            _ => FieldKind::Any,
        }
    }

    fn takes(&self, node: &'a Value) -> String {
        if let Some(choices) = node.get("enum").and_then(Value::as_array) {
            let choices: Vec<String> = choices.iter().map(Value::to_string).collect();
            return choices.join(" or ");
        }
        let kind = match node.get("type") {
            Some(Value::String(kind)) if kind == "array" => {
                let items = node.get("items").map(|items| self.takes(self.resolved(items)));
                format!("list of {}", items.unwrap_or_else(|| "anything".to_owned()))
            }
            Some(Value::String(kind)) => kind.clone(),
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => match node
                .get("oneOf")
                .or_else(|| node.get("anyOf"))
                .and_then(Value::as_array)
            {
                Some(forms) => {
                    let forms: Vec<String> = forms.iter().map(|form| self.takes(self.resolved(form))).collect();
                    forms.join(" or ")
                }
                None => "anything".to_owned(),
            },
        };
        let bound = |key: &str| node.get(key).filter(|bound| bound.is_number());
        match (bound("minimum"), bound("maximum")) {
            (Some(low), Some(high)) => format!("{kind}, {low} to {high}"),
            (Some(low), None) => format!("{kind}, at least {low}"),
            (None, Some(high)) => format!("{kind}, at most {high}"),
            (None, None) => kind,
        }
    }
}

fn all_text(node: &Value) -> bool {
    let choices = node.get("enum").and_then(Value::as_array);
    choices.is_some_and(|choices| !choices.is_empty() && choices.iter().all(Value::is_string))
}

impl FieldKind {
    /// Reads a value from the text of an option; a list by its commas, unless it is JSON.
    ///
    /// # Errors
    /// What must be.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        let json = || serde_json::from_str::<Value>(text).ok();
        match self {
            Self::Text => Ok(text.into()),
            Self::Switch => json()
                .filter(Value::is_boolean)
                .ok_or_else(|| "must be true or false".to_owned()),
            Self::Integer => json()
                .filter(|value| value.is_i64() || value.is_u64())
                .ok_or_else(|| "must be a whole number".to_owned()),
            Self::Number => json()
                .filter(Value::is_number)
                .ok_or_else(|| "must be a number".to_owned()),
            Self::List(each) => match json() {
                Some(list @ Value::Array(_)) => Ok(list),
                _ if text.is_empty() => Ok(Value::Array(Vec::new())),
                _ => text.split(',').map(|item| each.read(item.trim())).collect(),
            },
            Self::Any => Ok(json().unwrap_or_else(|| text.into())),
        }
    }
}

impl Field {
    /// Puts a value into a config at this field's path.
    pub fn put(&self, config: &mut Map<String, Value>, value: Value) {
        put(config, &self.name, value);
    }
}

/// Puts a value at a dotted path, making the objects on the way.
fn put(config: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(config.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let inner = config.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
