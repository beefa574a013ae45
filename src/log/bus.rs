//! One bus: what its writer, its readers and retention share, and how it is opened.
//!
//! Locks: each is held for a few memory operations and never while another is taken, never over disk work.
//!
//! Invariant: there is always at least one segment, and only the last is written. Invariant: `end` moves after the
//! commit, and after the records are in the tail.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;
use tracing::warn;

use super::dedup::{self, Dedup};
use super::durability::{self, Durability, InForce};
use super::fault::Failure;
use super::lock::FolderLock;
use super::model::{BusName, BusStats, Damaged, Offset, Settings};
use super::queue::Queue;
use super::reader;
use super::record::Damage;
use super::segment::{self, Checkpoint, Segment};
use super::tail::Tail;
use super::writer::{Opened, Writer};
use crate::time::{Clock, Timestamp};

/// A bus that is open.
#[derive(Debug)]
pub(super) struct Bus {
    pub(super) state: Arc<BusState>,
    pub(super) queue: Queue,
    /// When the newest record was received, at the start.
    pub(super) newest: Option<Timestamp>,
}

/// What is known of a bus.
#[derive(Debug)]
pub(super) struct BusState {
    pub(super) name: BusName,
    pub(super) folder: PathBuf,
    pub(super) end: watch::Sender<Offset>,
    pub(super) counted: Counted,
    segments: Mutex<VecDeque<Arc<Segment>>>,
    tail: Mutex<Tail>,
    fault: Mutex<Option<String>>,
    /// What readers have found, by where it begins.
    damaged: Mutex<BTreeMap<u64, (u64, &'static str)>>,
    /// Connections that no reader uses now, by the first offset of their segment.
    idle: Mutex<Vec<(u64, Connection)>>,
    durability: Durability,
    in_force: Mutex<InForce>,
    dedup_window: Duration,
    dedup_known_since: AtomicI64,
}

/// What the writer has done since the start.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) appended: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) commits: AtomicU64,
    /// Since when the writer has been at the commit at hand, in milliseconds; 0 without one.
    pub(super) committing: AtomicI64,
    /// Bytes in the WAL.
    pub(super) wal: AtomicU64,
}

/// Ranges of damage that a bus remembers; of a file in ruins the rest is told in the log.
const MOST_DAMAGE: usize = 64;
/// Read connections that a bus keeps open for the next reader.
const IDLE_CONNECTIONS: usize = 4;

impl Bus {
    /// Opens a bus in its folder, creates both if they are new, and starts its writer, which holds `lock` as long as
    /// it lives.
    pub(super) fn open(
        (folder, name): (PathBuf, BusName),
        settings: &Settings,
        clock: &Clock,
        lock: Arc<FolderLock>,
    ) -> Result<Self, Failure> {
        let segments = list_or_create(&folder)?;
        let active = segments.back().cloned();
        let Some(active) = active else {
            return Err(Failure::foreign(&folder, "it has no segment"));
        };
        for older in segments.iter().rev().skip(1) {
            match older.seal_again() {
                // Readers will find out what is left of it.
                Err(failure) if failure.is_damage() => {
                    warn!(bus = %name, %failure, "a segment is damaged")
                }
                sealed => sealed?,
            }
        }
        let lost = active.lost()?;
        let (connection, end) = active.open_for_writing()?;
        // A commit that a crash cut off may be readable and yet not on disk. From here on it counts as stored.
        segment::checkpoint(&connection, Checkpoint::Whole)?;
        let in_force = durability::put_in_force(&connection, settings.durability)?;
        let state = Arc::new(BusState {
            name,
            folder,
            end: watch::Sender::new(Offset(end)),
            counted: Counted::default(),
            segments: Mutex::new(segments),
            tail: Mutex::default(),
            fault: Mutex::default(),
            damaged: Mutex::default(),
            idle: Mutex::default(),
            durability: settings.durability,
            in_force: Mutex::new(in_force),
            dedup_window: settings.dedup_window,
            dedup_known_since: AtomicI64::new(i64::MIN),
        });
        let mut dedup = Dedup::new(settings.dedup_window, settings.dedup_ids);
        let newest = reader::remember(&state, &mut dedup, (clock.now(), settings))?;
        state.dedup_reaches(&dedup);
        let (queue, waiting) = Queue::new(settings.queue);
        let opened = Opened {
            active,
            connection,
            dedup,
            newest,
            segment_size: segment_size(settings),
        };
        let mut writer = Writer::new(Arc::clone(&state), clock.clone(), opened);
        let after_lost = if lost > 0 { end + lost } else { 0 };
        writer.go_on_from(segment::after_damaged(&state.folder)?.max(after_lost))?;
        if lost > 0 {
            reader::tell(&state, &(end..end + lost), Damage("its write-ahead log is damaged"));
        }
        writer.start(waiting, lock)?;
        let newest = (newest.0 > i64::MIN).then_some(newest);
        Ok(Self { state, queue, newest })
    }
}

