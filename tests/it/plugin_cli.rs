//! `busway plugin` without a swap: builds tested on recorded events, laid side by side, described; and options made of a
//! schema.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{HubProcess, component, place, run};

/// A line of a file of events: number `n`, and what to expect.
fn event(id: &str, n: u64, expect: &Value) -> String {
    let event = json!({"specversion": "1.0", "id": id, "source": "/s", "type": "n", "data": {"n": n}});
    match expect {
        Value::Null => format!("{event}\n"),
        expect => format!("{}\n", json!({"event": event, "expect": expect})),
    }
}

/// A folder with both plugins as files, and the events of `lines`.
fn folder(lines: &[String]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["filter-threshold", "notifier-chat"] {
        std::fs::write(folder.path().join(format!("{name}.wasm")), component(name)).unwrap();
    }
    std::fs::write(folder.path().join("events.jsonl"), lines.concat()).unwrap();
    folder
}

const BOUNDS: &str = r#"{"pointer": "/n", "min": 10}"#;

#[test]
fn a_test_prints_verdicts_and_cost_and_holds_to_what_is_expected() {
    let check = |expects: &[Value], code: i32, says: &[&str]| {
        let lines: Vec<String> = expects
            .iter()
            .zip([5, 50])
            .map(|(expect, n)| event("e", n, expect))
            .collect();
        let folder = folder(&lines);
        let arguments = [
            "plugin",
            "test",
            "filter-threshold.wasm",
            "--events",
            "events.jsonl",
            "--config",
            BOUNDS,
        ];
        let (found, shown, error) = run(folder.path(), &arguments);
        assert_eq!(found, code, "{expects:?}\n{shown}\n{error}");
        let all = format!("{shown}{error}");
        for part in says {
            assert!(all.contains(part), "{part} is not in:\n{all}");
        }
    };
    check(
        &[json!(null), json!(null)],
        0,
        &[
            "drop: 5 at /n is below 10",
            "2 events: 1 drop, 1 pass",
            "p99",
            "host calls: at 2",
        ],
    );
    check(&[json!("drop"), json!("pass")], 0, &["2 of 2 as expected"]);
    check(&[json!({"drop": "below 10"}), json!(null)], 0, &["1 of 1 as expected"]);
    check(
        &[json!("pass"), json!("pass")],
        1,
        &["pass ✗", "1 of 2 events came out otherwise"],
    );
    check(&[json!({"drop": "above"}), json!(null)], 1, &["0 of 1 as expected"]);
    check(&[json!("dorp"), json!(null)], 65, &["line 1", "did you mean `drop`?"]);
}

