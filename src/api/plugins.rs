//! `/v1/plugins`: what is loaded, what was refused and why, and what it costs.

use axum::extract::State;
use axum::http::Uri;
use serde_json::json;

use super::error::Answer;
use super::query::Query;
use super::scope::Scope;
use super::{Door, body};

/// `GET`: all of them.
pub(super) async fn list(State(door): State<Door>, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    Ok(body::ok(&json!({ "plugins": door.hub.plugins() })))
}

/// `GET …/{name}`: one.
pub(super) async fn show(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    Query::of(&uri, &[])?;
    Ok(body::ok(&json!(door.hub.plugin(&scope.item)?)))
}
