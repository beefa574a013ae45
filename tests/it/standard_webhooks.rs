//! Signatures as Standard Webhooks has them, verified by the libraries of its own project, and with public keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::support::{Clients, HubProcess, Receiver, Request};

const PYTHON: &str = r#"
import json, sys
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
given = json.loads(sys.argv[1])
for secret in given["secrets"]:
    for body in (given["body"], given["body"] + " "):
        try:
            Webhook(secret).verify(body, given["headers"])
            print("good")
        except WebhookVerificationError as error:
            print("bad")
"#;

const NODE: &str = r#"
const { Webhook } = require("standardwebhooks");
const given = JSON.parse(process.argv.slice(1).at(-1));
for (const secret of given.secrets) for (const body of [given.body, given.body + " "]) {
    try { new Webhook(secret).verify(body, given.headers); console.log("good"); } catch (error) { console.log("bad"); }
}
"#;

/// The public key of a signature `v1a` by its own library.
const ED25519_IN_PYTHON: &str = r#"
import base64, json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
given = json.loads(sys.argv[1])
key = Ed25519PublicKey.from_public_bytes(base64.b64decode(given["secrets"][0].removeprefix("whpk_")))
headers = given["headers"]
signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{given['body']}".encode()
signatures = [one.split(",", 1)[1] for one in headers["webhook-signature"].split(" ") if one.startswith("v1a,")]
key.verify(base64.b64decode(signatures[0]), signed)
print("good")
"#;

fn given(request: &Request, secrets: &[&str]) -> String {
    let headers: serde_json::Map<String, Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    json!({"headers": headers, "body": body, "secrets": secrets}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn their_own_libraries_verify_what_the_hub_signs() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let shared = |fill: u8, length| format!("whsec_{}", BASE64.encode(vec![fill; length]));
    let (old, new, stranger) = (shared(1, 24), shared(2, 64), shared(3, 32));
    let private = format!("whsk_{}", BASE64.encode([9; 32]));
    let settings = json!({"secrets": [private, new, old]});
    let body = json!({"sink": receiver.url("/"), "types": ["n"], "protocolsettings": settings});
    let shown = hub.put("/v1/subscriptions/s", &body).await;
    assert_eq!(shown["protocolsettings"]["secrets"], json!(["***", "***", "***"]));
    let public = shown["public_keys"][0].as_str().unwrap().to_owned();
    hub.publish_many("n", 0..1, 0).await;
    let request = &receiver.wait_for(1).await[0];
    // Each secret is right for the body as it came, and for no other; a stranger's is right for none.
    let expected = "good\nbad\ngood\nbad\nbad\nbad\n";
    let asked = given(request, &[&old, &new, &stranger]);
    assert_eq!(Clients::Python.run(PYTHON, &[&asked]).await, expected);
    assert_eq!(Clients::Node.run(NODE, &[&asked]).await, expected);
    assert_eq!(
        Clients::Python
            .run(ED25519_IN_PYTHON, &[&given(request, &[&public])])
            .await,
        "good\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rotated_without_being_sent_again_and_over_a_restart() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    let key = |fill: u8| format!("whsk_{}", BASE64.encode([fill; 32]));
    let body =
        |secrets: Value| json!({"sink": receiver.url("/"), "types": ["n"], "protocolsettings": {"secrets": secrets}});
    let first = hub.put("/v1/subscriptions/s", &body(json!([key(1)]))).await;
    let second = hub.put("/v1/subscriptions/s", &body(json!([key(2), "***"]))).await;
    assert_eq!(second["public_keys"].as_array().unwrap().len(), 2);
    assert_eq!(second["public_keys"][1], first["public_keys"][0]);
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    hub.publish_many("n", 0..1, 0).await;
    let request = &receiver.wait_for(1).await[0];
    let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
    let mut signed = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).into_bytes();
    signed.extend(&request.body);
    let signatures = header("webhook-signature");
    let keys = second["public_keys"].as_array().unwrap();
    for (signature, public) in signatures.split(' ').zip(keys) {
        let public = BASE64
            .decode(public.as_str().unwrap().strip_prefix("whpk_").unwrap())
            .unwrap();
        let signature = BASE64.decode(signature.strip_prefix("v1a,").unwrap()).unwrap();
        UnparsedPublicKey::new(&ED25519, public)
            .verify(&signed, &signature)
            .unwrap();
    }
}
