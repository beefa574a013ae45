//! Reading the envelope: the members of the object, in whatever order they come.
//!
//! A fault of a value does not stop the parser: it is kept, so that text which is no JSON is told as that, and the
//! fault then by its attribute instead of by a column.
//! Invariant: what is borrowed here is borrowed from the input, so that it can be cut out of it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::malformed;
use crate::event::fault::DecodeError;
use crate::event::model::{Data, DataKind, Draft, Event, Invalid, Value};
use crate::event::{media, nesting, rules};

use scalar::Scalar;

mod scalar;

type Parser<'a> = serde_json::Deserializer<serde_json::de::StrRead<'a>>;

/// Reads one event, to be finished.
pub(super) fn read_one<'a>(parser: &mut Parser<'a>) -> Result<Element<'a>, DecodeError> {
    Element::deserialize(parser).map_err(|fault| malformed(&fault))
}

/// Reads a batch; `input` is what the parser reads from. Each event is finished before the next is read: a body of
/// `[{},{},…` must not become a hundred times its size in memory before it is refused.
pub(super) fn read_all(parser: &mut Parser<'_>, input: &Bytes) -> Result<Vec<Event>, DecodeError> {
    let mut batch = Batch { input, refused: None };
    let events = parser.deserialize_any(&mut batch);
    match (batch.refused, events) {
        (Some(fault), _) => Err(fault),
        (None, events) => events.map_err(|fault| malformed(&fault)),
    }
}

struct Batch<'b> {
    input: &'b Bytes,
    refused: Option<DecodeError>,
}

impl<'de> Visitor<'de> for &mut Batch<'_> {
    type Value = Vec<Event>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<Event>, A::Error> {
        let mut events = Vec::new();
        while let Some(element) = elements.next_element::<Element<'de>>()? {
            match element.finish(self.input) {
                Ok(event) => events.push(event),
                Err(fault) => {
                    self.refused = Some(fault.at(events.len()));
                    return Err(A::Error::custom("refused"));
                }
            }
        }
        Ok(events)
    }
}