#[test]
fn a_test_is_json_for_a_program() {
    let folder = folder(&[event("a", 5, &json!("drop"))]);
    let arguments = [
        "plugin",
        "test",
        "filter-threshold.wasm",
        "--events",
        "events.jsonl",
        "--config",
        BOUNDS,
        "--output",
        "json",
    ];
    let (code, shown, error) = run(folder.path(), &arguments);
    assert_eq!(code, 0, "{error}");
    let report: Value = serde_json::from_str(&shown).unwrap();
    let case = &report["events"][0];
    assert_eq!(
        (&case["outcome"], &case["as_expected"], &case["id"]),
        (&json!("drop"), &json!(true), &json!("a"))
    );
    assert_eq!(case["trace"]["host_calls"], json!({"at": 1}));
    assert_eq!(
        (&report["kind"], &report["summary"]["events"]),
        (&json!("filter"), &json!(1))
    );
    assert_eq!(report["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn a_notifier_is_tested_without_effects_under_the_operators_grants() {
    let folder = folder(&[event("a", 7, &json!(null))]);
    let config = r#"{"url": "http://hooks.example.com/x", "template": "{type} is {/n}"}"#;
    let arguments = [
        "plugin",
        "test",
        "notifier-chat.wasm",
        "--events",
        "events.jsonl",
        "--config",
        config,
    ];
    let (code, shown, error) = run(folder.path(), &arguments);
    assert_eq!(code, 0, "{error}");
    assert!(
        shown.contains("1 events: 1 reject") && shown.contains("http = [\"http://hooks.example.com\"]"),
        "{shown}"
    );

    let granted = "[plugins.chat]\ngrants = { http = [\"http://hooks.example.com\"] }\n";
    std::fs::write(folder.path().join("busway.toml"), granted).unwrap();
    let as_chat = |name| [arguments.as_slice(), &["--as", name]].concat();
    let (code, shown, error) = run(folder.path(), &as_chat("chat"));
    assert_eq!(code, 0, "{error}");
    for part in [
        "delivered",
        "POST http://hooks.example.com/x",
        r#"{"text":"n is 7"}"#,
        "http 1",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let (code, _, error) = run(folder.path(), &as_chat("chta"));
    assert_eq!((code, error.contains("did you mean `chat`?")), (78, true), "{error}");
}

#[test]
fn what_cannot_be_tested_is_told() {
    let folder = folder(&[event("a", 7, &json!(null))]);
    let check = |more: &[&str], code: i32, says: &str| {
        let arguments = [&["plugin", "test"], more].concat();
        let (found, _, error) = run(folder.path(), &arguments);
        assert_eq!((found, error.contains(says)), (code, true), "{more:?}: {error}");
    };
    let file = "filter-threshold.wasm";
    check(&[file], 64, "--events FILE, or --from-hub");
    check(&[file, "--events", "none.jsonl"], 66, "none.jsonl cannot be read");
    check(
        &["none.wasm", "--events", "events.jsonl"],
        66,
        "none.wasm cannot be read",
    );
    check(&["events.jsonl", "--events", "events.jsonl"], 65, "not WebAssembly");
    check(&[file, "--events", "events.jsonl"], 65, "config.pointer: is required");
    check(
        &[file, "--events", "events.jsonl", "--config", "{"],
        65,
        "is no JSON object",
    );
    check(
        &[file, "--from-hub", "http://127.0.0.1:1"],
        69,
        "is `busway serve` running",
    );
    check(
        &[file, "--events", "events.jsonl", "--last", "5"],
        64,
        "cannot be used with",
    );
}

/// The threshold filter, with other words in its reasons.
fn patched(from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut wasm = component("filter-threshold");
    let at = wasm
        .windows(from.len())
        .position(|window| window == from)
        .expect("the words");
    wasm[at..at + from.len()].copy_from_slice(to);
    wasm
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_are_compared_on_what_a_hub_recorded() {
    let folder = folder(&[]);
    let hub = HubProcess::start(folder.path()).await;
    // More than one answer of the hub holds.
    for numbers in [0..750, 750..1_500] {
        hub.publish_many("n", numbers, 0).await;
    }
    let url = hub.url("");
    std::fs::write(
        folder.path().join("reworded.wasm"),
        patched(b" is below ", b" lies low! ".get(..10).unwrap()),
    )
    .unwrap();
    let diff = |new: &str, more: &[&str]| {
        let all = [
            &[
                "plugin",
                "diff",
                "filter-threshold.wasm",
                new,
                "--from-hub",
                &url,
                "--config",
                BOUNDS,
            ],
            more,
        ];
        run(folder.path(), &all.concat())
    };
    let (code, shown, error) = diff("reworded.wasm", &["--last", "1200"]);
    assert_eq!(code, 0, "other words are no difference: {shown}{error}");
    assert!(shown.contains("the same with all 1200 events"), "{shown}");

    std::fs::write(folder.path().join("misbehave.wasm"), component("misbehave")).unwrap();
    let (code, shown, error) = diff("misbehave.wasm", &["--last", "1500", "--show", "1"]);
    assert_eq!(code, 1, "{shown}");
    assert!(error.contains("they differ on 10 of 1500 events"), "{error}");
    for part in ["- drop: 0 at /n is below 10", "+ pass", "and 9 more"] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let (code, _, error) = diff("notifier-chat.wasm", &["--last", "20"]);
    assert_eq!(code, 65, "{error}");
}

#[test]
fn differences_are_shown_with_their_events() {
    let folder = folder(&[event("low", 5, &json!(null)), event("high", 50, &json!(null))]);
    // In WebAssembly text, since what differs must be in sight: one passes everything, the other drops it.
    for (name, verdict) in [("passes", 0), ("drops", 1)] {
        let wasm = busway::devkit::assemble(&judge(verdict), "filter-plugin").unwrap();
        std::fs::write(folder.path().join(format!("{name}.wasm")), wasm).unwrap();
    }
    let arguments = [
        "plugin",
        "diff",
        "passes.wasm",
        "drops.wasm",
        "--events",
        "events.jsonl",
    ];
    let (code, shown, error) = run(folder.path(), &arguments);
    assert_eq!(code, 1, "{shown}{error}");
    for part in [
        "line 1: n low",
        "- pass",
        "+ drop",
        r#"{"n":5}"#,
        "line 2: n high",
        "2 events: 2 pass",
        "2 events: 2 drop",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    assert!(error.contains("they differ on 2 of 2 events"), "{error}");
    let json = [arguments.as_slice(), &["--output", "json"]].concat();
    let (code, shown, _) = run(folder.path(), &json);
    let report: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (code, report["differences"].as_array().unwrap().len()),
        (1, 2),
        "{report}"
    );
    assert_eq!(report["differences"][0]["event"]["id"], "low");
}

/// A filter that gives one verdict on everything: 0 passes, 1 drops.
fn judge(verdict: u8) -> String {
    format!(
        r#"(module
  (import "busway:plugin/events@0.1.0" "[resource-drop]event" (func $drop (param i32)))
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "busway:plugin/filter@0.1.0#describe") (result i32) (i32.const 64))
  (func (export "busway:plugin/filter@0.1.0#init") (param i32 i32) (result i32) (i32.const 128))
  (func (export "busway:plugin/filter@0.1.0#evaluate")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    (global.set $next (i32.const 1024))
    (call $drop (local.get 9))
    (i32.store (i32.const 196) (i32.const {verdict}))
    (i32.const 192)))
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn options_are_made_of_the_live_plugins_schema() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), "filter-threshold", &component("filter-threshold"));
    let hub = HubProcess::start(folder.path()).await;
    let url = hub.url("");
    let busway = |arguments: &[&str]| run(folder.path(), &[arguments, &["--url", &url]].concat());
    let (code, shown, error) = busway(&["plugin", "show", "filter-threshold"]);
    assert_eq!(code, 0, "{error}");
    for part in [
        "pointer",
        "required",
        "JSON Pointer",
        "\"drop\" or \"pass\"",
        "--plugin filter-threshold --set pointer=",
    ] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let create = |more: &[&str]| {
        let start = [
            "subscription",
            "create",
            "--id",
            "s",
            "--type",
            "n",
            "--sink",
            "http://127.0.0.1:9/x",
        ];
        busway(&[start.as_slice(), more].concat())
    };
    let threshold = ["--plugin", "filter-threshold", "--set", "pointer=/n"];
    let (code, _, error) = create(&[threshold.as_slice(), &["--set", "min=10", "--set", "missing=pass"]].concat());
    assert_eq!(code, 0, "{error}");
    let made = hub.get("/v1/subscriptions/s").await;
    let expected = json!([{"plugin": {"name": "filter-threshold",
        "config": {"pointer": "/n", "min": 10, "missing": "pass"}}}]);
    assert_eq!(made["filters"], expected);
    let (code, _, error) = create(&["--set", "format=raw", "--set", "headers.x-a=b"]);
    assert_eq!(code, 0, "{error}");
    let made = hub.get("/v1/subscriptions/s").await;
    assert_eq!(
        (
            &made["protocolsettings"]["format"],
            &made["protocolsettings"]["headers"]["x-a"]
        ),
        (&json!("raw"), &json!("b"))
    );
    for (option, code, says) in [
        ("mni=1", 64, "did you mean `min`?"),
        ("min=much", 64, "must be a number"),
        ("min", 64, "write --set NAME=VALUE"),
        (
            "missing=keep",
            65,
            "filters[0].plugin.config.missing: must be \"drop\" or \"pass\"",
        ),
    ] {
        let (found, _, error) = create(&[threshold.as_slice(), &["--set", option]].concat());
        assert_eq!((found, error.contains(says)), (code, true), "{option}: {error}");
    }
}

