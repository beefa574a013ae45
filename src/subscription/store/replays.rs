//! Replays as they are kept: what was asked for, how far each has come, and the deliveries of each that wait.
//!
//! A replay has rows of its own beside its subscription's cursor and retries: the same record may wait for a retry in
//! both, and neither may take the other's for its own.
//! Invariant: a replay that has ended is never written to again; with a subscription its replays go too.

use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::Retry;
use super::rows::{attempts, integer, offset, written};
use crate::error::Error;
use crate::log::{BusName, Offset};
use crate::subscription::SubscriptionId;
use crate::time::Timestamp;

/// Replays that have ended and are still shown.
pub const ENDED_KEPT: usize = 100;

/// The id of a replay. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplayId(pub Arc<str>);

impl fmt::Display for ReplayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A range of the log that one subscription gets again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// Who gets it.
    pub subscription: SubscriptionId,
    /// The subscription's bus.
    #[serde(with = "bus_name")]
    pub bus: BusName,
    /// From this record on.
    pub from: Offset,
    /// To before this one.
    pub to: Offset,
    /// How fast at most, as a rate is written.
    pub rate: Option<String>,
    /// Which events, besides what the subscription says itself.
    pub filter: Option<serde_json::Value>,
    /// When it was asked for, Unix milliseconds.
    pub started: i64,
}

/// How far a replay has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayProgress {
    /// Whether it goes on.
    pub state: ReplayState,
    /// When it ended, Unix milliseconds.
    pub ended: Option<i64>,
    /// Everything before this is settled, or waits for a retry.
    pub position: Offset,
    /// Delivered.
    pub delivered: u64,
    /// Filtered out by plugins.
    pub filtered: u64,
    /// Failed attempts.
    pub failed: u64,
    /// Gone to the dead letters.
    pub dead: u64,
    /// Offsets that retention had removed.
    pub missed: u64,
}

/// Whether a replay goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// It goes on, unless its subscription is paused.
    Running,
    /// All of it is delivered, filtered or given up.
    Done,
    /// Somebody called it off.
    Cancelled,
}

/// A replay as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptReplay {
    /// What was asked for.
    pub replay: Replay,
    /// How far it had come.
    pub progress: ReplayProgress,
    /// Its deliveries that wait.
    pub retries: Vec<Retry>,
}

/// What has become of a replay, to be written with a checkpoint.
#[derive(Debug, Clone)]
pub struct ReplayStep {
    /// Which.
    pub id: ReplayId,
    /// How far it is now.
    pub progress: ReplayProgress,
    /// Retries to write.
    pub retries: Vec<Retry>,
    /// Retries that are over.
    pub settled: Vec<Offset>,
}

impl ReplayState {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl ReplayProgress {
    /// Nothing done yet.
    pub fn at(position: Offset) -> Self {
        Self {
            state: ReplayState::Running,
            ended: None,
            position,
            delivered: 0,
            filtered: 0,
            failed: 0,
            dead: 0,
            missed: 0,
        }
    }
}

/// Writes a replay: a new one, or one that is called off.
pub(super) fn put(connection: &Connection, replay: &Replay, progress: &ReplayProgress) -> rusqlite::Result<()> {
    let query = "INSERT INTO replay (id, subscription, asked, progress, ended)
                 SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM subscription WHERE id = ?2)
                 ON CONFLICT (id) DO UPDATE SET progress = ?4, ended = ?5 WHERE ended IS NULL";
    let (asked, progress_text) = (json(replay), json(progress));
    let id = &*replay.id.0;
    let values = params![id, replay.subscription.as_str(), asked, progress_text, progress.ended];
    connection.prepare_cached(query)?.execute(values)?;
    if progress.ended.is_some() {
        forget_retries(connection, id)?;
    }
    let query = "DELETE FROM replay WHERE ended IS NOT NULL AND id NOT IN
                 (SELECT id FROM replay WHERE ended IS NOT NULL ORDER BY ended DESC, id DESC LIMIT ?)";
    let kept = i64::try_from(ENDED_KEPT).unwrap_or(i64::MAX);
    connection.prepare_cached(query)?.execute([kept]).map(drop)
}

