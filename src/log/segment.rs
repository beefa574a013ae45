//! A segment: one SQLite file with the records of a bus from one offset up to where the next file begins.
//!
//! Only the last segment of a bus is written. When it is full it is *sealed*: its WAL is written back and emptied,
//! and from then on nobody writes the file again. Readers then open it as immutable, which takes no locks and leaves
//! no `-wal` and `-shm` beside it.
//!
//! Invariant: the name of a file is its first offset, so that the offsets of a bus are known from the names alone,
//! even if the last file is empty.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::fault::Failure;
use super::wal;
use crate::time::Timestamp;

/// "BWlg": what `file` and SQLite tools show as the application of these files.
const APPLICATION_ID: i32 = 0x4257_6c67;
/// How the name of a segment ends.
const END: &str = ".sqlite";
/// How it ends once an operator has set it aside.
const SET_ASIDE: &str = ".sqlite.damaged";
/// Bytes that a row takes at least: its offset, time, checksum and head, and a letter of each attribute.
const SMALLEST_ROW: u64 = 24;
/// The version of the schema below.
const FORMAT: i32 = 1;
/// How long a statement waits for a lock of another process (somebody who looks with `sqlite3`).
const BUSY: Duration = Duration::from_secs(1);

const SCHEMA: &str = "
    CREATE TABLE event (
        \"offset\" INTEGER PRIMARY KEY, -- place in the bus
        received INTEGER NOT NULL,      -- milliseconds since 1970
        id TEXT NOT NULL,
        source TEXT NOT NULL,
        type TEXT NOT NULL,
        attributes TEXT,                -- the other attributes, as JSON
        kind TEXT,                      -- of the data: json, text, binary
        crc INTEGER NOT NULL,           -- CRC-32 of the other columns
        data BLOB                       -- the producer's bytes; CAST(data AS TEXT) to read them
    ) STRICT;
    CREATE TABLE probe (room BLOB) STRICT;";

/// Whether the WAL may be left as it is, or must be written back whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checkpoint {
    /// Write back what can be without waiting for readers.
    Passive,
    /// Write back everything and empty the WAL.
    Whole,
}

/// A file of the log.
#[derive(Debug)]
pub(super) struct Segment {
    first: u64,
    path: PathBuf,
    sealed: AtomicBool,
    /// When its first and its last record were received, once somebody has asked (the last: only if sealed).
    pub(super) oldest: OnceLock<Timestamp>,
    pub(super) newest: OnceLock<Timestamp>,
    sealed_bytes: OnceLock<u64>,
}

impl Segment {
    /// The segment that begins at `first`, in the folder of its bus.
    pub(super) fn new(folder: &Path, first: u64) -> Self {
        Self {
            first,
            path: folder.join(format!("{first:020}{END}")),
            sealed: AtomicBool::new(false),
            oldest: OnceLock::new(),
            newest: OnceLock::new(),
            sealed_bytes: OnceLock::new(),
        }
    }

