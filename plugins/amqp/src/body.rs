//! The three bodies that a publication can have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The event's data as it came (CloudEvents' binary mode).
    Data,
    /// The whole event as JSON (CloudEvents' structured mode).
    CloudEvent,
    /// Pulp's `{"event_type", "payload", "call_report"}`.
    Pulp,
}

/// Whether this is JSON, as far as its content type and its own form say.
pub fn is_json(content_type: Option<&str>, data: &[u8]) -> bool {
    let said = content_type.is_none_or(|value| {
        let media_type = value.split(';').next().unwrap_or_default().trim();
        media_type.ends_with("/json") || media_type.ends_with("+json")
    });
    said && std::str::from_utf8(data).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// The event as CloudEvents' JSON. Attributes are strings: that is the form in which a plugin sees them.
pub fn cloudevent(attributes: &[(String, String)], data: &[u8]) -> String {
    let mut members: Vec<String> = attributes
        .iter()
        .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
        .collect();
    match std::str::from_utf8(data) {
        Ok("") => {}
        Ok(text) if is_json(content_type(attributes), data) => members.push(format!(r#""data":{text}"#)),
        Ok(text) => members.push(format!(r#""data":{}"#, quoted(text))),
        Err(_) => members.push(format!(r#""data_base64":"{}""#, BASE64.encode(data))),
    }
    format!("{{{}}}", members.join(","))
}

/// Pulp's body: the data if it is one already, else the data in one. Written as Pulp's Python writes it.
pub fn pulp(event_type: &str, attributes: &[(String, String)], data: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(data).map_err(|_| "the data is not text, which Pulp's JSON body cannot carry")?;
    let json = is_json(content_type(attributes), data);
    if json && serde_json::from_str::<PulpBody>(text).is_ok() {
        return Ok(as_python_writes(text));
    }
    let payload = match (text, json) {
        ("", _) => "null".to_owned(),
        (text, true) => as_python_writes(text),
        (text, false) => as_python_writes(&quoted(text)),
    };
    let event_type = as_python_writes(&quoted(event_type));
    Ok(format!(
        r#"{{"event_type": {event_type}, "payload": {payload}, "call_report": null}}"#
    ))
}

/// What makes JSON an event of Pulp's.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only whether they are there is asked")]
struct PulpBody {
    event_type: String,
    payload: IgnoredAny,
}

fn content_type(attributes: &[(String, String)]) -> Option<&str> {
    let found = attributes.iter().find(|(name, _)| name == "datacontenttype");
    found.map(|(_, value)| value.as_str())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The same JSON with the spaces and escapes of Python's `json.dumps`. Text in, text out: numbers and the order of keys
/// stay as the producer wrote them, which a parsed value would not keep.
fn as_python_writes(json: &str) -> String {
    let mut written = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for letter in json.chars() {
        let is_quote = letter == '"' && !escaped;
        escaped = in_string && letter == '\\' && !escaped;
        in_string ^= is_quote;
        match letter {
            ',' | ':' if !in_string => written.extend([letter, ' ']),
            ' ' | '\t' | '\r' | '\n' if !in_string => {}
            letter if letter.is_ascii() => written.push(letter),
            letter => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    written.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(content_type: Option<&str>) -> Vec<(String, String)> {
        let all = [
            ("specversion", Some("1.0")),
            ("type", Some("t\"")),
            ("datacontenttype", content_type),
        ];
        let given = all
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        given.collect()
    }

    #[test]
    fn json_is_what_says_so_and_is() {
        let check = |content_type, data: &[u8], expected| {
            assert_eq!(is_json(content_type, data), expected, "{content_type:?} {data:?}");
        };
        check(None, b"{}", true);
        check(None, b"x", false);
        check(None, b"\"\xff\"", false);
        check(Some("application/json; charset=utf-8"), b"[1]", true);
        check(Some("application/vnd.x+json"), b"[1]", true);
        check(Some("text/plain"), b"1", false);
        check(Some("application/json"), b"{", false);
    }

    #[test]
    fn a_cloudevent_is_one_object() {
        let check = |content_type, data: &[u8], ends: &str| {
            let text = cloudevent(&attributes(content_type), data);
            assert!(
                text.starts_with(r#"{"specversion":"1.0","type":"t\"""#) && text.ends_with(ends),
                "{text}"
            );
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        };
        check(None, br#"{"n": 1.00}"#, r#","data":{"n": 1.00}}"#);
        check(None, b"", r#"t\""}"#);
        check(Some("text/plain"), b"a\"b", r#","data":"a\"b"}"#);
        check(Some("image/x"), b"\xff\x00", r#","data_base64":"/wA="}"#);
    }

    #[test]
    fn pulps_body_is_made_or_kept() {
        let check = |content_type, data: &str, expected: &str| {
            let body = pulp("repo.sync.start", &attributes(content_type), data.as_bytes());
            assert_eq!(body.as_deref(), Ok(expected), "{data}");
        };
        let made = |payload: &str| {
            format!(r#"{{"event_type": "repo.sync.start", "payload": {payload}, "call_report": null}}"#)
        };
        check(None, r#"{"repo_id":"pulp2"}"#, &made(r#"{"repo_id": "pulp2"}"#));
        check(None, "", &made("null"));
        check(Some("text/plain"), "a, \"b\"", &made(r#""a, \"b\"""#));
        let own = r#"{"payload":{"repo_id":"pulp2"},"call_report":null,"event_type":"repo.sync.start"}"#;
        let written = r#"{"payload": {"repo_id": "pulp2"}, "call_report": null, "event_type": "repo.sync.start"}"#;
        check(None, own, written);
        assert!(pulp("t", &[], b"\xff").unwrap_err().contains("not text"));
    }

    #[test]
    fn python_writes_json_so() {
        let check = |json: &str, expected: &str| assert_eq!(as_python_writes(json), expected, "{json}");
        check(
            "{\"a\":[1,2.50,\n\t1e3],\"b\" : null}",
            r#"{"a": [1, 2.50, 1e3], "b": null}"#,
        );
        check(
            r#"{"a,:\"b":"x\\","c":"\\\",:"}"#,
            r#"{"a,:\"b": "x\\", "c": "\\\",:"}"#,
        );
        check(r#""äß€😀""#, r#""\u00e4\u00df\u20ac\ud83d\ude00""#);
    }
}
