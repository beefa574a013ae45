//! The tables of `state.db`, and how a file of an earlier version becomes one of this.
//!
//! Invariant: a migration, once released, is never edited; a change is a new one at the end. `user_version` is the
//! number of migrations that a file has been through.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::unavailable;
use crate::error::{Error, Kind};

/// "BsWy": `file state.db` tells whose it is.
const APPLICATION: i64 = 0x4273_5779;

/// Each runs once, in its order, in a transaction.
const MIGRATIONS: [&str; 5] = [
    "
    CREATE TABLE subscription (id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE floor (bus TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE cursor (subscription TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE retry (
        subscription TEXT NOT NULL, offset INTEGER NOT NULL, due INTEGER NOT NULL,
        tries INTEGER NOT NULL, attempts TEXT NOT NULL,
        PRIMARY KEY (subscription, offset)
    ) WITHOUT ROWID;
    CREATE TABLE dead (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        subscription TEXT NOT NULL, bus TEXT NOT NULL, offset INTEGER NOT NULL, at INTEGER NOT NULL,
        reason TEXT NOT NULL, tries INTEGER NOT NULL, attempts TEXT NOT NULL, event BLOB NOT NULL,
        UNIQUE (subscription, bus, offset)
    );
",
    "ALTER TABLE retry ADD COLUMN key TEXT;",
    "CREATE TABLE document (
        kind TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;",
    REPLAYS,
    SEALS,
];

/// Replays, and their deliveries that wait. It needs no migration but the first.
const REPLAYS: &str = "
    CREATE TABLE replay (
        id TEXT PRIMARY KEY, subscription TEXT NOT NULL, asked TEXT NOT NULL, progress TEXT NOT NULL, ended INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE replay_retry (
        replay TEXT NOT NULL, offset INTEGER NOT NULL, due INTEGER NOT NULL,
        tries INTEGER NOT NULL, attempts TEXT NOT NULL, key TEXT,
        PRIMARY KEY (replay, offset)
    ) WITHOUT ROWID;
";

/// A checksum for each row (`seal.rs`). Rows that are there already have none.
const SEALS: &str = "
    ALTER TABLE subscription ADD COLUMN crc INTEGER;
    ALTER TABLE floor ADD COLUMN crc INTEGER;
    ALTER TABLE cursor ADD COLUMN crc INTEGER;
    ALTER TABLE retry ADD COLUMN crc INTEGER;
    ALTER TABLE dead ADD COLUMN crc INTEGER;
    ALTER TABLE document ADD COLUMN crc INTEGER;
";

/// Opens or creates the file for writing.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let mut connection = Connection::open(path).map_err(|error| unavailable("be opened", error))?;
    let version = configure(&connection).map_err(|error| unavailable("be opened", error))?;
    let Some(missing) = MIGRATIONS.get(version..) else {
        let text = format!(
            "state.db has format {version}, and this version of busway knows formats up to {}; start the version that wrote it",
            MIGRATIONS.len()
        );
        return Err(Error::new(Kind::Unavailable, "store_newer", text));
    };
    for (number, migration) in (version + 1..).zip(missing) {
        migrate(&mut connection, number, migration)
            .map_err(|error| unavailable("be brought to this version's format", error))?;
    }
    Ok(connection)
}

/// Whether a file has been through all migrations.
pub(super) fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).is_ok_and(|version| version == MIGRATIONS.len()))
}

/// Opens the file, which is there, for reading alone.
pub(super) fn open_reading(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| unavailable("be read", error))?;
    connection
        .busy_timeout(BUSY)
        .map_err(|error| unavailable("be read", error))?;
    Ok(connection)
}

/// How long to wait for somebody who looks into the file with the `sqlite3` program.
const BUSY: Duration = Duration::from_secs(5);

fn configure(connection: &Connection) -> rusqlite::Result<usize> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // 64 MiB: a million cursors stay in memory while a checkpoint touches them.
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(32);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn migrate(connection: &mut Connection, number: usize, script: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(script)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", i64::try_from(number).unwrap_or(i64::MAX))?;
    transaction.commit()
}
