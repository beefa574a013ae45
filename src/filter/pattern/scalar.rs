//! The values that patterns compare: null, truth values, numbers and texts, of an event or of a pattern.
//!
//! Invariant: numbers that are equal as numbers have one form, so that equality and hash can be derived. A float
//! comparison was refused: above 2^53 it takes different ids for the same.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use crate::event::{self, Event};

/// A value that is no object and no array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::filter) enum Scalar<'a> {
    /// JSON null.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(&'a str),
}

/// A [`Scalar`] that a pattern owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::filter) enum Literal {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Box<str>),
}

/// A JSON number in its one form. The derived order is for look-ups only: see [`Number::compare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::filter) enum Number {
    /// Whole, and it fits.
    Whole(i64),
    /// Whole, too large for `Whole`, and it fits.
    Large(u64),
    /// Everything else: the bits of an `f64`.
    Real(u64),
}

/// A value of an event as a pattern sees it: an attribute of another type than text has two faces.
#[derive(Debug, Clone, Copy)]
pub(in crate::filter) struct Seen<'a> {
    /// What it is.
    pub(in crate::filter) value: Scalar<'a>,
    /// What it is too.
    pub(in crate::filter) also: Option<Scalar<'a>>,
}

/// An attribute's value: its string form, and its own type if that is another.
#[derive(Debug)]
pub(in crate::filter) struct Attribute<'a> {
    text: Cow<'a, str>,
    typed: Option<Scalar<'static>>,
}

impl<'a> Scalar<'a> {
    /// The value, unless it is an object or an array.
    pub(in crate::filter) fn of(json: &'a Value) -> Option<Self> {
        match json {
            Value::Null => Some(Self::Null),
            Value::Bool(truth) => Some(Self::Boolean(*truth)),
            Value::Number(number) => Number::of(number).map(Self::Number),
            Value::String(text) => Some(Self::Text(text)),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The same, unless it is a text: then there is something borrowed.
    pub(in crate::filter) fn without_text(self) -> Option<Scalar<'static>> {
        match self {
            Self::Null => Some(Scalar::Null),
            Self::Boolean(truth) => Some(Scalar::Boolean(truth)),
            Self::Number(number) => Some(Scalar::Number(number)),
            Self::Text(_) => None,
        }
    }

    /// The same, owned.
    pub(in crate::filter) fn to_literal(self) -> Literal {
        match self {
            Self::Null => Literal::Null,
            Self::Boolean(truth) => Literal::Boolean(truth),
            Self::Number(number) => Literal::Number(number),
            Self::Text(text) => Literal::Text(text.into()),
        }
    }
}

impl Literal {
    /// The same, borrowed.
    pub(in crate::filter) fn as_scalar(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Boolean(truth) => Scalar::Boolean(*truth),
            Self::Number(number) => Scalar::Number(*number),
            Self::Text(text) => Scalar::Text(text),
        }
    }
}

impl Number {
    /// The number in its one form.
    pub(in crate::filter) fn of(number: &serde_json::Number) -> Option<Self> {
        if let Some(whole) = number.as_i64() {
            return Some(Self::Whole(whole));
        }
        if let Some(large) = number.as_u64() {
            return Some(Self::Large(large));
        }
        number.as_f64().map(Self::of_float)
    }

    fn of_float(float: f64) -> Self {
        // 2^63 and 2^64 are exact as floats; a whole float below them is exact as an integer.
        const TWO_63: f64 = 9_223_372_036_854_775_808.0;
        const TWO_64: f64 = 18_446_744_073_709_551_616.0;
        match float.fract() == 0.0 {
            true if (-TWO_63..TWO_63).contains(&float) => Self::Whole(float as i64),
            true if (TWO_63..TWO_64).contains(&float) => Self::Large(float as u64),
            _ => Self::Real(float.to_bits()),
        }
    }

