//! What others answer: a stream of server-sent events, whose pieces must not depend on how its bytes are cut, and a
//! target's consent. No input panics.
#![no_main]

mod request;

use busway::cli::sse::Sse;
use busway::deliver::consent::Question;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = Sse::default().take(input);
    let mut reader = Sse::default();
    let pieces: Result<Vec<_>, _> = input.chunks(3).map(|bytes| reader.take(bytes)).collect();
    assert_eq!(whole.ok(), pieces.ok().map(|pieces| pieces.concat()));

    let (headers, _) = request::read(input);
    let question = Question {
        origin: "hub.example",
        rate: None,
        callback: None,
    };
    let _ = question.agreed(&headers);
});
