//! SHA-256 in hexadecimal digits: what names code, tokens, subscriptions of older systems, and what a signature signs.

use std::fmt::Write;

use ring::digest::{SHA256, digest};

/// The SHA-256 of some bytes, in 64 small hexadecimal digits.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let mut digits = String::with_capacity(64);
    for byte in digest(&SHA256, bytes.as_ref()).as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// The first of these digits: enough to tell a few things apart.
pub fn short_sha256(bytes: impl AsRef<[u8]>, digits: usize) -> String {
    let mut all = sha256(bytes);
    all.truncate(digits);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(""), empty);
        assert_eq!(short_sha256("", 12), "e3b0c44298fc");
        assert_eq!(short_sha256("", 100), empty);
    }
}
