//! Candidates in the shadow of live traffic: what differs is told, nothing is changed, and nobody waits.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, component, generation, place, run};

/// A subscription to `n` with the filter `judge` that wants numbers from 5 up.
fn judged(sink: String) -> Value {
    json!({"types": ["n"], "sink": sink, "protocolsettings": {"format": "raw"},
        "filters": [{"plugin": {"name": "judge", "config": {"pointer": "/n", "min": 5}}}]})
}

/// A hub whose filter `judge` is the threshold filter, with one subscription.
async fn hub_with_judge(folder: &Path, receiver: &Receiver) -> HubProcess {
    place(folder, "judge", &component("filter-threshold"));
    let hub = HubProcess::start(folder).await;
    hub.put("/v1/subscriptions/s", &judged(receiver.url("/s"))).await;
    hub
}

/// Asks something of a trial; the status and the answer.
async fn ask(hub: &HubProcess, method: Method, path: &str, body: Vec<u8>) -> (u16, Value) {
    let headers = [("content-type", "application/wasm")];
    let (status, answer) = hub.send(method, path, &headers, body).await;
    (status, serde_json::from_slice(&answer).unwrap())
}

/// Begins a trial that nothing but the test ends.
async fn begin(hub: &HubProcess, name: &str, candidate: &str) -> Value {
    let path = format!("/v1/plugins/{name}/trial?for=1h");
    let (status, report) = ask(hub, Method::POST, &path, component(candidate)).await;
    assert_eq!(status, 201, "{report}");
    report
}

