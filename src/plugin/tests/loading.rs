//! What is refused at load, and in what words; and what of a plugin is shown.

use super::super::{World, inspect};
use super::*;

async fn refuse(bytes: &[u8], says: &[&str]) {
    let mut bench = Bench::open(&[("p", bytes.to_vec())], &[]).await;
    let (reason, serving) = bench.rejected().await;
    for words in says {
        assert!(reason.contains(words), "{reason:?} does not say {words:?}");
    }
    assert!(!serving);
    let status = bench.status("p");
    assert_eq!(
        (status.state, status.kind, status.reason),
        ("rejected", None, Some(reason))
    );
    assert_eq!(bench.ask("p").await, Err(CallError::NotLoaded("p".to_owned())));
    let error = inspect(bytes).unwrap_err();
    assert_eq!(error.code(), "plugin_invalid");
}

#[tokio::test]
async fn bytes_that_are_no_component_are_told_apart() {
    refuse(b"", &["empty", "still being written"]).await;
    refuse(b"\0asm", &["header", "still being written"]).await;
    refuse(b"#!/bin/sh\n", &["not WebAssembly", "busway plugin build"]).await;
    refuse(&[0xff; 4_096], &["not WebAssembly"]).await;
    refuse(b"(component)", &["text", "wasm-tools parse"]).await;
    refuse(
        &wat::parse_str("(module)").unwrap(),
        &[
            "core WebAssembly module",
            "wasm-tools component new",
            "busway plugin build",
        ],
    )
    .await;
    refuse(b"\0asm\x0e\0\x01\0", &["version"]).await;
}

#[tokio::test]
async fn a_component_cut_anywhere_is_refused() {
    let bytes = dropping("a");
    let mut ends: Vec<usize> = (8..bytes.len()).step_by(bytes.len() / 12).collect();
    ends.push(bytes.len() - 1);
    for end in ends {
        let reason = super::super::load::Outline::read(&bytes[..end]).unwrap_err();
        assert!(
            reason.contains("cut off") || reason.contains("exports neither"),
            "at {end}: {reason}"
        );
    }
}

#[tokio::test]
async fn a_damaged_component_does_not_compile() {
    let mut bytes = dropping("a");
    // The code of `evaluate`, made nonsense: all sections keep their sizes.
    let at = bytes
        .windows(3)
        .position(|window| window == [0x0f, 0x41, 0x00])
        .unwrap_or(bytes.len() / 3);
    bytes[at..at + 2].fill(0xff);
    let mut bench = Bench::open(&[("p", bytes)], &[]).await;
    let (reason, _) = bench.rejected().await;
    assert!(
        reason.contains("does not compile") || reason.contains("damaged"),
        "{reason}"
    );
}

#[tokio::test]
async fn what_a_component_exports_decides() {
    refuse(
        &wat::parse_str("(component)").unwrap(),
        &["neither busway:plugin/filter nor busway:plugin/notifier", "nothing"],
    )
    .await;
    let other = r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    refuse(
        &wat::parse_str(other).unwrap(),
        &["but wasi:cli/run@0.2.0", "filter-plugin"],
    )
    .await;
    let old = r#"(component (instance $i) (export "busway:plugin/filter@0.2.0" (instance $i)))"#;
    refuse(
        &wat::parse_str(old).unwrap(),
        &["busway:plugin@0.2.0", "busway:plugin@0.1.0"],
    )
    .await;
    let both = r#"(component (instance $i) (export "busway:plugin/filter@0.1.0" (instance $i)) (export "busway:plugin/notifier@0.1.0" (instance $i)))"#;
    refuse(&wat::parse_str(both).unwrap(), &["both", "two plugins"]).await;
    let hollow = r#"(component (instance $i) (export "busway:plugin/filter@0.1.0" (instance $i)))"#;
    refuse(
        &wat::parse_str(hollow).unwrap(),
        &["does not fit this hub", "no export describe"],
    )
    .await;
    let wrong = r#"(component (core module $m (func (export "f"))) (core instance $c (instantiate $m))
        (func $f (canon lift (core func $c "f")))
        (instance $i (export "describe" (func $f)) (export "init" (func $f)) (export "evaluate" (func $f)))
        (export "busway:plugin/filter@0.1.0" (instance $i)))"#;
    refuse(&wat::parse_str(wrong).unwrap(), &["no instance of it can be made"]).await;
}

