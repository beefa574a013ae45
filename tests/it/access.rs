//! Credentials and scopes: on `/v1`, from the command line, over all forms in which they come.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::Method;

use crate::support::{HubProcess, run};

const CONFIG: &str = r#"
[auth.ann]
secret = "file:ann.secret"
scopes = ["admin"]
[auth.bob]
secret_sha256 = "HASH"
rate = "1000/s"
expires = "2099-01-01T00:00:00Z"
scopes = ["publish", "subscribe:orders"]
"#;
const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}"#;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn guarded(folder: &std::path::Path) -> HubProcess {
    std::fs::write(folder.join("ann.secret"), "s3cret-of-ann\n").unwrap();
    let hash = hex(ring::digest::digest(&ring::digest::SHA256, b"s3cret-of-bob").as_ref());
    std::fs::write(folder.join("busway.toml"), CONFIG.replace("HASH", &hash)).unwrap();
    HubProcess::start(folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_or_may_not_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = guarded(folder.path()).await;
    let ann = "Bearer ann:s3cret-of-ann".to_owned();
    let bob = format!("Basic {}", BASE64.encode("bob:s3cret-of-bob"));
    let wrong = "Bearer bob:s3cret-of-ann".to_owned();
    for (credentials, method, path, status) in [
        (None, Method::GET, "/healthz", 200),
        (None, Method::GET, "/v1/events", 401),
        (None, Method::GET, "/metrics", 401),
        (Some(&ann), Method::GET, "/metrics", 200),
        (None, Method::POST, "/v1/events", 401),
        (None, Method::GET, "/v1/plugins", 401),
        (Some(&wrong), Method::POST, "/v1/events", 401),
        (Some(&bob), Method::POST, "/v1/events", 202),
        (Some(&bob), Method::GET, "/v1/events", 403),
        (Some(&bob), Method::POST, "/v1/buses/orders/events", 202),
        (Some(&bob), Method::GET, "/v1/buses/orders/events", 200),
        (Some(&bob), Method::GET, "/v1/subscriptions", 200),
        (Some(&bob), Method::GET, "/v1/buses/orders/subscriptions", 200),
        (Some(&bob), Method::DELETE, "/v1/dead-letters", 403),
        (Some(&ann), Method::GET, "/v1/subscriptions", 200),
        (Some(&ann), Method::GET, "/v1/plugins", 200),
    ] {
        let mut headers = vec![("content-type", "application/cloudevents+json")];
        headers.extend(credentials.map(|value| ("authorization", value.as_str())));
        let body = if method == Method::POST { EVENT } else { "" };
        let (found, answer) = hub.send(method.clone(), path, &headers, body).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(found, status, "{credentials:?} {method} {path}: {answer}");
        let code = match status {
            401 => "\"code\":\"unauthorized\"",
            403 => "\"code\":\"forbidden\"",
            _ => "",
        };
        assert!(answer.contains(code), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_has_credentials_and_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let hub = guarded(folder.path()).await;
    let url = hub.url("");
    let ask = |token: &str| {
        run(
            folder.path(),
            &["subscription", "list", "--url", &url, "--token", token],
        )
    };
    let (code, _, error) = run(folder.path(), &["subscription", "list", "--url", &url]);
    assert!(code != 0 && error.contains("credentials"), "{code} {error}");
    for token in ["ann:s3cret-of-ann", "s3cret-of-ann", "file:ann.secret"] {
        let (code, _, error) = ask(token);
        assert_eq!((code, error.as_str()), (0, ""), "{token}");
    }
    let (_, shown, _) = run(folder.path(), &["config", "print"]);
    assert!(
        shown.contains("auth.bob.scopes") && !shown.contains("s3cret"),
        "{shown}"
    );
    let said = hub.log().join("\n");
    assert!(!said.contains("s3cret-of"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_wrong_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("[auth.x]\nsecret = \"a\"", "has no `scopes`"),
        ("[auth.x]\nscopes = [\"admin\"]", "has no `secret`"),
        ("[auth.x]\nsecret = \"a\"\nscopes = [\"admn\"]", "did you mean `admin`"),
        ("[auth.x]\nsecret = \"file:/no/such\"\nscopes = [\"admin\"]", "/no/such"),
        ("[auth.x]\nsecret = \"\"\nscopes = [\"admin\"]", "empty `secret`"),
        (
            "[auth.\"a:b\"]\nsecret = \"a\"\nscopes = [\"admin\"]",
            "without a colon",
        ),
        (
            "[auth.x]\nsecret_sha256 = \"abc\"\nscopes = [\"admin\"]",
            "64 hexadecimal",
        ),
        ("[auth.x]\nsecret = \"a\"\nrate = \"fast\"", "a rate such as"),
        ("[auth.x]\nsecret = \"a\"\nexpires = \"soon\"", "`expires`"),
        ("[auth.x]\nsecrte = \"a\"", "did you mean `secret`"),
    ] {
        std::fs::write(folder.path().join("busway.toml"), text).unwrap();
        let (code, _, error) = run(folder.path(), &["config", "check"]);
        assert_eq!(code, 78, "{text}: {error}");
        assert!(
            error.contains("busway.toml:1") && error.contains(words),
            "{text}: {error}"
        );
    }
}
