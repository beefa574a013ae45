//! The writer of a bus: one thread that owns the last segment.
//!
//! It commits whatever has queued up, answers, and looks again; it never waits for a batch to fill, for under load
//! the queue fills while the disk syncs. Writing the WAL back happens between commits, when a good deal has
//! gathered or when nothing else is to do, so that few producers ever wait for it.
//!
//! When the store fails, everybody who waits is told, the fault is shown, and each later append tries again; a probe
//! does so every second even without traffic. After a failure that poisons, the file is opened anew and its WAL
//! written back whole before the next commit, so that nothing rests on pages that the kernel may have dropped.
//!
//! Invariant: nobody else writes the files of the bus. Invariant: offsets follow each other; a commit that failed
//! towards its producers and turns out to be in the file after all is kept, its events are published.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::bus::BusState;
use super::commit::{self, Begin, Stored};
use super::dedup::Dedup;
use super::fault::Failure;
use super::lock::FolderLock;
use super::model::{Appended, Offset, Record};
use super::queue::{Append, Wish, gather};
use super::reader;
use super::segment::{self, Checkpoint, Segment};
use crate::time::{Clock, Timestamp};

/// The WAL is written back when it has grown by this much.
const WAL: u64 = 16 << 20;
/// What a commit adds to the WAL beside its rows: pages that are there only in part new.
const COMMIT: u64 = 12 << 10;
/// With nothing to do for this long, the WAL is written back.
const IDLE: Duration = Duration::from_millis(500);
/// How often a store that has failed is tried again.
const PROBE: Duration = Duration::from_secs(1);
/// What a probe asks of the disk, in bytes: enough for a commit of usual size.
const PROBE_ROOM: i64 = 64 << 10;

/// The writer of one bus.
pub(super) struct Writer {
    state: Arc<BusState>,
    active: Arc<Segment>,
    connection: Connection,
    /// The connection has failed in a way after which it is not believed.
    poisoned: bool,
    /// The file has more than `segment_size`, or must not be appended to any more.
    full: bool,
    faulty: bool,
    dedup: Dedup,
    next: u64,
    received: Timestamp,
    in_wal: u64,
    clock: Clock,
    segment_size: u64,
}

/// What a writer begins with.
pub(super) struct Opened {
    /// The last segment,
    pub(super) active: Arc<Segment>,
    /// and the connection that has it open.
    pub(super) connection: Connection,
    /// The newest ids.
    pub(super) dedup: Dedup,
    /// When the last record was received.
    pub(super) newest: Timestamp,
    /// A segment with more bytes is full.
    pub(super) segment_size: u64,
}

impl Writer {
    /// A writer for a bus that has just been opened.
    pub(super) fn new(state: Arc<BusState>, clock: Clock, opened: Opened) -> Self {
        Self {
            poisoned: false,
            full: opened.active.bytes() >= opened.segment_size,
            faulty: false,
            next: state.end(),
            received: opened.newest,
            in_wal: 0,
            active: opened.active,
            connection: opened.connection,
            dedup: opened.dedup,
            segment_size: opened.segment_size,
            clock,
            state,
        }
    }

    /// Starts the thread. It ends when it is asked to close, or when nobody can ask it any more.
    pub(super) fn start(self, waiting: Receiver<Wish>, lock: Arc<FolderLock>) -> Result<(), Failure> {
        let work = move || {
            let closed = self.run(&waiting);
            // The answer comes last: who waits for it may open the log again at once.
            drop((waiting, lock));
            closed.map(|closed| closed.send(()))
        };
        thread::Builder::new().name("busway-log".to_owned()).spawn(work)?;
        Ok(())
    }

