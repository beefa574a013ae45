//! Any text as a type pattern, a filter and an EventBridge pattern: compiled or refused, never a panic; and what is
//! compiled, in whatever mode, evaluates, comes out as JSON that compiles to an equal one, and is found by the index if it matches.
//!
//! The input is two lines: the pattern's JSON, and the event's data.

#![no_main]

use std::sync::Arc;

use busway::event::{Data, DataKind, Draft, Event};
use busway::filter::{Filter, Index, Match, Pattern, Selector, TypePattern};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (json, data) = text.split_once('\n').unwrap_or((text, "{}"));
    let draft = Draft {
        id: "1".into(),
        source: "/fuzz".into(),
        ty: "com.example.order".into(),
        data: Some(Data {
            kind: DataKind::Json,
            bytes: Bytes::copy_from_slice(data.as_bytes()),
        }),
        ..Draft::default()
    };
    let Ok(event) = draft.check() else { return };
    let types: Vec<TypePattern> = TypePattern::parse(json).into_iter().collect();
    types.iter().for_each(|pattern| {
        pattern.matches(data);
    });

    if let Ok(pattern) = Pattern::alibaba(json) {
        pattern.matches(&event);
        found(vec![Filter::Pattern(pattern)], &event);
    }

    let Ok(json) = serde_json::from_str::<Value>(json) else {
        return;
    };
    if let Ok(pattern) = Pattern::parse(&json) {
        pattern.matches(&event);
        assert!(Pattern::parse(&pattern.to_json()).is_ok_and(|again| again == pattern));
    }
    let wrapped = serde_json::json!([{ "pattern": json }]);
    let of_aws = serde_json::json!([{ "pattern": json, "mode": "aws" }]);
    for json in [json, wrapped, of_aws] {
        if let Ok(filters) = Filter::parse_list(&json) {
            found(filters, &event);
        }
    }
});

/// The index finds what matches.
fn found(filters: Vec<Filter>, event: &Event) {
    let selector = Arc::new(Selector {
        source: None,
        types: vec![],
        filters,
    });
    let (mut index, mut hits) = (Index::new(), Vec::new());
    index.insert((), selector.clone());
    index.matches(event, &mut hits);
    let answer = selector.matches(event);
    assert_eq!(hits.first().map_or(Match::No, |(_, found)| *found), answer);
}
