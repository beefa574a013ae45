//! Filters in JSON: what is read, what comes out again, what is refused and in which words.

use serde_json::{Value, json};

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
        json!({"plugin": {"name": "only-failures", "config": {"limit": 3}}}),
    ] {
        let filter = Filter::parse(&json).expect("valid");
        assert_eq!(filter.to_json(), json);
        assert_eq!(Filter::parse(&filter.to_json()).expect("valid"), filter);
    }
    let bare = Filter::parse(&json!({"plugin": {"name": "p"}})).expect("valid");
    assert_eq!(
        bare.to_json(),
        json!({"plugin": {"name": "p", "config": {}}})
    );
}

#[test]
fn wrong_filters_are_refused_by_path() {
    let exact = json!({"exact": {"type": "a"}});
    let shape = "must be an object with one dialect";
    for (json, code, message) in [
        (
            json!({}),
            "filter_invalid",
            "filters[1]: must be an array of filters",
        ),
        (json!([exact, 3]), "filter_invalid", shape),
        (json!([exact, {}]), "filter_invalid", shape),
        (
            json!([exact, {"exact": {"id": "1"}, "not": exact}]),
            "filter_invalid",
            shape,
        ),
        (
            json!([exact, {"sql": "a = 1"}]),
            "filter_dialect_unknown",
            "filters[1]: the dialect `sql` is not served yet",
        ),
        (
            json!([exact, {"prefx": {}}]),
            "filter_dialect_unknown",
            "filters[1]: unknown dialect \"prefx\"; did you mean \"prefix\"?",
        ),
        (
            json!([exact, {"zzzzzzzzzz": {}}]),
            "filter_dialect_unknown",
            "known are exact, prefix",
        ),
        (
            json!([exact, {"prefix": {}}]),
            "filter_invalid",
            "filters[1].prefix: must be an object of at least one attribute",
        ),
        (
            json!([exact, {"prefix": "x"}]),
            "filter_invalid",
            "filters[1].prefix: must be",
        ),
        (
            json!([exact, {"any": [{"prefix": {"subject": 3}}]}]),
            "filter_invalid",
            "filters[1].any[0].prefix.subject: must be a text that is not empty",
        ),
        (
            json!([exact, {"suffix": {"subject": ""}}]),
            "filter_invalid",
            "filters[1].suffix.subject: must be a text",
        ),
        (
            json!([exact, {"exact": {"Sub-ject": "x"}}]),
            "filter_invalid",
            "filters[1].exact.Sub-ject: is no attribute name",
        ),
        (
            json!([exact, {"exact": {"": "x"}}]),
            "filter_invalid",
            "filters[1].exact[\"\"]: is no attribute name",
        ),
        (
            json!([exact, {"all": []}]),
            "filter_invalid",
            "filters[1].all: must be an array of at least one filter",
        ),
        (
            json!([exact, {"any": exact}]),
            "filter_invalid",
            "filters[1].any: must be an array",
        ),
        (
            json!([exact, {"not": [exact]}]),
            "filter_invalid",
            "filters[1].not: must be an object",
        ),
        (
            json!([exact, {"plugin": "p"}]),
            "filter_invalid",
            "filters[1].plugin: must be an object",
        ),
        (
            json!([exact, {"plugin": {}}]),
            "filter_invalid",
            "filters[1].plugin.name: must be a plugin's name",
        ),
        (
            json!([exact, {"plugin": {"name": "../p"}}]),
            "filter_invalid",
            "filters[1].plugin.name",
        ),
        (
            json!([exact, {"plugin": {"name": "p", "config": 1}}]),
            "filter_invalid",
            "filters[1].plugin.config: must be an object",
        ),
        (
            json!([exact, {"plugin": {"name": "p", "confg": {}}}]),
            "filter_invalid",
            "filters[1].plugin.confg: is not known here; did you mean \"config\"?",
        ),
        (
            json!([exact, {"pattern": {"data": {"a": []}}}]),
            "pattern_invalid",
            "filters[1].pattern.data.a: ",
        ),
    ] {
        let error = Filter::parse_list(&json).expect_err("must be refused");
        assert_eq!(error.code(), code, "{json}: {error}");
        let message = match json.is_object() {
            true => "filters: must be an array of filters",
            false => message,
        };
        assert!(error.message().contains(message), "{json}: {error}");
    }
}

/// `{"not": {"not": … {"exact": …}}}`, so many deep.
fn nested(depth: usize) -> Value {
    (1..depth).fold(
        json!({"exact": {"type": "a"}}),
        |inner, _| json!({"not": inner}),
    )
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
    assert!(
        many.message().contains("filters[256]: more than 256"),
        "{many}"
    );
}

#[test]
fn list_may_be_empty() {
    assert_eq!(Filter::parse_list(&json!([])).expect("valid"), []);
}
