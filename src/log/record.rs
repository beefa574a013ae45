//! One row of a segment file, to and from an event.
//!
//! Why columns and not one blob: whoever opens the file with `sqlite3` sees what was published. Why a checksum of
//! our own: SQLite has none, so a bit that flips on disk would be served as an event. It covers the offset too, so
//! that a row which turns up under a wrong key is found as well.
//!
//! Invariant: [`decode`] takes whatever bytes a file holds and never panics; what does not check out is [`Damage`].

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};

use super::model::{Offset, Record};
use crate::event::{Data, DataKind, Draft, Event, Value};
use crate::time::Timestamp;

/// A row as it stands in the file, nothing believed yet. Texts are bytes: SQLite does not check them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row<'a> {
    /// Place in the bus.
    pub offset: i64,
    /// Milliseconds since the Unix epoch.
    pub received: i64,
    /// `id`.
    pub id: &'a [u8],
    /// `source`.
    pub source: &'a [u8],
    /// `type`.
    pub ty: &'a [u8],
    /// The other attributes as one JSON object: the optional ones of the specification, then the extensions in
    /// their order. Absent when there are none.
    pub attributes: Option<&'a [u8]>,
    /// `json`, `text` or `binary`: how the data was given. Absent when there is no data.
    pub kind: Option<&'a [u8]>,
    /// The data.
    pub data: Option<&'a [u8]>,
}

/// Why a row is not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage(pub &'static str);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Damage {}

/// Reads a row whose checksum column holds `checksum`.
///
/// # Errors
/// What about the row is damaged.
pub fn decode(row: &Row<'_>, checksum: i64) -> Result<Record, Damage> {
    if i64::from(row.checksum()) != checksum {
        return Err(Damage("the checksum does not fit the row"));
    }
    let offset = u64::try_from(row.offset).map_err(|_| Damage("the offset is negative"))?;
    let mut draft = Draft {
        id: text(row.id)?,
        source: text(row.source)?,
        ty: text(row.ty)?,
        data: data(row)?,
        ..Draft::default()
    };
    if let Some(json) = row.attributes {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let read = reader.deserialize_map(Others(&mut draft)).and_then(|()| reader.end());
        read.map_err(|_| Damage("the attributes are not what the hub writes"))?;
    }
    let event = draft
        .check()
        .map_err(|_| Damage("an attribute breaks the rules of CloudEvents"))?;
    Ok(Record::new(Offset(offset), Timestamp(row.received), event))
}

impl<'a> Row<'a> {
    /// The row of `event`; its other attributes are written into `attributes`, a buffer to use again.
    pub(super) fn of(event: &'a Event, at: (u64, Timestamp), attributes: &'a mut Vec<u8>) -> Self {
        attributes.clear();
        let mut row = Self {
            // SQLite's integers have a sign; 2^63 records are out of reach.
            offset: i64::try_from(at.0).unwrap_or(i64::MAX),
            received: at.1.0,
            id: event.id().as_bytes(),
            source: event.source().as_bytes(),
            ty: event.ty().as_bytes(),
            ..Self::default()
        };
        if let Some(data) = event.data() {
            row.kind = Some(kind_name(data.kind));
            row.data = Some(&data.bytes);
        }
        if write_others(event, attributes) {
            row.attributes = Some(attributes);
        }
        row
    }

    /// CRC-32 over every column, each with its length, so that no byte can move from one column to the next.
    pub fn checksum(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.offset.to_le_bytes());
        crc.update(&self.received.to_le_bytes());
        let texts = [
            Some(self.id),
            Some(self.source),
            Some(self.ty),
            self.attributes,
            self.kind,
        ];
        for column in texts.into_iter().chain([self.data]) {
            // An absent column is not an empty one.
            let length = column.map_or(u64::MAX, |bytes| bytes.len() as u64);
            crc.update(&length.to_le_bytes());
            crc.update(column.unwrap_or_default());
        }
        crc.finalize()
    }

    /// The bytes that the row takes in the file, about.
    pub(super) fn weight(&self) -> u64 {
        let optional = [self.attributes, self.kind, self.data];
        let optional: usize = optional.into_iter().flatten().map(<[u8]>::len).sum();
        (self.id.len() + self.source.len() + self.ty.len() + optional + 40) as u64
    }
}

