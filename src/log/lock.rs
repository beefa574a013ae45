//! One process at a time: an advisory lock on a file in the log's folder. It is the lock of the whole data folder.
//!
//! Why so: SQLite would let two hubs append to one file in turn, and both would give out the same offsets. The system
//! lets the lock go when the process dies, however it dies.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::fault::Failure;
use crate::error::{Error, Kind, Result};

/// Held while the log is open.
#[derive(Debug)]
pub struct FolderLock {
    /// Unlocked when it is closed.
    _file: File,
}

impl FolderLock {
    /// Takes the lock of the log in `folder`.
    ///
    /// # Errors
    /// `store_locked` when another process has it.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        let failed = |error| Failure::from(error).during("lock", &path).refuse("open");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let message = "another hub is using this data directory; stop it, or give this one its own";
                let cause = anyhow::anyhow!("{} is locked", path.display());
                Err(Error::new(Kind::Unavailable, "store_locked", message).with_cause(cause))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
