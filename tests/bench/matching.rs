//! What an event costs to match as subscriptions grow from ten to a million: it should not.
//!
//! Every event matches ten subscriptions, so a row of the table should be flat: the last columns are ratios to the
//! figure at ten. Data is parsed beforehand, since that costs the same at any size. Memory is the growth of the
//! process, for the selectors themselves (a subscription holds them anyway) and for the index over them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement: it reads the clock, prints, and may fail"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use busway::event::{Data, DataKind, Draft, Event};
use busway::filter::{Filter, Index, Selector, TypePattern};
use bytes::Bytes;
use serde_json::{Value, json};

/// How many subscriptions want each event.
const MATCHES: u32 = 10;
/// Short rounds and many, so that some fall between the turns of other processes.
const EVENTS: usize = 1_000;
const ROUNDS: usize = 100;

/// One way to subscribe: the selector of a subscription, and an event that a group of ten wants.
struct Shape {
    name: &'static str,
    selector: fn(group: u32, member: u32) -> Selector,
    event: fn(group: u32) -> Event,
}

const SHAPES: [Shape; 5] = [
    Shape {
        name: "exact type",
        selector: |group, _| selector(&format!("com.example.t{group}"), json!([])),
        event: |group| event(&format!("com.example.t{group}"), "/", group),
    },
    Shape {
        name: "type glob, subject prefix",
        selector: prefix_selector,
        event: |group| event("com.example.order", &subject(group), group),
    },
    Shape {
        name: "one type, data literal",
        selector: literal_selector,
        event: |group| event("com.example.order", "/", group),
    },
    Shape {
        name: "wildcard in data, plugin",
        selector: wildcard_selector,
        event: |group| event("com.example.order", "/", group),
    },
    Shape {
        name: "mixed",
        selector: |group, member| match member % 3 {
            0 => prefix_selector(group, member),
            1 => literal_selector(group, member),
            _ => wildcard_selector(group, member),
        },
        event: |group| event("com.example.order", &subject(group), group),
    },
];

fn main() {
    // A process for each shape: what one shape has freed would hide what the next takes.
    let chosen = std::env::args().nth(1).and_then(|number| number.parse::<usize>().ok());
    match chosen.and_then(|number| SHAPES.get(number)) {
        Some(shape) => row(shape),
        None => table(),
    }
}

fn table() {
    println!("time an event, {MATCHES} matches each; ratios to 10 subscriptions; bytes a subscription at a million");
    println!(
        "{:<26} {:>9} {:>9} {:>9} {:>9}   {:>6} {:>6} {:>6}   {:>9} {:>6} {:>8}",
        "shape", "10", "1k", "100k", "1M", "1k", "100k", "1M", "selector", "index", "insert"
    );
    for number in 0..SHAPES.len() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        assert!(child.arg(number.to_string()).status().unwrap().success());
    }
    unanchored();
}

fn row(shape: &Shape) {
    // The largest first, while the process is small.
    let [million, hundred, thousand, ten] = [1_000_000, 100_000, 1_000, MATCHES].map(|size| measure(shape, size));
    let ratio = |row: &Row| row.time / ten.time;
    println!(
        "{:<26} {:>6.0} ns {:>6.0} ns {:>6.0} ns {:>6.0} ns   {:>6.2} {:>6.2} {:>6.2}   {:>7} B {:>4} B {:>5.0} ns",
        shape.name,
        ten.time,
        thousand.time,
        hundred.time,
        million.time,
        ratio(&thousand),
        ratio(&hundred),
        ratio(&million),
        million.selector,
        million.index,
        million.insert,
    );
}

struct Row {
    /// Nanoseconds an event.
    time: f64,
    /// Nanoseconds an insertion.
    insert: f64,
    /// Bytes a selector.
    selector: u64,
    /// Bytes a subscription in the index.
    index: u64,
}

