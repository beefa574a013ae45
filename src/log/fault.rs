//! Why the store failed, told three ways: in a word for the caller, in full for the log, and as what the writer may
//! still trust.
//!
//! Why so: the same failure answers hundreds of waiting appends, so it can be cloned; and a path of the host belongs
//! in the log but not into an answer.
//!
//! Invariant: a failure of which we cannot tell what it left behind poisons the connection (after a failed fsync the
//! kernel may have dropped the pages it could not write, and a second fsync would say that all is well).

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::error::{Error, Kind};

/// A failure of the store.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// For the caller and for `/healthz`.
    reason: &'static str,
    poisons: bool,
    damage: bool,
    cause: Arc<anyhow::Error>,
}

impl Failure {
    /// A file that is there but is not what the log writes.
    pub(super) fn foreign(path: &Path, what: &'static str) -> Self {
        let cause = anyhow::anyhow!("{}: {what}", path.display());
        Self {
            reason: what,
            poisons: true,
            damage: false,
            cause: Arc::new(cause),
        }
    }

    /// Says in the cause what was being done, and to which file.
    #[must_use]
    pub(super) fn during(self, action: &'static str, path: &Path) -> Self {
        let cause = anyhow::anyhow!("{action} {}: {:#}", path.display(), self.cause);
        Self {
            cause: Arc::new(cause),
            ..self
        }
    }

    /// What it is, without names of the host.
    pub(super) fn reason(&self) -> &'static str {
        self.reason
    }

    /// Whether the connection that failed must be replaced.
    pub(super) fn poisons(&self) -> bool {
        self.poisons
    }

    /// Whether the file itself is broken, so that trying again on it is of no use.
    pub(super) fn is_damage(&self) -> bool {
        self.damage
    }

    /// The answer to an append.
    pub(super) fn refuse_append(&self) -> Error {
        let message = format!(
            "the event log cannot write: {}; these events were not accepted; send them again later, the hub \
             recovers by itself when the cause is gone",
            self.reason
        );
        Error::new(Kind::Unavailable, "store_unavailable", message).with_cause(self.clone())
    }

    /// Why the log does not open, and what helps.
    pub(super) fn refuse_open(&self) -> Error {
        if !self.damage {
            return self.refuse("open");
        }
        let message = "the newest file of a bus is damaged, so the hub cannot know which offsets it has given out; \
             `busway store check` says what is left; put a copy of the file back, or rename it from `.sqlite` to \
             `.sqlite.damaged`: then what it held is lost, and new events go on after it";
        Error::new(Kind::Unavailable, "store_damaged", message).with_cause(self.clone())
    }

    /// The answer to anything else.
    pub(super) fn refuse(&self, action: &str) -> Error {
        let message = format!(
            "the event log cannot {action}: {}; its log has the details",
            self.reason
        );
        Error::new(Kind::Unavailable, "store_unavailable", message).with_cause(self.clone())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:#}", self.reason, self.cause)
    }
}

impl std::error::Error for Failure {}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let (reason, poisons) = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => ("the disk is full", false),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                ("another program holds its file locked", false)
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => ("its files may not be written", true),
            Some(ErrorCode::SystemIoFailure) => ("the disk reports an I/O error", true),
            _ if is_damage(&error) => ("a file is damaged", true),
            Some(ErrorCode::CannotOpen) => ("a file cannot be opened", true),
            _ => ("the store failed", true),
        };
        Self {
            reason,
            poisons,
            damage: is_damage(&error),
            cause: Arc::new(error.into()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full",
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => "its files may not be written",
            _ => "a file operation failed",
        };
        Self {
            reason,
            poisons: true,
            damage: false,
            cause: Arc::new(error.into()),
        }
    }
}

/// Whether SQLite says that a file is broken. Our statements are fixed, so an error in one of them (there is no such
/// table) is a broken schema.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let broken = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::Unknown];
    error.sqlite_error_code().is_some_and(|code| broken.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_reads_the_reason_and_the_log_the_path() {
        let io = io::Error::from(io::ErrorKind::StorageFull);
        let failure = Failure::from(io).during("create", Path::new("/data/default/1.sqlite"));
        let error = failure.refuse_append();
        assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "store_unavailable"));
        assert!(error.message().contains("the disk is full"), "{error}");
        assert!(!error.message().contains("/data"), "{error}");
        assert!(
            format!("{error:?}").contains("create /data/default/1.sqlite"),
            "{error:?}"
        );
    }

    #[test]
    fn only_failures_that_leave_nothing_behind_keep_the_connection() {
        let check = |code: i32, poisons: bool| {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            assert_eq!(Failure::from(error).poisons(), poisons, "{code}");
        };
        check(rusqlite::ffi::SQLITE_FULL, false);
        check(rusqlite::ffi::SQLITE_BUSY, false);
        check(rusqlite::ffi::SQLITE_IOERR_FSYNC, true);
        check(rusqlite::ffi::SQLITE_READONLY, true);
        check(rusqlite::ffi::SQLITE_CORRUPT, true);
    }
}
