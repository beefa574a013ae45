//! The words of the log: what goes in, what comes out, and what may be set.
//!
//! Plain values without behaviour, kept apart from the engine, so that a second engine can speak them too.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::durability::Durability;
use super::memo::Memo;
use crate::error::Error;
use crate::event::Event;
use crate::time::Timestamp;

/// The name of a bus: 1 to 64 of `a-z 0-9 . _ -`, first a letter or digit. Cheap to clone.
///
/// The name is also the name of the bus's folder: nothing that [`BusName::parse`] lets through leaves the log's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BusName(Arc<str>);

/// A record's place in its bus: from 1, increasing, never reused. `Offset(0)` is before the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub u64);

/// An event as stored.
#[derive(Debug)]
pub struct Record {
    /// Its place in the bus.
    pub offset: Offset,
    /// When the hub accepted it. Never earlier than the record before it, even if the machine's clock was set back.
    pub received: Timestamp,
    /// The event; shared, so that a plugin can hold on to it without a copy.
    pub event: Arc<Event>,
    memo: Memo,
}

impl Record {
    /// An event at its place.
    pub fn new(offset: Offset, received: Timestamp, event: impl Into<Arc<Event>>) -> Self {
        Self {
            offset,
            received,
            event: event.into(),
            memo: Memo::default(),
        }
    }

    /// What `make` makes of this record, made once for all who ask for this type: a frame that a thousand listeners
    /// get. It must follow from the record alone; it may be made again once the record is no longer among the newest.
    pub fn once<T: std::any::Any + Send + Sync>(&self, make: impl FnOnce(&Self) -> T) -> Arc<T> {
        self.memo.once(|| make(self))
    }

    /// Lets go of what was made of this record, and keeps nothing more.
    pub(super) fn age(&self) {
        self.memo.close();
    }
}

/// What became of one appended event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Where it is; for a duplicate, where the first one is.
    pub offset: Offset,
    /// Whether the same `source` and `id` had been accepted within the window: nothing was stored.
    pub duplicate: bool,
}

/// What a read returned.
#[derive(Debug)]
pub struct Batch {
    /// The records, in order and without holes: what is missing is told as the `gap` of the read that begins there.
    pub records: Vec<Arc<Record>>,
    /// Where to read on from.
    pub next: Offset,
    /// Offsets that were asked for and are not there: removed by retention, or found damaged on disk. A gap begins
    /// where the read does, and comes before `records`.
    pub gap: Option<Range<Offset>>,
}

/// How much a read may return; at least one record comes if there is one.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    /// Records.
    pub records: usize,
    /// Bytes of events, about.
    pub bytes: usize,
}

/// What may go, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Retention {
    /// Records older than this may go.
    pub age: Option<Duration>,
    /// The oldest records go when a bus takes more than this, in bytes.
    pub size: Option<u64>,
    /// Whether records that a subscription has not acknowledged may go too.
    pub drop_unacknowledged: bool,
}

/// Options of the log.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What may go, for every bus.
    pub retention: Retention,
    /// A segment file is closed and a new one begun at this size, in bytes.
    pub segment_size: u64,
    /// Within this time an event with the same `source` and `id` is a duplicate.
    pub dedup_window: Duration,
    /// At most this many ids are remembered for it, per bus.
    pub dedup_ids: usize,
    /// At most this many buses.
    pub max_buses: usize,
    /// At most this many appends wait for the disk, per bus, before more are refused as busy.
    pub queue: usize,
    /// What is done before an append is answered.
    pub durability: Durability,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention: Retention {
                age: None,
                size: None,
                drop_unacknowledged: false,
            },
            segment_size: 128 << 20,
            dedup_window: Duration::from_secs(600),
            dedup_ids: 1_000_000,
            max_buses: 64,
            queue: 4_096,
            durability: Durability::Disk,
        }
    }
}

/// Figures of one bus.
#[derive(Debug, Clone)]
pub struct BusStats {
    /// Which.
    pub bus: BusName,
    /// First offset still there.
    pub first: Offset,
    /// Offset that the next record gets.
    pub end: Offset,
    /// Bytes on disk.
    pub bytes: u64,
    /// When the oldest record still there was received.
    pub oldest: Option<Timestamp>,
    /// Events stored since the start.
    pub appended: u64,
    /// Duplicates answered since the start.
    pub duplicates: u64,
    /// Commits since the start.
    pub commits: u64,
    /// Appends that wait for the disk now.
    pub queued: usize,
    /// The bytes of their events.
    pub queued_bytes: usize,
    /// How long the commit at hand has taken; zero without one.
    pub committing: Duration,
    /// Bytes that are durable and not yet folded into the log's file.
    pub wal: u64,
    /// How far back duplicates are known now.
    pub dedup_reach: Duration,
}

/// Records that are in no state to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Of which bus.
    pub bus: BusName,
    /// Which ones.
    pub range: Range<Offset>,
    /// In which file of the bus's folder.
    pub file: String,
    /// What is wrong with them.
    pub reason: String,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, last) = (self.range.start.0, self.range.end.0.saturating_sub(1));
        let (bus, file, reason) = (&self.bus, &self.file, &self.reason);
        write!(
            f,
            "records {from} to {last} of bus `{bus}` are damaged on disk and are skipped ({file}: {reason})"
        )
    }
}

impl BusName {
    /// The bus that is meant when none is named.
    pub fn default_bus() -> Self {
        Self("default".into())
    }

    /// The bus on which the hub reports its own life.
    pub fn own() -> Self {
        Self("busway".into())
    }

    /// Checks a name.
    ///
    /// # Errors
    /// `bus_name_invalid` when it breaks the rule.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut bytes = name.bytes();
        let starts_well = bytes.next().is_some_and(plain);
        if starts_well && name.len() <= 64 && bytes.all(|byte| plain(byte) || b"._-".contains(&byte)) {
            return Ok(Self(name.into()));
        }
        let shown: String = name.chars().take(80).collect();
        Err(Error::invalid(
            "bus_name_invalid",
            format!(
                "`{}` cannot name a bus: use 1 to 64 of a-z, 0-9, `.`, `_` and `-`, first a letter or digit",
                shown.escape_debug()
            ),
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BusName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_name_is_also_a_safe_folder_name() {
        let long = "a".repeat(64);
        for good in ["default", "busway", "0", "a.b_c-d", "a..b", long.as_str()] {
            assert_eq!(BusName::parse(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(65);
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "-x",
            "_x",
            "A",
            "a/b",
            "a b",
            "a\0",
            "ä",
            "a\\b",
            too_long.as_str(),
        ] {
            assert_eq!(BusName::parse(bad).unwrap_err().code(), "bus_name_invalid", "{bad:?}");
        }
    }

    #[test]
    fn the_buses_of_the_hub_itself_have_lawful_names() {
        for name in [BusName::default_bus(), BusName::own()] {
            assert_eq!(BusName::parse(name.as_str()).unwrap(), name);
        }
    }
}
