//! How 0-10 packs fields: two bytes of flags say which are present, then those follow.

use crate::bytes::{Reader, Writer, size};
use crate::error::Error;
use crate::short::Short;

const STR16: u8 = 0x95;

/// Fields in the order of their declaration.
#[derive(Debug, Default)]
pub(super) struct Packed {
    flags: [u8; 2],
    field: usize,
    values: Writer,
}

impl Packed {
    /// The next field, with its value.
    pub(super) fn with(mut self, write: impl FnOnce(&mut Writer) -> &mut Writer) -> Self {
        // Fields 0 to 7 are the first byte.
        if let Some(flags) = self.flags.get_mut(self.field / 8) {
            *flags |= 1 << (self.field % 8);
        }
        write(&mut self.values);
        self.field += 1;
        self
    }

    /// So many fields that are not.
    pub(super) fn without(mut self, count: usize) -> Self {
        self.field += count;
        self
    }

    /// A bit: only its flag, no bytes.
    pub(super) fn bit(self, set: bool) -> Self {
        match set {
            true => self.with(|to| to),
            false => self.without(1),
        }
    }

    /// The flags and the values.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Writer::default();
        bytes.raw(&self.flags).raw(&self.values.0);
        bytes.0
    }

    /// A struct with its length and code, as headers hold it.
    pub(super) fn structure(&self, code: u16) -> Vec<u8> {
        let fields = self.bytes();
        let mut bytes = Writer::default();
        bytes.u32(size(fields.len() + 2)).u16(code).raw(&fields);
        bytes.0
    }
}

/// A map of texts.
pub(super) fn map<'a>(entries: impl IntoIterator<Item = (&'a Short, &'a str)>) -> Vec<u8> {
    let (mut count, mut all) = (0, Writer::default());
    for (name, text) in entries {
        count += 1;
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        all.short(name).u8(STR16).u16(length).raw(text.as_bytes());
    }
    let mut bytes = Writer::default();
    bytes.u32(size(all.0.len() + 4)).u32(count).raw(&all.0);
    bytes.0
}

/// Packed fields while they are read.
pub(super) struct Fields<'a> {
    flags: [u8; 2],
    field: usize,
    /// The values that are left.
    pub(super) values: Reader<'a>,
}

impl<'a> Fields<'a> {
    /// Begins with the flags.
    pub(super) fn read(mut values: Reader<'a>) -> Result<Self, Error> {
        let flags = [values.u8()?, values.u8()?];
        Ok(Self {
            flags,
            field: 0,
            values,
        })
    }

    /// Whether the next field is there.
    pub(super) fn is_there(&mut self) -> bool {
        let flags = self.flags.get(self.field / 8).copied().unwrap_or_default();
        let there = flags >> (self.field % 8) & 1 == 1;
        self.field += 1;
        there
    }

    /// The next field, if it is there.
    pub(super) fn next<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match self.is_there() {
            true => read(&mut self.values).map(Some),
            false => Ok(None),
        }
    }
}

/// The texts of an array; what is no array of texts has none.
pub(super) fn texts(from: &mut Reader<'_>) -> Result<Vec<String>, Error> {
    let mut array = Reader(from.long()?);
    if array.0.is_empty() || array.u8()? != STR16 {
        return Ok(Vec::new());
    }
    let count = array.u32()?;
    let text = |_| text(&mut array);
    (0..count).map(text).collect()
}

/// A text with its length in two bytes.
pub(super) fn text(from: &mut Reader<'_>) -> Result<String, Error> {
    let length = from.u16()?;
    Ok(String::from_utf8_lossy(from.take(length.into())?).into_owned())
}

/// The ranges of a set of sequence numbers, both ends included.
pub(super) fn ranges(from: &mut Reader<'_>) -> Result<Vec<(u32, u32)>, Error> {
    let length = from.u16()?;
    let mut set = Reader(from.take(length.into())?);
    let mut ranges = Vec::new();
    while !set.0.is_empty() {
        ranges.push((set.u32()?, set.u32()?));
    }
    Ok(ranges)
}
