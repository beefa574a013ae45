//! The operators of a pattern: how each is read and what it says of a value. A new one is a row of `OPERATORS`, a
//! variant of [`Test`], and its line in `holds`.
//!
//! Invariant: a test takes time linear in the value and in its operand.

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::super::glob;
use super::super::path::Path;
use super::scalar::{Literal, Number, Scalar, Seen};
use crate::error::Error;
use crate::nearest::hint;

/// What a value must be.
#[derive(Debug, PartialEq)]
pub(in crate::filter) enum Test {
    /// One of these (in order, each once).
    OneOf(Box<[Literal]>),
    /// A text that begins so.
    Prefix(Text),
    /// A text that ends so.
    Suffix(Text),
    /// A text in which this stands.
    Contains(Box<str>),
    /// A text that is this but for case (folded).
    EqualsIgnoreCase(Box<str>),
    /// A text of these pieces with anything between them.
    Wildcard(Box<[Box<str>]>),
    /// A value for which none of these holds.
    AnythingBut(Box<[Test]>),
    /// A number for which all of these hold.
    Numeric(Box<[(Comparison, Number)]>),
    /// An address in this range.
    Cidr(IpNet),
    /// Whether the field must be there or must not.
    Exists(bool),
    /// All of these.
    All(Box<[Test]>),
}

/// A part of a text to look for.
#[derive(Debug, PartialEq)]
pub(in crate::filter) enum Text {
    /// As it is.
    Exact(Box<str>),
    /// But for case (folded).
    IgnoreCase(Box<str>),
}

/// How a number stands to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::filter) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// Reads an operator's operand.
type Read = fn(&Value, &Path<'_>) -> Result<Test, Error>;

/// Every operator and its reader.
const OPERATORS: &[(&str, Read)] = &[
    ("prefix", |json, path| affix(json, path).map(Test::Prefix)),
    ("suffix", |json, path| affix(json, path).map(Test::Suffix)),
    ("contains", |json, path| Ok(Test::Contains(text(json, path)?.into()))),
    ("equals-ignore-case", |json, path| {
        Ok(Test::EqualsIgnoreCase(folded(text(json, path)?)))
    }),
    ("wildcard", wildcard),
    ("anything-but", anything_but),
    ("numeric", numeric),
    ("cidr", cidr),
    ("exists", exists),
];

/// The operators that `anything-but` may turn round.
const EXCLUDABLE: &[&str] = &["prefix", "suffix", "contains", "equals-ignore-case", "wildcard"];

/// Reads an item of an array: a literal, or an object of operators that must all hold.
pub(super) fn parse(item: &Value, path: &Path<'_>) -> Result<Test, Error> {
    let Value::Object(members) = item else {
        return literal(item, path);
    };
    let read = |(name, operand): (&String, &Value)| {
        let path = path.key(name);
        match OPERATORS.iter().find(|(known, _)| known == name) {
            Some((_, read)) => read(operand, &path),
            None => {
                let hint = hint(name, OPERATORS.iter().map(|(known, _)| *known));
                Err(path.fault("pattern_invalid", format!("is no operator; {hint}")))
            }
        }
    };
    let mut tests = members.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    match tests.len() {
        0 => Err(path.fault("pattern_invalid", "an object in an array must have an operator")),
        1 => Ok(tests.swap_remove(0)),
        _ => Ok(Test::All(tests.into())),
    }
}

fn literal(item: &Value, path: &Path<'_>) -> Result<Test, Error> {
    match Scalar::of(item) {
        Some(scalar) => Ok(Test::OneOf([scalar.to_literal()].into())),
        None => Err(path.fault("pattern_invalid", "an array cannot stand in an array")),
    }
}

/// A text that is not empty.
fn text<'a>(json: &'a Value, path: &Path<'_>) -> Result<&'a str, Error> {
    match json.as_str() {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(path.fault("pattern_invalid", "must be a text that is not empty")),
    }
}

/// The operand of `prefix` and `suffix`.
fn affix(json: &Value, path: &Path<'_>) -> Result<Text, Error> {
    const KEY: &str = "equals-ignore-case";
    match json {
        Value::Object(members) if members.len() == 1 && members.contains_key(KEY) => {
            let operand = json.get(KEY).unwrap_or_default();
            Ok(Text::IgnoreCase(folded(text(operand, &path.key(KEY))?)))
        }
        Value::Object(_) => {
            let rule = "must be a text or {\"equals-ignore-case\": text}";
            Err(path.fault("pattern_invalid", rule))
        }
        _ => Ok(Text::Exact(text(json, path)?.into())),
    }
}

/// Pieces between stars; `\*` and `\\` are the characters themselves.
fn wildcard(json: &Value, path: &Path<'_>) -> Result<Test, Error> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    let mut letters = text(json, path)?.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.peek() == Some(&'*') => {
                return Err(path.fault("pattern_invalid", "must not have two `*` in a row"));
            }
            '*' => pieces.push(std::mem::take(&mut piece).into_boxed_str()),
            '\\' => match letters.next() {
                Some(escaped @ ('*' | '\\')) => piece.push(escaped),
                _ => {
                    let rule = "`\\` must stand before `*` or `\\`";
                    return Err(path.fault("pattern_invalid", rule));
                }
            },
            other => piece.push(other),
        }
    }
    pieces.push(piece.into());
    Ok(Test::Wildcard(pieces.into()))
}

