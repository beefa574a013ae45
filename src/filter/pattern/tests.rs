//! Patterns: the cases of `tests/fixtures/patterns`, what is refused and in which words, and properties.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::arbitrary;
use super::super::{Filter, Match};
use super::Pattern;
use crate::event::{self, Draft, Event};

fn pattern(json: &Value) -> Pattern {
    Pattern::parse(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The event of a fixture: attributes beside `data`, in their JSON types.
fn event(json: &Value) -> Event {
    let mut draft = Draft {
        id: "1".into(),
        source: "/".into(),
        ..Draft::default()
    };
    for (name, value) in json.as_object().expect("an object") {
        match (name.as_str(), value) {
            ("data", _) => {}
            ("type", Value::String(text)) => draft.ty.clone_from(text),
            ("source", Value::String(text)) => draft.source.clone_from(text),
            ("subject", Value::String(text)) => draft.subject = Some(text.clone()),
            (_, Value::String(text)) => draft
                .extensions
                .push((name.clone(), event::Value::String(text.clone()))),
            (_, Value::Bool(truth)) => draft.extensions.push((name.clone(), event::Value::Boolean(*truth))),
            (_, number) => {
                let number = number.as_i64().and_then(|n| i32::try_from(n).ok()).expect("an Integer");
                draft.extensions.push((name.clone(), event::Value::Integer(number)));
            }
        }
    }
    arbitrary::event_of(draft, json.get("data"))
}

#[test]
fn fixtures_match_as_they_say() {
    let mut cases = 0;
    for file in ["text.json", "numbers.json", "structure.json"] {
        let groups: Vec<Value> = arbitrary::fixture(file);
        for group in &groups {
            let event = event(&group["event"]);
            for (list, expected) in [("yes", true), ("no", false)] {
                for json in group[list].as_array().expect("a list") {
                    let compiled = pattern(json);
                    assert_eq!(compiled.matches(&event), expected, "{}: {json}", group["about"]);
                    assert_eq!(pattern(&compiled.to_json()), compiled);
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 250, "only {cases} cases found");
}

#[test]
fn wrong_patterns_are_refused_by_path() {
    let cases: Vec<(String, Value)> = arbitrary::fixture("refused/patterns.json");
    for (message, json) in &cases {
        refused(json, "pattern_invalid", message);
    }
}

#[test]
fn wrong_operands_are_refused_by_path() {
    let cases: Vec<(String, Value)> = arbitrary::fixture("refused/operands.json");
    for (message, item) in &cases {
        let message = format!("pattern.data.state[1]{message}");
        refused(&json!({"data": {"state": ["ok", item]}}), "pattern_invalid", &message);
    }
}

fn refused(json: &Value, code: &str, message: &str) {
    let error = Pattern::parse(json).expect_err(message);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(message), "{error} should say {message}");
}

#[test]
fn patterns_over_the_limits_are_refused() {
    let nested = |depth: usize| {
        let inner = (2..depth).fold(json!({"a": [1]}), |inner, _| json!({"a": inner}));
        json!({"data": inner})
    };
    pattern(&nested(32));
    refused(&nested(33), "pattern_too_large", "nest deeper than 32");

    let text = |length: usize| json!({"type": ["x".repeat(length)]});
    pattern(&text(10_240 - 13));
    refused(&text(10_240 - 12), "pattern_too_large", "longer than 10240 characters");

    let operators = |count: usize| json!({"type": vec![json!({"prefix": "x"}); count]});
    pattern(&operators(256));
    refused(&operators(257), "pattern_too_large", "more than 256 operators");

    // Literals do not count.
    pattern(&json!({"data": {"n": (0..2_000).collect::<Vec<_>>()}}));
}

#[test]
fn hostile_patterns_end_soon() {
    // Multiplied out this is 2^40 patterns.
    let either = (0..40).map(|n| (format!("k{n}"), json!({"$or": [{"a": [1]}, {"b": [2]}]})));
    let json = json!({"data": Value::Object(either.collect())});
    assert!(!pattern(&json).matches(&event(&json!({"type": "t", "data": {"k0": {"a": 1}}}))));

    let stars = "a*".repeat(2_000);
    let long = json!({"type": "t", "data": {"s": "a".repeat(200_000)}});
    assert!(pattern(&json!({"data": {"s": [{"wildcard": stars}]}})).matches(&event(&long)));
    let never = format!("{stars}b");
    assert!(!pattern(&json!({"data": {"s": [{"wildcard": never}]}})).matches(&event(&long)));

    let many: Vec<usize> = (0..50_000).collect();
    let literals: Vec<usize> = (60_000..61_500).collect();
    let event = event(&json!({"type": "t", "data": {"n": many}}));
    assert!(!pattern(&json!({"data": {"n": literals}})).matches(&event));
}

/// The rules once more, on the JSON itself and without a thought for speed.
fn naive(pattern: &Value, data: Option<&Value>) -> bool {
    match (pattern, data) {
        (Value::Object(members), Some(Value::Array(items))) if !items.is_empty() => {
            let _ = members;
            items.iter().any(|item| naive(pattern, Some(item)))
        }
        (Value::Object(members), _) => members.iter().all(|(key, inner)| match key.as_str() {
            "$or" => inner.as_array().expect("a list").iter().any(|inner| naive(inner, data)),
            key => naive(inner, data.and_then(|data| data.get(key))),
        }),
        (tests, None) => {
            let absent = json!({"exists": false});
            tests.as_array().expect("a list").contains(&absent)
        }
        (tests, Some(value)) => {
            let tests = tests.as_array().expect("a list");
            tests.contains(&json!({"exists": true}))
                || elements(value)
                    .iter()
                    .any(|value| tests.iter().any(|test| naive_test(test, value)))
        }
    }
}

fn elements(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(elements).collect(),
        Value::Object(_) => vec![],
        value => vec![value],
    }
}

fn naive_test(test: &Value, value: &Value) -> bool {
    let Some(members) = test.as_object() else {
        return match (test.as_f64(), value.as_f64()) {
            (Some(wanted), Some(given)) => wanted == given,
            _ => test == value,
        };
    };
    members.iter().all(|(operator, operand)| {
        let wanted = operand.as_str().unwrap_or_default();
        let text = value.as_str();
        match operator.as_str() {
            "prefix" => text.is_some_and(|text| text.starts_with(wanted)),
            "suffix" => text.is_some_and(|text| text.ends_with(wanted)),
            "contains" => text.is_some_and(|text| text.contains(wanted)),
            "equals-ignore-case" => text.is_some_and(|text| text.eq_ignore_ascii_case(wanted)),
            "wildcard" => text.is_some_and(|text| {
                let (before, after) = wanted.split_once('*').expect("a star");
                text.len() >= before.len() + after.len() && text.starts_with(before) && text.ends_with(after)
            }),
            "numeric" => value.as_f64().is_some_and(|n| {
                n >= operand[1].as_f64().expect("a number") && n < operand[3].as_f64().expect("a number")
            }),
            "anything-but" => match operand {
                Value::Array(items) => !items.iter().any(|item| naive_test(item, value)),
                item => !naive_test(item, value),
            },
            "exists" => operand == true,
            other => panic!("{other}"),
        }
    })
}

proptest! {
    #[test]
    fn agrees_with_the_rules(json in arbitrary::patterns(), event in arbitrary::events()) {
        // Only the part on data: the rules above know no attributes.
        let json = json!({"data": json.get("data").cloned().unwrap_or_else(|| json!([{"exists": true}]))});
        prop_assert_eq!(pattern(&json).matches(&event), naive(&json["data"], event.json()), "{}", json);
    }

    #[test]
    fn not_inverts(json in arbitrary::patterns(), event in arbitrary::events()) {
        let plain = Filter::parse(&json!({"pattern": json})).expect("valid");
        let not = Filter::parse(&json!({"not": {"pattern": json}})).expect("valid");
        let pair = (plain.matches(&event), not.matches(&event));
        prop_assert!(matches!(pair, (Match::Yes, Match::No) | (Match::No, Match::Yes)));
    }

    #[test]
    fn or_is_any_of_its_patterns(
        left in arbitrary::patterns(),
        right in arbitrary::patterns(),
        event in arbitrary::events(),
    ) {
        prop_assume!(left != json!({}) && right != json!({}));
        let or = pattern(&json!({"$or": [left, right]}));
        prop_assert_eq!(or.matches(&event), pattern(&left).matches(&event) || pattern(&right).matches(&event));
    }

    #[test]
    fn any_json_is_compiled_or_refused(
        text in "[\\[\\]{}:,\"a-c0-9 $.*\\\\-]{0,60}",
        event in arbitrary::events(),
    ) {
        if let Ok(json) = serde_json::from_str::<Value>(&text)
            && let Ok(compiled) = Pattern::parse(&json)
        {
            compiled.matches(&event);
            prop_assert_eq!(pattern(&compiled.to_json()), compiled);
        }
    }

    #[test]
    fn any_operand_is_compiled_or_refused(
        operator in proptest::sample::select(vec![
            "prefix", "suffix", "contains", "equals-ignore-case", "wildcard", "anything-but", "numeric", "cidr",
            "exists", "$or",
        ]),
        operand in arbitrary::patterns(),
        text in "\\PC{0,8}",
        event in arbitrary::events(),
    ) {
        for operand in [operand, json!(text), json!([text]), json!({"prefix": text})] {
            if let Ok(compiled) = Pattern::parse(&json!({"data": {"a": [{operator: operand}]}})) {
                compiled.matches(&event);
            }
        }
    }
}
