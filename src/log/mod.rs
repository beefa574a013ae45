//! The event log: every accepted event, durable before it is acknowledged, in order, per bus.
//!
//! # What it promises
//!
//! - [`EventLog::append`] returns when its events are on disk (written and synced), all of them or none, also over a
//!   crash. Whoever is killed before that has been promised nothing; what is read back after a crash is whole.
//! - Offsets are per bus, from 1, without holes, never used again: not after a restart, not after everything has been
//!   trimmed.
//! - An event whose `source` and `id` were accepted within the window is answered with the offset of the first one,
//!   once that one is on disk.
//! - Damage on disk (a flipped bit, a torn page) is found, told in the log with file and offset, and skipped. It is
//!   never served as an event.
//!
//! | what happens | what is left |
//! |---|---|
//! | the process is killed | everything acknowledged; perhaps appends whose answer did not get out, whole |
//! | the power goes | the same, if the disk keeps what it says it has synced |
//! | the disk is full, or fails | everything acknowledged. Appends are refused (`store_unavailable`), [`EventLog::fault`] says why, reads go on, and the first append or probe that succeeds ends it |
//! | a file is damaged | every record outside the damage. If it is the last file, the next append begins a new one |
//! | the clock is set | times in the records never go back: they stand still until the clock has caught up. A clock that jumps ahead drops nothing by age for an hour (`age.rs`) |
//! | the log ends before offsets that subscriptions have seen (an older copy was put back) | everything in it; new events go on after what was seen, the rest is a gap |
//! | the write-ahead log of the last file is damaged before its last commit | what comes before the damage; the loss is told, and new events go on past all that can have been lost |
//! | records vanish from the last file while the hub runs | the others; offsets go on where the acknowledged ones end |
//! | the last file cannot be read at a start | everything; but the hub refuses to start and names the file, for it cannot know which offsets it has given out. Renamed to `….sqlite.damaged` it is left aside, and offsets go on past all that it can have held |
//!
//! # On disk
//!
//! ```text
//! <dir>/lock                                     held while a hub has the log open
//! <dir>/default/00000000000000000001.sqlite      a sealed segment: never written again
//! <dir>/default/00000000000000131072.sqlite      the last one: appended to …
//! <dir>/default/00000000000000131072.sqlite-wal  … through its write-ahead log
//! <dir>/default/00000000000000131072.sqlite-shm  the index of that, rebuilt at will
//! <dir>/orders.eu/…                              a folder a bus, of the bus's own name
//! ```
//!
//! A segment is a SQLite file, named by its first offset, with one table: a row an event, its attributes in columns,
//! a checksum over all (`record.rs`). `sqlite3 -readonly FILE 'SELECT "offset", type, CAST(data AS TEXT) FROM event'`
//! shows what was published. When it has [`Settings::segment_size`] bytes the next commit goes to a new file.
//! Retention deletes files from the front.
//!
//! # The way of an append
//!
//! ```text
//! append ─► Queue ─► Writer: gather what is there ─► Dedup ─► one transaction ─► sync
//!  (busy)   (bounded)  (a thread a bus)                                           │
//!    answers ◄── end (watch) ◄── Tail (newest records, in memory) ◄───────────────┘
//!                                  ▲ hit: no disk, no thread
//! read ────────────────────────────┤
//!                                  ▼ miss: reader, on a thread that may block ─► segments
//! ```
//!
//! # Why so
//!
//! SQLite with a WAL and `synchronous=FULL`, against fjall, redb, LMDB and a bare file in one run: as quick as the bare
//! file at the batch sizes that a loaded hub sees, no compaction and so no stalls of its own, open in milliseconds
//! after a kill, and a user can look inside. The bare file is some three times faster in batches of a thousand; HTTP
//! is the limit long before. Rejected with it: one file for all buses (one bus's retention would be everybody's
//! `DELETE`), a transaction that spans files (SQLite's are not atomic over a WAL: an append lies in one file instead,
//! and a file may be larger than it should by one commit).
//!
//! # Invariants
//!
//! - One process has the log open, and one thread a bus writes it.
//! - `end` moves after the commit; nothing at or past it is ever served.
//! - Nothing here knows subscriptions: who needs old records says so by [`EventLog::protect`].

