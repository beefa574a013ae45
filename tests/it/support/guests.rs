//! Guests that are slow to build, kept from run to run: in `target/guests/kept`, by a digest of everything they are
//! made of. So are their compiled forms, which a hub keeps beside its store.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::busway;

/// The component made of a plugin's folder, built by `busway plugin build` if it is not kept.
pub(crate) fn built(folder: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    for place in [folder, &root().join("src/devkit"), &root().join("wit")] {
        for file in files(place) {
            file.strip_prefix(place).expect("below").hash(&mut hasher);
            std::fs::read(&file).expect("read").hash(&mut hasher);
        }
    }
    let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
    let kept = target().join("guests/kept").join(format!("{:016x}", hasher.finish()));
    let path = kept.join(format!("{name}.wasm"));
    if !path.exists() {
        let mut command = busway();
        command
            .env("BUSWAY_TOOLS", tools())
            .args(["plugin", "build"])
            .arg(folder);
        let output = command.arg("--out").arg(&kept).output().expect("run busway");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", folder.display());
    }
    path
}

/// Gives a hub that will start in `folder` the compiled forms that earlier runs left.
pub(crate) fn lend_compiled(folder: &Path) {
    let cache = folder.join("data/plugin-cache");
    std::fs::create_dir_all(&cache).expect("a folder");
    only_ours(&cache);
    copy(&compiled(), &cache);
}

/// Keeps what the hub of `folder` compiled.
pub(crate) fn keep_compiled(folder: &Path) {
    std::fs::create_dir_all(compiled()).expect("a folder");
    copy(&folder.join("data/plugin-cache"), &compiled());
}

/// Where fetched tools are: what the caller says, else within the target folder, so that nothing outside is written.
pub(crate) fn tools() -> PathBuf {
    std::env::var_os("BUSWAY_TOOLS").map_or_else(|| target().join("tools"), PathBuf::from)
}

fn compiled() -> PathBuf {
    target().join("guests/compiled")
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let own = to.join(file.file_name().expect("a name"));
        if !own.exists() {
            // Whole or not at all: other tests copy at the same time.
            let beside = tempfile::NamedTempFile::new_in(to).expect("a file");
            std::fs::copy(&file, beside.path()).expect("copy");
            beside.persist(own).expect("rename");
        }
    }
}

fn only_ours(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).expect("permissions");
}

/// Every file below a folder, in order; none if it is not there. Components and what begins with a dot aside.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if path.is_dir() && name != "target" {
            found.append(&mut files(&path));
        } else if path.is_file() && !name.starts_with('.') && !name.ends_with(".wasm") {
            found.insert(path);
        }
    }
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The target folder that this test was built in.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    test.ancestors().nth(3).expect("target/debug/deps").to_owned()
}
