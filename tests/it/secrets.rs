//! No secret in what anybody else may read: the hub's log at its most talkative, answers, problems, figures, events of
//! its own life, dead letters, and the command line's outputs.
//!
//! Each secret is one that nothing else would spell. It is looked for as it is, as a query writes it, and as base64
//! would have it, wherever in a longer text it began.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, basic, run, status};

/// What stands for each kind of secret; the name is in it, so that a failure says which it was.
const ACCOUNT: &str = "Zq7/account+secret=1";
const BASIC: &str = "Zq7/basic+password=2";
const BEARER: &str = "Zq7/bearer+token=3";
const CLIENT: &str = "Zq7/client+secret=4";
const WEBHOOK: &str = "Zq7-webhook-token-5";
const BROKER: &str = "Zq7-broker-password-6";
const PLUGIN: &str = "Zq7/plugin+password=7";
const GRANTED: &str = "Zq7/granted+value=8";
const PROXY: &str = "Zq7-proxy-password-9";
const LISTENER: &str = "Zq7/listener+password=10";
const WRONG: &str = "Zq7/somebody+elses=11";
const SIGNING: &str = "whsec_WnE3c2lnbmluZ3NlY3JldDEyWnE3c2lnbmluZzEy";

/// What may be read, and where it was.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    /// Fails if a secret is in any of it.
    fn hides(&self, secrets: &[&str]) {
        for (place, text) in &self.0 {
            for secret in secrets {
                for spelt in spellings(secret) {
                    let at = text.find(&spelt);
                    let around = at.map(|at| text[..at].chars().rev().take(200).collect::<String>());
                    let around = around.map(|text| text.chars().rev().collect::<String>());
                    assert!(at.is_none(), "{place} shows {secret} as {spelt}, after: {around:?}");
                }
            }
        }
    }
}

/// A text as it is, percent-encoded, and as base64 has it at each of the three places where it may begin.
fn spellings(secret: &str) -> Vec<String> {
    let mut all = vec![
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        json!(secret).to_string().trim_matches('"').to_owned(),
    ];
    for before in 0..3 {
        let bytes = [&b"xx"[..before], secret.as_bytes()].concat();
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            // The first and last characters also hold bits of what is beside it.
            all.push(encoded[4.min(before * 4)..encoded.len() - 2].to_owned());
        }
    }
    all
}

#[test]
fn a_secret_is_found_in_every_spelling() {
    for text in [
        BASIC.to_owned(),
        basic("u", BASIC),
        basic("us", BASIC),
        basic("use", BASIC),
    ] {
        let found = spellings(BASIC).iter().any(|spelt| text.contains(spelt));
        assert!(found, "{text}");
    }
    assert!(!spellings(BASIC).iter().any(|spelt| basic("u", BEARER).contains(spelt)));
}

fn config() -> String {
    format!(
        r#"
[auth.ann]
secret = "{ACCOUNT}"
scopes = ["admin"]
[eventbridge]
webhooks = ["src={WEBHOOK}"]
[messaging]
url = "tcp://guest:{BROKER}@127.0.0.1:9"
[egress]
proxy = "http://who:{PROXY}@127.0.0.1:9"
no_proxy = ["127.0.0.1"]
[plugins.chat]
config = {{ password = "{PLUGIN}", token = "{PLUGIN}" }}
grants = {{ env = {{ PASSWORD = "{GRANTED}" }} }}
"#
    )
}

