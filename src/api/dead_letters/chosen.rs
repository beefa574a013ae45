//! Which dead letters a request means: the same words in a query and in a body.
//!
//! Invariant: a word that chooses nothing is refused: misspelt, it would mean more letters than its writer does.

use axum::body::Body;
use axum::http::{HeaderMap, Uri};
use serde_json::{Map, Value};

use super::{Query, body, invalid};
use crate::error::Error;
use crate::hub::Choice;
use crate::nearest::nearest;

/// The words.
pub(super) const CHOICE: [&str; 8] = [
    "subscription",
    "bus",
    "ids",
    "type",
    "reason",
    "since",
    "until",
    "filter",
];

/// Which are meant, and whether they are only counted: from the body, or from the query. Not both: one of them would
/// be overlooked.
pub(super) async fn chosen(uri: &Uri, headers: &HeaderMap, body: Body) -> Result<(Choice, bool), Error> {
    let known: Vec<&str> = CHOICE.into_iter().chain(["all", "after", "dry_run"]).collect();
    let query = Query::of(uri, &known)?;
    let bytes = body::read(headers, body, 1 << 20).await?;
    if bytes.is_empty() {
        let mut choice = from_query(&query)?;
        choice.after = query.number("after")?;
        choice.all = flag(&query, "all")?;
        return Ok((choice, flag(&query, "dry_run")?));
    }
    if uri.query().is_some_and(|query| !query.is_empty()) {
        return Err(Error::invalid(
            "ambiguous_choice",
            "the choice stands in the body and in the query; give it in one of them",
        ));
    }
    from_body(&body::parse(&bytes)?, &known)
}

fn flag(query: &Query, name: &str) -> Result<bool, Error> {
    match query.one(name)? {
        None | Some("false") => Ok(false),
        Some("true" | "") => Ok(true),
        Some(other) => Err(invalid(name, format_args!("must be true or false, not `{other}`"))),
    }
}

/// Which are meant by a query.
pub(super) fn from_query(query: &Query) -> Result<Choice, Error> {
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
    let text = |name| Ok::<_, Error>(query.one(name)?.map(str::to_owned));
    let filter = query.one("filter")?;
    Ok(Choice {
        subscription: text("subscription")?,
        bus: text("bus")?,
        ids: query.all("ids").next().is_some().then_some(ids),
        types: query.all("type").map(str::to_owned).collect(),
        reason: text("reason")?,
        since: text("since")?,
        until: text("until")?,
        filter: filter
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| invalid("filter", format_args!("must be JSON: {error}")))?,
        after: None,
        all: false,
    })
}

fn from_body(json: &Value, known: &[&str]) -> Result<(Choice, bool), Error> {
    let map = json
        .as_object()
        .ok_or_else(|| wrong("the body", "must be a JSON object"))?;
    if let Some(unknown) = map.keys().find(|name| !known.contains(&name.as_str())) {
        let hint = nearest(unknown, known.iter().copied())
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        return Err(Error::invalid(
            "unknown_field",
            format!("`{unknown}` does not choose dead letters{hint}"),
        ));
    }
    let choice = Choice {
        subscription: text(map, "subscription")?,
        bus: text(map, "bus")?,
        ids: numbers(map)?,
        types: types(map)?,
        reason: text(map, "reason")?,
        since: text(map, "since")?,
        until: text(map, "until")?,
        filter: field(map, "filter").cloned(),
        after: match field(map, "after") {
            None => None,
            Some(after) => Some(after.as_u64().ok_or_else(|| wrong("after", "must be a number"))?),
        },
        all: truth(map, "all")?,
    };
    Ok((choice, truth(map, "dry_run")?))
}

fn wrong(name: &str, rule: &str) -> Error {
    Error::invalid("invalid_choice", format!("{name}: {rule}"))
}

fn field<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).filter(|value| !value.is_null())
}

fn text(map: &Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    field(map, name)
        .map(|value| text(value).ok_or_else(|| wrong(name, "must be a string")))
        .transpose()
}

fn truth(map: &Map<String, Value>, name: &str) -> Result<bool, Error> {
    match field(map, name) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| wrong(name, "must be true or false")),
    }
}

fn numbers(map: &Map<String, Value>) -> Result<Option<Vec<u64>>, Error> {
    let all = |value: &Value| -> Option<Vec<u64>> { value.as_array()?.iter().map(Value::as_u64).collect() };
    field(map, "ids")
        .map(|value| all(value).ok_or_else(|| wrong("ids", "must be an array of numbers")))
        .transpose()
}

fn types(map: &Map<String, Value>) -> Result<Vec<String>, Error> {
    let Some(value) = field(map, "type") else {
        return Ok(Vec::new());
    };
    let texts = |items: &Vec<Value>| items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    let all: Option<Vec<String>> = match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(items) => texts(items),
        _ => None,
    };
    all.ok_or_else(|| wrong("type", "must be a string, or an array of strings"))
}
