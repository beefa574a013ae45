//! `/v1/dead-letters`: what was given up; deliver it again, or drop it.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::error::Answer;
use super::query::{Query, invalid};
use super::scope::Scope;
use super::{Door, body};
use crate::access;
use crate::error::Error;
use crate::hub::Choice;
use crate::nearest::nearest;
use crate::subscription::DeadLetter;

const CHOICE: [&str; 4] = ["subscription", "ids", "filter", "dry_run"];

/// `GET`: oldest first, a page at a time.
pub(super) async fn list(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    let query = Query::of(&uri, &["subscription", "ids", "filter", "after", "limit"])?;
    let mut choice = from_query(&query)?;
    choice.after = query.number("after")?;
    choice.buses = scope.buses(access::Scope::Subscribe);
    let limit = query.limit(100, 1_000)?;
    let found = door.hub.dead_letters(&choice, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.id);
    let letters: Vec<Value> = found.iter().map(show).collect();
    Ok(body::ok(&json!({ "dead_letters": letters, "next": next })))
}

/// `POST …/redeliver`: 200 with how many are on their way again, and which are not.
pub(super) async fn redeliver(
    State(door): State<Door>,
    scope: Scope,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (mut choice, dry_run) = chosen(&uri, &headers, body).await?;
    choice.buses = scope.buses(access::Scope::Admin);
    let done = door.hub.redeliver(&choice, dry_run).await?;
    let mut answer = serde_json::to_value(done).unwrap_or_default();
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("dry_run".into(), dry_run.into());
    }
    Ok(body::ok(&answer))
}

/// `DELETE`: 200 with how many.
pub(super) async fn discard(
    State(door): State<Door>,
    scope: Scope,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (mut choice, dry_run) = chosen(&uri, &headers, body).await?;
    choice.buses = scope.buses(access::Scope::Admin);
    let dropped = door.hub.drop_dead_letters(&choice, dry_run).await?;
    Ok(body::ok(&json!({ "dropped": dropped, "dry_run": dry_run })))
}

/// Which are meant: from the body, or from the query. Not both: one of them would be overlooked.
async fn chosen(uri: &Uri, headers: &HeaderMap, body: Body) -> Result<(Choice, bool), Error> {
    let query = Query::of(uri, &CHOICE)?;
    let bytes = body::read(headers, body, 1 << 20).await?;
    if bytes.is_empty() {
        let dry_run = match query.one("dry_run")? {
            None | Some("false") => false,
            Some("true" | "") => true,
            Some(other) => {
                return Err(invalid("dry_run", format_args!("must be true or false, not `{other}`")));
            }
        };
        return Ok((from_query(&query)?, dry_run));
    }
    if uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Error::invalid(
            "ambiguous_choice",
            "the choice stands in the body and in the query; give it in one of them",
        ));
    }
    from_body(&body::parse(&bytes)?)
}

fn from_query(query: &Query) -> Result<Choice, Error> {
    let ids: Vec<u64> = query
        .all("ids")
        .flat_map(|list| list.split(','))
        .map(|id| {
            id.trim().parse().map_err(|_| {
                invalid(
                    "ids",
                    format_args!("must be numbers with commas between them, not `{id}`"),
                )
            })
        })
        .collect::<Result<_, _>>()?;
    let filter = query.one("filter")?;
    Ok(Choice {
        subscription: query.one("subscription")?.map(str::to_owned),
        ids: (!ids.is_empty()).then_some(ids),
        filter: filter
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| invalid("filter", format_args!("must be JSON: {error}")))?,
        ..Choice::default()
    })
}

fn from_body(json: &Value) -> Result<(Choice, bool), Error> {
    let wrong = |name: &str, rule: &str| Error::invalid("invalid_choice", format!("{name}: {rule}"));
    let map = json
        .as_object()
        .ok_or_else(|| wrong("the body", "must be a JSON object"))?;
    if let Some(unknown) = map.keys().find(|name| !CHOICE.contains(&name.as_str())) {
        let hint = nearest(unknown, CHOICE)
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        return Err(Error::invalid(
            "unknown_field",
            format!("`{unknown}` does not choose dead letters{hint}"),
        ));
    }
    let field = |name: &str| map.get(name).filter(|value| !value.is_null());
    let text = |value: &Value| {
        value
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| wrong("subscription", "must be a string"))
    };
    let numbers = |value: &Value| {
        let all: Option<Vec<u64>> = value
            .as_array()
            .and_then(|items| items.iter().map(Value::as_u64).collect());
        all.ok_or_else(|| wrong("ids", "must be an array of numbers"))
    };
    let choice = Choice {
        subscription: field("subscription").map(text).transpose()?,
        ids: field("ids").map(numbers).transpose()?,
        filter: field("filter").cloned(),
        ..Choice::default()
    };
    let dry_run = field("dry_run")
        .map(|value| value.as_bool().ok_or_else(|| wrong("dry_run", "must be true or false")))
        .transpose()?;
    Ok((choice, dry_run.unwrap_or(false)))
}

fn show(letter: &DeadLetter) -> Value {
    // Stored as the JSON format writes it.
    let event: Value = serde_json::from_slice::<&RawValue>(&letter.event)
        .ok()
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    json!({
        "id": letter.id,
        "subscription": letter.subscription.as_str(),
        "bus": letter.bus.as_str(),
        "offset": letter.offset,
        "at": letter.at.to_string(),
        "reason": letter.reason,
        "tries": letter.tries,
        "attempts": letter.attempts,
        "event": event,
    })
}
