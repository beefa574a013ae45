//! One call from a folder of source to a plugin file: finds the language, builds, checks, writes.
//!
//! The language is what lies in the folder (`Cargo.toml`, `*.c`, `*.wat`), not a manifest of ours: one file less to
//! learn, and nothing that can disagree with the source.
//! Invariant: nothing is written unless the result passed the same check of exports that loading makes.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Tools, c, component, rust};
use crate::error::{Error, Kind};

/// Builds the plugin in `dir` and writes `NAME.wasm` into `out` (`dir` itself if none). Progress goes to `say`, a line
/// at a time. Blocks for as long as the compiler takes.
///
/// # Errors
/// `not_a_plugin_folder`, `tool_missing`, `build_failed` (with the compiler's words), `not_a_plugin`, `not_written`.
pub fn build(dir: &Path, out: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<PathBuf, Error> {
    build_with(&Tools::from_env(), dir, out, say)
}

/// [`build`] with these tools.
pub(super) fn build_with(
    tools: &Tools,
    dir: &Path,
    out: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, Error> {
    let plugin = match Language::of(dir)? {
        Language::Rust => rust::build(tools, dir, say)?,
        Language::C(sources) => Built {
            name: folder_name(dir)?,
            wasm: c::build(tools, &sources, say)?,
        },
        Language::Wat(source) => Built {
            name: folder_name(dir)?,
            wasm: assemble(&source)?,
        },
    };
    let wasm = component::from_module(plugin.wasm)?;
    component::world_of(&wasm)?;
    let path = write(&plugin.name, &wasm, out.unwrap_or(dir))?;
    say(&format!("wrote {} ({} KiB)", path.display(), wasm.len().div_ceil(1024)));
    Ok(path)
}

/// What a compiler made: a core module with its component type, or a component.
pub(super) struct Built {
    pub(super) name: String,
    pub(super) wasm: Vec<u8>,
}

enum Language {
    Rust,
    C(Vec<PathBuf>),
    Wat(PathBuf),
}

impl Language {
    fn of(dir: &Path) -> Result<Self, Error> {
        let listing = fs::read_dir(dir).map_err(|cause| {
            not_a_folder(format!("cannot read the folder {}: {cause}", dir.display())).with_cause(cause)
        })?;
        let mut files: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        if files.iter().any(|file| file.ends_with("Cargo.toml")) {
            return Ok(Self::Rust);
        }
        let with = |extension| {
            files
                .iter()
                .filter(move |file| file.extension() == Some(OsStr::new(extension)))
                .cloned()
        };
        let c: Vec<PathBuf> = with("c").collect();
        let wat: Vec<PathBuf> = with("wat").collect();
        match (c.is_empty(), wat.as_slice()) {
            (false, _) => Ok(Self::C(c)),
            (true, [one]) => Ok(Self::Wat(one.clone())),
            (true, []) => Err(not_a_folder(format!(
                "{} is no plugin folder: it has no Cargo.toml (Rust), no *.c (C) and no *.wat (WebAssembly text)",
                dir.display()
            ))),
            (true, _) => Err(not_a_folder(format!(
                "{} has several *.wat files; a plugin is one of them",
                dir.display()
            ))),
        }
    }
}

fn folder_name(dir: &Path) -> Result<String, Error> {
    let full = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    match full.file_name().and_then(OsStr::to_str) {
        Some(name) => Ok(name.to_owned()),
        None => Err(not_a_folder(format!(
            "{} gives the plugin no name: build it from a named folder",
            dir.display()
        ))),
    }
}

fn assemble(source: &Path) -> Result<Vec<u8>, Error> {
    wat::parse_file(source).map_err(|cause| Error::invalid("build_failed", cause.to_string()))
}

/// Writes beside the name and renames: who watches the folder never sees half a plugin.
fn write(name: &str, wasm: &[u8], out: &Path) -> Result<PathBuf, Error> {
    let path = out.join(format!("{name}.wasm"));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(out)?;
        let mut file = tempfile::Builder::new().prefix(".building-").tempfile_in(out)?;
        file.write_all(wasm)?;
        readable_by_all(file.as_file())?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(|cause| {
        Error::new(
            Kind::Unavailable,
            "not_written",
            format!("cannot write {}: {cause}", path.display()),
        )
        .with_cause(cause)
    })?;
    Ok(path)
}

/// A temporary file is its owner's alone; a plugin is read by whoever runs the hub.
fn readable_by_all(file: &fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

fn not_a_folder(message: String) -> Error {
    Error::invalid("not_a_plugin_folder", message)
}
