//! Standard Webhooks signatures over `id.timestamp.body`: HMAC-SHA256 (`v1`) with a shared secret, Ed25519 (`v1a`)
//! with a private key.
//!
//! Every secret that is still good signs, the first first, so that a consumer accepts either while one is being replaced.
//! Invariant: the signed bytes are the bytes that are sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::subscription::Secret;

/// The value of `webhook-signature`: `v1,<base64>` or `v1a,<base64>` for each secret, divided by spaces.
pub(super) fn signature<'a>(
    secrets: impl IntoIterator<Item = &'a Secret>,
    id: &str,
    unix_seconds: i64,
    body: &[u8],
) -> String {
    let mut value = String::with_capacity(92);
    let before = format!("{id}.{unix_seconds}.");
    for secret in secrets {
        if !value.is_empty() {
            value.push(' ');
        }
        match secret {
            Secret::Shared(key) => {
                let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
                signed.update(before.as_bytes());
                signed.update(body);
                value.push_str("v1,");
                STANDARD.encode_string(signed.sign(), &mut value);
            }
            Secret::Private(key) => {
                value.push_str("v1a,");
                STANDARD.encode_string(key.sign(&[before.as_bytes(), body].concat()), &mut value);
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};
    use serde_json::json;

    use super::*;
    use crate::log::BusName;
    use crate::subscription::{DeliveryConfig, Sink, Subscription, SubscriptionId};
    use crate::time::Timestamp;

    const SIGNED: &str = "v1,gY5u0Gy1AnBsf6YdPFLa7N7Wpo237alzmdfC0DTFXRI=";
    const BODY: &[u8] = br#"{"a":1}"#;

    #[test]
    fn the_vector_of_the_specification() {
        let secret = Secret::Shared(STANDARD.decode("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=").unwrap());
        assert_eq!(signature(&[secret], "msg_1", 1_700_000_000, BODY), SIGNED);
    }

    #[test]
    fn every_secret_signs_in_its_order() {
        let (old, new) = (Secret::Shared(vec![b'a'; 32]), Secret::Shared(vec![b'b'; 32]));
        let both = signature(&[new.clone(), old], "msg_1", 1_700_000_000, BODY);
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(second, SIGNED);
        assert_eq!(first, signature(&[new], "msg_1", 1_700_000_000, BODY));
        assert_ne!(first, second);
    }

    #[test]
    fn a_private_key_signs_beside_a_shared_one_and_its_shown_half_verifies() {
        let (private, shared) = (
            format!("whsk_{}", STANDARD.encode([7; 32])),
            format!("whsec_{}", STANDARD.encode([b'a'; 32])),
        );
        let json = json!({"sink": "https://sink.example/", "protocolsettings": {"secrets": [private, shared]}});
        let (id, bus) = (SubscriptionId("s".into()), BusName::default_bus());
        let subscription = Subscription::from_json(id, bus, &json, &DeliveryConfig::default(), Timestamp(0)).unwrap();
        let Sink::Webhook(webhook) = &subscription.sink else {
            panic!("no webhook")
        };
        let both = signature(webhook.signing(Timestamp(0)), "msg_1", 1_700_000_000, BODY);
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(second, SIGNED);
        let shown = subscription.to_json();
        let public = shown["public_keys"][0].as_str().unwrap().strip_prefix("whpk_").unwrap();
        let public = UnparsedPublicKey::new(&ED25519, STANDARD.decode(public).unwrap());
        let signed = STANDARD.decode(first.strip_prefix("v1a,").unwrap()).unwrap();
        public.verify(br#"msg_1.1700000000.{"a":1}"#, &signed).unwrap();
        public.verify(br#"msg_1.1700000000.{"a":2}"#, &signed).unwrap_err();
    }
}
