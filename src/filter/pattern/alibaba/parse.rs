//! Reads a pattern for Alibaba's EventBridge, and refuses a wrong one in the engine's own words.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::super::operators::Comparison;
use super::super::parse::{MAX_CHARS, MAX_DEPTH, MAX_OPERATORS};
use super::{Check, Entry, Flat};
use crate::error::Error;
use crate::event::{ATTRIBUTES, Lexed};

/// How every refusal begins.
const VALID: &str = "Event pattern is not valid, reason: ";
/// The extensions that the service stamps; every other key is unknown to it.
const EXTENSIONS: [&str; 6] = [
    "aliyunaccountid",
    "aliyunpublishtime",
    "aliyuneventbusname",
    "aliyunregionid",
    "aliyunpublishaddr",
    "aliyunoriginalaccountid",
];
/// The largest number that `numeric` takes, either way.
const LARGEST: f64 = 1.0e9;

/// Reads a pattern that is JSON already.
pub(in crate::filter::pattern) fn pattern(json: &Value) -> Result<Flat, Error> {
    text(&json.to_string())
}

/// Reads the text of a pattern.
pub(in crate::filter::pattern) fn text(text: &str) -> Result<Flat, Error> {
    if text.chars().count() > MAX_CHARS {
        let rule = format!("{VALID}the pattern must not be longer than {MAX_CHARS} characters");
        return Err(Error::invalid("pattern_too_large", rule));
    }
    let Some(json) = Lexed::parse(text) else {
        return Err(refuse("the pattern isn't a valid json format string"));
    };
    let Lexed::Object(members) = &json else {
        return Err(refuse("the pattern should be a JSON object"));
    };
    let mut reader = Reader::default();
    for (key, value) in members.iter().filter(|(key, _)| &**key != "data") {
        let Lexed::Array(items) = value else {
            return Err(invalid_value(value));
        };
        let entry = reader.entry(key, items)?;
        if !ATTRIBUTES.contains(&&**key) && !EXTENSIONS.contains(&&**key) {
            return Err(refuse(format_args!("the pattern has unrecognized pattern key: {key}")));
        }
        reader.flat.attributes.push((key.clone(), entry));
    }
    if let Some(data) = json.member("data") {
        let Lexed::Object(members) = data else {
            return Err(no_key());
        };
        reader.data(members, &mut Vec::new())?;
    }
    Ok(reader.flat)
}

fn refuse(reason: impl std::fmt::Display) -> Error {
    Error::invalid("pattern_invalid", format!("{VALID}{reason}"))
}

fn no_key() -> Error {
    refuse("the data pattern doesn't have any pattern key")
}

fn invalid_value(value: &Lexed) -> Error {
    let shown = value.primitive().map_or_else(|| value.to_compact(), Into::into);
    refuse(format_args!("the pattern has invalid pattern value: {shown}"))
}

/// Gathers the entries, and counts operators while it reads them.
#[derive(Default)]
struct Reader {
    flat: Flat,
    operators: usize,
}

impl Reader {
    /// The members of an object below the keys `above`.
    fn data(&mut self, members: &[(Box<str>, Lexed)], above: &mut Vec<Box<str>>) -> Result<(), Error> {
        if members.is_empty() {
            return Err(no_key());
        }
        if above.len() >= MAX_DEPTH {
            let rule = format!("{VALID}the pattern must not nest deeper than {MAX_DEPTH}");
            return Err(Error::invalid("pattern_too_large", rule));
        }
        for (key, value) in members {
            let before = above.len();
            above.extend(key.split('.').map(Into::into));
            match value {
                Lexed::Array(items) => {
                    let entry = self.entry(key, items)?;
                    self.flat.data.push((above.clone().into(), entry));
                }
                Lexed::Object(members) => self.data(members, above)?,
                other => return Err(invalid_value(other)),
            }
            above.truncate(before);
        }
        Ok(())
    }

    fn entry(&mut self, key: &str, items: &[Lexed]) -> Result<Entry, Error> {
        let mut written = Lexed::Array(items.to_vec()).to_compact();
        written.shrink_to_fit();
        if items.is_empty() {
            return Err(refuse(format_args!("the pattern has invalid pattern value: {written}")));
        }
        let mut checks = Vec::with_capacity(items.len());
        for item in items {
            checks.push(match item {
                Lexed::Array(_) => {
                    return Err(refuse(format_args!(
                        "nested pattern value isn't supported, pattern key: {key}"
                    )));
                }
                Lexed::Object(members) => self.conditions(members)?,
                literal => equal(literal),
            });
        }
        Ok(Entry {
            checks,
            written: written.into(),
        })
    }