/// A literal, an operator on a text or on each of several, or a list of such.
fn anything_but(json: &Value, path: &Path<'_>) -> Result<Test, Error> {
    let mut excluded = Vec::new();
    match json {
        Value::Array(items) if items.is_empty() => {
            return Err(path.fault("pattern_invalid", "an empty list excludes nothing"));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                exclude(item, &path.item(at), &mut excluded)?;
            }
        }
        item => exclude(item, path, &mut excluded)?,
    }
    Ok(Test::AnythingBut(Test::gather(excluded).into()))
}

/// Adds what one item of an `anything-but` excludes.
fn exclude(item: &Value, path: &Path<'_>, excluded: &mut Vec<Test>) -> Result<(), Error> {
    let Value::Object(members) = item else {
        excluded.push(literal(item, path)?);
        return Ok(());
    };
    let one = members.iter().next().filter(|_| members.len() == 1);
    let Some((name, operand)) = one.filter(|(name, _)| EXCLUDABLE.contains(&name.as_str())) else {
        let rule = format!("must have one operator of {}", EXCLUDABLE.join(", "));
        return Err(path.fault("pattern_invalid", rule));
    };
    let Some((_, read)) = OPERATORS.iter().find(|(known, _)| known == name) else {
        return Err(path.key(name).fault("pattern_invalid", "is no operator"));
    };
    let path = path.key(name);
    match operand {
        Value::Array(operands) if !operands.is_empty() => {
            for (at, operand) in operands.iter().enumerate() {
                excluded.push(read(operand, &path.item(at))?);
            }
        }
        operand => excluded.push(read(operand, &path)?),
    }
    Ok(())
}

/// `[operator, number]`, once or twice.
fn numeric(json: &Value, path: &Path<'_>) -> Result<Test, Error> {
    let items = json.as_array().map(Vec::as_slice).unwrap_or_default();
    if !matches!(items.len(), 2 | 4) {
        let rule = "must be [operator, number] or [operator, number, operator, number]";
        return Err(path.fault("pattern_invalid", rule));
    }
    let (pairs, _) = items.as_chunks::<2>();
    let read = |(at, [name, operand]): (usize, &[Value; 2])| {
        let Some(comparison) = name.as_str().and_then(Comparison::parse) else {
            let rule = "must be one of < <= = != >= >";
            return Err(path.item(at * 2).fault("pattern_invalid", rule));
        };
        match operand.as_number().and_then(Number::of) {
            Some(number) => Ok((comparison, number)),
            None => Err(path.item(at * 2 + 1).fault("pattern_invalid", "must be a number")),
        }
    };
    let bounds = pairs.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Ok(Test::Numeric(bounds))
}

