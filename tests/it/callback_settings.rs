//! How a callback is called: with tokens that are fetched, signed over a rotation of secrets, and never for longer than
//! its timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::{IntoResponse as _, Response};
use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::support::{HubProcess, Receiver, Request, run, status};

/// Counts the tokens it gives, and takes only the last one at every other path.
fn give_and_take_tokens(receiver: &Receiver, good_from: &Arc<AtomicU64>) {
    let (given, good_from) = (AtomicU64::new(0), good_from.clone());
    receiver.answer(move |request| match request.path.as_str() {
        "/token" => {
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            let token = json!({"access_token": format!("t0ken-{number}"), "token_type": "Bearer", "expires_in": 3600});
            token.to_string().into_response()
        }
        _ => match number(request) {
            Some(number) if number >= good_from.load(Ordering::SeqCst) => status(204),
            _ => said(401, format!("not {:?}", request.headers.get("authorization"))),
        },
    });
}

fn said(code: u16, text: String) -> Response {
    let mut answer = text.into_response();
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap();
    answer
}

fn number(request: &Request) -> Option<u64> {
    let value = request.headers.get("authorization")?.to_str().ok()?;
    value.strip_prefix("Bearer t0ken-")?.parse().ok()
}

fn at(seen: &[Request], path: &str) -> usize {
    seen.iter().filter(|one| one.path == path).count()
}

fn with_tokens(receiver: &Receiver) -> Value {
    let oauth2 =
        json!({"token_url": receiver.url("/token"), "client_id": "me", "client_secret": "s3cret", "scope": "hooks"});
    json!({"sink": receiver.url("/hook"), "types": ["n"], "protocolsettings": {"auth": {"oauth2": oauth2}},
        "config": {"schedule": ["100ms"], "jitter": false}})
}

#[tokio::test(flavor = "multi_thread")]
async fn many_deliveries_share_a_token_and_a_refused_one_is_replaced_within_the_attempt() {
    let (folder, receiver, good_from) = (tempfile::tempdir().unwrap(), Receiver::start().await, Arc::default());
    give_and_take_tokens(&receiver, &good_from);
    let hub = HubProcess::start(folder.path()).await;
    let shown = hub.put("/v1/subscriptions/s", &with_tokens(&receiver)).await;
    assert_eq!(shown["protocolsettings"]["auth"]["oauth2"]["client_secret"], "***");
    hub.publish_many("n", 0..200, 0).await;
    let seen = receiver.wait_until("200 hooks", |seen| at(seen, "/hook") >= 200).await;
    assert_eq!((at(&seen, "/token"), at(&seen, "/hook")), (1, 200));
    assert!(
        seen.iter()
            .filter(|one| one.path == "/hook")
            .all(|one| number(one) == Some(1))
    );
    let asked = seen.iter().find(|one| one.path == "/token").unwrap();
    assert_eq!(asked.headers["authorization"], "Basic bWU6czNjcmV0");
    assert_eq!(&asked.body[..], b"grant_type=client_credentials&scope=hooks");

    // Revoked.
    good_from.store(2, Ordering::SeqCst);
    hub.publish_many("n", 200..250, 0).await;
    let good = |seen: &[Request]| seen.iter().filter(|one| number(one) == Some(2)).count();
    let seen = receiver.wait_until("50 with the second", |seen| good(seen) >= 50).await;
    assert_eq!((at(&seen, "/token"), good(&seen)), (2, 50));
    let all_at_once = |json: &Value| {
        json["deliveries"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["attempt"]["number"] == 1)
    };
    hub.until(
        "no attempt was lost by it",
        "/v1/subscriptions/s/deliveries",
        all_at_once,
    )
    .await;
    assert!(!hub.log().join("\n").contains("s3cret") && !hub.log().join("\n").contains("t0ken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_token_endpoint_refuses_is_told_and_tried_again() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(|_| {
        said(
            400,
            r#"{"error":"invalid_client","error_description":"s3cret is wrong"}"#.to_owned(),
        )
    });
    let hub = HubProcess::start(folder.path()).await;
    hub.put("/v1/subscriptions/s", &with_tokens(&receiver)).await;
    hub.publish_many("n", 0..1, 0).await;
    let says = |json: &Value| {
        json.to_string()
            .contains("the token endpoint answered 400: invalid_client")
    };
    let told = hub.until("why", "/v1/subscriptions/s/deliveries", says).await;
    assert!(!told.to_string().contains("s3cret"), "{told}");
    assert_eq!(at(&receiver.seen(), "/hook"), 0, "nothing goes out without a token");
    give_and_take_tokens(&receiver, &Arc::default());
    receiver
        .wait_until("it is delivered", |seen| at(seen, "/hook") == 1)
        .await;

    // A sink that takes no token: one is fetched for an attempt, and what it repeats of it is hidden.
    give_and_take_tokens(&receiver, &Arc::new(AtomicU64::new(u64::MAX)));
    hub.publish_many("n", 1..2, 0).await;
    let hidden = |json: &Value| json.to_string().contains("not Some(") && json.to_string().contains("***");
    let told = hub
        .until("the sink's answer", "/v1/subscriptions/s/deliveries", hidden)
        .await;
    assert!(!told.to_string().contains("t0ken"), "{told}");
}

