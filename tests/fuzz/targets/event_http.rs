//! The HTTP binding: no request panics, and every form of what is read is read again with the same data.
//!
//! The input is read by `request`.
#![no_main]

mod request;

use ::http::HeaderMap;
use busway::event::http::{self, Mode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (headers, body) = request::read(input);
    let Ok(decoded) = http::decode(&headers, body) else {
        return;
    };
    for event in &decoded.events {
        for mode in [Mode::Structured, Mode::Batch, Mode::Raw] {
            let encoded = http::encode(mode, event);
            let headers: HeaderMap = encoded.headers.into_iter().collect();
            if mode != Mode::Raw {
                let again = http::decode(&headers, encoded.body).expect("own words are understood");
                assert_eq!(again.events.first().map(|event| event.id()), Some(event.id()));
            }
        }
        let _ = http::encode(Mode::Binary, event);
    }
});
