//! Replays of the real program: a range again beside live events, over a kill, a pause, a sink that fails, to their end.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, run, status};

/// What arrived as part of this replay: how often each `webhook-id` did.
fn of(replay: &str, seen: &[Request]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let marked = seen.iter().filter(|request| {
        let mark = request.headers.get("busway-replay");
        mark.is_some_and(|mark| mark == replay)
    });
    for request in marked {
        *counts.entry(id(request)).or_default() += 1;
    }
    counts
}

fn id(request: &Request) -> String {
    request.headers["webhook-id"].to_str().unwrap().to_owned()
}

fn ids(range: std::ops::Range<u64>) -> Vec<String> {
    let mut ids: Vec<String> = range.map(|offset| format!("msg_s_{offset}")).collect();
    ids.sort();
    ids
}

async fn begin(hub: &HubProcess, wish: Value) -> String {
    let begun = hub.post("/v1/replay", &wish).await;
    begun["id"].as_str().unwrap().to_owned()
}

async fn ended(hub: &HubProcess, replay: &str) -> Value {
    let path = format!("/v1/replays/{replay}");
    hub.until("the replay ended", &path, |now| now["ended"].is_string())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_comes_again_beside_live_events_and_says_so() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let life = json!({"bus": "busway", "types": ["busway.replay.*"], "sink": receiver.url("/life")});
    hub.put("/v1/subscriptions/life", &life).await;
    let plain = json!({"types": ["a"], "sink": receiver.url("/s")});
    hub.put("/v1/subscriptions/s", &plain).await;
    hub.publish_many("a", 0..20, 0).await;
    hub.publish_many("b", 20..30, 0).await;
    receiver.wait_for(20).await;
    let wish = json!({"subscription": "s", "from": 5, "to": 25, "filter": {"not": {"exact": {"id": "a-6"}}}});
    let mut dry = wish.clone();
    dry["dry_run"] = json!(true);
    let outlook = hub.post("/v1/replay", &dry).await;
    assert_eq!((&outlook["offsets"], &outlook["missed"]), (&json!(20), &json!(0)));
    assert_eq!(hub.get("/v1/replays").await["replays"], json!([]), "nothing has begun");

    let replay = begin(&hub, wish).await;
    let last = ended(&hub, &replay).await;
    hub.publish_many("a", 30..31, 0).await;
    let told = |seen: &[Request]| seen.iter().filter(|request| request.path == "/life").count() == 2;
    let live = |seen: &[Request]| {
        seen.iter()
            .any(|request| request.headers.get("webhook-id").is_some_and(|id| id == "msg_s_31"))
    };
    let seen = receiver
        .wait_until("live and told", |seen| told(seen) && live(seen))
        .await;
    let again = of(&replay, &seen);
    let mut wanted = ids(5..21);
    wanted.retain(|id| id != "msg_s_7");
    assert_eq!(
        again.keys().cloned().collect::<Vec<_>>(),
        wanted,
        "only what it wants, of the range, under the same ids"
    );
    assert!(again.values().all(|times| *times == 1));
    for (field, value) in [
        ("state", json!("done")),
        ("delivered", json!(15)),
        ("position", json!(25)),
        ("dead", json!(0)),
    ] {
        assert_eq!(last[field], value, "{field} of {last}");
    }
    let types: Vec<Value> = seen
        .iter()
        .filter(|request| request.path == "/life")
        .map(|request| request.json()["type"].clone())
        .collect();
    assert_eq!(types, ["busway.replay.started", "busway.replay.done"]);
    let recent = hub.get("/v1/subscriptions/s/deliveries").await;
    let marks: Vec<&Value> = recent["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["replay"])
        .collect();
    assert!(
        marks.contains(&&json!(replay)) && marks.contains(&&Value::Null),
        "{recent}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_after_a_kill_where_it_was() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    let subscription =
        json!({"types": ["a"], "sink": receiver.url("/s"), "config": {"schedule": ["100ms"], "max_attempts": 1000}});
    hub.put("/v1/subscriptions/s", &subscription).await;
    hub.publish_many("a", 0..600, 0).await;
    receiver.wait_for(600).await;
    // Some have to come twice: what waits for a retry is of the replay too.
    receiver.answer(
        |request| match id(request).ends_with('7') && request.headers.contains_key("busway-replay") {
            true => status(503),
            false => status(204),
        },
    );
    let replay = begin(&hub, json!({"subscription": "s", "from": "earliest", "rate": "400/s"})).await;
    for enough in [100, 300] {
        let far = |seen: &[Request]| of(&replay, seen).len() >= enough;
        receiver.wait_until("it is on its way", far).await;
        hub.kill().await;
        hub = HubProcess::start(folder.path()).await;
    }
    receiver.answer(|_| status(204));
    let last = ended(&hub, &replay).await;
    assert_eq!(
        (&last["state"], &last["position"], &last["dead"]),
        (&json!("done"), &json!(601), &json!(0))
    );
    let again = of(&replay, &receiver.seen());
    assert_eq!(
        again.keys().cloned().collect::<Vec<_>>(),
        ids(1..601),
        "all of it, and nothing else"
    );
    let (first, second) = (hub.get("/v1/subscriptions/s").await, hub.get("/v1/replays").await);
    assert_eq!(
        first["status"]["cursor"], 601,
        "the live lane's own cursor is where it was"
    );
    assert_eq!(second["replays"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_with_its_subscription_dies_into_its_dead_letters_and_ends_with_it() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let subscription =
        json!({"types": ["a"], "sink": receiver.url("/s"), "config": {"max_attempts": 1, "breaker": "off"}});
    hub.put("/v1/subscriptions/s", &subscription).await;
    hub.publish_many("a", 0..4, 0).await;
    receiver.wait_for(4).await;

    hub.post("/v1/subscriptions/s/pause", &Value::Null).await;
    let replay = begin(&hub, json!({"subscription": "s", "from": 2})).await;
    let path = format!("/v1/replays/{replay}");
    hub.until("it is paused", &path, |now| now["state"] == "paused").await;
    assert_eq!(receiver.seen().len(), 4);
    receiver.answer(|_| status(500));
    hub.post("/v1/subscriptions/s/resume", &Value::Null).await;
    let last = ended(&hub, &replay).await;
    assert_eq!((&last["failed"], &last["dead"]), (&json!(3), &json!(3)));
    let dead = hub.get("/v1/dead-letters?reason=in%20replay").await;
    assert_eq!(dead["dead_letters"].as_array().unwrap().len(), 3, "{dead}");

    receiver.answer(|_| status(410));
    begin(&hub, json!({"subscription": "s", "from": "earliest"})).await;
    let gone = |now: &Value| now["state"] == "paused" && now["reason"] == "gone";
    hub.until("a sink that is gone pauses it", "/v1/subscriptions/s", gone)
        .await;
    let secretive = hub.get("/v1/subscriptions/s").await;
    assert_eq!(
        secretive["protocolsettings"].get("headers"),
        None,
        "the mark is no setting: {secretive}"
    );
    let (code, _) = hub.send(Method::DELETE, "/v1/subscriptions/s", &[], "").await;
    assert_eq!(code, 204);
    assert_eq!(hub.get("/v1/replays").await["replays"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let silent = json!({"types": ["a"], "sink": "http://127.0.0.1:9/s", "config": {"start": "latest"}});
    hub.put("/v1/subscriptions/s", &silent).await;
    hub.post("/v1/subscriptions/s/pause", &Value::Null).await;
    hub.publish_many("a", 0..3, 0).await;
    for (wish, code, part) in [
        (json!({"from": 1}), "invalid_replay", "subscription"),
        (json!({"subscription": "s"}), "invalid_replay", "from"),
        (json!({"subscription": "t", "from": 1}), "subscription_not_found", "`t`"),
        (json!({"subscription": "s", "from": "noon"}), "invalid_replay", "`noon`"),
        (json!({"subscription": "s", "from": -1}), "invalid_replay", "`-1`"),
        (json!({"subscription": "s", "from": 3, "to": 2}), "invalid_range", "3"),
        (
            json!({"subscription": "s", "from": 1, "rate": "fast"}),
            "invalid_replay",
            "`fast`",
        ),
        (
            json!({"subscription": "s", "from": 1, "filter": {"plugin": {"name": "p"}}}),
            "filter_unsupported",
            "native",
        ),
        (
            json!({"subscription": "s", "from": 1, "form": 2}),
            "unknown_field",
            "`from`",
        ),
        (json!([]), "invalid_replay", "object"),
    ] {
        let headers = [("content-type", "application/json")];
        let (_, body) = hub.send(Method::POST, "/v1/replay", &headers, wish.to_string()).await;
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], code, "{wish}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{wish}: {problem}");
    }
    for _ in 0..4 {
        begin(&hub, json!({"subscription": "s", "from": 1})).await;
    }
    let (code, _) = hub
        .send(
            Method::POST,
            "/v1/replay",
            &[("content-type", "application/json")],
            r#"{"subscription":"s","from":1}"#,
        )
        .await;
    assert_eq!(code, 409, "four at once are enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_replays_waits_lists_and_cancels() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    hub.put(
        "/v1/subscriptions/s",
        &json!({"types": ["a"], "sink": receiver.url("/s")}),
    )
    .await;
    hub.publish_many("a", 0..5, 0).await;
    receiver.wait_for(5).await;
    let url = hub.url("");
    let busway = |arguments: &[&str]| {
        let all: Vec<&str> = [&["replay"], arguments, &["--url", &url]].concat();
        tokio::task::block_in_place(|| run(folder.path(), &all))
    };
    let (code, out, _) = busway(&["s", "--from", "1h", "--to", "4", "--dry-run"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "it would cover 3 offsets, from 1 to before 4\n")
    );
    let (code, out, _) = busway(&["s", "--from", "1", "--to", "4", "--wait"]);
    assert!(
        code == 0 && out.contains("done: at 4 of 4, 3 delivered"),
        "{code} {out}"
    );
    let (code, out, _) = busway(&["s", "--from", "1", "--rate", "1/h"]);
    let id = out.split(':').next().unwrap().to_owned();
    assert_eq!(code, 0, "{out}");
    let (_, out, _) = busway(&["cancel", &id]);
    assert!(out.contains("\"cancelled\""), "{out}");
    let (_, out, _) = busway(&["list"]);
    assert!(out.contains("done") && out.contains("cancelled"), "{out}");
    let (code, _, told) = busway(&["cancel", &id]);
    assert!(code != 0 && told.contains("replay_ended"), "{code} {told}");
    let (code, _, told) = busway(&["s"]);
    assert!(code == 64 && told.contains("--from"), "{code} {told}");
}
