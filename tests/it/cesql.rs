//! CESQL through the front doors: what a filter lets through, what is refused, why an event did not arrive.

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver};

fn event(id: &str, more: &Value) -> Value {
    let mut event = json!({"specversion": "1.0", "id": id, "source": "/app", "type": "com.example.made"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// The cases of `tests/fixtures/cesql` that are about a filter's verdict, asked of a hub with `GET /v1/events`.
#[tokio::test(flavor = "multi_thread")]
async fn the_verdicts_of_the_language_are_those_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    for file in ["subscriptions.json", "examples.json", "exists.json"] {
        let path = format!("{}/tests/fixtures/cesql/{file}", env!("CARGO_MANIFEST_DIR"));
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for (at, case) in cases.iter().enumerate() {
            // A bus an event: what else was published does not come into the answer.
            let (bus, none) = (format!("{}-{at}", file.trim_end_matches(".json")), json!({}));
            let event = event("1", case.get("event").unwrap_or(&none));
            let structured = [("content-type", "application/cloudevents+json")];
            let to = format!("/v1/buses/{bus}/events");
            assert_eq!(
                hub.send(Method::POST, &to, &structured, event.to_string()).await.0,
                202,
                "{event}"
            );
            let filter = json!({"sql": case["sql"]}).to_string();
            let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
            let found = hub.get(&format!("{to}?filter={filter}")).await;
            let passes = case["result"] == true && case.get("errors").is_none();
            assert_eq!(found["events"].as_array().unwrap().len(), usize::from(passes), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_gets_what_its_expression_lets_through() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let sql = "type LIKE 'com.example.%' AND EXISTS priority AND priority > 3 AND subject NOT IN ('a', \"b\")";
    let asked = json!({"sink": receiver.url("/"), "filters": [{"sql": sql}]});
    let shown = hub.put("/v1/subscriptions/s", &asked).await;
    assert_eq!(shown["filters"], json!([{"sql": sql}]));
    for (id, more) in [
        ("low", json!({"subject": "x", "priority": 3})),
        ("text", json!({"subject": "x", "priority": "high"})),
        ("none", json!({"subject": "x"})),
        ("a", json!({"subject": "a", "priority": 9})),
        ("no-subject", json!({"priority": 9})),
        ("other", json!({"subject": "x", "priority": 9, "type": "org.example"})),
        ("high", json!({"subject": "x", "priority": 9})),
        ("high-text", json!({"subject": "x", "priority": "12"})),
    ] {
        hub.publish(&event(id, &more)).await;
    }
    let seen = receiver.wait_for(2).await;
    let mut ids: Vec<String> = seen.iter().map(|one| one.json()["id"].to_string()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["\"high\"", "\"high-text\""]);
    // Offsets begin at 1.
    for (offset, because) in [
        (1, "`priority > 3` is false: priority is 3"),
        (2, "\\\"high\\\" cannot be cast to Integer"),
        (3, "`EXISTS priority` is false: priority is not set"),
        (
            5,
            "(missingAttribute): subject is not set; ask for `EXISTS subject AND …` first",
        ),
    ] {
        let explained = hub
            .get(&format!("/v1/explain?offset={offset}&subscription=s"))
            .await
            .to_string();
        assert!(explained.contains(because), "{offset}: {explained}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_expression_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    for (sql, code, detail) in [
        (
            json!("type = "),
            "filter_invalid",
            "filters[0].sql: at character 8: expected a value, an attribute or a function, but the expression ends",
        ),
        (json!("lenght(type) = 1"), "filter_invalid", "did you mean `LENGTH`?"),
        (json!("(".repeat(50)), "filter_too_large", "nests at most 32 deep"),
        (json!(["type = 'x'"]), "filter_invalid", "must be a text"),
    ] {
        let body = json!({"sink": "http://127.0.0.1:9/", "filters": [{"sql": sql}]});
        let headers = [("content-type", "application/json")];
        let (status, answer) = hub
            .send(Method::POST, "/v1/subscriptions", &headers, body.to_string())
            .await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, &answer["code"]), (400, &json!(code)), "{answer}");
        assert!(answer["detail"].as_str().unwrap().contains(detail), "{answer}");
    }
}
