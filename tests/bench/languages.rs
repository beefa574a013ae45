//! What a language costs: every example plugin through the whole host, beside the same work in native code, in one run;
//! then a thousand subscriptions on one plugin, with one config and with one each.
//!
//! The filters decide by one small value, or do what the language is taken for: Rust and C++ read `/n` or the id from
//! the host's parsed data, C searches the raw data for a word that is not there, text looks for a subject, Python
//! runs a regular expression over `/n`, and JavaScript parses the data, blanks `/n` and gives the whole of it back.
//! Beside them: a native closure that compares `/n` with a bound, on data that is parsed already. The notifiers post
//! to one sink on loopback, each in its service's form: Rust, C++ (the first kilobytes), JavaScript and Python the
//! data, C one number. Beside them: the hub's own client posting the data.
//!
//! `cargo bench --bench languages`, or with the languages to measure: `cargo bench --bench languages -- rust python`.
//! JavaScript and Python are built with their own tools, which the kit fetches, and compile for half a minute.
#![allow(missing_docs, reason = "a bench")]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints and may stop"
)]

mod support;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use busway::devkit;
use busway::event::{Data, DataKind, Draft, Event};
use busway::metrics::Metrics;
use busway::net::{Client, Guard, GuardSettings};
use busway::plugin::{Delivery, Grants, PluginSettings, Plugins, Settings, World};
use busway::tasks::Tasks;
use busway::time::Clock;
use bytes::Bytes;
use futures_util::future::join_all;
use support::{block_on, median, process, thousands};

/// Sizes of the events' data.
const SIZES: [usize; 3] = [300, 4 << 10, 64 << 10];
/// Events of one size.
const BATCH: usize = 64;
/// One figure is the median of what fits in here.
const BUDGET: Duration = Duration::from_millis(600);
/// Instances of which the memory is shared out.
const INSTANCES: usize = 20;
/// Subscriptions that share a plugin.
const SUBSCRIPTIONS: usize = 1_000;

/// One example plugin, and the config under which it is measured.
struct Example {
    language: &'static str,
    folder: &'static str,
    /// `SINK` stands for the sink's origin.
    config: &'static str,
}

const FILTERS: &[Example] = &[
    Example {
        language: "rust",
        folder: "filter-threshold",
        config: r#"{"pointer":"/n","min":10}"#,
    },
    Example {
        language: "c",
        folder: "filter-keyword-c",
        config: r#"{"keyword":"absent"}"#,
    },
    Example {
        language: "c++",
        folder: "filter-sample-cpp",
        config: r#"{"percent":50,"key":"/n"}"#,
    },
    Example {
        language: "text",
        folder: "filter-subject-wat",
        config: "{}",
    },
    Example {
        language: "javascript",
        folder: "filter-redact-js",
        config: r#"{"fields":["/n"]}"#,
    },
    Example {
        language: "python",
        folder: "filter-regex-py",
        config: r#"{"pattern":"^1","in":"/n"}"#,
    },
];

const NOTIFIERS: &[Example] = &[
    Example {
        language: "rust",
        folder: "notifier-chat",
        config: r#"{"url":"SINK/","template":"{/padding}"}"#,
    },
    Example {
        language: "c",
        folder: "notifier-influx-c",
        config: r#"{"url":"SINK/","pointer":"/n"}"#,
    },
    Example {
        language: "c++",
        folder: "notifier-telegram-cpp",
        config: r#"{"token":"1:x","chat":"-7","api":"SINK","pointer":"/padding"}"#,
    },
    Example {
        language: "javascript",
        folder: "notifier-ntfy-js",
        config: r#"{"url":"SINK/","text":"{/padding}"}"#,
    },
    Example {
        language: "python",
        folder: "notifier-incident-py",
        config: r#"{"url":"SINK/","routing_key":"k"}"#,
    },
];

fn main() {
    process::serve_role();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    let sink = process::peer("sink");
    let of = |all: &'static [Example]| {
        let all = all.iter();
        all.filter(|one| wanted.is_empty() || wanted.iter().any(|name| name == one.language))
    };
    block_on(async {
        println!("filters, beside a closure on parsed data");
        heading();
        let native = native_filter();
        for example in of(FILTERS) {
            print(example, &measure(example, World::Filter, sink.address).await, native);
        }
        println!("\nnotifiers, beside the hub's own client");
        heading();
        let native = native_post(sink.address).await;
        for example in of(NOTIFIERS) {
            print(example, &measure(example, World::Notifier, sink.address).await, native);
        }
        println!("\n{SUBSCRIPTIONS} subscriptions with the Rust filter, {BATCH} events each");
        crowd("one config for all", sink.address, |_| 0).await;
        crowd("a config each", sink.address, |subscription| subscription).await;
    });
}

/// What was found of one example. Times in microseconds, sizes in bytes.
struct Found {
    size: u64,
    compile: f64,
    cached: f64,
    first: f64,
    held: f64,
    resident: f64,
    swap: f64,
    calls: [f64; 3],
}

