//! The HTTP binding: no request panics, and every form of what is read is read again with the same data.
//!
//! The input is a request's head and body: lines of `name: value`, an empty line, the rest is the body.
#![no_main]

use ::http::{HeaderMap, HeaderName, HeaderValue};
use busway::event::http::{self, Mode};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (headers, body) = request(input);
    let Ok(decoded) = http::decode(&headers, body) else {
        return;
    };
    for event in &decoded.events {
        for mode in [Mode::Structured, Mode::Batch, Mode::Raw] {
            let encoded = http::encode(mode, event);
            let headers: HeaderMap = encoded.headers.into_iter().collect();
            if mode != Mode::Raw {
                let again = http::decode(&headers, encoded.body).expect("own words are understood");
                assert_eq!(
                    again.events.first().map(|event| event.id()),
                    Some(event.id())
                );
            }
        }
        let _ = http::encode(Mode::Binary, event);
    }
});

fn request(input: &[u8]) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let mut rest = input;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if line.is_empty() {
            break;
        }
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(line.len());
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line.get(colon + 1..).unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, Bytes::copy_from_slice(rest))
}