    fn run(mut self, waiting: &Receiver<Wish>) -> Option<oneshot::Sender<()>> {
        let closed = loop {
            match self.wait(waiting) {
                Ok(Wish::Close(closed)) => break Some(closed),
                Ok(wish) => {
                    if let Some(closed) = self.serve(wish, waiting) {
                        break Some(closed);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.use_pause(),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        // Leaves one file without a WAL. If it fails, the WAL is read at the next start.
        let _ = segment::checkpoint(&self.connection, Checkpoint::Whole);
        closed
    }

    fn wait(&self, waiting: &Receiver<Wish>) -> Result<Wish, RecvTimeoutError> {
        match (self.faulty, self.in_wal) {
            (true, _) => waiting.recv_timeout(PROBE),
            (false, 0) => waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
            (false, _) => waiting.recv_timeout(IDLE),
        }
    }

    /// Does what is wished, and what was queued behind it as far as it belongs to the same commit.
    fn serve(&mut self, wish: Wish, waiting: &Receiver<Wish>) -> Option<oneshot::Sender<()>> {
        match wish {
            Wish::Append(first) => {
                let (group, other) = gather(first, waiting);
                self.append(group);
                return other.and_then(|other| self.serve(other, waiting));
            }
            Wish::Rotate(answer) => {
                self.full = self.next > self.active.first();
                let rotated = self.recover().and_then(|()| self.rotate());
                let _ = answer.send(rotated.map_err(|failure| failure.refuse("begin a new segment")));
            }
            Wish::GoOn(least, answer) => {
                let _ = answer.send(self.go_on_from(least).map_err(|failure| failure.refuse("go on")));
            }
            Wish::Close(closed) => return Some(closed),
            #[cfg(test)]
            Wish::DiskFull(full, done) => {
                let pages = if full { 1 } else { i64::from(u32::MAX - 1) };
                let set = self
                    .connection
                    .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
                set.unwrap();
                let _ = done.send(());
            }
            #[cfg(test)]
            Wish::Poison => self.poisoned = true,
        }
        None
    }

    /// Commits a group and answers it.
    fn append(&mut self, group: Vec<Append>) {
        let state = Arc::clone(&self.state);
        state.counted.committing.store(self.clock.now().0, Ordering::Relaxed);
        match self.store(&group) {
            Ok((stored, received)) => {
                self.clear_fault();
                self.publish(group, stored, received);
            }
            Err(failure) => {
                self.set_fault(&failure);
                for append in group {
                    append.answer(Err(failure.refuse_append()));
                }
            }
        }
        state.counted.committing.store(0, Ordering::Relaxed);
        state.counted.wal.store(self.in_wal, Ordering::Relaxed);
        if self.in_wal >= WAL {
            self.write_back();
        }
    }

    fn store(&mut self, group: &[Append]) -> Result<(Stored, Timestamp), Failure> {
        self.recover()?;
        self.rotate()?;
        // A clock that was set back stands still until it has caught up: offsets and times go the same way.
        let received = self.clock.now().max(self.received);
        let begin = Begin {
            next: self.next,
            received,
        };
        let stored = commit::commit(&mut self.connection, group, begin, &self.dedup);
        Ok((
            stored.map_err(|failure| failure.during("append to", self.active.path()))?,
            received,
        ))
    }

    /// Shows what has become durable to everybody: readers first, then the producers.
    fn publish(&mut self, group: Vec<Append>, stored: Stored, received: Timestamp) {
        if let Some((_, first)) = stored.fresh.first() {
            self.received = received;
            if *first == self.active.first() {
                let _ = self.active.oldest.set(received);
            }
            self.in_wal += stored.written + COMMIT;
            self.full |= stored.file.is_some_and(|bytes| bytes >= self.segment_size);
            self.state.counted.commits.fetch_add(1, Ordering::Relaxed);
        }
        let mut answers = Vec::with_capacity(group.len());
        let mut tail = self.state.tail();
        for (append, places) in group.into_iter().zip(stored.places) {
            let (events, answer) = append.into_parts();
            for (event, place) in events.into_iter().zip(&places) {
                if !place.duplicate {
                    tail.push(Arc::new(Record::new(place.offset, received, event)));
                }
            }
            answers.push((answer, places));
        }
        drop(tail);
        for (key, offset) in &stored.fresh {
            self.dedup.remember(*key, *offset, received);
        }
        self.state.dedup_reaches(&self.dedup);
        self.advance(stored.fresh.len() as u64);
        for (answer, places) in answers {
            self.count_duplicates(&places);
            answer(places);
        }
    }

    fn advance(&mut self, by: u64) {
        if by > 0 {
            self.next += by;
            self.state.counted.appended.fetch_add(by, Ordering::Relaxed);
            self.state.end.send_replace(Offset(self.next));
        }
    }

    fn count_duplicates(&self, places: &[Appended]) {
        let duplicates = places.iter().filter(|place| place.duplicate).count() as u64;
        self.state.counted.duplicates.fetch_add(duplicates, Ordering::Relaxed);
    }

    /// Begins a new segment if the last one is full.
    fn rotate(&mut self) -> Result<(), Failure> {
        if !self.full {
            return Ok(());
        }
        let segment = Arc::new(Segment::new(&self.state.folder, self.next));
        let (connection, _) = segment.open_for_writing()?;
        self.state.keep(&connection)?;
        let sealing = std::mem::replace(&mut self.connection, connection);
        let sealed = std::mem::replace(&mut self.active, Arc::clone(&segment));
        self.state.begin(segment);
        (self.full, self.in_wal) = (false, 0);
        if let Err(failure) = sealed.seal(sealing) {
            warn!(bus = %self.state.name, file = %sealed.path().display(), %failure, "a full segment could not be sealed; it is tried again at the next start");
        }
        Ok(())
    }

    /// Gives out no offset before `least`: a new segment begins there.
    pub(super) fn go_on_from(&mut self, least: u64) -> Result<(), Failure> {
        if self.next < least {
            error!(bus = %self.state.name, end = self.next, least, "the log ends before offsets that have been used: records are lost, or an older copy was put back; new events go on after them");
            self.next = least;
            self.full = true;
            self.recover()?;
            self.rotate()?;
            self.state.end.send_replace(Offset(self.next));
        }
        Ok(())
    }

    /// After a failure that poisons: a new connection, everything in the WAL written again, and the end as the file
    /// has it. What is damaged is left behind.
    fn recover(&mut self) -> Result<(), Failure> {
        if !self.poisoned {
            return Ok(());
        }
        let reopened = self.active.open_for_writing().and_then(|(connection, end)| {
            segment::checkpoint(&connection, Checkpoint::Whole)?;
            self.state.keep(&connection)?;
            Ok((connection, end))
        });
        let (connection, end) = match reopened {
            Err(failure) if failure.is_damage() => {
                error!(bus = %self.state.name, %failure, "the last segment is damaged; a new one is begun");
                (self.poisoned, self.full) = (false, true);
                return Ok(());
            }
            reopened => reopened?,
        };
        // Only now: while the old one lives, so do the files beside the segment that readers need.
        self.connection = connection;
        self.poisoned = false;
        if end > self.next {
            self.adopt(end)?;
        } else if end < self.next && self.next > self.active.first() {
            error!(bus = %self.state.name, file = %self.active.path().display(), end, acknowledged = self.next, "a segment has lost records that were acknowledged; a new one is begun");
            self.full = true;
        }
        Ok(())
    }

    /// Publishes records that are in the file though their commit seemed to fail.
    fn adopt(&mut self, end: u64) -> Result<(), Failure> {
        let found = reader::records(&self.connection, &self.state, self.next..end)?;
        for record in found {
            let key = self.dedup.key(record.event.source(), record.event.id());
            self.dedup.remember(key, record.offset.0, record.received);
            self.received = self.received.max(record.received);
            self.state.tail().push(record);
        }
        self.advance(end - self.next);
        Ok(())
    }

    /// Nothing is queued: tries a store that has failed, else writes the WAL back.
    fn use_pause(&mut self) {
        if !self.faulty {
            return self.write_back();
        }
        let probed = self.recover().and_then(|()| self.rotate()).and_then(|()| self.probe());
        match probed {
            Ok(()) => self.clear_fault(),
            Err(failure) => self.set_fault(&failure),
        }
    }

    /// Commits something of some size, and takes it away again. The room stays with the file for later rows.
    fn probe(&mut self) -> Result<(), Failure> {
        let probe = || {
            self.connection
                .execute("INSERT INTO probe VALUES (zeroblob(?1))", [PROBE_ROOM])?;
            self.connection.execute("DELETE FROM probe", [])?;
            Ok(())
        };
        probe().map_err(|error: rusqlite::Error| Failure::from(error).during("probe", self.active.path()))
    }

    fn write_back(&mut self) {
        self.in_wal = 0;
        self.state.counted.wal.store(0, Ordering::Relaxed);
        if let Err(failure) = segment::checkpoint(&self.connection, Checkpoint::Passive) {
            warn!(bus = %self.state.name, %failure, "the log could not be tidied; it is tried again later");
            self.poisoned |= failure.poisons();
        }
    }

    fn set_fault(&mut self, failure: &Failure) {
        self.faulty = true;
        self.poisoned |= failure.poisons();
        self.full |= failure.is_damage() && self.next > self.active.first();
        let told = format!(
            "bus `{}`: {}; appends are refused, and tried again every second",
            self.state.name,
            failure.reason()
        );
        if self.state.set_fault(Some(told)).is_none() {
            error!(bus = %self.state.name, %failure, "the event log cannot write; appends are refused until it can");
        }
    }

    fn clear_fault(&mut self) {
        if std::mem::take(&mut self.faulty) {
            self.state.set_fault(None);
            info!(bus = %self.state.name, "the event log can write again");
        }
    }
}
