//! Alibaba's looser JSON: no input panics, and what is read is written as it came and read again as the same event.
#![no_main]

use busway::event::native::eventbridge::{encode, read};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    let Ok(text) = std::str::from_utf8(&input) else {
        return;
    };
    let Some(event) = read(text.trim(), &input).ok().and_then(|draft| draft.check().ok()) else {
        return;
    };
    let written = Bytes::from(encode(&event));
    let again = read(std::str::from_utf8(&written).unwrap(), &written);
    assert_eq!(again.unwrap().check().as_ref(), Ok(&event));
});