    /// All segments in a folder, in order.
    pub(super) fn list(folder: &Path) -> Result<Vec<Self>, Failure> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let first = name.to_str().and_then(|name| name.strip_suffix(END)?.parse().ok());
            segments.extend(first.map(|first| Self::new(folder, first)));
        }
        segments.sort_by_key(|segment: &Self| segment.first);
        Ok(segments)
    }

    /// Its first offset.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its file, without its folder.
    pub(super) fn name(&self) -> String {
        format!("{:020}{END}", self.first)
    }

    /// How many records its write-ahead log can have lost to damage. Before it is opened.
    pub(super) fn lost(&self) -> Result<u64, Failure> {
        let wal = self.beside("-wal");
        let lost = wal::lost(&wal).map_err(|error| Failure::from(error).during("read", &wal))?;
        Ok(lost / SMALLEST_ROW)
    }

    /// Opens it for the writer, creates it if it is new, and says where it ends.
    pub(super) fn open_for_writing(&self) -> Result<(Connection, u64), Failure> {
        self.try_open_for_writing()
            .map_err(|failure| failure.during("open", &self.path))
    }

    fn try_open_for_writing(&self) -> Result<(Connection, u64), Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // The writer says when to write the WAL back (`writer.rs`); this bound is for when it never gets to it.
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 32_768, |_| Ok(()))?;
        connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", -4_096)?;
        self.check_or_create(&mut connection)?;
        // Always: whoever made the file may have died before its name was durable.
        self.path.parent().map_or(Ok(()), sync_folder)?;
        let last: Option<i64> = connection.query_row("SELECT max(\"offset\") FROM event", [], |row| row.get(0))?;
        let end = last
            .and_then(|last| u64::try_from(last).ok())
            .map_or(0, |last| last + 1);
        Ok((connection, end.max(self.first)))
    }

    /// The schema and its marks come in one transaction: a file that a crash left half made is empty, and is made anew.
    fn check_or_create(&self, connection: &mut Connection) -> Result<(), Failure> {
        let pragma =
            |connection: &Connection, name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let marks = (
            pragma(connection, "application_id")?,
            pragma(connection, "user_version")?,
        );
        match marks {
            (APPLICATION_ID, FORMAT) => return Ok(()),
            (APPLICATION_ID, _) => {
                return Err(Failure::foreign(
                    &self.path,
                    "a file was written by another version of busway",
                ));
            }
            _ => {}
        }
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables > 0 {
            return Err(Failure::foreign(
                &self.path,
                "a file of another program lies where the log's should be",
            ));
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        Ok(transaction.commit()?)
    }

    /// Opens it for a reader.
    pub(super) fn open_for_reading(&self) -> Result<Connection, Failure> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let immutable = self.path.to_str().filter(|_| self.is_sealed());
        let opened = match immutable {
            Some(path) => {
                flags |= OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(immutable_uri(path), flags)
            }
            None => Connection::open_with_flags(&self.path, flags),
        };
        let prepare = |connection: Connection| {
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "cell_size_check", true)?;
            Ok(connection)
        };
        opened
            .and_then(prepare)
            .map_err(|error| Failure::from(error).during("open", &self.path))
    }

    /// Declares that nobody will write it again; `connection` is its writer's. When a reader is in the way it stays
    /// as it is, which is slower to open and otherwise the same, until the log is opened again.
    pub(super) fn seal(&self, connection: Connection) -> Result<(), Failure> {
        let whole = checkpoint(&connection, Checkpoint::Whole)?;
        drop(connection);
        self.sealed.store(whole, Ordering::Release);
        Ok(())
    }

    /// Seals it after a restart: only what a crash has left a WAL of has to be opened for that.
    pub(super) fn seal_again(&self) -> Result<(), Failure> {
        let wal = self.beside("-wal");
        if fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) {
            let (connection, _) = self.open_for_writing()?;
            return self.seal(connection);
        }
        self.sealed.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether nobody writes it any more.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Bytes that it takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        match self.is_sealed() {
            true => *self.sealed_bytes.get_or_init(|| length(&self.path)),
            false => length(&self.path) + length(&self.beside("-wal")),
        }
    }

    /// Deletes its files. A reader that has them open reads on undisturbed.
    pub(super) fn delete(&self) -> Result<(), Failure> {
        fs::remove_file(&self.path).map_err(|error| Failure::from(error).during("delete", &self.path))?;
        for suffix in ["-wal", "-shm"] {
            // Mostly they are not there.
            let _ = fs::remove_file(self.beside(suffix));
        }
        Ok(())
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// Writes the WAL back into the file; whether all of it was.
pub(super) fn checkpoint(connection: &Connection, how: Checkpoint) -> Result<bool, Failure> {
    let sql = match how {
        Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Whole => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let done = connection.query_row(sql, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    let (busy, in_wal, written) = done.optional()?.unwrap_or((1, 0, 0));
    Ok(busy == 0 && in_wal == written)
}

/// The first offset past all that the files which were set aside can have held; 0 if there are none.
pub(super) fn after_damaged(folder: &Path) -> Result<u64, Failure> {
    let mut after = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(SET_ASIDE)) else {
            continue;
        };
        let Ok(first) = stem.parse::<u64>() else {
            continue;
        };
        let wal = folder.join(format!("{stem}{END}-wal"));
        let bytes = entry.metadata()?.len() + fs::metadata(wal).map_or(0, |wal| wal.len());
        after = after.max(first + bytes / SMALLEST_ROW + 1);
    }
    Ok(after)
}

/// Makes a new or deleted name in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Failure> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Failure::from(error).during("sync", folder))
}

fn immutable_uri(path: &str) -> String {
    /// What would end a path in a URI.
    const SPECIAL: &AsciiSet = &CONTROLS.add(b'?').add(b'#').add(b'%').add(b' ');
    format!("file:{}?immutable=1", utf8_percent_encode(path, SPECIAL))
}