async fn compared(hub: &HubProcess, name: &str, count: u64) -> Value {
    let path = format!("/v1/plugins/{name}/trial");
    hub.until("all calls are compared", &path, |report| report["compared"] == count)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_compared_and_changes_nothing() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with_judge(folder.path(), &receiver).await;
    let report = begin(&hub, "judge", "misbehave").await;
    assert_eq!(
        (&report["state"], &report["outlook"]),
        (&json!("running"), &json!("unknown"))
    );
    // Told nothing else, the candidate passes all: it differs where the live one drops.
    let (first, _) = hub.publish_many("n", 0..10, 0).await;
    let report = compared(&hub, "judge", 10).await;
    let of = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((of("same"), of("different"), of("left_out")), (5, 5, 0), "{report}");
    assert_eq!(report["outlook"], "differs");
    let mut offsets: Vec<u64> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["offset"].as_u64().unwrap())
        .collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (first..first + 5).collect::<Vec<_>>());
    let one = &report["differences"][0];
    assert_eq!(
        (&one["live"]["verdict"], &one["candidate"]["verdict"], &one["bus"]),
        (&json!("drop"), &json!("pass"), &json!("default"))
    );
    assert_eq!(receiver.wait_for(5).await.len(), 5, "the live plugin alone decides");

    let second = ask(&hub, Method::POST, "/v1/plugins/judge/trial", component("misbehave")).await;
    assert_eq!((second.0, &second.1["code"]), (409, &json!("trial_running")));
    let (status, last) = ask(&hub, Method::DELETE, "/v1/plugins/judge/trial", Vec::new()).await;
    assert_eq!(
        (status, &last["state"], &last["compared"]),
        (200, &json!("over"), &json!(10))
    );
    let (status, gone) = ask(&hub, Method::GET, "/v1/plugins/judge/trial", Vec::new()).await;
    assert_eq!((status, &gone["code"]), (404, &json!("trial_not_found")));
    assert_eq!(hub.get("/v1/plugins/judge").await["generation"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tried_is_refused_in_words() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with_judge(folder.path(), &receiver).await;
    let path = "/v1/plugins/judge/trial";
    for (path, body, expected) in [
        (
            "/v1/plugins/nobody/trial",
            component("misbehave"),
            (404, "plugin_not_found"),
        ),
        (path, component("filter-threshold"), (409, "trial_pointless")),
        (path, component("misbehave-notifier"), (409, "trial_pointless")),
        (path, b"nothing".to_vec(), (400, "plugin_invalid")),
        (
            "/v1/plugins/judge/trial?for=8761h",
            component("misbehave"),
            (400, "trial_length"),
        ),
        (
            "/v1/plugins/judge/trial?for=soon",
            component("misbehave"),
            (400, "invalid_parameter"),
        ),
        ("/v1/plugins/judge/promote", Vec::new(), (404, "trial_not_found")),
    ] {
        let (status, problem) = ask(&hub, Method::POST, path, body).await;
        assert_eq!(
            (status, problem["code"].as_str().unwrap()),
            expected,
            "{path}: {problem}"
        );
    }
    let (status, _) = hub.send(Method::POST, path, &[], component("misbehave")).await;
    assert_eq!(
        status, 415,
        "a web page can send text without asking, so that is not taken"
    );
    let other = [
        ("content-type", "application/wasm"),
        ("origin", "http://elsewhere.example"),
    ];
    assert_eq!(
        hub.send(Method::POST, path, &other, component("misbehave")).await.0,
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_crashes_and_loops_is_nobodys_trouble() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with_judge(folder.path(), &receiver).await;
    begin(&hub, "judge", "misbehave").await;
    for (n, deed) in ["trap", "loop", "pass"].iter().enumerate() {
        let event =
            json!({"specversion": "1.0", "id": deed, "source": "/t", "type": "n", "data": {"n": 5 + n, "do": deed}});
        hub.publish(&event).await;
    }
    assert_eq!(receiver.wait_for(3).await.len(), 3);
    let report = compared(&hub, "judge", 3).await;
    assert_eq!(
        (&report["candidate"]["errors"], &report["live"]["errors"]),
        (&json!(2), &json!(0)),
        "{report}"
    );
    assert_eq!(report["outlook"], "fails");
    assert_eq!(hub.get("/v1/plugins/judge").await["errors"], 0);

    let (status, refused) = ask(&hub, Method::POST, "/v1/plugins/judge/promote", Vec::new()).await;
    assert_eq!((status, &refused["code"]), (409, &json!("candidate_failed")));
    let (status, report) = ask(&hub, Method::POST, "/v1/plugins/judge/promote?force=true", Vec::new()).await;
    assert_eq!(
        (status, &report["outlook"], &report["live"]["generation"]),
        (200, &json!("live"), &json!(2)),
        "{report}"
    );
    assert_eq!(
        std::fs::read(folder.path().join("plugins/judge.wasm")).unwrap(),
        component("misbehave")
    );
    let told = hub
        .until("it is told", "/v1/buses/busway/events?type=busway.plugin.*", |page| {
            page.to_string().contains("plugin.trial_ended")
        })
        .await;
    for ty in ["trial_started", "promoted"] {
        assert!(told.to_string().contains(&format!("busway.plugin.{ty}")), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_on_trial_reaches_nobody() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    place(folder.path(), "out", &component("misbehave-notifier"));
    let grants = format!("[plugins.out]\ngrants = {{ http = [\"{}\"] }}\n", receiver.url(""));
    std::fs::write(folder.path().join("busway.toml"), grants).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let out = json!({"types": ["n"], "protocol": "out",
        "protocolsettings": {"url": receiver.url("/chat"), "template": "{type} {/n}"}});
    hub.put("/v1/subscriptions/out", &out).await;
    begin(&hub, "out", "notifier-chat").await;
    hub.publish_many("n", 7..8, 0).await;
    let report = compared(&hub, "out", 1).await;
    let difference = &report["differences"][0];
    assert_eq!(
        (&difference["live"]["verdict"], &difference["candidate"]["verdict"]),
        (&json!("delivered"), &json!("delivered")),
        "{report}"
    );
    let effect = &difference["candidate"]["effects"][0];
    assert_eq!(
        (&effect["kind"], &effect["method"], &effect["url"]),
        (&json!("http"), &json!("POST"), &json!(receiver.url("/***")))
    );
    assert_eq!(effect["body"], r#"{"text":"n 7"}"#);
    assert_eq!(report["suppressed_effects"], 1);
    assert!(receiver.seen().is_empty(), "the candidate sent something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_swap_and_a_restart_are_survived() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = hub_with_judge(folder.path(), &receiver).await;
    begin(&hub, "judge", "misbehave").await;
    hub.publish_many("n", 0..1, 0).await;
    compared(&hub, "judge", 1).await;
    place(folder.path(), "judge", &generation(1));
    hub.until("it is swapped", "/v1/plugins/judge", |page| page["generation"] == 2)
        .await;
    hub.publish_many("n", 1..2, 0).await;
    let report = compared(&hub, "judge", 2).await;
    assert_eq!(report["generations"], json!({"1": 1, "2": 1}));
    // Somebody put the candidate there by hand: there is nothing left to try.
    place(folder.path(), "judge", &component("misbehave"));
    let over = hub
        .until("it is over", "/v1/plugins/judge/trial", |report| {
            report["state"] == "over"
        })
        .await;
    assert_eq!(
        (&over["outlook"], &over["why"]),
        (&json!("live"), &json!("its candidate went live"))
    );
    hub.terminate().await;
    let hub = HubProcess::start(folder.path()).await;
    let (status, gone) = ask(&hub, Method::GET, "/v1/plugins/judge/trial", Vec::new()).await;
    assert_eq!((status, &gone["code"]), (404, &json!("trial_not_found")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_tries_and_promotes() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with_judge(folder.path(), &receiver).await;
    std::fs::write(folder.path().join("new.wasm"), component("misbehave")).unwrap();
    let url = hub.url("");
    let (home, address) = (folder.path().to_owned(), url.clone());
    let trying = std::thread::spawn(move || {
        run(
            &home,
            &["plugin", "trial", "judge", "new.wasm", "--for", "2s", "--url", &address],
        )
    });
    hub.until("it runs", "/v1/plugins/judge/trial", |report| {
        report["state"] == "running"
    })
    .await;
    hub.publish_many("n", 4..6, 0).await;
    let (code, out, err) = trying.join().unwrap();
    assert_eq!(code, 0, "{err}");
    for part in [
        "2 calls compared: 1 the same, 1 different",
        "drop: 4 at /n is below 5",
        "otherwise",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out, err) = run(folder.path(), &["plugin", "promote", "judge", "--url", &url]);
    assert!(code == 0 && out.contains("the candidate is live"), "{code}: {out}{err}");
    let (code, _, err) = run(folder.path(), &["plugin", "trial", "nobody", "--url", &url]);
    assert!(code != 0 && err.contains("trial_not_found"), "{code}: {err}");
}