fn heading() {
    println!(
        "{:<11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} | {:>8} {:>8} {:>8} us | x native",
        "language",
        "file KiB",
        "comp. ms",
        "cache ms",
        "init ms",
        "held KiB",
        "RSS KiB",
        "swap ms",
        "300 B",
        "4 KiB",
        "64 KiB"
    );
}

fn print(example: &Example, found: &Found, native: [f64; 3]) {
    let kib = |bytes: f64| thousands(bytes / 1024.0);
    let ms = |us: f64| format!("{:.1}", us / 1e3);
    let [small, middle, large] = found.calls;
    println!(
        "{:<11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} | {small:>8.2} {middle:>8.2} {large:>8.2}    | {}",
        example.language,
        kib(found.size as f64),
        ms(found.compile),
        ms(found.cached),
        ms(found.first),
        kib(found.held),
        kib(found.resident),
        ms(found.swap),
        found
            .calls
            .iter()
            .zip(native)
            .map(|(ours, native)| format!("{:.1}", ours / native))
            .collect::<Vec<_>>()
            .join(" / ")
    );
}

/// Everything about one example, in a host of its own.
async fn measure(example: &Example, world: World, sink: SocketAddr) -> Found {
    let home = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("plugins")
        .join(example.folder);
    let built = home.path().join("built");
    let component = devkit::build(&source, Some(&built), &mut |_| {}).expect("build the example");
    let component = std::fs::read(component).expect("the component");
    let bare = opened(home.path(), sink).await.1;
    put(home.path(), example.folder, &component);
    let compile = opened(home.path(), sink).await.1;
    let mut cached = Vec::new();
    for _ in 0..5 {
        cached.push(opened(home.path(), sink).await.1 - bare);
    }
    let plugins = opened(home.path(), sink).await.0;
    let config = example.config.replace("SINK", &format!("http://{sink}"));
    let before = resident();
    let mut first = Vec::new();
    for nth in 0..INSTANCES {
        let began = Instant::now();
        let checked = plugins.check(world, example.folder, &apart(&config, nth)).await;
        first.push(micros(began));
        checked.expect("it takes its config");
    }
    let resident = resident().saturating_sub(before) as f64 / INSTANCES as f64;
    let status = plugins.status().into_iter().next().expect("its status");
    let mut calls = [0.0; 3];
    for (call, size) in calls.iter_mut().zip(SIZES) {
        *call = match world {
            World::Filter => filter_calls(&plugins, example.folder, &apart(&config, 0), &events(size)).await,
            World::Notifier => notifier_calls(&plugins, example.folder, &apart(&config, 0), &events(size)).await,
        };
    }
    Found {
        size: component.len() as u64,
        compile: compile - bare,
        cached: median(cached),
        first: median(first),
        held: status.memory as f64 / status.instances.max(1) as f64,
        resident,
        swap: swap(&plugins, home.path(), example.folder, component).await,
        calls,
    }
}

/// A host on the plugins in `home`, and how long it took to be ready, in microseconds.
async fn opened(home: &Path, sink: SocketAddr) -> (Plugins, f64) {
    let folder = home.join("plugins");
    std::fs::create_dir_all(&folder).expect("a folder");
    let granted = PluginSettings {
        grants: Grants {
            http: vec![format!("http://{sink}")],
            ..Grants::default()
        },
        ..PluginSettings::default()
    };
    let entries = FILTERS.iter().chain(NOTIFIERS);
    let settings = Settings {
        dir: folder,
        cache: home.join("cache"),
        kv: None,
        plugins: BTreeMap::from_iter(entries.map(|one| (one.folder.to_owned(), granted.clone()))),
    };
    // Nothing listens to the notices: sending them is not what is measured.
    let (tell, _) = tokio::sync::mpsc::unbounded_channel();
    let (clock, tasks, metrics) = (Clock::system(), Tasks::new(), Arc::new(Metrics::new()));
    let began = Instant::now();
    let plugins = Plugins::open(settings, client(), clock, tasks, metrics, tell).await;
    (plugins.expect("a host"), micros(began))
}

fn client() -> Client {
    Client::new(Guard::new(GuardSettings::default()))
}

/// The same config in other words, so that it gets instances of its own.
fn apart(config: &str, nth: usize) -> Arc<str> {
    format!("{config}{}", " ".repeat(nth)).into()
}

fn put(home: &Path, name: &str, component: &[u8]) {
    let folder = home.join("plugins");
    std::fs::write(folder.join("next.tmp"), component).expect("write");
    std::fs::rename(folder.join("next.tmp"), folder.join(format!("{name}.wasm"))).expect("rename");
}

/// From another build's file in place to its generation answering. The build is the same but for a custom section.
async fn swap(plugins: &Plugins, home: &Path, name: &str, mut component: Vec<u8>) -> f64 {
    let before = plugins.generation_of(name);
    component.extend_from_slice(&[0, 2, 1, b'v']);
    let began = Instant::now();
    put(home, name, &component);
    while plugins.generation_of(name) == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    micros(began)
}

