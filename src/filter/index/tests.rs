//! The index against brute force, and what must be left when everything is taken out.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::arbitrary;
use super::super::{Filter, Match, Selector, TypePattern};
use super::{Index, LOOSE};
use crate::event::{Draft, Event};

fn selector(types: &[&str], filters: &Value) -> Arc<Selector> {
    Arc::new(Selector {
        source: None,
        types: types.iter().map(|text| TypePattern::parse(text).expect(text)).collect(),
        filters: Filter::parse_list(filters).expect("valid"),
    })
}

fn event(ty: &str, subject: &str, data: &Value) -> Event {
    let draft = Draft {
        id: "1".into(),
        source: "/s".into(),
        ty: ty.into(),
        subject: Some(subject.into()),
        ..Draft::default()
    };
    arbitrary::event_of(draft, Some(data))
}

fn hits(index: &Index<u32>, event: &Event) -> Vec<(u32, Match)> {
    let mut hits = Vec::new();
    index.matches(event, &mut hits);
    hits.sort_by_key(|(key, _)| *key);
    hits
}

/// How many entries are checked for an event.
fn candidates(index: &Index<u32>, event: &Event) -> usize {
    let size = |bucket| index.buckets.at(bucket).map_or(0, |few| few.as_slice().len());
    let mut sum = size(LOOSE);
    index.fields.each(event, &mut |bucket| sum += size(bucket));
    sum
}

fn assert_nothing_left(index: &Index<u32>) {
    assert!(index.is_empty() && index.keys.is_empty() && index.selectors.is_empty());
    assert!(index.fields.is_empty(), "{:?}", index.fields);
    assert!(index.shared.is_empty(), "{:?}", index.shared);
    let left = |bucket: usize| index.buckets.at(bucket as u32).map_or(0, |few| few.as_slice().len());
    assert_eq!((0..index.buckets.bound()).map(left).sum::<usize>(), 0);
    let buckets = (0..index.buckets.bound()).filter(|bucket| index.buckets.at(*bucket as u32).is_some());
    assert_eq!(buckets.count(), 1, "only the bucket without an anchor stays");
}

#[test]
fn candidates_do_not_grow_with_subscriptions() {
    let mut index = Index::new();
    for n in 0..2_000u32 {
        index.insert(
            n,
            selector(&["order"], &json!([{"pattern": {"data": {"user": [n], "ok": [true]}}}])),
        );
        let subject = json!([{"prefix": {"subject": format!("/app/{n}/")}}]);
        index.insert(10_000 + n, selector(&["a.**"], &subject));
        let suffix = json!([{"suffix": {"subject": format!("/{n}.txt")}}]);
        index.insert(20_000 + n, selector(&["*"], &suffix));
        let either = json!([{"any": [{"exact": {"subject": format!("x{n}")}}, {"pattern": {"data": {"k": [{"prefix": format!("y{n}-")}]}}}]}]);
        index.insert(30_000 + n, selector(&["either"], &either));
        let or = json!([{"pattern": {"$or": [{"subject": [format!("z{n}")]}, {"data": {"deep": {"er": [n]}}}]}}]);
        index.insert(40_000 + n, selector(&["either"], &or));
        index.insert(
            50_000 + n,
            selector(&[&format!("type{n}")], &json!([{"prefix": {"subject": "/"}}])),
        );
        let plugin = json!([{"exact": {"subject": format!("p{n}")}}, {"plugin": {"name": "p"}}]);
        index.insert(60_000 + n, selector(&["order"], &plugin));
    }
    for (event, key) in [
        (event("order", "-", &json!({"user": 77, "ok": true})), 77),
        (event("order", "-", &json!({"user": [5, 77.0], "ok": true})), 77),
        (event("a.b.c", "/app/77/x", &json!({})), 10_077),
        (event("q", "b/77.txt", &json!({})), 20_077),
        (event("either", "x77", &json!({})), 30_077),
        (event("either", "-", &json!({"k": "y77-"})), 30_077),
        (event("either", "z77", &json!({})), 40_077),
        (event("either", "-", &json!({"deep": [{"er": 77}]})), 40_077),
        (event("type77", "/", &json!({})), 50_077),
        (event("order", "p77", &json!({})), 60_077),
    ] {
        let found = hits(&index, &event);
        assert!(found.iter().any(|(hit, _)| *hit == key), "{key}: {found:?}");
        let asked = candidates(&index, &event);
        assert!(asked <= 8 + 2 * found.len(), "{asked} candidates for {key}");
    }
    for key in (0..7).flat_map(|shape| (0..2_000).map(move |n| shape * 10_000 + n)) {
        assert!(index.remove(key));
    }
    assert_nothing_left(&index);
}