/// A range of addresses, or one address.
fn cidr(json: &Value, path: &Path<'_>) -> Result<Test, Error> {
    let text = text(json, path)?;
    let range = text.parse::<IpNet>().ok();
    match range.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) {
        Some(range) => Ok(Test::Cidr(range)),
        None => {
            let rule = "must be an address or a range of addresses, such as 10.0.0.0/8 or 2001:db8::/32";
            Err(path.fault("pattern_invalid", rule))
        }
    }
}

fn exists(json: &Value, path: &Path<'_>) -> Result<Test, Error> {
    match json.as_bool() {
        Some(wanted) => Ok(Test::Exists(wanted)),
        None => Err(path.fault("pattern_invalid", "must be true or false")),
    }
}

impl Test {
    /// The same tests with all their literals in one, so that any number of them costs one search.
    pub(super) fn gather(tests: Vec<Self>) -> Vec<Self> {
        let mut literals = Vec::new();
        let mut gathered = Vec::new();
        for test in tests {
            match test {
                Self::OneOf(some) => literals.extend(some),
                other => gathered.push(other),
            }
        }
        literals.sort_unstable();
        literals.dedup();
        if !literals.is_empty() {
            gathered.insert(0, Self::OneOf(literals.into()));
        }
        gathered.shrink_to_fit();
        gathered
    }

    /// Whether it holds for a value that is there.
    pub(super) fn holds(&self, seen: Seen<'_>) -> bool {
        match self {
            Self::OneOf(literals) => seen.any(|value| {
                let found = literals.binary_search_by(|literal| literal.as_scalar().cmp(&value));
                found.is_ok()
            }),
            Self::Prefix(part) => seen.text().is_some_and(|text| part.begins(text)),
            Self::Suffix(part) => seen.text().is_some_and(|text| part.ends(text)),
            Self::Contains(part) => seen.text().is_some_and(|text| text.contains(&**part)),
            Self::EqualsIgnoreCase(part) => seen.text().is_some_and(|text| fold(text).eq(part.chars())),
            Self::Wildcard(pieces) => seen
                .text()
                .is_some_and(|text| glob::matches(pieces.iter().map(|piece| &**piece), text)),
            Self::AnythingBut(excluded) => !excluded.iter().any(|test| test.holds(seen)),
            Self::Numeric(bounds) => seen
                .number()
                .is_some_and(|number| bounds.iter().all(|(how, bound)| how.holds(number.compare(*bound)))),
            Self::Cidr(range) => seen
                .text()
                .and_then(|text| text.parse::<IpAddr>().ok())
                .is_some_and(|address| range.contains(&address)),
            Self::Exists(wanted) => *wanted,
            Self::All(tests) => tests.iter().all(|test| test.holds(seen)),
        }
    }

    /// Whether it holds for a field that is there but has nothing to compare: an object, or an empty array.
    pub(super) fn holds_without_value(&self) -> bool {
        match self {
            Self::Exists(wanted) => *wanted,
            Self::All(tests) => tests.iter().all(Self::holds_without_value),
            _ => false,
        }
    }

    /// Whether it holds for a field that is not there.
    pub(super) fn holds_for_missing(&self) -> bool {
        match self {
            Self::Exists(wanted) => !wanted,
            Self::All(tests) => tests.iter().all(Self::holds_for_missing),
            _ => false,
        }
    }
}

impl Text {
    fn begins(&self, text: &str) -> bool {
        match self {
            Self::Exact(part) => text.starts_with(&**part),
            Self::IgnoreCase(part) => {
                let mut letters = fold(text);
                part.chars().all(|wanted| letters.next() == Some(wanted))
            }
        }
    }

    fn ends(&self, text: &str) -> bool {
        match self {
            Self::Exact(part) => text.ends_with(&**part),
            Self::IgnoreCase(part) => {
                let mut letters = fold(text).rev();
                part.chars().rev().all(|wanted| letters.next() == Some(wanted))
            }
        }
    }
}

impl Comparison {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            ">=" => Self::GreaterOrEqual,
            ">" => Self::Greater,
            _ => return None,
        })
    }

    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

/// A text without its case, letter by letter.
fn fold(text: &str) -> impl DoubleEndedIterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn folded(text: &str) -> Box<str> {
    fold(text).collect::<String>().into()
}
