//! Filters as they are written: `{"prefix": {"subject": "/my-app"}}` (CloudEvents Subscriptions API), with
//! EventBridge's patterns and plugins as two dialects more.
//!
//! Invariant: a filter in memory is within the limits below, and `to_json` gives JSON that parses to an equal one.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::path::Path;
use super::pattern::{Mode, Pattern};
use super::sql::Sql;
use crate::error::Error;
use crate::nearest::hint;

/// The most filters inside one another.
const MAX_DEPTH: usize = 16;
/// The most filters in one filter (or in one list of them), nested ones included.
const MAX_FILTERS: usize = 256;
/// The most characters in a plugin's name.
const MAX_PLUGIN_NAME: usize = 128;

/// A filter that a plugin evaluates: only a name and a config here; `deliver` makes the call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PluginFilter {
    /// The plugin's name.
    pub name: Arc<str>,
    /// The subscription's own config for it: one JSON object, compact, as text.
    pub config: Arc<str>,
}

/// One filter in one of the dialects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Every named attribute has exactly this value.
    Exact(Vec<(String, String)>),
    /// Every named attribute begins with this value.
    Prefix(Vec<(String, String)>),
    /// Every named attribute ends with this value.
    Suffix(Vec<(String, String)>),
    /// Every one of these passes.
    All(Vec<Filter>),
    /// At least one of these passes.
    Any(Vec<Filter>),
    /// This one does not pass.
    Not(Box<Filter>),
    /// An EventBridge pattern on attributes and data.
    Pattern(Pattern),
    /// A CESQL expression on attributes.
    Sql(Sql),
    /// A plugin's verdict.
    Plugin(PluginFilter),
}

impl Filter {
    /// Reads one filter of the JSON form `{"exact": {...}}`; the error names the path and the dialect.
    ///
    /// # Errors
    /// `filter_invalid`, `filter_dialect_unknown`, `filter_too_large`, or what [`Pattern::parse`] and [`Sql::parse`] say.
    pub fn parse(json: &Value) -> Result<Self, Error> {
        Parser::default().filter(json, &Path::Root("filter"), 1)
    }

    /// Reads the array `filters` of a subscription; paths in errors begin with `filters[0]`.
    ///
    /// # Errors
    /// As [`Filter::parse`].
    pub fn parse_list(json: &Value) -> Result<Vec<Self>, Error> {
        let path = Path::Root("filters");
        let Value::Array(items) = json else {
            return Err(path.fault("filter_invalid", "must be an array of filters"));
        };
        Parser::default().filters(items, &path, 1)
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        let list = |filters: &[Self]| filters.iter().map(Self::to_json).collect::<Value>();
        match self {
            Self::Exact(pairs) => json!({"exact": object(pairs)}),
            Self::Prefix(pairs) => json!({"prefix": object(pairs)}),
            Self::Suffix(pairs) => json!({"suffix": object(pairs)}),
            Self::All(filters) => json!({"all": list(filters)}),
            Self::Any(filters) => json!({"any": list(filters)}),
            Self::Not(filter) => json!({"not": filter.to_json()}),
            Self::Pattern(pattern) => match pattern.mode().name() {
                None => json!({"pattern": pattern.to_json()}),
                Some(mode) => json!({"pattern": pattern.to_json(), "mode": mode}),
            },
            Self::Sql(sql) => json!({"sql": sql.as_str()}),
            Self::Plugin(plugin) => {
                // The text came from JSON; were it not, the config would be shown as null, not lost in a panic.
                let config: Value = serde_json::from_str(&plugin.config).unwrap_or_default();
                json!({"plugin": {"name": &*plugin.name, "config": config}})
            }
        }
    }
}

/// Attribute pairs as a JSON object.
fn object(pairs: &[(String, String)]) -> Map<String, Value> {
    let member = |(name, value): &(String, String)| (name.clone(), value.as_str().into());
    pairs.iter().map(member).collect()
}