/// Requests to be made with credentials that are right: method, path, body.
fn requests(sink: &str) -> Vec<(Method, &'static str, String)> {
    let with = |auth: Value| {
        json!({"sink": sink, "types": ["t"], "protocolsettings": {"auth": auth, "secret": SIGNING}, "config": {"max_attempts": 1}}).to_string()
    };
    let client = json!({"token_url": sink, "client_id": "me", "client_secret": CLIENT});
    let listener = json!({"notifier_type_id": "http", "event_types": ["*"],
        "notifier_config": {"url": sink, "username": "u", "password": LISTENER}});
    let put = |path, body| (Method::PUT, path, body);
    vec![
        put("/v1/subscriptions/basic", with(json!({"basic": {"username": "u", "password": BASIC}}))),
        put("/v1/subscriptions/bearer", with(json!({"bearer": BEARER}))),
        put("/v1/subscriptions/oauth2", with(json!({"oauth2": client}))),
        // A secret where none belongs.
        put("/v1/subscriptions/bad", with(json!({"basic": {"user": "u", "password": WRONG}}))),
        put("/v1/subscriptions/bad", with(json!({"bearer": [WRONG]}))),
        put("/v1/subscriptions/bad", with(json!(WRONG))),
        put("/v1/subscriptions/bad", json!({"sink": sink, "protocolsettings": {"secret": WRONG}}).to_string()),
        put("/v1/subscriptions/bad", json!({"sink": format!("http://u:{PROXY}@127.0.0.1:9/")}).to_string()),
        put("/v1/subscriptions/bad", json!({"sink": sink, "protocolsettings": {"proxy": format!("ftp://u:{PROXY}@h")}}).to_string()),
        put("/v1/subscriptions/bad", format!("{{\"sink\": \"{WRONG}")),
        put("/v1/subscriptions/bad", format!("{{\"sink\": {WRONG}}}")),
        (Method::POST, "/subscriptions", json!({"sink": sink, "protocol": "HTTP", "sinkcredential": {"credentialtype": "ACCESSTOKEN", "accesstoken": WRONG}}).to_string()),
        (Method::POST, "/v1/tokens", json!({"name": "x", "scopes": [format!("a{BEARER}")], "secret": WRONG}).to_string().replace(BEARER, "")),
        (Method::POST, "/pulp/api/v2/events/", listener.to_string()),
        (Method::POST, "/v1/events", json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}).to_string()),
    ]
}

async fn drive(hub: &HubProcess, sink: &str, said: &mut Said) {
    let right = format!("Bearer ann:{ACCOUNT}");
    for (method, path, body) in requests(sink) {
        let media = if path == "/v1/events" {
            "application/cloudevents+json"
        } else {
            "application/json"
        };
        let headers = [("content-type", media), ("authorization", right.as_str())];
        let (code, answer) = hub.send(method.clone(), path, &headers, body).await;
        said.add(&format!("{method} {path} ({code})"), String::from_utf8_lossy(&answer));
    }
    for (path, header) in [
        ("/v1/events", format!("Bearer {WRONG}")),
        ("/v1/events", basic("ann", WRONG)),
        ("/v2/events", basic("ann", WRONG)),
        ("/pulp/api/v2/events/", basic("ann", WRONG)),
        ("/api/audit/v1/events", format!("ApiKey ann:{WRONG}")),
        (
            "/api/audit/v1/events?token=Zq7/somebody%2Belses%3D11&user=ann",
            right.clone(),
        ),
        ("/openapi/listEventBuses", format!("acs:ann:{WRONG}")),
    ] {
        let (code, answer) = hub.send(Method::GET, path, &[("authorization", &header)], "").await;
        said.add(&format!("{path} ({code})"), String::from_utf8_lossy(&answer));
    }
    let path = format!("/webhook/putEvents?token={WEBHOOK}");
    let (code, answer) = hub.send(Method::POST, &path, &[], "{").await;
    said.add(&format!("a webhook ({code})"), String::from_utf8_lossy(&answer));
}