#[tokio::test]
async fn an_import_that_the_hub_lacks_is_named() {
    let needy = r#"(component (import "acme:teleport/beam@1.0.0" (instance (export "go" (func))))
        (core module $m (func (export "f"))) (core instance $c (instantiate $m)) (func $f (canon lift (core func $c "f")))
        (instance $i (export "describe" (func $f)) (export "init" (func $f)) (export "evaluate" (func $f)))
        (export "busway:plugin/filter@0.1.0" (instance $i)))"#;
    refuse(&wat::parse_str(needy).unwrap(), &["acme:teleport/beam@1.0.0"]).await;
}

#[test]
fn versions_are_linked_as_semver_has_it() {
    let check = |one, other, fits| assert_eq!(super::super::load::compatible(one, other), fits, "{one} and {other}");
    check("0.1.0", "0.1.0", true);
    check("0.1.0", "0.1.7", true);
    check("0.1.0", "0.2.0", false);
    check("0.1.0", "1.1.0", false);
    check("1.2.0", "1.9.3", true);
    check("0.0.1", "0.0.2", false);
}

#[tokio::test]
async fn a_bad_name_is_refused() {
    let mut bench = Bench::open(&[("Bad_Name", dropping("a"))], &[]).await;
    let (reason, _) = bench.rejected().await;
    assert!(reason.contains("a-z") && reason.contains("rename"), "{reason}");
}

#[tokio::test]
async fn one_bad_file_does_not_stop_the_others() {
    let bench = Bench::open(&[("bad", b"?".to_vec()), ("good", dropping("a"))], &[]).await;
    assert_eq!(bench.ask("good").await, dropped("a"));
    let states: Vec<_> = bench
        .plugins
        .status()
        .into_iter()
        .map(|status| (status.name, status.state))
        .collect();
    assert_eq!(states, [("bad".to_owned(), "rejected"), ("good".to_owned(), "active")]);
}

#[tokio::test]
async fn the_status_shows_what_is_loaded() {
    let bytes = Filter {
        summary: "counts sheep",
        ..Filter::default()
    }
    .build();
    let bench = Bench::open(&[("p", bytes.clone())], &[]).await;
    bench.evaluate("p", &vec![event("1", "{}"); 10]).await;
    let status = bench.status("p");
    assert_eq!(
        (status.kind, status.state, status.generation),
        (Some("filter"), "active", 1)
    );
    assert_eq!(status.summary.as_deref(), Some("counts sheep"));
    assert_eq!(status.digest, Some(crate::digest::sha256(&bytes)));
    assert!(
        status.imports.iter().any(|import| import == "busway:plugin/log@0.1.0"),
        "{:?}",
        status.imports
    );
    assert_eq!((status.calls, status.errors, status.instances), (10, 0, 1));
    // Two pages, and a table of two that the wrapping adds.
    assert_eq!(status.memory, 2 * 65_536 + 16);
    assert!(status.p50_us <= status.p99_us && status.p99_us > 0);
    let metrics = bench.metrics.text();
    assert!(
        metrics.contains(r#"busway_plugin_calls_total{plugin="p",result="ok"} 10"#),
        "{metrics}"
    );
}

#[test]
fn an_inspection_needs_no_hub() {
    let bytes = Filter {
        summary: "counts sheep",
        ..Filter::default()
    }
    .build();
    let inspection = inspect(&bytes).unwrap();
    assert_eq!(
        (inspection.kind, inspection.wit_version.as_str()),
        (World::Filter, "0.1.0")
    );
    assert_eq!(
        (inspection.summary.as_str(), inspection.size),
        ("counts sheep", bytes.len())
    );
    assert!(inspection.needed_grants.is_empty() && inspection.config_schema.is_none());
}
