//! Keeps the events whose number at a JSON Pointer is within bounds, and drops the rest with the reason.
//!
//! The hub parses the data (`event.at`), so this plugin has a JSON parser only for its own small config.
//! Invariant: what is refused is refused in `init`; `evaluate` never fails.

use std::sync::OnceLock;

use serde::Deserialize;

use busway::plugin::log;
use exports::busway::plugin::filter::{About, Event, Guest, Head, Verdict};

wit_bindgen::generate!({ path: "../../wit/v0", world: "filter-plugin" });

const SCHEMA: &str = include_str!("../config.schema.json");

/// Set by `init`, which the hub calls once per instance, before anything else.
static RULE: OnceLock<Rule> = OnceLock::new();

struct Threshold;

impl Guest for Threshold {
    fn describe() -> About {
        About {
            summary: "keeps events whose number at a JSON Pointer is within bounds".to_owned(),
            config_schema: Some(SCHEMA.to_owned()),
        }
    }

    fn init(config: String) -> Result<(), String> {
        // Without std's stderr a panic would leave no words: send them to the hub's log.
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
        let rule = Rule::parse(&config)?;
        RULE.set(rule).map_err(|_| "init was called twice".to_owned())
    }

    fn evaluate(_head: Head, event: &Event) -> Result<Verdict, String> {
        let rule = RULE.get().ok_or("init was not called")?;
        let found = event.at(&rule.pointer);
        Ok(match rule.objection(found.as_deref()) {
            None => Verdict::Pass,
            Some(reason) => Verdict::Drop(reason),
        })
    }
}

export!(Threshold);

/// The config, checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    pointer: String,
    min: Option<f64>,
    max: Option<f64>,
    #[serde(default)]
    missing: Missing,
}

/// What becomes of an event that has no number there.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Missing {
    #[default]
    Drop,
    Pass,
}

impl Rule {
    fn parse(config: &str) -> Result<Self, String> {
        let rule: Self = serde_json::from_str(config).map_err(|error| format!("config: {error}"))?;
        if !rule.pointer.is_empty() && !rule.pointer.starts_with('/') {
            return Err(format!(
                "config: pointer must be a JSON Pointer such as \"/{}\"",
                rule.pointer
            ));
        }
        match (rule.min, rule.max) {
            (None, None) => Err("config: give min, max, or both".to_owned()),
            (Some(min), Some(max)) if min > max => Err(format!("config: min {min} is above max {max}")),
            _ => Ok(rule),
        }
    }

    /// Why an event with this JSON at the pointer must not pass, if so.
    fn objection(&self, found: Option<&str>) -> Option<String> {
        let Some(number) = found.and_then(number) else {
            return match self.missing {
                Missing::Drop => Some(format!("no number at {}", self.pointer)),
                Missing::Pass => None,
            };
        };
        match (self.min, self.max) {
            (Some(min), _) if number < min => Some(format!("{number} at {} is below {min}", self.pointer)),
            (_, Some(max)) if number > max => Some(format!("{number} at {} is above {max}", self.pointer)),
            _ => None,
        }
    }
}

/// A JSON number; Rust's own parser reads those, but also `inf` and `nan`, which are not JSON.
fn number(json: &str) -> Option<f64> {
    json.parse()
        .ok()
        .filter(|_| json.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_the_number() {
        let check = |config: &str, found: Option<&str>, expected: Option<&str>| {
            let objection = Rule::parse(config).unwrap().objection(found);
            assert_eq!(objection.as_deref(), expected, "{config} on {found:?}");
        };
        let both = r#"{"pointer": "/n", "min": 10, "max": 100}"#;
        check(both, Some("10"), None);
        check(both, Some("100.0"), None);
        check(both, Some("1e1"), None);
        check(both, Some("9.5"), Some("9.5 at /n is below 10"));
        check(both, Some("-1"), Some("-1 at /n is below 10"));
        check(both, Some("100.5"), Some("100.5 at /n is above 100"));
        check(both, None, Some("no number at /n"));
        for other in ["\"50\"", "null", "true", "[50]", "{}", "inf", "nan"] {
            check(both, Some(other), Some("no number at /n"));
        }
        check(r#"{"pointer": "", "min": 0}"#, Some("7"), None);
        check(r#"{"pointer": "/n", "max": 0, "missing": "pass"}"#, None, None);
        check(
            r#"{"pointer": "/n", "max": 0, "missing": "pass"}"#,
            Some("1"),
            Some("1 at /n is above 0"),
        );
    }

    #[test]
    fn refuses_a_wrong_config() {
        let check = |config: &str, says: &str| {
            let error = Rule::parse(config).unwrap_err();
            assert!(error.contains(says), "{config}: {error}");
        };
        check("{}", "missing field `pointer`");
        check(r#"{"pointer": "/n"}"#, "give min, max, or both");
        check(r#"{"pointer": "n", "min": 1}"#, r#"such as "/n""#);
        check(r#"{"pointer": "/n", "min": 2, "max": 1}"#, "min 2 is above max 1");
        check(r#"{"pointer": "/n", "min": "2"}"#, "invalid type");
        check(r#"{"pointer": "/n", "min": 2, "mix": 1}"#, "unknown field `mix`");
        check(
            r#"{"pointer": "/n", "min": 2, "missing": "keep"}"#,
            "unknown variant `keep`",
        );
    }

    #[test]
    fn the_schema_is_json() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["required"], serde_json::json!(["pointer"]));
    }
}
