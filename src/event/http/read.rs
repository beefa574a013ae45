//! Requests to events.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};

use super::{BATCH, Decoded, Mode, STRUCTURED, value};
use crate::event::fault::DecodeError;
use crate::event::json;
use crate::event::media;
use crate::event::model::{Data, DataKind, Draft, Event, Invalid, Value};
use crate::event::nesting::{self, Unreadable};
use crate::event::rules;

/// Reads the event or events that a request carries.
///
/// # Errors
/// What is wrong, and in which attribute or at which line and column; or a media type that is not spoken here.
pub fn decode(headers: &HeaderMap, body: Bytes) -> Result<Decoded, DecodeError> {
    let media_type = content_type(headers)?;
    let (mode, events) = match mode(media_type.as_deref())? {
        Mode::Batch => (Mode::Batch, json::decode_batch(body)?),
        Mode::Structured => (Mode::Structured, vec![json::decode(body)?]),
        Mode::Binary | Mode::Raw | Mode::Pulp => (Mode::Binary, vec![binary(headers, media_type, body)?]),
    };
    Ok(Decoded { mode, events })
}

fn content_type(headers: &HeaderMap) -> Result<Option<String>, Invalid> {
    let Some(value) = only(headers, &CONTENT_TYPE, "datacontenttype")? else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(_) => Err(Invalid::new(
            "datacontenttype",
            "(the header Content-Type) must be visible ASCII",
        )),
    }
}

fn mode(media_type: Option<&str>) -> Result<Mode, DecodeError> {
    let essence = media_type.map(media::essence).unwrap_or_default().to_ascii_lowercase();
    if !essence.starts_with("application/cloudevents") {
        return Ok(Mode::Binary);
    }
    let mode = match essence.as_str() {
        STRUCTURED => Mode::Structured,
        BATCH => Mode::Batch,
        _ => return Err(unsupported(&essence)),
    };
    match media_type {
        Some(media_type) if !media::is_utf8(media_type) => Err(unsupported(media_type)),
        _ => Ok(mode),
    }
}

fn unsupported(media_type: &str) -> DecodeError {
    let shown: String = media_type.chars().take(100).collect();
    DecodeError::UnsupportedMedia(format!(
        "`{shown}` is not understood: send `{STRUCTURED}` (one event) or `{BATCH}` (an array of events), in UTF-8, or any \
         other media type with the attributes in `ce-` headers"
    ))
}

/// The one value of this header.
fn only<'h>(
    headers: &'h HeaderMap,
    header: &HeaderName,
    attribute: &str,
) -> Result<Option<&'h http::HeaderValue>, Invalid> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Invalid::new(
            attribute,
            format!("must not be given twice (the header `{header}`)"),
        )),
    }
}

fn binary(headers: &HeaderMap, media_type: Option<String>, body: Bytes) -> Result<Event, DecodeError> {
    let mut draft = Draft {
        datacontenttype: media_type,
        ..Draft::default()
    };
    let mut specversion = None;
    let mut required = Required::default();
    for header in headers.keys() {
        let Some(name) = header.as_str().strip_prefix("ce-") else {
            continue;
        };
        let Some(given) = only(headers, header, name)? else {
            continue;
        };
        let Some(text) = value::read(given) else {
            return Err(Invalid::new(name, format!("must be percent-encoded UTF-8 (the header `{header}`)")).into());
        };
        match name {
            "specversion" => specversion = Some(text),
            "id" => required.id = Some(text),
            "source" => required.source = Some(text),
            "type" => required.ty = Some(text),
            "subject" => draft.subject = Some(text),
            "time" => draft.time = Some(text),
            "dataschema" => draft.dataschema = Some(text),
            "datacontenttype" => {
                return Err(Invalid::new(name, "is the header Content-Type in binary mode").into());
            }
            _ => draft.extensions.push((name.to_owned(), Value::String(text))),
        }
    }
    check_specversion(specversion.as_deref())?;
    required.fill(&mut draft)?;
    draft.data = data(draft.datacontenttype.as_deref(), body)?;
    Ok(draft.check_attributes()?)
}

/// The attributes that an event must have.
#[derive(Default)]
struct Required {
    id: Option<String>,
    source: Option<String>,
    ty: Option<String>,
}

impl Required {
    fn fill(self, draft: &mut Draft) -> Result<(), Invalid> {
        let header = |name, value: Option<String>| {
            value.ok_or_else(|| Invalid::new(name, format!("is required (the header `ce-{name}`)")))
        };
        draft.id = header("id", self.id)?;
        draft.source = header("source", self.source)?;
        draft.ty = header("type", self.ty)?;
        Ok(())
    }
}

/// A request without this header is most often no binary event at all, so the way out is told.
fn check_specversion(given: Option<&str>) -> Result<(), Invalid> {
    let Some(given) = given else {
        let rule = format!(
            "is required: send the header `ce-specversion: 1.0` and the other attributes likewise, or the whole event as \
             `{STRUCTURED}`, or several as `{BATCH}`"
        );
        return Err(Invalid::new("specversion", rule));
    };
    rules::check_specversion(Some(given))
}

/// The body as data. An empty one is none: HTTP does not tell the two apart.
fn data(media_type: Option<&str>, body: Bytes) -> Result<Option<Data>, DecodeError> {
    if body.is_empty() {
        return Ok(None);
    }
    let kind = match nesting_if_json(media_type, &body) {
        Some(Ok(())) => DataKind::Json,
        Some(Err(Unreadable::TooDeep)) => {
            return Err(Invalid::new("data", nesting::depth_rule()).into());
        }
        Some(Err(Unreadable::Malformed(place))) if media_type.is_some() => {
            return Err(DecodeError::Malformed(format!(
                "the body is not JSON, as its Content-Type says it is: {place}"
            )));
        }
        // Without a Content-Type nothing says that it is JSON: then it is just bytes.
        Some(Err(Unreadable::Malformed(_))) => DataKind::Binary,
        None => media::kind_of(media_type, &body),
    };
    Ok(Some(Data { kind, bytes: body }))
}

fn nesting_if_json(media_type: Option<&str>, body: &[u8]) -> Option<Result<(), Unreadable>> {
    // JSON in another charset cannot be read here, and is carried as it is.
    let readable = media::is_json(media_type) && media_type.is_none_or(media::is_utf8);
    readable.then(|| nesting::check(body))
}
