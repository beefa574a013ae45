//! Events read back: by id, by ids, by the time in which they came. The log answers; nothing is kept besides it.
//!
//! Invariant: one call looks at a bounded part of the log; where that was not all, its answer has a `NextToken`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::fault::Fault;
use super::{pattern, rules};
use crate::access::Scope;
use crate::event::native::eventbridge as envelope;
use crate::filter::{Filter, Selector, TypePattern};
use crate::log::{BusName, Offset, Record};
use crate::subscription::Start;
use crate::time::Timestamp;

/// Records of one read of the log.
const PAGE: usize = 1_000;
/// Reads of one call.
const MOST_READS: usize = 50;

/// What is looked for on a bus.
struct Search {
    bus: BusName,
    selector: Selector,
    start: Start,
    end: Option<Timestamp>,
    most: usize,
}

/// What was found, and where to go on if there is more.
struct Found {
    records: Vec<Arc<Record>>,
    next: Option<Offset>,
}

pub(super) async fn by_id(call: &Call) -> Result<Value, Fault> {
    let name = call.params.bus()?;
    let found = of_id(call, name, call.params.required("EventId")?).await?;
    Ok(listed(name, &found, None))
}

pub(super) async fn by_ids(call: &Call) -> Result<Value, Fault> {
    let name = call.params.bus()?;
    let ids = call.params.list("EventIds")?.unwrap_or_default();
    let mut map = Map::new();
    for id in ids.iter().filter_map(Value::as_str).take(100) {
        if let Some(record) = of_id(call, name, id).await?.last() {
            map.insert(
                id.to_owned(),
                String::from_utf8_lossy(&envelope::encode(&record.event)).into(),
            );
        }
    }
    Ok(json!({ "EventMap": map, "EventBusName": name }))
}

/// The event itself.
pub(super) async fn one(call: &Call) -> Result<Value, Fault> {
    let (name, id) = (call.params.bus()?, call.params.required("EventId")?);
    let found = of_id(call, name, id).await?;
    let Some(record) = found.last() else {
        return Err(Fault::conflict(
            "EventNotExist",
            format!("The event [{id}] not existed on the event bus [{name}]!"),
        ));
    };
    Ok(serde_json::from_slice(&envelope::encode(&record.event)).unwrap_or_default())
}

pub(super) async fn by_period(call: &Call) -> Result<Value, Fault> {
    let name = call.params.bus()?;
    let bus = call.bus(name, Scope::Subscribe)?;
    let (from, to) = (call.params.number("StartTime")?, call.params.number("EndTime")?);
    let start = match call.params.text("NextToken")? {
        Some(token) => Start::Offset(Offset(token.parse().map_err(|_| {
            Fault::conflict(
                "NextTokenInvalid",
                "The next token is invalid. Send the one that the last answer gave.",
            )
        })?)),
        None => from.map_or(Start::Earliest, |from| Start::Time(Timestamp(from))),
    };
    let mut selector = selector(call)?;
    if let Some(ty) = call.params.text("EventType")? {
        let pattern = TypePattern::parse(ty).map_err(|error| Fault::parameter("EventType", error.message()))?;
        selector.types.push(pattern);
    }
    if let Some(rule) = call.params.text("MatchedRule")? {
        let rule = rules::one(&call.door, name, rule).ok_or_else(|| Fault::rule_missing(name, rule))?;
        selector
            .filters
            .extend(pattern::compile(&rule.filter_pattern)?.selector.filters);
    }
    let most = match call.params.number("Limit")? {
        None | Some(0) => 10,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| *limit <= 100)
            .ok_or_else(|| {
                Fault::conflict(
                    "LimitSizeInvalid",
                    "The limit size is invalid. It must be from 1 to 100.",
                )
            })?,
    };
    let search = Search {
        bus,
        selector,
        start,
        end: to.map(Timestamp),
        most,
    };
    let found = search.run(call).await?;
    Ok(listed(name, &found.records, found.next))
}

/// The events of this id; several if their sources differ.
pub(super) async fn of_id(call: &Call, name: &str, id: &str) -> Result<Vec<Arc<Record>>, Fault> {
    let bus = call.bus(name, Scope::Subscribe)?;
    let mut selector = selector(call)?;
    selector
        .filters
        .push(Filter::Exact(vec![("id".to_owned(), id.to_owned())]));
    let search = Search {
        bus,
        selector,
        start: Start::Earliest,
        end: None,
        most: 100,
    };
    Ok(search.run(call).await?.records)
}

fn selector(call: &Call) -> Result<Selector, Fault> {
    let source = call
        .params
        .text("EventSource")?
        .or(call.params.text("EventSourceName")?);
    Ok(Selector {
        source: source.map(str::to_owned),
        ..Selector::default()
    })
}

impl Search {
    async fn run(self, call: &Call) -> Result<Found, Fault> {
        let (mut records, mut start) = (Vec::new(), self.start);
        for _ in 0..MOST_READS {
            let page = call.door.hub.read(&self.bus, start, &self.selector, PAGE).await?;
            let is_end = page.records.is_empty() && Start::Offset(page.next) == start;
            for record in page.records {
                if self.end.is_some_and(|end| record.received > end) {
                    return Ok(Found { records, next: None });
                }
                if records.len() == self.most {
                    let next = Some(record.offset);
                    return Ok(Found { records, next });
                }
                records.push(record);
            }
            start = Start::Offset(page.next);
            if is_end {
                return Ok(Found { records, next: None });
            }
        }
        match start {
            Start::Offset(next) => Ok(Found {
                records,
                next: Some(next),
            }),
            _ => Ok(Found { records, next: None }),
        }
    }
}

/// The data plane has them as `TracedEvents`, RPC as `Events`.
fn listed(bus: &str, records: &[Arc<Record>], next: Option<Offset>) -> Value {
    let events: Vec<Value> = records
        .iter()
        .map(|record| {
            json!({
                "EventId": record.event.id(),
                "EventSource": record.event.source(),
                "EventType": record.event.ty(),
                "EventBusName": bus,
                "EventReceivedTime": record.received.0,
            })
        })
        .collect();
    let next = next.map(|offset| offset.0.to_string()).unwrap_or_default();
    json!({ "TracedEvents": events, "NextToken": next, "Total": events.len() })
}
