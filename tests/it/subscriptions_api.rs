//! The CloudEvents Subscriptions API under its own paths: golden requests and answers, in order, against one hub.

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, PATIENCE, Receiver, basic, client};

/// `tests/fixtures/subscriptions_api`: steps of `{"method", "path", "body", "status", "headers", "answer"}`. `$sink` is
/// the receiver, `$id` the id that the last POST gave; an answer is compared in the fields that it names.
#[tokio::test(flavor = "multi_thread")]
async fn the_golden_exchanges() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/subscriptions_api/steps.json"
    );
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("$sink", &receiver.url("/hook"));
    let steps: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut id = String::new();
    for step in &steps {
        let step: Value = serde_json::from_str(&step.to_string().replace("$id", &id)).unwrap();
        let (status, headers, answer) = exchange(&hub, &step).await;
        assert_eq!(status, step["status"].as_u64().unwrap() as u16, "{step}: {answer}");
        if let (Some("POST"), 201) = (step["method"].as_str(), status) {
            id = answer["id"].as_str().unwrap().to_owned();
            assert_eq!(headers["location"], format!("/subscriptions/{id}"));
        }
        for (name, value) in step["headers"].as_object().into_iter().flatten() {
            assert_eq!(headers[name.as_str()].to_str().unwrap(), value, "{step}");
        }
        contains(&answer, &step["answer"], &step);
        assert!(
            !answer.to_string().contains("t0ken"),
            "credentials are never shown: {answer}"
        );
    }
}

async fn exchange(hub: &HubProcess, step: &Value) -> (u16, http::HeaderMap, Value) {
    let request = http::Request::builder()
        .method(step["method"].as_str().unwrap())
        .uri(hub.url(step["path"].as_str().unwrap()))
        .header("content-type", "application/json");
    let body = if step["body"].is_null() {
        String::new()
    } else {
        step["body"].to_string()
    };
    let answer = client()
        .send(request.body(body.into()).unwrap(), PATIENCE, 1 << 20)
        .await
        .unwrap();
    let json = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status.as_u16(), answer.headers, json)
}

/// Every field of `wanted` is so in `found`; a text that ends in `…` is a beginning.
fn contains(found: &Value, wanted: &Value, step: &Value) {
    match (found, wanted) {
        (_, Value::Null) => {}
        (Value::Object(found), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                contains(found.get(name).unwrap_or(&Value::Null), wanted, step);
            }
        }
        (Value::String(found), Value::String(wanted)) if wanted.ends_with('…') => {
            assert!(found.starts_with(wanted.trim_end_matches('…')), "{step}: {found}");
        }
        (found, wanted) => assert_eq!(found, wanted, "{step}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_makes_delivers_with_its_credential() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let credential = json!({"credentialtype": "PLAIN", "identifier": "u", "secret": "p"});
    let settings = json!({"method": "POST", "headers": {"x-a": "b"}});
    let body = json!({"protocol": "HTTP", "sink": receiver.url("/"), "types": ["n"], "sinkcredential": credential, "protocolsettings": settings});
    let made = hub.post("/subscriptions", &body).await;
    let id = made["id"].as_str().unwrap();
    // Sent back as it was shown: the credential stays, as it would on a change of anything else.
    hub.put(&format!("/subscriptions/{id}"), &made).await;
    hub.publish_many("n", 0..1, 0).await;
    let seen = receiver.wait_for(1).await;
    assert_eq!(seen[0].headers["authorization"], basic("u", "p").as_str());
    assert_eq!(seen[0].headers["x-a"], "b");
    let ours = hub.get(&format!("/v1/subscriptions/{id}")).await;
    assert_eq!(ours["protocolsettings"]["auth"]["basic"]["password"], "***");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_subscribe_is_refused_there_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[auth.reader]\nsecret = \"s3cret-of-the-reader\"\nscopes = [\"publish\"]\n[auth.owner]\nsecret = \"s3cret-of-the-owner\"\nscopes = [\"subscribe\"]\n";
    std::fs::write(folder.path().join("busway.toml"), config).unwrap();
    let hub = HubProcess::start_with(folder.path(), &["--config", "busway.toml"]).await;
    let (reader, owner) = (
        basic("reader", "s3cret-of-the-reader"),
        basic("owner", "s3cret-of-the-owner"),
    );
    for (headers, expected) in [
        (vec![], 401),
        (vec![("authorization", "Bearer nobody")], 401),
        (vec![("authorization", reader.as_str())], 403),
        (vec![("authorization", owner.as_str())], 200),
    ] {
        assert_eq!(
            hub.send(Method::GET, "/subscriptions", &headers, "").await.0,
            expected,
            "{headers:?}"
        );
    }
}
