//! What of an event goes out, where its subscription has a transform: another body for a callback, other data for a
//! notifier or a bus.
//!
//! Invariant: without a transform nothing here copies anything.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use serde::de::IgnoredAny;

use super::attempt::Passed;
use crate::event::http::{Encoded, Mode, STRUCTURED, encode};
use crate::event::native::eventbridge;
use crate::event::{Data, DataKind, Event};
use crate::subscription::Subscription;
use crate::transform::Transformed;

const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The body of a callback in this form, and its headers.
///
/// # Errors
/// The transform's result would be too large, in words.
pub(super) fn body(subscription: &Subscription, one: &Passed<'_>, form: Mode) -> Result<Encoded, String> {
    let event = event(one);
    match (transformed(subscription, event)?, form) {
        // Who asks for the original, asks for it as its producer wrote it.
        (Transformed::Same, Mode::Structured)
            if subscription.transform.is_some() && event.attribute(eventbridge::ORIGINAL_TIME).is_some() =>
        {
            Ok(Encoded {
                headers: vec![(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED))],
                body: eventbridge::encode(event).into(),
            })
        }
        (Transformed::Same, _) => Ok(match &one.replaced {
            Some(event) => encode(form, event),
            None => one.candidate.encoded(form),
        }),
        // The attributes go along in headers, so the data must fit them.
        (made, Mode::Binary) => Ok(encode(form, &with_data(event, made)?)),
        (Transformed::Text(text), _) => Ok(Encoded {
            headers: vec![content_type(&text)],
            body: text.into(),
        }),
        (Transformed::Nothing, _) => Ok(Encoded {
            headers: Vec::new(),
            body: Bytes::new(),
        }),
    }
}

/// The event with the data that a notifier or a bus gets.
///
/// # Errors
/// As [`body`].
pub(super) fn reshaped(subscription: &Subscription, one: &Passed<'_>) -> Result<Arc<Event>, String> {
    let event = event(one);
    match transformed(subscription, event)? {
        Transformed::Same => Ok(Arc::clone(event)),
        made => with_data(event, made).map(Arc::new),
    }
}

/// The event as its filters left it.
fn event<'a>(one: &'a Passed<'_>) -> &'a Arc<Event> {
    one.replaced.as_ref().unwrap_or(one.candidate.event())
}

fn transformed(subscription: &Subscription, event: &Event) -> Result<Transformed, String> {
    subscription
        .transform
        .as_ref()
        .map_or(Ok(Transformed::Same), |transform| transform.apply(event))
}

fn with_data(event: &Event, made: Transformed) -> Result<Event, String> {
    let mut draft = event.to_draft();
    // It described the data that was.
    draft.dataschema = None;
    let Transformed::Text(text) = made else {
        (draft.data, draft.datacontenttype) = (None, None);
        return draft.check().map_err(|invalid| invalid.to_string());
    };
    let bytes = Bytes::from(text);
    let of = |kind, media: &str| {
        let mut draft = draft.clone();
        draft.datacontenttype = Some(media.to_owned());
        draft.data = Some(Data {
            kind,
            bytes: bytes.clone(),
        });
        draft.check()
    };
    // What is no JSON, or too deep for it, is a text.
    of(DataKind::Json, JSON)
        .or_else(|_| of(DataKind::Text, PLAIN))
        .map_err(|invalid| invalid.to_string())
}

fn content_type(text: &str) -> (HeaderName, HeaderValue) {
    let media = match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => JSON,
        Err(_) => PLAIN,
    };
    (CONTENT_TYPE, HeaderValue::from_static(media))
}
