//! The JSON format: one event, or a batch of them.
//!
//! The envelope is read once, straight into a draft; `data` is only skipped over, and then cut out of the input
//! without a copy. Why not `serde_json::Value`: it would sort, respell and copy what the producer wrote, at four
//! times the cost.
//! Invariant: the bytes of JSON data come out of [`encode`] as they went into [`decode`].
//! Invariant: an event is refused for the first fault in the order of the specification, by name.

mod envelope;
mod write;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::fault::DecodeError;
use super::model::Event;
use super::nesting;

pub(super) use write::encode_with;
pub use write::{encode, encode_batch, encode_into};

/// Reads one event from `application/cloudevents+json`.
///
/// # Errors
/// Text that is not JSON (with line and column), or an attribute that breaks a rule (by name).
pub fn decode(bytes: Bytes) -> Result<Event, DecodeError> {
    let text = text(&bytes)?;
    if text.trim_ascii_start().starts_with('[') {
        return Err(DecodeError::Shape {
            index: None,
            expected: "a JSON object, one event (several go as `application/cloudevents-batch+json`)",
            found: "an array",
        });
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let element = envelope::read_one(&mut parser)?;
    // What is no JSON to its end is told as that, even if an attribute is at fault too.
    parser.end().map_err(|fault| malformed(&fault))?;
    element.finish(&bytes)
}

/// Reads the events of `application/cloudevents-batch+json`, all or none.
///
/// # Errors
/// As [`decode`]; names which event of the batch is at fault, counted from 0.
pub fn decode_batch(bytes: Bytes) -> Result<Vec<Event>, DecodeError> {
    let text = text(&bytes)?;
    if text.trim_ascii_start().starts_with('{') {
        return Err(DecodeError::Shape {
            index: None,
            expected: "a JSON array of events (one alone goes as `application/cloudevents+json`)",
            found: "an object",
        });
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let events = envelope::read_all(&mut parser, &bytes)?;
    parser.end().map_err(|fault| malformed(&fault))?;
    Ok(events)
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    if bytes.trim_ascii().is_empty() {
        return Err(DecodeError::Malformed(
            "the body is empty, and should be JSON".to_owned(),
        ));
    }
    nesting::utf8(bytes).map_err(|place| DecodeError::Malformed(format!("the body is not JSON: {place}")))
}

fn malformed(fault: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed(format!("the body is not JSON: {fault}"))
}
