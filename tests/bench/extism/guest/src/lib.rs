//! The rule of `filter-threshold` for Extism: a structured CloudEvent in as JSON, whether it passes out.

use extism_pdk::{FnResult, Json, plugin_fn};
use serde::Deserialize;

/// What the rule reads of an event; the rest is parsed and dropped.
#[derive(Deserialize)]
pub struct Event {
    data: serde_json::Value,
}

/// Whether `data.n` is 10 or more.
#[plugin_fn]
pub fn evaluate(Json(event): Json<Event>) -> FnResult<Json<bool>> {
    Ok(Json(event.data["n"].as_f64().is_some_and(|n| n >= 10.0)))
}
