//! Config schemas in the real program: what a subscription, the operator and a new generation are told.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, component, place, run};

/// A hub with the threshold filter and, granted, the chat notifier.
async fn hub(folder: &Path) -> HubProcess {
    place(folder, "filter-threshold", &component("filter-threshold"));
    place(folder, "notifier-chat", &component("notifier-chat"));
    configure(folder, "");
    HubProcess::start(folder).await
}

/// Writes the config file: the chat's grant, and these lines.
fn configure(folder: &Path, lines: &str) {
    let grant = "[plugins.notifier-chat]\ngrants = { http = [\"http://127.0.0.1:9\"] }\n";
    std::fs::write(folder.join("busway.toml"), format!("{grant}{lines}")).unwrap();
}

fn filter(config: &Value) -> Value {
    json!({"plugin": {"name": "filter-threshold", "config": config}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_refused_with_every_field_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let check = async |body: Value, says: &[&str], hides: &str| {
        let (status, answer) = hub.send(Method::POST, "/v1/subscriptions", &[], body.to_string()).await;
        let problem: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("plugin_config_invalid")),
            "{problem}"
        );
        let detail = problem["detail"].as_str().unwrap();
        for part in says {
            assert!(detail.contains(part), "{part} is not in: {detail}");
        }
        assert!(hides.is_empty() || !detail.contains(hides), "{detail}");
    };
    let sink = "http://127.0.0.1:9/hook";
    let filtered = |filters: Value| json!({"types": ["n"], "sink": sink, "filters": filters});
    let chat = |settings: Value| json!({"types": ["n"], "protocol": "notifier-chat", "protocolsettings": settings});
    check(
        filtered(json!([filter(&json!({"min": 1}))])),
        &["filters[0].plugin.config.pointer: is required: JSON Pointer"],
        "",
    )
    .await;
    check(
        filtered(json!([
            {"exact": {"type": "n"}},
            {"any": [{"not": filter(&json!({"pointer": "/n", "min": "12"}))}]},
        ])),
        &["filters[1].any[0].not.plugin.config.min: must be a number, not \"12\""],
        "",
    )
    .await;
    check(
        filtered(json!([filter(&json!({"pointer": "/n", "min": 1, "misssing": "pass"}))])),
        &[
            "filters[0].plugin.config.misssing: is not a field",
            "did you mean `missing`?",
            "busway plugin show",
        ],
        "",
    )
    .await;
    check(
        filtered(json!([filter(&json!({"pointer": "/n"}))])),
        &["filters[0].plugin.config: needs `min` or `max`"],
        "",
    )
    .await;
    check(
        chat(json!({"template": 7, "url": "gopher://hunter2"})),
        &[
            "protocolsettings.template: must be a string, not 7",
            "protocolsettings.url: must match the pattern",
        ],
        "hunter2",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_that_does_not_know_the_sink_is_not_given_it() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let url = "http://127.0.0.1:9/hook";
    let chat = json!({"types": ["n"], "protocol": "notifier-chat", "sink": url,
        "protocolsettings": {"url": url, "template": "{type}"}});
    let made = hub.put("/v1/subscriptions/chat", &chat).await;
    assert_eq!(made["sink"], url);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_schema_calls_secret_is_never_shown_again() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    place(folder.path(), "notifier-chat", &component("notifier-chat"));
    let grant = format!(
        "[plugins.notifier-chat]\ngrants = {{ http = [\"{}\"] }}\n",
        receiver.url("")
    );
    std::fs::write(folder.path().join("busway.toml"), grant).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let path = "/v1/subscriptions/chat";
    let url = receiver.url("/hooks/hunter2");
    let body = json!({"types": ["n"], "protocol": "notifier-chat", "protocolsettings": {"url": url, "template": "a"}});
    let shows = |answer: &Value, template: &str| {
        assert_eq!(answer["protocolsettings"], json!({"url": "***", "template": template}));
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    };
    shows(&hub.put(path, &body).await, "a");
    let patch = json!({"protocolsettings": {"template": "b"}}).to_string();
    let (status, answer) = hub.send(Method::PATCH, path, &[], patch).await;
    assert_eq!(status, 200);
    shows(&serde_json::from_slice(&answer).unwrap(), "b");
    let mut shown = hub.get(path).await;
    shows(&shown, "b");
    shown["protocolsettings"]["template"] = "c".into();
    shows(&hub.put(path, &shown).await, "c");
    let told = hub
        .until("the changes are told", "/v1/buses/busway/events", |events| {
            events.to_string().contains("subscription.updated")
        })
        .await
        .to_string();
    assert!(!told.contains("hunter2"), "{told}");

    // What was hidden still leads where it led.
    let event = json!({"specversion": "1.0", "id": "1", "source": "/t", "type": "n"});
    let offset = &hub.publish(&event).await["events"][0]["offset"];
    let arrived = receiver.wait_until("the post", |all| !all.is_empty()).await;
    assert_eq!(arrived[0].path, "/hooks/hunter2");
    let explained = hub
        .get(&format!("/v1/explain?offset={offset}&subscription=chat&notify=true"))
        .await
        .to_string();
    assert!(
        explained.contains(&receiver.url("/***")) && !explained.contains("hunter2"),
        "{explained}"
    );

    // It stays hidden while the plugin is away, and over a restart.
    std::fs::remove_file(folder.path().join("plugins/notifier-chat.wasm")).unwrap();
    drop(hub);
    let hub = HubProcess::start(folder.path()).await;
    assert_eq!(hub.get(path).await["protocolsettings"]["url"], "***");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mask_without_a_secret_behind_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let filter = json!({"plugin": {"name": "filter-threshold", "config": {"pointer": "/n", "min": 1}}});
    let body = json!({"filters": [filter], "protocol": "notifier-chat",
        "protocolsettings": {"url": "***", "template": "a"}});
    let (status, answer) = hub.send(Method::POST, "/v1/subscriptions", &[], body.to_string()).await;
    let problem: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status, 400, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .starts_with("protocolsettings.url: "),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_part_is_checked_at_start_and_reload_and_by_config_check() {
    let folder = tempfile::tempdir().unwrap();
    place(folder.path(), "filter-threshold", &component("filter-threshold"));
    configure(
        folder.path(),
        "[plugins.filter-threshold]\nconfig = { missing = \"keep\" }\n",
    );
    let says = "[plugins.filter-threshold] config.missing: must be \"drop\" or \"pass\"";
    let (code, _, error) = run(folder.path(), &["config", "check"]);
    assert_eq!(code, 78, "{error}");
    assert!(error.contains(says), "{error}");

    let hub = HubProcess::start(folder.path()).await;
    let state = |page: &Value| page["state"].as_str().unwrap_or_default().to_owned();
    let page = hub.get("/v1/plugins/filter-threshold").await;
    assert_eq!(state(&page), "rejected");
    assert!(page["reason"].as_str().unwrap().contains(says), "{page}");
    assert!(
        hub.get("/healthz").await["reasons"]
            .to_string()
            .contains("config.missing")
    );

    configure(
        folder.path(),
        "[plugins.filter-threshold]\nconfig = { missing = \"pass\" }\n",
    );
    let path = "/v1/plugins/filter-threshold";
    hub.until("it is active", path, |page| state(page) == "active").await;
    let (code, _, error) = run(folder.path(), &["config", "check"]);
    assert_eq!(code, 0, "{error}");
    configure(
        folder.path(),
        "[plugins.filter-threshold]\nconfig = { mising = \"pass\" }\n",
    );
    let page = hub.until("it is refused", path, |page| state(page) == "rejected").await;
    assert!(
        page["reason"].as_str().unwrap().contains("did you mean `missing`?"),
        "{page}"
    );
}

/// The threshold filter with another name for its field `missing` in its schema.
fn renamed() -> Vec<u8> {
    let mut wasm = component("filter-threshold");
    let (name, other) = (b"\"missing\":", b"\"mislaid\":");
    let at = wasm
        .windows(name.len())
        .position(|window| window == name)
        .expect("the schema");
    wasm[at..at + name.len()].copy_from_slice(other);
    wasm
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_a_swap_left_behind_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let body = json!({"types": ["n"], "sink": "http://127.0.0.1:9/hook",
        "filters": [filter(&json!({"pointer": "/n", "min": 1, "missing": "pass"}))]});
    hub.put("/v1/subscriptions/old", &body).await;
    let fits = json!({"types": ["n"], "sink": "http://127.0.0.1:9/hook",
        "filters": [filter(&json!({"pointer": "/n", "min": 1}))]});
    hub.put("/v1/subscriptions/fits", &fits).await;
    assert_eq!(hub.get("/healthz").await["status"], "ok");

    place(folder.path(), "filter-threshold", &renamed());
    let health = hub
        .until("health tells it", "/healthz", |health| health["status"] == "degraded")
        .await;
    let reasons = health["reasons"].to_string();
    assert!(
        reasons.contains("subscription old") && reasons.contains("config.missing"),
        "{reasons}"
    );
    assert!(!reasons.contains("subscription fits"), "{reasons}");
    let problem = &hub.get("/v1/subscriptions/old").await["status"]["problem"];
    let place_of_it = "filters[0].plugin.config.missing: is not a field";
    assert!(problem.as_str().unwrap().contains(place_of_it), "{problem}");

    hub.put("/v1/subscriptions/old", &fits).await;
    hub.until("all is well", "/healthz", |health| health["status"] == "ok")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_none_is_refused_and_the_old_one_serves() {
    let folder = tempfile::tempdir().unwrap();
    let hub = hub(folder.path()).await;
    let mut wasm = component("filter-threshold");
    let (kind, other) = (b"\"type\": \"object\"", b"\"type\": \"absurd\"");
    let at = wasm
        .windows(kind.len())
        .position(|window| window == kind)
        .expect("the schema");
    wasm[at..at + kind.len()].copy_from_slice(other);
    place(folder.path(), "filter-threshold", &wasm);
    let path = "/v1/plugins/filter-threshold";
    let page = hub
        .until("it is refused", path, |page| page["state"] == "rejected")
        .await;
    assert!(
        page["reason"]
            .as_str()
            .unwrap()
            .contains("is not valid JSON Schema, /type"),
        "{page}"
    );
    assert_eq!(page["generation"], 1, "the old generation serves: {page}");
}
