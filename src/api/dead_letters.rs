//! `/v1/dead-letters`: what was given up; deliver it again, or drop it.

mod chosen;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::chosen::{CHOICE, chosen, from_query};
use super::error::Answer;
use super::query::{Query, invalid};
use super::{Door, body};
use crate::hub::{Hub, Kept};
use crate::subscription::DeadLetter;

/// `GET`: oldest first, a page at a time.
pub(super) async fn list(State(door): State<Door>, uri: Uri) -> Answer {
    let known: Vec<&str> = CHOICE.into_iter().chain(["after", "limit"]).collect();
    let query = Query::of(&uri, &known)?;
    let mut choice = from_query(&query)?;
    choice.after = query.number("after")?;
    let limit = query.limit(100, 1_000)?;
    let found = door.hub.dead_letters(&choice, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.id);
    let letters: Vec<Value> = found.iter().map(|letter| shown(&door.hub, letter)).collect();
    Ok(body::ok(&json!({ "dead_letters": letters, "next": next })))
}

/// `GET …/{id}`: the event, all that is known of the attempts, and why it was given up.
pub(super) async fn show(State(door): State<Door>, Path(id): Path<String>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let id = id.parse().map_err(|_| {
        crate::error::Error::not_found(
            "dead_letter_not_found",
            format!("`{id}` is no dead letter's id: those are numbers"),
        )
    })?;
    let letter = door.hub.dead_letter(id).await?;
    Ok(body::ok(&shown(&door.hub, &letter)))
}

/// `POST …/redeliver`: 200 with how many are on their way again, and which are not.
pub(super) async fn redeliver(State(door): State<Door>, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    let (choice, dry_run) = chosen(&uri, &headers, body).await?;
    let done = door.hub.redeliver(&choice, dry_run).await?;
    Ok(body::ok(&match dry_run {
        true => json!({ "dry_run": true, "matched": done.matched, "first": brief(&done.first) }),
        false => json!({
            "dry_run": false,
            "matched": done.matched,
            "redelivered": done.redelivered,
            "failed": done.failed,
            "next": done.next,
        }),
    }))
}

/// `DELETE`: 200 with how many.
pub(super) async fn discard(State(door): State<Door>, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    let (choice, dry_run) = chosen(&uri, &headers, body).await?;
    let dropped = door.hub.drop_dead_letters(&choice, dry_run).await?;
    Ok(body::ok(&match dry_run {
        true => json!({ "dry_run": true, "matched": dropped.letters, "first": brief(&dropped.first) }),
        false => json!({ "dry_run": false, "dropped": dropped.letters }),
    }))
}

fn shown(hub: &Hub, letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id,
        "subscription": letter.subscription.as_str(),
        "bus": letter.bus.as_str(),
        "offset": letter.offset,
        "at": letter.at.to_string(),
        "reason": letter.reason,
        "tries": letter.tries,
        "attempts": letter.attempts,
        "kept": match hub.kept(letter) {
            Kept::Log => "log",
            Kept::Letter => "letter",
            Kept::Nothing => "nothing",
        },
        "event": event(letter),
    })
}

/// Enough of each to see whether these are the ones that were meant.
fn brief(letters: &[DeadLetter]) -> Vec<Value> {
    let brief = letters.iter().map(|letter| {
        json!({
            "id": letter.id,
            "subscription": letter.subscription.as_str(),
            "offset": letter.offset,
            "at": letter.at.to_string(),
            "type": event(letter).get("type"),
            "reason": letter.reason,
        })
    });
    brief.collect()
}

/// Stored as the JSON format writes it.
fn event(letter: &DeadLetter) -> Value {
    serde_json::from_slice::<&RawValue>(&letter.event)
        .ok()
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}
