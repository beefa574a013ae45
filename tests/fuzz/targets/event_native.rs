//! The older systems' JSON: no input panics; what is read is an event of its system, its data the producer's bytes.
#![no_main]

use busway::event::native::{Fresh, System, decode};
use busway::time::Timestamp;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let fresh = Fresh {
        now: Timestamp(0),
        bits: 1,
        source: None,
    };
    for only in [
        None,
        Some(System::Marathon),
        Some(System::DockerCloud),
        Some(System::Pulp),
    ] {
        for event in decode(Bytes::copy_from_slice(input), only, &fresh).unwrap_or_default() {
            let json = event.json().expect("what was read is JSON");
            let system = System::of(json).expect("of one of them");
            assert!(only.is_none_or(|only| only == system));
            let again = decode(event.data().expect("its data").bytes.clone(), Some(system), &fresh);
            assert_eq!(again.expect("reads again").len(), 1);
        }
    }
});
