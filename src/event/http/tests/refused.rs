//! Every way for a request to carry no event, and what is said of it.

use super::*;
use crate::error::{Error, Kind};

#[track_caller]
fn check(lines: &str, body: &[u8], code: &str, message: &str) {
    let error = Error::from(read(lines, body).expect_err(message));
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(message), "{error}\n want: {message}");
}

/// Headers beside the required ones (`|` parts them), and what is said of them.
const WRONG_HEADERS: &str = "
ce-id: 2 => attribute `id` must not be given twice (the header `ce-id`)
ce-x: 2|ce-x: 2 => attribute `x` must not be given twice
content-type: a/b|content-type: a/b => attribute `datacontenttype` must not be given twice
content-type: nonsense => attribute `datacontenttype` must be a media type
content-type: text/é => attribute `datacontenttype` (the header Content-Type) must be visible ASCII
ce-datacontenttype: a/b => attribute `datacontenttype` is the header Content-Type
ce-subject:  => attribute `subject` must not be empty
ce-subject: %FF => attribute `subject` must be percent-encoded UTF-8 (the header `ce-subject`)
ce-time: now => attribute `time` must be an RFC 3339
ce-my_ext: x => attribute `my_ext` is no attribute name
ce-: x => attribute `` is no attribute name
ce-data: x => `data` is the name of the data
ce-x: a%0Ab => attribute `x` must not contain the character U+000A
";

#[test]
fn wrong_headers_are_named() {
    for (lines, expected) in WRONG_HEADERS.lines().filter_map(|line| line.split_once(" => ")) {
        check(
            &format!("{REQUIRED}{}", lines.replace('|', "\n")),
            b"x",
            "invalid_event",
            expected,
        );
    }
    let huge = format!("{REQUIRED}ce-x: {}%00", "a".repeat(1_000_000));
    check(
        &huge,
        b"",
        "invalid_event",
        "attribute `x` must not contain the character U+0000",
    );
}

#[test]
fn missing_headers_are_named() {
    let version = "attribute `specversion` is required: send the header `ce-specversion: 1.0`";
    check("", b"{}", "invalid_event", version);
    check("content-type: application/json", b"{}", "invalid_event", version);
    check(
        "ce-specversion: 0.3",
        b"",
        "invalid_event",
        "attribute `specversion` must be `1.0`",
    );
    for name in ["id", "source", "type"] {
        let lines = REQUIRED.replace(&format!("ce-{name}:"), "ce-x:");
        check(
            &lines,
            b"",
            "invalid_event",
            &format!("attribute `{name}` is required (the header `ce-{name}`)"),
        );
    }
    check(
        &REQUIRED.replace("ce-type: t", "ce-type: "),
        b"",
        "invalid_event",
        "attribute `type` must not be empty",
    );
}

#[test]
fn wrong_bodies_are_named() {
    let json = format!("{REQUIRED}content-type: application/json");
    check(
        &json,
        b"{\n]",
        "malformed_json",
        "Content-Type says it is: key must be a string at line 2 column 1",
    );
    check(&json, b"\"\xff\"", "malformed_json", "not UTF-8 at line 1 column 2");
    check(&json, b" ", "malformed_json", "EOF while parsing a value");
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    check(&json, &deep, "invalid_event", "`data` must not nest");
    check(REQUIRED, &deep, "invalid_event", "`data` must not nest");

    let (one, batch) = (format!("content-type: {STRUCTURED}"), format!("content-type: {BATCH}"));
    check(&one, b"", "malformed_json", "the body is empty");
    check(&one, b"{", "malformed_json", "line 1 column 1");
    check(&one, b"[]", "invalid_event", "`application/cloudevents-batch+json`");
    check(&one, b"{}", "invalid_event", "attribute `specversion` is required");
    check(&batch, b"", "malformed_json", "the body is empty");
    check(&batch, b"{}", "invalid_event", "`application/cloudevents+json`");
    check(&batch, b"[{}]", "invalid_event", "event 0: attribute `specversion`");
}

#[test]
fn other_formats_are_told_what_is_spoken() {
    for media_type in [
        "application/cloudevents+xml",
        "application/cloudevents",
        "application/cloudevents+avro; a=b",
        "application/cloudevents-batch+protobuf",
        "application/cloudevents-batch",
        "application/cloudevents+json; charset=utf-16",
    ] {
        let fault = read(&format!("content-type: {media_type}"), b"{}").unwrap_err();
        assert!(
            matches!(&fault, DecodeError::UnsupportedMedia(_)),
            "{media_type}: {fault}"
        );
        let error = Error::from(fault);
        assert_eq!(
            (error.code(), error.kind()),
            ("unsupported_media_type", Kind::UnsupportedMedia)
        );
        assert!(
            error.message().contains(STRUCTURED) && error.message().contains(BATCH),
            "{error}"
        );
    }
}
