//! The event log: every accepted event, durable before it is acknowledged, in order, per bus.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::Error;
use crate::event::Event;
use crate::time::{Clock, Timestamp};

/// The name of a bus: 1 to 64 of `a-z 0-9 . _ -`, first a letter or digit. Cheap to clone.
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
    /// When the hub accepted it.
    pub received: Timestamp,
    /// The event.
    pub event: Event,
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
    /// The records, in order.
    pub records: Vec<Arc<Record>>,
    /// Where to read on from.
    pub next: Offset,
    /// Offsets that were asked for but retention has removed.
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
}

/// The event log of all buses, on the embedded engine. Cheap to clone.
#[derive(Clone)]
pub struct EventLog;

impl EventLog {
    /// Opens or creates the log in `dir`.
    pub fn open(_dir: &Path, _settings: Settings, _clock: Clock) -> Result<Self, Error> {
        unimplemented!()
    }
    /// Appends events in one atomic step; returns when they are on disk.
    pub async fn append(&self, _bus: &BusName, _events: Vec<Event>) -> Result<Vec<Appended>, Error> {
        unimplemented!()
    }
    /// Reads records from `from` on.
    pub async fn read(&self, _bus: &BusName, _from: Offset, _limit: ReadLimit) -> Result<Batch, Error> {
        unimplemented!()
    }
    /// The offset that the next record will get, as it changes. Creates the bus.
    pub fn end(&self, _bus: &BusName) -> Result<watch::Receiver<Offset>, Error> {
        unimplemented!()
    }
    /// The first offset that is still there.
    pub fn first(&self, _bus: &BusName) -> Offset {
        unimplemented!()
    }
    /// The first record received at or after `at`.
    pub async fn offset_at(&self, _bus: &BusName, _at: Timestamp) -> Result<Offset, Error> {
        unimplemented!()
    }
    /// Retention keeps records from `floor` on (unless `drop_unacknowledged`).
    pub fn protect(&self, _bus: &BusName, _floor: Offset) {
        unimplemented!()
    }
    /// Drops what retention says may go. Called now and then by the hub.
    pub async fn trim(&self) -> Result<(), Error> {
        unimplemented!()
    }
    /// All buses.
    pub fn buses(&self) -> Vec<BusName> {
        unimplemented!()
    }
    /// Why appends fail now, if they do.
    pub fn fault(&self) -> Option<String> {
        unimplemented!()
    }
    /// Figures for status and metrics, one a bus.
    pub fn stats(&self) -> Vec<BusStats> {
        unimplemented!()
    }
    /// Ends the writers after what is queued is on disk.
    pub async fn close(&self) {
        unimplemented!()
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
    /// How far back duplicates are known now.
    pub dedup_reach: Duration,
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
    pub fn parse(_name: &str) -> Result<Self, Error> {
        unimplemented!()
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