    /// An object of operators, all of which must hold.
    fn conditions(&mut self, members: &[(Box<str>, Lexed)]) -> Result<Check, Error> {
        self.operators += members.len();
        if self.operators > MAX_OPERATORS {
            let rule = format!("{VALID}the pattern must not have more than {MAX_OPERATORS} conditions");
            return Err(Error::invalid("pattern_too_large", rule));
        }
        let read = |(name, operand): &(Box<str>, Lexed)| condition(name, operand);
        let mut checks = members.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        match checks.len() {
            0 => Err(refuse("each pattern condition should only have one condition key")),
            1 => Ok(checks.swap_remove(0)),
            _ => Ok(Check::All(checks)),
        }
    }
}

fn equal(literal: &Lexed) -> Check {
    literal
        .primitive()
        .map_or(Check::Null, |text| Check::Equal(text.into()))
}

fn condition(name: &str, operand: &Lexed) -> Result<Check, Error> {
    match name {
        "prefix" => affix(name, operand).map(Check::Prefix),
        "suffix" => affix(name, operand).map(Check::Suffix),
        "contains" => affix(name, operand).map(Check::Contains),
        "anything-but" => anything_but(operand),
        "numeric" => numeric(operand),
        "cidr" => cidr(operand),
        "exists" => match operand {
            Lexed::Boolean(wanted) => Ok(Check::Exists(*wanted)),
            _ => Err(refuse("the exists condition only support boolean value")),
        },
        other => Err(refuse(format_args!("the pattern condition is unrecognized: {other}"))),
    }
}

fn affix(name: &str, operand: &Lexed) -> Result<Box<str>, Error> {
    match operand {
        Lexed::Text(text) if text.is_empty() => Err(refuse(format_args!(
            "the {name} condition doesn't support empty string value"
        ))),
        Lexed::Text(text) => Ok(text.clone()),
        _ => Err(refuse(format_args!("the {name} condition only support string value"))),
    }
}

fn anything_but(operand: &Lexed) -> Result<Check, Error> {
    let excluded = match operand {
        Lexed::Array(items) => {
            if items
                .iter()
                .any(|item| matches!(item, Lexed::Array(_) | Lexed::Object(_)))
            {
                return Err(refuse(
                    "the anything-but condition only support null or primitive values",
                ));
            }
            items.iter().map(equal).collect()
        }
        Lexed::Object(members) => {
            if members.iter().any(|(name, _)| !matches!(&**name, "prefix" | "suffix")) {
                return Err(refuse("anything but condition only support prefix or suffix"));
            }
            match members.as_slice() {
                [(name, operand)] => vec![condition(name, operand)?],
                _ => return Err(refuse("each pattern condition should only have one condition key")),
            }
        }
        literal => vec![equal(literal)],
    };
    Ok(Check::AnythingBut(excluded))
}

fn numeric(operand: &Lexed) -> Result<Check, Error> {
    let Lexed::Array(items) = operand else {
        return Err(refuse("the numeric condition needs an array value"));
    };
    if !matches!(items.len(), 2 | 4) {
        return Err(refuse("the numeric array value should have 2 or 4 elements"));
    }
    let (pairs, _) = items.as_chunks::<2>();
    let bounds = pairs.iter().map(|[how, bound]| {
        let (Lexed::Text(how), Lexed::Number(bound)) = (how, bound) else {
            return Err(refuse("the numeric value should contains an operator and a number"));
        };
        // JSON's numbers are Rust's too; beyond all range they are infinite, and so out of bounds.
        let bound: f64 = bound.parse().unwrap_or(f64::INFINITY);
        if !(-LARGEST..=LARGEST).contains(&bound) {
            return Err(refuse("the numeric value must be between -1.0E9 and 1.0E9 inclusive"));
        }
        match Comparison::parse(how) {
            Some(how) => Ok((how, bound)),
            None => Err(refuse("the numeric exp only support >,<,>=,<=,=,!=")),
        }
    });
    bounds.collect::<Result<_, _>>().map(Check::Numeric)
}

/// A bad range is told in the words for prefixes: so says the engine.
fn cidr(operand: &Lexed) -> Result<Check, Error> {
    let refused = || refuse("the prefix condition only support string value");
    let Lexed::Text(text) = operand else {
        return Err(refused());
    };
    let Some((network, bits)) = text.split_once('/') else {
        return text.parse::<IpAddr>().map(Check::Address).map_err(|_| refused());
    };
    let network: Ipv4Addr = network.parse().map_err(|_| refused())?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32).ok_or_else(refused)?;
    let inside = u32::MAX.checked_shr(bits).unwrap_or(0);
    let first = network.to_bits() & !inside;
    Ok(Check::Network(first, first | inside))
}