/// A socket that says this to whoever comes, a byte now and then, and never ends.
async fn dripping(first: &'static str) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[allow(clippy::disallowed_methods, reason = "aborted by the test that asked for it")]
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        let mut pause = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (mut socket, _) = accepted.unwrap();
                    let _ = socket.write_all(first.as_bytes()).await;
                    open.push(socket);
                }
                _ = pause.tick() => {
                    for socket in &mut open {
                        let _ = socket.try_read(&mut [0; 4_096]);
                        let _ = socket.try_write(b"x");
                    }
                }
            }
        }
    });
    (address, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_over_when_its_time_is_whatever_it_waits_for() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().map(|address| (silent, address)).unwrap();
    let (head, head_server) = dripping("HTTP/1.1 200 OK\r\nx-slow: ").await;
    let (body, body_server) = dripping("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
    let hub = HubProcess::start(folder.path()).await;
    let check = async |id: &str, sink: String, settings: Value, says: &str| {
        let subscription = json!({"sink": sink, "types": [id], "protocolsettings": settings,
            "config": {"timeout": "200ms", "schedule": ["1h"]}});
        hub.put(&format!("/v1/subscriptions/{id}"), &subscription).await;
        hub.publish_many(id, 0..1, 0).await;
        let told = |json: &Value| json.to_string().contains(says);
        hub.until(says, &format!("/v1/subscriptions/{id}/deliveries"), told)
            .await;
    };
    let nobody = silent.1;
    let proxy = |address| json!({"proxy": format!("http://{address}")});
    let oauth2 =
        json!({"auth": {"oauth2": {"token_url": format!("http://{nobody}/"), "client_id": "a", "client_secret": "b"}}});
    check("answer", format!("http://{nobody}/"), json!({}), "no answer in time").await;
    check("tls", format!("https://{nobody}/"), json!({}), "the handshake").await;
    check(
        "proxy",
        "http://sink.test/".to_owned(),
        proxy(nobody),
        "no answer in time",
    )
    .await;
    check(
        "tunnel",
        "https://sink.test/".to_owned(),
        proxy(nobody),
        "the proxy made no way to sink.test within",
    )
    .await;
    check("token", receiver.url("/hook"), oauth2, "no token: ").await;
    check("head", format!("http://{head}/"), json!({}), "no answer in time").await;
    check("body", format!("http://{body}/"), json!({}), "body did not end").await;
    assert!(receiver.seen().is_empty());
    head_server.abort();
    body_server.abort();
    drop(silent);
}

fn signatures(request: &Request) -> Vec<String> {
    let value = request.headers["webhook-signature"].to_str().unwrap();
    value.split(' ').map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_with_grace_over_a_kill_and_the_old_one_goes_by_itself() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    let old = "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
    let of = |settings: Value| json!({"sink": receiver.url("/"), "types": ["n"], "protocolsettings": settings});
    hub.put("/v1/buses/b/subscriptions/s", &of(json!({"secret": old})))
        .await;
    let rotate = "/v1/buses/b/subscriptions/s/rotate-secret";
    let (code, _) = hub
        .send(Method::POST, "/v1/buses/other/subscriptions/s/rotate-secret", &[], "")
        .await;
    assert_eq!(code, 404);
    let answer = hub.post(rotate, &Value::Null).await;
    let drawn = answer["secret"].as_str().unwrap().to_owned();
    assert!(drawn.starts_with("whsec_"));
    assert_eq!(
        answer["subscription"]["protocolsettings"]["secrets"],
        json!(["***", "***"])
    );
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    let shown = hub.get("/v1/subscriptions/s").await;
    assert!(
        shown["secrets_until"][0].is_null() && shown["secrets_until"][1].is_string(),
        "{shown}"
    );
    assert!(!shown.to_string().contains("whsec_"), "{shown}");
    let headers = [("content-type", "application/cloudevents+json")];
    let event = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/s", "type": "n"}).to_string();
    assert_eq!(
        hub.send(Method::POST, "/v1/buses/b/events", &headers, event("1"))
            .await
            .0,
        202
    );
    assert_eq!(signatures(&receiver.wait_for(1).await[0]).len(), 2, "both sign");

    // By the command line, with a short grace: the old ones go by themselves.
    let (code, out, error) = run(
        folder.path(),
        &[
            "subscription",
            "rotate-secret",
            "s",
            "--bus",
            "b",
            "--grace",
            "1s",
            "--secret",
            old,
            "--url",
            &hub.url(""),
        ],
    );
    assert_eq!((code, error.as_str()), (0, ""), "{out}");
    assert!(!out.contains("whsec_"), "it was given, and need not be shown: {out}");
    let single = |json: &Value| json["protocolsettings"]["secret"] == "***" && json.get("secrets_until").is_none();
    hub.until("the old ones are gone", "/v1/subscriptions/s", single).await;
    assert_eq!(
        hub.send(Method::POST, "/v1/buses/b/events", &headers, event("2"))
            .await
            .0,
        202
    );
    assert_eq!(signatures(&receiver.wait_for(2).await[1]).len(), 1);
}