    /// Which is the larger.
    pub(in crate::filter) fn compare(self, other: Self) -> Ordering {
        match (self.whole(), other.whole()) {
            (Some(left), Some(right)) => left.cmp(&right),
            // A real number is a fraction below 2^53 or beyond all integers, so rounding the other one is harmless but
            // in one place: the largest integers round up to 2^64, which is real.
            (left, right) => {
                let rounded = self.float().total_cmp(&other.float());
                rounded.then(right.is_some().cmp(&left.is_some()))
            }
        }
    }

    fn whole(self) -> Option<i128> {
        match self {
            Self::Whole(whole) => Some(whole.into()),
            Self::Large(large) => Some(large.into()),
            Self::Real(_) => None,
        }
    }

    /// As near as an `f64` comes.
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Large(large) => large as f64,
            Self::Real(bits) => f64::from_bits(bits),
        }
    }
}

impl<'a> Seen<'a> {
    /// A value of the data.
    pub(in crate::filter) fn of(json: &'a Value) -> Option<Self> {
        Scalar::of(json).map(|value| Self { value, also: None })
    }

    /// Whether a face of it passes.
    pub(in crate::filter) fn any(self, test: impl Fn(Scalar<'a>) -> bool) -> bool {
        test(self.value) || self.also.is_some_and(test)
    }

    /// It as text, if it is one.
    pub(in crate::filter) fn text(self) -> Option<&'a str> {
        match self.value {
            Scalar::Text(text) => Some(text),
            _ => None,
        }
    }

    /// It as a number, if it is one.
    pub(in crate::filter) fn number(self) -> Option<Number> {
        match (self.value, self.also) {
            (Scalar::Number(number), _) | (_, Some(Scalar::Number(number))) => Some(number),
            _ => None,
        }
    }
}

impl<'a> Attribute<'a> {
    /// The attribute or extension of this name.
    pub(in crate::filter) fn of(event: &'a Event, name: &str) -> Option<Self> {
        let text = event.attribute(name)?;
        // Only extensions are of other types, and their string form is then made, not borrowed (or `true`, `false`).
        let extension = event.extensions().iter().find(|(key, _)| key == name);
        let typed = extension.and_then(|(_, value)| match value {
            event::Value::Boolean(truth) => Some(Scalar::Boolean(*truth)),
            event::Value::Integer(number) => Some(Scalar::Number(Number::Whole(i64::from(*number)))),
            event::Value::String(_) => None,
        });
        Some(Self { text, typed })
    }

    /// As a pattern sees it.
    pub(in crate::filter) fn seen(&self) -> Seen<'_> {
        Seen {
            value: Scalar::Text(&self.text),
            also: self.typed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(json: &str) -> Number {
        let value: Value = serde_json::from_str(json).expect("JSON");
        Number::of(value.as_number().expect("a number")).expect("finite")
    }

    #[test]
    fn equal_numbers_have_one_form() {
        for (left, right, equal) in [
            ("300", "300.0", true),
            ("300", "3e2", true),
            ("3.0e2", "3e2", true),
            ("-0.0", "0", true),
            ("0.1", "0.10", true),
            ("0.1", "0.2", false),
            ("9007199254740993", "9007199254740992", false),
            ("9007199254740993", "9007199254740993.0", false),
            ("9223372036854775808", "9223372036854775808.0", true),
            ("9223372036854775807", "9223372036854775808", false),
            ("-9223372036854775808", "-9223372036854775808.0", true),
            ("18446744073709551615", "18446744073709551616", false),
            ("18446744073709551616", "18446744073709551616.0", true),
            ("1e300", "10e299", true),
        ] {
            let (a, b) = (number(left), number(right));
            assert_eq!(a == b, equal, "{left} {right}");
            assert_eq!(a.compare(b) == Ordering::Equal, equal, "{left} {right}");
        }
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        let ascending = [
            "-1e300",
            "-9223372036854775808",
            "-2.5",
            "-2",
            "0",
            "0.5",
            "1",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
        ];
        for (at, low) in ascending.iter().enumerate() {
            for high in &ascending[at + 1..] {
                assert_eq!(number(low).compare(number(high)), Ordering::Less, "{low} {high}");
                assert_eq!(number(high).compare(number(low)), Ordering::Greater, "{high} {low}");
            }
        }
    }
}
