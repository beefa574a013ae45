//! Transforms: the cases of `tests/fixtures/transforms.json`, what is refused, and properties.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{LARGEST, Transform, Transformed};
use crate::event::{self, Data, DataKind, Draft, Event};

/// An event with data as it is written.
fn event(data: &str) -> Event {
    let draft = Draft {
        id: "e1".into(),
        source: "acs.mse".into(),
        ty: "mse:Agent:GracefulShutdown".into(),
        subject: Some("x\"y".into()),
        extensions: vec![("aliyunregionid".into(), event::Value::String("cn-hangzhou".into()))],
        data: Some(Data {
            kind: DataKind::Json,
            bytes: data.to_owned().into(),
        }),
        ..Draft::default()
    };
    draft.check().expect("valid")
}

fn transform(json: &Value) -> Transform {
    Transform::parse(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn made(json: &Value, event: &Event) -> Option<String> {
    match transform(json).apply(event).expect("small") {
        Transformed::Text(text) => Some(text),
        Transformed::Nothing => None,
        Transformed::Same => panic!("{json} changes nothing"),
    }
}

#[derive(serde::Deserialize)]
struct Group {
    about: String,
    data: String,
    /// Transform and what it makes.
    cases: Vec<(Value, Option<String>)>,
}

#[test]
fn fixtures_become_what_they_say() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/transforms.json"));
    let groups: Vec<Group> = serde_json::from_str(&text.expect("fixtures")).expect("fixtures");
    for group in groups {
        let event = event(&group.data);
        for (json, expected) in group.cases {
            assert_eq!(made(&json, &event), expected, "{}: {json}", group.about);
            assert_eq!(transform(&json).to_json(), json);
        }
    }
}

#[test]
fn the_original_is_the_event_itself() {
    let original = transform(&json!({"form": "ORIGINAL"}));
    assert!(original.is_original());
    assert_eq!(original.apply(&event("{}")), Ok(Transformed::Same));
    assert_eq!(original.to_json(), json!({"form": "ORIGINAL"}));
}

#[test]
fn wrong_ones_are_refused_by_field() {
    let long = "x".repeat(10_241);
    for (message, json) in [
        ("transform: must be an object", json!("ORIGINAL")),
        ("transform.form: must be one of", json!({})),
        ("did you mean `TEMPLATE`", json!({"form": "TEMPLAT", "value": "{}"})),
        (
            "transform.values: is not known here; did you mean `value`",
            json!({"form": "CONSTANT", "values": "x"}),
        ),
        ("transform.value: is missing", json!({"form": "CONSTANT"})),
        (
            "transform.value: must be a string",
            json!({"form": "CONSTANT", "value": 3}),
        ),
        (
            "transform.value: is longer than 10240",
            json!({"form": "CONSTANT", "value": long}),
        ),
        (
            "transform.template: is longer than 10240",
            json!({"form": "TEMPLATE", "value": "{\"a\":\"b\"}", "template": long}),
        ),
        (
            "transform.template: belongs to",
            json!({"form": "JSONPATH", "value": "$", "template": "x"}),
        ),
        (
            "transform.template: is missing",
            json!({"form": "TEMPLATE", "value": "{\"a\":\"b\"}"}),
        ),
        (
            "transform.value: must be a JSON object in a string",
            json!({"form": "TEMPLATE", "value": "[]", "template": "x"}),
        ),
        (
            "transform.value: names no variable",
            json!({"form": "TEMPLATE", "value": "{}", "template": "x"}),
        ),
        (
            "the variable `a` must be a string",
            json!({"form": "TEMPLATE", "value": "{\"a\":{\"b\":1}}", "template": "x"}),
        ),
        (
            "transform.escape: must be true or false",
            json!({"form": "TEMPLATE", "value": "{}", "template": "x", "escape": 1}),
        ),
        (
            "must be a JSON object, since it has EB_SYS_EMBED_OBJECT",
            json!({"form": "TEMPLATE", "value": "{\"a\":\"b\"}", "template": "EB_SYS_EMBED_OBJECT"}),
        ),
    ] {
        let error = Transform::parse(&json).expect_err(message);
        assert!(error.message().contains(message), "{error} should say {message}");
        assert_eq!(error.code(), "transform_invalid");
    }
}

#[test]
fn paths_see_the_time_as_it_was_written_and_json_that_came_as_base64() {
    let mut draft = event("{}").to_draft();
    draft.time = Some("2020-11-19T13:04:42.179Z".into());
    let original = "2020-11-19T21:04:42.179PRC";
    draft
        .extensions
        .push(("aliyunoriginaltime".into(), event::Value::String(original.into())));
    draft.datacontenttype = Some("application/json".into());
    draft.data = Some(Data {
        kind: DataKind::Binary,
        bytes: "{\"n\":1.0}".into(),
    });
    let event = draft.check().expect("valid");
    for (path, found) in [
        ("$.time", Some(original)),
        ("$.aliyunoriginaltime", None),
        ("$.data.n", Some("1.0")),
        ("$.data_base64", None),
    ] {
        assert_eq!(
            made(&json!({"form": "JSONPATH", "value": path}), &event).as_deref(),
            found,
            "{path}"
        );
    }
}

#[test]
fn results_are_bounded() {
    let template = |value: Value, template: String| {
        transform(&json!({"form": "TEMPLATE", "value": value.to_string(), "template": template}))
    };
    // Doubled forty times this is a trillion.
    let doubling = (0..40).map(|n| (format!("v{n}"), Value::from(format!("${{v{0}}}${{v{0}}}", n + 1))));
    let mut doubling: serde_json::Map<String, Value> = doubling.collect();
    doubling.insert("v40".into(), "x".into());
    let some = template(doubling.clone().into(), "${v20}".into()).apply(&event("{}"));
    assert!(some.is_err_and(|words| words.contains("variables")));
    let large = event(&json!({"s": "x".repeat(600_000)}).to_string());
    let many = template(json!({"a": "$.data.s"}), "${a}".repeat(8));
    assert!(
        many.apply(&large)
            .is_err_and(|words| words.contains(&LARGEST.to_string()))
    );
}

proptest! {
    #[test]
    fn a_text_without_variables_is_itself(text in "[^$]{0,40}") {
        prop_assume!(!text.contains("EB_SYS"));
        let json = json!({"form": "TEMPLATE", "value": "{\"a\":\"b\"}", "template": text.clone()});
        prop_assert_eq!(made(&json, &event("{}")), Some(text));
    }

    #[test]
    fn with_escape_any_text_fits_between_quotes(text in "\\PC{0,20}|[\\$\\{\\}\"\\\\ab]{0,20}") {
        let json = json!({"form": "TEMPLATE", "value": "{\"a\":\"$.data.s\",\"b\":\"secret\"}", "template": "{\"m\":\"${a}\"}", "escape": true});
        let made = made(&json, &event(&json!({"s": text}).to_string())).expect("a text");
        prop_assert_eq!(serde_json::from_str::<Value>(&made).expect("JSON"), json!({"m": text}));
    }

    #[test]
    fn with_escape_any_object_is_embedded_as_it_is(text in "[\\$\\{\\}\"\\\\b]{0,20}") {
        let json = json!({"form": "TEMPLATE", "value": "{\"a\":\"$.data\",\"b\":\"secret\"}", "template": "{\"n\":1,\"EB_SYS_EMBED_OBJECT\":\"${a}\"}", "escape": true});
        let made = made(&json, &event(&json!({"s": text}).to_string())).expect("a text");
        prop_assert_eq!(serde_json::from_str::<Value>(&made).expect("JSON"), json!({"n": 1, "s": text}));
    }

    #[test]
    fn a_path_finds_what_a_pointer_finds(
        keys in proptest::collection::vec("[a-c]", 1..4),
        data in "\\{\"a\":(1|\"x\"|\\{\"b\":(2|\\{\"c\":true\\})\\})\\}",
    ) {
        let json = json!({"form": "JSONPATH", "value": format!("$.data.{}", keys.join("."))});
        let value: Value = serde_json::from_str(&data).expect("JSON");
        let expected = value.pointer(&format!("/{}", keys.join("/"))).map(|found| found.as_str().map_or(found.to_string(), str::to_owned));
        prop_assert_eq!(made(&json, &event(&data)), expected);
    }

    #[test]
    fn anything_is_read_or_refused_and_applied(
        form in proptest::sample::select(vec!["CONSTANT", "JSONPATH", "TEMPLATE"]),
        value in "[\\$\\.\\[\\]'\"a-c0-9*\\{\\}:,-]{0,30}",
        template in "([\\$\\{\\}:a-c-]|EB_SYS_EMBED_OBJECT|\\$\\{[a-c](:-[a-c])?\\}|[\"\\{\\}:,]){0,12}",
        escape in any::<bool>(),
    ) {
        for value in [value.clone(), json!({"a": value, "b": "${a}${c}", "c": "$.data"}).to_string()] {
            let mut json = json!({"form": form, "value": value});
            if form == "TEMPLATE" {
                json["template"] = template.as_str().into();
                json["escape"] = escape.into();
            }
            if let Ok(read) = Transform::parse(&json) {
                let _ = read.apply(&event("{\"a\":[1,{\"b\":null}]}"));
                prop_assert_eq!(Transform::parse(&read.to_json()).expect("again"), read);
            }
        }
    }
}
