//! What tests feed filters with: the fixtures, and random events, patterns, filters and selectors for property tests
//! (of few letters, so that they meet).

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::{Filter, Selector, TypePattern};
use crate::event::{self, Data, DataKind, Draft, Event};

/// What a file of `tests/fixtures/patterns` holds.
pub(super) fn fixture<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/patterns");
    let text = std::fs::read_to_string(format!("{folder}/{file}")).expect(file);
    serde_json::from_str(&text).expect(file)
}

/// An event with this JSON as its data.
pub(super) fn event_of(mut draft: Draft, data: Option<&Value>) -> Event {
    draft.data = data.map(|json| Data {
        kind: DataKind::Json,
        bytes: Bytes::from(json.to_string()),
    });
    draft.check().expect("valid")
}

pub(super) fn events() -> impl Strategy<Value = Event> {
    let tenant = prop_oneof![
        (0..3i32).prop_map(event::Value::Integer),
        any::<bool>().prop_map(event::Value::Boolean),
        words().prop_map(event::Value::String),
    ];
    (
        select(vec!["a", "a.b", "a.b.c", "ab", "b.a"]),
        select(vec!["/a", "/b"]),
        option::of(words()),
        option::of(tenant),
        option::of(data(true)),
    )
        .prop_map(|(ty, source, subject, tenant, data)| {
            let draft = Draft {
                id: "1".into(),
                source: source.into(),
                ty: ty.into(),
                subject,
                extensions: tenant.map(|value| ("tenant".to_owned(), value)).into_iter().collect(),
                ..Draft::default()
            };
            event_of(draft, data.as_ref())
        })
}

fn words() -> impl Strategy<Value = String> {
    "[ab]{1,3}"
}

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1..3i32).prop_map(Value::from),
        select(vec![1.0, 1.5, 2.0]).prop_map(Value::from),
        words().prop_map(Value::from),
    ]
}

/// JSON of a few keys; `arrays` may stand in it.
fn data(arrays: bool) -> impl Strategy<Value = Value> {
    scalars().prop_recursive(3, 16, 3, move |inner| {
        let object = members(inner.clone());
        match arrays {
            true => prop_oneof![2 => object, 1 => vec(inner, 0..3).prop_map(Value::from)].boxed(),
            false => object.boxed(),
        }
    })
}

fn members(inner: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    let member = (select(vec!["a", "b", "c"]), inner);
    vec(member, 0..3)
        .prop_map(|members| {
            let own = members.into_iter().map(|(key, value)| (key.to_owned(), value));
            Value::Object(own.collect::<Map<_, _>>())
        })
        .boxed()
}

fn test_items() -> impl Strategy<Value = Value> {
    let excluded = prop_oneof![
        scalars(),
        vec(scalars(), 1..3).prop_map(Value::from),
        words().prop_map(|text| json!({"prefix": text})),
    ];
    prop_oneof![
        4 => scalars(),
        1 => words().prop_map(|text| json!({"prefix": text})),
        1 => words().prop_map(|text| json!({"suffix": text})),
        1 => words().prop_map(|text| json!({"prefix": text, "exists": true})),
        1 => words().prop_map(|text| json!({"contains": text})),
        1 => "[ab]{0,2}\\*[ab]{0,2}".prop_map(|text| json!({"wildcard": text})),
        1 => words().prop_map(|text| json!({"equals-ignore-case": text.to_uppercase()})),
        1 => (0..3).prop_map(|number| json!({"numeric": [">=", number, "<", number + 1]})),
        1 => excluded.prop_map(|item| json!({"anything-but": item})),
        1 => any::<bool>().prop_map(|wanted| json!({"exists": wanted})),
    ]
}

fn leaves() -> BoxedStrategy<Value> {
    vec(test_items(), 1..3).prop_map(Value::from).boxed()
}

/// An object pattern over the keys of `data`, `$or` among them.
fn data_patterns() -> impl Strategy<Value = Value> {
    leaves().prop_recursive(3, 12, 2, |inner| {
        let member = (select(vec!["a", "b", "c"]), inner);
        let plain = vec(member, 1..3).prop_map(|members| {
            let own = members.into_iter().map(|(key, value)| (key.to_owned(), value));
            own.collect::<Map<_, _>>()
        });
        (plain.clone(), option::weighted(0.2, (plain.clone(), plain))).prop_map(|(mut object, or)| {
            if let Some((left, right)) = or {
                object.insert("$or".into(), json!([left, right]));
            }
            Value::Object(object)
        })
    })
}