/// Everything that can be asked, once the deliveries have failed.
async fn look(hub: &HubProcess, said: &mut Said) {
    let right = format!("Bearer ann:{ACCOUNT}");
    let headers = [("authorization", right.as_str())];
    let is_dead = async || {
        let (_, answer) = hub.send(Method::GET, "/v1/dead-letters", &headers, "").await;
        let letters: Value = serde_json::from_slice(&answer).unwrap();
        letters["dead_letters"].as_array().is_some_and(|all| all.len() >= 2)
    };
    crate::support::until("deliveries have failed", is_dead).await;
    for path in [
        "/v1/subscriptions",
        "/subscriptions",
        "/v1/subscriptions/basic",
        "/v1/subscriptions/basic/deliveries",
        "/v1/subscriptions/bearer/deliveries",
        "/v1/dead-letters",
        "/v1/plugins",
        "/v1/tokens",
        "/v1/explain?offset=1&subscription=basic",
        "/v1/buses/busway/events?limit=1000",
        "/v2/eventSubscriptions",
        "/pulp/api/v2/events/",
        "/metrics",
        "/healthz",
        "/",
    ] {
        let (code, answer) = hub.send(Method::GET, path, &headers, "").await;
        said.add(&format!("GET {path} ({code})"), String::from_utf8_lossy(&answer));
    }
}

/// What commands print.
fn commands(folder: &Path, url: &str, token: &str, said: &mut Said) {
    let remote = ["--url", url, "--token", token];
    for command in [
        &["subscription", "list", "--output", "json"][..],
        &["subscription", "get", "basic"],
        &["dead", "list", "--output", "json"],
        &["token", "list", "--output", "json"],
        &["plugin", "list"],
    ] {
        let (code, out, error) = run(folder, &[command, &remote].concat());
        said.add(&format!("busway {} ({code})", command.join(" ")), out + &error);
    }
    let wrong = ["subscription", "list", "--url", "http://127.0.0.1:9", "--token", WRONG];
    let (_, out, error) = run(folder, &wrong);
    said.add("a command without a hub", out + &error);
    for command in [
        &["config", "print"][..],
        &["config", "print", "--output", "json"],
        &["config", "check"],
    ] {
        let (code, out, error) = run(folder, command);
        said.add(&format!("busway {} ({code})", command.join(" ")), out + &error);
    }
    for broken in [
        config().replace("\"admin\"", "\"admn\""),
        config().replace("secret = \"", "secret = [\""),
        config().replace("+secret=1\"", "+secret=1"),
        config().replace("secret = \"", "secret_sha256 = \""),
        config().replace("src=", "="),
        config().replace("tcp://", "tcq://"),
        config().replace("proxy = \"http://", "proxy = \"ftp://"),
    ] {
        std::fs::write(folder.join("broken.toml"), &broken).unwrap();
        let (code, out, error) = run(folder, &["config", "check", "--config", "broken.toml"]);
        assert_eq!(code, 78, "{broken}: {out}{error}");
        said.add("busway config check of a broken file", out + &error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_said_anywhere() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    std::fs::write(folder.path().join("busway.toml"), config()).unwrap();
    sink.answer(|_| status(500));
    let mut hub = HubProcess::start_with(folder.path(), &["--log", "trace", "--auth-failures", "none"]).await;
    let mut said = Said::default();
    let account = format!("ann:{ACCOUNT}");
    let url = hub.url("");
    let arguments = [
        "token", "create", "shop", "--scope", "publish", "--url", &url, "--token", &account,
    ];
    let (_, token, error) = run(folder.path(), &arguments);
    assert!(token.starts_with("bw_"), "{error}");
    let (status, _) = hub
        .send(
            Method::POST,
            "/v1/events",
            &[("authorization", &basic("shop", token.trim()))],
            "{",
        )
        .await;
    assert!(status == 415 || status == 400, "{status}");
    drive(&hub, &sink.url("/hook"), &mut said).await;
    look(&hub, &mut said).await;
    let token = token.trim().rsplit('_').next().unwrap().to_owned();
    commands(folder.path(), &url, &account, &mut said);
    hub.terminate().await;
    said.add("the hub's log", hub.log().join("\n"));
    said.hides(&[
        ACCOUNT, BASIC, BEARER, CLIENT, WEBHOOK, BROKER, PLUGIN, GRANTED, PROXY, LISTENER, WRONG, &token,
    ]);
    said.hides(&[SIGNING.trim_start_matches("whsec_")]);
}
