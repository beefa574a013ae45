//! The whole pack of bad guests at once against one hub under load: every one is contained with a clear error, a good
//! subscription beside them gets everything once, the hub's memory stays bounded, and it stops cleanly.
//!
//! What the pack costs the others in time is the bench `containment`'s matter.

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, component, place, status};

/// A bad guest: its deed, more of its config, and the kind of error it must end in; one of these, where it depends on how
/// many others hold the thread that it shares with them.
type Bad = (&'static str, &'static str, &'static str);

/// Deeds of `misbehave`.
const FILTERS: &[Bad] = &[
    ("loop", "{}", "deadline"),
    ("ask-for-ever", "{}", "deadline"),
    ("set-for-ever", "{}", "deadline"),
    ("hoard", "{}", "memory"),
    ("grow", r#"{"size": 104857600}"#, "memory"),
    ("recurse", "{}", "trap"),
    ("trap", "{}", "trap"),
    ("panic", "{}", "trap"),
    ("huge-replace", r#"{"size": 8388608}"#, "trap"),
    ("huge-error", r#"{"size": 8388608}"#, "trap"),
    ("huge-log", r#"{"size": 8388608}"#, "trap"),
    ("error", "{}", "guest"),
];
/// Deeds of `misbehave-notifier`.
const NOTIFIERS: &[Bad] = &[
    ("loop", "{}", "cpu|deadline"),
    ("panic", "{}", "trap"),
    ("sleep", r#"{"ms": 3600000}"#, "deadline"),
    ("fail-final", "{}", "guest"),
];
/// Deeds of `reach`.
const REACHERS: &[Bad] = &[
    ("get", r#"{"url": "SINK/endless"}"#, "guest|deadline"),
    ("get-for-ever", r#"{"url": "SINK/quick"}"#, "egress|deadline"),
    (
        "subscribe-for-ever",
        r#"{"url": "HUB/v1/subscriptions"}"#,
        "guest|egress|deadline",
    ),
    ("tick-for-ever", "{}", "cpu|deadline"),
    ("log-for-ever", "{}", "cpu|deadline"),
    ("set-for-ever", "{}", "guest"),
    ("exit", "{}", "trap"),
];
/// Subscriptions that the hub allows: the pack makes them until there is no more room.
const SUBSCRIPTIONS: usize = 60;
const GOOD: u64 = 400;
/// What the hub may hold resident at any time, in MiB: a fifth of it before the pack comes.
const MEMORY: u64 = 768;

fn pack() -> Vec<(&'static str, &'static Bad)> {
    let of = |guest, deeds: &'static [Bad]| deeds.iter().map(move |bad| (guest, bad));
    of("misbehave", FILTERS)
        .chain(of("misbehave-notifier", NOTIFIERS))
        .chain(of("reach", REACHERS))
        .collect()
}

/// Each deed is a plugin of its own, so that its figures are.
fn name(guest: &str, deed: &str) -> String {
    format!("bad-{}-{deed}", guest.trim_start_matches("misbehave-"))
}

fn settings(hub: &HubProcess, sink: &Receiver) -> String {
    let mut text = String::new();
    for (guest, (deed, ..)) in pack() {
        let name = name(guest, deed);
        let limits = match guest {
            "misbehave" => r#"memory = "16MiB""#,
            _ => r#"memory = "16MiB", timeout = "1s", cpu = "400ms""#,
        };
        let (hub, sink) = (hub.url(""), sink.url(""));
        writeln!(
            text,
            "[plugins.{name}]\nlimits = {{ {limits} }}\ngrants = {{ http = [{hub:?}, {sink:?}], kv = \"64KiB\" }}"
        )
        .unwrap();
    }
    text
}

async fn subscribe(hub: &HubProcess, sink: &Receiver, guest: &str, (deed, config, _): &Bad) {
    let text = config.replace("HUB", &hub.url("")).replace("SINK", &sink.url(""));
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["do"] = json!(deed);
    let name = name(guest, deed);
    let once = json!({"max_attempts": 1, "concurrency": 4});
    let body = match guest {
        "misbehave" => json!({"types": ["bad"], "sink": sink.url("/bad"), "config": once,
            "filters": [{"plugin": {"name": name, "config": config}}]}),
        _ => json!({"types": ["bad"], "protocol": name, "protocolsettings": config, "config": once}),
    };
    hub.put(&format!("/v1/subscriptions/{name}"), &body).await;
}

/// A hub with the pack loaded and subscribed, and a subscription beside them that does nothing wrong.
async fn surrounded(folder: &std::path::Path, sink: &Receiver) -> HubProcess {
    place(folder, "filter-threshold", &component("filter-threshold"));
    let most = SUBSCRIPTIONS.to_string();
    let hub = HubProcess::start_with(folder, &["--limits-subscriptions", &most]).await;
    std::fs::write(folder.join("busway.toml"), settings(&hub, sink)).unwrap();
    hub.signal("HUP");
    for (guest, (deed, ..)) in pack() {
        place(folder, &name(guest, deed), &component(guest));
    }
    for (guest, bad) in pack() {
        let page = format!("/v1/plugins/{}", name(guest, bad.0));
        let ready =
            |page: &Value| page["state"] == "active" && page["grants"].as_array().is_some_and(|all| all.len() == 3);
        hub.until("it is loaded with its grants", &page, ready).await;
        subscribe(&hub, sink, guest, bad).await;
    }
    let good = json!({"types": ["good"], "sink": sink.url("/good"), "protocolsettings": {"format": "raw"},
        "filters": [{"plugin": {"name": "filter-threshold", "config": {"pointer": "/n", "min": 0}}}]});
    hub.put("/v1/subscriptions/good", &good).await;
    hub
}

/// An answer that never ends.
fn endless() -> Response {
    let piece = || Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 65_536]));
    Response::new(Body::from_stream(futures_util::stream::repeat_with(piece)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_pack_is_contained() {
    let (folder, sink) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    sink.answer(|request| match request.path.as_str() {
        "/endless" => endless(),
        _ => status(204),
    });
    let mut hub = surrounded(folder.path(), &sink).await;
    let mut most = hub.resident_mib();
    for round in 0..GOOD / 10 {
        hub.publish_many("good", round * 10..round * 10 + 10, 0).await;
        if round % 4 == 0 {
            hub.publish_many("bad", round..round + 2, 0).await;
        }
        most = most.max(hub.resident_mib());
    }
    let good = |seen: &[crate::support::Request]| {
        let mut numbers: Vec<_> = seen
            .iter()
            .filter(|one| one.path == "/good")
            .map(|one| one.json()["n"].as_u64().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    sink.wait_until("the good ones arrived", |seen| good(seen).len() as u64 >= GOOD)
        .await;
    for (guest, (deed, _, kind)) in pack() {
        let name = name(guest, deed);
        let failed = |page: &Value| kind.split('|').any(|kind| page["errors_by_kind"][kind].is_u64());
        hub.until(
            &format!("{name} ends in {kind}"),
            &format!("/v1/plugins/{name}"),
            failed,
        )
        .await;
        most = most.max(hub.resident_mib());
        let path = format!("/v1/dead-letters?subscription={name}");
        let told = |page: &Value| {
            page["dead_letters"][0]["reason"]
                .as_str()
                .is_some_and(|reason| reason.len() > 10)
        };
        let letters = hub.until(&format!("{name} has a dead letter"), &path, told).await;
        println!("{name}: {}", letters["dead_letters"][0]["reason"]);
    }
    assert_eq!(good(&sink.seen()), (0..GOOD).collect::<Vec<_>>(), "everything, once");
    println!("the hub held {most} MiB at most");
    assert!(most < MEMORY, "the hub held {most} MiB");
    no_more_subscriptions(&hub, &sink).await;
    // With the pack still at work.
    hub.publish_many("bad", 1_000..1_100, 0).await;
    assert_eq!(hub.terminate().await, Some(0), "{:#?}", hub.log());
}

/// The pack made as many as may be.
async fn no_more_subscriptions(hub: &HubProcess, sink: &Receiver) {
    let (refused, problem) = hub
        .send(
            Method::POST,
            "/v1/subscriptions",
            &[],
            json!({"sink": sink.url("/")}).to_string(),
        )
        .await;
    let problem: Value = serde_json::from_slice(&problem).unwrap();
    assert_eq!(
        (refused, &problem["code"]),
        (507, &json!("too_many_subscriptions")),
        "{problem}"
    );
}
