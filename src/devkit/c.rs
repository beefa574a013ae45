//! C and C++ plugins: bindings made here, a compiler that knows WebAssembly, and a C library of a few hundred lines.
//!
//! The world is the one whose generated header a source includes (`filter_plugin.h` or `notifier_plugin.h`).
//! Why no wasi-libc: a plugin needs an allocator, `memcpy`, JSON and one request, so clang and its linker (or Zig) are
//! all there is to install, and the plugin imports only what it calls. C++ is the language without its library.
//! Without clang and without Zig, Zig is fetched: it is a compiler in one package.
//! Invariant: bindings and library live in a folder that goes away with the build; nothing is left beside the source.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::language::{entry, names};
use super::tools::{self, Tools};
use super::{contract, fetched};
use crate::error::Error;
use crate::plugin::World;

/// Of every plugin.
const LIBRARY: [(&str, &str); 5] = [
    ("libc.c", include_str!("c/libc.c")),
    ("stdlib.h", include_str!("c/stdlib.h")),
    ("string.h", include_str!("c/string.h")),
    ("busway.c", include_str!("c/busway.c")),
    ("busway.h", include_str!("c/busway.h")),
];
/// Of a notifier besides.
const HTTP: [(&str, &str); 2] = [
    ("http.c", include_str!("c/http.c")),
    ("http.h", include_str!("c/http.h")),
];
/// Of a plugin with C++ in it besides.
const CPP: (&str, &str) = ("cpp.cpp", include_str!("c/cpp.cpp"));

/// No libc and no start function; memory functions as single instructions; complaints about the author's code only.
const FLAGS: [&str; 5] = [
    "-Os",
    "-ffreestanding",
    "-mbulk-memory",
    "-Wall",
    "-Wno-unused-function",
];
const C_FLAGS: [&str; 1] = ["-std=c11"];
const CPP_FLAGS: [&str; 3] = ["-std=c++20", "-fno-exceptions", "-fno-rtti"];
const LINK_FLAGS: [&str; 3] = ["-nostdlib", "-Wl,--no-entry", "-Wl,--strip-debug"];

const HOW: &str = "one source must include \"filter_plugin.h\" or \"notifier_plugin.h\", the headers made for a \
    plugin's world";

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

const ZIG: &str = "0.17.1";
const GET_COMPILER: &str = "a plugin in C or C++ needs clang and its linker wasm-ld, or Zig, and neither is on PATH: \
    install them (Debian and Ubuntu: `apt-get install clang lld`; Fedora: `dnf install clang lld`; macOS: `brew \
    install llvm lld`; Zig by itself, anywhere: https://ziglang.org). With Python 3 the kit would fetch Zig itself";

/// Compiles the sources, all of one plugin, to a core module that carries its component type.
pub(super) fn build(tools: &Tools, sources: &[PathBuf], say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, Error> {
    let (_, world) = entry(sources, named, HOW)?;
    let compiler = Compiler::find(tools, say)?;
    let folder = tempfile::tempdir().map_err(Error::internal)?;
    let made = folder.path().join("plugin.wasm");
    let mut ours = write_bindings(world, folder.path()).map_err(Error::internal)?;
    if sources.iter().any(|source| is_cpp(source)) {
        let path = folder.path().join(CPP.0);
        fs::write(&path, CPP.1).map_err(Error::internal)?;
        ours.push(path);
    }
    say(&format!(
        "compiling {} with {}",
        names(sources),
        compiler.program.display()
    ));
    let mut objects = Vec::new();
    for (number, source) in sources.iter().chain(&ours).enumerate() {
        if source.extension().is_some_and(|own| own == "o") {
            objects.push(source.clone());
            continue;
        }
        let object = folder.path().join(format!("{number}.object"));
        let mut command = compiler.command(tools);
        let own: &[&str] = if is_cpp(source) { &CPP_FLAGS } else { &C_FLAGS };
        command.args(FLAGS).args(own).arg("-isystem").arg(folder.path());
        command.arg("-c").arg(source).arg("-o").arg(&object);
        tools::run(&mut command, say)?;
        objects.push(object);
    }
    let mut command = compiler.command(tools);
    command
        .args(&compiler.link)
        .args(LINK_FLAGS)
        .args(objects)
        .arg("-o")
        .arg(&made);
    tools::run(&mut command, say)?;
    fs::read(&made).map_err(Error::internal)
}

fn is_cpp(source: &Path) -> bool {
    source.extension().is_some_and(|own| own != "c" && own != "o")
}

/// The world whose header this line includes.
fn named(line: &str) -> Option<World> {
    let included = line.trim_start().strip_prefix("#include")?.trim();
    match included.split('"').nth(1)? {
        "filter_plugin.h" => Some(World::Filter),
        "notifier_plugin.h" => Some(World::Notifier),
        _ => None,
    }
}

/// A compiler of both languages.
struct Compiler {
    program: PathBuf,
    /// What comes before everything else.
    before: Vec<&'static str>,
    /// What it needs to link.
    link: Vec<OsString>,
}

impl Compiler {
    fn find(tools: &Tools, say: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        if let (Some(program), Some(linker)) = (tools.find(&CLANGS), tools.find(&LINKERS)) {
            let mut link = OsString::from("-fuse-ld=");
            link.push(linker);
            return Ok(Self {
                program,
                before: vec!["--target=wasm32-unknown-unknown"],
                link: vec![link],
            });
        }
        let zig = |program, mut before: Vec<&'static str>| {
            before.extend(["cc", "-target", "wasm32-freestanding"]);
            Self {
                program,
                before,
                link: Vec::new(),
            }
        };
        if let Some(program) = tools.find(&["zig"]) {
            return Ok(zig(program, Vec::new()));
        }
        if tools.find(&["python3", "python"]).is_none() {
            return Err(tools::missing(GET_COMPILER.to_owned()));
        }
        let python = fetched::python(tools, "ziglang", ZIG, "a plugin in C or C++ without clang and lld", say)?;
        Ok(zig(python, vec!["-m", "ziglang"]))
    }

    fn command(&self, tools: &Tools) -> Command {
        let mut command = tools.command_at(&self.program);
        command.args(&self.before);
        command
    }
}

/// Writes the bindings and the library, and returns what of it must be compiled and linked.
fn write_bindings(world: World, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut resolve, id) = contract::resolve(world)?;
    // The generator closes the borrowed event after each call, so that C code cannot forget to.
    let options = wit_bindgen_c::Opts {
        autodrop_borrows: wit_bindgen_c::Enabled::Yes,
        ..Default::default()
    };
    let mut files = Default::default();
    options.build().generate(&mut resolve, id, &mut files)?;
    let http: &[(&str, &str)] = if world == World::Notifier { &HTTP } else { &[] };
    let library = LIBRARY.iter().chain(http).map(|(name, text)| (*name, text.as_bytes()));
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
