//! Patterns: the text of a rule as a filter of the hub's, and `testEventPattern`.
//!
//! What a pattern means, and the words with which one is refused, are the filter's own (`mode: alibaba`).

use bytes::Bytes;
use serde_json::{Value, json};

use super::call::Call;
use super::fault::Fault;
use crate::error::Error;
use crate::event::native::eventbridge as envelope;
use crate::filter::{Filter, Match, Pattern, Selector};

/// A pattern that has been checked.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    /// The filter's JSON.
    pub(super) filter: Value,
    pub(super) selector: Selector,
}

/// Checks a pattern.
///
/// # Errors
/// `EventRuleFilterPatternSchemaError`, in the filter's words.
pub(super) fn compile(text: &str) -> Result<Compiled, Fault> {
    let refuse = |error: Error| Fault::conflict("EventRuleFilterPatternSchemaError", error.message());
    let pattern = Pattern::alibaba(text).map_err(refuse)?;
    Ok(Compiled {
        // As text: numbers in it compare by the form in which they are written.
        filter: json!({ "pattern": text, "mode": "alibaba" }),
        selector: Selector {
            filters: vec![Filter::Pattern(pattern)],
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