impl Bus {
    /// Figures for status and metrics.
    pub(super) fn stats(&self, now: Timestamp) -> BusStats {
        self.state.stats(now, self.queue.waiting())
    }
}

impl BusState {
    /// The segment that `offset` is in (or would be), and where the next one begins.
    pub(super) fn segment_at(&self, offset: u64) -> Option<(Arc<Segment>, u64)> {
        let segments = lock(&self.segments);
        let at = segments
            .partition_point(|segment| segment.first() <= offset)
            .checked_sub(1)?;
        let end = segments.get(at + 1).map_or(u64::MAX, |next| next.first());
        Some((Arc::clone(segments.get(at)?), end))
    }

    /// All segments, oldest first.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        lock(&self.segments).iter().cloned().collect()
    }

    /// Has the writer's new connection keep what the operator wants, and remembers what it says.
    pub(super) fn keep(&self, connection: &Connection) -> Result<(), Failure> {
        *lock(&self.in_force) = durability::put_in_force(connection, self.durability)?;
        Ok(())
    }

    /// What the writer's connection says that it does.
    pub(super) fn in_force(&self) -> InForce {
        lock(&self.in_force).clone()
    }

    /// The first offset that is still there.
    pub(super) fn first(&self) -> u64 {
        lock(&self.segments).front().map_or(1, |segment| segment.first())
    }

    /// The offset that the next record will get.
    pub(super) fn end(&self) -> u64 {
        self.end.borrow().0
    }

    /// A new last segment.
    pub(super) fn begin(&self, segment: Arc<Segment>) {
        lock(&self.segments).push_back(segment);
    }

    /// Takes the oldest segment out, if it is this one and not the last; nobody will open it any more.
    pub(super) fn take_oldest(&self, first: u64) -> Option<Arc<Segment>> {
        let mut segments = lock(&self.segments);
        let goes = segments.len() > 1 && segments.front().is_some_and(|oldest| oldest.first() == first);
        let oldest = if goes { segments.pop_front() } else { None };
        drop(segments);
        lock(&self.idle).retain(|(of, _)| *of != first);
        oldest
    }

    /// Puts the oldest segment back, because it could not be deleted.
    pub(super) fn put_back(&self, segment: Arc<Segment>) {
        lock(&self.segments).push_front(segment);
    }

    /// The newest records.
    pub(super) fn tail(&self) -> MutexGuard<'_, Tail> {
        lock(&self.tail)
    }

    /// A read connection to a segment.
    pub(super) fn connect(&self, segment: &Segment) -> Result<Connection, Failure> {
        let mut idle = lock(&self.idle);
        let kept = idle.iter().position(|(first, _)| *first == segment.first());
        let kept = kept.map(|at| idle.swap_remove(at).1);
        drop(idle);
        kept.map_or_else(|| segment.open_for_reading(), Ok)
    }

    /// Gives a read connection back for the next reader.
    pub(super) fn give_back(&self, segment: &Segment, connection: Connection) {
        if segment.first() < self.first() {
            return;
        }
        let mut idle = lock(&self.idle);
        idle.push((segment.first(), connection));
        // Closing takes a moment: not under the lock.
        let oldest = (idle.len() > IDLE_CONNECTIONS).then(|| idle.remove(0));
        drop(idle);
        drop(oldest);
    }

    /// Closes the connections that are kept for readers.
    pub(super) fn disconnect(&self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        drop(idle);
    }

    /// Notes damage; whether it is news.
    pub(super) fn note_damage(&self, range: &Range<u64>, reason: &'static str) -> bool {
        let mut damaged = lock(&self.damaged);
        let known = damaged.range(..=range.start).next_back();
        if known.is_some_and(|(_, (end, _))| *end >= range.end) || damaged.len() >= MOST_DAMAGE {
            return false;
        }
        damaged.insert(range.start, (range.end, reason)) != Some((range.end, reason))
    }

    /// The damage that is known, as far as its records would still be there.
    pub(super) fn damaged(&self) -> Vec<Damaged> {
        let first = self.first();
        let known = lock(&self.damaged).clone();
        let left = known.into_iter().filter(|(_, (end, _))| *end > first);
        left.map(|(start, (end, reason))| Damaged {
            bus: self.name.clone(),
            range: Offset(start)..Offset(end),
            file: self
                .segment_at(start)
                .map(|(segment, _)| segment.name())
                .unwrap_or_default(),
            reason: reason.to_owned(),
        })
        .collect()
    }

    /// Why appends fail now, if they do.
    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// Sets or clears the fault; what it was before.
    pub(super) fn set_fault(&self, fault: Option<String>) -> Option<String> {
        std::mem::replace(&mut *lock(&self.fault), fault)
    }

    /// Publishes how far back `dedup` knows duplicates.
    pub(super) fn dedup_reaches(&self, dedup: &Dedup) {
        let since = dedup.known_since().map_or(i64::MIN, |since| since.0);
        self.dedup_known_since.store(since, Ordering::Relaxed);
    }

    /// The figures of the bus. May open the oldest segment once.
    fn stats(&self, now: Timestamp, waiting: (usize, usize)) -> BusStats {
        let since = match self.dedup_known_since.load(Ordering::Relaxed) {
            i64::MIN => None,
            since => Some(Timestamp(since)),
        };
        let segments = self.segments();
        BusStats {
            bus: self.name.clone(),
            first: Offset(self.first()),
            end: Offset(self.end()),
            bytes: segments.iter().map(|segment| segment.bytes()).sum(),
            oldest: segments.first().and_then(|segment| reader::oldest(self, segment)),
            appended: self.counted.appended.load(Ordering::Relaxed),
            duplicates: self.counted.duplicates.load(Ordering::Relaxed),
            commits: self.counted.commits.load(Ordering::Relaxed),
            queued: waiting.0,
            queued_bytes: waiting.1,
            committing: match self.counted.committing.load(Ordering::Relaxed) {
                0 => Duration::ZERO,
                since => now.since(Timestamp(since)),
            },
            wal: self.counted.wal.load(Ordering::Relaxed),
            dedup_reach: dedup::reach(self.dedup_window, since, now),
        }
    }
}

/// A lock that a panic elsewhere does not take down with it: what they guard is whole after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn list_or_create(folder: &Path) -> Result<VecDeque<Arc<Segment>>, Failure> {
    if !folder.exists() {
        fs::create_dir(folder).map_err(|error| Failure::from(error).during("create", folder))?;
        folder.parent().map_or(Ok(()), segment::sync_folder)?;
    }
    let mut segments = Segment::list(folder).map_err(|failure| failure.during("list", folder))?;
    if segments.is_empty() {
        segments.push(Segment::new(folder, 1));
    }
    Ok(segments.into_iter().map(Arc::new).collect())
}

/// Retention drops whole segments: with a bound on the size of a bus they must be small against it.
fn segment_size(settings: &Settings) -> u64 {
    let bound = settings
        .retention
        .size
        .map_or(u64::MAX, |size| (size / 4).max(64 << 10));
    settings.segment_size.min(bound)
}