fn text(bytes: &[u8]) -> Result<String, Damage> {
    let text = std::str::from_utf8(bytes).map_err(|_| Damage("a text is not UTF-8"))?;
    Ok(text.to_owned())
}

fn data(row: &Row<'_>) -> Result<Option<Data>, Damage> {
    let kind = match row.kind {
        None if row.data.is_none() => return Ok(None),
        Some(b"json") => DataKind::Json,
        Some(b"text") => DataKind::Text,
        Some(b"binary") => DataKind::Binary,
        _ => return Err(Damage("the kind of the data is unknown")),
    };
    // SQLite keeps an empty BLOB apart from NULL, and so does this.
    let bytes = row.data.ok_or(Damage("the data are missing"))?;
    Ok(Some(Data {
        kind,
        bytes: Bytes::copy_from_slice(bytes),
    }))
}

fn kind_name(kind: DataKind) -> &'static [u8] {
    match kind {
        DataKind::Json => b"json",
        DataKind::Text => b"text",
        DataKind::Binary => b"binary",
    }
}

/// Writes the attributes that have no column of their own; `false` if there are none.
fn write_others(event: &Event, out: &mut Vec<u8>) -> bool {
    let optional = [
        ("subject", event.subject()),
        ("time", event.time()),
        ("datacontenttype", event.datacontenttype()),
        ("dataschema", event.dataschema()),
    ];
    if event.extensions().is_empty() && optional.iter().all(|(_, value)| value.is_none()) {
        return false;
    }
    let mut json = serde_json::Serializer::new(out);
    let write = |mut map: <&mut serde_json::Serializer<&mut Vec<u8>> as Serializer>::SerializeMap| {
        for (name, value) in optional {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in event.extensions() {
            match value {
                Value::Boolean(value) => map.serialize_entry(name, value)?,
                Value::Integer(value) => map.serialize_entry(name, value)?,
                Value::String(value) => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    };
    // Strings, numbers and booleans into memory: there is nothing that could fail.
    json.serialize_map(None).and_then(write).is_ok()
}

/// Reads what [`write_others`] wrote, straight into a draft.
struct Others<'a>(&'a mut Draft);

impl<'de> Visitor<'de> for Others<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        use serde::de::Error as _;
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value::<serde_json::Value>()?;
            let slot = match name.as_str() {
                "subject" => &mut self.0.subject,
                "time" => &mut self.0.time,
                "datacontenttype" => &mut self.0.datacontenttype,
                "dataschema" => &mut self.0.dataschema,
                _ => {
                    let value = extension(value).ok_or_else(|| A::Error::custom("no value"))?;
                    self.0.extensions.push((name, value));
                    continue;
                }
            };
            let serde_json::Value::String(value) = value else {
                return Err(A::Error::custom("not a string"));
            };
            *slot = Some(value);
        }
        Ok(())
    }
}