/// Writes how far a replay has come, unless it has ended or is gone.
pub(super) fn advance(connection: &Connection, step: &ReplayStep) -> rusqlite::Result<()> {
    let query = "UPDATE replay SET progress = ?2, ended = ?3 WHERE id = ?1 AND ended IS NULL";
    let (id, progress) = (&*step.id.0, json(&step.progress));
    let goes_on = connection
        .prepare_cached(query)?
        .execute(params![id, progress, step.progress.ended])?;
    if goes_on == 0 {
        return Ok(());
    }
    for settled in &step.settled {
        let query = "DELETE FROM replay_retry WHERE replay = ?1 AND offset = ?2";
        connection
            .prepare_cached(query)?
            .execute(params![id, integer(*settled)])?;
    }
    for retry in &step.retries {
        let query =
            "INSERT INTO replay_retry (replay, offset, due, tries, attempts, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (replay, offset) DO UPDATE SET due = ?3, tries = ?4, attempts = ?5, key = ?6";
        let tried = written(&retry.attempts);
        let values = params![
            id,
            integer(retry.offset),
            retry.due.0,
            retry.tries,
            tried,
            retry.key.as_deref()
        ];
        connection.prepare_cached(query)?.execute(values)?;
    }
    match step.progress.ended {
        Some(_) => forget_retries(connection, id),
        None => Ok(()),
    }
}

/// Removes the replays of a subscription.
pub(super) fn delete_of(connection: &Connection, subscription: &SubscriptionId) -> rusqlite::Result<()> {
    for query in [
        "DELETE FROM replay_retry WHERE replay IN (SELECT id FROM replay WHERE subscription = ?)",
        "DELETE FROM replay WHERE subscription = ?",
    ] {
        connection.prepare_cached(query)?.execute([subscription.as_str()])?;
    }
    Ok(())
}

/// All replays, oldest first.
pub(super) fn read_all(connection: &Connection) -> rusqlite::Result<Vec<KeptReplay>> {
    let mut statement = connection.prepare("SELECT id, asked, progress FROM replay ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut kept = Vec::new();
    for row in rows {
        let (id, asked, progress): (String, String, String) = row?;
        let read =
            serde_json::from_str(&asked).and_then(|replay: Replay| Ok((replay, serde_json::from_str(&progress)?)));
        match read {
            Ok((replay, progress)) => {
                let retries = read_retries(connection, &replay)?;
                kept.push(KeptReplay {
                    replay,
                    progress,
                    retries,
                });
            }
            Err(fault) => {
                error!(replay = id, %fault, "a stored replay cannot be read: it stays in state.db and does not go on")
            }
        }
    }
    Ok(kept)
}

fn read_retries(connection: &Connection, replay: &Replay) -> rusqlite::Result<Vec<Retry>> {
    let query = "SELECT offset, due, tries, attempts, key FROM replay_retry WHERE replay = ? ORDER BY offset";
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map([&*replay.id.0], |row| {
        Ok(Retry {
            subscription: replay.subscription.clone(),
            offset: offset(row, 0)?,
            due: Timestamp(row.get(1)?),
            tries: row.get(2)?,
            attempts: attempts(row, 3)?,
            key: row.get::<_, Option<String>>(4)?.map(Arc::from),
        })
    })?;
    rows.collect()
}

fn forget_retries(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let query = "DELETE FROM replay_retry WHERE replay = ?";
    connection.prepare_cached(query)?.execute([id]).map(drop)
}

fn json(value: &impl Serialize) -> String {
    // Plain structs of numbers and strings: this cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// A bus's name as text, checked when it is read.
mod bus_name {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::{BusName, Error};

    pub(super) fn serialize<S: Serializer>(bus: &BusName, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(bus.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BusName, D::Error> {
        let text = String::deserialize(from)?;
        BusName::parse(&text).map_err(|fault: Error| de::Error::custom(fault.message().to_owned()))
    }
}

#[cfg(test)]
mod tests;
