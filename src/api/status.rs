//! What an operator's machines ask: `/healthz` with reasons, `/readyz`, `/metrics`; and `/` for whoever comes by.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::error::Answer;
use super::{Door, body};
use crate::hub::Standing;

/// `GET /healthz`: 200 unless events cannot be accepted; the reasons either way.
pub(super) async fn health(State(door): State<Door>) -> Response {
    let health = door.hub.health();
    let status = match health.status {
        Standing::Ok | Standing::Degraded => StatusCode::OK,
        Standing::Failing => StatusCode::SERVICE_UNAVAILABLE,
    };
    body::answer(status, &json!(health))
}

/// `GET /readyz`: whether to send events here now.
pub(super) async fn ready(State(door): State<Door>) -> Response {
    match door.hub.ready() {
        Ok(()) => body::ok(&json!({ "ready": true })),
        Err(reasons) => body::answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "ready": false, "reasons": reasons }),
        ),
    }
}

/// `GET /metrics`: OpenMetrics, which Prometheus reads.
pub(super) async fn metrics(State(door): State<Door>) -> Answer {
    let text = door.hub.metrics_text().await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// `GET /`: where things are.
pub(super) async fn pointer() -> &'static str {
    POINTER
}

const POINTER: &str = "Busway, an event hub. The API is under /v1:

  POST /v1/events                        publish (CloudEvents: structured, binary, batched)
  GET  /v1/events?from=&type=&limit=     read the log        GET /v1/events/{offset}
  GET  /v1/stream                        live events: server-sent events, or a WebSocket
  POST /v1/subscriptions                 subscribe           GET PUT PATCH DELETE /v1/subscriptions/{id}
  POST /v1/subscriptions/{id}/test       also /pause, /resume, /rotate-secret;  GET /v1/subscriptions/{id}/deliveries
  POST /subscriptions                    the same, in the words of the CloudEvents Subscriptions API
  GET  /v1/explain?offset=&subscription= why an event did, or did not, reach a subscriber
  GET  /v1/dead-letters                  what was given up   POST /v1/dead-letters/redeliver, GET /v1/dead-letters/{id}
  POST /v1/replay                        deliver a range of the log again   GET /v1/replays, GET DELETE /v1/replays/{id}
  GET  /v1/plugins                       what is loaded      GET /v1/plugins/{name}, POST …/trial, …/promote
  POST /v1/tokens                        credentials         GET /v1/tokens, DELETE /v1/tokens/{id}

/v1/buses/{bus}/events and its like mean another bus than `default`.
Clients of older systems find what they know: /v2/events (Marathon), /api/audit/v1/events (Docker Cloud), /openapi
(EventBridge), /pulp/api/v2/events/ (Pulp).
/healthz says how the hub is and why, /readyz whether it takes events, /metrics has its figures.
";
