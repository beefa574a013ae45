//! Alibaba EventBridge's events: CloudEvents with looser rules, read into drafts, and written as its consumers know them.
//!
//! Looser: `time` may be a date and time with the name of a zone (`2020-11-19T21:04:42.179PRC`), `subject` may be empty,
//! data under a JSON media type may come as base64, and version 0.3 is spoken too. A hub's event is a CloudEvent, so
//! `time` becomes RFC 3339 and the producer's own spelling is kept in an extension; [`encode`] puts it back.
//! Why an extension: it survives the log, a restart and every other way out, at the cost of one attribute on the few
//! events that need it.
//!
//! Invariant: the producer's bytes of `data` are kept; base64 of JSON is the JSON inside.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::event::model::{Data, DataKind, Draft, Event, Invalid, Value};
use crate::event::{json, media, parse_rfc3339};
use crate::time::Timestamp;

/// The extension that keeps a `time` that is not RFC 3339, as it came.
pub const ORIGINAL_TIME: &str = "aliyunoriginaltime";

/// The members of one event, unread.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Reads one event of Alibaba's JSON; `input` is what `text` is a part of.
///
/// # Errors
/// The attribute at fault, and the rule.
pub fn read(text: &str, input: &Bytes) -> Result<Draft, Invalid> {
    let members: Members<'_> =
        serde_json::from_str(text).map_err(|fault| Invalid::new("event", format!("must be a JSON object: {fault}")))?;
    let version = required(&members, "specversion")?;
    if version != "1.0" && version != "0.3" {
        return Err(Invalid::new("specversion", "must be in [1.0,0.3]"));
    }
    let mut draft = Draft {
        id: required(&members, "id")?,
        source: required(&members, "source")?,
        ty: required(&members, "type")?,
        subject: optional(&members, "subject")?,
        datacontenttype: optional(&members, "datacontenttype")?,
        dataschema: optional(&members, "dataschema")?.or(optional(&members, "schemaurl")?),
        ..Draft::default()
    };
    set_time(&mut draft, optional(&members, "time")?)?;
    for (name, value) in &members {
        if !is_known(name)
            && let Some(value) = extension(name, value)?
        {
            set_extension(&mut draft, name, value);
        }
    }
    draft.data = data(&members, draft.datacontenttype.as_deref(), input)?;
    Ok(draft)
}

/// Writes an event as Alibaba's consumers know it: `time` as its producer wrote it.
pub fn encode(event: &Event) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.weight() + 256);
    let original = event.attribute(ORIGINAL_TIME);
    json::encode_with(event, original.as_deref().or(event.time()), ORIGINAL_TIME, &mut out);
    out
}

/// Sets `time`: RFC 3339 as it is, another form as RFC 3339 with the original beside it.
///
/// # Errors
/// It is no time in any form.
pub fn set_time(draft: &mut Draft, given: Option<String>) -> Result<(), Invalid> {
    let Some(text) = given else { return Ok(()) };
    if parse_rfc3339(&text).is_some() {
        draft.time = Some(text);
        return Ok(());
    }
    let Some(time) = parse_time(&text) else {
        let rule =
            "must be RFC 3339, or a date and time with a zone's name such as `2020-08-17T16:04:46.149Asia/Shanghai`";
        return Err(Invalid::new("time", rule));
    };
    draft.time = Some(time.to_string());
    set_extension(draft, ORIGINAL_TIME, Value::String(text));
    Ok(())
}

/// Sets an extension, whatever it was before.
pub fn set_extension(draft: &mut Draft, name: &str, value: Value) {
    draft.extensions.retain(|(known, _)| known != name);
    draft.extensions.push((name.to_owned(), value));
}

/// Parses a time: RFC 3339, or a date and time followed by a zone of the tz database.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Some(time) = parse_rfc3339(text) {
        return Some(time);
    }
    let (date_time, rest) = text.split_at_checked(19)?;
    let digits = rest.strip_prefix('.').map_or(0, |fraction| {
        1 + fraction.len() - fraction.trim_start_matches(|c: char| c.is_ascii_digit()).len()
    });
    let (fraction, zone) = rest.split_at_checked(digits)?;
    let zone = TimeZone::get(zone.trim()).ok()?;
    let local: jiff::civil::DateTime = format!("{}{fraction}", date_time.replacen(' ', "T", 1)).parse().ok()?;
    let at = zone.to_ambiguous_timestamp(local).compatible().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

