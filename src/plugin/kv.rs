//! The small durable space of keys and values that a plugin may be granted: one SQLite file a plugin name.
//!
//! Why a file each: a flood of one plugin holds up no other's lock and no other's disk space, and an operator can look
//! into a plugin's file or delete it. Why `synchronous=NORMAL`: filters call this on the hot path, and a sync a write
//! would let one plugin slow the event log's. What was answered outlives the hub's process, killed or not; a power cut
//! may take back the last moment, in whole calls and in order, never the file. (Rejected: memory in front of it, which
//! would answer for what is not written.)
//!
//! Invariant: what an entry costs (its key, its value, [`ENTRY`]) never sums to more than the grant, not even for a
//! moment; a call that would pass it changes nothing.
//! Invariant: every change is one SQLite transaction: a crash in its middle leaves the old value.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use tracing::error;

use super::guest_log::GuestLog;
use crate::units::show_size;

/// What an entry costs beside its key and value, so that a million empty ones are not free.
const ENTRY: u64 = 32;
/// The longest key, in bytes.
const KEY: usize = 512;
/// How long to wait for somebody who looks into the file with the `sqlite3` program: a call is waiting.
const BUSY: Duration = Duration::from_millis(100);

/// What a function of the space answers: a value, or why not in words for the guest.
pub(super) type Answer<T> = Result<T, String>;

/// The spaces of all plugins, opened when they are first used.
pub(super) struct Spaces {
    /// None: they live in memory, and go with this.
    folder: Option<PathBuf>,
    open: Mutex<HashMap<String, Arc<Space>>>,
}

impl Spaces {
    pub(super) fn new(folder: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            folder,
            open: Mutex::default(),
        })
    }

    /// The space of this plugin, the same for all its instances and generations.
    pub(super) fn of(&self, plugin: &str) -> Arc<Space> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let space = open.entry(plugin.to_owned()).or_insert_with(|| {
            let file = self.folder.as_ref().map(|folder| folder.join(format!("{plugin}.db")));
            Arc::new(Space {
                plugin: plugin.to_owned(),
                file,
                table: Mutex::default(),
                failures: AtomicU64::new(0),
            })
        });
        space.clone()
    }
}

/// A plugin's space in the hands of one of its instances.
pub(super) struct Granted {
    pub(super) plugin: String,
    pub(super) space: Arc<Space>,
    /// What it may cost; none if it was not granted.
    pub(super) most: Option<u64>,
    pub(super) log: Arc<GuestLog>,
}

impl Granted {
    /// The space and what it may cost, if there is a grant.
    pub(super) fn open(&self) -> Answer<(&Space, u64)> {
        let observed = self.log.recorder().filter(|recorder| recorder.suppresses());
        let space = observed.map_or(&*self.space, |recorder| recorder.scratch(&self.space));
        self.most.map(|most| (space, most)).ok_or_else(|| {
            let line = format!("[plugins.{}.grants]\nkv = \"1MiB\"", self.plugin);
            self.log.refused("kv", &line);
            "a key-value space is not granted (grants.kv)".to_owned()
        })
    }
}

/// The space of one plugin.
pub(super) struct Space {
    plugin: String,
    file: Option<PathBuf>,
    table: Mutex<Option<Table>>,
    /// Calls that the file itself failed.
    failures: AtomicU64,
}

/// An open file, and what its entries cost.
struct Table {
    connection: Connection,
    used: u64,
}

impl Space {
    pub(super) fn get(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        check_key(key)?;
        self.with(|table| table.value(key))
    }

    /// Puts a value (none: takes it away), if all entries together then cost at most `most`.
    pub(super) fn put(&self, most: u64, key: &str, value: Option<&[u8]>) -> Answer<()> {
        check_key(key)?;
        self.with(|table| table.put(most, key, value))?
    }

    /// Puts `new` if `old` is there now; whether it did.
    pub(super) fn swap(&self, most: u64, key: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> Answer<bool> {
        check_key(key)?;
        // The lock is held from the look to the change, and no other process writes this file.
        self.with(|table| match table.value(key)?.as_deref() == old {
            true => Ok(table.put(most, key, new)?.map(|()| true)),
            false => Ok(Ok(false)),
        })?
    }

    /// The keys that begin with `prefix`, in order.
    pub(super) fn keys(&self, prefix: &str) -> Answer<Vec<String>> {
        self.with(|table| {
            let mut find = table
                .connection
                .prepare_cached("SELECT key FROM entry WHERE key >= ?1 ORDER BY key")?;
            let found = find.query_map([prefix], |row| row.get(0))?;
            let within = |key: &rusqlite::Result<String>| key.as_ref().map_or(true, |key| key.starts_with(prefix));
            found.take_while(within).collect()
        })
    }

    /// A copy in memory, to be thrown away; an empty one if this cannot be read.
    pub(super) fn copy(&self) -> Self {
        let copy = Self {
            plugin: self.plugin.clone(),
            file: None,
            table: Mutex::default(),
            failures: AtomicU64::new(0),
        };
        let entries = self.with(|table| {
            let mut all = table.connection.prepare("SELECT key, value FROM entry")?;
            let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, Vec<u8>)>>>()
        });
        for (key, value) in entries.unwrap_or_default() {
            // What it does not take it has said in the log.
            let _ = copy.put(u64::MAX, &key, Some(&value));
        }
        copy
    }

