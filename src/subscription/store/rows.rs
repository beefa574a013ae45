//! Rows to types and back: the statements of the store, without threads or transactions.
//!
//! Invariant: a row that cannot be read is told in the log, by its id, and left where it is; it never stops the hub.

use std::sync::Arc;
use std::thread;

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, Row, params, params_from_iter};
use tracing::error;

use super::{Attempt, Checkpoint, DeadLetter, DeadQuery, Kept, Retry, replays, seal, unavailable};
use crate::error::Error;
use crate::log::{BusName, Offset};
use crate::subscription::show::LastConfig;
use crate::subscription::{Subscription, SubscriptionId};
use crate::time::Timestamp;

/// Dead letters that one write drops: whoever waits behind it does not wait long.
const DROPPED_AT_ONCE: i64 = 2_000;

/// Everything that was kept.
pub(super) fn read_kept(connection: &Connection) -> Result<Kept, Error> {
    let read = || -> rusqlite::Result<Kept> {
        Ok(Kept {
            subscriptions: read_subscriptions(connection)?,
            floors: read_floors(connection)?,
            cursors: read_cursors(connection)?,
            retries: read_retries(connection)?,
            documents: read_documents(connection)?,
            replays: replays::read_all(connection)?,
        })
    };
    read().map_err(|error| unavailable("be read", error))
}

fn read_subscriptions(connection: &Connection) -> rusqlite::Result<Vec<Subscription>> {
    let mut statement = connection.prepare("SELECT json, id, crc FROM subscription ORDER BY id")?;
    let texts = statement
        .query_map([], |row| {
            let text: String = row.get(0)?;
            seal::check(
                "subscription",
                row.get(2)?,
                &[row.get_ref(1)?.as_bytes()?, text.as_bytes()],
            )?;
            Ok(text)
        })?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    // Parsing is what takes the time when there are a million: all cores share it.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let part = texts.len().div_ceil(cores).max(1);
    Ok(thread::scope(|scope| {
        let parts: Vec<_> = texts
            .chunks(part)
            .map(|texts| scope.spawn(move || read_each(texts)))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_default())
            .collect()
    }))
}

fn read_each(texts: &[String]) -> Vec<Subscription> {
    let mut last = LastConfig::default();
    texts.iter().filter_map(|text| subscription(text, &mut last)).collect()
}

fn subscription(text: &str, last: &mut LastConfig) -> Option<Subscription> {
    let read = serde_json::from_str(text)
        .map_err(Error::internal)
        .and_then(|json| Subscription::from_stored_after(json, last));
    match read {
        Ok(subscription) => Some(subscription),
        Err(error) => {
            let id = serde_json::from_str::<serde_json::Value>(text)
                .ok()
                .and_then(|json| Some(json.get("id")?.as_str()?.to_owned()));
            error!(subscription = id, reason = ?error, "a stored subscription cannot be read: it stays in state.db and is not served");
            None
        }
    }
}

fn read_floors(connection: &Connection) -> rusqlite::Result<Vec<(BusName, Offset)>> {
    let rows = read_pairs(connection, "floor", "bus")?.into_iter();
    Ok(rows
        .filter_map(|(bus, offset)| BusName::parse(&bus).ok().map(|bus| (bus, offset)))
        .collect())
}

fn read_cursors(connection: &Connection) -> rusqlite::Result<Vec<(SubscriptionId, Offset)>> {
    let rows = read_pairs(connection, "cursor", "subscription")?.into_iter();
    Ok(rows
        .map(|(id, offset)| (SubscriptionId(Arc::from(id)), offset))
        .collect())
}

/// The rows of a table that is a name and an offset.
fn read_pairs(connection: &Connection, table: &str, name: &str) -> rusqlite::Result<Vec<(String, Offset)>> {
    let mut statement = connection.prepare(&format!("SELECT {name}, offset, crc FROM {table}"))?;
    let pair = |row: &Row<'_>| {
        let (name, at): (String, i64) = (row.get(0)?, row.get(1)?);
        seal::check(table, row.get(2)?, &[name.as_bytes(), &at.to_le_bytes()])?;
        Ok((name, offset(row, 1)?))
    };
    statement.query_map([], pair)?.collect()
}

