//! The values of `ce-` headers (HTTP binding, section 3.1.3.2): percent-encoded, and nothing else.
//!
//! Reading is liberal, because libraries differ: some never encode, so bytes that are no escape stand for themselves.
//! Invariant: what is written is visible ASCII, and reads back as the same text.

use std::borrow::Cow;

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

/// Beside controls and everything past `~`, which are always encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Text as a header value.
pub(super) fn write(text: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&Cow::from(utf8_percent_encode(text, ENCODED))).ok()
}

/// The text of a header value: unquoted if it is a quoted string, then percent-decoded once. `None` if that is not
/// UTF-8.
pub(super) fn read(value: &HeaderValue) -> Option<String> {
    let bytes = value.as_bytes();
    let unquoted = unquote(bytes);
    let decoded = percent_decode(unquoted.as_deref().unwrap_or(bytes));
    decoded.decode_utf8().ok().map(Into::into)
}

/// What a complete quoted string holds; `None` if this is none.
fn unquote(bytes: &[u8]) -> Option<Vec<u8>> {
    let inner = bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut plain = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => return None,
            b'\\' => plain.push(*rest.next()?),
            other => plain.push(*other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reading() {
        let table: [(&[u8], Option<&str>); 15] = [
            (b"plain", Some("plain")),
            (b"Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro € 😀")),
            (b"Euro%20%e2%82%ac", Some("Euro €")),
            ("Euro € 😀".as_bytes(), Some("Euro € 😀")),
            (br#""quoted \"x\" \\ %41""#, Some(r#"quoted "x" \ A"#)),
            (br#""open"#, Some(r#""open"#)),
            (br#""a"b""#, Some(r#""a"b""#)),
            (br#""a\""#, Some(r#""a\""#)),
            (br#"""#, Some(r#"""#)),
            (br#""""#, Some("")),
            (b"100%", Some("100%")),
            (b"%zz %4", Some("%zz %4")),
            (b"%2541", Some("%41")),
            (b"%C0%A0", None),
            (b"\xff", None),
        ];
        for (given, expected) in table {
            let value = HeaderValue::from_bytes(given).unwrap();
            assert_eq!(read(&value).as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn writing() {
        let table = [
            ("plain", "plain"),
            ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("\"100%\"", "%22100%25%22"),
            ("!#$&'()*+,/:;<=>?@[\\]^_`{|}~", "!#$&'()*+,/:;<=>?@[\\]^_`{|}~"),
            ("a\u{7f}\n", "a%7F%0A"),
            ("", ""),
        ];
        for (given, expected) in table {
            assert_eq!(write(given).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in any::<String>()) {
            let value = write(&text).unwrap();
            prop_assert!(value.as_bytes().iter().all(|byte| (0x21..=0x7e).contains(byte)));
            prop_assert_eq!(read(&value), Some(text));
        }
    }
}
