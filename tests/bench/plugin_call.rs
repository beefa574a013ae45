//! A filter call through the whole host: queue, pooled instance, limits and verdict, beside the same rule as a native
//! closure and beside a guest that does nothing, in one run.
//!
//! Absolute figures drift with the machine; the ratios are the point. `cargo bench --bench plugin_call`, or with the
//! path of a component and its config: `cargo bench --bench plugin_call -- FILTER.wasm '{"pointer":"/n","min":10}'`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark is a program for a person: it prints, measures, and stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use busway::devkit;
use busway::event::{Data, DataKind, Draft, Event};
use busway::metrics::Metrics;
use busway::net::{Client, Guard, GuardSettings};
use busway::plugin::{Plugins, Settings};
use busway::tasks::Tasks;
use busway::time::Clock;

const BATCH: usize = 256;
const ROUNDS: usize = 200;
const CONFIG: &str = r#"{"pointer": "/n", "min": 10}"#;

/// A guest that passes everything and looks at nothing: what a call costs before a plugin does any work.
const EMPTY: &str = r#"(module
    (import "busway:plugin/events@0.1.0" "[resource-drop]event" (func $drop (param i32)))
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 1024))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (local $at i32)
        (local.set $at (global.get $next))
        (global.set $next (i32.add (local.get $at) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -8))))
        (local.get $at))
    (func (export "busway:plugin/filter@0.1.0#describe") (result i32) (i32.const 64))
    (func (export "busway:plugin/filter@0.1.0#init") (param i32 i32) (result i32) (i32.const 128))
    (func (export "busway:plugin/filter@0.1.0#evaluate")
        (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (param $event i32) (result i32)
        (global.set $next (i32.const 1024))
        (call $drop (local.get $event))
        (i32.const 192)))"#;

#[tokio::main]
async fn main() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("plugins");
    std::fs::create_dir(&folder).unwrap();
    let empty = devkit::assemble(EMPTY, "filter-plugin").unwrap();
    std::fs::write(folder.join("empty.wasm"), empty).unwrap();
    let mut given = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let component = given.next().map_or_else(|| threshold(home.path()), PathBuf::from);
    std::fs::copy(component, folder.join("threshold.wasm")).unwrap();
    let config: Arc<str> = given.next().as_deref().unwrap_or(CONFIG).into();
    let plugins = open(home.path()).await;

    println!(
        "{:>8} {:>12} {:>12} {:>12} {:>14} {:>12}",
        "data", "native", "empty", "threshold", "x native", "x empty"
    );
    for size in [300, 4 << 10, 64 << 10] {
        let events = events(size);
        let native = native(&events);
        let empty = measure(&plugins, "empty", &"".into(), &events).await;
        let threshold = measure(&plugins, "threshold", &config, &events).await;
        println!(
            "{size:>8} {native:>9.0} ns {empty:>9.0} ns {threshold:>9.0} ns {:>14.1} {:>12.1}",
            threshold / native,
            threshold / empty
        );
    }
    let one = events(300).split_off(BATCH - 1);
    let hop = measure(&plugins, "empty", &"".into(), &one).await;
    println!("a batch of one, there and back: {:.1} us", hop / 1e3);
}

/// Our own example plugin, built now.
fn threshold(out: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/filter-threshold");
    devkit::build(&source, Some(out), &mut |line| println!("{line}")).unwrap()
}

async fn open(home: &Path) -> Plugins {
    let settings = Settings {
        dir: home.join("plugins"),
        cache: home.join("cache"),
        kv: None,
        plugins: BTreeMap::new(),
    };
    let client = Client::new(Guard::new(GuardSettings::default()));
    // Nothing listens to the notices: sending them is not what is measured.
    let (tell, _) = tokio::sync::mpsc::unbounded_channel();
    Plugins::open(
        settings,
        client,
        Clock::system(),
        Tasks::new(),
        Arc::new(Metrics::new()),
        tell,
    )
    .await
    .unwrap()
}

/// Events whose JSON has been parsed already, as after the first filter that asked: the rule is what is compared.
fn events(size: usize) -> Vec<Arc<Event>> {
    let one = |number: usize| {
        let json = format!(
            r#"{{"n": {number}, "padding": "{}"}}"#,
            "x".repeat(size.saturating_sub(30))
        );
        let data = Some(Data {
            kind: DataKind::Json,
            bytes: json.into(),
        });
        let draft = Draft {
            id: number.to_string(),
            source: "/bench".to_owned(),
            ty: "com.example.order.created".to_owned(),
            data,
            ..Draft::default()
        };
        let event = draft.check().unwrap();
        event.json();
        Arc::new(event)
    };
    (0..BATCH).map(one).collect()
}

/// The median time for one event, in nanoseconds.
fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

fn native(events: &[Arc<Event>]) -> f64 {
    let rule = |event: &Event| {
        event
            .json()
            .and_then(|data| data.pointer("/n")?.as_f64())
            .is_some_and(|n| n >= 10.0)
    };
    median(
        (0..ROUNDS)
            .map(|_| {
                let began = Instant::now();
                let passed = events.iter().filter(|event| rule(black_box(event))).count();
                black_box(passed);
                began.elapsed().as_nanos() as f64 / events.len() as f64
            })
            .collect(),
    )
}

async fn measure(plugins: &Plugins, name: &str, config: &Arc<str>, events: &[Arc<Event>]) -> f64 {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let batch = events.to_vec();
        let began = Instant::now();
        let answers = plugins.evaluate(name, config, batch).await;
        rounds.push(began.elapsed().as_nanos() as f64 / events.len() as f64);
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers.first());
    }
    median(rounds)
}
