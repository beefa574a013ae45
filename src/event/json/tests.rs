//! The JSON format: the specification's examples, real events, and round trips.

mod refused;

use proptest::prelude::*;

use super::*;
use crate::event::model::{DataKind, Value};
use crate::event::samples;

fn read(json: &str) -> Result<Event, String> {
    decode(Bytes::copy_from_slice(json.as_bytes())).map_err(|fault| fault.to_string())
}

/// An event with these members beside the required ones.
fn with(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t",{members}}}"#)
}

#[track_caller]
fn check_data(members: &str, kind: DataKind, bytes: &str) {
    let event = read(&with(members)).unwrap_or_else(|fault| panic!("{members}: {fault}"));
    let data = event.data().unwrap_or_else(|| panic!("{members}: no data"));
    assert_eq!(
        (data.kind, std::str::from_utf8(&data.bytes).unwrap()),
        (kind, bytes),
        "{members}"
    );
}

#[test]
fn the_examples_of_the_specification() {
    let common = r#""specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext", "id" : "A234-1234-1234",
        "time" : "2018-04-05T17:31:00Z", "comexampleextension1" : "value", "comexampleothervalue" : 5, "unsetextension": null,
        "subject": null"#;
    let table = [
        (
            r#""datacontenttype" : "application/xml", "data" : "<much wow=\"xml\"/>""#,
            DataKind::Text,
            r#"<much wow="xml"/>"#,
        ),
        (
            r#""datacontenttype" : "application/json", "data" : { "appinfoA" : "abc", "appinfoB" : 123 }"#,
            DataKind::Json,
            r#"{ "appinfoA" : "abc", "appinfoB" : 123 }"#,
        ),
        (
            r#""data" : "I'm just a string""#,
            DataKind::Json,
            r#""I'm just a string""#,
        ),
        (
            r#""datacontenttype" : "application/vnd.apache.thrift.binary", "data_base64" : "cmF3""#,
            DataKind::Binary,
            "raw",
        ),
    ];
    for (members, kind, bytes) in table {
        let event = read(&format!("{{ {common}, {members} }}")).unwrap();
        assert_eq!(
            (event.id(), event.source(), event.ty()),
            ("A234-1234-1234", "/mycontext", "com.example.someevent")
        );
        assert_eq!((event.time(), event.subject()), (Some("2018-04-05T17:31:00Z"), None));
        let extensions = [
            ("comexampleextension1", Value::String("value".into())),
            ("comexampleothervalue", Value::Integer(5)),
        ];
        assert_eq!(
            event.extensions(),
            extensions.map(|(name, value)| (name.to_owned(), value))
        );
        let data = event.data().unwrap();
        assert_eq!((data.kind, &data.bytes[..]), (kind, bytes.as_bytes()));
    }
}

