//! Precompiled code, kept between starts: loading it is a hundred times faster than compiling.
//!
//! A file's name says what it was made from (digest of the component), what for (fingerprint of compiler and
//! settings), and what is in it (SHA-256 of the file). It is read whole, checked against its name, and only then
//! given to wasmtime, which trusts it blindly: these very bytes, not the file again, so that nothing can change in
//! between. (Rejected: wasmtime's own cache, which is slower to load, and which deserializes what it finds.)
//!
//! Invariant: only a folder that is ours and closed to everybody else (0700) is ever read or written; any other is
//! reported and not used. Code loaded from it runs with all the rights of the hub.
//! Invariant: a damaged, foreign or half-written file is never loaded; it costs a compile and is replaced.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{info, warn};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::engine::fingerprint;
use crate::digest::sha256;

/// More files than this, and the oldest go.
const FILES: usize = 64;

/// A folder of precompiled code, or none if it cannot be trusted.
pub(super) struct Cache {
    folder: Option<PathBuf>,
    /// Makes names of unfinished files unique in this process.
    written: AtomicU64,
}

impl Cache {
    /// Opens the folder, making it if need be. One that cannot be trusted is reported and left alone.
    pub(super) fn open(folder: &Path) -> Self {
        let trusted = match prepare(folder) {
            Ok(()) => Some(folder.to_owned()),
            Err(why) => {
                warn!(folder = %folder.display(), why, "precompiled plugins are not kept: every start compiles them anew");
                None
            }
        };
        Self {
            folder: trusted,
            written: AtomicU64::new(0),
        }
    }

    /// No cache at all.
    pub(super) fn none() -> Self {
        Self {
            folder: None,
            written: AtomicU64::new(0),
        }
    }

    /// The component for this engine, from the cache or compiled now.
    pub(super) fn component(&self, engine: &Engine, digest: &str, bytes: &[u8]) -> Result<Component, String> {
        let stem = format!("{digest}-{:016x}-", fingerprint(engine));
        if let Some(component) = self.load(engine, &stem) {
            return Ok(component);
        }
        let component =
            Component::from_binary(engine, bytes).map_err(|error| format!("it does not compile: {error:#}"))?;
        if let Err(error) = self.store(&stem, &component) {
            info!(cause = format!("{error:#}"), "precompiled plugin not kept");
        }
        Ok(component)
    }

    fn load(&self, engine: &Engine, stem: &str) -> Option<Component> {
        let path = self.find(stem)?;
        let code = fs::read(&path).ok()?;
        let named = path.file_name()?.to_str()?.strip_prefix(stem)?.strip_suffix(".cwasm")?;
        if named != sha256(&code) {
            warn!(file = %path.display(), "precompiled plugin is damaged, compiling it anew");
            let _ = fs::remove_file(&path);
            return None;
        }
        #[allow(
            unsafe_code,
            reason = "wasmtime runs this code as it is: the folder is ours and closed to others, and the bytes are the \
                      ones that this hub wrote, as their digest says"
        )]
        let loaded = unsafe { Component::deserialize(engine, &code) };
        loaded
            .inspect_err(
                |error| warn!(file = %path.display(), cause = format!("{error:#}"), "precompiled plugin does not fit"),
            )
            .ok()
    }

    fn find(&self, stem: &str) -> Option<PathBuf> {
        let entries = fs::read_dir(self.folder.as_ref()?).ok()?;
        let mut names = entries.filter_map(|entry| Some(entry.ok()?.path()));
        names.find(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(stem))
        })
    }

    /// Writes under another name, makes it durable, then renames: a name is there whole or not at all.
    fn store(&self, stem: &str, component: &Component) -> anyhow::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let code = component.serialize()?;
        let unfinished = folder.join(format!(
            ".{stem}{}-{}.part",
            std::process::id(),
            self.written.fetch_add(1, Ordering::Relaxed)
        ));
        let written = write(&unfinished, &code)
            .and_then(|()| fs::rename(&unfinished, folder.join(format!("{stem}{}.cwasm", sha256(&code)))));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        File::open(folder)?.sync_all()?;
        prune(folder)?;
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Keeps the folder from growing for ever: every new build of a plugin leaves a file here.
fn prune(folder: &Path) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "cwasm") {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort();
    for (_, path) in files.iter().take(files.len().saturating_sub(FILES)) {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn prepare(folder: &Path) -> Result<(), String> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(|error| format!("cannot make its parent: {error}"))?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(format!("cannot make it: {error}")),
    }
    let found = fs::symlink_metadata(folder).map_err(|error| format!("cannot look at it: {error}"))?;
    if !found.is_dir() {
        return Err("it is not a folder".to_owned());
    }
    if found.mode() & 0o077 != 0 {
        return Err(format!(
            "others may enter it (mode {:o}); chmod it to 700",
            found.mode() & 0o777
        ));
    }
    // A file that we make belongs to whom we are: that is who must own the folder.
    let probe = folder.join(format!(".{}.probe", std::process::id()));
    let _ = fs::remove_file(&probe);
    let made = write(&probe, b"")
        .and_then(|()| fs::symlink_metadata(&probe))
        .map_err(|error| format!("cannot write in it: {error}"))?;
    let _ = fs::remove_file(&probe);
    match made.uid() == found.uid() {
        true => Ok(()),
        false => Err("it belongs to somebody else".to_owned()),
    }
}
