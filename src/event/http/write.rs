//! Events to requests.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};

use super::{BATCH, Encoded, Mode, STRUCTURED, value};
use crate::event::json;
use crate::event::media;
use crate::event::model::{DataKind, Event, SPECVERSION};
use crate::event::native;

/// One event in this form; in [`Mode::Batch`] it is a batch of one.
pub fn encode(mode: Mode, event: &Event) -> Encoded {
    match mode {
        Mode::Structured => document(STRUCTURED, json::encode(event)),
        Mode::Batch => encode_batch(&[event]),
        Mode::Binary => Encoded {
            headers: attributes(event),
            body: body(event),
        },
        Mode::Raw => Encoded {
            headers: content_type(event).into_iter().collect(),
            body: body(event),
        },
        Mode::Pulp => Encoded {
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            body: native::pulp::written(event),
        },
    }
}

/// Events as one batch. The receiver must be known to take batches.
pub fn encode_batch(events: &[&Event]) -> Encoded {
    document(BATCH, json::encode_batch(events))
}

fn document(media_type: &'static str, body: Vec<u8>) -> Encoded {
    Encoded {
        headers: vec![(CONTENT_TYPE, HeaderValue::from_static(media_type))],
        body: body.into(),
    }
}

/// The producer's own bytes, shared.
fn body(event: &Event) -> Bytes {
    event.data().map(|data| data.bytes.clone()).unwrap_or_default()
}

fn attributes(event: &Event) -> Vec<(HeaderName, HeaderValue)> {
    let named = [
        (&SPECVERSION_NAME, Some(SPECVERSION)),
        (&ID, Some(event.id())),
        (&SOURCE, Some(event.source())),
        (&TYPE, Some(event.ty())),
        (&SUBJECT, event.subject()),
        (&TIME, event.time()),
        (&DATASCHEMA, event.dataschema()),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, text)| Some((name.clone(), value::write(text?)?)));
    let extensions = event.extensions().iter().filter_map(|(name, text)| {
        let name = HeaderName::try_from(format!("ce-{name}")).ok()?;
        Some((name, value::write(&text.as_str())?))
    });
    // The rules of names and values leave nothing that a header cannot carry: nothing is ever filtered out but what
    // is not there.
    named.chain(extensions).chain(content_type(event)).collect()
}

static SPECVERSION_NAME: HeaderName = HeaderName::from_static("ce-specversion");
static ID: HeaderName = HeaderName::from_static("ce-id");
static SOURCE: HeaderName = HeaderName::from_static("ce-source");
static TYPE: HeaderName = HeaderName::from_static("ce-type");
static SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
static TIME: HeaderName = HeaderName::from_static("ce-time");
static DATASCHEMA: HeaderName = HeaderName::from_static("ce-dataschema");

/// What the body is. JSON format, section 3.1.2: implied JSON is said outright. Text is held in UTF-8, so a charset
/// that says otherwise (one from a structured event, where the envelope's charset ruled) would be a lie.
fn content_type(event: &Event) -> Option<(HeaderName, HeaderValue)> {
    let kind = event.data().map(|data| data.kind);
    let media_type = match (event.datacontenttype(), kind) {
        (Some(given), Some(DataKind::Text | DataKind::Json)) => media::in_utf8(given),
        (Some(given), Some(DataKind::Binary) | None) => given.into(),
        (None, Some(DataKind::Binary)) => "application/octet-stream".into(),
        (None, Some(DataKind::Json | DataKind::Text)) => "application/json".into(),
        (None, None) => return None,
    };
    Some((CONTENT_TYPE, HeaderValue::from_str(&media_type).ok()?))
}