/// An element of a batch, or the whole body.
pub(super) enum Element<'a> {
    Object(Box<Envelope<'a>>),
    Other(&'static str),
}

impl Element<'_> {
    /// Checks it; `input` is what it was read from.
    pub(super) fn finish(self, input: &Bytes) -> Result<Event, DecodeError> {
        match self {
            Self::Object(envelope) => Ok(envelope.finish(input)?),
            Self::Other(found) => Err(DecodeError::Shape {
                index: None,
                expected: "a JSON object, one event",
                found,
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Element<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(scalar::Shape)
    }
}

/// The members of one object, as they were read.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    ty: Option<String>,
    draft: Draft,
    data: Option<&'a RawValue>,
    base64: Option<Cow<'a, str>>,
    /// Which members of the specification have been seen, a bit each; `null` ones too.
    seen: u16,
    /// Names of extensions that are `null`: unset, but not to be given again.
    unset: Vec<String>,
    fault: Option<Invalid>,
}

impl<'a> Envelope<'a> {
    fn read<A: MapAccess<'a>>(mut members: A) -> Result<Self, A::Error> {
        let mut envelope = Self::default();
        while let Some(name) = members.next_key::<scalar::Text<'a>>()? {
            match name.0.as_ref() {
                "data" => {
                    envelope.see(0, "data");
                    let data: &RawValue = members.next_value()?;
                    envelope.data = (data.get() != "null").then_some(data);
                }
                "data_base64" => {
                    envelope.see(1, "data_base64");
                    envelope.base64 = envelope.text("data_base64", members.next_value()?);
                }
                _ => envelope.attribute(name.0, members.next_value()?),
            }
        }
        Ok(envelope)
    }

    fn attribute(&mut self, name: Cow<'a, str>, value: Scalar<'a>) {
        let (bit, slot): (u8, fn(&mut Self) -> &mut Option<String>) = match name.as_ref() {
            "specversion" => (2, |envelope| &mut envelope.specversion),
            "id" => (3, |envelope| &mut envelope.id),
            "source" => (4, |envelope| &mut envelope.source),
            "type" => (5, |envelope| &mut envelope.ty),
            "subject" => (6, |envelope| &mut envelope.draft.subject),
            "time" => (7, |envelope| &mut envelope.draft.time),
            "datacontenttype" => (8, |envelope| &mut envelope.draft.datacontenttype),
            "dataschema" => (9, |envelope| &mut envelope.draft.dataschema),
            _ => return self.extension(name.into_owned(), value),
        };
        self.see(bit, &name);
        let text = self.text(&name, value).map(Cow::into_owned);
        *slot(self) = text;
    }

    fn extension(&mut self, name: String, value: Scalar<'a>) {
        let value = match value {
            Scalar::Null => return self.unset.push(name),
            Scalar::Boolean(value) => Value::Boolean(value),
            Scalar::Integer(value) => Value::Integer(value),
            Scalar::Text(value) => Value::String(value.into_owned()),
            Scalar::Other(found) => {
                let rule = format!("must be a string, a boolean or an integer of 32 bits, and is {found}");
                return self.refuse(&name, rule);
            }
        };
        self.draft.extensions.push((name, value));
    }

    fn text(&mut self, name: &str, value: Scalar<'a>) -> Option<Cow<'a, str>> {
        let found = match value {
            Scalar::Null => return None,
            Scalar::Text(text) => return Some(text),
            Scalar::Boolean(_) => "a boolean",
            Scalar::Integer(_) => "a number",
            Scalar::Other(found) => found,
        };
        self.refuse(name, format!("must be a string, and is {found}"));
        None
    }

    fn see(&mut self, bit: u8, name: &str) {
        if self.seen & (1 << bit) != 0 {
            self.refuse(name, "must not be given twice".to_owned());
        }
        self.seen |= 1 << bit;
    }

    fn refuse(&mut self, name: &str, rule: String) {
        self.fault.get_or_insert_with(|| Invalid::new(name, rule));
    }

    fn finish(mut self, input: &Bytes) -> Result<Event, Invalid> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !self.unset.is_empty() {
            let set = self.draft.extensions.iter().map(|(name, _)| name);
            if let Some(name) = rules::duplicate(self.unset.iter().chain(set).map(String::as_str)) {
                return Err(Invalid::new(name, "must not be given twice"));
            }
        }
        rules::check_specversion(self.specversion.as_deref())?;
        let required = |name, value: Option<String>| value.ok_or_else(|| Invalid::new(name, "is required"));
        self.draft.id = required("id", self.id)?;
        self.draft.source = required("source", self.source)?;
        self.draft.ty = required("type", self.ty)?;
        self.draft.data = match (self.data, self.base64) {
            (Some(_), Some(_)) => {
                return Err(Invalid::new(
                    "data_base64",
                    "must not stand beside `data`: an event has one or the other",
                ));
            }
            (Some(data), None) => Some(given(data, self.draft.datacontenttype.as_deref(), input)?),
            (None, Some(text)) => Some(given_as_base64(&text)?),
            (None, None) => None,
        };
        self.draft.check_attributes()
    }
}

/// `data`, cut out of the input.
fn given(data: &RawValue, datacontenttype: Option<&str>, input: &Bytes) -> Result<Data, Invalid> {
    let json = data.get();
    if !media::is_json(datacontenttype) && json.starts_with('"') {
        let scalar::Text(text) = serde_json::from_str(json)
            .map_err(|fault| Invalid::new("data", format!("is no readable string: {fault}")))?;
        let bytes = match text {
            Cow::Borrowed(text) => input.slice_ref(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        return Ok(Data {
            kind: DataKind::Text,
            bytes,
        });
    }
    // Section 3.1.2 lets us refuse data that is no string under a media type that is not JSON. It is kept as the
    // JSON value it is: nothing is lost, and it leaves as it came.
    if nesting::too_deep(json.as_bytes()) {
        return Err(Invalid::new("data", nesting::depth_rule()));
    }
    Ok(Data {
        kind: DataKind::Json,
        bytes: input.slice_ref(json.as_bytes()),
    })
}

fn given_as_base64(text: &str) -> Result<Data, Invalid> {
    match BASE64.decode(text) {
        Ok(bytes) => Ok(Data {
            kind: DataKind::Binary,
            bytes: bytes.into(),
        }),
        Err(fault) => Err(Invalid::new(
            "data_base64",
            format!("must be base64 (RFC 4648, section 4): {fault}"),
        )),
    }
}
