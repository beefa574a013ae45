//! Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Every secret signs, the first first, so that a consumer accepts either while one is being replaced.
//! Invariant: the signed bytes are the bytes that are sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::subscription::Secret;

/// The value of `webhook-signature`: `v1,<base64>` for each secret, divided by spaces.
pub(super) fn signature(secrets: &[Secret], id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let mut value = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let mut signed = hmac::Context::with_key(&key);
        signed.update(format!("{id}.{unix_seconds}.").as_bytes());
        signed.update(body);
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str("v1,");
        STANDARD.encode_string(signed.sign(), &mut value);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "v1,gY5u0Gy1AnBsf6YdPFLa7N7Wpo237alzmdfC0DTFXRI=";

    #[test]
    fn the_vector_of_the_specification() {
        let secret = Secret(STANDARD.decode("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=").unwrap());
        assert_eq!(signature(&[secret], "msg_1", 1_700_000_000, br#"{"a":1}"#), SIGNED);
    }

    #[test]
    fn every_secret_signs_in_its_order() {
        let (old, new) = (Secret(vec![b'a'; 32]), Secret(vec![b'b'; 32]));
        let both = signature(&[new.clone(), old], "msg_1", 1_700_000_000, br#"{"a":1}"#);
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(second, SIGNED);
        assert_eq!(first, signature(&[new], "msg_1", 1_700_000_000, br#"{"a":1}"#));
        assert_ne!(first, second);
    }
}
