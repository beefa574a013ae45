//! The HTTP binding: structured, binary and batched, in and out, and the bare data out.
//!
//! Invariant: `Content-Type` alone chooses the mode of what comes in.
//! Invariant: what [`encode`] writes in structured, binary or batched mode, [`decode`] reads as the same event (in
//! binary mode values are strings, since headers have no types).

mod read;
mod value;
mod write;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::model::Event;

pub use read::decode;
pub use write::{encode, encode_batch};

/// The media type of one event in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of a batch.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// The form of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `application/cloudevents+json`: the body is the event.
    Structured,
    /// `ce-*` headers are the attributes, the body is the data.
    Binary,
    /// `application/cloudevents-batch+json`: the body is an array of events.
    Batch,
    /// The data alone, without attributes. Only ever goes out.
    Raw,
    /// An event report of Pulp's. Only ever goes out.
    Pulp,
}

/// What a request carried.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The form it had.
    pub mode: Mode,
    /// The events, in their order: one, except in a batch.
    pub events: Vec<Event>,
}

/// What a request is to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// `Content-Type`, and in binary mode the attributes.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}
