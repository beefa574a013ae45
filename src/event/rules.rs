//! What CloudEvents 1.0.2 asks of each attribute (section "Context Attributes") and of the data.
//!
//! Pure checks of a [`Draft`], one function a rule, in the order that the specification has them, so that of several
//! faults the same one is always named.
//! Invariant: a draft that passes can be written in every form (structured, binary, batch) and read back the same.

use super::media;
use super::model::{Data, DataKind, Draft, Invalid, SPECVERSION};
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
        DataKind::Text if json => {
            "must be JSON: as text it needs a `datacontenttype` that is not JSON".to_owned()
        }
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
        "time" if !is_rfc3339(value) => {
            Err("must be an RFC 3339 timestamp such as `2018-04-05T17:31:00Z`".to_owned())
        }
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
        Some(letter) => Err(format!(
            "must not contain the character U+{:04X}",
            u32::from(letter)
        )),
        None => Ok(()),
    }
}

fn is_noncharacter(letter: char) -> bool {
    let code = u32::from(letter);
    matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let core = [
        "id",
        "source",
        "specversion",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
    ];
    let rule = if name == "data" || name == "data_base64" {
        "is the name of the data and no attribute".to_owned()
    } else if core.contains(&name) {
        "is an attribute of the specification and no extension".to_owned()
    } else if name.is_empty()
        || !name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
    {
        "is no attribute name: use lower-case letters and digits only (a-z, 0-9)".to_owned()
    } else if name.len() > MAX_NAME {
        format!("has a name of more than {MAX_NAME} characters")
    } else {
        return Ok(());
    };
    Err(Invalid::new(name, rule))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::Value;

    fn draft() -> Draft {
        Draft {
            id: "1".into(),
            source: "/s".into(),
            ty: "t".into(),
            ..Draft::default()
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Draft), expected: Result<(), (&str, &str)>) {
        let mut draft = draft();
        change(&mut draft);
        match (draft.clone().check(), expected) {
            (Ok(event), Ok(())) => assert_eq!(event.to_draft(), draft),
            (Err(fault), Err((attribute, rule))) => {
                assert!(
                    fault.attribute == attribute && fault.rule.contains(rule),
                    "{fault}, not {attribute}: {rule}"
                );
            }
            (outcome, expected) => panic!("{draft:?}: {outcome:?}, not {expected:?}"),
        }
    }

    #[test]
    fn no_attribute_of_the_specification_is_empty() {
        let empty = |name| Err((name, "must not be empty"));
        check(|draft| draft.id.clear(), empty("id"));
        check(|draft| draft.source.clear(), empty("source"));
        check(|draft| draft.ty.clear(), empty("type"));
        check(
            |draft| draft.subject = Some(String::new()),
            empty("subject"),
        );
        check(|draft| draft.time = Some(String::new()), empty("time"));
        check(
            |draft| draft.datacontenttype = Some(String::new()),
            empty("datacontenttype"),
        );
        check(
            |draft| draft.dataschema = Some(String::new()),
            empty("dataschema"),
        );
        check(
            |draft| draft.extensions = vec![("x".into(), Value::String(String::new()))],
            Ok(()),
        );
    }

    #[test]
    fn every_attribute_has_its_grammar() {
        check(|draft| draft.id = "any Text: 日本語 😀 \"%".into(), Ok(()));
        check(
            |draft| draft.source = "not a uri".into(),
            Err(("source", "URI-reference")),
        );
        check(|draft| draft.source = "acs.mse".into(), Ok(()));
        check(
            |draft| draft.time = Some("2020-11-19T21:04:41+08:00".into()),
            Ok(()),
        );
        check(
            |draft| draft.time = Some("2020-11-19 21:04:41Z".into()),
            Err(("time", "RFC 3339")),
        );
        check(
            |draft| draft.datacontenttype = Some("application/json; charset=utf-8".into()),
            Ok(()),
        );
        check(
            |draft| draft.datacontenttype = Some("nonsense".into()),
            Err(("datacontenttype", "media type")),
        );
        check(
            |draft| draft.dataschema = Some("https://example.com/s".into()),
            Ok(()),
        );
        check(
            |draft| draft.dataschema = Some("/relative".into()),
            Err(("dataschema", "absolute URI")),
        );
    }

    #[test]
    fn strings_hold_no_controls_and_no_noncharacters() {
        for letter in [
            '\0',
            '\t',
            '\n',
            '\u{1f}',
            '\u{7f}',
            '\u{80}',
            '\u{9f}',
            '\u{fdd0}',
            '\u{fdef}',
            '\u{fffe}',
            '\u{ffff}',
            '\u{1fffe}',
            '\u{10ffff}',
        ] {
            let rule = format!("U+{:04X}", u32::from(letter));
            let text = format!("a{letter}");
            check(|draft| draft.id.push(letter), Err(("id", &rule)));
            check(|draft| draft.source.push(letter), Err(("source", &rule)));
            check(|draft| draft.ty.push(letter), Err(("type", &rule)));
            check(
                |draft| draft.subject = Some(text.clone()),
                Err(("subject", &rule)),
            );
            check(
                |draft| draft.extensions = vec![("x".into(), Value::String(text))],
                Err(("x", &rule)),
            );
        }
        for letter in [
            ' ',
            '~',
            '\u{a0}',
            '\u{fdcf}',
            '\u{fdf0}',
            '\u{fffd}',
            '\u{e000}',
            '\u{10fffd}',
            '\u{feff}',
        ] {
            check(|draft| draft.subject = Some(letter.to_string()), Ok(()));
        }
    }

    #[test]
    fn extension_names() {
        let longest = "x".repeat(MAX_NAME);
        for name in [
            "a",
            "0",
            "traceparent",
            "averylongextensionnamethatisallowed",
            &longest,
        ] {
            check(
                |draft| draft.extensions = vec![(name.into(), Value::Integer(i32::MIN))],
                Ok(()),
            );
        }
        let table = [
            ("", "lower-case"),
            ("A", "lower-case"),
            ("a-b", "lower-case"),
            ("a_b", "lower-case"),
            ("é", "lower-case"),
            ("a b", "lower-case"),
            ("data", "name of the data"),
            ("data_base64", "name of the data"),
            ("id", "no extension"),
            ("source", "no extension"),
            ("specversion", "no extension"),
            ("type", "no extension"),
            ("subject", "no extension"),
            ("time", "no extension"),
            ("datacontenttype", "no extension"),
            ("dataschema", "no extension"),
        ];
        for (name, rule) in table {
            check(
                |draft| draft.extensions = vec![(name.into(), Value::Boolean(true))],
                Err((name, rule)),
            );
        }
        let twice = ["b", "a", "c", "a"].map(|name| (name.to_owned(), Value::Boolean(true)));
        check(
            |draft| draft.extensions = twice.to_vec(),
            Err(("a", "twice")),
        );
        let longer = longest + "x";
        check(
            |draft| draft.extensions = vec![(longer, Value::Boolean(true))],
            Err((&"x".repeat(100), "more than 256")),
        );
    }

    #[test]
    fn data_is_what_its_kind_says() {
        let table: [(DataKind, Option<&str>, &[u8], Result<(), &str>); 15] = [
            (DataKind::Json, None, b" {} ", Ok(())),
            (DataKind::Json, Some("application/json"), b"[1e400]", Ok(())),
            (DataKind::Json, Some("text/plain"), b"[1]", Ok(())),
            (
                DataKind::Json,
                Some("text/plain"),
                b" \"s\"",
                Err("must be given as text"),
            ),
            (DataKind::Json, None, b"", Err("must be JSON: EOF")),
            (DataKind::Json, None, b"{]", Err("at line 1 column 2")),
            (
                DataKind::Json,
                None,
                b"\"\xff\"",
                Err("not UTF-8 at line 1 column 2"),
            ),
            (DataKind::Json, None, &[b'['; 1000], Err("must be JSON")),
            (DataKind::Text, Some("text/plain"), b"", Ok(())),
            (DataKind::Text, Some("text/plain"), "é\0".as_bytes(), Ok(())),
            (
                DataKind::Text,
                Some("text/plain"),
                b"\xff",
                Err("not UTF-8"),
            ),
            (
                DataKind::Text,
                Some("application/json"),
                b"x",
                Err("must be JSON: as text"),
            ),
            (DataKind::Text, None, b"x", Err("must be JSON: as text")),
            (DataKind::Binary, None, b"\xff", Ok(())),
            (DataKind::Binary, Some("application/json"), b"{}", Ok(())),
        ];
        for (kind, media_type, bytes, expected) in table {
            let data = Data {
                kind,
                bytes: Bytes::copy_from_slice(bytes),
            };
            let change = |draft: &mut Draft| {
                draft.datacontenttype = media_type.map(Into::into);
                draft.data = Some(data);
            };
            check(change, expected.map_err(|rule| ("data", rule)));
        }
        let deep = [vec![b'['; 128], vec![b']'; 128]].concat();
        let data = Data {
            kind: DataKind::Json,
            bytes: deep.into(),
        };
        check(
            |draft| draft.data = Some(data),
            Err(("data", "more than 127 deep")),
        );
    }

    #[test]
    fn the_first_fault_is_named() {
        let draft = Draft {
            subject: Some(String::new()),
            ..Draft::default()
        };
        assert_eq!(draft.check().unwrap_err().attribute, "id");
    }
}