mod age;
mod bus;
mod check;
mod commit;
mod dedup;
mod durability;
mod fault;
mod lock;
mod memo;
mod model;
mod queue;
mod reader;
pub mod record;
mod retention;
mod segment;
mod tail;
pub mod wal;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Semaphore, oneshot, watch};

use self::age::AgeClock;
use self::bus::{Bus, BusState};
use self::fault::Failure;
use self::queue::{Wish, shutting_down};
use self::retention::Rules;
use crate::error::{Error, Kind};
use crate::event::Event;
use crate::tasks::Tasks;
use crate::time::{Clock, Timestamp};

pub use self::check::{Checked, check};
pub use self::durability::{Durability, InForce};
pub use self::lock::FolderLock;
pub use self::model::{Appended, Batch, BusName, BusStats, Damaged, Offset, ReadLimit, Record, Retention, Settings};

/// Reads from disk that run at once, over all buses; more wait. Each holds a thread and up to its limit in memory.
const READERS: usize = 8;

/// The event log of all buses, on the embedded engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    settings: Settings,
    clock: Clock,
    steady: Clock,
    age: Mutex<AgeClock>,
    tasks: Tasks,
    buses: RwLock<BTreeMap<BusName, Arc<Bus>>>,
    /// Held while a bus is created, so that two callers do not; gone when the log is closed.
    lock: Mutex<Option<Arc<FolderLock>>>,
    floors: Mutex<HashMap<BusName, Offset>>,
    readers: Semaphore,
}

impl EventLog {
    /// Opens or creates the log in `dir`. Reads from disk run on threads of `tasks`.
    ///
    /// # Errors
    /// `store_locked` when another hub has it open; `store_unavailable` when a file cannot be read or written.
    pub fn open(dir: &Path, settings: Settings, clock: Clock, tasks: Tasks) -> Result<Self, Error> {
        let create = fs::create_dir_all(dir);
        create.map_err(|error| Failure::from(error).during("create", dir).refuse("open"))?;
        // Whoever made the folders may have died before their names were durable. One that may not be opened was not made here.
        for above in dir
            .ancestors()
            .skip(1)
            .take(2)
            .filter(|above| !above.as_os_str().is_empty())
        {
            let _ = segment::sync_folder(above);
        }
        let lock = Arc::new(FolderLock::take(dir)?);
        let mut buses = BTreeMap::new();
        for name in bus_names(dir).map_err(|failure| failure.refuse("open"))? {
            let folder = (dir.join(name.as_str()), name.clone());
            let bus = Bus::open(folder, &settings, &clock, Arc::clone(&lock));
            buses.insert(name, Arc::new(bus.map_err(|failure| failure.refuse_open())?));
        }
        let newest = buses.values().filter_map(|bus| bus.newest).max();
        Ok(Self(Arc::new(Inner {
            dir: dir.to_owned(),
            settings,
            age: Mutex::new(AgeClock::new(clock.now(), newest)),
            steady: clock.steady(),
            clock,
            tasks,
            buses: RwLock::new(buses),
            lock: Mutex::new(Some(lock)),
            floors: Mutex::default(),
            readers: Semaphore::new(READERS),
        })))
    }

