//! Signing secrets of Standard Webhooks: a shared key (`whsec_…`, HMAC-SHA256), or a private one (`whsk_…`, Ed25519)
//! whose public half (`whpk_…`) is shown with the subscription, so that a consumer can verify and not forge.
//!
//! Invariant: neither `Debug` nor an error shows a secret.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::Value;

use super::fields::refuse;
use crate::error::Error;
use crate::time::Timestamp;

const SEED: usize = 32;
/// Libraries differ on the `=` at the end: both are read.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A signing secret. Never shown again.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A key that the consumer has too: 24 to 64 bytes.
    Shared(Vec<u8>),
    /// A key that only the hub has.
    Private(Arc<PrivateKey>),
}

/// A secret, and how long it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningSecret {
    /// The secret.
    pub secret: Secret,
    /// From then on it does not; none: it has not been replaced.
    pub until: Option<Timestamp>,
}

/// An Ed25519 key, ready to sign.
pub struct PrivateKey {
    seed: [u8; SEED],
    pair: Ed25519KeyPair,
}

impl Secret {
    /// Reads one that stands at `path`.
    pub(super) fn read(path: &str, value: &Value) -> Result<Self, Error> {
        let text = value.as_str().unwrap_or_default();
        if let Some(key) = text.strip_prefix("whsk_") {
            let key = BASE64.decode(key).ok().and_then(|bytes| PrivateKey::of(&bytes));
            return key.map(|key| Self::Private(Arc::new(key))).ok_or_else(|| {
                let rule = "must be an Ed25519 key: `whsk_` and the base64 of its seed (32 bytes), or of the seed and the public key (64 bytes)";
                refuse(path, rule)
            });
        }
        if text.starts_with("whpk_") {
            return Err(refuse(
                path,
                "is a public key, which cannot sign; give the private one (`whsk_…`)",
            ));
        }
        let key = text.strip_prefix("whsec_").and_then(|text| BASE64.decode(text).ok());
        // Standard Webhooks asks for 24 to 64 bytes.
        key.filter(|key| (24..=64).contains(&key.len())).map(Self::Shared).ok_or_else(|| {
            let rule = "must be a Standard Webhooks secret: `whsec_` and the base64 of 24 to 64 random bytes, or `whsk_` and that of an Ed25519 key";
            refuse(path, rule)
        })
    }

    /// A new one of 32 bytes, of the same kind as `like`.
    pub(super) fn generate(like: Option<&Self>, chance: [u128; 2]) -> Self {
        let bytes = chance.map(u128::to_be_bytes).concat();
        match (like, PrivateKey::of(&bytes)) {
            (Some(Self::Private(_)), Some(key)) => Self::Private(Arc::new(key)),
            _ => Self::Shared(bytes),
        }
    }

    /// As it is written. For the store, and once for who asked for a new one.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Shared(key) => format!("whsec_{}", BASE64.encode(key)),
            Self::Private(key) => format!("whsk_{}", BASE64.encode([key.seed.as_slice(), key.public()].concat())),
        }
    }

    /// The public half, `whpk_…`, of one that has it.
    pub(super) fn public(&self) -> Option<String> {
        match self {
            Self::Shared(_) => None,
            Self::Private(key) => Some(format!("whpk_{}", BASE64.encode(key.public()))),
        }
    }
}

impl SigningSecret {
    /// One without an end.
    pub fn lasting(secret: Secret) -> Self {
        Self { secret, until: None }
    }

    /// Whether it signs at this time.
    pub fn signs(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl PrivateKey {
    /// From the seed, or from the seed and the public key that must go with it.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (seed, public) = bytes.split_first_chunk::<SEED>()?;
        let pair = match public.is_empty() {
            true => Ed25519KeyPair::from_seed_unchecked(seed),
            false => Ed25519KeyPair::from_seed_and_public_key(seed, public),
        };
        let pair = pair.ok()?;
        Some(Self { seed: *seed, pair })
    }

    fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The signature of a message.
    pub fn sign(&self, message: &[u8]) -> impl AsRef<[u8]> + use<> {
        self.pair.sign(message)
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed
    }
}

impl Eq for PrivateKey {}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The pair of the Standard Webhooks specification.
    const PRIVATE: &str =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

    #[test]
    fn a_private_key_shows_its_public_half() {
        let whole = Secret::read("s", &json!(PRIVATE)).unwrap();
        assert_eq!(whole.public().as_deref(), Some(PUBLIC));
        assert_eq!(whole.written(), PRIVATE);
        let seed = BASE64.decode(PRIVATE.trim_start_matches("whsk_")).unwrap()[..SEED].to_vec();
        let unpadded = BASE64.encode(seed).replace('=', "");
        let seed = Secret::read("s", &json!(format!("whsk_{unpadded}"))).unwrap();
        assert_eq!(seed, whole);
        assert!(!format!("{whole:?}").contains("6Xb"));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        let other = format!("whsk_{}", BASE64.encode([[1_u8; 32], [2; 32]].concat()));
        for (text, rule) in [
            ("whsk_AAAA", "must be an Ed25519 key"),
            ("whsk_!", "must be an Ed25519 key"),
            (other.as_str(), "must be an Ed25519 key"),
            (PUBLIC, "is a public key"),
            ("whsec_AAAA", "must be a Standard Webhooks secret"),
            ("hunter2", "must be a Standard Webhooks secret"),
        ] {
            let error = Secret::read("protocolsettings.secret", &json!(text)).unwrap_err();
            assert!(error.message().contains(rule), "{error}");
            assert!(!error.message().contains(text), "{error}");
        }
    }
}
