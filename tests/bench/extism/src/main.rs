//! A filter call of Busway beside the same rule as an Extism plugin, in one run: whether `/n` is 10 or more.
//!
//! Each is used as its documentation says: Busway's filter asks the host for one value of an event that the host has
//! parsed once for all; Extism's gets the event as JSON. Both keep their instance between calls.
//! `cargo run --release --manifest-path tests/bench/extism/Cargo.toml`
#![allow(missing_docs, reason = "a bench")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use busway::devkit;
use busway::event::http::{Mode, encode};
use busway::event::{Data, DataKind, Draft, Event};
use busway::metrics::Metrics;
use busway::net::{Client, Guard, GuardSettings};
use busway::plugin::{Plugins, Settings};
use busway::tasks::Tasks;
use busway::time::Clock;

const BATCH: usize = 64;
const ROUNDS: usize = 100;
const CONFIG: &str = r#"{"pointer": "/n", "min": 10}"#;

#[tokio::main]
async fn main() {
    let home = tempfile::tempdir().expect("a folder");
    let ours = ours(home.path()).await;
    let mut theirs = theirs(home.path());
    println!("{:>8} {:>14} {:>14} {:>10}", "data", "busway", "extism", "ratio");
    for size in [300, 4 << 10, 64 << 10] {
        let events = events(size);
        let ours = measure_ours(&ours, &events).await;
        let theirs = measure_theirs(&mut theirs, &events);
        println!("{size:>8} {ours:>11.0} ns {theirs:>11.0} ns {:>10.1}", theirs / ours);
    }
}

async fn ours(home: &Path) -> Plugins {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../plugins/filter-threshold");
    devkit::build(&source, Some(&home.join("plugins")), &mut |line| println!("{line}")).expect("build the filter");
    let settings = Settings {
        dir: home.join("plugins"),
        cache: home.join("cache"),
        plugins: BTreeMap::new(),
    };
    let client = Client::new(Guard::new(GuardSettings::default()));
    let (tell, _) = tokio::sync::mpsc::unbounded_channel();
    Plugins::open(settings, client, Clock::system(), Tasks::new(), Arc::new(Metrics::new()), tell)
        .await
        .expect("open the host")
}

fn theirs(home: &Path) -> extism::Plugin {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let built = Command::new("cargo")
        .args(["build", "--release", "--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(home.join("extism"))
        .current_dir(&source)
        .status()
        .expect("run cargo");
    assert!(built.success(), "the Extism plugin did not build");
    let wasm = home.join("extism/wasm32-unknown-unknown/release/threshold_extism.wasm");
    let manifest = extism::Manifest::new([extism::Wasm::file(wasm)]).with_timeout(std::time::Duration::from_millis(250));
    extism::Plugin::new(&manifest, [], false).expect("load the Extism plugin")
}

fn events(size: usize) -> Vec<Arc<Event>> {
    let one = |number: usize| {
        let json = format!(r#"{{"n": {number}, "padding": "{}"}}"#, "x".repeat(size.saturating_sub(30)));
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
        let event = draft.check().expect("an event");
        event.json();
        Arc::new(event)
    };
    (0..BATCH).map(one).collect()
}

async fn measure_ours(plugins: &Plugins, events: &[Arc<Event>]) -> f64 {
    let config: Arc<str> = CONFIG.into();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let batch = events.to_vec();
        let began = Instant::now();
        let answers = plugins.evaluate("filter-threshold", &config, batch).await;
        rounds.push(began.elapsed().as_nanos() as f64 / events.len() as f64);
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers.first());
    }
    median(rounds)
}

/// The JSON is written once before: what is measured is the call.
fn measure_theirs(plugin: &mut extism::Plugin, events: &[Arc<Event>]) -> f64 {
    let bodies: Vec<_> = events.iter().map(|event| encode(Mode::Structured, event).body).collect();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for body in &bodies {
            let answer: &str = plugin.call("evaluate", body.as_ref()).expect("an answer");
            assert!(answer == "true" || answer == "false", "{answer}");
        }
        rounds.push(began.elapsed().as_nanos() as f64 / bodies.len() as f64);
    }
    median(rounds)
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
