//! The log as a whole: one file a promise.

mod append;
mod damage;
mod fault;
mod model;
mod retention;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{Batch, BusName, Durability, EventLog, Offset, ReadLimit, Retention, Settings};
use crate::event::{Data, DataKind, Draft, Event};
use crate::tasks::Tasks;
use crate::time::{Clock, Timestamp};

/// When the tests' clock begins.
pub(super) const START: Timestamp = Timestamp(1_700_000_000_000);
/// More than any test has.
pub(super) const ALL: ReadLimit = ReadLimit {
    records: 10_000,
    bytes: 1 << 30,
};

/// A log in a folder that vanishes with it, and a clock to move.
pub(super) struct Fixture {
    pub(super) dir: TempDir,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) log: EventLog,
    pub(super) bus: BusName,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(START);
        let log = open(dir.path(), &settings, &clock);
        Self {
            dir,
            settings,
            clock,
            log,
            bus: BusName::default_bus(),
        }
    }

    pub(super) async fn reopen(&mut self) {
        self.log.close().await;
        self.log = open(self.dir.path(), &self.settings, &self.clock);
    }

    /// Appends events with these ids and so much data in one append; their offsets.
    pub(super) async fn append(&self, ids: &[&str], bytes: usize) -> Vec<u64> {
        let events = ids.iter().map(|id| event(id, bytes)).collect();
        let appended = self.log.append(&self.bus, events).await.unwrap();
        appended.iter().map(|place| place.offset.0).collect()
    }

    /// Appends events with these numbers for ids, five at a time.
    pub(super) async fn fill(&self, ids: std::ops::Range<u64>, bytes: usize) {
        let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
        for some in ids.chunks(5) {
            self.append(&some.iter().map(String::as_str).collect::<Vec<_>>(), bytes)
                .await;
        }
    }

    pub(super) async fn read(&self, from: u64, limit: ReadLimit) -> Batch {
        self.log.read(&self.bus, Offset(from), limit).await.unwrap()
    }

    /// Everything from `from` on as (offset, id), and the gaps on the way.
    pub(super) async fn read_all(&self, from: u64) -> (Vec<(u64, String)>, Vec<(u64, u64)>) {
        let end = self.log.end(&self.bus).unwrap().borrow().0;
        let (mut read, mut gaps, mut at) = (Vec::new(), Vec::new(), from);
        while at < end {
            let batch = self.read(at, ALL).await;
            gaps.extend(batch.gap.map(|gap| (gap.start.0, gap.end.0)));
            let records = batch.records.iter();
            read.extend(records.map(|record| (record.offset.0, record.event.id().to_owned())));
            assert!(batch.next.0 > at, "a read must get on");
            at = batch.next.0;
        }
        (read, gaps)
    }

    pub(super) fn end(&self) -> u64 {
        self.log.end(&self.bus).unwrap().borrow().0
    }

    /// The segment files of the bus, in order.
    pub(super) fn files(&self) -> Vec<std::path::PathBuf> {
        let folder = self.dir.path().join(self.bus.as_str());
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|file| file.extension().is_some_and(|end| end == "sqlite"))
            .collect();
        files.sort();
        files
    }
}

pub(super) fn open(dir: &Path, settings: &Settings, clock: &Clock) -> EventLog {
    EventLog::open(dir, settings.clone(), clock.clone(), Tasks::new()).unwrap()
}

/// Small segments: a dozen events of a kilobyte fill one.
pub(super) fn settings() -> Settings {
    Settings {
        retention: Retention {
            age: None,
            size: None,
            drop_unacknowledged: false,
        },
        segment_size: 32 << 10,
        dedup_window: Duration::from_secs(60),
        dedup_ids: 1_000,
        max_buses: 3,
        queue: 64,
        durability: Durability::Disk,
    }
}

/// An event with this id and so many bytes of data.
pub(super) fn event(id: &str, bytes: usize) -> Event {
    let data = Data {
        kind: DataKind::Binary,
        bytes: vec![b'x'; bytes].into(),
    };
    let draft = Draft {
        id: id.into(),
        source: "/tests/log".into(),
        ty: "com.example.log".into(),
        data: Some(data),
        ..Draft::default()
    };
    draft.check().unwrap()
}