#[test]
fn the_docs_of_a_plugin_are_made_from_its_schema() {
    let folder = folder(&[]);
    let (code, page, error) = run(folder.path(), &["plugin", "docs", "notifier-chat.wasm"]);
    assert_eq!(code, 0, "{error}");
    for part in [
        "# notifier-chat",
        "[plugins.notifier-chat.grants]",
        "| `url` | string | required |",
        "--notifier notifier-chat",
    ] {
        assert!(page.contains(part), "{part} is not in:\n{page}");
    }
    // The README of the folder it was built from has the same table.
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/notifier-chat/README.md");
    let copy = folder.path().join("README.md");
    std::fs::copy(&readme, &copy).unwrap();
    let (code, _, error) = run(
        folder.path(),
        &["plugin", "docs", "notifier-chat.wasm", "--write", "README.md"],
    );
    assert_eq!(code, 0, "{error}");
    assert_eq!(
        std::fs::read_to_string(&copy).unwrap(),
        std::fs::read_to_string(&readme).unwrap()
    );
    std::fs::write(&copy, "# none\n").unwrap();
    let (code, _, error) = run(
        folder.path(),
        &["plugin", "docs", "notifier-chat.wasm", "--write", "README.md"],
    );
    assert_eq!(
        (code, error.contains("put these two lines there")),
        (65, true),
        "{error}"
    );
}
