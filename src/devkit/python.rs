//! Python plugins: componentize-py makes a component of the module and the interpreter.
//!
//! The entry is the module with a class `Filter` or `Notifier`. Python's standard library is inside; its sockets are
//! not what a grant of `http` opens, so the module `busway` beside it sends requests over wasi:http. Packages of pure
//! Python work if they lie in the plugin's folder (`pip install --target`).
//! Invariant: the plugin sees the standard library, its own folder and `busway`, and nothing that this machine has
//! installed, so that a build is the same everywhere. Nothing is written into its folder.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::language::entry;
use super::tools::{self, Tools};
use super::{contract, fetched};
use crate::error::Error;
use crate::plugin::World;

const VERSION: &str = "0.25.1";
const LIBRARY: &str = include_str!("python/busway.py");
const HOW: &str = "one module must have a class called `Filter` or `Notifier` (`class Filter(exports.Filter):`)";
/// The package has no `__main__`, and its script names the folder it was installed in.
const RUN: &str = "import sys; from componentize_py import script; sys.exit(script())";

/// Builds the component of these sources.
pub(super) fn build(tools: &Tools, sources: &[PathBuf], say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, Error> {
    let (source, world) = entry(sources, named, HOW)?;
    let python = fetched::python(tools, "componentize-py", VERSION, "a plugin in Python", say)?;
    let folder = tempfile::tempdir().map_err(Error::internal)?;
    let (wit, library) = (folder.path().join("wit"), folder.path().join("library"));
    let (own, made) = (folder.path().join("plugin"), folder.path().join("plugin.wasm"));
    copy(source.parent().unwrap_or(Path::new(".")), &own).map_err(Error::internal)?;
    contract::write(world, &wit).map_err(Error::internal)?;
    fs::create_dir(&library).map_err(Error::internal)?;
    if world == World::Notifier {
        fs::write(library.join("busway.py"), LIBRARY).map_err(Error::internal)?;
    }
    say(&format!("building {} with componentize-py", source.display()));
    let mut command = tools.command_at(&python);
    command
        .args(["-c", RUN, "--quiet", "-w", contract::world_name(world), "-d"])
        .arg(wit)
        .args(["componentize", "-p"])
        .arg(own)
        .arg("-p")
        .arg(library)
        .arg("-o")
        .arg(&made)
        .arg(source.file_stem().unwrap_or_default())
        .env_remove("VIRTUAL_ENV")
        .env_remove("PYTHONPATH")
        // It asks the first Python on the PATH for packages: let that be the one with none but its own.
        .env("PATH", path_from(&python));
    tools::run(&mut command, say)?;
    fs::read(&made).map_err(Error::internal)
}

/// The plugin's folder elsewhere: Python writes what it compiles beside the source.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let left_out = name == "__pycache__"
            || name.as_encoded_bytes().starts_with(b".")
            || path.extension().is_some_and(|own| own == "wasm");
        match path.is_dir() {
            _ if left_out => {}
            true => copy(&path, &to.join(name))?,
            false => drop(fs::copy(&path, to.join(name))?),
        }
    }
    Ok(())
}

fn path_from(python: &Path) -> std::ffi::OsString {
    let own = python.parent().map(Path::to_owned);
    let rest = env::var_os("PATH").unwrap_or_default();
    env::join_paths(own.into_iter().chain(env::split_paths(&rest))).unwrap_or(rest)
}

/// The world whose class this line begins.
fn named(line: &str) -> Option<World> {
    let rest = line.strip_prefix("class ")?;
    match rest.split(['(', ':', ' ']).next()? {
        "Filter" => Some(World::Filter),
        "Notifier" => Some(World::Notifier),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_names_the_world() {
        let check = |line: &str, expected| assert_eq!(named(line), expected, "{line}");
        check("class Filter(exports.Filter):", Some(World::Filter));
        check("class Notifier:", Some(World::Notifier));
        check("class Filters:", None);
        check("    class Filter:", None);
    }
}
