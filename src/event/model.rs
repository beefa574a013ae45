//! One event and its attributes (CloudEvents 1.0.2, section "Context Attributes").
//!
//! A [`Draft`] is what a decoder has read; [`Draft::check`] turns it into an [`Event`] or says which attribute
//! breaks which rule. Attributes keep the producer's own spelling (`time` too: `+08:00` stays `+08:00`).
//! Invariant: `data` that is JSON `null` is no data, in every form: many libraries write it for "none", and so an
//! event means the same however it came.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use bytes::Bytes;

use super::{media, rules};

/// The only `specversion` there is for this model.
pub(super) const SPECVERSION: &str = "1.0";

/// The attributes that the specification names, the required ones first; all others are extensions.
pub const ATTRIBUTES: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
];

/// The value of an extension attribute, as far as JSON can tell its type (JSON format, section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Boolean.
    Boolean(bool),
    /// Integer, 32 bits with sign.
    Integer(i32),
    /// String, and every other type in its string form (binary as base64, timestamps, URIs).
    String(String),
}

impl Value {
    /// The canonical string form (section "Type System").
    pub fn as_str(&self) -> Cow<'_, str> {
        match self {
            Self::Boolean(true) => "true".into(),
            Self::Boolean(false) => "false".into(),
            Self::Integer(number) => number.to_string().into(),
            Self::String(text) => text.into(),
        }
    }
}

/// How the data was given, and so how the JSON format gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
    /// JSON text: `"data": <that text>`.
    Json,
    /// Text of another media type, in UTF-8: `"data": "…"`.
    Text,
    /// Any bytes: `"data_base64": "…"`.
    Binary,
}

/// The data of an event: the producer's own bytes, shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// How it was given.
    pub kind: DataKind,
    /// The bytes: for [`DataKind::Json`] the text as the producer wrote it, spaces and all.
    pub bytes: Bytes,
}

/// An event as a decoder has read it, not yet checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// `id`.
    pub id: String,
    /// `source`, a URI-reference.
    pub source: String,
    /// `type`.
    pub ty: String,
    /// `subject`.
    pub subject: Option<String>,
    /// `time`, RFC 3339 as the producer wrote it.
    pub time: Option<String>,
    /// `datacontenttype`, a media type.
    pub datacontenttype: Option<String>,
    /// `dataschema`, an absolute URI.
    pub dataschema: Option<String>,
    /// Extension attributes in the order they came.
    pub extensions: Vec<(String, Value)>,
    /// The data.
    pub data: Option<Data>,
}

/// Which attribute breaks which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The attribute (or `data`), as the producer named it.
    pub attribute: String,
    /// The rule, in words for the producer.
    pub rule: String,
}

const LONGEST_NAME_SHOWN: usize = 100;

impl Invalid {
    /// `attribute` breaks `rule`. A name that is a message of its own is cut.
    pub fn new(attribute: impl Into<String>, rule: impl Into<String>) -> Self {
        let mut attribute = attribute.into();
        if let Some((end, _)) = attribute.char_indices().nth(LONGEST_NAME_SHOWN) {
            attribute.truncate(end);
        }
        Self {
            attribute,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attribute.as_str() {
            "data" | "data_base64" => write!(f, "`{}` {}", self.attribute, self.rule),
            name => write!(f, "attribute `{name}` {}", self.rule),
        }
    }
}

impl std::error::Error for Invalid {}

/// A checked CloudEvent. Its data is shared: a clone copies the attributes and no data.
#[derive(Debug, Clone)]
pub struct Event {
    draft: Draft,
    json: OnceLock<Option<serde_json::Value>>,
}

impl Event {
    fn from_checked(mut draft: Draft) -> Self {
        draft.data = draft
            .data
            .filter(|data| data.kind != DataKind::Json || data.bytes.trim_ascii() != b"null");
        Self {
            draft,
            json: OnceLock::new(),
        }
    }

    /// `id`.
    pub fn id(&self) -> &str {
        &self.draft.id
    }

    /// `source`.
    pub fn source(&self) -> &str {
        &self.draft.source
    }

    /// `type`.
    pub fn ty(&self) -> &str {
        &self.draft.ty
    }

    /// `subject`.
    pub fn subject(&self) -> Option<&str> {
        self.draft.subject.as_deref()
    }

    /// `time`, as the producer wrote it.
    pub fn time(&self) -> Option<&str> {
        self.draft.time.as_deref()
    }

    /// `datacontenttype`.
    pub fn datacontenttype(&self) -> Option<&str> {
        self.draft.datacontenttype.as_deref()
    }

    /// `dataschema`.
    pub fn dataschema(&self) -> Option<&str> {
        self.draft.dataschema.as_deref()
    }

    /// Extension attributes in the order they came.
    pub fn extensions(&self) -> &[(String, Value)] {
        &self.draft.extensions
    }

    /// The data.
    pub fn data(&self) -> Option<&Data> {
        self.draft.data.as_ref()
    }

