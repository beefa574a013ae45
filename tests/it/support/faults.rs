//! A bad disk and a jumping clock for a real hub: `tests/fixtures/faults/disk.c`, loaded between it and the C library.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What can be wrong. Where it is a count, a negative one never ends.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// Every sync takes so many milliseconds longer.
    SlowSync = 0,
    /// So many syncs fail, and lose what was written since the last good one.
    Sync = 1,
    /// So many writes fail.
    Write = 2,
    /// So many reads fail.
    Read = 3,
    /// The clock is so many seconds ahead of the machine's.
    Clock = 4,
    /// With 1, files cannot grow: the disk is full.
    Full = 6,
    /// With 1, nothing can be opened for writing: the file system is read-only.
    ReadOnly = 7,
}

/// The faults of one process, set while it runs.
pub(crate) struct Faults {
    path: PathBuf,
    numbers: File,
}

impl Faults {
    /// No faults yet.
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("faults");
        let numbers = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .expect("a file");
        numbers.set_len(4_096).expect("room for the numbers");
        Self { path, numbers }
    }

    /// From now on this is wrong; with 0, no longer.
    pub(crate) fn set(&self, fault: Fault, value: i64) {
        self.numbers
            .write_all_at(&value.to_ne_bytes(), fault as u64 * 8)
            .expect("write");
    }

    /// How often a fault has struck.
    pub(crate) fn struck(&self) -> i64 {
        let mut bytes = [0; 8];
        self.numbers.read_exact_at(&mut bytes, 5 * 8).expect("read");
        i64::from_ne_bytes(bytes)
    }

    /// What a process needs in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("LD_PRELOAD", library().to_owned()),
            ("BUSWAY_FAULTS", self.path.clone()),
        ]
    }
}

fn library() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/faults/disk.c");
        let mut compile = Command::new("cc");
        let built = compile
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&path)
            .args([source, "-ldl"])
            .status();
        assert!(
            built.is_ok_and(|built| built.success()),
            "a C compiler is missing: run tests/run, which installs what the tests need"
        );
        (folder, path)
    });
    path
}
