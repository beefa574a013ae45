//! The JSON format: no input panics, and what is read is written and read again as the same event.
#![no_main]

use busway::event::json;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    if let Ok(event) = json::decode(input.clone()) {
        let _ = event.json();
        assert_eq!(
            json::decode(json::encode(&event).into()).as_ref(),
            Ok(&event)
        );
    }
    if let Ok(events) = json::decode_batch(input) {
        let encoded = json::encode_batch(&events.iter().collect::<Vec<_>>());
        assert_eq!(json::decode_batch(encoded.into()), Ok(events));
    }
});
