//! Refusals in this system's words: its codes, its texts, its statuses. The one place that knows them.
//!
//! What is there or not there, and events that are none, are 409, as the service has it; credentials 403; too much 429.
//! Invariant: a fault of the hub's own is told with the code and words the hub gives it, and its cause goes to the log.

use std::borrow::Cow;

use crate::error::{Error, Kind};
use crate::event::Invalid;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: u16,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// What is asked for contradicts what is there, or the event is none.
    pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(409, code, message)
    }

    /// Who asks is not known, or may not.
    pub(super) fn denied(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(403, code, message)
    }

    pub(super) fn bus_missing(bus: &str) -> Self {
        Self::conflict("EventBusNotExist", format!("The event bus [{bus}] not existed!"))
    }

    pub(super) fn bus_exists(bus: &str) -> Self {
        Self::conflict(
            "EventBusAlreadyExist",
            format!("The event bus [{bus}] already existed!"),
        )
    }

    pub(super) fn rule_missing(bus: &str, rule: &str) -> Self {
        Self::conflict(
            "EventRuleNotExisted",
            format!("The event rule [{rule}] of the event bus [{bus}] not existed!"),
        )
    }

    pub(super) fn target(id: &str, message: impl std::fmt::Display) -> Self {
        Self::conflict(
            "EventTargetInvalid",
            format!("The event target [{id}] is invalid. {message}"),
        )
    }

    pub(super) fn parameter(name: &str, rule: impl std::fmt::Display) -> Self {
        Self::new(
            400,
            "InvalidArgument",
            format!("The parameter {name} is invalid: it {rule}."),
        )
    }

    /// An attribute of an event breaks a rule.
    pub(super) fn attribute(invalid: &Invalid) -> Self {
        let missing = invalid.rule == "is required";
        let code = match invalid.attribute.as_str() {
            "id" if missing => "EventIdEmpty",
            "source" => "EventSourceInvalid",
            "subject" => "EventSubjectInvalid",
            "type" => "EventTypeInvalid",
            "specversion" => "EventSpecversionInvalid",
            "datacontenttype" => "EventContentTypeInvalid",
            "event" => "JsonAttributeInvalid",
            "id" | "time" | "data" | "data_base64" | "dataschema" => "EventInvalid",
            _ => "EventExtensionsAttributeInvalid",
        };
        Self::conflict(code, format!("The event is invalid: {invalid}."))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let (status, code) = match error.kind() {
            Kind::Busy { .. } => (429, "TooManyRequests"),
            Kind::TooLarge => (409, "EventSizeExceed"),
            Kind::Invalid => (409, "InvalidArgument"),
            Kind::NotFound => (409, "ResourceNotExist"),
            Kind::Conflict => (409, "ResourceConflict"),
            Kind::UnsupportedMedia => (409, "EventContentTypeInvalid"),
            Kind::Unavailable => (503, "ServiceUnavailable"),
            Kind::Internal => (500, "InternalError"),
        };
        if matches!(error.kind(), Kind::Unavailable | Kind::Internal) {
            tracing::warn!(code = error.code(), reason = ?error, "a request of an EventBridge client could not be served");
        }
        let message = match error.kind() {
            Kind::Busy { .. } => "The request is denied by flow limiter for too many requests.".to_owned(),
            _ => error.message().to_owned(),
        };
        Self::new(status, code, message)
    }
}
