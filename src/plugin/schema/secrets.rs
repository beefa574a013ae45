//! Which values of a config are secret by its schema: `writeOnly`, or `"format": "password"`.
//!
//! The walk follows every way that a value may be described (`anyOf`, `if`, `items`, …), whether or not that way holds:
//! what any of them calls secret is secret.
//! Invariant: it ends, whatever the schema: the load has bounded the schema with its references followed.

use serde_json::Value;

/// The shortest text that is looked for where it may stand within another: shorter ones are in every sentence.
const SHORTEST: usize = 4;

/// The JSON Pointers of the secret values in a config, in its order.
pub(super) fn places(schema: &Value, config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Walk {
        root: schema,
        found: &mut found,
    }
    .value(schema, config, String::new());
    found
}

/// What must not be read in an account of what a plugin did: the texts of a secret, and of a URL what only those who
/// know it have.
pub(in crate::plugin) fn texts(secret: &Value) -> Vec<String> {
    let mut found = match secret {
        Value::String(text) => match url::Url::parse(text) {
            Ok(url) if url.has_host() => {
                let rest = text.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
                let path = rest.map(|(_, path)| path.to_owned());
                let password = url.password().map(str::to_owned);
                path.into_iter().chain(password).collect()
            }
            _ => vec![text.clone()],
        },
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    };
    found.retain(|text| text.len() >= SHORTEST);
    found
}

struct Walk<'a> {
    root: &'a Value,
    found: &'a mut Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, node: &Value, value: &Value, at: String) {
        let Some(schema) = node.as_object() else { return };
        let is = |key: &str, word: Value| schema.get(key) == Some(&word);
        if is("writeOnly", true.into()) || is("format", "password".into()) {
            if !value.is_null() && !self.found.contains(&at) {
                self.found.push(at);
            }
            return;
        }
        for (key, part) in schema {
            match key.as_str() {
                "$ref" => {
                    let target = part.as_str().and_then(|target| target.strip_prefix('#'));
                    if let Some(target) = target.and_then(|pointer| self.root.pointer(pointer)) {
                        self.value(target, value, at.clone());
                    }
                }
                "allOf" | "anyOf" | "oneOf" => {
                    for way in part.as_array().into_iter().flatten() {
                        self.value(way, value, at.clone());
                    }
                }
                "if" | "then" | "else" | "not" => self.value(part, value, at.clone()),
                "dependentSchemas" => {
                    for way in part.as_object().into_iter().flat_map(|ways| ways.values()) {
                        self.value(way, value, at.clone());
                    }
                }
                "properties" => {
                    for (name, member) in part.as_object().into_iter().flatten() {
                        if let Some(value) = value.get(name) {
                            self.value(member, value, format!("{at}/{}", escaped(name)));
                        }
                    }
                }
                "patternProperties" => {
                    // Which members a pattern means is the validator's business: on the safe side, all.
                    for member in part.as_object().into_iter().flat_map(|all| all.values()) {
                        self.each(member, value, &at);
                    }
                }
                "additionalProperties" | "unevaluatedProperties" | "items" | "unevaluatedItems" | "contains" => {
                    self.each(part, value, &at);
                }
                "prefixItems" => {
                    for (i, member) in part.as_array().into_iter().flatten().enumerate() {
                        if let Some(value) = value.get(i) {
                            self.value(member, value, format!("{at}/{i}"));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Every member of an object, or element of a list, by one part of the schema.
    fn each(&mut self, node: &Value, value: &Value, at: &str) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    self.value(node, value, format!("{at}/{}", escaped(name)));
                }
            }
            Value::Array(items) => {
                for (i, value) in items.iter().enumerate() {
                    self.value(node, value, format!("{at}/{i}"));
                }
            }
            _ => {}
        }
    }
}

/// A name as JSON Pointer has it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_schema_calls_secret_is_found_wherever_it_stands() {
        let schema = json!({
            "properties": {
                "url": {"type": "string", "writeOnly": true},
                "plain": {"type": "string"},
                "a/b": {"$ref": "#/$defs/inner"},
                "keys": {"items": {"format": "password"}},
                "either": {"anyOf": [{"type": "string"}, {"properties": {"pin": {"writeOnly": true}}}]},
            },
            "additionalProperties": {"properties": {"deep": {"writeOnly": true}}},
            "$defs": {"inner": {"properties": {"pass": {"writeOnly": true}}}},
        });
        let check = |config: Value, expected: &[&str]| assert_eq!(places(&schema, &config), expected, "{config}");
        check(json!({}), &[]);
        check(json!({"plain": "x"}), &[]);
        check(json!({"url": "u", "plain": "x"}), &["/url"]);
        check(json!({"url": null}), &[]);
        check(json!({"a/b": {"pass": "p", "user": "u"}}), &["/a~1b/pass"]);
        check(json!({"keys": ["a", "b"]}), &["/keys/0", "/keys/1"]);
        check(json!({"either": {"pin": 1}}), &["/either/pin"]);
        check(json!({"more": {"deep": {"whole": 1}}}), &["/more/deep"]);
    }

    #[test]
    fn of_a_secret_address_the_host_may_be_read() {
        let check = |secret: Value, expected: &[&str]| assert_eq!(texts(&secret), expected, "{secret}");
        check(json!("hunter2"), &["hunter2"]);
        check(json!("abc"), &[]);
        check(json!("https://hooks.example.com/T1/B2?x=y"), &["T1/B2?x=y"]);
        check(json!("amqp://hub:word@mq.example.com/orders"), &["orders", "word"]);
        check(json!("https://hooks.example.com"), &[]);
        check(json!({"a": ["one_", "two_"]}), &["one_", "two_"]);
    }
}