pub(super) fn patterns() -> impl Strategy<Value = Value> {
    let part = || {
        (
            option::of(leaves()),
            option::of(leaves()),
            option::weighted(0.8, data_patterns()),
        )
            .prop_map(|(subject, tenant, data)| {
                let fields = [("subject", subject), ("tenant", tenant), ("data", data)];
                let given = fields
                    .into_iter()
                    .filter_map(|(key, value)| Some((key.to_owned(), value?)));
                given.collect::<Map<_, _>>()
            })
    };
    (part(), option::weighted(0.2, (part(), part()))).prop_map(|(mut object, or)| {
        if let Some((left, right)) = or
            && !left.is_empty()
            && !right.is_empty()
        {
            object.insert("$or".into(), json!([left, right]));
        }
        Value::Object(object)
    })
}

/// A pattern of the mode `alibaba`; keys with dots are paths in it.
pub(super) fn alibaba_patterns() -> impl Strategy<Value = Value> {
    let excluded = prop_oneof![
        scalars(),
        vec(scalars(), 0..3).prop_map(Value::from),
        words().prop_map(|text| json!({"prefix": text})),
    ];
    let items = prop_oneof![
        4 => scalars(),
        1 => words().prop_map(|text| json!({"prefix": text})),
        1 => words().prop_map(|text| json!({"suffix": text, "exists": true})),
        1 => words().prop_map(|text| json!({"contains": text})),
        1 => (0..3).prop_map(|number| json!({"numeric": [">=", number, "<", number + 1]})),
        1 => excluded.prop_map(|item| json!({"anything-but": item})),
        1 => any::<bool>().prop_map(|wanted| json!({"exists": wanted})),
    ];
    let leaves = vec(items, 1..3).prop_map(Value::from).boxed();
    let nested = leaves.clone().prop_recursive(3, 12, 2, |inner| {
        vec((select(vec!["a", "b", "c", "a.b"]), inner), 1..3).prop_map(|members| {
            let own = members.into_iter().map(|(key, value)| (key.to_owned(), value));
            Value::Object(own.collect())
        })
    });
    (option::of(leaves), option::weighted(0.8, nested)).prop_map(|(subject, data)| {
        let data = data.filter(Value::is_object);
        let given = [("subject", subject), ("data", data)];
        let given = given
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        Value::Object(given.collect())
    })
}

pub(super) fn filters() -> impl Strategy<Value = Value> {
    let pair = || {
        let names = select(vec!["subject", "tenant", "type", "missing"]);
        (names, words()).prop_map(|(name, text)| json!({name: text}))
    };
    let leaf = prop_oneof![
        2 => pair().prop_map(|pair| json!({"exact": pair})),
        1 => pair().prop_map(|pair| json!({"prefix": pair})),
        1 => pair().prop_map(|pair| json!({"suffix": pair})),
        3 => patterns().prop_map(|pattern| json!({"pattern": pattern})),
        3 => super::sql::arbitrary::filter_texts().prop_map(|sql| json!({"sql": sql})),
        1 => alibaba_patterns().prop_map(|pattern| json!({"pattern": pattern, "mode": "alibaba"})),
        1 => select(vec!["p", "q"]).prop_map(|name| json!({"plugin": {"name": name}})),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..3).prop_map(|filters| json!({"all": filters})),
            vec(inner.clone(), 1..3).prop_map(|filters| json!({"any": filters})),
            inner.prop_map(|filter| json!({"not": filter})),
        ]
    })
}

pub(super) fn selectors() -> impl Strategy<Value = Arc<Selector>> {
    let types = select(vec!["a", "a.b", "a.*", "a.**", "a*", "*b", "*", "b.a"]);
    (
        option::weighted(0.2, select(vec!["/a", "/b"])),
        vec(types, 0..3),
        vec(filters(), 0..3),
    )
        .prop_map(|(source, types, filters)| {
            let selector = Selector {
                source: source.map(str::to_owned),
                types: types
                    .into_iter()
                    .map(|text| TypePattern::parse(text).expect(text))
                    .collect(),
                filters: Filter::parse_list(&Value::from(filters)).expect("valid"),
            };
            Arc::new(selector)
        })
}
