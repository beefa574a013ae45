//! Filters in JSON: what is read, what comes out again, what is refused and in which words.

use serde_json::{Value, json};

use super::super::arbitrary;
use super::Filter;

#[test]
fn json_comes_out_as_it_went_in() {
    for json in [
        json!({"exact": {"type": "a", "subject": "b"}}),
        json!({"prefix": {"subject": "/my-app"}}),
        json!({"suffix": {"source": ".example"}}),
        json!({"all": [{"exact": {"type": "a"}}, {"not": {"suffix": {"id": "7"}}}]}),
        json!({"any": [{"exact": {"x1": "a"}}]}),
        json!({"not": {"any": [{"pattern": {}}]}}),
        json!({"pattern": {"data": {"n": [300, 2.5, null, {"numeric": [">", 1]}]}}}),
        json!({"sql": "type like 'a%'  AND (EXISTS subject)"}),
        json!({"plugin": {"name": "only-failures", "config": {"limit": 3}}}),
    ] {
        let filter = Filter::parse(&json).expect("valid");
        assert_eq!(filter.to_json(), json);
        assert_eq!(Filter::parse(&filter.to_json()).expect("valid"), filter);
    }
    let bare = Filter::parse(&json!({"plugin": {"name": "p"}})).expect("valid");
    assert_eq!(bare.to_json(), json!({"plugin": {"name": "p", "config": {}}}));
}

#[test]
fn wrong_filters_are_refused_by_path() {
    let good = json!({"exact": {"type": "a"}});
    let cases: Vec<(String, String, Value)> = arbitrary::fixture("refused/filters.json");
    for (code, message, wrong) in &cases {
        let error = Filter::parse_list(&json!([good, wrong])).expect_err(message);
        assert_eq!(error.code(), code, "{wrong}: {error}");
        assert!(error.message().starts_with(message), "{wrong}: {error}");
    }
    let error = Filter::parse_list(&good).expect_err("no array");
    assert_eq!(error.message(), "filters: must be an array of filters");
    let error = Filter::parse(&json!({"prefix": {"subject": 1}})).expect_err("no text");
    assert!(error.message().starts_with("filter.prefix.subject: "), "{error}");
}

/// `{"not": {"not": … {"exact": …}}}`, so many deep.
fn nested(depth: usize) -> Value {
    (1..depth).fold(json!({"exact": {"type": "a"}}), |inner, _| json!({"not": inner}))
}

#[test]
fn too_many_filters_are_refused() {
    assert!(Filter::parse(&nested(16)).is_ok());
    let deep = Filter::parse(&nested(17)).expect_err("too deep");
    assert_eq!(deep.code(), "filter_too_large");
    assert!(deep.message().contains("deeper than 16"), "{deep}");

    let list = |n: usize| Value::Array(vec![nested(1); n]);
    assert!(Filter::parse_list(&list(256)).is_ok());
    let many = Filter::parse_list(&list(257)).expect_err("too many");
    assert_eq!(many.code(), "filter_too_large");
    assert!(many.message().contains("filters[256]: more than 256"), "{many}");
}

#[test]
fn list_may_be_empty() {
    assert_eq!(Filter::parse_list(&json!([])).expect("valid"), []);
}
