//! The webhook handshake, both ways: who is asked, what counts as consent, what is kept, and how fast it goes then.

use axum::response::Response;
use http::{HeaderValue, Method};
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, status};

const ORIGIN: [&str; 2] = ["--webhook-origin", "hub.example"];

fn subscription(sink: String, config: Value) -> Value {
    json!({"sink": sink, "types": ["n"], "protocolsettings": {"validate": true}, "config": config})
}

/// Answers OPTIONS with these headers, and everything else with 204.
fn agrees(headers: &'static [(&'static str, &'static str)]) -> impl Fn(&Request) -> Response + Send + 'static {
    move |request| {
        let mut answer = status(204);
        if request.method == Method::OPTIONS {
            for (name, value) in headers {
                answer.headers_mut().insert(*name, HeaderValue::from_static(value));
            }
        }
        answer
    }
}

fn questions(seen: &[Request]) -> Vec<Request> {
    seen.iter()
        .filter(|one| one.method == Method::OPTIONS)
        .cloned()
        .collect()
}

fn deliveries(seen: &[Request]) -> Vec<Request> {
    seen.iter().filter(|one| one.method == Method::POST).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_the_sink_agrees_and_nothing_is_lost() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start_with(folder.path(), &ORIGIN).await;
    let config = json!({"schedule": ["200ms"], "rate": "6000/m"});
    let shown = hub
        .put("/v1/subscriptions/s", &subscription(receiver.url("/hook?a=b"), config))
        .await;
    assert_eq!(
        (&shown["state"], &shown["reason"], &shown["consent"]),
        (&json!("paused"), &json!("unvalidated"), &json!({"given": false}))
    );
    hub.publish_many("n", 0..3, 0).await;
    // A status proves nothing; neither does consent to somebody else.
    receiver.answer(agrees(&[
        ("webhook-allowed-origin", "other.example"),
        ("allow", "POST"),
    ]));
    let why = |json: &Value| {
        json["status"]["consent"]["answer"]
            .as_str()
            .is_some_and(|why| why.contains("other.example"))
    };
    let asked = hub.until("the refusal is told", "/v1/subscriptions/s", why).await;
    assert_eq!(asked["status"]["reason"], "unvalidated");
    assert!(asked["status"]["consent"]["next"].is_string());
    let question = &questions(&receiver.seen())[0];
    assert_eq!(question.path, "/hook?a=b");
    assert_eq!(question.headers["webhook-request-origin"], "hub.example");
    assert_eq!(question.headers["webhook-request-rate"], "6000");
    assert!(!question.headers.contains_key("webhook-request-callback"));
    // Nor is it sent by hand.
    assert_eq!(hub.send(Method::POST, "/v1/subscriptions/s/test", &[], "").await.0, 409);
    hub.post("/v1/subscriptions/s/resume", &json!({})).await;
    assert!(deliveries(&receiver.seen()).is_empty());
    // It stays so over a kill, and goes on when the sink agrees.
    hub.kill().await;
    receiver.answer(agrees(&[
        ("webhook-allowed-origin", "hub.example"),
        ("webhook-allowed-rate", "*"),
    ]));
    let mut hub = HubProcess::start_with(folder.path(), &ORIGIN).await;
    let seen = receiver
        .wait_until("three deliveries", |seen| deliveries(seen).len() >= 3)
        .await;
    for delivery in deliveries(&seen) {
        assert_eq!(delivery.headers["webhook-request-origin"], "hub.example");
    }
    let shown = hub.get("/v1/subscriptions/s").await;
    assert_eq!(
        (&shown["state"], &shown["consent"]["given"]),
        (&json!("active"), &json!(true))
    );
    // Who has agreed is not asked again after a kill.
    let before = questions(&receiver.seen()).len();
    hub.kill().await;
    let hub = HubProcess::start_with(folder.path(), &ORIGIN).await;
    hub.publish_many("n", 3..4, 0).await;
    let seen = receiver
        .wait_until("the fourth", |seen| {
            deliveries(seen).iter().any(|one| one.json()["id"] == "n-3")
        })
        .await;
    assert_eq!(questions(&seen).len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_may_agree_later_by_calling_back() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let arguments = ["--webhook-callback", "https://hub.example/base/"];
    let hub = HubProcess::start_with(folder.path(), &arguments).await;
    hub.put("/v1/subscriptions/s", &subscription(receiver.url("/"), json!({})))
        .await;
    hub.publish_many("n", 0..1, 0).await;
    let seen = receiver.wait_for(1).await;
    let callback = seen[0].headers["webhook-request-callback"].to_str().unwrap().to_owned();
    let path = callback.strip_prefix("https://hub.example/base").unwrap();
    // Somebody who guesses gets nothing, and is told nothing.
    for guess in ["/consent/s/0123", "/consent/nobody/0123", "/consent/s/%20"] {
        assert_eq!(hub.send(Method::GET, guess, &[], "").await.0, 404, "{guess}");
    }
    assert_eq!(
        hub.send(Method::POST, path, &[("webhook-allowed-rate", "none")], "")
            .await
            .0,
        400
    );
    // Nor does whoever only looks what is behind the link agree.
    assert_eq!(hub.send(Method::HEAD, path, &[], "").await.0, 405);
    assert!(deliveries(&receiver.seen()).is_empty());
    assert_eq!(hub.get("/v1/subscriptions/s").await["reason"], "unvalidated");
    // The hub is called by the name that it gave.
    let named = [("host", "hub.example")];
    assert_eq!(hub.send(Method::GET, path, &named, "").await.0, 200);
    assert_eq!(
        hub.send(Method::GET, path, &[("host", "other.example")], "").await.0,
        403
    );
    receiver
        .wait_until("the delivery", |seen| deliveries(seen).len() == 1)
        .await;
    // A second call changes the rate.
    assert_eq!(
        hub.send(Method::POST, path, &[("webhook-allowed-rate", "60")], "")
            .await
            .0,
        200
    );
    assert_eq!(hub.get("/v1/subscriptions/s").await["consent"]["rate"], "60/m");
    let told = |json: &Value| json["events"].as_array().is_some_and(|events| !events.is_empty());
    hub.until(
        "the consent is an event",
        "/v1/buses/busway/events?type=busway.subscription.validated",
        told,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_moves_is_asked_anew() {
    let (folder, first, second) = (
        tempfile::tempdir().unwrap(),
        Receiver::start().await,
        Receiver::start().await,
    );
    first.answer(agrees(&[("webhook-allowed-origin", "*")]));
    let hub = HubProcess::start_with(folder.path(), &ORIGIN).await;
    let short = json!({"schedule": ["100ms"]});
    hub.put("/v1/subscriptions/s", &subscription(first.url("/"), short.clone()))
        .await;
    hub.until("it agrees", "/v1/subscriptions/s", |json| json["state"] == "active")
        .await;
    let moved = hub
        .put("/v1/subscriptions/s", &subscription(second.url("/"), short))
        .await;
    assert_eq!(moved["reason"], "unvalidated");
    hub.publish_many("n", 0..1, 0).await;
    second.answer(agrees(&[("webhook-allowed-origin", "*")]));
    second
        .wait_until("the delivery", |seen| deliveries(seen).len() == 1)
        .await;
    assert!(deliveries(&first.seen()).is_empty());
    // Whoever gives up asking gets events without.
    let free = hub.send(
        Method::PATCH,
        "/v1/subscriptions/s",
        &[("content-type", "application/json")],
        json!({"protocolsettings": {"validate": false}}).to_string(),
    );
    let free: Value = serde_json::from_slice(&free.await.1).unwrap();
    assert_eq!((&free["state"], free.get("consent")), (&json!("active"), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_obeyed_whoever_sets_it() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(agrees(&[
        ("webhook-allowed-origin", "*"),
        ("webhook-allowed-rate", "60"),
    ]));
    let hub = HubProcess::start(folder.path()).await;
    let slow = subscription(receiver.url("/theirs"), json!({"rate": "100/s"}));
    hub.put("/v1/subscriptions/theirs", &slow).await;
    let ours = json!({"sink": receiver.url("/ours"), "types": ["n"], "config": {"rate": "3600/h"}});
    assert_eq!(
        hub.put("/v1/subscriptions/ours", &ours).await["config"]["rate"],
        "3600/h"
    );
    hub.until("it agrees", "/v1/subscriptions/theirs", |json| {
        json["state"] == "active"
    })
    .await;
    let quick = json!({"sink": receiver.url("/quick"), "types": ["n"], "config": {"rate": "1000/s"}});
    hub.put("/v1/subscriptions/quick", &quick).await;
    hub.publish_many("n", 0..100, 0).await;
    let at = |seen: &[Request], path: &str| deliveries(seen).iter().filter(|one| one.path == path).count();
    let seen = receiver
        .wait_until("all of the quick one", |seen| at(seen, "/quick") == 100)
        .await;
    // One a second each: whatever the machine is busy with, a hundred are not allowed to have come by now.
    assert!(at(&seen, "/ours") < 60 && at(&seen, "/theirs") < 60);
    receiver
        .wait_until("both go on", |seen| at(seen, "/ours") >= 2 && at(seen, "/theirs") >= 2)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_consents_to_be_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let (hub, target) = (
        HubProcess::start_with(folder.path(), &ORIGIN).await,
        tempfile::tempdir().unwrap(),
    );
    let other = HubProcess::start(target.path()).await;
    hub.put(
        "/v1/subscriptions/s",
        &subscription(other.url("/v1/buses/in/events"), json!({})),
    )
    .await;
    hub.until("the other hub agrees", "/v1/subscriptions/s", |json| {
        json["state"] == "active"
    })
    .await;
    hub.publish_many("n", 0..2, 0).await;
    let both = |json: &Value| json["events"].as_array().is_some_and(|events| events.len() == 2);
    other.until("both events", "/v1/buses/in/events", both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_never_answers_keeps_no_other_waiting() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(agrees(&[("webhook-allowed-origin", "*")]));
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_end = format!("http://{}/", silent.local_addr().unwrap());
    let hub = HubProcess::start_with(folder.path(), &ORIGIN).await;
    // Longer than any patience of this test: who waits for this one waits in vain.
    let patient = json!({"timeout": "5m", "schedule": ["1h"]});
    hub.put("/v1/subscriptions/dead", &subscription(dead_end, patient.clone()))
        .await;
    let _held = silent.accept().await.unwrap();
    let config = json!({"schedule": ["1h"]});
    hub.put("/v1/subscriptions/live", &subscription(receiver.url("/live"), config))
        .await;
    let active = |json: &Value| json["state"] == "active";
    hub.until("the other one is asked", "/v1/subscriptions/live", active)
        .await;
    // Nor does its successor at the same subscription.
    hub.put("/v1/subscriptions/dead", &subscription(receiver.url("/dead"), patient))
        .await;
    hub.until("the new sink is asked", "/v1/subscriptions/dead", active)
        .await;
}
