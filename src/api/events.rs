//! `/v1/events`: publish, read back, and consent to be a webhook's target.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::error::Answer;
use super::query::{Query, invalid, offset};
use super::scope::Scope;
use super::{Door, body};
use crate::error::Error;
use crate::event::native::{self, Fresh};
use crate::event::{self, DataKind, Event};
use crate::log::{Appended, Record};
use crate::subscription::Start;

/// `POST`: 202 once the events are on disk.
pub(super) async fn publish(
    State(door): State<Door>,
    scope: Scope,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    Query::of(&uri, &[])?;
    let limits = door.hub.limits();
    let limit = if is_batch(&headers) {
        limits.batch_bytes
    } else {
        limits.event_bytes
    };
    let bus = scope.bus();
    door.hub.refuse_when_busy(&bus)?;
    let bytes = body::read(&headers, body, limit).await?;
    let events = if is_cloudevent(&headers) {
        event::http::decode(&headers, bytes).map(|decoded| decoded.events)
    } else {
        let fresh = Fresh {
            now: door.hub.clock().now(),
            bits: crate::chance::bits(),
            source: None,
        };
        native::decode(bytes, None, &fresh)
    };
    let events = events.map_err(Error::from)?;
    let ids: Vec<String> = events.iter().map(|event| event.id().to_owned()).collect();
    let appended = door.hub.publish(&bus, events).await?;
    let content = [(header::CONTENT_TYPE, "application/json")];
    Ok((StatusCode::ACCEPTED, content, receipt(&ids, &appended)).into_response())
}

/// Whether a request speaks the CloudEvents binding; what does not may be an older system's own JSON.
fn is_cloudevent(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let json = media.is_some_and(|media| media.to_ascii_lowercase().starts_with(b"application/json"));
    !json || headers.keys().any(|name| name.as_str().starts_with("ce-"))
}

fn is_batch(headers: &HeaderMap) -> bool {
    let media = headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    media.to_ascii_lowercase().starts_with(b"application/cloudevents-batch")
}

/// `{"events":[{"id","offset","duplicate"}]}`, written outright: this is the hot path.
fn receipt(ids: &[String], appended: &[Appended]) -> Vec<u8> {
    let mut text = Vec::with_capacity(16 + ids.len() * 96);
    text.extend_from_slice(b"{\"events\":[");
    for (i, (id, one)) in ids.iter().zip(appended).enumerate() {
        text.extend_from_slice(if i == 0 { b"{\"id\":" } else { b",{\"id\":" });
        // Writing a string to memory cannot fail.
        let _ = serde_json::to_writer(&mut text, id);
        text.extend_from_slice(format!(",\"offset\":{},\"duplicate\":{}}}", one.offset.0, one.duplicate).as_bytes());
    }
    text.extend_from_slice(b"]}");
    text
}

/// `GET`: a part of the log.
pub(super) async fn list(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    let query = Query::of(&uri, &["from", "type", "source", "subject", "filter", "limit"])?;
    let (start, selector) = (query.from()?.unwrap_or(Start::Earliest), query.selector()?);
    let page = door
        .hub
        .read(&scope.bus(), start, &selector, query.limit(100, 1_000)?)
        .await?;
    let mut text = b"{\"events\":[".to_vec();
    for (i, record) in page.records.iter().enumerate() {
        if i > 0 {
            text.push(b',');
        }
        write_record(record, &mut text);
    }
    text.extend_from_slice(format!("],\"next\":{}", page.next.0).as_bytes());
    if let Some(gap) = page.gap {
        text.extend_from_slice(format!(",\"gap\":{{\"from\":{},\"to\":{}}}", gap.start.0, gap.end.0).as_bytes());
    }
    text.push(b'}');
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// A record as JSON: `{"offset","received","event":{…}}`, the data as its producer wrote it.
pub(super) fn write_record(record: &Record, text: &mut Vec<u8>) {
    text.extend_from_slice(
        format!(
            "{{\"offset\":{},\"received\":\"{}\",\"event\":",
            record.offset.0, record.received
        )
        .as_bytes(),
    );
    event::json::encode_into(&record.event, text);
    text.push(b'}');
}

/// `GET …/{offset}`: one event, in structured mode, or its data alone.
pub(super) async fn show(State(door): State<Door>, scope: Scope, uri: Uri) -> Answer {
    let raw = Form::of(&Query::of(&uri, &["format"])?)? == Form::Raw;
    let record = door.hub.event(&scope.bus(), offset(&scope.item)?).await?;
    let mut response = if raw {
        data(&record.event)
    } else {
        structured(&record.event)
    };
    // Written by strangers, served from our address: a browser must neither guess its type nor run it.
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    Ok(response)
}

fn structured(event: &Event) -> Response {
    (
        [(header::CONTENT_TYPE, event::http::STRUCTURED)],
        event::json::encode(event),
    )
        .into_response()
}

fn data(event: &Event) -> Response {
    let kind = event
        .datacontenttype()
        .or_else(|| (event.data()?.kind == DataKind::Json).then_some("application/json"));
    let kind = kind
        .and_then(|kind| HeaderValue::from_str(kind).ok())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let bytes = event.data().map(|data| data.bytes.clone()).unwrap_or_default();
    ([(header::CONTENT_TYPE, kind)], bytes).into_response()
}

/// How an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As a CloudEvent in JSON.
    Structured,
    /// Its data alone.
    Raw,
}

impl Form {
    /// Reads `format`.
    pub(super) fn of(query: &Query) -> Result<Self, Error> {
        match query.one("format")? {
            None | Some("structured") => Ok(Self::Structured),
            Some("raw") => Ok(Self::Raw),
            Some(other) => Err(invalid(
                "format",
                format_args!("must be structured or raw, not `{other}`"),
            )),
        }
    }
}

/// `OPTIONS`: the webhook abuse protection of CloudEvents, as receiver. Whoever may POST here is welcome as a sender.
pub(super) async fn consent(headers: HeaderMap) -> Response {
    let mut response = (StatusCode::OK, [(header::ALLOW, "GET, POST, OPTIONS")]).into_response();
    if let Some(origin) = headers.get("webhook-request-origin") {
        response.headers_mut().insert("webhook-allowed-origin", origin.clone());
        response
            .headers_mut()
            .insert("webhook-allowed-rate", HeaderValue::from_static("*"));
    }
    response
}
