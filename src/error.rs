//! The one error type that crosses module borders: who must act, a stable code, a text for the caller.
//!
//! Modules keep small error enums of their own where a caller branches on them; what reaches a front door is
//! this type. HTTP status codes are not known here: `api/error.rs` alone maps [`Kind`] to them.
//! Invariant: `message` is fit for a stranger's eyes (no secrets, no paths of the host); the cause goes to the log.

use std::fmt;
use std::time::Duration;

/// Who must act, and so how a front door answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The caller's request is wrong as it stands.
    Invalid,
    /// What the caller names is not there.
    NotFound,
    /// The request contradicts what is there.
    Conflict,
    /// The request is larger than the limit that the message names.
    TooLarge,
    /// The media type is not understood.
    UnsupportedMedia,
    /// The hub is full: the caller should come back after this time.
    Busy {
        /// How long to wait before the next try.
        retry_after: Duration,
    },
    /// The hub cannot do it now: the operator must act (disk full, store broken, shutting down).
    Unavailable,
    /// A fault of the hub's own.
    Internal,
}

/// An error with a stable machine-readable code and a text that says what to do.
pub struct Error {
    kind: Kind,
    code: &'static str,
    message: String,
    cause: Option<anyhow::Error>,
}

/// A result whose error a front door can show.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` with a stable `code` (lower snake case) and a message for the caller.
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            cause: None,
        }
    }

    /// The caller's request is wrong: `message` names the part at fault and the rule.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, code, message)
    }

    /// `what` (such as "subscription") with this `id` is not there; `code` is `<what>_not_found`.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, code, message)
    }

    /// A fault of the hub's own; the cause is for the log only.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::new(
            Kind::Internal,
            "internal",
            "the hub met an unexpected fault; its log has the cause",
        )
        .with_cause(cause)
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Who must act.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The text for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The cause, for the log.
    pub fn cause(&self) -> Option<&anyhow::Error> {
        self.cause.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}): {}", self.code, self.kind, self.message)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause:#}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause.as_ref())
    }
}
