//! Builds what is in `plugins/` and `tests/guests/`, and everything that can be wrong with a folder or a machine.

mod behaviour;
mod pack;

use std::fs;
use std::path::{Path, PathBuf};

use super::build::build_with;
use super::{Tools, build, world_of};
use crate::plugin::World;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn builds_every_plugin_and_guest() {
    let check = |folder: &str, world: World, at_most_kib: u64| {
        let out = tempfile::tempdir().unwrap();
        let path = build(&repository().join(folder), Some(out.path()), &mut |_| {}).unwrap();
        let name = folder.rsplit('/').next().unwrap();
        assert_eq!(path, out.path().join(format!("{name}.wasm")));
        let wasm = fs::read(&path).unwrap();
        assert_eq!(world_of(&wasm).unwrap(), world, "{folder}");
        assert!(
            wasm.len() as u64 <= at_most_kib << 10,
            "{folder} has grown to {} bytes",
            wasm.len()
        );
        assert_eq!(
            fs::read_dir(out.path()).unwrap().count(),
            1,
            "{folder} left something beside the plugin"
        );
    };
    check("plugins/filter-threshold", World::Filter, 128);
    check("plugins/notifier-chat", World::Notifier, 192);
    check("plugins/filter-keyword-c", World::Filter, 32);
    check("tests/guests/misbehave", World::Filter, 128);
    check("tests/guests/misbehave-notifier", World::Notifier, 160);
}

#[test]
fn a_plugin_imports_what_it_uses_and_no_more() {
    let check = |folder: &str, allowed: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let path = build(&repository().join(folder), Some(out.path()), &mut |_| {}).unwrap();
        for import in imports(&fs::read(path).unwrap()) {
            assert!(
                allowed.iter().any(|prefix| import.starts_with(prefix)),
                "{folder} imports {import}"
            );
        }
    };
    check("plugins/filter-threshold", &["busway:plugin/"]);
    check("plugins/filter-keyword-c", &["busway:plugin/events@"]);
    check(
        "plugins/notifier-chat",
        &[
            "busway:plugin/",
            "wasi:http/",
            "wasi:io/",
            "wasi:clocks/monotonic-clock",
        ],
    );
}

fn imports(wasm: &[u8]) -> Vec<String> {
    let wit_component::DecodedWasm::Component(resolve, world) = wit_component::decode(wasm).unwrap() else {
        panic!("not a component")
    };
    resolve.worlds[world]
        .imports
        .keys()
        .map(|key| resolve.name_world_key(key))
        .collect()
}

#[test]
fn tells_a_plugin_from_what_is_none() {
    let check = |file: &str, expected: Result<World, &str>| {
        let wasm = wat::parse_file(repository().join("tests/guests").join(file)).unwrap();
        match (world_of(&wasm), expected) {
            (Ok(world), Ok(expected)) => assert_eq!(world, expected, "{file}"),
            (Err(error), Err(says)) => assert!(error.message().contains(says), "{file}: {error}"),
            (got, _) => panic!("{file}: {got:?}"),
        }
    };
    check("pass.wat", Ok(World::Filter));
    check("many-memories.wat", Ok(World::Filter));
    check("wrong-version.wat", Err("exports busway:plugin/filter@0.9.0"));
    check("nothing.wat", Err("exports nothing"));
    check("core-module.wat", Err("a core module, and not a component"));
    for bytes in [&b""[..], b"\0asm", b"not wasm at all", &[0xff; 64]] {
        let error = world_of(bytes).unwrap_err();
        assert_eq!(error.code(), "not_a_plugin", "{error}");
    }
}

/// A folder with these files, built with what is on this PATH.
fn built(files: &[(&str, &str)], tools: &Tools) -> (tempfile::TempDir, Result<PathBuf, crate::error::Error>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let result = build_with(tools, dir.path(), None, &mut |_| {});
    (dir, result)
}

const MANIFEST: &str = "[workspace]\n[package]\nname = \"mine\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]\n";
const PASS: &str = include_str!("../../tests/guests/pass.wat");

