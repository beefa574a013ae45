//! The HTTP binding: modes, headers, bodies, and round trips.

use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::error::Error;
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
        (
            "application/cloudevents+json; charset=UTF-8",
            one,
            Mode::Structured,
            1,
        ),
        (
            "Application/CloudEvents+JSON ;charset=\"utf-8\"",
            one,
            Mode::Structured,
            1,
        ),
        ("application/cloudevents-batch+json", &batch, Mode::Batch, 2),
        (
            "application/cloudevents-batch+json;charset=utf-8",
            "[]",
            Mode::Batch,
            0,
        ),
    ];
    for (media_type, body, mode, count) in table {
        let decoded = read(
            &format!("content-type: {media_type}\nce-id: ignored"),
            body.as_bytes(),
        )
        .unwrap();
        assert_eq!(
            (decoded.mode, decoded.events.len()),
            (mode, count),
            "{media_type}"
        );
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
            (
                "unsupported_media_type",
                crate::error::Kind::UnsupportedMedia
            )
        );
        assert!(
            error.message().contains(STRUCTURED) && error.message().contains(BATCH),
            "{error}"
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
        (
            "1234-1234-1234",
            "/mycontext/subcontext",
            "com.example.someevent"
        )
    );
    assert_eq!(
        (event.time(), event.datacontenttype()),
        (
            Some("2018-04-05T03:56:24Z"),
            Some("application/json; charset=utf-8")
        )
    );
    assert_eq!(
        event.extensions(),
        [(
            "comexampleextension1".to_owned(),
            Value::String("value".into())
        )]
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
    for (name, expected) in [
        ("a", "x \"y\""),
        ("b", "raw € 100%"),
        ("c", "%41"),
        ("d", ""),
    ] {
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
        (
            "content-type: application/json",
            b"\"s\"",
            Some(DataKind::Json),
        ),
        (
            "content-type: application/vnd.x+json",
            b"1",
            Some(DataKind::Json),
        ),
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
        (
            "content-type: application/xml",
            b"<a/>",
            Some(DataKind::Text),
        ),
        (
            "content-type: application/octet-stream",
            b"{}",
            Some(DataKind::Binary),
        ),
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

#[test]
fn faults_are_named() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let huge = format!("{REQUIRED}ce-x: {}%00", "a".repeat(1_000_000));
    let with = |lines: &str| format!("{REQUIRED}{lines}");
    let table: [(String, &[u8], &str, &str); 21] = [
        (
            String::new(),
            b"{}",
            "invalid_event",
            "attribute `specversion` is required: send the header `ce-specversion: 1.0`",
        ),
        (
            "content-type: application/json".into(),
            b"{}",
            "invalid_event",
            "`application/cloudevents+json`",
        ),
        (
            "ce-specversion: 0.3".into(),
            b"",
            "invalid_event",
            "attribute `specversion` must be `1.0`",
        ),
        (
            "ce-specversion: 1.0".into(),
            b"",
            "invalid_event",
            "attribute `id` is required (the header `ce-id`)",
        ),
        (
            REQUIRED.replace("ce-source", "ce-x"),
            b"",
            "invalid_event",
            "attribute `source` is required",
        ),
        (
            REQUIRED.replace("ce-type: t", "ce-type: "),
            b"",
            "invalid_event",
            "attribute `type` must not be empty",
        ),
        (
            with("ce-id: 2"),
            b"",
            "invalid_event",
            "attribute `id` must not be given twice (the header `ce-id`)",
        ),
        (
            with("ce-x: 2\nce-x: 2"),
            b"",
            "invalid_event",
            "attribute `x` must not be given twice",
        ),
        (
            with("content-type: a/b\ncontent-type: a/b"),
            b"",
            "invalid_event",
            "attribute `datacontenttype` must not be given twice",
        ),
        (
            with("content-type: nonsense"),
            b"x",
            "invalid_event",
            "attribute `datacontenttype` must be a media type",
        ),
        (
            with("content-type: text/é"),
            b"x",
            "invalid_event",
            "attribute `datacontenttype` (the header Content-Type)",
        ),
        (
            with("ce-datacontenttype: a/b"),
            b"",
            "invalid_event",
            "attribute `datacontenttype` is the header Content-Type",
        ),
        (
            with("ce-subject: %FF"),
            b"",
            "invalid_event",
            "attribute `subject` must be percent-encoded UTF-8 (the header `ce-subject`)",
        ),
        (
            with("ce-time: now"),
            b"",
            "invalid_event",
            "attribute `time` must be an RFC 3339",
        ),
        (
            with("ce-my_ext: x"),
            b"",
            "invalid_event",
            "attribute `my_ext` is no attribute name",
        ),
        (
            with("ce-data: x"),
            b"",
            "invalid_event",
            "`data` is the name of the data",
        ),
        (
            with("ce-x: a%0Ab"),
            b"",
            "invalid_event",
            "attribute `x` must not contain the character U+000A",
        ),
        (
            with("content-type: application/json"),
            b"{\n]",
            "malformed_json",
            "Content-Type says it is: key must be a string at line 2 column 1",
        ),
        (
            with("content-type: application/json"),
            b"\"\xff\"",
            "malformed_json",
            "not UTF-8 at line 1 column 2",
        ),
        (with(""), &deep, "invalid_event", "`data` must not nest"),
        (
            huge,
            b"",
            "invalid_event",
            "attribute `x` must not contain the character U+0000",
        ),
    ];
    for (lines, body, code, message) in table {
        let error = Error::from(read(&lines, body).expect_err(message));
        assert_eq!(error.code(), code, "{error}");
        assert!(
            error.message().contains(message),
            "{error}\n want: {message}"
        );
    }
    for (media_type, body, code) in [
        (STRUCTURED, "", "malformed_json"),
        (STRUCTURED, "[]", "invalid_event"),
        (BATCH, "{}", "invalid_event"),
        (BATCH, "[{}]", "invalid_event"),
    ] {
        assert_eq!(
            Error::from(read(&format!("content-type: {media_type}"), body.as_bytes()).unwrap_err())
                .code(),
            code,
            "{body}"
        );
    }
    let error = Error::from(read(&format!("content-type: {BATCH}"), b"[{}]").unwrap_err());
    assert!(
        error
            .message()
            .starts_with("event 0: attribute `specversion`"),
        "{error}"
    );
}

#[test]
fn what_goes_out() {
    let table = [
        (
            None,
            DataKind::Json,
            b"{ }".as_slice(),
            "application/json",
            r#""data":{ }"#,
        ),
        (
            Some("text/json"),
            DataKind::Json,
            b"1",
            "text/json",
            r#""datacontenttype":"text/json","data":1"#,
        ),
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
            r#""datacontenttype":"image/png","data_base64":"AQ==""#,
        ),
        (
            Some("text/plain"),
            DataKind::Text,
            "é\"".as_bytes(),
            "text/plain",
            r#""datacontenttype":"text/plain","data":"é\"""#,
        ),
        (
            Some("text/plain; charset=latin1"),
            DataKind::Text,
            "é".as_bytes(),
            "text/plain; charset=utf-8",
            r#""datacontenttype":"text/plain; charset=latin1","data":"é""#,
        ),
        (
            Some("text/plain; charset=latin1"),
            DataKind::Binary,
            b"\xe9",
            "text/plain; charset=latin1",
            r#""datacontenttype":"text/plain; charset=latin1","data_base64":"6Q==""#,
        ),
    ];
    for (media_type, kind, bytes, content_type, members) in table {
        let event = event(media_type, kind, bytes);
        let body = String::from_utf8_lossy(bytes);
        let document =
            format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t",{members}}}"#);
        assert_eq!(
            shown(&encode(Mode::Raw, &event)),
            format!("content-type: {content_type}\n\n{body}")
        );
        assert_eq!(
            shown(&encode(Mode::Binary, &event)),
            format!("{REQUIRED}content-type: {content_type}\n\n{body}")
        );
        assert_eq!(
            shown(&encode(Mode::Structured, &event)),
            format!("content-type: {STRUCTURED}\n\n{document}")
        );
        assert_eq!(
            shown(&encode(Mode::Batch, &event)),
            format!("content-type: {BATCH}\n\n[{document}]")
        );
        assert_eq!(
            shown(&encode_batch(&[&event, &event])),
            format!("content-type: {BATCH}\n\n[{document},{document}]")
        );
        assert_eq!(
            encode(Mode::Raw, &event).body.as_ptr(),
            event.data().unwrap().bytes.as_ptr(),
            "copied"
        );
    }
    let empty = binary("", b"");
    assert_eq!(shown(&encode(Mode::Raw, &empty)), "\n");
    assert_eq!(
        shown(&encode(Mode::Binary, &empty)),
        format!("{REQUIRED}\n")
    );
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
