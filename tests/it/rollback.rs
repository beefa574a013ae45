//! A generation that fails where the one before it worked, in the real program: taken back by itself, told everywhere,
//! and nothing lost by it.

use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, generation, place};

fn subscription(sink: String, on_error: &str) -> Value {
    json!({"types": ["n"], "sink": sink, "protocolsettings": {"format": "raw"},
        "filters": [{"plugin": {"name": "misbehave", "config": {"do": "odd-fails"}}}],
        "config": {"schedule": ["100ms"], "max_attempts": 2, "on_error": on_error}})
}

fn numbers(seen: &[Request], path: &str) -> Vec<u64> {
    let at = seen.iter().filter(|request| request.path == path);
    let mut numbers: Vec<u64> = at.map(|request| request.json()["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_generation_is_taken_back_and_costs_nothing() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    place(folder.path(), "misbehave", &generation(0));
    let hub = HubProcess::start(folder.path()).await;
    for on_error in ["retry", "hold"] {
        let sink = receiver.url(&format!("/{on_error}"));
        hub.put(&format!("/v1/subscriptions/{on_error}"), &subscription(sink, on_error))
            .await;
    }
    hub.publish_many("n", 0..100, 0).await;
    receiver.wait_for(200).await;
    place(folder.path(), "misbehave", &generation(1));
    let page = "/v1/plugins/misbehave";
    hub.until("the bad one is live", page, |page| page["generation"] == 2)
        .await;
    // Until it is noticed, and some more.
    let mut published = 100;
    loop {
        hub.publish_many("n", published..published + 20, 0).await;
        published += 20;
        if hub.get(page).await["generation"] == 3 {
            break;
        }
    }
    hub.publish_many("n", published..published + 20, 0).await;
    published += 20;
    let state = hub.get(page).await;
    let reason = state["reason"].as_str().unwrap();
    assert_eq!(state["state"], "rolled_back");
    assert!(
        reason.contains("calls failed") && reason.contains("the generation before it failed 0 of "),
        "{reason}"
    );
    assert!(hub.get("/healthz").await["reasons"].to_string().contains("rolled_back"));

    let due: Vec<u64> = (0..published).collect();
    receiver.wait_for(2 * due.len()).await;
    for id in ["retry", "hold"] {
        let path = format!("/v1/subscriptions/{id}");
        let one = hub
            .until("all is settled", &path, |one| {
                one["status"]["delivered"] == published && one["status"]["state"] == "idle"
            })
            .await;
        assert_eq!(one["status"]["failed"], 0, "no attempt was spent");
        assert_eq!(numbers(&receiver.seen(), &format!("/{id}")), due, "everything, once");
    }
    let path = "/v1/buses/busway/events?limit=1000";
    let is = |event: &Value| event["type"] == "busway.plugin.rolled_back" && event["subject"] == "misbehave";
    let page = hub
        .until("it is told", path, |page| {
            page["events"].as_array().unwrap().iter().any(is)
        })
        .await;
    let facts = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| is(event))
        .unwrap()["data"]
        .clone();
    assert_eq!((&facts["generation"], &facts["serving"]), (&json!(2), &json!(3)));
    hub.until_metric("busway_plugin_rollbacks_total{plugin=\"misbehave\"}", |count| {
        count == 1.0
    })
    .await;
}
