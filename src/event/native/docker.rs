//! Docker Cloud's events, and Tutum's.

use bytes::Bytes;
use serde_json::Value;

use super::{Fresh, draft, text};
use crate::event::fault::DecodeError;
use crate::event::model::Draft;

/// Whether an object has the shape of one.
pub fn is(value: &Value) -> bool {
    ["type", "action", "resource_uri"]
        .into_iter()
        .all(|name| text(value, name).is_some())
}

/// Reads one; `value` is what `bytes` say.
pub(super) fn read(bytes: Bytes, value: &Value, fresh: &Fresh<'_>) -> Result<Draft, DecodeError> {
    let part = |name| text(value, name).unwrap_or_default();
    let ty = format!("{}.{}", part("type"), part("action"));
    Ok(draft(bytes, ty, "/docker-cloud", fresh))
}