#[test]
fn data_is_cut_out_of_the_input() {
    let input = Bytes::from(with(r#" "data" : { "b" : 1.0e+2, "a":"\u00e9\/" } "#));
    let event = decode(input.clone()).unwrap();
    let data = &event.data().unwrap().bytes;
    assert_eq!(&data[..], br#"{ "b" : 1.0e+2, "a":"\u00e9\/" }"#);
    assert!(input.as_ptr_range().contains(&data.as_ptr()), "copied");

    let input = Bytes::from(with(r#""datacontenttype":"text/plain","data":"plain""#));
    let event = decode(input.clone()).unwrap();
    assert!(
        input.as_ptr_range().contains(&event.data().unwrap().bytes.as_ptr()),
        "copied"
    );
}

/// Members, the kind of data that they mean, its text.
const KINDS: [(&str, DataKind, &str); 9] = [
    (
        r#""datacontenttype":"text/plain","data":"a\n\"\ud83d\ude00é\u0000""#,
        DataKind::Text,
        "a\n\"😀é\0",
    ),
    (r#""datacontenttype":"text/plain","data":"""#, DataKind::Text, ""),
    (
        r#""datacontenttype":"text/plain; charset=latin1","data":"é""#,
        DataKind::Text,
        "é",
    ),
    (
        r#""datacontenttype":"text/plain","data":{"a":[1]}"#,
        DataKind::Json,
        r#"{"a":[1]}"#,
    ),
    (
        r#""datacontenttype":"application/x+json","data":"s""#,
        DataKind::Json,
        r#""s""#,
    ),
    (r#""data":"s","datacontenttype":"text/csv""#, DataKind::Text, "s"),
    (
        r#""data_base64":"e30=","datacontenttype":"application/json""#,
        DataKind::Binary,
        "{}",
    ),
    (
        r#""data_base64":"","datacontenttype":"image/png""#,
        DataKind::Binary,
        "",
    ),
    (r#""data_base64":"aGk=","data":null"#, DataKind::Binary, "hi"),
];

#[test]
fn what_data_can_be() {
    for json in [
        "true",
        "-0.0",
        "1e400",
        "[]",
        "{}",
        r#""\ud800""#,
        "123456789012345678901234567890",
        r#"{"a":1,"a":2}"#,
        "\"null\"",
    ] {
        check_data(&format!(r#""data":{json}"#), DataKind::Json, json);
    }
    for (members, kind, text) in KINDS {
        check_data(members, kind, text);
    }
    for none in [
        r#""data":null"#,
        r#""data" : null "#,
        r#""data_base64":null"#,
        r#""data":null,"data_base64":null"#,
        r#""subject":"x""#,
    ] {
        assert_eq!(read(&with(none)).unwrap().data(), None, "{none}");
    }
}

#[test]
fn json_data_is_parsed_for_those_who_ask() {
    let table = [
        (r#""data":{"a":[1]}"#, Some("{\"a\":[1]}")),
        (
            r#""data_base64":"eyJhIjoxfQ==","datacontenttype":"application/json""#,
            Some("{\"a\":1}"),
        ),
        (r#""data_base64":"eyJhIjoxfQ==""#, Some("{\"a\":1}")),
        (r#""data_base64":"eyJhIjoxfQ==","datacontenttype":"image/png""#, None),
        (r#""data":"1","datacontenttype":"text/plain""#, None),
        (r#""data":1e400"#, None),
        (r#""subject":"x""#, None),
    ];
    for (members, expected) in table {
        let event = read(&with(members)).unwrap();
        assert_eq!(event.json().map(ToString::to_string).as_deref(), expected, "{members}");
    }
}

#[test]
fn batches() {
    let event = with(r#""data":[1]"#);
    assert_eq!(decode_batch(Bytes::from_static(b" [ ] ")), Ok(vec![]));
    let two = decode_batch(Bytes::from(format!("[{event}, {event}]"))).unwrap();
    assert_eq!(two, vec![read(&event).unwrap(); 2]);
    assert_eq!(decode_batch(Bytes::from(encode_batch(&[&two[0], &two[1]]))), Ok(two));
    assert_eq!(encode_batch(&[]), b"[]");

    let table = [
        (String::new(), "the body is empty"),
        (event.clone(), "expected a JSON array of events"),
        ("null".to_owned(), "expected an array of events at line 1"),
        (
            format!("[{event},7]"),
            "event 1: expected a JSON object, one event, found a number",
        ),
        (
            format!("[{event},{event},{{}}]"),
            "event 2: attribute `specversion` is required",
        ),
        (
            format!("[{event},{}]", with(r#""x":[]"#)),
            "event 1: attribute `x` must be",
        ),
        (
            format!("[[{event}]]"),
            "event 0: expected a JSON object, one event, found an array",
        ),
        (format!("[{event}"), "EOF while parsing a list at line 1"),
        (format!("[{event}]]"), "trailing characters at line 1"),
        (format!("[{event},]"), "at line 1"),
        ("[".repeat(100_000), "EOF while parsing"),
    ];
    for (json, expected) in table {
        let fault = decode_batch(Bytes::from(json.clone())).unwrap_err().to_string();
        assert!(fault.contains(expected), "{}: {fault}", &json[..json.len().min(200)]);
    }
}

#[test]
fn writing() {
    let json = r#"{"specversion":"1.0","id":"1\"\\é","source":"/s","type":"t","subject":"s","time":"2020-11-19T21:04:41+08:00","datacontenttype":"application/json","dataschema":"urn:x","b":true,"i":-5,"s":"5","data":{ "a" :1.0 }}"#;
    assert_eq!(String::from_utf8(encode(&read(json).unwrap())).unwrap(), json);
    let mut out = b"x".to_vec();
    encode_into(&read(&with(r#""data":null"#)).unwrap(), &mut out);
    assert_eq!(out, br#"x{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#);
}

#[test]
fn the_real_events_are_events_and_come_out_as_they_went_in() {
    for line in include_str!("../../../tests/fixtures/events/seeds.jsonl").lines() {
        let event = read(line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
        let data = std::str::from_utf8(&event.data().unwrap().bytes).unwrap();
        assert!(line.contains(data) && event.json().is_some(), "{line}");
        assert_eq!(decode(encode(&event).into()), Ok(event));
    }
}

#[test]
fn the_native_events_are_what_the_seeds_carry() {
    let seeds = include_str!("../../../tests/fixtures/events/seeds.jsonl");
    let logs = include_str!("../../../tests/fixtures/events/marathon.jsonl");
    let carried: Vec<Event> = seeds
        .lines()
        .map(|line| read(line).unwrap())
        .filter(|event| event.id().starts_with("marathon-"))
        .collect();
    let carried: Vec<&[u8]> = carried
        .iter()
        .skip(1)
        .map(|event| &event.data().unwrap().bytes[..])
        .collect();
    assert_eq!(carried, logs.lines().map(str::as_bytes).collect::<Vec<_>>());
    assert_eq!(logs.lines().count(), 70);
    for exact in include_str!("../../../tests/fixtures/events/mse.jsonl").lines() {
        refused::check(exact, "attribute `subject` must not be empty");
    }
}

proptest! {
    #[test]
    fn any_event_comes_back(draft in samples::draft()) {
        let event = draft.check().unwrap();
        prop_assert_eq!(decode(encode(&event).into()), Ok(event.clone()));
        prop_assert_eq!(decode_batch(encode_batch(&[&event, &event]).into()), Ok(vec![event.clone(), event]));
    }

    #[test]
    fn any_json_is_kept_as_it_was_written(data in samples::json()) {
        let text = with(&format!(r#""data" : {data} "#));
        let event = read(&text).unwrap();
        let kept = event.data().map(|data| data.bytes.to_vec());
        prop_assert_eq!(kept, (data != "null").then(|| data.into_bytes()));
        prop_assert_eq!(decode(encode(&event).into()), Ok(event));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in any::<String>()) {
        for input in [Bytes::from(bytes), Bytes::from(text)] {
            let _ = decode(input.clone());
            let _ = decode_batch(input);
        }
    }

    #[test]
    fn broken_events_never_panic(draft in samples::draft(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&draft.check().unwrap());
        let (at, cut) = (at.index(bytes.len()), cut.index(bytes.len()));
        bytes[at] = byte;
        if let Ok(event) = decode(Bytes::from(bytes.clone())) {
            let _ = event.json();
            prop_assert_eq!(decode(encode(&event).into()), Ok(event));
        }
        bytes.truncate(cut);
        prop_assert!(decode(Bytes::from(bytes)).is_err());
    }
}
