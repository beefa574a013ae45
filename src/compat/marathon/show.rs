//! An event as Marathon's clients know it: its name, and one line of JSON.
//!
//! What has Marathon's shape is shown as it came. Anything else is shown only to who asked for its type by name: the
//! members of its data, with `eventType` and `timestamp` beside them.
//! Why a type that Marathon does not know must also be the event's own: an event of another world may have a field
//! `eventType`, and marathon-python ends its stream at a type it does not know.
//! Invariant: one line: line breaks stand between a JSON text's parts only, and are left out.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::members::Members;
use crate::event::{DataKind, Event, native, parse_rfc3339};
use crate::log::Record;

/// What a client asked to see.
#[derive(Debug, Default)]
pub(super) struct View {
    /// `event_type`: these types only; none: all of Marathon's.
    pub(super) types: HashSet<String>,
    /// `plan-format=light`: plans without the groups before and after.
    pub(super) light: bool,
}

/// An event as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its `event`.
    pub(super) name: String,
    /// Its `data`.
    pub(super) json: String,
}

impl View {
    /// The event, if this client is to see it.
    pub(super) fn show(&self, record: &Record) -> Option<Shown> {
        let event = &record.event;
        if let Some(name) = native_type(event) {
            let wanted = self.types.is_empty() || self.names(name) || self.names(event.ty());
            return wanted.then(|| self.as_it_came(name, record)).flatten();
        }
        self.names(event.ty()).then(|| mapped(record))
    }

    fn names(&self, ty: &str) -> bool {
        self.types.contains(ty)
    }

    fn as_it_came(&self, name: &str, record: &Record) -> Option<Shown> {
        let data = record.event.data()?;
        let text = std::str::from_utf8(&data.bytes).ok()?;
        let mut changed = None;
        if self.light && text.contains("\"plan\"") {
            changed = light(text);
        }
        if name == "framework_message_event" {
            changed = message_as_text(&record.event, text).or(changed);
        }
        // Clients read it without looking whether it is there; Marathon itself always writes it.
        if record.event.json().and_then(|json| json.get("timestamp")).is_none() {
            let mut members = Members::of(changed.as_deref().unwrap_or(text))?;
            members.set_text("timestamp", &timestamp(record));
            let stamped = members.to_string();
            changed = Some(stamped);
        }
        Some(Shown {
            name: name.to_owned(),
            json: one_line(changed.as_deref().unwrap_or(text)),
        })
    }
}

/// The `eventType` of an event of Marathon's kind.
fn native_type(event: &Event) -> Option<&str> {
    let json = event.json()?;
    let named = json.get("eventType")?.as_str()?;
    let own = named == event.ty() || native::marathon::is_known(named);
    // A line break in a name would end the frame's line.
    (native::marathon::is(json) && own && !named.chars().any(char::is_control)).then_some(named)
}

/// An event of another origin.
fn mapped(record: &Record) -> Shown {
    let event = &record.event;
    let text = event.data().and_then(|data| std::str::from_utf8(&data.bytes).ok());
    let object = event
        .json()
        .filter(|json| json.is_object())
        .and(text)
        .and_then(Members::of);
    let mut members = object.unwrap_or_else(|| bare(event));
    members.set_text("eventType", event.ty());
    members.set_text("timestamp", &timestamp(record));
    Shown {
        name: event.ty().to_owned(),
        json: one_line(&members.to_string()),
    }
}

/// Data that is no object, as the JSON format names it.
fn bare(event: &Event) -> Members<'static> {
    let mut members = Members::none();
    if let Some(data) = event.data() {
        let text = String::from_utf8_lossy(&data.bytes);
        match data.kind {
            DataKind::Json => members.set("data", text.into_owned()),
            DataKind::Text => members.set_text("data", &text),
            DataKind::Binary => members.set_text("data_base64", &BASE64.encode(&data.bytes)),
        }
    }
    members
}

/// UTC with three digits, as Marathon writes it.
fn timestamp(record: &Record) -> String {
    let own = record.event.time().and_then(parse_rfc3339);
    own.unwrap_or(record.received).to_string()
}

fn light(text: &str) -> Option<String> {
    let mut members = Members::of(text)?;
    let mut plan = Members::of(members.get("plan")?)?;
    plan.remove("original");
    plan.remove("target");
    let plan = plan.to_string();
    members.set("plan", plan);
    Some(members.to_string())
}

/// Some versions wrote `message` as an array of signed bytes; clients read a base64 text, as the others wrote it.
fn message_as_text(event: &Event, text: &str) -> Option<String> {
    let numbers = event.json()?.get("message")?.as_array()?;
    let byte = |number: &Value| i8::try_from(number.as_i64()?).ok().map(i8::cast_unsigned);
    let bytes: Vec<u8> = numbers.iter().map(byte).collect::<Option<_>>()?;
    let mut members = Members::of(text)?;
    members.set_text("message", &BASE64.encode(bytes));
    Some(members.to_string())
}

