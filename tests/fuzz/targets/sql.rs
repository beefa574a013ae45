//! Any text as a CESQL expression: compiled or refused, never a panic; and what is compiled has a value for an event,
//! passes it only without faults, and is found by the index if it does.
//!
//! The input is two lines: the expression, and the event's subject (and extension).

#![no_main]

use std::sync::Arc;

use busway::event::{Draft, Value};
use busway::filter::{Filter, Index, Match, Selector, Sql, SqlValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (sql, subject) = text.split_once('\n').unwrap_or((text, "a"));
    let draft = Draft {
        id: "1".into(),
        source: "/fuzz".into(),
        ty: "com.example.order".into(),
        subject: Some(subject.to_owned()),
        extensions: vec![
            ("ext".into(), Value::String(subject.to_owned())),
            ("number".into(), Value::Integer(i32::try_from(subject.len()).unwrap_or(0))),
        ],
        ..Draft::default()
    };
    let Ok(event) = draft.check() else { return };
    if let Ok(sql) = Sql::parse(sql) {
        let found = sql.evaluate(&event);
        let passes = found.faults.is_empty() && found.value == SqlValue::Boolean(true);
        assert_eq!(sql.passes(&event), passes);
    }
    let json = serde_json::json!([{ "sql": sql }]);
    if let Ok(filters) = Filter::parse_list(&json) {
        assert_eq!(filters.first().map(Filter::to_json).as_ref(), json.get(0));
        let selector = Arc::new(Selector {
            source: None,
            types: vec![],
            filters,
        });
        let (mut index, mut hits) = (Index::new(), Vec::new());
        index.insert((), selector.clone());
        index.matches(&event, &mut hits);
        let answer = selector.matches(&event);
        assert_eq!(hits.first().map_or(Match::No, |(_, found)| *found), answer);
    }
});
