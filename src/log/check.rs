//! Looks over a log that no hub has open: every row of every file against its checksum.
//!
//! For operators with a disk that they no longer trust, and before a backup is relied on. It reads only: what a crash
//! left in a write-ahead log is read from there.
//!
//! Invariant: what this finds whole, a hub serves; what it does not, a hub skips.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use rusqlite::Connection;

use super::bus_names;
use super::fault::Failure;
use super::lock::FolderLock;
use super::model::{BusName, Damaged, Offset};
use super::reader::{Found, scan};
use super::segment::Segment;
use crate::error::{Error, Kind};

/// What was looked at, and what is wrong.
#[derive(Debug, Default)]
pub struct Checked {
    /// Files.
    pub files: usize,
    /// Records that are whole.
    pub whole: u64,
    /// Records that are not, by file.
    pub damaged: Vec<Damaged>,
}

/// Checks the log in `dir`.
///
/// # Errors
/// `store_not_found` where there is none, `store_locked` while a hub has it open, `store_unavailable` when a file
/// cannot be read for another reason than damage.
pub fn check(dir: &Path) -> Result<Checked, Error> {
    if !dir.is_dir() {
        let message = format!("there is no log in {}", dir.display());
        return Err(Error::new(Kind::NotFound, "store_not_found", message));
    }
    let _lock = FolderLock::take(dir)?;
    let mut checked = Checked::default();
    let mut look = || {
        for bus in bus_names(dir)? {
            let segments = Segment::list(&dir.join(bus.as_str()))?;
            let ends = segments.iter().skip(1).map(|next| Some(next.first())).chain([None]);
            for (segment, end) in segments.iter().zip(ends) {
                checked.look(&bus, segment, end)?;
            }
        }
        Ok(())
    };
    look().map_err(|failure: Failure| failure.refuse("be checked"))?;
    Ok(checked)
}

impl Checked {
    fn look(&mut self, bus: &BusName, segment: &Segment, end: Option<u64>) -> Result<(), Failure> {
        self.files += 1;
        let mut ruined = |range: Range<u64>, reason: &str| self.damaged.push(damaged(bus, segment, range, reason));
        let whole = segment.first()..end.unwrap_or(segment.first() + 1);
        let opened = segment.open_for_reading().and_then(|connection| {
            let last = connection.query_row("SELECT max(\"offset\") FROM event", [], |row| {
                row.get::<_, Option<i64>>(0)
            });
            let quick = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
            Ok((last?, quick?, connection))
        });
        let (last, quick, connection) = match opened {
            Err(failure) if failure.is_damage() => {
                ruined(whole, "SQLite cannot read the file");
                return Ok(());
            }
            opened => opened?,
        };
        if quick != "ok" {
            ruined(whole, &quick);
        }
        let last = last
            .and_then(|last| u64::try_from(last).ok())
            .map_or(segment.first(), |last| last + 1);
        self.scan((bus, segment), &connection, segment.first()..end.unwrap_or(last))
    }

    fn scan(
        &mut self,
        (bus, segment): (&BusName, &Segment),
        connection: &Connection,
        range: Range<u64>,
    ) -> Result<(), Failure> {
        let mut at = range.start;
        while at < range.end {
            at = scan(connection, at..range.end, usize::MAX, &mut |found| {
                match found {
                    Found::Record(_) => self.whole += 1,
                    Found::Damaged(lost, damage) => match self.damaged.last_mut() {
                        // Page after page of one ruin is one line.
                        Some(last) if last.bus == *bus && last.range.end.0 == lost.start && last.reason == damage.0 => {
                            last.range.end = Offset(lost.end);
                        }
                        _ => self.damaged.push(damaged(bus, segment, lost, damage.0)),
                    },
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }
}

fn damaged(bus: &BusName, segment: &Segment, range: Range<u64>, reason: &str) -> Damaged {
    Damaged {
        bus: bus.clone(),
        range: Offset(range.start)..Offset(range.end),
        file: segment.name(),
        reason: reason.to_owned(),
    }
}
