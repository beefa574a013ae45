//! Dead letters of the real program: found, shown, recovered, dropped, and moved by the thousand over a kill.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, run, status};

/// Subscriptions `s` (of type `a`) and `t` (of type `b`) of a sink that refuses everything, and letters of both.
async fn with_letters(hub: &HubProcess, receiver: &Receiver, of_s: u64, of_t: u64) {
    receiver.answer(|request| status(if request.path == "/s" { 500 } else { 503 }));
    // Behind a breaker the letters would come slowly.
    for (id, ty) in [("s", "a"), ("t", "b")] {
        let path = format!("/{id}");
        let one = json!({"types": [ty], "sink": receiver.url(&path), "config": {"max_attempts": 1, "breaker": "off"}});
        hub.put(&format!("/v1/subscriptions/{id}"), &one).await;
    }
    hub.publish_many("a", 0..of_s, 0).await;
    hub.publish_many("b", 0..of_t, 0).await;
    hub.until_metric("busway_dead_letters", |letters| letters == (of_s + of_t) as f64)
        .await;
}

async fn count(hub: &HubProcess, query: &str) -> usize {
    let page = hub.get(&format!("/v1/dead-letters{query}")).await;
    page["dead_letters"].as_array().unwrap().len()
}

async fn asked(hub: &HubProcess, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("content-type", "application/json")];
    let (code, answer) = hub.send(method, path, &headers, body.to_string()).await;
    (code, serde_json::from_slice(&answer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_found_by_whatever_is_known_of_them() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    with_letters(&hub, &receiver, 4, 3).await;
    for (query, letters) in [
        ("", 7),
        ("?subscription=s", 4),
        ("?bus=default", 7),
        ("?bus=other", 0),
        ("?type=b", 3),
        ("?type=a&type=b", 7),
        ("?reason=ANSWERED%20503", 3),
        ("?since=1h", 7),
        ("?until=1h", 0),
        ("?since=2999-01-01T00:00:00Z", 0),
        ("?subscription=s&reason=503", 0),
        ("?filter=%7B%22exact%22%3A%7B%22id%22%3A%22a-2%22%7D%7D", 1),
        ("?limit=2", 2),
    ] {
        assert_eq!(count(&hub, query).await, letters, "{query}");
    }
    let first = hub.get("/v1/dead-letters?limit=5").await;
    let rest = count(&hub, &format!("?after={}", first["next"])).await;
    assert_eq!(rest, 2, "{first}");
    let of_s = hub.get("/v1/dead-letters?subscription=s").await;
    let id = &of_s["dead_letters"][0]["id"];
    let letter = hub.get(&format!("/v1/dead-letters/{id}")).await;
    assert_eq!(
        (&letter["kept"], &letter["attempts"][0]["status"]),
        (&json!("log"), &json!(500))
    );
    assert_eq!(letter["event"]["type"], "a");
    for (path, code) in [
        ("/v1/dead-letters/9999", 404),
        ("/v1/dead-letters/x", 404),
        ("/v1/dead-letters?since=x", 400),
    ] {
        let (status, _) = hub.send(Method::GET, path, &[], "").await;
        assert_eq!(status, code, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_or_redelivered_without_a_word_of_which() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    with_letters(&hub, &receiver, 3, 2).await;
    for (method, path) in [
        (Method::DELETE, "/v1/dead-letters"),
        (Method::POST, "/v1/dead-letters/redeliver"),
    ] {
        for body in [json!({}), json!({"dry_run": true}), json!({"all": false})] {
            let (code, problem) = asked(&hub, method.clone(), path, &body).await;
            assert_eq!((code, &problem["code"]), (400, &json!("no_choice")), "{path} {body}");
        }
    }
    let (_, counted) = asked(
        &hub,
        Method::DELETE,
        "/v1/dead-letters",
        &json!({"reason": "503", "dry_run": true}),
    )
    .await;
    assert_eq!(
        (&counted["matched"], &counted["first"][1]["type"]),
        (&json!(2), &json!("b")),
        "{counted}"
    );
    let (_, none) = asked(&hub, Method::DELETE, "/v1/dead-letters", &json!({"ids": []})).await;
    assert_eq!(none["dropped"], 0, "no letter is not every letter");
    let (_, dropped) = asked(&hub, Method::DELETE, "/v1/dead-letters", &json!({"type": "b"})).await;
    assert_eq!((&dropped["dropped"], count(&hub, "").await), (&json!(2), 3));
    let (_, dropped) = asked(&hub, Method::DELETE, "/v1/dead-letters?all=true", &Value::Null).await;
    assert_eq!(dropped["code"], "ambiguous_choice");
    let (code, body) = hub.send(Method::DELETE, "/v1/dead-letters?all=true", &[], "").await;
    assert_eq!((code, count(&hub, "").await), (200, 0), "{body:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_recovers_what_failed_since_a_time() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    with_letters(&hub, &receiver, 4, 3).await;
    receiver.answer(|_| status(204));
    let before = receiver.seen().len();
    let url = hub.url("");
    let dead = |arguments: &[&str]| {
        let all: Vec<&str> = [&["dead"], arguments, &["--url", &url]].concat();
        tokio::task::block_in_place(|| run(folder.path(), &all))
    };
    let (code, out, _) = dead(&["redeliver", "--subscription", "s", "--until", "2h"]);
    assert!(code == 0 && out == "redelivered 0 of 0\n", "none is that old: {out}");
    let (code, out, _) = dead(&["redeliver", "--subscription", "s", "--since", "2h"]);
    assert!(code == 0 && out == "redelivered 4 of 4\n", "{out}");
    let seen = receiver.wait_for(before + 4).await;
    let paths: BTreeSet<&str> = seen[before..].iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, BTreeSet::from(["/s"]));
    assert_eq!(count(&hub, "").await, 3, "the other subscription's are where they were");
    let (code, _, told) = dead(&["drop"]);
    assert!(code == 64 && told.contains("--all"), "{told}");
    let (_, out, _) = dead(&["list", "--subscription", "t", "--limit", "2"]);
    assert!(out.contains("there may be more: --after"), "{out}");
    let (code, out, _) = dead(&["drop", "--all"]);
    assert!(code == 0 && out == "dropped 3\n", "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_large_redelivery_loses_no_letter() {
    const LETTERS: u64 = 1_500;
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    let one = json!({"types": ["a"], "sink": receiver.url("/s"), "config": {"max_attempts": 1, "concurrency": 64, "breaker": "off"}});
    hub.put("/v1/subscriptions/s", &one).await;
    receiver.answer(|_| status(500));
    for part in 0..3 {
        hub.publish_many("a", part * LETTERS / 3..(part + 1) * LETTERS / 3, 0)
            .await;
    }
    hub.until_metric("busway_dead_letters", |letters| letters == LETTERS as f64)
        .await;
    let before = receiver.seen().len();
    receiver.answer(|_| status(204));

    let wish = json!({"subscription": "s"}).to_string();
    let headers = [("content-type", "application/json")];
    let redelivery = hub.send(Method::POST, "/v1/dead-letters/redeliver", &headers, wish);
    let arrived = |seen: &[Request]| seen.len() >= before + 100;
    tokio::select! {
        _ = redelivery => {}
        _ = receiver.wait_until("some have arrived", arrived) => {}
    }
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    let (_, rest) = asked(
        &hub,
        Method::POST,
        "/v1/dead-letters/redeliver",
        &json!({"subscription": "s"}),
    )
    .await;
    assert_eq!(rest["matched"], rest["redelivered"], "{rest}");
    let all = |seen: &[Request]| ids(&seen[before..]).len() as u64 == LETTERS;
    receiver.wait_until("each of them has arrived", all).await;
    assert_eq!(count(&hub, "").await, 0);
}

fn ids(seen: &[Request]) -> BTreeSet<&[u8]> {
    seen.iter()
        .map(|request| request.headers["webhook-id"].as_bytes())
        .collect()
}
