//! A checksum for each row of `state.db`, as the log has one for each record.
//!
//! SQLite has none of its own: a bit that flips on disk would be another sink, a cursor past events that nobody got, or a
//! dead letter that nobody wrote. A row that does not fit its checksum is damage, and the file is not served from: at the
//! start the hub refuses, for what it does not know of its subscriptions it must not guess.
//!
//! Invariant: rows of an earlier version have no checksum and are believed; whatever is written has one.

use rusqlite::{Error, ffi};

/// The checksum of a row: its columns in their order, each with its length, so that none can pass into the next.
pub(super) fn seal(columns: &[&[u8]]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for column in columns {
        hasher.update(&(column.len() as u64).to_le_bytes());
        hasher.update(column);
    }
    i64::from(hasher.finalize())
}

/// Holds a row to its checksum.
pub(super) fn check(table: &str, stored: Option<i64>, columns: &[&[u8]]) -> rusqlite::Result<()> {
    if stored.is_none_or(|stored| stored == seal(columns)) {
        return Ok(());
    }
    let key = String::from_utf8_lossy(columns.first().copied().unwrap_or_default()).into_owned();
    let words = format!("the row `{key}` of `{table}` does not fit its checksum");
    Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_held_to_what_it_was() {
        let sealed = seal(&[b"a", b"bc"]);
        assert!(check("t", Some(sealed), &[b"a", b"bc"]).is_ok());
        assert!(check("t", None, &[b"of an earlier version"]).is_ok());
        for other in [[&b"a"[..], b"bd"], [b"ab", b"c"], [b"", b"abc"]] {
            let error = check("t", Some(sealed), &other).unwrap_err();
            assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt));
        }
    }
}
