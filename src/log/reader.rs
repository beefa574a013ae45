//! Reading records back from the segment files.
//!
//! Only what is no longer in the tail comes this way: a subscriber that was down, a replay, a start. It runs on
//! threads that may block, over connections that are kept for the next reader.
//!
//! Offsets leave no holes, so every offset between the first and the end must turn up, with a checksum that fits.
//! One that does not is told in the log, skipped, and shows as a gap: damage never stops a reader, and
//! is never served. Everything else that goes wrong (no file handles, an I/O error) is an error to be tried again,
//! for what may be there must not be skipped.
//!
//! Invariant: nothing at or past `end` is served, even if the file has it already.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tracing::error;

use super::bus::BusState;
use super::dedup::{Dedup, Key};
use super::fault::{Failure, is_damage};
use super::model::{Batch, Offset, ReadLimit, Record, Settings};
use super::record::{self, Damage, Row};
use super::segment::Segment;
use super::tail::Room;
use crate::time::Timestamp;

const SELECT: &str = "SELECT \"offset\", received, id, source, type, attributes, kind, crc, data FROM event
    WHERE \"offset\" >= ?1 AND \"offset\" < ?2 ORDER BY \"offset\" LIMIT ?3";

/// Reads from `from` on, across segments, up to `limit`.
pub(super) fn read(state: &BusState, from: u64, limit: ReadLimit) -> Result<Batch, Failure> {
    let end = state.end();
    let mut reading = Reading {
        records: Vec::new(),
        next: from,
        room: Room::new(limit),
        damaged: None,
    };
    while reading.next < end {
        let Some((segment, segment_end)) = state.segment_at(reading.next) else {
            // Retention was here. If it comes again in between, this comes again too.
            reading.next = state.first();
            continue;
        };
        let range = reading.next..segment_end.min(end);
        match read_segment(state, &segment, range, &mut reading) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            // It was deleted under our hands: go on from where the log begins now.
            Err(_) if state.first() > segment.first() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(reading.finish(state, from))
}

/// When the oldest record of a segment was received. Asks the file once.
pub(super) fn oldest(state: &BusState, segment: &Segment) -> Option<Timestamp> {
    received(state, segment, segment.first(), &segment.oldest)
}

/// When the last record of a sealed segment, which ends before `end`, was received. Asks the file once.
pub(super) fn newest(state: &BusState, segment: &Segment, end: u64) -> Option<Timestamp> {
    received(state, segment, end.saturating_sub(1), &segment.newest)
}

fn received(
    state: &BusState,
    segment: &Segment,
    offset: u64,
    known: &std::sync::OnceLock<Timestamp>,
) -> Option<Timestamp> {
    if let Some(known) = known.get() {
        return Some(*known);
    }
    if offset >= state.end() {
        return None;
    }
    let connection = state.connect(segment).ok()?;
    let record = records(&connection, state, offset..offset + 1).ok()?.pop();
    state.give_back(segment, connection);
    record.map(|record| *known.get_or_init(|| record.received))
}

/// The first record received at or after `at`, by halving: times never go back from one offset to the next.
pub(super) fn offset_at(state: &BusState, at: Timestamp) -> Result<u64, Failure> {
    let (mut low, mut high) = (state.first(), state.end());
    while low < high {
        let middle = low + (high - low) / 2;
        let batch = read(state, middle, ReadLimit { records: 1, bytes: 0 })?;
        match batch.records.first() {
            Some(record) if record.received < at => low = record.offset.0 + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The records of a range that are whole, from a connection to their segment.
pub(super) fn records(
    connection: &Connection,
    state: &BusState,
    range: Range<u64>,
) -> Result<Vec<Arc<Record>>, Failure> {
    let (mut records, mut at) = (Vec::new(), range.start);
    while at < range.end {
        at = scan(connection, at..range.end, usize::MAX, &mut |found| {
            match found {
                Found::Record(record) => records.push(record),
                Found::Damaged(range, damage) => tell(state, &range, damage),
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(records)
}

/// Fills `dedup` with the newest ids after a start; when the newest record was received, or the earliest time.
pub(super) fn remember(
    state: &BusState,
    dedup: &mut Dedup,
    (now, settings): (Timestamp, &Settings),
) -> Result<Timestamp, Failure> {
    let since = now.minus(settings.dedup_window);
    let mut found: Vec<(Key, u64, Timestamp)> = Vec::new();
    let (mut newest, mut whole) = (None, true);
    let segments = state.segments();
    'segments: for segment in segments.iter().rev() {
        let connection = state.connect(segment)?;
        let sql = "SELECT \"offset\", received, id, source FROM event ORDER BY \"offset\" DESC";
        // Damage costs the memory of some ids here, no more; reading will tell it.
        let mut statement = match connection.prepare(sql) {
            Err(error) if is_damage(&error) => continue,
            prepared => prepared?,
        };
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next().transpose() {
            let row = match row {
                Err(error) if is_damage(&error) => continue 'segments,
                row => row?,
            };
            let (Ok(offset), Ok(received)) = (offset_of(row), row.get::<_, i64>(1)) else {
                continue;
            };
            newest.get_or_insert(Timestamp(received));
            if Timestamp(received) <= since {
                break 'segments;
            }
            if found.len() >= settings.dedup_ids {
                whole = false;
                break 'segments;
            }
            let text = |at| row.get_ref(at).ok().and_then(|text| text.as_str().ok());
            let (Some(id), Some(source)) = (text(2), text(3)) else {
                continue;
            };
            found.push((dedup.key(source, id), offset, Timestamp(received)));
        }
    }
    let earliest = found.last().map(|(_, _, received)| *received);
    for (key, offset, received) in found.into_iter().rev() {
        dedup.remember(key, offset, received);
    }
    if !whole || state.first() > 1 {
        // What lies before the earliest one was not looked at, or is gone.
        let reaches = earliest.or(newest).unwrap_or(now);
        if reaches > since || !whole {
            dedup.known_only_since(reaches);
        }
    }
    Ok(newest.unwrap_or(Timestamp(i64::MIN)))
}

struct Reading {
    records: Vec<Arc<Record>>,
    next: u64,
    room: Room,
    /// The damage that this read has skipped.
    damaged: Option<(Range<u64>, Damage)>,
}

impl Reading {
    /// Takes in what a scan has found; breaks when the batch is done.
    fn take(&mut self, found: Found) -> ControlFlow<()> {
        match found {
            Found::Record(record) if self.room.takes(record.event.weight()) => {
                self.next = record.offset.0 + 1;
                self.records.push(record);
                ControlFlow::Continue(())
            }
            // A gap comes before the records: this one is for the next read.
            Found::Damaged(..) if !self.records.is_empty() => ControlFlow::Break(()),
            Found::Damaged(range, damage) => {
                self.next = range.end;
                let told = self.damaged.get_or_insert((range.clone(), damage));
                told.0.end = range.end;
                ControlFlow::Continue(())
            }
            Found::Record(_) => ControlFlow::Break(()),
        }
    }

    fn finish(self, state: &BusState, from: u64) -> Batch {
        if let Some((range, damage)) = self.damaged {
            tell(state, &range, damage);
        }
        let begin = self.records.first().map_or(self.next, |record| record.offset.0);
        let gap = (begin > from).then_some(Offset(from)..Offset(begin));
        Batch {
            records: self.records,
            next: Offset(self.next),
            gap,
        }
    }
}

/// Damage is the operator's: a disk or a file system is failing. Told once.
pub(super) fn tell(state: &BusState, range: &Range<u64>, damage: Damage) {
    if !state.note_damage(range, damage.0) {
        return;
    }
    let file = state
        .segment_at(range.start)
        .map(|(segment, _)| segment.path().display().to_string());
    error!(bus = %state.name, file, from = range.start, to = range.end, %damage, "records are damaged on disk and are skipped");
}

fn read_segment(
    state: &BusState,
    segment: &Segment,
    range: Range<u64>,
    reading: &mut Reading,
) -> Result<ControlFlow<()>, Failure> {
    let connection = state.connect(segment)?;
    while reading.next < range.end {
        let at = reading.next..range.end;
        let mut done = false;
        let most = reading.room.records();
        scan(&connection, at, most.saturating_add(1), &mut |found| {
            let flow = reading.take(found);
            done |= flow.is_break();
            flow
        })?;
        if done || reading.room.records() == 0 {
            state.give_back(segment, connection);
            return Ok(ControlFlow::Break(()));
        }
    }
    state.give_back(segment, connection);
    Ok(ControlFlow::Continue(()))
}

pub(super) enum Found {
    Record(Arc<Record>),
    Damaged(Range<u64>, Damage),
}

/// Hands every offset of `range` to `found`, as a record or as damage, in order, up to `most` rows or a break.
/// Returns where to scan on from. Always gets on by at least one offset, unless it is broken off.
pub(super) fn scan(
    connection: &Connection,
    range: Range<u64>,
    most: usize,
    found: &mut dyn FnMut(Found) -> ControlFlow<()>,
) -> Result<u64, Failure> {
    let mut expected = range.start;
    let mut statement = match connection.prepare_cached(SELECT) {
        Ok(statement) => statement,
        // Without its schema nothing in the file can be found.
        Err(error) => return skip(range, error, found),
    };
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query((signed(range.start), signed(range.end), most))?;
    let mut taken = 0;
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            // The page is broken; the next offset may lie on another.
            Err(error) => return skip(expected..expected + 1, error, found),
        };
        taken += 1;
        let offset = offset_of(row).unwrap_or(0);
        if offset < expected {
            // A broken tree goes in circles: on past it, by one.
            let circle = Found::Damaged(expected..expected + 1, Damage("the rows are out of order"));
            let _ = found(circle);
            return Ok(expected + 1);
        }
        if offset > expected {
            let hole = Found::Damaged(expected..offset, Damage("the rows are missing"));
            if found(hole).is_break() {
                return Ok(expected);
            }
        }
        let flow = match read_row(row) {
            Ok(record) => found(Found::Record(Arc::new(record))),
            Err(damage) => found(Found::Damaged(offset..offset + 1, damage)),
        };
        if flow.is_break() {
            return Ok(offset);
        }
        expected = offset + 1;
    }
    if taken < most && expected < range.end {
        let start = expected;
        expected = range.end;
        let _ = found(Found::Damaged(start..expected, Damage("the rows are missing")));
    }
    Ok(expected)
}

/// Takes an error for damage, if it is one.
fn skip(
    range: Range<u64>,
    error: rusqlite::Error,
    found: &mut dyn FnMut(Found) -> ControlFlow<()>,
) -> Result<u64, Failure> {
    if !is_damage(&error) {
        return Err(error.into());
    }
    let end = range.end;
    let _ = found(Found::Damaged(range, Damage("SQLite finds the file malformed")));
    Ok(end)
}

/// SQLite's integers have a sign.
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn offset_of(row: &rusqlite::Row<'_>) -> Result<u64, Damage> {
    let offset = row.get::<_, i64>(0).ok().and_then(|offset| u64::try_from(offset).ok());
    offset.ok_or(Damage("the offset is no offset"))
}

fn read_row(row: &rusqlite::Row<'_>) -> Result<Record, Damage> {
    const TYPE: Damage = Damage("a column has another type");
    let column = |at: usize| row.get_ref(at).map_err(|_| TYPE);
    let number = |at| match column(at)? {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(TYPE),
    };
    let optional = |at| match column(at)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
        ValueRef::Integer(_) | ValueRef::Real(_) => Err(TYPE),
    };
    let text = |at| optional(at)?.ok_or(TYPE);
    let raw = Row {
        offset: number(0)?,
        received: number(1)?,
        id: text(2)?,
        source: text(3)?,
        ty: text(4)?,
        attributes: optional(5)?,
        kind: optional(6)?,
        data: optional(8)?,
    };
    record::decode(&raw, number(7)?)
}
