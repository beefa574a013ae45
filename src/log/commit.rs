//! One group commit: every append of the group in one transaction, or none.
//!
//! Why a transaction for the group and not one an append: a sync costs what a hundred rows cost, and everybody in the
//! group waits for the same one.
//!
//! Invariant: an append lies in one transaction of one file, so it is on disk whole or not at all. Invariant: nothing
//! in memory changes before the commit has come back; a failed commit needs no undoing outside the file.

use std::collections::HashMap;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, TransactionBehavior, params};

use super::dedup::{Dedup, Key};
use super::fault::Failure;
use super::model::{Appended, Offset};
use super::queue::Append;
use super::record::Row;
use crate::event::Event;
use crate::time::Timestamp;

const INSERT: &str = "INSERT INTO event (\"offset\", received, id, source, type, attributes, kind, crc, data)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Where a group begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin {
    /// The first offset that is free.
    pub(super) next: u64,
    /// When the group was received.
    pub(super) received: Timestamp,
}

/// What a commit has stored.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// What became of each event of each append.
    pub(super) places: Vec<Vec<Appended>>,
    /// The new ids, in the order of their offsets.
    pub(super) fresh: Vec<(Key, u64)>,
    /// Bytes of the new rows, about.
    pub(super) written: u64,
    /// Size of the file after it.
    pub(super) file: Option<u64>,
}

/// Stores a group of appends.
pub(super) fn commit(
    connection: &mut Connection,
    group: &[Append],
    begin: Begin,
    dedup: &Dedup,
) -> Result<Stored, Failure> {
    // Immediate: the lock is taken here and not at the first insert, where it could no longer be waited for.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut inserting = Inserting {
        insert: transaction.prepare_cached(INSERT)?,
        begin,
        dedup,
        pending: HashMap::new(),
        attributes: Vec::new(),
        stored: Stored::default(),
    };
    for append in group {
        let places = append
            .events
            .iter()
            .map(|event| inserting.place(event))
            .collect::<Result<_, _>>()?;
        inserting.stored.places.push(places);
    }
    let mut stored = inserting.finish();
    if stored.fresh.is_empty() {
        // Duplicates only, and their firsts are on disk.
        return Ok(stored);
    }
    let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    stored.file = transaction
        .prepare_cached(size)?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|bytes| u64::try_from(bytes).ok())?;
    transaction.commit()?;
    Ok(stored)
}

struct Inserting<'a> {
    insert: CachedStatement<'a>,
    begin: Begin,
    dedup: &'a Dedup,
    /// Ids of this very group.
    pending: HashMap<Key, u64>,
    attributes: Vec<u8>,
    stored: Stored,
}

impl Inserting<'_> {
    /// Stores an event, unless it is a duplicate.
    fn place(&mut self, event: &Event) -> Result<Appended, Failure> {
        let key = self.dedup.key(event.source(), event.id());
        let first = self.pending.get(&key).copied();
        let first = first.or_else(|| self.dedup.find(key, self.begin.received));
        if let Some(offset) = first {
            return Ok(Appended {
                offset: Offset(offset),
                duplicate: true,
            });
        }
        let offset = self.begin.next + self.stored.fresh.len() as u64;
        let row = Row::of(event, (offset, self.begin.received), &mut self.attributes);
        insert(&mut self.insert, &row)?;
        self.stored.written += row.weight();
        self.stored.fresh.push((key, offset));
        self.pending.insert(key, offset);
        Ok(Appended {
            offset: Offset(offset),
            duplicate: false,
        })
    }

    /// What has been stored; gives the statement back.
    fn finish(self) -> Stored {
        self.stored
    }
}

fn insert(statement: &mut CachedStatement<'_>, row: &Row<'_>) -> Result<(), Failure> {
    statement.execute(params![
        row.offset,
        row.received,
        text(Some(row.id)),
        text(Some(row.source)),
        text(Some(row.ty)),
        text(row.attributes),
        text(row.kind),
        row.checksum(),
        row.data,
    ])?;
    Ok(())
}

/// These bytes came out of strings: they are text in the file too.
fn text(bytes: Option<&[u8]>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(bytes.map_or(ValueRef::Null, ValueRef::Text))
}