fn extension(value: serde_json::Value) -> Option<Value> {
    match value {
        serde_json::Value::Bool(value) => Some(Value::Boolean(value)),
        serde_json::Value::String(value) => Some(Value::String(value)),
        serde_json::Value::Number(value) => Some(Value::Integer(i32::try_from(value.as_i64()?).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn draft() -> impl Strategy<Value = Draft> {
        let value = prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<i32>().prop_map(Value::Integer),
            "\\PC{0,12}".prop_map(Value::String),
        ];
        let data = prop_oneof![
            Just((DataKind::Json, b" {\"a\": 1.0} ".to_vec())),
            "\\PC{0,40}".prop_map(|text| (DataKind::Text, text.into_bytes())),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| (DataKind::Binary, bytes)),
        ]
        .prop_map(|(kind, bytes)| Data {
            kind,
            bytes: bytes.into(),
        });
        let optional = (
            proptest::option::of("[a-z/ä]{1,9}"),
            proptest::option::of(Just("2024-02-29T10:00:00.50+08:00".to_owned())),
            proptest::option::of(Just("https://example.com/schema".to_owned())),
        );
        let extensions = proptest::collection::btree_map("x[a-z0-9]{1,8}", value, 0..4);
        ("[a-zA-Z0-9-]{1,20}", optional, extensions, proptest::option::of(data)).prop_map(
            |(id, (subject, time, dataschema), extensions, data): (_, (_, _, _), _, Option<Data>)| Draft {
                id,
                source: "/tests/log".into(),
                ty: "com.example.row".into(),
                subject,
                time,
                // Only text needs to say that it is no JSON.
                datacontenttype: data
                    .as_ref()
                    .filter(|data| data.kind != DataKind::Json)
                    .map(|_| "text/plain".to_owned()),
                dataschema,
                extensions: extensions.into_iter().rev().collect(),
                data,
            },
        )
    }

    proptest! {
        #[test]
        fn an_event_comes_back_as_it_went_in(draft in draft(), offset in 1..u64::MAX >> 1, received: i64) {
            let event = draft.check().unwrap();
            let mut attributes = Vec::new();
            let row = Row::of(&event, (offset, Timestamp(received)), &mut attributes);
            let record = decode(&row, row.checksum().into()).unwrap();
            prop_assert_eq!(record.offset, Offset(offset));
            prop_assert_eq!(record.received, Timestamp(received));
            prop_assert_eq!(&*record.event, &event);
        }

        #[test]
        fn one_flipped_bit_anywhere_is_found(draft in draft(), at: prop::sample::Index, bit in 0..8_u8) {
            let event = draft.check().unwrap();
            let mut attributes = Vec::new();
            let row = Row::of(&event, (7, Timestamp(9)), &mut attributes);
            let checksum = i64::from(row.checksum());
            let mut id = row.id.to_vec();
            let place = at.index(id.len());
            id[place] ^= 1 << bit;
            let refused = |row: Row<'_>| decode(&row, checksum).is_err();
            prop_assert!(refused(Row { id: &id, ..row }), "id");
            prop_assert!(refused(Row { offset: row.offset ^ (1 << bit), ..row }), "offset");
            if let Some(data) = row.data.filter(|data| !data.is_empty()) {
                let mut data = data.to_vec();
                let place = at.index(data.len());
                data[place] ^= 1 << bit;
                prop_assert!(refused(Row { data: Some(&data), ..row }), "data");
            }
        }

        /// The checksum is given as right here: what lies behind it must stand on its own.
        #[test]
        fn any_bytes_are_an_event_or_damage_but_never_a_panic(
            texts: [Vec<u8>; 3],
            attributes: Option<Vec<u8>>,
            kind in prop_oneof![Just(None), Just(Some("json")), Just(Some("jso")), Just(Some("binary"))],
            data: Option<Vec<u8>>,
            offset: i64,
            received: i64,
        ) {
            let [id, source, ty] = &texts;
            let row = Row {
                offset,
                received,
                id,
                source,
                ty,
                attributes: attributes.as_deref(),
                kind: kind.map(str::as_bytes),
                data: data.as_deref(),
            };
            let _ = decode(&row, row.checksum().into());
        }

        #[test]
        fn any_json_for_attributes_is_taken_or_refused(json in "[{}\\[\\]\",:a-z0-9.\\\\ ]{0,40}") {
            let row = Row { id: b"1", source: b"/s", ty: b"t", attributes: Some(json.as_bytes()), ..Row::default() };
            let _ = decode(&row, row.checksum().into());
        }
    }

    #[test]
    fn bytes_that_move_between_columns_change_the_checksum() {
        let row = Row {
            id: b"ab",
            source: b"c",
            ..Row::default()
        };
        assert_ne!(
            row.checksum(),
            Row {
                id: b"a",
                source: b"bc",
                ..row
            }
            .checksum()
        );
        assert_ne!(row.checksum(), Row { data: Some(b""), ..row }.checksum());
    }
}
