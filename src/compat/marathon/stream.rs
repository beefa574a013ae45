//! `GET /v2/events`: server-sent events, byte for byte in Jetty's framing.
//!
//! Chunked and flushed an event, where Jetty closed the connection to end it: common clients read an unframed body in
//! large pieces and would show events late. A stream reads the log at its own place, so a slow reader misses nothing.
//!
//! Resuming: who asks for it with `from` (`latest`, `earliest`, an offset, a time) also gets `id:` lines, and `gap`
//! events where retention was quicker; `Last-Event-ID` then goes on after that event. Without it there is no line that
//! Marathon would not have written: none of its clients must meet something new.
//! Invariant: whoever was told of as attached is told of as detached, if the hub lives that long.

use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, Method, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::asked::Asked;
use super::own;
use super::refusal::Refusal;
use super::show::{Shown, View};
use crate::compat::Door;
use crate::error::Error;
use crate::filter::{Filter, Selector};
use crate::hub::{EventStream, Item, Wish};
use crate::log::Offset;
use crate::subscription::Start;

/// A blank line, so that a client that has gone is noticed.
const BEAT: Bytes = Bytes::from_static(b"\r\n");
/// So many types, of so many bytes each, are looked for by a filter.
const TYPES: usize = 64;
const TYPE: usize = 100;
/// How often.
const PERIOD: Duration = Duration::from_secs(10);

/// Opens a stream. It begins with the event that says so.
pub(super) async fn open(door: &Door, asked: &Asked) -> Result<Response, Refusal> {
    if !asked.wants_stream() {
        return Err(Refusal::page(&Method::GET, asked.path_as_sent()));
    }
    let resumed = resume(asked)?;
    let types = asked.values("event_type");
    let selector = selector(&types)?;
    let view = View {
        types: types.into_iter().collect(),
        light: asked.values("plan-format").iter().any(|format| format == "light"),
    };
    let address = asked.client_ip();
    let first = own::publish(door, own::listening(door, "event_stream_attached", &address)).await?;
    let attached = Attached {
        door: door.clone(),
        address,
    };
    let wish = Wish {
        bus: door.settings.marathon.bus.clone(),
        start: resumed.unwrap_or(Start::Offset(first)),
        selector,
    };
    let mut beat = interval(PERIOD);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.reset();
    let feed = Feed {
        events: door.hub.stream(wish).await?,
        view,
        beat,
        resumable: resumed.is_some(),
        _attached: attached,
    };
    let frames = stream::unfold(feed, |mut feed| async move { Some((feed.frame().await?, feed)) });
    Ok((head_lines(), Body::from_stream(frames.map(Ok::<_, Infallible>))).into_response())
}

/// `HEAD`: as `GET`, but nobody attaches.
pub(super) fn head(asked: &Asked) -> Result<Response, Refusal> {
    match asked.wants_stream() {
        true => Ok((head_lines(), ()).into_response()),
        false => Err(Refusal::page(asked.method(), asked.path_as_sent())),
    }
}

fn head_lines() -> [(HeaderName, &'static str); 2] {
    [
        (header::CONTENT_TYPE, "text/event-stream;charset=UTF-8"),
        (header::CONNECTION, "close"),
    ]
}

/// Where to begin, for who asks to be able to resume.
fn resume(asked: &Asked) -> Result<Option<Start>, Refusal> {
    let last = asked.text(HeaderName::from_static("last-event-id"));
    let last = last.and_then(|id| id.parse::<u64>().ok());
    if let Some(last) = last {
        return Ok(Some(Start::Offset(Offset(last.saturating_add(1)))));
    }
    let Some(from) = asked.value("from") else {
        return Ok(None);
    };
    let start = Start::parse(&from).ok_or_else(|| {
        Refusal::not_valid("from: must be latest, earliest, an offset, or a time such as 2026-01-31T12:00:00Z")
    })?;
    Ok(Some(start))
}

/// What can be told before an event is looked at closely: these types, in the data or of the event; or any.
fn selector(types: &[String]) -> Result<Selector, Error> {
    let filter = match types {
        [] => json!([{"pattern": {"data": {"eventType": [{"exists": true}]}}}]),
        // As large as a filter may not be. Marathon sets no bound: every event is looked at closely.
        types if types.len() > TYPES || types.iter().any(|ty| ty.len() > TYPE) => json!([]),
        types => {
            // No event is of the type that is empty, but who asks for it asks for no other.
            let named = types.iter().filter(|ty| !ty.is_empty());
            let own = named.map(|ty| json!({"exact": {"type": ty}}));
            let native = json!({"pattern": {"data": {"eventType": types}}});
            json!([{"any": own.chain([native]).collect::<Vec<_>>()}])
        }
    };
    Ok(Selector {
        filters: Filter::parse_list(&filter)?,
        ..Selector::default()
    })
}

/// An open stream.
struct Feed {
    events: EventStream,
    view: View,
    beat: Interval,
    resumable: bool,
    _attached: Attached,
}

impl Feed {
    /// The next piece; `None` once the hub stops.
    async fn frame(&mut self) -> Option<Bytes> {
        loop {
            let item = tokio::select! {
                item = self.events.next() => item?,
                _ = self.beat.tick() => return Some(BEAT),
            };
            match item {
                Ok(Item::Record(record)) => {
                    if let Some(shown) = self.view.show(&record) {
                        return Some(frame(&shown, self.resumable.then_some(record.offset)));
                    }
                }
                Ok(Item::Gap(missed)) if self.resumable => return Some(gap(&missed)),
                Ok(Item::Gap(missed)) => {
                    let (from, to) = (missed.start.0, missed.end.0);
                    tracing::warn!(
                        from,
                        to,
                        "a listener was so slow that retention removed events before it"
                    );
                }
                Err(error) => {
                    tracing::warn!(reason = ?error, "a stream ends: the log cannot be read");
                    return None;
                }
            }
        }
    }
}

fn frame(shown: &Shown, id: Option<Offset>) -> Bytes {
    let id = id.map(|offset| format!("id: {}\r\n", offset.0)).unwrap_or_default();
    format!("{id}event: {}\r\ndata: {}\r\n\r\n", shown.name, shown.json).into()
}

fn gap(missed: &Range<Offset>) -> Bytes {
    let (from, to) = (missed.start.0, missed.end.0);
    format!("event: gap\r\ndata: {{\"from\":{from},\"to\":{to}}}\r\n\r\n").into()
}

/// Somebody listens, until this is dropped.
struct Attached {
    door: Door,
    address: String,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let (door, address) = (self.door.clone(), std::mem::take(&mut self.address));
        let told = async move {
            let event = own::listening(&door, "event_stream_detached", &address);
            if let Err(error) = own::publish(&door, event).await {
                tracing::debug!(reason = ?error, "nobody could be told that a listener has left");
            }
        };
        drop(self.door.tasks.spawn(told));
    }
}