#[test]
fn equal_selectors_are_one_entry() {
    let mut index = Index::new();
    for key in 0..1_000 {
        index.insert(key, selector(&["a"], &json!([{"prefix": {"subject": "/x"}}])));
    }
    let event = event("a", "/x", &json!({}));
    assert_eq!((index.len(), candidates(&index, &event)), (1_000, 1));
    assert_eq!(hits(&index, &event).len(), 1_000);
    for key in (0..1_000).step_by(2) {
        assert!(index.remove(key) && !index.remove(key));
    }
    let odd: Vec<(u32, Match)> = (0..1_000)
        .filter(|key| key % 2 == 1)
        .map(|key| (key, Match::Yes))
        .collect();
    assert_eq!(hits(&index, &event), odd);
}

#[test]
fn insert_replaces() {
    let mut index = Index::new();
    index.insert(1, selector(&["a"], &json!([])));
    index.insert(1, selector(&["b"], &json!([])));
    index.insert(1, selector(&["b"], &json!([])));
    assert_eq!(index.len(), 1);
    assert_eq!(hits(&index, &event("a", "-", &json!({}))), []);
    assert_eq!(hits(&index, &event("b", "-", &json!({}))), [(1, Match::Yes)]);
}

#[test]
fn one_key_comes_once_however_many_spots_it_shows() {
    let mut index = Index::new();
    let filters = json!([{"pattern": {"data": {"tags": ["a", "b", {"prefix": "c"}, "a"]}}}]);
    index.insert(1, selector(&["t", "t", "t.*"], &filters));
    index.insert(2, selector(&[], &filters));
    index.insert(3, selector(&["t", "t"], &json!([])));
    let event = event("t", "-", &json!({"tags": ["a", "a", "b", "cc", ["a"]]}));
    let once = [(1, Match::Yes), (2, Match::Yes), (3, Match::Yes)];
    assert_eq!(hits(&index, &event), once);
    for key in 1..=3 {
        assert!(index.remove(key));
    }
    assert_nothing_left(&index);
}

#[test]
fn unanchored_selectors_are_found() {
    let mut index = Index::new();
    index.insert(1, selector(&[], &json!([])));
    index.insert(2, selector(&["*"], &json!([{"plugin": {"name": "p"}}])));
    index.insert(3, selector(&[], &json!([{"not": {"exact": {"type": "t"}}}])));
    index.insert(
        4,
        selector(&[], &json!([{"pattern": {"data": {"n": [{"numeric": [">", 3]}]}}}])),
    );
    let expected = [(1, Match::Yes), (2, Match::AskPlugins), (4, Match::Yes)];
    assert_eq!(hits(&index, &event("t", "-", &json!({"n": 4}))), expected);
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Insert(u32, Arc<Selector>),
    Remove(u32),
    Match(Box<Event>),
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..24u32, arbitrary::selectors()).prop_map(|(key, selector)| Step::Insert(key, selector)),
        2 => (0..24u32).prop_map(Step::Remove),
        4 => arbitrary::events().prop_map(|event| Step::Match(event.into())),
    ]
}

fn brute_force(model: &BTreeMap<u32, Arc<Selector>>, event: &Event) -> Vec<(u32, Match)> {
    let answers = model.iter().map(|(key, selector)| (*key, selector.matches(event)));
    answers.filter(|(_, answer)| *answer != Match::No).collect()
}

proptest! {
    #[test]
    fn agrees_with_brute_force(steps in vec(steps(), 1..60)) {
        let mut index = Index::new();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(key, selector) => {
                    index.insert(key, selector.clone());
                    model.insert(key, selector);
                }
                Step::Remove(key) => {
                    prop_assert_eq!(index.remove(key), model.remove(&key).is_some());
                }
                Step::Match(event) => {
                    prop_assert_eq!(hits(&index, &event), brute_force(&model, &event));
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
        for key in model.into_keys() {
            prop_assert!(index.remove(key));
        }
        assert_nothing_left(&index);
    }
}