    /// What its entries cost now; nothing if it was never used, or cannot be looked at.
    pub(super) fn used(&self) -> u64 {
        // Looking makes no file.
        let never_used = self.lock().is_none() && !self.file.as_ref().is_some_and(|file| file.exists());
        match never_used {
            true => 0,
            false => self.with(|table| Ok(table.used)).unwrap_or(0),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Table) -> rusqlite::Result<T>) -> Answer<T> {
        let failed = |cause: rusqlite::Error| {
            let failures = 1 + self.failures.fetch_add(1, Ordering::Relaxed);
            // Who must act is the operator; the guest can only try again, and may do so a million times a minute.
            if failures.is_power_of_two() {
                error!(plugin = self.plugin, failures, cause = %cause, "a plugin's key-value space cannot be used");
            }
            format!("the hub cannot use the key-value space: {cause}")
        };
        let mut slot = self.lock();
        let table = match slot.take() {
            Some(table) => slot.insert(table),
            None => slot.insert(Table::open(self.file.as_deref()).map_err(failed)?),
        };
        work(table).map_err(failed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Table>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn open(file: Option<&Path>) -> rusqlite::Result<Self> {
        let connection = match file {
            Some(file) => {
                // A folder that cannot be made is told by the open that follows.
                let _ = file.parent().map(std::fs::create_dir_all);
                Connection::open(file)?
            }
            None => Connection::open_in_memory()?,
        };
        connection.busy_timeout(BUSY)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -1_024)?;
        connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        )?;
        let sum = "SELECT count(*), coalesce(sum(octet_length(key) + length(value)), 0) FROM entry";
        let (entries, bytes) =
            connection.query_row(sum, [], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))?;
        let used = entries * ENTRY + bytes;
        Ok(Self { connection, used })
    }

    fn value(&self, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut find = self
            .connection
            .prepare_cached("SELECT value FROM entry WHERE key = ?1")?;
        find.query_row([key], |row| row.get(0)).optional()
    }

    fn put(&mut self, most: u64, key: &str, value: Option<&[u8]>) -> rusqlite::Result<Answer<()>> {
        let mut length = self
            .connection
            .prepare_cached("SELECT length(value) FROM entry WHERE key = ?1")?;
        let there = length.query_row([key], |row| row.get(0).map(unsigned)).optional()?;
        drop(length);
        let cost = |length: u64| length + key.len() as u64 + ENTRY;
        let before = there.map_or(0, cost);
        let after = value.map_or(0, |value| cost(value.len() as u64));
        let used = self.used.saturating_sub(before) + after;
        // Who was granted more once may still make what is there smaller.
        if used > most && after > before {
            return Ok(Err(format!(
                "the key-value space is full: this would take {used} bytes of the {} granted (grants.kv)",
                show_size(most)
            )));
        }
        match value {
            Some(value) => self
                .connection
                .prepare_cached("INSERT INTO entry VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2")?
                .execute(params![key, value])?,
            None => self
                .connection
                .prepare_cached("DELETE FROM entry WHERE key = ?1")?
                .execute([key])?,
        };
        self.used = used;
        Ok(Ok(()))
    }
}

