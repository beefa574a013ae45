//! Puts a component's bytes into the plugin directory, whole or not at all.
//!
//! It is written beside its place under a name that is no plugin's, synced, and renamed: the watcher sees the old file
//! or the new one. From there on it is a swap like any other.
//! Invariant: a symbolic link is left alone: whoever put it there (a ConfigMap, a release folder) would not know.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::watch;
use crate::error::{Error, Kind};

/// Writes `NAME.wasm`.
pub(super) fn install(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Error> {
    watch::check_name(name).map_err(|why| Error::invalid("plugin_name_invalid", why))?;
    let path = watch::path_of(folder, name);
    if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
        let text = format!(
            "{name}.wasm in the plugin directory is a symbolic link, so something else decides what stands there; \
             put the component where that takes it from"
        );
        return Err(Error::new(Kind::Conflict, "plugin_is_a_link", text));
    }
    let aside = folder.join(format!(".{name}.wasm.{:016x}", crate::chance::bits() as u64));
    let written = write(&aside, bytes).and_then(|()| fs::rename(&aside, &path));
    let synced = written.and_then(|()| File::open(folder)?.sync_all());
    synced.map_err(|cause| {
        // What is half written helps nobody; it may not even be there.
        let _ = fs::remove_file(&aside);
        let text = format!("{name}.wasm could not be written into the plugin directory: {cause}");
        Error::new(Kind::Unavailable, "plugin_not_written", text).with_cause(cause)
    })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let home = tempfile::TempDir::new().unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir(home.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        install(home.path(), "a", b"one").unwrap();
        install(home.path(), "a", b"two").unwrap();
        assert_eq!(fs::read(home.path().join("a.wasm")).unwrap(), b"two");
        std::os::unix::fs::symlink("a.wasm", home.path().join("b.wasm")).unwrap();
        let check = |name: &str, code: &str| assert_eq!(install(home.path(), name, b"x").unwrap_err().code(), code);
        check("b", "plugin_is_a_link");
        check("../c", "plugin_name_invalid");
        assert_eq!(names(), ["a.wasm", "b.wasm"]);
        let gone = home.path().join("gone");
        assert_eq!(install(&gone, "a", b"x").unwrap_err().code(), "plugin_not_written");
    }
}
