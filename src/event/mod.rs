//! Events: CloudEvents 1.0.2, in every form they come and go.
//!
//! `model` is the event itself, `rules` what the specification asks of one (`uri`, `media`, `nesting` and `time` are
//! the grammars it leans on), `lexed` JSON with numbers as written, `json` the JSON format, `http` the HTTP binding's
//! modes, `native` the JSON of older systems, `fault` why one was refused.
//! Invariant: an [`Event`] has been checked; nothing that breaks the specification can be held in one.
//! Invariant: the producer's bytes of `data` are kept and come out again byte for byte.
//! Invariant: no input, however deep or long, overflows the stack or panics.

mod fault;
pub mod http;
pub mod json;
mod lexed;
mod media;
mod model;
pub mod native;
mod nesting;
mod rules;
#[cfg(test)]
mod samples;
mod time;
mod uri;

pub use fault::DecodeError;
pub use lexed::{Lexed, quoted};
pub use model::{ATTRIBUTES, Data, DataKind, Draft, Event, Invalid, Value};
pub use time::{is_rfc3339, parse_rfc3339};