/// Reads a dialect's operand.
type Dialect = fn(&mut Parser, &Value, &Path<'_>, usize) -> Result<Filter, Error>;

/// Every dialect and its reader.
const DIALECTS: &[(&str, Dialect)] = &[
    ("exact", |_, json, path, _| Ok(Filter::Exact(pairs(json, path)?))),
    ("prefix", |_, json, path, _| Ok(Filter::Prefix(pairs(json, path)?))),
    ("suffix", |_, json, path, _| Ok(Filter::Suffix(pairs(json, path)?))),
    ("all", |p, json, path, depth| {
        Ok(Filter::All(p.group(json, path, depth)?))
    }),
    ("any", |p, json, path, depth| {
        Ok(Filter::Any(p.group(json, path, depth)?))
    }),
    ("not", |p, json, path, depth| {
        Ok(Filter::Not(Box::new(p.filter(json, path, depth + 1)?)))
    }),
    ("pattern", |_, json, path, _| {
        Ok(Filter::Pattern(Pattern::parse_at(json, Mode::Own, path)?))
    }),
    ("sql", |_, json, path, _| Ok(Filter::Sql(Sql::parse_at(json, path)?))),
    ("plugin", |_, json, path, _| Ok(Filter::Plugin(plugin(json, path)?))),
];

/// Counts filters while it reads them.
#[derive(Default)]
struct Parser {
    filters: usize,
}

impl Parser {
    fn filter(&mut self, json: &Value, path: &Path<'_>, depth: usize) -> Result<Filter, Error> {
        self.filters += 1;
        if depth > MAX_DEPTH {
            return Err(path.fault("filter_too_large", "filters nest deeper than 16"));
        }
        if self.filters > MAX_FILTERS {
            return Err(path.fault("filter_too_large", "more than 256 filters"));
        }
        if let Some((pattern, mode)) = json.get("pattern").zip(json.get("mode")) {
            return with_mode(json, pattern, mode, path);
        }
        let one = json.as_object().filter(|object| object.len() == 1);
        let Some((name, operand)) = one.and_then(|object| object.iter().next()) else {
            let rule = "must be an object with one dialect, such as {\"prefix\": {\"subject\": \"/my-app\"}}";
            return Err(path.fault("filter_invalid", rule));
        };
        match DIALECTS.iter().find(|(known, _)| known == name) {
            Some((_, read)) => read(self, operand, &path.key(name), depth),
            None => {
                let hint = hint(name, DIALECTS.iter().map(|(known, _)| *known));
                let shown: String = name.chars().take(64).collect();
                let rule = format!("unknown dialect {shown:?}; {hint}");
                Err(path.fault("filter_dialect_unknown", rule))
            }
        }
    }

    /// The operand of `all` and `any`.
    fn group(&mut self, json: &Value, path: &Path<'_>, depth: usize) -> Result<Vec<Filter>, Error> {
        match json {
            Value::Array(items) if !items.is_empty() => self.filters(items, path, depth + 1),
            _ => Err(path.fault("filter_invalid", "must be an array of at least one filter")),
        }
    }

    fn filters(&mut self, items: &[Value], path: &Path<'_>, depth: usize) -> Result<Vec<Filter>, Error> {
        // Of its size at once: filters live long and by the million, and `collect` would take room for four.
        let mut filters = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            filters.push(self.filter(item, &path.item(at), depth)?);
        }
        Ok(filters)
    }
}

/// A pattern with the mode beside it.
fn with_mode(json: &Value, pattern: &Value, mode: &Value, path: &Path<'_>) -> Result<Filter, Error> {
    if let Some(key) = json
        .as_object()
        .and_then(|object| object.keys().find(|key| !matches!(key.as_str(), "pattern" | "mode")))
    {
        let rule = "a pattern has `mode` beside it and nothing else";
        return Err(path.key(key).fault("filter_invalid", rule));
    }
    let known = mode
        .as_str()
        .and_then(|name| Mode::NAMED.iter().find(|(known, _)| *known == name));
    let Some((_, mode)) = known else {
        let rule = "must be \"alibaba\" or \"aws\"; leave it out for our own rules";
        return Err(path.key("mode").fault("filter_invalid", rule));
    };
    Ok(Filter::Pattern(Pattern::parse_at(
        pattern,
        *mode,
        &path.key("pattern"),
    )?))
}

/// The operand of `exact`, `prefix` and `suffix`.
fn pairs(json: &Value, path: &Path<'_>) -> Result<Vec<(String, String)>, Error> {
    let Some(object) = json.as_object().filter(|object| !object.is_empty()) else {
        let rule = "must be an object of at least one attribute and its text";
        return Err(path.fault("filter_invalid", rule));
    };
    let mut pairs = Vec::with_capacity(object.len());
    for (name, value) in object {
        if !is_attribute_name(name) {
            let rule = "is no attribute name: only lower-case letters a-z and digits";
            return Err(path.key(name).fault("filter_invalid", rule));
        }
        match value.as_str() {
            Some(text) if !text.is_empty() => pairs.push((name.clone(), text.to_owned())),
            _ => {
                return Err(path
                    .key(name)
                    .fault("filter_invalid", "must be a text that is not empty"));
            }
        }
    }
    Ok(pairs)
}

/// Whether CloudEvents allows an attribute of this name.
pub(super) fn is_attribute_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The operand of `plugin`.
fn plugin(json: &Value, path: &Path<'_>) -> Result<PluginFilter, Error> {
    let Some(object) = json.as_object() else {
        let rule = "must be an object {\"name\": …, \"config\": {…}}";
        return Err(path.fault("filter_invalid", rule));
    };
    if let Some(key) = object.keys().find(|key| !matches!(key.as_str(), "name" | "config")) {
        let hint = hint(key, ["name", "config"]);
        return Err(path
            .key(key)
            .fault("filter_invalid", format!("is not known here; {hint}")));
    }
    let name = object
        .get("name")
        .and_then(Value::as_str)
        .filter(|name| is_plugin_name(name));
    let Some(name) = name else {
        let rule =
            "must be a plugin's name: letters, digits, `-`, `_` and `.`, at most 128, beginning with a letter or digit";
        return Err(path.key("name").fault("filter_invalid", rule));
    };
    let config = match object.get("config") {
        None => "{}".into(),
        Some(config @ Value::Object(_)) => config.to_string(),
        Some(_) => {
            return Err(path.key("config").fault("filter_invalid", "must be an object"));
        }
    };
    Ok(PluginFilter {
        name: name.into(),
        config: config.into(),
    })
}

/// Whether a file in the plugin directory can have this name.
fn is_plugin_name(name: &str) -> bool {
    name.len() <= MAX_PLUGIN_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests;
