//! What is done with an event before it is acknowledged, and what SQLite itself says is done.
//!
//! Why read back: a pragma that does not take (a file system without shared memory, a library built otherwise) fails
//! without a word. What the hub promises its users comes from the connection that writes, not from what was asked of it.

use rusqlite::Connection;

use super::fault::Failure;

/// What an operator wants done before an event is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Synced to the disk: survives a power cut.
    #[default]
    Disk,
    /// Written to the operating system, which syncs it later: survives the process, not the machine.
    Os,
}

/// What is in force, as the connection that writes says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// `journal_mode`: `wal`.
    pub journal: String,
    /// `synchronous`: 0 `OFF`, 1 `NORMAL`, 2 `FULL`, 3 `EXTRA`.
    pub synchronous: i64,
}

impl InForce {
    /// Whether every commit is synced before it is answered.
    pub fn is_synced(&self) -> bool {
        self.synchronous >= 2 && self.survives_a_kill()
    }

    /// Whether a commit is there after the process was killed.
    pub fn survives_a_kill(&self) -> bool {
        matches!(self.journal.as_str(), "wal" | "delete" | "truncate" | "persist")
    }

    /// As SQLite's documentation calls it.
    pub fn synchronous_name(&self) -> &'static str {
        match self.synchronous {
            0 => "OFF",
            1 => "NORMAL",
            2 => "FULL",
            _ => "EXTRA",
        }
    }
}

/// Has a writer's connection keep it so, and asks it what it does.
pub(super) fn put_in_force(connection: &Connection, wanted: Durability) -> Result<InForce, Failure> {
    let level = match wanted {
        Durability::Disk => "FULL",
        Durability::Os => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", level)?;
    Ok(InForce {
        journal: connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
        synchronous: connection.pragma_query_value(None, "synchronous", |row| row.get(0))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_connection_says_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("a.sqlite")).unwrap();
        let check = |wanted, journal: &str, synchronous, synced| {
            let found = put_in_force(&connection, wanted).unwrap();
            assert_eq!(
                (found.journal.as_str(), found.synchronous_name()),
                (journal, synchronous)
            );
            assert_eq!(found.is_synced(), synced);
        };
        check(Durability::Disk, "delete", "FULL", true);
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        check(Durability::Disk, "wal", "FULL", true);
        check(Durability::Os, "wal", "NORMAL", false);
        connection.pragma_update(None, "journal_mode", "MEMORY").unwrap();
        let found = put_in_force(&connection, Durability::Disk).unwrap();
        assert!(!found.is_synced() && !found.survives_a_kill(), "{found:?}");
    }
}
