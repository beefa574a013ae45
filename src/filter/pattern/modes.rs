//! The modes `alibaba` and `aws`: the cases of `tests/fixtures/patterns`, refusals word for word, and the rules of
//! `alibaba` once more as a naive evaluator, against which the compiled one and the index are held.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::arbitrary;
use super::super::{Filter, Index, Match, Selector};
use super::{Mode, Pattern};
use crate::event::{Data, DataKind, Draft, Event};
use crate::filter::path::Path;

#[derive(serde::Deserialize)]
struct Group<P, D> {
    about: String,
    event: Map<String, Value>,
    data: Option<D>,
    yes: Vec<P>,
    no: Vec<P>,
}

/// An event with these attributes, and data as it is written.
fn event(attributes: &Map<String, Value>, data: Option<&str>) -> Event {
    let of = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    let named = ["type", "source", "subject", "data"];
    let rest = attributes.iter().filter(|(name, _)| !named.contains(&name.as_str()));
    let draft = Draft {
        id: "1".into(),
        source: of("source").unwrap_or_else(|| "/".into()),
        ty: of("type").unwrap_or_else(|| "t".into()),
        subject: of("subject"),
        extensions: rest
            .map(|(name, value)| {
                (
                    name.clone(),
                    crate::event::Value::String(value.as_str().expect("a text").into()),
                )
            })
            .collect(),
        data: data.map(|text| Data {
            kind: DataKind::Json,
            bytes: text.to_owned().into(),
        }),
        ..Draft::default()
    };
    draft.check().expect("valid")
}

fn aws(json: &Value) -> Result<Pattern, crate::error::Error> {
    Pattern::parse_at(json, Mode::Aws, &Path::Root("pattern"))
}

