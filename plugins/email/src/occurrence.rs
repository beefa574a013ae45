//! The event as a letter needs it: its attributes, and its data in forms for people and for programs.
//!
//! Unlike a filter, this reads all of the data itself: a letter shows all of it, and the mail server's answers take a
//! thousand times longer. Numbers and the order of keys stay as the producer wrote them.

use serde_json::Value;

/// One event.
#[derive(Debug)]
pub struct Occurrence {
    attributes: Vec<(String, String)>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    None,
    Json(Value),
    Text(String),
    /// Neither JSON nor text: so many bytes.
    Binary(usize),
}

impl Occurrence {
    /// An event of these attributes and this data.
    pub fn new(attributes: Vec<(String, String)>, data: Vec<u8>) -> Self {
        let data = match serde_json::from_slice(&data) {
            _ if data.is_empty() => Data::None,
            Ok(value) => Data::Json(value),
            Err(_) => match String::from_utf8(data) {
                Ok(text) if !text.contains('\0') => Data::Text(text),
                Ok(text) => Data::Binary(text.len()),
                Err(error) => Data::Binary(error.as_bytes().len()),
            },
        };
        Self { attributes, data }
    }

    /// An attribute or extension by its name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// All of them, in the hub's order.
    pub fn attributes(&self) -> &[(String, String)] {
        &self.attributes
    }

    /// What a JSON Pointer finds: a string as it is, anything else as JSON, nothing as nothing.
    pub fn at(&self, pointer: &str) -> String {
        match &self.data {
            Data::Json(data) => data.pointer(pointer).map(plain).unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// The data, indented by two if it is JSON: Pulp's form, before it is made ASCII.
    pub fn pretty_data(&self) -> String {
        match &self.data {
            Data::None => String::new(),
            Data::Json(data) => format!("{data:#}"),
            Data::Text(text) => text.clone(),
            Data::Binary(bytes) => format!("({bytes} bytes that are not text)"),
        }
    }

    /// The event as an event report of Pulp's, indented by two: the data if it is one, else the data in one.
    pub fn report(&self) -> String {
        let payload = match &self.data {
            Data::Json(data)
                if data.get("event_type").is_some_and(Value::is_string) && data.get("payload").is_some() =>
            {
                return format!("{data:#}");
            }
            Data::Json(data) => data.clone(),
            Data::None => Value::Null,
            Data::Text(_) | Data::Binary(_) => Value::String(self.pretty_data()),
        };
        let mut report = serde_json::Map::new();
        report.insert(
            "event_type".to_owned(),
            self.attribute("type").unwrap_or_default().into(),
        );
        report.insert("payload".to_owned(), payload);
        report.insert("call_report".to_owned(), Value::Null);
        format!("{:#}", Value::Object(report))
    }

    /// The whole event in the JSON event format, indented by two.
    pub fn pretty_event(&self) -> String {
        let mut whole = serde_json::Map::new();
        for (name, value) in &self.attributes {
            whole.insert(name.clone(), Value::String(value.clone()));
        }
        match &self.data {
            Data::None => {}
            Data::Json(data) => {
                whole.insert("data".to_owned(), data.clone());
            }
            Data::Text(_) | Data::Binary(_) => {
                whole.insert("data".to_owned(), Value::String(self.pretty_data()));
            }
        }
        format!("{:#}", Value::Object(whole))
    }

    /// The data as an outline: a line a value, nested ones below their name. Empty if there is no data.
    pub fn outline(&self) -> String {
        let mut text = String::new();
        match &self.data {
            Data::Json(data) => outline(&mut text, data, 1),
            Data::None => {}
            Data::Text(_) | Data::Binary(_) => indented(&mut text, &self.pretty_data(), 1),
        }
        text
    }
}

/// So deep is nested, and no deeper: what is below is one line of JSON.
const DEEPEST: usize = 8;

fn outline(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() && depth < DEEPEST => {
            // Names of short values are filled up to the longest, so that the values stand in a column.
            let short = fields.iter().filter(|(_, value)| !is_long(value));
            let width = short.map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(24);
            for (name, value) in fields {
                indent(text, depth);
                if is_long(value) {
                    text.push_str(&format!("{name}:\n"));
                    outline(text, value, depth + 1);
                } else {
                    let name = format!("{name}:");
                    text.push_str(&format!("{name:<0$} {1}\n", width + 1, plain(value)));
                }
            }
        }
        Value::Array(items) if !items.is_empty() && depth < DEEPEST => {
            for item in items {
                if is_long(item) {
                    indent(text, depth);
                    text.push_str("-\n");
                    outline(text, item, depth + 1);
                } else {
                    indent(text, depth);
                    text.push_str(&format!("- {}\n", plain(item)));
                }
            }
        }
        _ => indented(text, &plain(value), depth),
    }
}

/// Whether a value takes lines of its own.
fn is_long(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => text.contains('\n'),
        _ => false,
    }
}

fn indented(text: &mut String, lines: &str, depth: usize) {
    for line in lines.lines() {
        indent(text, depth);
        text.push_str(line);
        text.push('\n');
    }
}

fn indent(text: &mut String, depth: usize) {
    text.push_str(&"  ".repeat(depth));
}

/// A string without its quotes; any other JSON as it is.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
impl Occurrence {
    /// A made-up event.
    pub fn of(attributes: &[(&str, &str)], data: &str) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::new(attributes.iter().map(owned).collect(), data.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_as_it_was_written() {
        let event = Occurrence::of(
            &[("id", "1"), ("type", "t")],
            r#"{"z":12345678901234567890123,"a":1.50,"é":"ü"}"#,
        );
        assert_eq!(
            event.pretty_data(),
            "{\n  \"z\": 12345678901234567890123,\n  \"a\": 1.50,\n  \"é\": \"ü\"\n}"
        );
        let whole = event.pretty_event();
        assert!(
            whole.starts_with("{\n  \"id\": \"1\",\n  \"type\": \"t\",\n  \"data\": {\n    \"z\""),
            "{whole}"
        );
    }

    #[test]
    fn what_is_no_json_is_shown_as_what_it_is() {
        assert_eq!(Occurrence::of(&[], "").pretty_data(), "");
        assert_eq!(Occurrence::of(&[], "hello\nyou").pretty_data(), "hello\nyou");
        let binary = Occurrence::new(Vec::new(), vec![0xff, 0, 1]);
        assert_eq!(binary.pretty_data(), "(3 bytes that are not text)");
        assert_eq!(binary.at("/a"), "");
    }

    #[test]
    fn the_outline_is_for_reading() {
        let data = r#"{"taskStatus": "TASK_FAILED", "ports": [31311, 31312], "ok": true, "none": {}, "message": "one\ntwo",
            "plan": {"id": "7", "steps": [{"actions": ["start"]}]}}"#;
        let expected = "  taskStatus: TASK_FAILED
  ports:
    - 31311
    - 31312
  ok:         true
  none:       {}
  message:
    one
    two
  plan:
    id: 7
    steps:
      -
        actions:
          - start
";
        assert_eq!(Occurrence::of(&[], data).outline(), expected);
        assert_eq!(Occurrence::of(&[], "").outline(), "");
        assert_eq!(Occurrence::of(&[], "just text").outline(), "  just text\n");
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        assert!(Occurrence::of(&[], &deep).outline().lines().count() < 10);
    }
}
