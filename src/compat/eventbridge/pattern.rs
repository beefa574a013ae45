//! Patterns: the text of a rule as a filter of the hub's, and `testEventPattern`.
//!
//! What a pattern means, and the words with which one is refused, are the filter's own (`mode: alibaba`).

use bytes::Bytes;
use serde_json::{Value, json};

use super::call::Call;
use super::fault::Fault;
use crate::event::native::eventbridge as envelope;
use crate::filter::{Filter, Match, Selector};

/// A pattern that has been checked.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    /// The filter's JSON; none if the pattern is empty, and so matches everything.
    pub(super) filter: Option<Value>,
    pub(super) selector: Selector,
}

/// Checks a pattern.
///
/// # Errors
/// `EventRuleFilterPatternSchemaError`, in the filter's words.
pub(super) fn compile(text: &str) -> Result<Compiled, Fault> {
    let refuse = |why: &str| Fault::conflict("EventRuleFilterPatternSchemaError", why);
    let json: Value = serde_json::from_str(text)
        .map_err(|_| refuse("Event pattern is not valid, reason: the pattern isn't a valid json format string"))?;
    if json.as_object().is_some_and(serde_json::Map::is_empty) {
        return Ok(Compiled {
            filter: None,
            selector: Selector::default(),
        });
    }
    let filter = json!({ "pattern": json, "mode": "alibaba" });
    let parsed = Filter::parse(&filter).map_err(|error| refuse(error.message()))?;
    Ok(Compiled {
        filter: Some(filter),
        selector: Selector {
            filters: vec![parsed],
            ..Selector::default()
        },
    })
}

/// `testEventPattern`: whether an event matches.
pub(super) fn test(call: &Call) -> Result<Value, Fault> {
    let compiled = compile(call.params.required("EventPattern")?)?;
    let text = call.params.required("Event")?;
    let input = Bytes::copy_from_slice(text.as_bytes());
    let event = std::str::from_utf8(&input)
        .ok()
        .and_then(|text| serde_json::from_str::<&serde_json::value::RawValue>(text).ok())
        .ok_or_else(|| {
            Fault::conflict(
                "JsonAttributeInvalid",
                "The event is not valid, reason: it isn't a valid json format string",
            )
        })?;
    let draft = envelope::read(event.get(), &input).map_err(|invalid| Fault::attribute(&invalid))?;
    let event = draft.check().map_err(|invalid| Fault::attribute(&invalid))?;
    Ok(json!({ "Result": compiled.selector.matches(&event) == Match::Yes }))
}
