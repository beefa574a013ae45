//! `/v1/replay` and `/v1/replays`: a range of the log, to one subscription again.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::error::Answer;
use super::query::Query;
use super::{Door, body};
use crate::error::Error;
use crate::hub::ReplayWish;
use crate::nearest::nearest;

const FIELDS: [&str; 6] = ["subscription", "from", "to", "rate", "filter", "dry_run"];

/// `POST /v1/replay`: 202 with the replay as it begins; with `dry_run` 200 with what it would cover.
pub(super) async fn start(State(door): State<Door>, uri: Uri, headers: HeaderMap, body: Body) -> Answer {
    Query::of(&uri, &[])?;
    let (wish, dry_run) = wished(&body::json(&headers, body).await?)?;
    if dry_run {
        let outlook = door.hub.replay_outlook(&wish).await?;
        let mut answer = serde_json::to_value(outlook).unwrap_or_default();
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("dry_run".into(), true.into());
        }
        return Ok(body::ok(&answer));
    }
    let begun = door.hub.replay(&wish).await?;
    let location = format!("/v1/replays/{}", begun.id);
    let answer = body::answer(StatusCode::ACCEPTED, &serde_json::to_value(begun).unwrap_or_default());
    Ok(([(header::LOCATION, location)], answer).into_response())
}

/// `GET /v1/replays`: oldest first; of those that have ended the last hundred.
pub(super) async fn list(State(door): State<Door>, uri: Uri) -> Answer {
    let query = Query::of(&uri, &["subscription"])?;
    let only = query.one("subscription")?;
    let mut all = door.hub.replays();
    all.retain(|replay| only.is_none_or(|only| replay.subscription.as_str() == only));
    Ok(body::ok(&json!({ "replays": all })))
}

/// `GET /v1/replays/{id}`.
pub(super) async fn show(State(door): State<Door>, Path(id): Path<String>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let found = door.hub.replay_status(&id)?;
    Ok(body::ok(&serde_json::to_value(found).unwrap_or_default()))
}

/// `DELETE /v1/replays/{id}`: 200 with how far it had come.
pub(super) async fn cancel(State(door): State<Door>, Path(id): Path<String>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    let ended = door.hub.cancel_replay(&id).await?;
    Ok(body::ok(&serde_json::to_value(ended).unwrap_or_default()))
}

fn wished(json: &Value) -> Result<(ReplayWish, bool), Error> {
    let map = json
        .as_object()
        .ok_or_else(|| wrong("the body", "must be a JSON object"))?;
    if let Some(unknown) = map.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let hint = nearest(unknown, FIELDS).map(|near| format!("; did you mean `{near}`?"));
        let text = format!("`{unknown}` is no field of a replay{}", hint.unwrap_or_default());
        return Err(Error::invalid("unknown_field", text));
    }
    let wish = ReplayWish {
        subscription: text(map, "subscription")?.ok_or_else(|| wrong("subscription", "must be there"))?,
        from: place(map, "from")?.ok_or_else(|| wrong("from", "must be there: an offset, a time, or `earliest`"))?,
        to: place(map, "to")?,
        rate: text(map, "rate")?,
        filter: field(map, "filter").cloned(),
    };
    let dry_run = match field(map, "dry_run") {
        None => false,
        Some(value) => value
            .as_bool()
            .ok_or_else(|| wrong("dry_run", "must be true or false"))?,
    };
    Ok((wish, dry_run))
}

fn wrong(name: &str, rule: &str) -> Error {
    Error::invalid("invalid_replay", format!("{name}: {rule}"))
}

fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).filter(|value| !value.is_null())
}

fn text(map: &Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
    field(map, name)
        .map(|value| {
            value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| wrong(name, "must be a string"))
        })
        .transpose()
}

/// An offset is a number, or the same in quotes.
fn place(map: &Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
    match field(map, name) {
        Some(Value::Number(offset)) => Ok(Some(offset.to_string())),
        _ => text(map, name),
    }
}
