//! Why what a producer sent is no event.
//!
//! One type for all forms that events come in, so that every front door answers alike.
//! Invariant: the message names the part at fault (attribute, or line and column) and the rule, and in a batch the
//! event; it never repeats more than a name of what was sent.

use std::fmt;

use super::model::Invalid;
use crate::error::{Error, Kind};

/// Why bytes (and headers) are no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// Not JSON; says where, by line and column.
    Malformed(String),
    /// JSON, but not the shape of an event or of a batch of them.
    Shape {
        /// Which of a batch, counted from 0.
        index: Option<usize>,
        /// What it should be and is not.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// An attribute breaks a rule.
    Invalid {
        /// Which of a batch, counted from 0.
        index: Option<usize>,
        /// The attribute and the rule.
        invalid: Invalid,
    },
    /// A media type that this binding does not speak.
    UnsupportedMedia(String),
}

impl DecodeError {
    /// The same fault, in event `index` of a batch.
    #[must_use]
    pub(super) fn at(self, at: usize) -> Self {
        match self {
            Self::Shape { expected, found, .. } => Self::Shape {
                index: Some(at),
                expected,
                found,
            },
            Self::Invalid { invalid, .. } => Self::Invalid {
                index: Some(at),
                invalid,
            },
            other => other,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Shape { index: Some(index), .. } | Self::Invalid { index: Some(index), .. } = self {
            write!(f, "event {index}: ")?;
        }
        match self {
            Self::Malformed(message) => f.write_str(message),
            Self::Shape { expected, found, .. } => write!(f, "expected {expected}, found {found}"),
            Self::Invalid { invalid, .. } => invalid.fmt(f),
            Self::UnsupportedMedia(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<Invalid> for DecodeError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid { index: None, invalid }
    }
}

impl From<DecodeError> for Error {
    fn from(fault: DecodeError) -> Self {
        let message = fault.to_string();
        match fault {
            DecodeError::Malformed(_) => Self::invalid("malformed_json", message),
            DecodeError::Shape { .. } | DecodeError::Invalid { .. } => Self::invalid("invalid_event", message),
            DecodeError::UnsupportedMedia(_) => Self::new(Kind::UnsupportedMedia, "unsupported_media_type", message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_code_and_kind() {
        let invalid = Invalid::new("id", "must not be empty");
        let table = [
            (
                DecodeError::Malformed("x at line 1 column 2".into()),
                "malformed_json",
                Kind::Invalid,
                "x at line 1 column 2",
            ),
            (
                DecodeError::from(invalid.clone()),
                "invalid_event",
                Kind::Invalid,
                "attribute `id` must not be empty",
            ),
            (
                DecodeError::from(invalid).at(3),
                "invalid_event",
                Kind::Invalid,
                "event 3: attribute `id` must not be empty",
            ),
            (
                DecodeError::Shape {
                    index: None,
                    expected: "an object",
                    found: "a number",
                }
                .at(0),
                "invalid_event",
                Kind::Invalid,
                "event 0: expected an object, found a number",
            ),
            (
                DecodeError::UnsupportedMedia("no".into()).at(1),
                "unsupported_media_type",
                Kind::UnsupportedMedia,
                "no",
            ),
        ];
        for (fault, code, kind, message) in table {
            let error = Error::from(fault);
            assert_eq!((error.code(), error.kind(), error.message()), (code, kind, message));
        }
    }
}
