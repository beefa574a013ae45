//! Pushes signed as EventBridge signs them, from the real program, verified by another's cryptography.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Clients, HubProcess, Receiver};

/// A receiver, from the service's own description: certificate to key, key to secret, secret to first signature; key to
/// second signature. The public key undoes what the private key did to the secret.
const VERIFY: &str = r#"
import base64, hashlib, hmac, json, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
push = json.load(open(sys.argv[1]))
headers, body = push["headers"], base64.b64decode(push["body"])
pem = push["certificate"].encode()
key = x509.load_pem_x509_certificate(pem).public_key()
secret = key.recover_data_from_signature(base64.b64decode(headers["x-eventbridge-signature-secret"]), padding.PKCS1v15(), None)
def signed(method):
    text = push["url"] + "\n"
    names = ["x-eventbridge-signature-timestamp", method, "x-eventbridge-signature-version", "x-eventbridge-signature-url"]
    if "x-eventbridge-signature-token" in headers:
        names.append("x-eventbridge-signature-token")
    for name in names:
        text += name + ": " + headers[name] + "\n"
    return text.encode() + body + b"\n"
first = base64.b64encode(hmac.new(secret, signed("x-eventbridge-signature-method"), hashlib.sha1).digest()).decode()
assert first == headers["x-eventbridge-signature"], "first form"
second = base64.b64decode(headers["x-eventbridge-signature-v2"])
key.verify(second, signed("x-eventbridge-hash-method"), padding.PKCS1v15(), hashes.SHA256())
print("verified", headers["x-eventbridge-signature-method"], headers["x-eventbridge-hash-method"])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_verifies_a_push_by_the_certificate() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let sink = receiver.url("/hook?a=b");
    for (id, settings) in [
        ("plain", json!({"sign": "eventbridge"})),
        (
            "token",
            json!({"sign": "eventbridge", "token": "of mine", "format": "raw"}),
        ),
    ] {
        let shown = hub
            .put(
                &format!("/v1/subscriptions/{id}"),
                &json!({"sink": sink, "protocolsettings": settings}),
            )
            .await;
        let token = shown["protocolsettings"].get("token").map(|token| token == "***");
        assert_eq!(
            (&shown["protocolsettings"]["sign"], token.unwrap_or(true)),
            (&json!("eventbridge"), true)
        );
    }
    hub.publish(&json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"umlaut": "ä"}}))
        .await;
    let kept = std::fs::read_to_string(folder.path().join("data/push-signing.pem"));
    for (nth, push) in receiver.wait_for(2).await.into_iter().enumerate() {
        let headers: serde_json::Map<String, Value> = push
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
            .collect();
        let at = format!("http://{}/openapi/certificate.pem", hub.address());
        assert_eq!(headers["x-eventbridge-signature-url"], at);
        let text = kept.as_ref().map_or_else(
            |_| std::fs::read_to_string(folder.path().join("data/push-signing.pem")).unwrap(),
            Clone::clone,
        );
        let certificate = &text[text.find("-----BEGIN CERTIFICATE").unwrap()..];
        let file = folder.path().join(format!("push-{nth}.json"));
        let push =
            json!({"url": sink, "headers": headers, "body": STANDARD.encode(&push.body), "certificate": certificate});
        std::fs::write(&file, push.to_string()).unwrap();
        let said = Clients::Python.run(VERIFY, &[file.to_str().unwrap()]).await;
        assert_eq!(said.trim(), "verified HMAC-SHA1 SHA256");
    }
}