#[test]
fn says_what_is_wrong_with_a_folder() {
    let check = |files: &[(&str, &str)], code: &str, says: &str| {
        let (_dir, result) = built(files, &Tools::from_env());
        let error = result.expect_err(says);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(says), "expected {says:?} in: {error}");
    };
    check(
        &[],
        "not_a_plugin_folder",
        "no Cargo.toml (Rust), no *.c (C) and no *.wat",
    );
    check(
        &[("a.wat", PASS), ("b.wat", PASS)],
        "not_a_plugin_folder",
        "several *.wat",
    );
    check(&[("a.c", "int x;\n")], "not_a_plugin_folder", "filter_plugin.h");
    check(&[("a.wat", "(component")], "build_failed", "a.wat:1:");
    check(&[("a.wat", "(module)")], "not_a_plugin", "exports nothing");
    check(&[("a.wat", "(component)")], "not_a_plugin", "exports nothing");
    check(&[("Cargo.toml", "[package")], "build_failed", "cargo failed");
    check(
        &[("Cargo.toml", MANIFEST), ("src/lib.rs", "")],
        "not_a_plugin_folder",
        "crate-type = [\"cdylib\"]",
    );
    let manifest = &format!("{MANIFEST}{CDYLIB}");
    check(
        &[("Cargo.toml", manifest), ("src/lib.rs", "fn broken( {")],
        "build_failed",
        "src/lib.rs:1",
    );
    check(
        &[("Cargo.toml", manifest), ("src/lib.rs", "")],
        "not_a_plugin",
        "exports nothing",
    );
    let c = "#include \"filter_plugin.h\"\nint broken( {\n";
    check(&[("a.c", c)], "build_failed", "a.c:2");
}

#[test]
fn a_failed_build_leaves_the_old_plugin_alone() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("mine.wat");
    fs::write(&source, PASS).unwrap();
    let path = build(dir.path(), None, &mut |_| {}).unwrap();
    let good = fs::read(&path).unwrap();
    fs::write(&source, "(component)").unwrap();
    build(dir.path(), None, &mut |_| {}).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), good);
    assert_eq!(path.parent(), Some(dir.path()));
}

#[test]
fn says_what_to_install() {
    let nothing = tempfile::tempdir().unwrap();
    let check = |files: &[(&str, &str)], tools: &[&str], says: &[&str]| {
        let path = tempfile::tempdir().unwrap();
        tools.iter().for_each(|tool| lay_tool(path.path(), tool));
        let (_dir, result) = built(files, &Tools::on(path.path()));
        let error = result.unwrap_err();
        assert_eq!(error.code(), "tool_missing", "{error}");
        says.iter()
            .for_each(|part| assert!(error.message().contains(part), "expected {part:?} in: {error}"));
    };
    let rust = [("Cargo.toml", &*format!("{MANIFEST}{CDYLIB}")), ("src/lib.rs", "")];
    let c = [("a.c", "#include \"filter_plugin.h\"\n")];
    check(&rust, &[], &["cargo is not on PATH", "https://rustup.rs"]);
    check(&c, &[], &["clang", "wasm-ld", "apt-get install clang lld"]);
    check(&c, &["clang"], &["wasm-ld"]);
    let (_dir, wat) = built(&[("a.wat", PASS)], &Tools::on(nothing.path()));
    wat.expect("WebAssembly text needs no tool");
}

/// With a Rust that lacks the target and no rustup, the message names both; with rustup, rustup is asked.
#[cfg(unix)]
#[test]
fn a_missing_rust_target_is_added_or_explained() {
    let tools = tempfile::tempdir().unwrap();
    lay_script(tools.path(), "rustc", "echo /nowhere/wasm32");
    lay_script(
        tools.path(),
        "cargo",
        &format!("exec {} \"$@\"", Tools::from_env().find(&["cargo"]).unwrap().display()),
    );
    let rust = [("Cargo.toml", &*format!("{MANIFEST}{CDYLIB}")), ("src/lib.rs", "")];
    let (_dir, result) = built(&rust, &Tools::on(tools.path()));
    let error = result.unwrap_err();
    assert_eq!(error.code(), "tool_missing", "{error}");
    assert!(
        error.message().contains("rustup target add wasm32-unknown-unknown"),
        "{error}"
    );

    lay_script(tools.path(), "rustup", "echo \"asked for $*\" >&2; exit 1");
    let (_dir, result) = built(&rust, &Tools::on(tools.path()));
    let error = result.unwrap_err();
    assert!(
        error.message().contains("asked for target add wasm32-unknown-unknown"),
        "{error}"
    );
}

/// The example of `plugins/README.md`, as it stands there.
#[test]
fn the_readme_builds() {
    let readme = fs::read_to_string(repository().join("plugins/README.md")).unwrap();
    let block = |language: &str| {
        let (_, after) = readme.split_once(&format!("```{language}\n")).unwrap();
        after.split_once("```").unwrap().0
    };
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap().display().to_string();
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap();
    let files = [
        ("Cargo.toml", block("toml")),
        ("Cargo.lock", &lock),
        ("src/lib.rs", block("rust")),
        ("wit/busway.wit", super::WIT),
        (".cargo/config.toml", &format!("[build]\ntarget-dir = {target:?}\n")),
    ];
    let (_dir, result) = built(&files, &Tools::from_env());
    let path = result.unwrap();
    assert_eq!(path.file_name().unwrap(), "mine.wasm");
    assert_eq!(world_of(&fs::read(path).unwrap()).unwrap(), World::Filter);
}

fn lay_tool(folder: &Path, name: &str) {
    fs::write(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)), "").unwrap();
}

#[cfg(unix)]
fn lay_script(folder: &Path, name: &str, body: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
