//! Whether bytes are JSON that a consumer can read: well formed, in UTF-8, and not nested too deep.
//!
//! serde_json skips a value without recursion, so text nested 100,000 deep passes its syntax check, and then fails
//! in every parser that recurses. Such data is refused at the door instead of failing in each filter and consumer.
//! Invariant: what passes here, [`super::Event::json`] can walk (numbers out of range and lone surrogates aside,
//! which are JSON by RFC 8259 but no value of serde_json's).
//! Invariant: nothing here recurses.

use serde::de::IgnoredAny;

/// The deepest nesting of `data`: what serde_json reads without its limit switched off.
pub(super) const MAX_DEPTH: usize = 127;

/// Why bytes are no JSON that can be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// Not JSON, or not in UTF-8; says where.
    Malformed(String),
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// The rule that [`Unreadable::TooDeep`] breaks, in words for the producer.
pub(super) fn depth_rule() -> String {
    format!("must not nest arrays and objects more than {MAX_DEPTH} deep")
}

/// Checks that `bytes` are one JSON text that consumers can read.
pub(super) fn check(bytes: &[u8]) -> Result<(), Unreadable> {
    let text = utf8(bytes).map_err(Unreadable::Malformed)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|fault| Unreadable::Malformed(fault.to_string()))?;
    if too_deep(bytes) {
        Err(Unreadable::TooDeep)
    } else {
        Ok(())
    }
}

/// Whether well-formed JSON nests deeper than [`MAX_DEPTH`].
pub(super) fn too_deep(json: &[u8]) -> bool {
    // Nearly all data has fewer brackets than the limit in all. Counting them in bytes, a run at a time that no byte
    // overflows, is done many at once by the machine.
    let in_run = |run: &[u8]| run.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>();
    let brackets: usize = json.chunks(255).map(|run| usize::from(in_run(run))).sum();
    brackets > MAX_DEPTH && depth(json) > MAX_DEPTH
}

fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match (in_string, byte) {
            (true, b'\\') => {
                bytes.next();
            }
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The text of `bytes`, or where they stop being UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|fault| {
        let before = bytes.get(..fault.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        format!("bytes that are not UTF-8 at line {line} column {column}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        [vec![b'['; depth], vec![b']'; depth]].concat()
    }

    #[test]
    fn the_limit_is_what_the_parser_reads() {
        for depth in [1, 126, 127, 128, 129, 1000] {
            let json = nested(depth);
            let parsed = serde_json::from_slice::<serde_json::Value>(&json).is_ok();
            assert_eq!(check(&json).is_ok(), parsed, "depth {depth}");
        }
    }

    #[test]
    fn a_hundred_thousand_levels_do_not_reach_the_stack() {
        let objects = [r#"{"a":"#.repeat(100_000), "1".into(), "}".repeat(100_000)].concat();
        for json in [nested(100_000), nested(10_000_000), objects.into_bytes()] {
            assert!(matches!(check(&json), Err(Unreadable::TooDeep)));
        }
    }

    #[test]
    fn brackets_in_strings_and_beside_each_other_do_not_nest() {
        let wide = format!("[{}]", vec!["[[]]"; 500].join(","));
        let quoted = format!(r#"["{}\"{}\\"]"#, "[".repeat(500), "{".repeat(500));
        for json in [wide, quoted] {
            assert!(check(json.as_bytes()).is_ok(), "{json}");
        }
    }

    #[test]
    fn what_is_malformed_says_where() {
        let table: [(&[u8], &str); 5] = [
            (b"", "EOF while parsing a value at line 1 column 0"),
            (b"{\n \"a\": nul}", "expected ident at line 2 column 10"),
            (b"1 2", "trailing characters at line 1 column 3"),
            (b"[\"a\",\n \"\xff\"]", "bytes that are not UTF-8 at line 2 column 3"),
            (b"\xef\xbb\xbf{}", "expected value at line 1 column 1"),
        ];
        for (json, expected) in table {
            match check(json) {
                Err(Unreadable::Malformed(message)) => assert_eq!(message, expected),
                other => panic!("{json:?}: {other:?}"),
            }
        }
    }
}
