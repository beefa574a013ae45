//! Any valid event, for property tests.

use bytes::Bytes;
use proptest::prelude::*;

use super::model::{Data, DataKind, Draft, Value};

/// Any valid draft; its data is of every kind.
pub(super) fn draft() -> impl Strategy<Value = Draft> {
    let required = (text(), reference(), text());
    let optional = (
        opt(text()),
        opt(time()),
        opt(Just("https://example.com/schema?v=1".to_owned())),
    );
    let extensions = prop::collection::btree_map("x[a-z0-9]{0,24}", value(), 0..5);
    (required, optional, extensions, content()).prop_map(
        |((id, source, ty), (subject, time, dataschema), extensions, (datacontenttype, data))| Draft {
            id,
            source,
            ty,
            subject,
            time,
            dataschema,
            datacontenttype,
            extensions: extensions.into_iter().collect(),
            data,
        },
    )
}

/// Any JSON text, as oddly spelled as JSON allows. No outer spaces: those are no part of the value.
pub(super) fn json() -> impl Strategy<Value = String> {
    let spelled = [
        "null",
        "true",
        "0",
        "-0",
        "-0.0",
        "1E+2",
        "1e-400",
        "1e400",
        "12345678901234567890123",
        "0.10",
        r#""""#,
        r#""\u0041\/\ud83d\ude00""#,
        r#""\ud800""#,
        r#""}]\"\\""#,
        "\"é😀\u{7f}\"",
    ];
    let leaf = prop::sample::select(spelled.to_vec()).prop_map(str::to_owned);
    let space = || prop::sample::select(vec!["", " ", "\n\t", "\r\n  "]);
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let items = prop::collection::vec(inner, 0..4);
        (items, space(), space(), any::<bool>()).prop_map(|(items, before, after, object)| {
            let name = |item| {
                if object {
                    format!(r#"{before}"k\n"{after}:{before}{item}{after}"#)
                } else {
                    format!("{before}{item}{after}")
                }
            };
            let inside = items.into_iter().map(name).collect::<Vec<_>>().join(",");
            if object {
                format!("{{{inside}{before}}}")
            } else {
                format!("[{inside}{before}]")
            }
        })
    })
}

fn content() -> impl Strategy<Value = (Option<String>, Option<Data>)> {
    let data = |kind, bytes: Vec<u8>| {
        Some(Data {
            kind,
            bytes: Bytes::from(bytes),
        })
    };
    let json_type = || {
        opt(
            prop::sample::select(vec!["application/json", "application/vnd.x+json; charset=\"utf-8\""])
                .prop_map(str::to_owned),
        )
    };
    let text_type =
        prop::sample::select(vec!["text/plain", "application/xml", "text/csv; charset=UTF-8"]).prop_map(str::to_owned);
    let other_type = prop::sample::select(vec![
        "image/png",
        "application/octet-stream",
        "application/x; a=\"b;c\"",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        (json_type(), json()).prop_map(move |(media, json)| (
            media,
            data(DataKind::Json, json.into_bytes()).filter(|data| data.bytes != "null")
        )),
        (text_type, any::<String>())
            .prop_map(move |(media, text)| (Some(media), data(DataKind::Text, text.into_bytes()))),
        (other_type, any::<Vec<u8>>()).prop_map(move |(media, bytes)| (Some(media), data(DataKind::Binary, bytes))),
        json_type().prop_map(|media| (media, None)),
    ]
}

fn opt<T: std::fmt::Debug>(some: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(some)
}

/// Any text that an attribute may have.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{1,20}", r#"[ -~é€😀"%\\]{1,12}"#, "\\PC{1,8}"].prop_filter("noncharacters", |text| {
        !text.is_empty()
            && !text.chars().any(|letter| {
                letter.is_control()
                    || matches!(u32::from(letter), 0xFDD0..=0xFDEF)
                    || u32::from(letter) & 0xFFFE == 0xFFFE
            })
    })
}

fn reference() -> impl Strategy<Value = String> {
    prop_oneof![
        "/([a-z0-9?=&@:][a-z0-9/?=&@:]{0,20})?",
        Just("acs.mse".to_owned()),
        Just("https://u@[::1]:80/%20?q#f".to_owned())
    ]
}

fn time() -> impl Strategy<Value = String> {
    "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,12})?([Zz]|[+-](0[0-9]|1[0-3]):[0-5][0-9])"
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Integer),
        text().prop_map(Value::String),
        Just(Value::String(String::new())),
    ]
}
