//! What Alibaba's EventBridge can ask of one value, and how it answers.

use std::net::{IpAddr, Ipv4Addr};

use super::super::operators::Comparison;

/// Numbers that are this close are equal.
const THRESHOLD: f64 = 1.0e-7;

/// What a value must be.
#[derive(Debug, PartialEq)]
pub(in crate::filter) enum Check {
    /// This text, or a value whose text this is.
    Equal(Box<str>),
    /// null.
    Null,
    /// A text that begins so.
    Prefix(Box<str>),
    /// A text that ends so.
    Suffix(Box<str>),
    /// A text in which this stands.
    Contains(Box<str>),
    /// A value for which none of these holds.
    AnythingBut(Vec<Check>),
    /// A number for which all of these hold.
    Numeric(Vec<(Comparison, f64)>),
    /// An address.
    Address(IpAddr),
    /// An address between these two, and neither of them: the network's own and its broadcast address.
    Network(u32, u32),
    /// Whether a value must be there.
    Exists(bool),
    /// All of these.
    All(Vec<Check>),
}

/// A value as it is asked: a number with how it was written, if somebody wants to know.
pub(super) enum Given<'a> {
    Null,
    Boolean(bool),
    Text(&'a str),
    Number(f64, &'a dyn Fn() -> Option<String>),
}

impl Check {
    /// Whether it holds for a value that is no array and no object.
    pub(super) fn holds(&self, given: &Given<'_>) -> bool {
        let text = match given {
            Given::Text(text) => Some(*text),
            _ => None,
        };
        match self {
            Self::Equal(wanted) => given.equals(wanted),
            Self::Null => matches!(given, Given::Null),
            Self::Prefix(part) => text.is_some_and(|text| text.starts_with(&**part)),
            Self::Suffix(part) => text.is_some_and(|text| text.ends_with(&**part)),
            Self::Contains(part) => text.is_some_and(|text| text.contains(&**part)),
            Self::AnythingBut(excluded) => !excluded.iter().any(|check| check.holds(given)),
            Self::Numeric(bounds) => match given {
                Given::Number(number, _) => bounds.iter().all(|(how, bound)| how.holds(compare(*number, *bound))),
                _ => false,
            },
            Self::Address(wanted) => text
                .and_then(|text| text.parse::<IpAddr>().ok())
                .is_some_and(|at| at == *wanted),
            Self::Network(first, last) => text
                .and_then(|text| text.parse::<Ipv4Addr>().ok())
                .is_some_and(|at| (*first < at.to_bits()) && (at.to_bits() < *last)),
            Self::Exists(wanted) => *wanted,
            Self::All(checks) => checks.iter().all(|check| check.holds(given)),
        }
    }

    /// Whether it holds for a value that is not there.
    pub(super) fn holds_for_missing(&self) -> bool {
        match self {
            Self::Exists(wanted) => !wanted,
            Self::All(checks) => checks.iter().all(Self::holds_for_missing),
            _ => false,
        }
    }
}

impl Given<'_> {
    fn equals(&self, wanted: &str) -> bool {
        match self {
            Self::Null => false,
            Self::Boolean(truth) => wanted == if *truth { "true" } else { "false" },
            Self::Text(text) => *text == wanted,
            // Only what is equal as a number can be equal as it was written.
            Self::Number(number, written) => {
                wanted.parse::<f64>().is_ok_and(|wanted| wanted == *number)
                    && written().is_some_and(|text| text == wanted)
            }
        }
    }
}

fn compare(number: f64, bound: f64) -> std::cmp::Ordering {
    match (number - bound).abs() <= THRESHOLD {
        true => std::cmp::Ordering::Equal,
        false => number.total_cmp(&bound),
    }
}
