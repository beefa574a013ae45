//! One call from a folder of source to a plugin file: finds the language, builds, checks, writes.
//!
//! Invariant: nothing is written unless the result passed the same check of exports that loading makes.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::language::{Language, not_a_folder};
use super::{Tools, c, component, javascript, python, rust, text};
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
        Language::C(sources) => named(dir, c::build(tools, &sources, say)?)?,
        Language::JavaScript(sources) => named(dir, javascript::build(tools, &sources, say)?)?,
        Language::Python(sources) => named(dir, python::build(tools, &sources, say)?)?,
        Language::Wat(source) => named(dir, text::build(&source)?)?,
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

/// What was made of a folder whose name is the plugin's.
fn named(dir: &Path, wasm: Vec<u8>) -> Result<Built, Error> {
    Ok(Built {
        name: folder_name(dir)?,
        wasm,
    })
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
