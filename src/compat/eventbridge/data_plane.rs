//! The data plane: `POST /openapi/ACTION` and `/openapi/v2/ACTION`, JSON in and out; and webhooks, which answer alike.
//!
//! A refusal has lower-case keys here (`code`, `message`, `requestId`), which is what the SDKs read.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::call::{Call, Memory};
use super::fault::Fault;
use super::params::Params;
use super::request::{self, Whole};
use super::settings::Settings;
use super::webhook::{Hit, take, token};
use super::{put_events, request_id, signature, sources};
use crate::access::{Principal, caller};
use crate::compat::Door;

/// Bodies that are not events are small.
const SETTINGS: usize = 1 << 20;

/// An action.
pub(super) async fn answer(
    State(door): State<Door>,
    Extension(memory): Extension<Arc<Memory>>,
    Path(action): Path<String>,
    request: Request,
) -> Response {
    let settings = Arc::clone(&door.settings);
    told(&settings.eventbridge, act(door, memory, &action, request).await)
}

async fn act(door: Door, memory: Arc<Memory>, action: &str, request: Request) -> Result<Value, Fault> {
    let puts = action == "putEvents";
    let most = match puts {
        true => door.settings.eventbridge.limits.batch_bytes,
        false => SETTINGS,
    };
    let whole = Whole::read(request, most).await?;
    let who = signature::of_data_plane(&door, &memory.nonces, &whole)?;
    who.spend()?;
    let params = match puts {
        true => Params::default(),
        false => Params::of_json(&whole.body)?,
    };
    let call = Call {
        door,
        memory,
        who,
        params,
        from: whole.from.clone(),
    };
    match puts {
        true => put_events::data_plane(&call, &whole.headers, whole.body).await,
        false => call.run(action).await,
    }
}

/// The certificate by which receivers check the signatures of pushes. It is public.
pub(super) async fn certificate(State(door): State<Door>) -> Response {
    match door.hub.signer().certificate().await {
        Ok(text) => ([(header::CONTENT_TYPE, "application/x-pem-file")], text).into_response(),
        Err(error) => told(&door.settings.eventbridge, Err(error.into())),
    }
}

/// A request to a webhook.
pub(super) async fn webhook(
    State(door): State<Door>,
    Extension(memory): Extension<Arc<Memory>>,
    request: Request,
) -> Response {
    let settings = Arc::clone(&door.settings);
    told(&settings.eventbridge, hit(door, memory, request).await)
}

async fn hit(door: Door, memory: Arc<Memory>, request: Request) -> Result<Value, Fault> {
    let whole = Whole::read(request, door.settings.eventbridge.limits.event_bytes).await?;
    let unknown = || {
        Fault::conflict(
            "PutEventsRequestSecurityCheckFailed",
            "The security check of the request failed: no event source has this token.",
        )
    };
    caller::tried();
    let source = token(&whole.uri)
        .and_then(|token| sources::of_token(&door, &token))
        .ok_or_else(unknown)?;
    let http = source.webhook.clone().ok_or_else(unknown)?;
    let call = Call {
        // The token is the credential: it opens this one bus, to put.
        who: Principal::for_publishing(source.hub_bus(&door).as_str()),
        door,
        memory,
        params: Params::default(),
        from: whole.from.clone(),
    };
    let hit = Hit {
        method: whole.method,
        uri: whole.uri,
        headers: whole.headers,
        body: whole.body,
    };
    take(&call, &source, &http, hit).await
}

/// The envelope of both ends.
fn told(settings: &Settings, result: Result<Value, Fault>) -> Response {
    let id = request_id();
    match result {
        Ok(Value::Object(mut fields)) => {
            fields.insert("RequestId".to_owned(), id.into());
            fields.insert("ResourceOwnerAccountId".to_owned(), settings.account.as_str().into());
            request::answer(200, &Value::Object(fields))
        }
        Ok(other) => request::answer(200, &other),
        Err(fault) => {
            let body = json!({ "code": fault.code, "message": fault.message, "requestId": id });
            request::answer(fault.status, &body)
        }
    }
}
