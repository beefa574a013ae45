//! Events: CloudEvents 1.0.2, in every form they come and go.
//!
//! `model` is the event itself, `json` the JSON format, `http` the HTTP binding's three modes, `time` RFC 3339.
//! Invariant: an [`Event`] has been checked; nothing that breaks the specification can be held in one.
//! Invariant: the producer's bytes of `data` are kept and come out again byte for byte.

pub mod http;
pub mod json;
mod model;
mod time;

pub use model::{Data, DataKind, Draft, Event, Invalid, Value};
pub use time::parse_rfc3339;
