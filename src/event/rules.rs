//! What CloudEvents 1.0.2 asks of each attribute (section "Context Attributes") and of the data.
//!
//! Pure checks of a [`Draft`], one function a rule, in the order that the specification has them, so that of several
//! faults the same one is always named.
//! Invariant: a draft that passes can be written in every form (structured, binary, batch) and read back the same.

#[cfg(test)]
mod tests;

use super::media;
use super::model::{ATTRIBUTES, Data, DataKind, Draft, Invalid, SPECVERSION};
use super::nesting::{self, Unreadable};
use super::time::is_rfc3339;
use super::uri;

/// Longer than anyone writes (the specification recommends 20), short enough for a header name.
const MAX_NAME: usize = 256;

/// Checks all attributes.
pub(super) fn check_attributes(draft: &Draft) -> Result<(), Invalid> {
    check_text("id", &draft.id)?;
    check_text("source", &draft.source)?;
    uri::check_reference(&draft.source).map_err(|rule| Invalid::new("source", rule))?;
    check_text("type", &draft.ty)?;
    let optional = [
        ("datacontenttype", &draft.datacontenttype),
        ("dataschema", &draft.dataschema),
        ("subject", &draft.subject),
        ("time", &draft.time),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            check_text(name, value)?;
            check_optional(name, value).map_err(|rule| Invalid::new(name, rule))?;
        }
    }
    for (name, value) in &draft.extensions {
        check_name(name)?;
        if let super::Value::String(value) = value {
            check_letters(value).map_err(|rule| Invalid::new(name, rule))?;
        }
    }
    match duplicate(draft.extensions.iter().map(|(name, _)| name.as_str())) {
        Some(name) => Err(Invalid::new(name, "must not be given twice")),
        None => Ok(()),
    }
}

/// Checks the version of the specification, which an event does not keep: it is always [`SPECVERSION`].
pub(super) fn check_specversion(given: Option<&str>) -> Result<(), Invalid> {
    match given {
        Some(SPECVERSION) => Ok(()),
        Some(_) => Err(Invalid::new(
            "specversion",
            format!("must be `{SPECVERSION}`, the version that this hub speaks"),
        )),
        None => Err(Invalid::new(
            "specversion",
            format!("is required, and must be `{SPECVERSION}`"),
        )),
    }
}

/// Checks that the data is what its kind says. Decoders that have just parsed it need not.
pub(super) fn check_data(draft: &Draft) -> Result<(), Invalid> {
    let Some(Data { kind, bytes }) = &draft.data else {
        return Ok(());
    };
    let json = media::is_json(draft.datacontenttype.as_deref());
    let rule = match kind {
        DataKind::Binary => return Ok(()),
        DataKind::Text if json => "must be JSON: as text it needs a `datacontenttype` that is not JSON".to_owned(),
        DataKind::Text => match nesting::utf8(bytes) {
            Ok(_) => return Ok(()),
            Err(place) => format!("must be UTF-8 to be text, and has {place}"),
        },
        DataKind::Json => match nesting::check(bytes) {
            Ok(()) if !json && bytes.trim_ascii_start().starts_with(b"\"") => {
                "must be given as text: its `datacontenttype` is not JSON".to_owned()
            }
            Ok(()) => return Ok(()),
            Err(Unreadable::TooDeep) => nesting::depth_rule(),
            Err(Unreadable::Malformed(place)) => format!("must be JSON: {place}"),
        },
    };
    Err(Invalid::new("data", rule))
}

/// The first name, by the alphabet, that is given twice. Sorted: a hostile number of them is not quadratic.
pub(super) fn duplicate<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.windows(2).find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    })
}

fn check_optional(name: &str, value: &str) -> Result<(), String> {
    match name {
        "datacontenttype" => media::check(value),
        "dataschema" => uri::check_absolute(value),
        "time" if !is_rfc3339(value) => Err("must be an RFC 3339 timestamp such as `2018-04-05T17:31:00Z`".to_owned()),
        _ => Ok(()),
    }
}

/// An attribute of the specification is never empty.
fn check_text(name: &str, value: &str) -> Result<(), Invalid> {
    let rule = if value.is_empty() {
        Err("must not be empty".to_owned())
    } else {
        check_letters(value)
    };
    rule.map_err(|rule| Invalid::new(name, rule))
}

/// The type String: no control characters and no noncharacters (section "Type System").
fn check_letters(value: &str) -> Result<(), String> {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    match value
        .chars()
        .find(|letter| letter.is_control() || is_noncharacter(*letter))
    {
        Some(letter) => Err(format!("must not contain the character U+{:04X}", u32::from(letter))),
        None => Ok(()),
    }
}

fn is_noncharacter(letter: char) -> bool {
    let code = u32::from(letter);
    matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let rule = if name == "data" || name == "data_base64" {
        "is the name of the data and no attribute".to_owned()
    } else if ATTRIBUTES.contains(&name) {
        "is an attribute of the specification and no extension".to_owned()
    } else if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9')) {
        "is no attribute name: use lower-case letters and digits only (a-z, 0-9)".to_owned()
    } else if name.len() > MAX_NAME {
        format!("has a name of more than {MAX_NAME} characters")
    } else {
        return Ok(());
    };
    Err(Invalid::new(name, rule))
}
