//! Signed pushes, verified as a receiver does it: from the certificate alone.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Request};
use ring::{hmac, signature};
use rsa::pkcs1::EncodeRsaPublicKey as _;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, RsaPublicKey};

use super::Signer;
use crate::tasks::Tasks;
use crate::time::Timestamp;

const URL: &str = "http://127.0.0.1:9000/hook?a=b";

async fn signed(signer: &Signer, token: Option<&str>, now: i64) -> HeaderMap {
    let mut request = Request::new(b"{\"a\":1}".to_vec());
    signer.sign(&mut request, URL, token, Timestamp(now)).await.unwrap();
    request.headers().clone()
}

/// The public key in a certificate, found by its shape: a `BIT STRING` after the name of RSA.
fn public_key(certificate: &str) -> RsaPublicKey {
    let inside: String = certificate.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(inside).unwrap();
    let rsa = [
        0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x82,
    ];
    let at = der.windows(rsa.len()).position(|part| part == rsa).unwrap();
    // SEQUENCE with a two-byte length before it.
    let start = at - 4;
    let length = usize::from(der[start + 2]) << 8 | usize::from(der[start + 3]);
    RsaPublicKey::from_public_key_der(&der[start..start + 4 + length]).unwrap()
}

/// As the text of the service says it: the secret out of its header, the lines in their order, the body.
fn verify(headers: &HeaderMap, key: &RsaPublicKey, token: Option<&str>) {
    let of = |name: &str| headers[name].to_str().unwrap();
    let encrypted = BigUint::from_bytes_be(&STANDARD.decode(of("x-eventbridge-signature-secret")).unwrap());
    let padded = encrypted.modpow(key.e(), key.n()).to_bytes_be();
    assert_eq!(padded[0], 1, "a block that the private key made");
    let end = padded.iter().skip(1).position(|byte| *byte != 0xff).unwrap() + 1;
    assert_eq!((padded[end], padded.len()), (0, 255));
    let secret = &padded[end + 1..];
    let lines = |method: &str| {
        let mut text = format!(
            "{URL}\nx-eventbridge-signature-timestamp: {}\n",
            of("x-eventbridge-signature-timestamp")
        );
        text += &format!("{method}\nx-eventbridge-signature-version: 1.0\n");
        text += &format!("x-eventbridge-signature-url: {}\n", of("x-eventbridge-signature-url"));
        if let Some(token) = token {
            text += &format!("x-eventbridge-signature-token: {token}\n");
        }
        text + "{\"a\":1}\n"
    };
    let first = lines("x-eventbridge-signature-method: HMAC-SHA1");
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let v1 = STANDARD.decode(of("x-eventbridge-signature")).unwrap();
    hmac::verify(&hmac_key, first.as_bytes(), &v1).unwrap();
    let second = lines("x-eventbridge-hash-method: SHA256");
    let public = key.to_pkcs1_der().unwrap();
    let public = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, public.as_bytes());
    let v2 = STANDARD.decode(of("x-eventbridge-signature-v2")).unwrap();
    public.verify(second.as_bytes(), &v2).unwrap();
    assert_eq!(of("x-eventbridge-signature-method"), "HMAC-SHA1");
    assert_eq!(of("x-eventbridge-hash-method"), "SHA256");
    assert_eq!(
        headers
            .get("x-eventbridge-signature-token")
            .map(|value| value.to_str().unwrap()),
        token
    );
}

#[tokio::test]
async fn a_receiver_that_has_the_certificate_verifies_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    let signer = Signer::new(folder.path().to_owned(), Tasks::new());
    signer.set_address("http://127.0.0.1:7001");
    let at = "http://127.0.0.1:7001/openapi/certificate.pem";
    let certificate = signer.certificate().await.unwrap();
    let key = public_key(&certificate);
    for token in [None, Some("t-1")] {
        let headers = signed(&signer, token, 1_700_000_000_000).await;
        assert_eq!(headers["x-eventbridge-signature-url"], at);
        verify(&headers, &key, token);
    }
    signer.set_certificate_url("https://hub.example.com/c.pem".into());
    assert_eq!(
        signed(&signer, None, 0).await["x-eventbridge-signature-url"],
        "https://hub.example.com/c.pem"
    );

    // One secret a minute, and one key for ever.
    let secret = async |signer: &Signer, now| signed(signer, None, now).await["x-eventbridge-signature-secret"].clone();
    let first = secret(&signer, 1_000).await;
    assert_eq!(secret(&signer, 59_000).await, first);
    assert_ne!(secret(&signer, 61_001).await, first);
    let again = Signer::new(folder.path().to_owned(), Tasks::new());
    assert_eq!(again.certificate().await.unwrap(), certificate);
    verify(&signed(&again, None, 5).await, &key, None);
    let file = folder.path().join("push-signing.pem");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // A file that holds something else is told, and left alone.
    std::fs::write(&file, "not a key").unwrap();
    let broken = Signer::new(folder.path().to_owned(), Tasks::new());
    assert_eq!(
        broken.certificate().await.unwrap_err().code(),
        "signing_key_unavailable"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a key");
}