fn measure(shape: &Shape, size: u32) -> Row {
    let start = resident();
    let member = |n: u32| Arc::new((shape.selector)(n / MATCHES, n % MATCHES));
    let selectors: Vec<Arc<Selector>> = (0..size).map(member).collect();
    let built = resident();
    let clock = Instant::now();
    let mut index = Index::new();
    for (key, selector) in (0u64..).zip(&selectors) {
        index.insert(key, selector.clone());
    }
    let insert = clock.elapsed().as_nanos() as f64 / f64::from(size);
    let filed = resident();

    let groups = size / MATCHES;
    let chosen = groups.min(100);
    let events: Vec<Event> = (0..chosen).map(|n| (shape.event)(n * (groups / chosen))).collect();
    events.iter().for_each(|event| assert!(event.json().is_some()));
    let time = time_an_event(&index, &events, Some(MATCHES as usize));
    let each = |bytes: u64| bytes / u64::from(size);
    Row {
        time,
        insert,
        selector: each(built.saturating_sub(start)),
        index: each(filed.saturating_sub(built)),
    }
}

/// The quickest of some rounds, in nanoseconds: neighbours on the machine only ever add.
fn time_an_event(index: &Index<u64>, events: &[Event], expected: Option<usize>) -> f64 {
    let mut hits = Vec::new();
    let times = (0..ROUNDS).map(|_| {
        let clock = Instant::now();
        for event in events.iter().cycle().take(EVENTS) {
            hits.clear();
            index.matches(event, &mut hits);
            assert!(
                expected.is_none_or(|expected| hits.len() == expected),
                "{} hits",
                hits.len()
            );
            black_box(&hits);
        }
        clock.elapsed().as_nanos() as f64 / EVENTS as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

/// What cannot be looked up costs an evaluation each: shown, so that nobody is surprised.
fn unanchored() {
    let mut index = Index::new();
    for key in 0..10_000u64 {
        let but =
            json!([{"pattern": {"data": {"user": [{"anything-but": key}], "amount": [{"numeric": ["<", key]}]}}}]);
        index.insert(
            key,
            Arc::new(Selector {
                source: None,
                types: vec![],
                filters: filters(but),
            }),
        );
    }
    let events = [event("com.example.order", "/", 7)];
    let mut hits = Vec::new();
    index.matches(&events[0], &mut hits);
    let clock = Instant::now();
    for _ in 0..100 {
        hits.clear();
        index.matches(black_box(&events[0]), &mut hits);
    }
    let each = clock.elapsed().as_nanos() as f64 / 100.0 / 10_000.0;
    println!("10,000 subscriptions without a literal: {each:.0} ns each and event");
}

fn selector(ty: &str, json: Value) -> Selector {
    Selector {
        source: None,
        types: vec![TypePattern::parse(ty).unwrap()],
        filters: filters(json),
    }
}

fn filters(json: Value) -> Vec<Filter> {
    Filter::parse_list(&json).unwrap()
}

fn prefix_selector(group: u32, member: u32) -> Selector {
    let types = [
        "com.example.*",
        "com.example.**",
        "com.*.order",
        "com.**",
        "com.example.o*",
        "com.*.*",
        "*",
        "com.*.*er",
        "com.ex*.*",
        "**.order",
    ];
    let prefix = format!("/app-{group}/");
    selector(types[member as usize], json!([{"prefix": {"subject": prefix}}]))
}

fn literal_selector(group: u32, member: u32) -> Selector {
    let pattern = json!({"data": {"user": [group], "amount": [{"numeric": [">", member]}]}});
    selector("com.example.order", json!([{"pattern": pattern}]))
}

fn wildcard_selector(group: u32, member: u32) -> Selector {
    let pattern = json!({"data": {"path": [{"wildcard": format!("/u{group}/*{member}*.txt")}]}});
    selector(
        "com.example.**",
        json!([{"pattern": pattern}, {"plugin": {"name": "p"}}]),
    )
}

fn subject(group: u32) -> String {
    format!("/app-{group}/file")
}

fn event(ty: &str, subject: &str, group: u32) -> Event {
    let data = json!({
        "user": group, "amount": 100, "path": format!("/u{group}/0123456789.txt"), "ok": true,
        "tags": ["a", "b"], "address": {"city": "x", "street": {"name": "y", "number": 3}},
    });
    let draft = Draft {
        id: "1".into(),
        source: "/bench".into(),
        ty: ty.into(),
        subject: Some(subject.into()),
        time: Some("2026-01-01T00:00:00Z".into()),
        data: Some(Data {
            kind: DataKind::Json,
            bytes: Bytes::from(data.to_string()),
        }),
        ..Draft::default()
    };
    draft.check().unwrap()
}

/// Bytes of the process in memory, where the system tells; 0 elsewhere.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    resident.unwrap_or_default() * 4096
}