fn is_known(name: &str) -> bool {
    const KNOWN: [&str; 12] = [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "schemaurl",
        "datacontentencoding",
        "data",
        "data_base64",
    ];
    KNOWN.contains(&name)
}

fn required(members: &Members<'_>, name: &str) -> Result<String, Invalid> {
    optional(members, name)?.ok_or_else(|| Invalid::new(name, "is required"))
}

/// A text; an empty one is none, which is how this producer spells it.
fn optional(members: &Members<'_>, name: &str) -> Result<Option<String>, Invalid> {
    let Some(raw) = members.get(name) else { return Ok(None) };
    let text: Option<String> = serde_json::from_str(raw.get()).map_err(|_| Invalid::new(name, "must be a string"))?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn extension(name: &str, raw: &RawValue) -> Result<Option<Value>, Invalid> {
    let value: serde_json::Value = serde_json::from_str(raw.get())
        .map_err(|fault| Invalid::new(name, format!("is no readable value: {fault}")))?;
    Ok(match value {
        serde_json::Value::Null => None,
        serde_json::Value::Bool(value) => Some(Value::Boolean(value)),
        serde_json::Value::String(text) => Some(Value::String(text)),
        serde_json::Value::Number(number) => {
            Some(match number.as_i64().and_then(|number| i32::try_from(number).ok()) {
                Some(number) => Value::Integer(number),
                None => Value::String(number.to_string()),
            })
        }
        _ => return Err(Invalid::new(name, "must be a string, a number or a boolean")),
    })
}

fn data(members: &Members<'_>, media_type: Option<&str>, input: &Bytes) -> Result<Option<Data>, Invalid> {
    let encoded = match optional(members, "datacontentencoding")?.as_deref() {
        Some("base64") => optional(members, "data")?,
        _ => None,
    };
    if let Some(text) = encoded.or(optional(members, "data_base64")?) {
        let bytes = BASE64
            .decode(text)
            .map_err(|fault| Invalid::new("data_base64", format!("must be base64: {fault}")))?;
        return Ok(Some(of_bytes(media_type, bytes.into())));
    }
    let Some(raw) = members.get("data").filter(|raw| raw.get() != "null") else {
        return Ok(None);
    };
    if !media::is_json(media_type) && raw.get().starts_with('"') {
        let text: String = serde_json::from_str(raw.get())
            .map_err(|fault| Invalid::new("data", format!("is no readable string: {fault}")))?;
        return Ok(Some(Data {
            kind: DataKind::Text,
            bytes: text.into(),
        }));
    }
    Ok(Some(Data {
        kind: DataKind::Json,
        bytes: input.slice_ref(raw.get().as_bytes()),
    }))
}

/// Data that came as bytes: JSON or text if its media type says so and it is.
pub fn of_bytes(media_type: Option<&str>, bytes: Bytes) -> Data {
    Data {
        kind: media::kind_of(media_type, &bytes),
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Event, String> {
        let input = Bytes::copy_from_slice(text.as_bytes());
        let draft = read(std::str::from_utf8(&input).unwrap(), &input).map_err(|fault| fault.to_string())?;
        draft.check().map_err(|fault| fault.to_string())
    }

    const SEED: &str = r#"{"specversion":"1.0","subject":"","source":"acs.mse","data":{"framework":"DUBBO", "n":1.0},"datacontenttype":"application/json","type":"mse:Agent:GracefulShutdown","id":"0d6a3880-cc34-45ac-a53e-d26ae218****","time":"2020-11-19T21:04:42.179PRC","aliyunregionid":"cn-hangzhou","n":7,"big":12345678901,"gone":null}"#;

    #[test]
    fn the_event_of_the_seed_is_an_event() {
        let event = read_text(SEED).unwrap();
        assert_eq!(
            (event.subject(), event.time()),
            (None, Some("2020-11-19T13:04:42.179Z"))
        );
        assert_eq!(
            event.attribute(ORIGINAL_TIME).as_deref(),
            Some("2020-11-19T21:04:42.179PRC")
        );
        assert_eq!(event.attribute("big").as_deref(), Some("12345678901"));
        assert_eq!(event.data().unwrap().bytes, r#"{"framework":"DUBBO", "n":1.0}"#);
        let written = String::from_utf8(encode(&event)).unwrap();
        assert!(
            written.contains(r#""time":"2020-11-19T21:04:42.179PRC""#) && !written.contains(ORIGINAL_TIME),
            "{written}"
        );
        let again = read_text(&written).unwrap();
        assert_eq!(again.attribute(ORIGINAL_TIME), event.attribute(ORIGINAL_TIME));
    }

    #[test]
    fn times_of_both_forms_are_read() {
        let check = |text: &str, time: Option<&str>| {
            assert_eq!(parse_time(text).map(|time| time.to_string()).as_deref(), time, "{text}")
        };
        check("2020-11-19T21:04:41+08:00", Some("2020-11-19T13:04:41.000Z"));
        check("2020-11-19T21:04:42.179PRC", Some("2020-11-19T13:04:42.179Z"));
        check("2020-08-17T16:04:46.149Asia/Shanghai", Some("2020-08-17T08:04:46.149Z"));
        check("2020-08-17T16:04:46Europe/Berlin", Some("2020-08-17T14:04:46.000Z"));
        check("2020-08-17 16:04:46.1UTC", Some("2020-08-17T16:04:46.100Z"));
        for bad in [
            "",
            "2020-08-17T16:04:46",
            "2020-08-17T16:04:46.149Nowhere/Land",
            "yesterday",
            "2020-13-17T16:04:46PRC",
            "ä",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn base64_of_json_is_the_json_inside() {
        let event = |media: &str, rest: &str| {
            format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"{media}",{rest}}}"#)
        };
        for (text, kind, bytes) in [
            (
                event("application/json; charset=utf-8", r#""data_base64":"eyJhIjoxfQ==""#),
                DataKind::Json,
                "{\"a\":1}",
            ),
            (event("text/plain", r#""data_base64":"aGk=""#), DataKind::Text, "hi"),
            (event("text/plain", r#""data":"hi""#), DataKind::Text, "hi"),
            (
                event("application/json", r#""datacontentencoding":"base64","data":"WzFd""#),
                DataKind::Json,
                "[1]",
            ),
            (event("application/json", r#""data":"hi""#), DataKind::Json, "\"hi\""),
        ] {
            let data = read_text(&text).unwrap().data().cloned().unwrap();
            assert_eq!((data.kind, data.bytes.as_ref()), (kind, bytes.as_bytes()), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_and_written_is_read_again(text in "\\PC{0,40}", time in "[0-9T:. +-]{0,30}[A-Za-z/]{0,12}") {
            let _ = parse_time(&text);
            let _ = parse_time(&time);
            let event = serde_json::json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "time": time, "x": text});
            let _ = read_text(&text);
            if let Ok(event) = read_text(&event.to_string()) {
                let written = String::from_utf8(encode(&event)).unwrap();
                proptest::prop_assert_eq!(read_text(&written), Ok(event));
            }
        }
    }

    #[test]
    fn a_fault_names_its_attribute() {
        for (text, part) in [
            ("[]", "must be a JSON object"),
            ("{}", "`specversion` is required"),
            (r#"{"specversion":"2.0"}"#, "must be in [1.0,0.3]"),
            (r#"{"specversion":"1.0","id":7}"#, "`id` must be a string"),
            (
                r#"{"specversion":"1.0","id":"","source":"s","type":"t"}"#,
                "`id` is required",
            ),
            (
                r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"now"}"#,
                "`time` must be RFC 3339",
            ),
            (
                r#"{"specversion":"1.0","id":"1","source":"s","type":"t","x":[]}"#,
                "`x` must be a string, a number",
            ),
            (
                r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"%"}"#,
                "must be base64",
            ),
        ] {
            let fault = read_text(text).unwrap_err();
            assert!(fault.contains(part), "{text}: {fault}");
        }
    }
}