fn read_retries(connection: &Connection) -> rusqlite::Result<Vec<Retry>> {
    let mut statement = connection.prepare("SELECT subscription, offset, due, tries, attempts, key, crc FROM retry")?;
    let rows = statement.query_map([], |row| {
        let (at, due, tries): (i64, i64, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let (tried, key) = (row.get_ref(4)?.as_bytes()?, row.get_ref(5)?.as_bytes_or_null()?);
        let numbers = [at, due, tries].map(i64::to_le_bytes).concat();
        let columns = [row.get_ref(0)?.as_bytes()?, &numbers, tried, key.unwrap_or_default()];
        seal::check("retry", row.get(6)?, &columns)?;
        Ok(Retry {
            subscription: id(row, 0)?,
            offset: offset(row, 1)?,
            due: Timestamp(row.get(2)?),
            tries: row.get(3)?,
            attempts: attempts(row, 4)?,
            key: row.get::<_, Option<String>>(5)?.map(Arc::from),
        })
    })?;
    rows.collect()
}

/// Dead letters by id.
pub(super) fn read_dead(connection: &Connection, query: &DeadQuery, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    let (clause, mut values) = clause(query);
    values.push(Cell::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let text = format!(
        "SELECT id, subscription, bus, offset, at, reason, attempts, tries, event, crc FROM dead WHERE {clause} ORDER BY id LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&text)?;
    let rows = statement.query_map(params_from_iter(values), dead_letter)?;
    rows.filter_map(Result::transpose).collect()
}

fn dead_letter(row: &Row<'_>) -> rusqlite::Result<Option<DeadLetter>> {
    let Ok(bus) = BusName::parse(&row.get::<_, String>(2)?) else {
        return Ok(None);
    };
    let numbers = [row.get(3)?, row.get(4)?, row.get(7)?].map(i64::to_le_bytes).concat();
    let [subscription, bus_text, reason, tried] = [1, 2, 5, 6].map(|at| row.get_ref(at));
    let columns = [
        subscription?.as_bytes()?,
        bus_text?.as_bytes()?,
        &numbers,
        reason?.as_bytes()?,
        tried?.as_bytes()?,
        row.get_ref(8)?.as_bytes()?,
    ];
    if let Err(damage) = seal::check("dead", row.get(9)?, &columns) {
        // One letter fewer, and all others are served.
        error!(id = row.get::<_, i64>(0)?, %damage, "a dead letter is damaged on disk and is not served");
        return Ok(None);
    }
    Ok(Some(DeadLetter {
        id: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
        subscription: id(row, 1)?,
        bus,
        offset: offset(row, 3)?,
        at: Timestamp(row.get(4)?),
        reason: row.get(5)?,
        attempts: attempts(row, 6)?,
        tries: row.get(7)?,
        event: row.get(8)?,
    }))
}

/// The id of the newest dead letter.
pub(super) fn newest_dead(connection: &Connection) -> rusqlite::Result<u64> {
    let newest: i64 = connection.query_row("SELECT COALESCE(MAX(id), 0) FROM dead", [], |row| row.get(0))?;
    Ok(u64::try_from(newest).unwrap_or_default())
}

/// How many dead letters each subscription has.
pub(super) fn count_dead(connection: &Connection) -> rusqlite::Result<Vec<(SubscriptionId, u64)>> {
    let mut statement = connection.prepare_cached("SELECT subscription, count(*) FROM dead GROUP BY subscription")?;
    let rows = statement.query_map([], |row| {
        Ok((id(row, 0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default()))
    })?;
    rows.collect()
}

/// Drops the first dead letters, at most [`DROPPED_AT_ONCE`]; how many.
pub(super) fn drop_dead(connection: &Connection, query: &DeadQuery) -> rusqlite::Result<u64> {
    let (clause, mut values) = clause(query);
    values.push(Cell::Integer(DROPPED_AT_ONCE));
    let some = format!("SELECT id FROM dead WHERE {clause} ORDER BY id LIMIT ?");
    let dropped = connection
        .prepare_cached(&format!("DELETE FROM dead WHERE id IN ({some})"))?
        .execute(params_from_iter(values))?;
    Ok(u64::try_from(dropped).unwrap_or(u64::MAX))
}

fn clause(query: &DeadQuery) -> (String, Vec<Cell>) {
    let (mut parts, mut values) = (vec!["TRUE"], Vec::new());
    if let Some(subscription) = &query.subscription {
        parts.push("subscription = ?");
        values.push(Cell::Text(subscription.as_str().to_owned()));
    }
    if let Some(Offset(offset)) = query.offset {
        parts.push("offset = ?");
        values.push(Cell::Integer(i64::try_from(offset).unwrap_or(i64::MAX)));
    }
    if let Some(after) = query.after {
        parts.push("id > ?");
        values.push(Cell::Integer(i64::try_from(after).unwrap_or(i64::MAX)));
    }
    if let Some(upto) = query.upto {
        parts.push("id <= ?");
        values.push(Cell::Integer(i64::try_from(upto).unwrap_or(i64::MAX)));
    }
    if let Some(bus) = &query.bus {
        parts.push("bus = ?");
        values.push(Cell::Text(bus.as_str().to_owned()));
    }
    if let Some(since) = query.since {
        parts.push("at >= ?");
        values.push(Cell::Integer(since.0));
    }
    if let Some(until) = query.until {
        parts.push("at < ?");
        values.push(Cell::Integer(until.0));
    }
    if let Some(reason) = &query.reason {
        parts.push("instr(lower(reason), lower(?)) > 0");
        values.push(Cell::Text(reason.clone()));
    }
    if let Some(ids) = &query.ids {
        // One parameter however many there are.
        parts.push("id IN (SELECT value FROM json_each(?))");
        values.push(Cell::Text(serde_json::Value::from(ids.clone()).to_string()));
    }
    (parts.join(" AND "), values)
}

/// Writes a subscription, and its cursor if one is given.
pub(super) fn put(
    connection: &Connection,
    id: &SubscriptionId,
    json: &str,
    cursor: Option<Offset>,
) -> rusqlite::Result<()> {
    let query = "INSERT INTO subscription (id, json, crc) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET json = ?2, crc = ?3";
    let crc = seal::seal(&[id.as_str().as_bytes(), json.as_bytes()]);
    connection
        .prepare_cached(query)?
        .execute(params![id.as_str(), json, crc])?;
    match cursor {
        Some(cursor) => put_cursor(connection, id, cursor),
        None => Ok(()),
    }
}

/// Writes a document, or removes it.
pub(super) fn put_document(connection: &Connection, kind: &str, key: &str, json: Option<&str>) -> rusqlite::Result<()> {
    let Some(json) = json else {
        let query = "DELETE FROM document WHERE kind = ?1 AND key = ?2";
        return connection.prepare_cached(query)?.execute([kind, key]).map(drop);
    };
    let query = "INSERT INTO document (kind, key, json, crc) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (kind, key) DO UPDATE SET json = ?3, crc = ?4";
    let crc = seal::seal(&[key.as_bytes(), kind.as_bytes(), json.as_bytes()]);
    connection
        .prepare_cached(query)?
        .execute(params![kind, key, json, crc])
        .map(drop)
}

/// Whether there is a document of this kind.
pub(super) fn has_documents(connection: &Connection, kind: &str) -> rusqlite::Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM document WHERE kind = ?)";
    connection.query_row(query, [kind], |row| row.get(0))
}

fn read_documents(connection: &Connection) -> rusqlite::Result<Vec<(String, String, serde_json::Value)>> {
    let mut statement = connection.prepare("SELECT kind, key, json, crc FROM document")?;
    let rows = statement.query_map([], |row| {
        let (kind, key, json): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let columns = [key.as_bytes(), kind.as_bytes(), json.as_bytes()];
        seal::check("document", row.get(3)?, &columns)?;
        Ok((kind, key, json))
    })?;
    let mut documents = Vec::new();
    for row in rows {
        let (kind, key, json): (String, String, String) = row?;
        match serde_json::from_str(&json) {
            Ok(value) => documents.push((kind, key, value)),
            Err(fault) => error!(kind, key, %fault, "a document in state.db is not JSON and is left out"),
        }
    }
    Ok(documents)
}

/// Removes a subscription with all but its dead letters.
pub(super) fn delete(connection: &Connection, id: &SubscriptionId) -> rusqlite::Result<()> {
    for query in [
        "DELETE FROM subscription WHERE id = ?",
        "DELETE FROM cursor WHERE subscription = ?",
        "DELETE FROM retry WHERE subscription = ?",
    ] {
        connection.prepare_cached(query)?.execute([id.as_str()])?;
    }
    replays::delete_of(connection, id)
}

/// Writes a checkpoint.
pub(super) fn write_checkpoint(connection: &Connection, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
    for (bus, offset) in &checkpoint.floors {
        let query = "INSERT INTO floor (bus, offset, crc) VALUES (?1, ?2, ?3)
                     ON CONFLICT (bus) DO UPDATE SET offset = ?2, crc = ?3";
        let crc = seal::seal(&[bus.as_str().as_bytes(), &integer(*offset).to_le_bytes()]);
        connection
            .prepare_cached(query)?
            .execute(params![bus.as_str(), integer(*offset), crc])?;
    }
    for (subscription, cursor) in &checkpoint.cursors {
        match cursor {
            Some(cursor) => put_cursor(connection, subscription, *cursor)?,
            None => {
                connection
                    .prepare_cached("DELETE FROM cursor WHERE subscription = ?")?
                    .execute([subscription.as_str()])?;
            }
        }
    }
    for (subscription, offset) in &checkpoint.settled {
        let query = "DELETE FROM retry WHERE subscription = ? AND offset = ?";
        connection
            .prepare_cached(query)?
            .execute(params![subscription.as_str(), integer(*offset)])?;
    }
    checkpoint
        .retries
        .iter()
        .try_for_each(|retry| put_retry(connection, retry))?;
    for letter in &checkpoint.revived {
        let query =
            "DELETE FROM dead WHERE id = ? AND EXISTS (SELECT 1 FROM subscription WHERE id = dead.subscription)";
        connection
            .prepare_cached(query)?
            .execute([i64::try_from(*letter).unwrap_or(i64::MAX)])?;
    }
    checkpoint
        .replays
        .iter()
        .try_for_each(|step| replays::advance(connection, step))?;
    checkpoint
        .dead
        .iter()
        .try_for_each(|letter| put_dead(connection, letter))
}

// A subscription may be gone by the time that a checkpoint is written: nothing of it may come back, hence the SELECT.

fn put_cursor(connection: &Connection, id: &SubscriptionId, cursor: Offset) -> rusqlite::Result<()> {
    let query = "INSERT INTO cursor (subscription, offset, crc)
                 SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM subscription WHERE id = ?1)
                 ON CONFLICT (subscription) DO UPDATE SET offset = ?2, crc = ?3";
    let crc = seal::seal(&[id.as_str().as_bytes(), &integer(cursor).to_le_bytes()]);
    connection
        .prepare_cached(query)?
        .execute(params![id.as_str(), integer(cursor), crc])
        .map(drop)
}

fn put_retry(connection: &Connection, retry: &Retry) -> rusqlite::Result<()> {
    let query = "INSERT INTO retry (subscription, offset, due, tries, attempts, key, crc)
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM subscription WHERE id = ?1)
                 ON CONFLICT (subscription, offset) DO UPDATE SET due = ?3, tries = ?4, attempts = ?5, key = ?6, crc = ?7";
    let attempts = written(&retry.attempts);
    let numbers = [integer(retry.offset), retry.due.0, i64::from(retry.tries)]
        .map(i64::to_le_bytes)
        .concat();
    let key = retry.key.as_deref().unwrap_or_default();
    let crc = seal::seal(&[
        retry.subscription.as_str().as_bytes(),
        &numbers,
        attempts.as_bytes(),
        key.as_bytes(),
    ]);
    connection
        .prepare_cached(query)?
        .execute(params![
            retry.subscription.as_str(),
            integer(retry.offset),
            retry.due.0,
            retry.tries,
            attempts,
            retry.key.as_deref(),
            crc
        ])
        .map(drop)
}