/// SQLite's numbers have a sign; sizes and counts do not use it.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn check_key(key: &str) -> Answer<()> {
    match key.len() {
        1..=KEY => Ok(()),
        length => Err(format!("a key has 1 to {KEY} bytes, and this one has {length}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    const MOST: u64 = 1_000;

    fn cost(model: &BTreeMap<String, Vec<u8>>) -> u64 {
        model
            .iter()
            .map(|(key, value)| key.len() as u64 + value.len() as u64 + ENTRY)
            .sum()
    }

    proptest! {
        /// Whatever is put and taken, the space is a map that never costs more than it may, also after a new start.
        #[test]
        fn it_is_a_bounded_map(steps in prop::collection::vec(("[a-c]{1,2}", prop::option::of(0_usize..400)), 1..40)) {
            let home = tempfile::tempdir().unwrap();
            let folder = home.path().join("kv");
            let mut model = BTreeMap::new();
            let spaces = Spaces::new(Some(folder.clone()));
            for (key, length) in steps {
                let value = length.map(|length| vec![b'x'; length]);
                let mut next = model.clone();
                match &value {
                    Some(value) => drop(next.insert(key.clone(), value.clone())),
                    None => drop(next.remove(&key)),
                }
                let fits = cost(&next) <= MOST;
                prop_assert_eq!(spaces.of("p").put(MOST, &key, value.as_deref()).is_ok(), fits);
                if fits {
                    model = next;
                }
                prop_assert_eq!(spaces.of("p").get(&key), Ok(model.get(&key).cloned()));
                prop_assert_eq!(spaces.of("p").used(), cost(&model));
            }
            drop(spaces);
            let again = Spaces::new(Some(folder)).of("p");
            prop_assert_eq!(again.used(), cost(&model));
            prop_assert_eq!(again.keys(""), Ok(model.keys().cloned().collect()));
        }
    }

    #[test]
    fn a_copy_is_apart() {
        let spaces = Spaces::new(None);
        let space = spaces.of("one");
        space.put(MOST, "k", Some(b"1")).unwrap();
        let copy = space.copy();
        copy.put(MOST, "k", Some(b"2")).unwrap();
        copy.put(MOST, "more", Some(b"3")).unwrap();
        assert_eq!(
            (space.get("k"), space.keys("")),
            (Ok(Some(b"1".to_vec())), Ok(vec!["k".to_owned()]))
        );
        assert_eq!(copy.get("k"), Ok(Some(b"2".to_vec())));
    }

    #[test]
    fn plugins_do_not_see_each_other() {
        let spaces = Spaces::new(None);
        spaces.of("one").put(MOST, "k", Some(b"1")).unwrap();
        assert_eq!(spaces.of("two").get("k"), Ok(None));
        assert_eq!(spaces.of("one").get("k"), Ok(Some(b"1".to_vec())));
    }

    #[test]
    fn keys_come_in_order_by_prefix() {
        let space = Spaces::new(None).of("p");
        for key in ["b", "a/2", "a/10", "a", "é/1", "é"] {
            space.put(MOST, key, Some(b"")).unwrap();
        }
        let check = |prefix: &str, expected: &[&str]| assert_eq!(space.keys(prefix).unwrap(), expected, "{prefix}");
        check("a/", &["a/10", "a/2"]);
        check("é", &["é", "é/1"]);
        check("c", &[]);
        check("", &["a", "a/10", "a/2", "b", "é", "é/1"]);
    }

    #[test]
    fn a_swap_needs_what_was_seen() {
        let space = Spaces::new(None).of("p");
        let check = |old: Option<&[u8]>, new: Option<&[u8]>, expected: bool| {
            assert_eq!(space.swap(MOST, "k", old, new), Ok(expected), "{old:?} to {new:?}");
        };
        check(Some(b"1"), Some(b"2"), false);
        check(None, Some(b"1"), true);
        check(None, Some(b"3"), false);
        check(Some(b"1"), Some(b"2"), true);
        check(Some(b"2"), None, true);
        assert_eq!(space.get("k"), Ok(None));
    }

    #[test]
    fn concurrent_swaps_lose_nothing() {
        let space = Spaces::new(None).of("p");
        let count = || loop {
            let old = space.get("n").unwrap();
            let number: u32 = old
                .as_ref()
                .map_or(0, |old| String::from_utf8_lossy(old).parse().unwrap());
            let new = (number + 1).to_string().into_bytes();
            if space.swap(MOST, "n", old.as_deref(), Some(&new)).unwrap() {
                return;
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| count()));
            }
        });
        assert_eq!(space.get("n"), Ok(Some(b"200".to_vec())));
    }

    #[test]
    fn refusals_say_why_and_change_nothing() {
        let space = Spaces::new(None).of("p");
        let full = space.put(MOST, "k", Some(&[0; 1_000])).unwrap_err();
        assert!(full.contains("full") && full.contains("grants.kv"), "{full}");
        assert!(space.put(MOST, "", Some(b"")).unwrap_err().contains("1 to 512"));
        assert!(space.get(&"k".repeat(513)).unwrap_err().contains("has 513"));
        assert_eq!((space.keys(""), space.used()), (Ok(vec![]), 0));
        space.put(MOST, "k", Some(&[0; 900])).unwrap();
        assert!(space.put(100, "other", Some(b"x")).is_err(), "less is granted now");
        space.put(100, "k", Some(&[0; 800])).unwrap();
    }

    #[test]
    fn a_file_that_is_none_is_told() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(
            home.path().join("p.db"),
            "this is no database, but it is long enough to be looked at",
        )
        .unwrap();
        let space = Spaces::new(Some(home.path().to_owned())).of("p");
        let told = space.get("k").unwrap_err();
        assert!(told.contains("not a database"), "{told}");
    }
}
