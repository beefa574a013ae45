//! A row of a segment file, of any bytes: a record or damage, never a panic. The checksum is given as right: what lies
//! behind it must stand on its own.
#![no_main]

use busway::log::record::{Row, decode};
use libfuzzer_sys::fuzz_target;

type Columns = (
    [i64; 2],
    [Vec<u8>; 3],
    Option<Vec<u8>>,
    Option<u8>,
    Option<Vec<u8>>,
);

fuzz_target!(|columns: Columns| {
    let ([offset, received], [id, source, ty], attributes, kind, data) = columns;
    let kinds: [&[u8]; 4] = [b"json", b"text", b"binary", b"other"];
    let row = Row {
        offset,
        received,
        id: &id,
        source: &source,
        ty: &ty,
        attributes: attributes.as_deref(),
        kind: kind.map(|kind| kinds[usize::from(kind) % kinds.len()]),
        data: data.as_deref(),
    };
    if let Ok(record) = decode(&row, row.checksum().into()) {
        assert_eq!(i64::try_from(record.offset.0), Ok(offset));
        assert_eq!(record.event.id().as_bytes(), id);
    }
});