    /// The value of the attribute or extension of this name in its canonical string form.
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "id" => Some(self.id().into()),
            "source" => Some(self.source().into()),
            "type" => Some(self.ty().into()),
            "specversion" => Some(SPECVERSION.into()),
            "subject" => self.subject().map(Into::into),
            "time" => self.time().map(Into::into),
            "datacontenttype" => self.datacontenttype().map(Into::into),
            "dataschema" => self.dataschema().map(Into::into),
            _ => self
                .extensions()
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str()),
        }
    }

    /// The data as JSON, parsed at most once for all who ask; `None` if there is none, or it is not JSON, or it is
    /// JSON that no value can hold (a number past all range, half a surrogate pair).
    pub fn json(&self) -> Option<&serde_json::Value> {
        self.json
            .get_or_init(|| {
                let data = self.data()?;
                match data.kind {
                    DataKind::Json => serde_json::from_slice(&data.bytes).ok(),
                    // A producer may send JSON as base64 or as untyped bytes: what parses is JSON.
                    DataKind::Binary if media::is_json(self.datacontenttype()) => {
                        serde_json::from_slice(&data.bytes).ok()
                    }
                    DataKind::Binary | DataKind::Text => None,
                }
            })
            .as_ref()
    }

    /// The same event with other data, for one subscription (a filter's `replace`). The kind follows the bytes:
    /// JSON stays JSON, and text stays text, only if the new bytes are. No bytes are no data.
    #[must_use]
    pub fn with_data(&self, bytes: Bytes) -> Self {
        let mut draft = self.draft.clone();
        let was_text = draft.data.is_some_and(|data| data.kind == DataKind::Text);
        let kind = match media::kind_of(draft.datacontenttype.as_deref(), &bytes) {
            DataKind::Binary if was_text && std::str::from_utf8(&bytes).is_ok() => DataKind::Text,
            kind => kind,
        };
        draft.data = (!bytes.is_empty()).then_some(Data { kind, bytes });
        Self::from_checked(draft)
    }

    /// The draft that would make this event again.
    pub fn to_draft(&self) -> Draft {
        self.draft.clone()
    }

    /// The bytes that this event holds in memory, about; for limits.
    pub fn weight(&self) -> usize {
        let draft = &self.draft;
        let extensions: usize = draft
            .extensions
            .iter()
            .map(|(key, value)| key.len() + value.as_str().len() + 48)
            .sum();
        draft.id.len()
            + draft.source.len()
            + draft.ty.len()
            + extensions
            + draft.data.as_ref().map_or(0, |data| data.bytes.len())
            + 256
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.draft == other.draft
    }
}

impl Draft {
    /// Checks every rule of the specification and makes the event.
    ///
    /// # Errors
    /// The first attribute that breaks a rule, and the rule.
    pub fn check(self) -> Result<Event, Invalid> {
        rules::check_attributes(&self)?;
        rules::check_data(&self)?;
        Ok(Event::from_checked(self))
    }

    /// Checks the attributes and makes the event: for a decoder, which has just parsed the data itself.
    pub(super) fn check_attributes(self) -> Result<Event, Invalid> {
        rules::check_attributes(&self)?;
        Ok(Event::from_checked(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(datacontenttype: Option<&str>, data: Option<(DataKind, &str)>) -> Event {
        let draft = Draft {
            id: "1".into(),
            source: "/s".into(),
            ty: "t".into(),
            datacontenttype: datacontenttype.map(Into::into),
            extensions: vec![("n".into(), Value::Integer(-1)), ("b".into(), Value::Boolean(false))],
            data: data.map(|(kind, text)| Data {
                kind,
                bytes: Bytes::copy_from_slice(text.as_bytes()),
            }),
            ..Draft::default()
        };
        draft.check().unwrap()
    }

    #[test]
    fn attributes_have_one_string_form() {
        let event = event(Some("text/plain"), None);
        let table = [
            ("id", Some("1")),
            ("source", Some("/s")),
            ("type", Some("t")),
            ("specversion", Some("1.0")),
            ("datacontenttype", Some("text/plain")),
            ("n", Some("-1")),
            ("b", Some("false")),
            ("subject", None),
            ("data", None),
            ("x", None),
        ];
        for (name, expected) in table {
            assert_eq!(event.attribute(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn null_is_no_data() {
        for spelled in ["null", " null\n"] {
            assert_eq!(event(None, Some((DataKind::Json, spelled))).data(), None);
        }
        assert!(event(None, Some((DataKind::Json, "\"null\""))).data().is_some());
        assert!(
            event(Some("text/plain"), Some((DataKind::Text, "null")))
                .data()
                .is_some()
        );
    }

    #[test]
    fn replaced_data_is_what_its_bytes_are() {
        let json = || event(None, Some((DataKind::Json, "[1]")));
        let text = || event(Some("application/x"), Some((DataKind::Text, "a")));
        let deep = "[".repeat(200) + &"]".repeat(200);
        let table: [(Event, &[u8], Option<DataKind>); 9] = [
            (json(), b"{\"a\":1}", Some(DataKind::Json)),
            (json(), b"{", Some(DataKind::Binary)),
            (json(), b"\"\xff\"", Some(DataKind::Binary)),
            (json(), deep.as_bytes(), Some(DataKind::Binary)),
            (json(), b"null", None),
            (json(), b"", None),
            (text(), b"[1]", Some(DataKind::Text)),
            (text(), b"\xff", Some(DataKind::Binary)),
            (event(Some("text/plain"), None), b"a", Some(DataKind::Text)),
        ];
        for (event, bytes, kind) in table {
            let _ = event.json();
            let replaced = event.with_data(Bytes::copy_from_slice(bytes));
            assert_eq!(replaced.data().map(|data| data.kind), kind, "{bytes:?}");
            assert!(replaced.clone().to_draft().check().is_ok_and(|again| again == replaced));
            assert_eq!(
                replaced.json().map(ToString::to_string).as_deref().map(str::as_bytes),
                (kind == Some(DataKind::Json)).then_some(bytes)
            );
        }
    }
}
