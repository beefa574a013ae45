//! What proves a name: a secret, kept outright or as its SHA-256; and tokens, which are made here and kept as that.
//!
//! Why plain SHA-256 and no slow hash for tokens: they are 256 bits of chance, which nobody finds by trying, whatever a
//! try costs; and a slow hash would be paid by the hub at each request. Why some are kept outright: a signature
//! (EventBridge's access keys) can only be checked by who has the secret.
//!
//! Invariant: nothing here shows a secret, not even to `Debug`.

use std::fmt;
use std::path::Path;

/// What a secret is compared with.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Itself: it can check signatures too.
    Plain(String),
    /// Its SHA-256, in small hexadecimal digits.
    Sha256(String),
}

impl Secret {
    /// Reads the digits of a SHA-256, as `sha256sum` prints them.
    pub fn from_digits(text: &str) -> Option<Self> {
        let digits = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        digits.then(|| Self::Sha256(text.to_ascii_lowercase()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// What begins every token: scanners of sources and logs know it by this.
const PREFIX: &str = "bw_";
const ID_DIGITS: usize = 12;
const SECRET_DIGITS: usize = 64;

/// A token as its owner has it: `bw_<id>_<secret>`, 12 and 64 hexadecimal digits.
pub(super) struct Form<'a> {
    /// By which it is found.
    pub(super) id: &'a str,
    /// By which it is proven.
    pub(super) secret: &'a str,
}

impl<'a> Form<'a> {
    /// Takes a token apart; none if it is no token at all.
    pub(super) fn of(token: &'a str) -> Option<Self> {
        let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
        let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_hexdigit());
        (digits(id, ID_DIGITS) && digits(secret, SECRET_DIGITS)).then_some(Self { id, secret })
    }
}

/// A new token of these bits: its id, its secret and the whole.
pub(super) fn mint(id: u128, secret: [u128; 2]) -> (String, String, String) {
    let id = format!("{:012x}", id & 0xffff_ffff_ffff);
    let [high, low] = secret;
    let secret = format!("{high:032x}{low:032x}");
    let whole = format!("{PREFIX}{id}_{secret}");
    (id, secret, whole)
}

/// A secret as configs write it: `file:PATH`, `env:NAME`, or the value itself. `key` is for the message.
///
/// # Errors
/// The file cannot be read, or the variable is not set.
pub fn value_of(key: &str, text: &str) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("file:") {
        let read = std::fs::read_to_string(Path::new(path));
        // Secrets in files end in a newline that is not part of them.
        return read
            .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
            .map_err(|error| format!("{key} cannot be read from file {path:?}: {error}"));
    }
    match text.strip_prefix("env:") {
        Some(from) => std::env::var(from).map_err(|_| format!("{key}: the environment variable {from} is not set")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    #[test]
    fn a_token_is_taken_apart_as_it_was_made() {
        let (id, secret, whole) = mint(u128::MAX - 1, [7, u128::MAX]);
        assert_eq!(whole.len(), 3 + 12 + 1 + 64);
        let form = Form::of(&whole).unwrap();
        assert_eq!((form.id, form.secret), (id.as_str(), secret.as_str()));
        for wrong in [
            "",
            "bw_",
            "bw_abc_def",
            &whole[1..],
            &whole[..79],
            &format!("{whole}0"),
            &whole.replace('f', "g"),
        ] {
            assert!(Form::of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn digits_of_a_hash_are_taken_in_any_case() {
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            Secret::from_digits(&sha256("abc").to_ascii_uppercase()),
            Some(Secret::Sha256(sha256("abc")))
        );
        assert_eq!(Secret::from_digits("abc"), None);
    }
}
