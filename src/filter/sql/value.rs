//! The values of expressions, and the casts between them (CESQL 1.0, section 3.7).
//!
//! Invariant: a cast that fails yields nothing; who asked for it says what the expression yields then.

use std::borrow::Cow;
use std::fmt;

use crate::event::{self, Event};

/// A value: Boolean, Integer or String.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A truth value.
    Boolean(bool),
    /// 32 bits with sign.
    Integer(i32),
    /// Text, borrowed from the event or the expression where it can be.
    Text(Cow<'a, str>),
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filter) enum Kind {
    Boolean,
    Integer,
    Text,
}

impl<'a> Value<'a> {
    /// The value of an attribute; none if the event does not have it.
    pub(super) fn of(event: &'a Event, name: &str) -> Option<Self> {
        let extension = event.extensions().iter().find(|(key, _)| key == name);
        match extension {
            Some((_, event::Value::Boolean(truth))) => Some(Self::Boolean(*truth)),
            Some((_, event::Value::Integer(number))) => Some(Self::Integer(*number)),
            Some((_, event::Value::String(text))) => Some(Self::Text(text.as_str().into())),
            None => event.attribute(name).map(Self::Text),
        }
    }

    /// Its type.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) => Kind::Integer,
            Self::Text(_) => Kind::Text,
        }
    }

    /// The value as one of this type, if it can be.
    pub(super) fn cast(self, kind: Kind) -> Option<Self> {
        match kind {
            Kind::Boolean => self.truth().map(Self::Boolean),
            Kind::Integer => self.number().map(Self::Integer),
            Kind::Text => Some(Self::Text(self.text())),
        }
    }

    /// As a Boolean: a number that is not 0, `true` or `false` in any case.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::Boolean(truth) => Some(*truth),
            Self::Integer(number) => Some(*number != 0),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Self::Text(_) => None,
        }
    }

    /// As an Integer: 1 or 0, or decimal digits with or without a sign.
    pub(super) fn number(&self) -> Option<i32> {
        match self {
            Self::Boolean(truth) => Some(i32::from(*truth)),
            Self::Integer(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }

    /// As a String.
    pub(super) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Boolean(true) => "true".into(),
            Self::Boolean(false) => "false".into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Text(text) => text,
        }
    }
}

impl Kind {
    /// What an expression of this type yields when it is at fault.
    pub(super) fn zero(self) -> Value<'static> {
        match self {
            Self::Boolean => Value::Boolean(false),
            Self::Integer => Value::Integer(0),
            Self::Text => Value::Text("".into()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "Boolean",
            Self::Integer => "Integer",
            Self::Text => "String",
        })
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}