#[test]
fn alibaba_fixtures_match_as_they_say() {
    for Group {
        about,
        event: attributes,
        data,
        yes,
        no,
    } in arbitrary::fixture::<Vec<Group<String, String>>>("alibaba.json")
    {
        let event = event(&attributes, data.as_deref());
        for (list, expected) in [(yes, true), (no, false)] {
            for text in list {
                let pattern = Pattern::alibaba(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(pattern.matches(&event), expected, "{about}: {text}");
                assert_eq!(pattern.first_failing(&event).is_none(), expected, "{about}: {text}");
                found_by_the_index(pattern, &event);
            }
        }
    }
}

#[test]
fn aws_fixtures_match_as_they_say() {
    for Group {
        about,
        event: mut attributes,
        yes,
        no,
        ..
    } in arbitrary::fixture::<Vec<Group<Value, Value>>>("aws.json")
    {
        let data = attributes.remove("data").expect("data").to_string();
        let event = event(&attributes, Some(&data));
        for (list, expected) in [(yes, true), (no, false)] {
            for json in list {
                let pattern = aws(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
                assert_eq!(pattern.matches(&event), expected, "{about}: {json}");
                assert_eq!(pattern.first_failing(&event).is_none(), expected, "{about}: {json}");
                found_by_the_index(pattern, &event);
            }
        }
    }
}

#[test]
fn alibaba_refuses_in_the_engines_words() {
    for (reason, text) in arbitrary::fixture::<Vec<(String, String)>>("refused/alibaba.json") {
        let error = Pattern::alibaba(&text).expect_err(&text);
        assert_eq!(
            error.message(),
            format!("Event pattern is not valid, reason: {reason}"),
            "{text}"
        );
    }
    let long = json!({"type": ["x".repeat(10_240)]}).to_string();
    assert_eq!(Pattern::alibaba(&long).expect_err("long").code(), "pattern_too_large");
    let deep = (0..40).fold(json!([1]), |inner, _| json!({"a": inner}));
    assert_eq!(
        Pattern::alibaba(&json!({"data": deep}).to_string())
            .expect_err("deep")
            .code(),
        "pattern_too_large"
    );
}

#[test]
fn aws_refuses_what_the_service_refuses() {
    for (reason, json) in arbitrary::fixture::<Vec<(String, Value)>>("refused/aws.json") {
        let error = aws(&json).expect_err(&reason);
        assert!(error.message().contains(&reason), "{json}: {error}");
    }
}

#[test]
fn a_mode_is_part_of_the_filter() {
    for (json, refused) in [
        (json!({"pattern": {"type": ["a"]}, "mode": "alibaba"}), None),
        (
            json!({"pattern": "{\"data\": {\"n\": [3.0e2]}}", "mode": "alibaba"}),
            None,
        ),
        (json!({"pattern": {"type": ["a"]}, "mode": "aws"}), None),
        (
            json!({"pattern": {"type": ["a"]}, "mode": "AWS"}),
            Some("filter.mode: must be \"alibaba\" or \"aws\""),
        ),
        (
            json!({"pattern": {"type": ["a"]}, "mode": "aws", "x": 1}),
            Some("filter.x: a pattern has `mode`"),
        ),
        (
            json!({"pattern": {"types": ["a"]}, "mode": "alibaba"}),
            Some("filter.pattern: Event pattern is not valid, reason: the pattern has unrecognized pattern key: types"),
        ),
    ] {
        match (Filter::parse(&json), refused) {
            (Ok(filter), None) => {
                assert_eq!(filter.to_json(), json);
                assert_eq!(Filter::parse(&filter.to_json()).expect("valid"), filter);
            }
            (Err(error), Some(words)) => assert!(error.message().contains(words), "{error}"),
            (other, _) => panic!("{json}: {other:?}"),
        }
    }
    let own = Filter::parse(&json!({"pattern": {"type": ["a"]}})).expect("valid");
    assert_ne!(
        own,
        Filter::parse(&json!({"pattern": {"type": ["a"]}, "mode": "aws"})).expect("valid")
    );
}

#[test]
fn the_time_is_matched_as_its_producer_wrote_it() {
    let (plain, odd) = ("2020-11-19T13:04:42Z", "2020-11-19T21:04:42.179PRC");
    let at = |original: Option<&str>| {
        let mut draft = event(&Map::new(), None).to_draft();
        draft.time = Some(plain.into());
        let original = original.map(|text| {
            (
                "aliyunoriginaltime".to_owned(),
                crate::event::Value::String(text.into()),
            )
        });
        draft.extensions.extend(original);
        draft.check().expect("valid")
    };
    for (time, original, expected) in [
        (plain, None, true),
        (odd, Some(odd), true),
        (plain, Some(odd), false),
        (odd, None, false),
    ] {
        let pattern = Pattern::alibaba(&json!({"time": [time]}).to_string()).expect("valid");
        assert_eq!(pattern.matches(&at(original)), expected, "{time} {original:?}");
        found_by_the_index(pattern, &at(original));
    }
}

fn found_by_the_index(pattern: Pattern, event: &Event) {
    let selector = Selector {
        filters: vec![Filter::Pattern(pattern)],
        ..Selector::default()
    };
    let (mut index, mut hits, answer) = (Index::new(), Vec::new(), selector.matches(event));
    index.insert((), Arc::new(selector));
    index.matches(event, &mut hits);
    assert_eq!(hits.first().map_or(Match::No, |(_, found)| *found), answer);
}

/// Alibaba's rules on the JSON itself, without a thought for speed.
fn naive(pattern: &Value, event: &Event) -> bool {
    pattern
        .as_object()
        .expect("an object")
        .iter()
        .all(|(key, wanted)| match key.as_str() {
            "data" => event.json().is_some_and(|data| naive_data(wanted, Some(data))),
            name => naive_leaf(
                wanted,
                event
                    .attribute(name)
                    .map(|text| Value::from(text.into_owned()))
                    .as_ref(),
            ),
        })
}

fn naive_data(wanted: &Value, value: Option<&Value>) -> bool {
    match wanted {
        Value::Object(members) => members.iter().all(|(key, wanted)| {
            let below = key.split('.').try_fold(value, |value, key| {
                Some(value?.as_object().and_then(|map| map.get(key)))
            });
            naive_data(wanted, below.flatten())
        }),
        wanted => naive_leaf(wanted, value),
    }
}

fn naive_leaf(wanted: &Value, value: Option<&Value>) -> bool {
    let tests = wanted.as_array().expect("a list");
    let passes = |value: &Value| tests.iter().any(|test| naive_test(test, value));
    match value {
        None => tests.contains(&json!({"exists": false})),
        Some(Value::Object(_)) => false,
        Some(Value::Array(items)) if items.iter().any(|item| item.is_object() || item.is_array()) => false,
        Some(Value::Array(items)) => items.iter().any(passes),
        Some(value) => passes(value),
    }
}

fn naive_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn naive_test(test: &Value, value: &Value) -> bool {
    let Some(members) = test.as_object() else {
        return naive_text(test) == naive_text(value);
    };
    members.iter().all(|(operator, operand)| {
        let part = operand.as_str().unwrap_or_default();
        let text = value.as_str();
        match operator.as_str() {
            "prefix" => text.is_some_and(|text| text.starts_with(part)),
            "suffix" => text.is_some_and(|text| text.ends_with(part)),
            "contains" => text.is_some_and(|text| text.contains(part)),
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
    fn alibaba_agrees_with_its_rules(json in arbitrary::alibaba_patterns(), event in arbitrary::events()) {
        let pattern = Pattern::alibaba(&json.to_string()).expect("valid");
        prop_assert_eq!(pattern.matches(&event), naive(&json, &event), "{}", json);
        prop_assert_eq!(pattern.first_failing(&event).is_none(), pattern.matches(&event));
        found_by_the_index(pattern, &event);
    }

    #[test]
    fn aws_differs_from_ours_in_what_exists_alone(json in arbitrary::patterns(), event in arbitrary::events()) {
        let Ok(pattern) = aws(&json) else { return Ok(()) };
        if !json.to_string().contains("exists") {
            prop_assert_eq!(pattern.matches(&event), Pattern::parse(&json).expect("valid").matches(&event));
        }
        found_by_the_index(pattern, &event);
    }

    #[test]
    fn any_text_is_compiled_or_refused_in_every_mode(text in "[\\[\\]{}:,\"a-c0-9 $.*\\\\-]{0,60}", event in arbitrary::events()) {
        if let Ok(pattern) = Pattern::alibaba(&text) {
            pattern.matches(&event);
        }
        if let Ok(pattern) = serde_json::from_str(&text).map_err(drop).and_then(|json| aws(&json).map_err(drop)) {
            pattern.matches(&event);
        }
    }
}
