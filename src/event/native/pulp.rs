//! Pulp 2's event reports.

use bytes::Bytes;
use serde_json::Value;

use super::{Fresh, draft, text};
use crate::event::fault::DecodeError;
use crate::event::model::Draft;

/// Whether an object has the shape of one.
pub fn is(value: &Value) -> bool {
    text(value, "event_type").is_some() && value.get("payload").is_some()
}

/// Reads one; `value` is what `bytes` say.
pub(super) fn read(bytes: Bytes, value: &Value, fresh: &Fresh<'_>) -> Result<Draft, DecodeError> {
    let ty = text(value, "event_type").unwrap_or_default();
    Ok(draft(bytes, ty.to_owned(), "/pulp", fresh))
}
