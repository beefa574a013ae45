//! Tokens: made, used on every way in, revoked under open streams, kept over a crash, made offline; rates; the audit.

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Received, Sse, WebSocket, basic, run, until};

const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}"#;

/// A hub whose first token administers everything, and that token.
pub(crate) async fn guarded(folder: &std::path::Path) -> (HubProcess, String) {
    let hub = HubProcess::start(folder).await;
    let root = make(&hub, None, json!({"name": "root", "scopes": ["admin"]})).await;
    (hub, root)
}

/// Makes a token; its text.
pub(crate) async fn make(hub: &HubProcess, by: Option<&str>, token: Value) -> String {
    let (status, answer) = ask(hub, by, Method::POST, "/v1/tokens", &token.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    assert!(answer["token"].as_str().unwrap().starts_with("bw_"), "{answer}");
    answer["token"].as_str().unwrap().to_owned()
}

/// Status and answer, as JSON if it is.
pub(crate) async fn ask(hub: &HubProcess, by: Option<&str>, method: Method, path: &str, body: &str) -> (u16, Value) {
    let bearer = by.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    if path.ends_with("/events") {
        headers = vec![("content-type", "application/cloudevents+json")];
    }
    headers.extend(bearer.as_deref().map(|value| ("authorization", value)));
    let (status, answer) = hub.send(method, path, &headers, body.to_owned()).await;
    (status, serde_json::from_slice(&answer).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_closes_an_open_hub() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut open = Sse::open(&hub, "/v1/stream", &[]).await;
    let mut socket = WebSocket::open(&hub, "/v1/stream", &[]).await;
    let lonely = json!({"name": "shop", "scopes": ["publish"]}).to_string();
    let (status, answer) = ask(&hub, None, Method::POST, "/v1/tokens", &lonely).await;
    assert_eq!((status, &answer["code"]), (409, &json!("no_admin_left")), "{answer}");
    let first = json!({"name": "root", "scopes": ["admin"]}).to_string();
    let (_, answer) = ask(&hub, None, Method::POST, "/v1/tokens", &first).await;
    assert!(
        answer["note"].as_str().unwrap().contains("everybody is asked"),
        "{answer}"
    );
    while open.frame().await.is_some() {}
    while !matches!(socket.receive().await, Received::Close(..)) {}
    let root = answer["token"].as_str().unwrap().to_owned();
    for (by, status) in [(None, 401), (Some(root.as_str()), 200)] {
        for path in [
            "/v1/events",
            "/v1/tokens",
            "/v2/eventSubscriptions",
            "/pulp/api/v2/events/",
        ] {
            let (found, answer) = ask(&hub, by, Method::GET, path, "").await;
            assert_eq!(found, status, "{path} by {}: {answer}", by.is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_it_says_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, root) = guarded(folder.path()).await;
    let shop = json!({"name": "shop", "scopes": ["publish:orders", "subscribe:orders"], "expires": "30d"});
    let shop = make(&hub, Some(&root), shop).await;
    let lead = make(&hub, Some(&root), json!({"name": "lead", "scopes": ["admin:orders"]})).await;
    for (by, method, path, status) in [
        (&shop, Method::POST, "/v1/buses/orders/events", 202),
        (&shop, Method::POST, "/v1/events", 403),
        (&shop, Method::GET, "/v1/buses/orders/events", 200),
        (&shop, Method::GET, "/v1/buses/busway/events", 403),
        (&lead, Method::GET, "/v1/buses/busway/events", 403),
        (&shop, Method::GET, "/v1/dead-letters", 200),
        (&shop, Method::DELETE, "/v1/dead-letters", 403),
        (&lead, Method::DELETE, "/v1/dead-letters?bus=orders", 200),
        (&lead, Method::POST, "/v1/buses/orders/events", 202),
        (&lead, Method::GET, "/v1/plugins", 403),
        (&lead, Method::GET, "/v1/tokens", 403),
        (&lead, Method::POST, "/v1/tokens", 403),
        (&root, Method::GET, "/v1/buses/busway/events", 200),
    ] {
        let body = if path.ends_with("/events") && method == Method::POST {
            EVENT
        } else {
            ""
        };
        let (found, answer) = ask(&hub, Some(by), method.clone(), path, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
    }
    for credentials in [
        basic("shop", &shop),
        format!("Bearer shop:{shop}"),
        format!("token={shop}"),
        format!("ApiKey shop:{shop}"),
    ] {
        let headers = [("authorization", credentials.as_str())];
        let (status, _) = hub.send(Method::GET, "/v1/buses/orders/events", &headers, "").await;
        assert_eq!(status, 200);
    }
    let (_, all) = ask(&hub, Some(&root), Method::GET, "/v1/tokens", "").await;
    let shown = all.to_string();
    for token in [&root, &shop, &lead] {
        assert!(!shown.contains(token.rsplit('_').next().unwrap()), "{shown}");
    }
    assert!(shown.contains("expires") && shown.contains("publish:orders"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_buses_subscriptions_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, root) = guarded(folder.path()).await;
    let wish = json!({"name": "shop", "scopes": ["subscribe:orders"]});
    let shop = make(&hub, Some(&root), wish).await;
    let sink = "http://127.0.0.1:9/x";
    for (id, bus) in [("mine", "orders"), ("theirs", "other")] {
        let body = json!({"sink": sink, "bus": bus}).to_string();
        let path = format!("/v1/subscriptions/{id}");
        let (status, answer) = ask(&hub, Some(&root), Method::PUT, &path, &body).await;
        assert_eq!(status, 201, "{answer}");
    }
    let on = |bus: &str| json!({"sink": sink, "bus": bus}).to_string();
    for (method, path, body, status) in [
        (Method::GET, "/v1/subscriptions/mine", String::new(), 200),
        (Method::GET, "/v1/subscriptions/theirs", String::new(), 404),
        (Method::GET, "/v1/subscriptions/nobodys", String::new(), 404),
        (Method::PUT, "/v1/subscriptions/theirs", on("orders"), 404),
        (Method::PATCH, "/v1/subscriptions/theirs", "{}".into(), 404),
        (Method::POST, "/v1/subscriptions/theirs/pause", String::new(), 404),
        (Method::POST, "/v1/subscriptions/theirs/test", String::new(), 404),
        (Method::GET, "/v1/subscriptions/theirs/deliveries", String::new(), 404),
        (Method::GET, "/subscriptions/theirs", String::new(), 404),
        (Method::DELETE, "/subscriptions/theirs", String::new(), 404),
        (
            Method::GET,
            "/v1/explain?offset=1&subscription=theirs",
            String::new(),
            404,
        ),
        (Method::GET, "/v1/buses/other/subscriptions", String::new(), 403),
        (Method::POST, "/v1/subscriptions", on("other"), 403),
        (
            Method::PUT,
            "/v1/subscriptions/new",
            json!({"sink": sink}).to_string(),
            403,
        ),
        (
            Method::PUT,
            "/v1/subscriptions/mine",
            json!({"sink": sink}).to_string(),
            200,
        ),
        (Method::POST, "/v1/subscriptions", on("orders"), 201),
        (Method::POST, "/v1/subscriptions/mine/pause", String::new(), 200),
    ] {
        let (found, answer) = ask(&hub, Some(&shop), method.clone(), path, &body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
    }
    for path in ["/v1/subscriptions", "/subscriptions"] {
        let (_, seen) = ask(&hub, Some(&shop), Method::GET, path, "").await;
        let (_, all) = ask(&hub, Some(&root), Method::GET, path, "").await;
        let count = |list: &Value| list.as_array().unwrap().len();
        assert_eq!((count(&seen), count(&all)), (2, 3), "{path}: {seen}");
        assert!(!seen.to_string().contains("theirs"), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_opens_nothing_and_its_streams_end() {
    let folder = tempfile::tempdir().unwrap();
    let (mut hub, root) = guarded(folder.path()).await;
    let shop = make(&hub, Some(&root), json!({"name": "shop", "scopes": ["subscribe"]})).await;
    let stays = make(
        &hub,
        Some(&root),
        json!({"name": "stays", "scopes": ["subscribe", "publish"]}),
    )
    .await;
    let (bearer, other) = (format!("Bearer {shop}"), format!("Bearer {stays}"));
    let headers = [("authorization", bearer.as_str())];
    let mut sse = Sse::open(&hub, "/v1/stream", &headers).await;
    let mut socket = WebSocket::open(&hub, "/v1/stream", &headers).await;
    let mut docker = WebSocket::open(&hub, "/api/audit/v1/events", &headers).await;
    let mut lasting = Sse::open(&hub, "/v1/stream", &[("authorization", &other)]).await;
    let (status, answer) = ask(&hub, Some(&root), Method::DELETE, "/v1/tokens/root", "").await;
    assert_eq!((status, &answer["code"]), (409, &json!("no_admin_left")));
    let (status, _) = ask(&hub, Some(&root), Method::DELETE, "/v1/tokens/shop", "").await;
    assert_eq!(status, 204);
    assert_eq!(ask(&hub, Some(&shop), Method::GET, "/v1/events", "").await.0, 401);
    while sse.frame().await.is_some() {}
    while !matches!(socket.receive().await, Received::Close(..)) {}
    while !matches!(docker.receive().await, Received::Close(..)) {}
    assert_eq!(ask(&hub, Some(&stays), Method::POST, "/v1/events", EVENT).await.0, 202);
    assert_eq!(lasting.event().await.id, Some(1));
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    assert_eq!(ask(&hub, Some(&shop), Method::GET, "/v1/events", "").await.0, 401);
    assert_eq!(ask(&hub, Some(&stays), Method::GET, "/v1/events", "").await.0, 200);
    let (status, _) = ask(&hub, Some(&root), Method::DELETE, "/v1/tokens/root?force=true", "").await;
    assert_eq!(status, 204);
    assert_eq!(
        ask(&hub, None, Method::GET, "/v1/tokens", "").await.0,
        401,
        "nobody is let in by it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_everybody_reaches_gets_its_first_token_offline() {
    let folder = tempfile::tempdir().unwrap();
    let here = |arguments: &[&str]| run(folder.path(), arguments);
    let open = ["--listen", "0.0.0.0:0", "--data", "data"];
    let check = [&["config", "check"][..], &open].concat();
    let (code, _, error) = here(&check);
    assert!(code == 78 && error.contains("busway token create"), "{code} {error}");
    let (code, token, error) = here(&["token", "create", "root", "--scope", "admin", "--data", "data"]);
    assert_eq!((code, error.as_str()), (0, ""), "{token}");
    let token = token.trim();
    assert_eq!(here(&check).0, 0);
    let hub = HubProcess::start_with(folder.path(), &["--listen", "0.0.0.0:0"]).await;
    let url = hub.url("");
    let remote = ["--url", url.as_str(), "--token", token];
    let (code, _, error) = here(&["token", "list", "--data", "data"]);
    assert!(code == 69 && error.contains("store_locked"), "{code} {error}");
    let create = [
        "token",
        "create",
        "shop",
        "--scope",
        "publish:orders",
        "--rate",
        "100/s",
    ];
    let (code, made, error) = here(&[&create[..], &remote].concat());
    assert!(code == 0 && made.starts_with("bw_"), "{made} {error}");
    let (_, listed, _) = here(&[&["token", "list"][..], &remote].concat());
    assert!(
        listed.contains("shop") && listed.contains("publish:orders") && listed.contains("100/s"),
        "{listed}"
    );
    assert!(!listed.contains(made.trim()), "{listed}");
    let (code, _, error) = here(&[&["token", "revoke", "root"][..], &remote].concat());
    assert!(code == 65 && error.contains("no_admin_left"), "{code} {error}");
    assert_eq!(here(&[&["token", "revoke", "shop"][..], &remote].concat()).0, 0);
    let (code, _, _) = here(&[&["token", "revoke", "shop"][..], &remote].concat());
    assert_eq!(code, 66);
    let (code, _, error) = here(&["token", "list", "--url", &url]);
    assert!(code == 77 && error.contains("unauthorized"), "{code} {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_on_every_way_in() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, root) = guarded(folder.path()).await;
    let slow = json!({"name": "slow", "scopes": ["subscribe"], "rate": "1/h", "burst": 2});
    let slow = make(&hub, Some(&root), slow).await;
    let bearer = format!("Bearer {slow}");
    for (path, status) in [
        ("/v1/subscriptions", 200),
        ("/v2/eventSubscriptions", 200),
        ("/v1/subscriptions", 429),
        ("/v2/eventSubscriptions", 429),
        ("/openapi/listEventBuses", 429),
        ("/pulp/api/v2/events/", 429),
    ] {
        let method = if path.starts_with("/openapi") {
            Method::POST
        } else {
            Method::GET
        };
        let headers = [("authorization", bearer.as_str())];
        let (found, answer) = hub.send(method, path, &headers, "").await;
        assert_eq!(found, status, "{path}: {}", String::from_utf8_lossy(&answer));
    }
    let (status, answer) = ask(&hub, Some(&slow), Method::GET, "/v1/events", "").await;
    assert_eq!((status, &answer["code"]), (429, &json!("rate_limited")), "{answer}");
    assert_eq!(ask(&hub, Some(&root), Method::GET, "/v1/tokens", "").await.0, 200);
    let metrics = [("authorization", &*format!("Bearer {root}"))];
    let (_, text) = hub.send(Method::GET, "/metrics", &metrics, "").await;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("code=\"rate_limited\"} 5"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_is_turned_away() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, root) = guarded(folder.path()).await;
    let mut last = 0;
    for guess in 0..40 {
        last = ask(&hub, Some(&format!("guess-{guess}")), Method::GET, "/v1/events", "")
            .await
            .0;
    }
    assert_eq!(last, 429);
    let (status, answer) = ask(&hub, Some(&root), Method::GET, "/v1/events", "").await;
    assert_eq!(
        (status, &answer["code"]),
        (429, &json!("too_many_failures")),
        "a right one tells nothing"
    );
    assert_eq!(ask(&hub, None, Method::GET, "/healthz", "").await.0, 200);
    hub.said("credentials were refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_told_with_who_did_it() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, root) = guarded(folder.path()).await;
    let ann = make(&hub, Some(&root), json!({"name": "ann", "scopes": ["admin"]})).await;
    let body = json!({"sink": "http://127.0.0.1:9/x"}).to_string();
    for (method, path) in [
        (Method::PUT, "/v1/subscriptions/s"),
        (Method::POST, "/v1/subscriptions/s/pause"),
        (Method::DELETE, "/v1/subscriptions/s"),
        (Method::DELETE, "/v1/tokens/ann"),
    ] {
        let body = if method == Method::PUT { body.as_str() } else { "" };
        let (status, answer) = ask(&hub, Some(&ann), method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {answer}");
    }
    let wanted = [
        "busway.token.created by nobody",
        "busway.token.created by root",
        "busway.subscription.created by ann",
        "busway.subscription.paused by ann",
        "busway.subscription.deleted by ann",
        "busway.token.revoked by ann",
    ];
    let all_there = async || {
        let (_, answer) = ask(&hub, Some(&root), Method::GET, "/v1/buses/busway/events", "").await;
        let told: Vec<String> = answer["events"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(told_by)
            .collect();
        told == wanted
    };
    until("the audit is whole", all_there).await;
}

/// What an event of the hub's own life tells, if somebody asked for it.
fn told_by(record: &Value) -> Option<String> {
    let event = &record["event"];
    let address = event["actoraddress"].as_str()?;
    assert_eq!(address, "127.0.0.1", "{event}");
    let name = event["actor"].as_str().unwrap_or("nobody");
    Some(format!("{} by {name}", event["type"].as_str()?))
}
