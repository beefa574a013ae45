//! C plugins: bindings made here, a compiler that knows WebAssembly, and a C library of two hundred lines.
//!
//! The world is the one whose generated header the source includes (`filter_plugin.h` or `notifier_plugin.h`).
//! Why no wasi-libc: a filter needs an allocator and `memcpy`, so clang and its linker (or Zig) are all there is to
//! install, and the plugin imports only our contract. WASI is therefore not on offer to C plugins.
//! Invariant: bindings and library live in a folder that goes away with the build; nothing is left beside the source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_parser::Resolve;

use super::WIT;
use super::tools::{self, Tools};
use crate::error::Error;

const LIBRARY: [(&str, &str); 3] = [
    ("libc.c", include_str!("c/libc.c")),
    ("stdlib.h", include_str!("c/stdlib.h")),
    ("string.h", include_str!("c/string.h")),
];

/// No libc and no start function; memory functions as single instructions; complaints about the author's code only.
const FLAGS: [&str; 9] = [
    "-std=c11",
    "-Os",
    "-ffreestanding",
    "-nostdlib",
    "-mbulk-memory",
    "-Wall",
    "-Wno-unused-function",
    "-Wl,--no-entry",
    "-Wl,--strip-debug",
];

const CLANGS: [&str; 10] = [
    "clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14",
];
const LINKERS: [&str; 10] = [
    "wasm-ld",
    "wasm-ld-22",
    "wasm-ld-21",
    "wasm-ld-20",
    "wasm-ld-19",
    "wasm-ld-18",
    "wasm-ld-17",
    "wasm-ld-16",
    "wasm-ld-15",
    "wasm-ld-14",
];

const GET_COMPILER: &str = "a C plugin needs clang and its linker wasm-ld, or Zig, and neither is on PATH: install \
    them (Debian and Ubuntu: `apt-get install clang lld`; Fedora: `dnf install clang lld`; macOS: `brew install llvm \
    lld`; Zig by itself, anywhere: https://ziglang.org)";

/// Compiles the sources, all of one plugin, to a core module that carries its component type.
pub(super) fn build(tools: &Tools, sources: &[PathBuf], say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, Error> {
    let world = world_of(sources)?;
    let mut compiler = compiler(tools)?;
    let folder = tempfile::tempdir().map_err(Error::internal)?;
    let made = folder.path().join("plugin.wasm");
    let bindings = write_bindings(world, folder.path()).map_err(Error::internal)?;
    compiler
        .args(FLAGS)
        .arg("-isystem")
        .arg(folder.path())
        .args(sources)
        .args(bindings)
        .arg("-o")
        .arg(&made);
    say(&format!(
        "compiling {} with {}",
        names(sources),
        Path::new(compiler.get_program()).display()
    ));
    tools::run(&mut compiler, say)?;
    fs::read(&made).map_err(Error::internal)
}

fn world_of(sources: &[PathBuf]) -> Result<&'static str, Error> {
    for source in sources {
        let text = fs::read_to_string(source).map_err(|cause| {
            Error::invalid("build_failed", format!("cannot read {}: {cause}", source.display())).with_cause(cause)
        })?;
        for (header, world) in [
            ("\"filter_plugin.h\"", "filter-plugin"),
            ("\"notifier_plugin.h\"", "notifier-plugin"),
        ] {
            if text
                .lines()
                .any(|line| line.trim_start().starts_with("#include") && line.contains(header))
            {
                return Ok(world);
            }
        }
    }
    Err(Error::invalid(
        "not_a_plugin_folder",
        format!(
            "{} includes neither \"filter_plugin.h\" nor \"notifier_plugin.h\", the headers made for a plugin's world",
            names(sources)
        ),
    ))
}

fn compiler(tools: &Tools) -> Result<Command, Error> {
    if let (Some(clang), Some(linker)) = (tools.find(&CLANGS), tools.find(&LINKERS)) {
        let mut command = tools.command_at(clang);
        command
            .arg("--target=wasm32-unknown-unknown")
            .arg(format!("-fuse-ld={}", linker.display()));
        return Ok(command);
    }
    let mut command = if let Some(zig) = tools.find(&["zig"]) {
        tools.command_at(zig)
    } else {
        return Err(tools::missing(GET_COMPILER.to_owned()));
    };
    command.args(["cc", "-target", "wasm32-freestanding"]);
    Ok(command)
}

/// Writes the bindings and the library, and returns what of it must be compiled and linked.
fn write_bindings(world: &str, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("busway.wit", WIT)?;
    let world = resolve.select_world(&[package], Some(world))?;
    // The generator closes the borrowed event after each call, so that C code cannot forget to.
    let options = wit_bindgen_c::Opts {
        autodrop_borrows: wit_bindgen_c::Enabled::Yes,
        ..Default::default()
    };
    let mut files = Default::default();
    options.build().generate(&mut resolve, world, &mut files)?;
    let library = LIBRARY.iter().map(|(name, text)| (*name, text.as_bytes()));
    let mut compiled = Vec::new();
    for (name, bytes) in files.iter().chain(library) {
        let path = folder.join(name);
        fs::write(&path, bytes)?;
        if name.ends_with(".c") || name.ends_with(".o") {
            compiled.push(path);
        }
    }
    Ok(compiled)
}

fn names(sources: &[PathBuf]) -> String {
    let names = sources
        .iter()
        .filter_map(|source| Some(source.file_name()?.to_string_lossy().into_owned()));
    names.collect::<Vec<_>>().join(", ")
}
