//! Docker Cloud's JSON: no input panics, and what is read keeps the producer's bytes and is a sound event.
#![no_main]

use busway::event::json;
use busway::event::native::{Fresh, System, decode};
use busway::time::Timestamp;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let fresh = Fresh {
        now: Timestamp(1_454_345_248_000),
        bits: 7,
        source: None,
    };
    // The space around a body stays with its data, and has no place in the JSON format.
    let body = Bytes::copy_from_slice(input.trim_ascii());
    let Ok(events) = decode(body, Some(System::DockerCloud), &fresh) else {
        return;
    };
    for event in events {
        let data = event.data().expect("its own bytes");
        assert!(input.windows(data.bytes.len()).any(|part| part == data.bytes));
        assert_eq!(json::decode(json::encode(&event).into()).as_ref(), Ok(&event));
    }
});
