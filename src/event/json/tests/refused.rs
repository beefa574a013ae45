//! Every way for JSON to be no event, and what is said of it.

use super::*;

#[track_caller]
pub(super) fn check(json: &str, expected: &str) {
    let fault = read(json).expect_err(json);
    assert!(
        fault.contains(expected),
        "{}\n gave: {fault}\n want: {expected}",
        &json[..json.len().min(200)]
    );
}

#[test]
fn what_is_not_json_says_where() {
    let table = [
        ("", "the body is empty"),
        (" \n\t", "the body is empty"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("{\n  \"id\": 1,\n}", "trailing comma at line 3 column 1"),
        (r#"{"id":"a" "b"}"#, "at line 1 column 11"),
        ("{'id':1}", "key must be a string at line 1 column 2"),
        (r#"{"id":"\ud800"}"#, "at line 1 column"),
        (r#"{"id":"\x"}"#, "invalid escape at line 1 column 9"),
        ("{\"id\":\"a\nb\"}", "control character"),
        (r#"{"data":{"a":tru}}"#, "at line 1 column 17"),
        (r#"{"x":1e999}"#, "number out of range at line 1 column"),
        (r#"{"id":5} x"#, "trailing characters at line 1 column 10"),
        ("\u{feff}{}", "expected value at line 1 column 1"),
        (&"[".repeat(100_000), "found an array"),
        (r#"{"specversion":"1.0"#, "EOF while parsing a string"),
        (&r#"{"data":"#.repeat(3), "EOF while parsing"),
        (&format!(r#"{{"data":{}"#, "[".repeat(100_000)), "EOF while parsing"),
    ];
    for (json, expected) in table {
        check(json, expected);
    }
    let fault = decode(Bytes::from_static(b"{\n\"id\":\"\xff\"}")).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "the body is not JSON: bytes that are not UTF-8 at line 2 column 7"
    );
    assert!(matches!(fault, DecodeError::Malformed(_)));
}

/// Objects, and what is said of them.
const NO_EVENTS: &str = r#"
{} => attribute `specversion` is required
{"specversion":"0.3"} => attribute `specversion` must be `1.0`
{"specversion":1.0} => attribute `specversion` must be a string, and is a number
{"specversion":"1.0"} => attribute `id` is required
{"specversion":"1.0","id":null} => attribute `id` is required
{"specversion":"1.0","id":"1"} => attribute `source` is required
{"specversion":"1.0","id":"1","source":"/"} => attribute `type` is required
{"specversion":"1.0","id":5} => attribute `id` must be a string, and is a number
{"specversion":"1.0","type":["t"]} => attribute `type` must be a string, and is an array
"#;

#[test]
fn what_is_no_event_is_named() {
    for (json, found) in [
        ("[]", "an array"),
        ("1", "a number"),
        ("-1", "a number"),
        ("1.5", "a number"),
        ("\"x\"", "a string"),
        ("null", "null"),
        ("true", "a boolean"),
    ] {
        check(json, &format!("found {found}"));
    }
    for (json, expected) in NO_EVENTS.lines().filter_map(|line| line.split_once(" => ")) {
        check(json, expected);
    }
}

/// Members beside the required ones, and what is said of them.
const WRONG_MEMBERS: &str = r#"
"subject":"" => attribute `subject` must not be empty
"subject":true => attribute `subject` must be a string, and is a boolean
"time":"yesterday" => attribute `time` must be an RFC 3339
"datacontenttype":"json" => attribute `datacontenttype` must be a media type
"dataschema":"/x" => attribute `dataschema` must be an absolute URI
"x":{} => attribute `x` must be a string, a boolean or an integer of 32 bits, and is an object
"x":[1,[2]] => attribute `x` must be a string, a boolean or an integer of 32 bits, and is an array
"x":1.5 => attribute `x` must be a string, a boolean or an integer of 32 bits, and is a number with a fraction
"x":1e2 => attribute `x` must be
"x":2147483648 => and is a larger number
"x":-2147483649 => and is a larger number
"x":99999999999999999999 => attribute `x` must be
"myExt":"x" => attribute `myExt` is no attribute name
"my_ext":"x" => attribute `my_ext` is no attribute name
"":"x" => attribute `` is no attribute name
"id":"2" => attribute `id` must not be given twice
"id":null => attribute `id` must not be given twice
"subject":null,"subject":"a" => attribute `subject` must not be given twice
"x":"a","x":"a" => attribute `x` must not be given twice
"x":null,"x":"a" => attribute `x` must not be given twice
"x":null,"x":null => attribute `x` must not be given twice
"\u0078":1,"x":2 => attribute `x` must not be given twice
"data":1,"data":2 => `data` must not be given twice
"data":null,"data":2 => `data` must not be given twice
"data":1,"data_base64":"aGk=" => `data_base64` must not stand beside `data`
"data_base64":"a" => `data_base64` must be base64
"data_base64":"a b=" => `data_base64` must be base64
"data_base64":7 => `data_base64` must be a string, and is a number
"datacontenttype":"text/plain","data":"\ud800" => `data` is no readable string
"x":"a\u0007" => attribute `x` must not contain the character U+0007
"#;

#[test]
fn wrong_members_are_named() {
    for (members, expected) in WRONG_MEMBERS.lines().filter_map(|line| line.split_once(" => ")) {
        check(&with(members), expected);
    }
}

#[test]
fn too_deep_is_refused_by_name_and_not_by_a_crash() {
    let nested = |name: &str, open: &str, close: &str, depth: usize| {
        with(&format!(r#""{name}":{}1{}"#, open.repeat(depth), close.repeat(depth)))
    };
    check(&nested("x", "[", "]", 100_000), "attribute `x` must be");
    for depth in [128, 100_000] {
        check(
            &nested("data", "[", "]", depth),
            "`data` must not nest arrays and objects more than 127 deep",
        );
        check(&nested("data", r#"{"a":"#, "}", depth), "`data` must not nest");
    }
    let deepest = read(&nested("data", "[", "]", 127)).unwrap();
    assert!(deepest.json().is_some());
}

#[test]
fn a_message_does_not_repeat_what_was_sent() {
    let name = "é".repeat(10_000);
    for value in ["{}", "1"] {
        assert!(read(&with(&format!(r#""{name}":{value}"#))).unwrap_err().len() < 400);
    }
}

#[test]
fn many_members_are_not_quadratic() {
    let members: Vec<String> = (0..200_000).map(|at| format!(r#""x{at}":null"#)).collect();
    assert!(read(&with(&members.join(","))).is_ok());
}