    /// Appends events in one atomic step; returns when they are on disk. Creates the bus.
    ///
    /// # Errors
    /// `hub_busy` when too much waits for the disk, `store_unavailable` when it cannot be written, `too_many_buses`,
    /// `event_too_large`, `shutting_down`. Nothing is stored then, except that an append of which the disk did not
    /// say whether it arrived may be found to be there after all; a repetition is recognised as a duplicate.
    pub async fn append(&self, bus: &BusName, events: Vec<Event>) -> Result<Vec<Appended>, Error> {
        let bus = self.find_or_create(bus)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let answer = bus.queue.append(events)?;
        answer.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// Refuses what [`EventLog::append`] would refuse now for want of room, before anybody has worked for it.
    ///
    /// # Errors
    /// `hub_busy`.
    pub fn refuse_when_busy(&self, bus: &BusName) -> Result<(), Error> {
        self.find(bus).map_or(Ok(()), |bus| bus.queue.refuse_when_full())
    }

    /// Reads records from `from` on. Nothing past the end is not an error: the batch is empty.
    ///
    /// # Errors
    /// `bus_not_found`, or `store_unavailable` when a file that should be there cannot be read now.
    pub async fn read(&self, bus: &BusName, from: Offset, limit: ReadLimit) -> Result<Batch, Error> {
        if let Some(recent) = self.read_recent(bus, from, limit)? {
            return Ok(recent);
        }
        let bus = self.find(bus).ok_or_else(|| bus_not_found(bus))?;
        let from = from.0.max(1);
        self.on_disk(bus, "be read", move |state| reader::read(state, from, limit))
            .await
    }

    /// The same, if memory has what is asked for.
    ///
    /// # Errors
    /// `bus_not_found`.
    pub fn read_recent(&self, bus: &BusName, from: Offset, limit: ReadLimit) -> Result<Option<Batch>, Error> {
        let bus = self.find(bus).ok_or_else(|| bus_not_found(bus))?;
        let from = from.0.max(1);
        // What retention has taken is gone for everybody, though memory may still have it.
        let records = match from {
            _ if from >= bus.state.end() => Some(Vec::new()),
            _ if from >= bus.state.first() => bus.state.tail().read(from, limit),
            _ => None,
        };
        Ok(records.map(|records| {
            let next = records.last().map_or(from, |last| last.offset.0 + 1);
            Batch {
                records,
                next: Offset(next),
                gap: None,
            }
        }))
    }

    /// The offset that the next record will get, as it changes. Creates the bus.
    ///
    /// # Errors
    /// As [`EventLog::append`] when the bus cannot be created.
    pub fn end(&self, bus: &BusName) -> Result<watch::Receiver<Offset>, Error> {
        Ok(self.find_or_create(bus)?.state.end.subscribe())
    }

    /// The first offset that is still there; 1 for a bus that is not known.
    pub fn first(&self, bus: &BusName) -> Offset {
        Offset(self.find(bus).map_or(1, |bus| bus.state.first()))
    }

    /// The first record received at or after `at`; the end if there is none yet.
    ///
    /// # Errors
    /// As [`EventLog::read`].
    pub async fn offset_at(&self, bus: &BusName, at: Timestamp) -> Result<Offset, Error> {
        let bus = self.find(bus).ok_or_else(|| bus_not_found(bus))?;
        self.on_disk(bus, "be searched", move |state| reader::offset_at(state, at))
            .await
            .map(Offset)
    }

    /// Retention keeps records from `floor` on (unless `drop_unacknowledged`). Without a floor nothing is kept for
    /// anybody: set it before the first [`EventLog::trim`].
    pub fn protect(&self, bus: &BusName, floor: Offset) {
        bus::lock(&self.0.floors).insert(bus.clone(), floor);
    }

    /// Somebody needs records from `floor` on: retention keeps them, whatever was protected before.
    pub fn keep_from(&self, bus: &BusName, floor: Offset) {
        let mut floors = bus::lock(&self.0.floors);
        let kept = floors.entry(bus.clone()).or_insert(floor);
        *kept = floor.min(*kept);
    }

    /// Sees that nothing before `least` is given out as an offset of this bus: others have seen it used. Whether the log
    /// had fallen behind that; the offsets between are a gap then. Creates the bus.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub async fn go_on_from(&self, bus: &BusName, least: Offset) -> Result<bool, Error> {
        let bus = self.find_or_create(bus)?;
        if bus.state.end() >= least.0 {
            return Ok(false);
        }
        let (answer, done) = oneshot::channel();
        bus.queue.ask(Wish::GoOn(least.0, answer))?;
        done.await.unwrap_or_else(|_| Err(shutting_down()))?;
        Ok(true)
    }

    /// Drops what retention says may go. Called now and then by the hub.
    ///
    /// # Errors
    /// `store_unavailable` when a file cannot be deleted; what may go is tried again with the next call.
    pub async fn trim(&self) -> Result<(), Error> {
        let now = bus::lock(&self.0.age).now(self.0.clock.now(), self.0.steady.now());
        for bus in self.all() {
            let floor = bus::lock(&self.0.floors).get(&bus.state.name).copied();
            let rules = Rules {
                retention: &self.0.settings.retention,
                floor,
                now,
            };
            retention::close_if_old(&bus, rules).await?;
            let retention = rules.retention.clone();
            let drop_old = move |state: &BusState| {
                retention::drop_old(
                    state,
                    Rules {
                        retention: &retention,
                        floor,
                        now,
                    },
                )
            };
            self.on_disk(bus, "be trimmed", drop_old).await?;
        }
        Ok(())
    }

