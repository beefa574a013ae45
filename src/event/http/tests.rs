//! The HTTP binding: modes, headers, bodies, and round trips.

mod refused;

use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::event::DecodeError;
use crate::event::model::{DataKind, Draft, Value};
use crate::event::samples;

const REQUIRED: &str = "ce-specversion: 1.0\nce-id: 1\nce-source: /s\nce-type: t\n";

fn headers(lines: &str) -> HeaderMap {
    let lines = lines.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

fn read(lines: &str, body: &[u8]) -> Result<Decoded, DecodeError> {
    decode(&headers(lines), Bytes::copy_from_slice(body))
}

/// The one event of a binary request with these headers beside the required ones.
#[track_caller]
fn binary(lines: &str, body: &[u8]) -> Event {
    let decoded = read(&format!("{REQUIRED}{lines}"), body).unwrap();
    assert_eq!((decoded.mode, decoded.events.len()), (Mode::Binary, 1));
    decoded.events.into_iter().next().unwrap()
}

/// What goes out, as one would see it on the wire.
fn shown(encoded: &Encoded) -> String {
    let head: String = encoded
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    format!("{head}\n{}", String::from_utf8_lossy(&encoded.body))
}

fn event(datacontenttype: Option<&str>, kind: DataKind, bytes: &'static [u8]) -> Event {
    let data = Some(crate::event::Data {
        kind,
        bytes: Bytes::from_static(bytes),
    });
    let draft = Draft {
        id: "1".into(),
        source: "/s".into(),
        ty: "t".into(),
        datacontenttype: datacontenttype.map(Into::into),
        data,
        ..Draft::default()
    };
    draft.check().unwrap()
}

#[test]
fn content_type_chooses_the_mode() {
    let one = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":[1]}"#;
    let batch = format!("[{one},{one}]");
    let table = [
        ("application/cloudevents+json", one, Mode::Structured, 1),
        ("application/cloudevents+json; charset=UTF-8", one, Mode::Structured, 1),
        (
            "Application/CloudEvents+JSON ;charset=\"utf-8\"",
            one,
            Mode::Structured,
            1,
        ),
        ("application/cloudevents-batch+json", &batch, Mode::Batch, 2),
        ("application/cloudevents-batch+json;charset=utf-8", "[]", Mode::Batch, 0),
    ];
    for (media_type, body, mode, count) in table {
        let decoded = read(&format!("content-type: {media_type}\nce-id: ignored"), body.as_bytes()).unwrap();
        assert_eq!((decoded.mode, decoded.events.len()), (mode, count), "{media_type}");
    }
    for media_type in [
        "application/json",
        "text/plain",
        "application/octet-stream",
        "application/xcloudevents+json",
    ] {
        assert_eq!(
            binary(&format!("content-type: {media_type}"), b"[]").datacontenttype(),
            Some(media_type)
        );
    }
}

#[test]
fn the_example_of_the_specification() {
    let lines = "ce-specversion: 1.0\nce-type: com.example.someevent\nce-time: 2018-04-05T03:56:24Z\nce-id: 1234-1234-1234\nce-source: /mycontext/subcontext\nce-comexampleextension1: value\ncontent-type: application/json; charset=utf-8";
    let decoded = read(lines, br#"{ "a": 1 }"#).unwrap();
    let event = &decoded.events[0];
    assert_eq!(
        (event.id(), event.source(), event.ty()),
        ("1234-1234-1234", "/mycontext/subcontext", "com.example.someevent")
    );
    assert_eq!(
        (event.time(), event.datacontenttype()),
        (Some("2018-04-05T03:56:24Z"), Some("application/json; charset=utf-8"))
    );
    assert_eq!(
        event.extensions(),
        [("comexampleextension1".to_owned(), Value::String("value".into()))]
    );
    assert_eq!(
        (event.data().unwrap().kind, &event.data().unwrap().bytes[..]),
        (DataKind::Json, &br#"{ "a": 1 }"#[..])
    );
    assert_eq!(
        shown(&encode(Mode::Binary, event)),
        "ce-specversion: 1.0\nce-id: 1234-1234-1234\nce-source: /mycontext/subcontext\nce-type: com.example.someevent\nce-time: 2018-04-05T03:56:24Z\nce-comexampleextension1: value\ncontent-type: application/json; charset=utf-8\n\n{ \"a\": 1 }"
    );
}

#[test]
fn header_values_are_decoded_once() {
    let event = binary(
        "ce-subject: Euro%20%E2%82%AC%20%F0%9F%98%80\nce-a: \"x \\\"y\\\"\"\nce-b: raw € 100%\nce-c: %2541\nce-d: ",
        b"",
    );
    assert_eq!(event.subject(), Some("Euro € 😀"));
    for (name, expected) in [("a", "x \"y\""), ("b", "raw € 100%"), ("c", "%41"), ("d", "")] {
        assert_eq!(event.attribute(name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn the_body_is_what_its_media_type_says() {
    let table: [(&str, &[u8], Option<DataKind>); 16] = [
        ("", b"", None),
        ("", b" {\"a\":1}\n", Some(DataKind::Json)),
        ("", b"hello", Some(DataKind::Binary)),
        ("", b"\xff", Some(DataKind::Binary)),
        ("", b"null", None),
        ("content-type: application/json", b"", None),
        ("content-type: application/json", b"\"s\"", Some(DataKind::Json)),
        ("content-type: application/vnd.x+json", b"1", Some(DataKind::Json)),
        (
            "content-type: application/json; charset=utf-16",
            b"\xfe\xff\x00\x31",
            Some(DataKind::Binary),
        ),
        ("content-type: text/plain", b"", None),
        ("content-type: text/plain", b"{}", Some(DataKind::Text)),
        ("content-type: text/plain", b"\xe9", Some(DataKind::Binary)),
        (
            "content-type: text/plain; charset=iso-8859-1",
            b"\xe9",
            Some(DataKind::Binary),
        ),
        (
            "content-type: text/plain; charset=iso-8859-1",
            b"e",
            Some(DataKind::Binary),
        ),
        ("content-type: application/xml", b"<a/>", Some(DataKind::Text)),
        ("content-type: application/octet-stream", b"{}", Some(DataKind::Binary)),
    ];
    for (line, body, kind) in table {
        let event = binary(line, body);
        assert_eq!(
            event.data().map(|data| (data.kind, &data.bytes[..])),
            kind.map(|kind| (kind, body)),
            "{line} {body:?}"
        );
        assert_eq!(event.datacontenttype(), line.strip_prefix("content-type: "));
    }
}

type Out = (
    Option<&'static str>,
    DataKind,
    &'static [u8],
    &'static str,
    &'static str,
);

/// What is held (media type, kind, bytes), and what goes out (media type, members).
const OUT: [Out; 7] = [
    (None, DataKind::Json, b"{ }", "application/json", r#""data":{ }"#),
    (Some("text/json"), DataKind::Json, b"1", "text/json", r#""data":1"#),
    (
        None,
        DataKind::Binary,
        b"\x01",
        "application/octet-stream",
        r#""data_base64":"AQ==""#,
    ),
    (
        Some("image/png"),
        DataKind::Binary,
        b"\x01",
        "image/png",
        r#""data_base64":"AQ==""#,
    ),
    (
        Some("text/plain"),
        DataKind::Text,
        b"\xc3\xa9\"",
        "text/plain",
        r#""data":"é\"""#,
    ),
    (
        Some("text/x; charset=latin1"),
        DataKind::Text,
        b"\xc3\xa9",
        "text/x; charset=utf-8",
        r#""data":"é""#,
    ),
    (
        Some("text/x; charset=latin1"),
        DataKind::Binary,
        b"\xe9",
        "text/x; charset=latin1",
        r#""data_base64":"6Q==""#,
    ),
];

#[test]
fn what_goes_out() {
    for (media_type, kind, bytes, content_type, members) in OUT {
        let event = event(media_type, kind, bytes);
        let body = String::from_utf8_lossy(bytes);
        let held = media_type
            .map(|held| format!(r#""datacontenttype":"{held}","#))
            .unwrap_or_default();
        let document = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t",{held}{members}}}"#);
        let check = |encoded: Encoded, expected: String| assert_eq!(shown(&encoded), expected);
        check(
            encode(Mode::Raw, &event),
            format!("content-type: {content_type}\n\n{body}"),
        );
        check(
            encode(Mode::Binary, &event),
            format!("{REQUIRED}content-type: {content_type}\n\n{body}"),
        );
        check(
            encode(Mode::Structured, &event),
            format!("content-type: {STRUCTURED}\n\n{document}"),
        );
        check(
            encode(Mode::Batch, &event),
            format!("content-type: {BATCH}\n\n[{document}]"),
        );
        check(
            encode_batch(&[&event, &event]),
            format!("content-type: {BATCH}\n\n[{document},{document}]"),
        );
        assert_eq!(
            encode(Mode::Raw, &event).body.as_ptr(),
            event.data().unwrap().bytes.as_ptr(),
            "copied"
        );
    }
    let empty = binary("", b"");
    assert_eq!(shown(&encode(Mode::Raw, &empty)), "\n");
    assert_eq!(shown(&encode(Mode::Binary, &empty)), format!("{REQUIRED}\n"));
}

proptest! {
    #[test]
    fn documents_come_back(draft in samples::draft()) {
        let event = draft.check().unwrap();
        for mode in [Mode::Structured, Mode::Batch] {
            let encoded = encode(mode, &event);
            let headers = encoded.headers.into_iter().collect();
            prop_assert_eq!(decode(&headers, encoded.body), Ok(Decoded { mode, events: vec![event.clone()] }));
        }
    }

    #[test]
    fn binary_requests_come_back(draft in samples::draft()) {
        let event = draft.clone().check().unwrap();
        let encoded = encode(Mode::Binary, &event);
        let headers = encoded.headers.into_iter().collect();
        let decoded = decode(&headers, encoded.body);

        // What a header cannot say: the types of values, empty data, JSON that is only implied.
        let mut expected = draft;
        expected.extensions = expected.extensions.into_iter().map(|(name, value)| (name, Value::String(value.as_str().into_owned()))).collect();
        if expected.data.is_some() {
            expected.datacontenttype.get_or_insert_with(|| "application/json".to_owned());
        }
        expected.data = expected.data.filter(|data| !data.bytes.is_empty());
        let mut decoded = decoded.unwrap().events.remove(0).to_draft();
        decoded.extensions.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(decoded, expected);
    }

    #[test]
    fn arbitrary_requests_never_panic(
        media_type in prop::sample::select(vec!["", STRUCTURED, BATCH, "application/json", "text/plain", "application/cloudevents;;;"]),
        values in prop::collection::vec((prop::sample::select(vec!["id", "type", "source", "time", "x", "", "-", "data"]), any::<Vec<u8>>()), 0..8),
        body in any::<Vec<u8>>(),
    ) {
        let mut headers = headers("ce-specversion: 1.0");
        if !media_type.is_empty() {
            headers.insert("content-type", HeaderValue::from_static(media_type));
        }
        for (name, value) in values {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(format!("ce-{name}").parse::<HeaderName>().unwrap(), value);
            }
        }
        if let Ok(decoded) = decode(&headers, body.into()) {
            for event in &decoded.events {
                let encoded = encode(Mode::Binary, event);
                prop_assert!(decode(&encoded.headers.into_iter().collect(), encoded.body).is_ok());
            }
        }
    }
}
