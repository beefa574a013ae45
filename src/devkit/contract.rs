//! The contract as text, as files for other people's tools, and as a world for ours.
//!
//! A notifier may be granted `http`, so its world here has wasi:http beside what it exports; what a plugin does not use
//! of it, it does not import. The packages of WASI are copies (`wit/wasi`), cut down to that, so that a build needs no
//! registry of WIT.
//! Invariant: both forms are made of the same texts, those that this hub was built with.

use std::io;
use std::path::Path;

use wit_parser::{Resolve, WorldId};

use crate::plugin::World;

/// The contract with plugins that this hub was built with, as WIT text: for a plugin that lives elsewhere.
pub const WIT: &str = include_str!("../../wit/v0/busway.wit");

/// Packages that a notifier's world needs, each after those it uses.
const WASI: [(&str, &str); 3] = [
    ("io.wit", include_str!("../../wit/wasi/io.wit")),
    ("clocks.wit", include_str!("../../wit/wasi/clocks.wit")),
    ("http.wit", include_str!("../../wit/wasi/http.wit")),
];

const NOTIFIER: &str = "package busway:build;
world notifier-plugin { include busway:plugin/notifier-plugin@0.1.0; import wasi:http/outgoing-handler@0.2.12; }
";

/// What the contract calls a world.
pub(super) fn world_name(world: World) -> &'static str {
    match world {
        World::Filter => "filter-plugin",
        World::Notifier => "notifier-plugin",
    }
}

/// The world, parsed.
pub(super) fn resolve(world: World) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let mut package = resolve.push_str("busway.wit", WIT)?;
    if world == World::Notifier {
        for (name, text) in WASI {
            resolve.push_str(name, text)?;
        }
        package = resolve.push_str("build.wit", NOTIFIER)?;
    }
    let id = resolve.select_world(&[package], Some(world_name(world)))?;
    Ok((resolve, id))
}

/// Writes the world's packages into a folder, as every tool that reads WIT takes them.
pub(super) fn write(world: World, folder: &Path) -> io::Result<()> {
    let deps = folder.join("deps");
    std::fs::create_dir_all(&deps)?;
    if world == World::Filter {
        return std::fs::write(folder.join("busway.wit"), WIT);
    }
    std::fs::write(folder.join("build.wit"), NOTIFIER)?;
    std::fs::write(deps.join("busway.wit"), WIT)?;
    WASI.iter()
        .try_for_each(|(name, text)| std::fs::write(deps.join(name), text))
}