    /// All buses.
    pub fn buses(&self) -> Vec<BusName> {
        self.all().iter().map(|bus| bus.state.name.clone()).collect()
    }

    /// What was found damaged since the start, and is still there.
    pub fn damaged(&self) -> Vec<Damaged> {
        self.all().iter().flat_map(|bus| bus.state.damaged()).collect()
    }

    /// Why appends fail now, if they do.
    pub fn fault(&self) -> Option<String> {
        self.all().iter().find_map(|bus| bus.state.fault())
    }

    /// What is done before an append is answered, as the writers' connections say it: of several buses, the least. None
    /// before there is a bus.
    pub fn durability(&self) -> Option<InForce> {
        let all = self.all().into_iter().map(|bus| bus.state.in_force());
        all.min_by_key(|found| (found.survives_a_kill(), found.synchronous))
    }

    /// Figures for status and metrics, one a bus.
    pub fn stats(&self) -> Vec<BusStats> {
        let now = self.0.clock.now();
        self.all().iter().map(|bus| bus.stats(now)).collect()
    }

    /// Ends the writers after what is queued is on disk, and lets go of the folder.
    pub async fn close(&self) {
        // Taken first: from here on no bus is created.
        let lock = bus::lock(&self.0.lock).take();
        let mut closing = Vec::new();
        for bus in self.all() {
            bus.state.disconnect();
            let (answer, closed) = oneshot::channel();
            if bus.queue.ask(Wish::Close(answer)).is_ok() {
                closing.push(closed);
            }
        }
        for closed in closing {
            let _ = closed.await;
        }
        drop(lock);
    }

    /// Runs work that reads files, where it may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        bus: Arc<Bus>,
        action: &'static str,
        work: impl FnOnce(&BusState) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.0.readers.acquire().await.map_err(Error::internal)?;
        let work = self.0.tasks.blocking(move || work(&bus.state));
        work.await
            .map_err(Error::internal)?
            .map_err(|failure| failure.refuse(action))
    }

    fn find(&self, name: &BusName) -> Option<Arc<Bus>> {
        self.0
            .buses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn all(&self) -> Vec<Arc<Bus>> {
        self.0
            .buses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Creating takes a few milliseconds of disk, once in the life of a bus: worth no thread of its own.
    fn find_or_create(&self, name: &BusName) -> Result<Arc<Bus>, Error> {
        if let Some(bus) = self.find(name) {
            return Ok(bus);
        }
        let creating = bus::lock(&self.0.lock);
        if let Some(bus) = self.find(name) {
            return Ok(bus);
        }
        let lock = creating.as_ref().map(Arc::clone).ok_or_else(shutting_down)?;
        let known = self.all().len();
        if known >= self.0.settings.max_buses {
            let message = format!("bus `{name}` would be one more than the {known} that this hub may have");
            return Err(Error::new(Kind::Conflict, "too_many_buses", message));
        }
        let folder = (self.0.dir.join(name.as_str()), name.clone());
        let bus = Bus::open(folder, &self.0.settings, &self.0.clock, lock);
        let bus = Arc::new(bus.map_err(|failure| failure.refuse("create a bus"))?);
        let mut buses = self.0.buses.write().unwrap_or_else(PoisonError::into_inner);
        buses.insert(name.clone(), Arc::clone(&bus));
        Ok(bus)
    }
}

/// The buses that have a folder.
fn bus_names(dir: &Path) -> Result<Vec<BusName>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(|name| BusName::parse(name).ok());
        if entry.file_type()?.is_dir() {
            names.extend(name);
        }
    }
    Ok(names)
}

fn bus_not_found(bus: &BusName) -> Error {
    Error::not_found(
        "bus_not_found",
        format!("there is no bus `{bus}`; it begins with its first event"),
    )
}