/// Events whose JSON has been parsed already, as after the first filter that asked.
fn events(size: usize) -> Vec<Arc<Event>> {
    let one = |number: usize| {
        let padding = "x".repeat(size.saturating_sub(30));
        let json = format!(r#"{{"n": {number}, "padding": "{padding}"}}"#);
        let draft = Draft {
            id: number.to_string(),
            source: "/bench".to_owned(),
            ty: "com.example.order.created".to_owned(),
            data: Some(Data {
                kind: DataKind::Json,
                bytes: json.into(),
            }),
            ..Draft::default()
        };
        let event = draft.check().expect("an event");
        event.json();
        Arc::new(event)
    };
    (0..BATCH).map(one).collect()
}

fn native_filter() -> [f64; 3] {
    let rule = |event: &Event| {
        let n = event.json().and_then(|data| data.pointer("/n")?.as_f64());
        n.is_some_and(|n| n >= 10.0)
    };
    SIZES.map(|size| {
        let events = events(size);
        let round = || {
            let began = Instant::now();
            black_box(events.iter().filter(|event| rule(black_box(event))).count());
            micros(began) / BATCH as f64
        };
        median((0..1_000).map(|_| round()).collect())
    })
}

async fn native_post(sink: SocketAddr) -> [f64; 3] {
    let client = client();
    let mut found = [0.0; 3];
    for (found, size) in found.iter_mut().zip(SIZES) {
        let body = Bytes::from("x".repeat(size));
        let (began, mut taken) = (Instant::now(), Vec::new());
        while began.elapsed() < BUDGET {
            let request = http::Request::post(format!("http://{sink}/")).body(body.clone());
            let begin = Instant::now();
            let answer = client.send(request.expect("a request"), BUDGET, 1_024).await;
            taken.push(micros(begin));
            assert!(
                answer.expect("an answer").status.is_success(),
                "the sink takes everything"
            );
        }
        *found = median(taken);
    }
    found
}

/// The median of one call in a batch, in microseconds.
async fn filter_calls(plugins: &Plugins, name: &str, config: &Arc<str>, events: &[Arc<Event>]) -> f64 {
    let (started, mut rounds) = (Instant::now(), Vec::new());
    while started.elapsed() < BUDGET {
        let batch = events.to_vec();
        let began = Instant::now();
        let answers = plugins.evaluate(name, config, batch).await;
        rounds.push(micros(began) / events.len() as f64);
        assert!(answers.iter().all(Result::is_ok), "{:?}", answers.first());
    }
    median(rounds)
}

/// The median of one call, one after another, in microseconds.
async fn notifier_calls(plugins: &Plugins, name: &str, config: &Arc<str>, events: &[Arc<Event>]) -> f64 {
    let (started, mut rounds) = (Instant::now(), Vec::new());
    for event in events.iter().cycle() {
        if started.elapsed() >= BUDGET {
            break;
        }
        let delivery = Delivery {
            subscription: "bench".to_owned(),
            attempt: 1,
            id: "1".to_owned(),
        };
        let began = Instant::now();
        let answer = plugins.notify(name, config, event, delivery).await;
        rounds.push(micros(began));
        answer.expect("delivered");
    }
    median(rounds)
}

/// Checks a thousand subscriptions' configs, then puts the same events to all of them at once.
async fn crowd(name: &str, sink: SocketAddr, config_of: impl Fn(usize) -> usize) {
    let home = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/filter-threshold");
    let built = devkit::build(&source, Some(home.path()), &mut |_| {}).expect("build the filter");
    std::fs::create_dir(home.path().join("plugins")).expect("a folder");
    put(
        home.path(),
        "filter-threshold",
        &std::fs::read(built).expect("the component"),
    );
    let plugins = opened(home.path(), sink).await.0;
    let configs: Vec<Arc<str>> = (0..SUBSCRIPTIONS)
        .map(|nth| format!(r#"{{"pointer":"/n","min":{}}}"#, config_of(nth)).into())
        .collect();
    let (before, mut checks) = (resident(), Vec::new());
    for config in &configs {
        let began = Instant::now();
        let checked = plugins.check(World::Filter, "filter-threshold", config).await;
        checks.push(micros(began));
        checked.expect("it takes its config");
    }
    let events = events(300);
    let round = async || {
        let began = Instant::now();
        let all = configs
            .iter()
            .map(|config| plugins.evaluate("filter-threshold", config, events.clone()));
        let failed = join_all(all).await.concat().iter().filter(|one| one.is_err()).count();
        assert_eq!(failed, 0, "calls failed");
        (SUBSCRIPTIONS * BATCH) as f64 / began.elapsed().as_secs_f64()
    };
    let mut rounds = Vec::new();
    for _ in 0..20 {
        rounds.push(round().await);
    }
    let status = plugins.status().into_iter().next().expect("its status");
    println!(
        "  {name:<19} check {:>5.0} us each, {} verdicts/s, {} instances, held {} KiB, RSS {} KiB more",
        median(checks),
        thousands(median(rounds)),
        status.instances,
        thousands(status.memory as f64 / 1024.0),
        thousands(resident().saturating_sub(before) as f64 / 1024.0)
    );
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// This process's resident memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
