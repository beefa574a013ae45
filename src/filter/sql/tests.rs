//! The cases of `tests/fixtures/cesql` (value and faults of each), and what must hold for every expression.

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::super::Filter;
use super::super::arbitrary;
use super::tree::Expression;
use super::{Sql, Value, parse};
use crate::event::{self, Event};

/// One case: an expression, attributes that differ from the usual event's (null: not set), and what comes of it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    sql: String,
    #[serde(default)]
    event: Map<String, Json>,
    result: Option<Json>,
    #[serde(default)]
    errors: Vec<String>,
    /// The refusal of what cannot be parsed.
    refused: Option<String>,
}

fn event_with(attributes: &Map<String, Json>) -> Event {
    let mut json = json!({"specversion": "1.0", "id": "1", "source": "/app", "type": "com.example.made"});
    let fields = json.as_object_mut().unwrap();
    fields.extend(attributes.clone());
    event::json::decode(json.to_string().into()).unwrap()
}

fn shown(value: &Value<'_>) -> Json {
    match value {
        Value::Boolean(truth) => (*truth).into(),
        Value::Integer(number) => (*number).into(),
        Value::Text(text) => (&**text).into(),
    }
}

fn check(file: &str, case: &Case) {
    let sql = &case.sql;
    let compiled = match (Sql::parse(sql), &case.refused) {
        (Ok(compiled), None) => compiled,
        (Err(error), Some(refused)) => {
            let message = error.message();
            assert_eq!(message, format!("sql: {refused}"), "{file}: {sql}");
            return;
        }
        (Ok(_), Some(refused)) => panic!("{file}: {sql} is parsed, and should be refused: {refused}"),
        (Err(error), None) => panic!("{file}: {sql}: {error}"),
    };
    let event = event_with(&case.event);
    let evaluated = compiled.evaluate(&event);
    let faults: Vec<&str> = evaluated.faults.iter().map(|fault| fault.name()).collect();
    let expected = (
        case.result
            .clone()
            .unwrap_or_else(|| panic!("{file}: {sql} has no result")),
        case.errors.clone(),
    );
    assert_eq!(
        (shown(&evaluated.value), faults),
        (expected.0, expected.1.iter().map(String::as_str).collect()),
        "{file}: {sql}"
    );
    let passes = evaluated.faults.is_empty() && evaluated.value == Value::Boolean(true);
    assert_eq!(compiled.passes(&event), passes, "{file}: {sql}");
    // What is shown of it means the same.
    let again = Sql::parse(&compiled.root().to_string()).unwrap();
    assert_eq!(again.root(), compiled.root(), "{file}: {sql}");
}

#[test]
fn cases_of_the_language() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cesql");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).expect(&file);
        cases.iter().for_each(|case| check(&file, case));
        count += cases.len();
    }
    assert!(count > 270, "only {count} cases are there");
}

#[test]
fn limits_hold_before_the_stack_ends() {
    let (deep, wide) = ("(".repeat(40), "id = '1' OR ".repeat(1_100));
    for (text, limit) in [
        (deep, "nests at most 32 deep"),
        ("NOT ".repeat(2_000), "nests at most 32 deep"),
        ("- ".repeat(2_000), "nests at most 32 deep"),
        ("ABS(".repeat(2_000), "nests at most 32 deep"),
        ("1 IN (".repeat(2_000), "nests at most 32 deep"),
        (format!("type{}", " LIKE ''".repeat(2_000)), "nests at most 32 deep"),
        (format!("type{}", " NOT IN (0)".repeat(1_000)), "nests at most 32 deep"),
        (wide, "at most 1024 operands"),
        (format!("'{}'", "x".repeat(17_000)), "at most 16384 bytes"),
    ] {
        let error = Sql::parse(&text).unwrap_err();
        assert_eq!(error.code(), "filter_too_large", "{error}");
        assert!(error.message().contains(limit), "{error}");
    }
    // Tests beside one another do not nest.
    assert!(Sql::parse(&format!("{} FALSE", "subject LIKE 'y' OR ".repeat(500))).is_ok());
    // A chain is flat: as long as it may be, it is evaluated without depth.
    let long = format!("{} FALSE", "subject = 'y' OR ".repeat(500));
    let event = event_with(json!({"subject": "x"}).as_object().unwrap());
    assert_eq!(Sql::parse(&long).unwrap().evaluate(&event).value, Value::Boolean(false));
}

#[test]
fn a_text_that_grows_without_end_is_stopped() {
    let subject = "x".repeat(10_000);
    let event = event_with(json!({"subject": subject}).as_object().unwrap());
    let sql = Sql::parse("LENGTH(CONCAT(subject, subject, subject, subject, subject, subject, subject))").unwrap();
    let evaluated = sql.evaluate(&event);
    assert_eq!((shown(&evaluated.value), evaluated.faults.len()), (json!(0), 1));
}

#[test]
fn a_filter_says_what_decided() {
    let event = event_with(json!({"subject": "/app/7", "retries": 3}).as_object().unwrap());
    for (sql, passes, because) in [
        (
            "type LIKE 'com.%' AND retries > 1",
            true,
            r#"the expression is true: type is "com.example.made", retries is 3"#,
        ),
        (
            "type LIKE 'com.%' AND (retries > 5 AND subject = 'x')",
            false,
            "`retries > 5` is false: retries is 3",
        ),
        (
            "id = '2' OR subject = 'x'",
            false,
            r#"`(id = '2') OR (subject = 'x')` is false: id is "1", subject is "/app/7""#,
        ),
        (
            "tenant = 'a'",
            false,
            "the expression has an error (missingAttribute): tenant is not set; ask for `EXISTS tenant AND …` first if it may be missing",
        ),
        (
            "subject > 2",
            false,
            r#"the expression has an error (cast): "/app/7" cannot be cast to Integer"#,
        ),
        (
            "retries",
            false,
            "the expression is 3, and only the Boolean true passes; compare it with something",
        ),
        ("FALSE", false, "`FALSE` is false"),
    ] {
        let filter = Filter::parse(&json!({"sql": sql})).unwrap();
        let reason = filter.explain(&event, &mut |_| panic!("no plugin"));
        assert_eq!((reason.passes, reason.because.as_str()), (passes, because), "{sql}");
    }
}

proptest! {
    #[test]
    fn what_is_shown_parses_to_the_same(expression in super::arbitrary::expressions()) {
        let text = expression.to_string();
        let parsed: Expression = parse::parse(&text).map_err(|refused| TestCaseError::fail(format!("{text}: {refused}")))?;
        prop_assert_eq!(&parsed, &expression, "{}", text);
    }

    #[test]
    fn every_expression_has_a_value(expression in super::arbitrary::expressions(), event in arbitrary::events()) {
        let sql = Sql::parse(&expression.to_string()).unwrap();
        let evaluated = sql.evaluate(&event);
        if !evaluated.faults.is_empty() {
            prop_assert!(!sql.passes(&event));
        }
        prop_assert!(!sql.because(&event).is_empty());
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}", words in proptest::collection::vec(
        proptest::sample::select(vec!["(", ")", "NOT", "-", "+", "5", "'a'", "LIKE", "IN", ",", "id", "EXISTS", "AND", "=", "LENGTH("]), 0..12)) {
        for text in [text, words.join(" "), words.concat()] {
            if let Ok(sql) = Sql::parse(&text) {
                sql.passes(&event_with(&Map::new()));
            }
        }
    }
}
