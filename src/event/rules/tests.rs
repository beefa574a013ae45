//! Every rule, kept and broken.

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
    check(|draft| draft.subject = Some(String::new()), empty("subject"));
    check(|draft| draft.time = Some(String::new()), empty("time"));
    check(
        |draft| draft.datacontenttype = Some(String::new()),
        empty("datacontenttype"),
    );
    check(|draft| draft.dataschema = Some(String::new()), empty("dataschema"));
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
    check(|draft| draft.time = Some("2020-11-19T21:04:41+08:00".into()), Ok(()));
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
    check(|draft| draft.dataschema = Some("https://example.com/s".into()), Ok(()));
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
        check(|draft| draft.subject = Some(text.clone()), Err(("subject", &rule)));
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
    for name in ["a", "0", "traceparent", "averylongextensionnamethatisallowed", &longest] {
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
    check(|draft| draft.extensions = twice.to_vec(), Err(("a", "twice")));
    let longer = longest + "x";
    check(
        |draft| draft.extensions = vec![(longer, Value::Boolean(true))],
        Err((&"x".repeat(100), "more than 256")),
    );
}

/// Kind, media type, bytes, and the rule that they break, if any.
const DATA: [(DataKind, Option<&str>, &[u8], &str); 15] = [
    (DataKind::Json, None, b" {} ", ""),
    (DataKind::Json, Some("application/json"), b"[1e400]", ""),
    (DataKind::Json, Some("text/plain"), b"[1]", ""),
    (DataKind::Json, Some("text/plain"), b" \"s\"", "must be given as text"),
    (DataKind::Json, None, b"", "must be JSON: EOF"),
    (DataKind::Json, None, b"{]", "at line 1 column 2"),
    (DataKind::Json, None, b"\"\xff\"", "not UTF-8 at line 1 column 2"),
    (DataKind::Json, None, &[b'['; 1000], "must be JSON"),
    (DataKind::Text, Some("text/plain"), b"", ""),
    (DataKind::Text, Some("text/plain"), b"\xc3\xa9\0", ""),
    (DataKind::Text, Some("text/plain"), b"\xff", "not UTF-8"),
    (DataKind::Text, Some("application/json"), b"x", "must be JSON: as text"),
    (DataKind::Text, None, b"x", "must be JSON: as text"),
    (DataKind::Binary, None, b"\xff", ""),
    (DataKind::Binary, Some("application/json"), b"{}", ""),
];

#[test]
fn data_is_what_its_kind_says() {
    for (kind, media_type, bytes, expected) in DATA {
        let data = Data {
            kind,
            bytes: Bytes::from_static(bytes),
        };
        let change = |draft: &mut Draft| {
            draft.datacontenttype = media_type.map(Into::into);
            draft.data = Some(data);
        };
        check(
            change,
            if expected.is_empty() {
                Ok(())
            } else {
                Err(("data", expected))
            },
        );
    }
    let deep = [vec![b'['; 128], vec![b']'; 128]].concat();
    let data = Data {
        kind: DataKind::Json,
        bytes: deep.into(),
    };
    check(|draft| draft.data = Some(data), Err(("data", "more than 127 deep")));
}

#[test]
fn the_first_fault_is_named() {
    let draft = Draft {
        subject: Some(String::new()),
        ..Draft::default()
    };
    assert_eq!(draft.check().unwrap_err().attribute, "id");
}