fn put_dead(connection: &Connection, letter: &DeadLetter) -> rusqlite::Result<()> {
    let query = "INSERT INTO dead (subscription, bus, offset, at, reason, attempts, tries, event, crc)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (subscription, bus, offset)
                 DO UPDATE SET at = ?4, reason = ?5, attempts = ?6, tries = ?7, event = ?8, crc = ?9";
    let (subscription, bus) = (letter.subscription.as_str(), letter.bus.as_str());
    let attempts = written(&letter.attempts);
    let numbers = [integer(letter.offset), letter.at.0, i64::from(letter.tries)]
        .map(i64::to_le_bytes)
        .concat();
    let texts = [subscription, bus, &letter.reason, &attempts].map(str::as_bytes);
    let [subscription_text, bus_text, reason, tried] = texts;
    let crc = seal::seal(&[subscription_text, bus_text, &numbers, reason, tried, &letter.event]);
    let values = params![
        subscription,
        bus,
        integer(letter.offset),
        letter.at.0,
        letter.reason,
        attempts,
        letter.tries,
        letter.event,
        crc
    ];
    connection.prepare_cached(query)?.execute(values).map(drop)
}

pub(super) fn written(attempts: &[Attempt]) -> String {
    // Plain structs of numbers and strings: this cannot fail.
    serde_json::to_string(attempts).unwrap_or_else(|_| "[]".into())
}

pub(super) fn attempts(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Attempt>> {
    // History for people: an unreadable one is no reason to lose the delivery.
    Ok(serde_json::from_str(&row.get::<_, String>(column)?).unwrap_or_default())
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<SubscriptionId> {
    Ok(SubscriptionId(Arc::from(row.get::<_, String>(column)?)))
}

pub(super) fn offset(row: &Row<'_>, column: usize) -> rusqlite::Result<Offset> {
    Ok(Offset(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default()))
}

/// SQLite's integers have a sign; an offset never comes near the limit.
pub(super) fn integer(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}
