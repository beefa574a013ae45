//! RPC, version 2020-04-01: `POST /` or `GET /`, the action in a header or a parameter, parameters in the query and in
//! a form.
//!
//! A refusal comes in the service's two forms: what the caller can mend in its own data (409 elsewhere) as 200 with
//! `Success: false` and a `Code`, which is what Terraform reads; credentials, limits and faults with their status.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::call::{Call, Memory};
use super::fault::Fault;
use super::params::Params;
use super::request::{self, Whole};
use super::{put_events, request_id, signature};
use crate::compat::Door;

const VERSION: &str = "2020-04-01";

/// A call.
pub(super) async fn answer(
    State(door): State<Door>,
    Extension(memory): Extension<Arc<Memory>>,
    request: Request,
) -> Response {
    let host = request
        .headers()
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let id = request_id();
    let body = match act(door, memory, request).await {
        Ok(result) => {
            json!({ "RequestId": id, "Code": "Success", "Message": "success", "Success": true, "Data": result })
        }
        Err(fault) if fault.status == 409 => {
            json!({ "RequestId": id, "Code": fault.code, "Message": fault.message, "Success": false })
        }
        Err(fault) => {
            let body = json!({ "RequestId": id, "Code": fault.code, "Message": fault.message, "HostId": host, "Success": false });
            return request::answer(fault.status, &body);
        }
    };
    request::answer(200, &body)
}

/// A call by GET, all of it in the query: as it was before it was handed over here.
pub(super) async fn answer_get(door: State<Door>, memory: Extension<Arc<Memory>>, mut request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    if let Ok(asked) = format!("/?{query}").parse() {
        *request.uri_mut() = asked;
    }
    answer(door, memory, request).await
}

async fn act(door: Door, memory: Arc<Memory>, request: Request) -> Result<Value, Fault> {
    // A form spells every byte of JSON with up to three.
    let most = door.settings.eventbridge.limits.batch_bytes.saturating_mul(3);
    let whole = Whole::read(request, most).await?;
    let pairs = pairs(&whole)?;
    let given = |name: &str| {
        pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let Some(action) = whole.header("x-acs-action").or(given("Action")).map(str::to_owned) else {
        let text = "Action is mandatory for this action: send the header x-acs-action or the parameter Action.";
        return Err(Fault::new(400, "MissingAction", text));
    };
    if let Some(version) = whole
        .header("x-acs-version")
        .or(given("Version"))
        .filter(|version| *version != VERSION)
    {
        let text = format!("Specified parameter Version is not valid: {version}; this is {VERSION}.");
        return Err(Fault::new(400, "InvalidVersion", text));
    }
    let who = signature::of_rpc(&door, &memory.nonces, &whole, &pairs)?;
    who.spend()?;
    let call = Call {
        door,
        memory,
        who,
        params: Params::of_pairs(pairs),
        from: whole.from,
    };
    run(&call, &action).await
}

/// Parameters of the query, and of a form.
fn pairs(whole: &Whole) -> Result<Vec<(String, String)>, Fault> {
    let query = whole.uri.query().unwrap_or_default().as_bytes();
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query).into_owned().collect();
    if whole.media() == "application/json" {
        let body: Value = serde_json::from_slice(&whole.body)
            .map_err(|error| Fault::new(400, "JsonAttributeInvalid", format!("The body is not JSON: {error}.")))?;
        let fields = body.as_object().into_iter().flatten();
        pairs.extend(fields.map(|(name, value)| match value {
            Value::String(text) => (name.clone(), text.clone()),
            other => (name.clone(), other.to_string()),
        }));
    } else {
        pairs.extend(form_urlencoded::parse(&whole.body).into_owned());
    }
    Ok(pairs)
}

/// RPC's names for what the data plane calls otherwise, of actions and of their results.
async fn run(call: &Call, action: &str) -> Result<Value, Fault> {
    match action {
        "PutEvents" => put_events::rpc(call).await,
        "QueryTracedEvents" => Ok(renamed(call.run("queryEventsByPeriod").await?)),
        "QueryTracedEventByEventId" => Ok(renamed(call.run("queryEventByEventId").await?)),
        "QueryEventTraces" => {
            let mut result = call.run("queryEventTraces").await?;
            Ok(result.get_mut("EventTraceList").map(Value::take).unwrap_or_default())
        }
        other => call.run(&lower_first(other)).await,
    }
}

fn renamed(mut result: Value) -> Value {
    if let Some(object) = result.as_object_mut()
        && let Some(events) = object.remove("TracedEvents")
    {
        object.insert("Events".to_owned(), events);
    }
    result
}

/// `CreateRule` as `createRule`.
fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_ascii_lowercase())
        .into_iter()
        .chain(letters)
        .collect()
}
