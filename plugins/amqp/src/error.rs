//! Why a publication failed, and what that means for the delivery.
//!
//! The rule: what is wrong with the event would be refused again, so it is refused at once; what is wrong with the
//! broker, the account, the topology or the network may be mended while the event waits, so it is tried again.

use std::fmt;

/// A publication that did not succeed, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The broker had ended the kept connection, or its exchange is gone, and the event was not taken: a new connection
    /// may do, without a failed attempt.
    Stale(String),
    /// Another try can help.
    Broker(String),
    /// This event would be refused again.
    Event(String),
}

impl Error {
    /// Whether another try can help.
    pub fn retry(&self) -> bool {
        !matches!(self, Self::Event(_))
    }

    /// A broker that says what its protocol does not allow here.
    pub fn unexpected(what: impl fmt::Display) -> Self {
        Self::Broker(format!("the broker sent what was not expected: {what}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale(reason) | Self::Broker(reason) | Self::Event(reason) => f.write_str(reason),
        }
    }
}
