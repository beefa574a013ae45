//! JavaScript and TypeScript plugins: bundled by esbuild, made a component by componentize-js, both fetched once.
//!
//! The entry is the file that exports `filter` or `notifier`; what it imports, from files beside it or from
//! `node_modules`, is bundled into it, and types are stripped. A filter gets no clock, no chance and no console, so
//! that it imports our contract alone: its verdict depends on the event and nothing else, and a call never waits in the
//! host. A notifier gets them all, and `fetch`, which is wasi:http.
//! Invariant: nothing is written into the plugin's folder.

use std::fs;
use std::path::PathBuf;

use super::language::entry;
use super::tools::{self, Tools};
use super::{contract, fetched};
use crate::error::Error;
use crate::plugin::World;

const BUILD: &str = include_str!("javascript/build.mjs");
const HOW: &str = "one file must export an object called `filter` or `notifier` (`export const filter = { … }`)";

/// Builds the component of these sources.
pub(super) fn build(tools: &Tools, sources: &[PathBuf], say: &mut dyn FnMut(&str)) -> Result<Vec<u8>, Error> {
    let (source, world) = entry(sources, named, HOW)?;
    let (node, kept) = fetched::javascript(tools, say)?;
    let folder = tempfile::tempdir().map_err(Error::internal)?;
    let (wit, made) = (folder.path().join("wit"), folder.path().join("plugin.wasm"));
    let script = folder.path().join("build.mjs");
    contract::write(world, &wit).map_err(Error::internal)?;
    fs::write(&script, BUILD).map_err(Error::internal)?;
    say(&format!("building {} with componentize-js", source.display()));
    let source = fs::canonicalize(&source).map_err(Error::internal)?;
    let mut node = tools.command_at(node);
    node.arg(script)
        .arg(kept)
        .arg(source)
        .arg(wit)
        .arg(contract::world_name(world))
        .arg(&made)
        .args(without(world));
    tools::run(&mut node, say)?;
    fs::read(&made).map_err(Error::internal)
}

/// The features of the engine that a plugin of this world is built without. None answers requests.
fn without(world: World) -> &'static [&'static str] {
    match world {
        World::Filter => &["stdio", "random", "clocks", "http", "fetch-event"],
        World::Notifier => &["fetch-event"],
    }
}

/// The world whose interface this line exports.
fn named(line: &str) -> Option<World> {
    let exported = line.strip_prefix("export ")?;
    let mut words = exported.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
    let name = match exported.starts_with('{') {
        true => words.find(|word| matches!(*word, "filter" | "notifier"))?,
        false => words.nth(1)?,
    };
    match name {
        "filter" => Some(World::Filter),
        "notifier" => Some(World::Notifier),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_names_the_world() {
        let check = |line: &str, expected| assert_eq!(named(line), expected, "{line}");
        check("export const filter = {", Some(World::Filter));
        check("export let notifier: Notifier = {", Some(World::Notifier));
        check("export { filter, other };", Some(World::Filter));
        check("export { made as notifier };", Some(World::Notifier));
        check("export function parse(filter) {", None);
        check("export const filters = [];", None);
        check("const filter = {", None);
        check("// export const filter", None);
    }
}