fn one_line(json: &str) -> String {
    json.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json::decode;
    use crate::log::Offset;
    use crate::time::Timestamp;

    fn check(types: &[&str], light: bool, event: &str, expected: Option<(&str, &str)>) {
        let text = format!(r#"{{"specversion":"1.0","id":"1","source":"/s",{event}}}"#);
        let record = Record::new(Offset(1), Timestamp(0), decode(text.into()).unwrap());
        let types = types.iter().map(|ty| (*ty).to_owned()).collect();
        let shown = View { types, light }.show(&record);
        let shown = shown.as_ref().map(|shown| (shown.name.as_str(), shown.json.as_str()));
        assert_eq!(shown, expected, "{event}");
    }

    #[test]
    fn marathons_own_is_shown_as_it_came() {
        let event = "\"type\":\"app_terminated_event\",\"data\":{\"appId\":\"/a\",\r\n \"eventType\":\"app_terminated_event\",\"timestamp\":\"t\"}";
        let shown = Some((
            "app_terminated_event",
            r#"{"appId":"/a", "eventType":"app_terminated_event","timestamp":"t"}"#,
        ));
        check(&[], false, event, shown);
        check(&["app_terminated_event"], false, event, shown);
        check(&["deployment_info"], false, event, None);
        // Wrapped in an event of another type, it is still Marathon's.
        let wrapped = event.replacen("app_terminated_event", "com.example.seen", 1);
        check(&[], false, &wrapped, shown);
        check(&["com.example.seen"], false, &wrapped, shown);
    }

    #[test]
    fn a_type_of_tomorrow_passes_and_a_strangers_does_not() {
        let own = r#""type":"of_tomorrow","data":{"eventType":"of_tomorrow","timestamp":"t"}"#;
        check(
            &[],
            false,
            own,
            Some(("of_tomorrow", r#"{"eventType":"of_tomorrow","timestamp":"t"}"#)),
        );
        let other = r#""type":"grid","data":{"eventType":"Blob.Created"}"#;
        check(&[], false, other, None);
        check(
            &["grid"],
            false,
            other,
            Some(("grid", r#"{"eventType":"grid","timestamp":"1970-01-01T00:00:00.000Z"}"#)),
        );
    }

    #[test]
    fn another_origin_is_shown_to_who_names_its_type() {
        let time = r#""type":"com.example.order","time":"2020-01-01T01:00:00+01:00""#;
        let stamp = r#""eventType":"com.example.order","timestamp":"2020-01-01T00:00:00.000Z""#;
        for (data, json) in [
            (r#","data":{"n": 1.50}"#, format!(r#"{{"n":1.50,{stamp}}}"#)),
            (r#","data":[1]"#, format!(r#"{{"data":[1],{stamp}}}"#)),
            (
                r#","datacontenttype":"text/plain","data":"a\nb""#,
                format!(r#"{{"data":"a\nb",{stamp}}}"#),
            ),
            (
                r#","datacontenttype":"a/b","data_base64":"AAE=""#,
                format!(r#"{{"data_base64":"AAE=",{stamp}}}"#),
            ),
            ("", format!("{{{stamp}}}")),
        ] {
            let event = format!("{time}{data}");
            check(&[], false, &event, None);
            check(
                &["com.example.order"],
                false,
                &event,
                Some(("com.example.order", &json)),
            );
        }
    }

    #[test]
    fn plans_are_light_for_who_asks() {
        let event = r#""type":"deployment_info","data":{"plan":{"id":"p","original":{"id":"/"},"target":{"id":"/"},"steps":[]},"eventType":"deployment_info","timestamp":"t"}"#;
        let full = r#"{"plan":{"id":"p","original":{"id":"/"},"target":{"id":"/"},"steps":[]},"eventType":"deployment_info","timestamp":"t"}"#;
        let light = r#"{"plan":{"id":"p","steps":[]},"eventType":"deployment_info","timestamp":"t"}"#;
        check(&[], false, event, Some(("deployment_info", full)));
        check(&[], true, event, Some(("deployment_info", light)));
    }

    #[test]
    fn a_message_in_bytes_is_shown_as_base64() {
        let ty = "framework_message_event";
        let event = |message: &str| {
            format!(r#""type":"{ty}","data":{{"message":{message},"eventType":"{ty}","timestamp":"t"}}"#)
        };
        let shown = format!(r#"{{"message":"aP8=","eventType":"{ty}","timestamp":"t"}}"#);
        check(&[], false, &event("[104,-1]"), Some((ty, &shown)));
        check(&[], false, &event("\"aP8=\""), Some((ty, &shown)));
    }
}
