//! Plugins in the real program: what they decide, what they may, how they are swapped, and whom their faults hurt.

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, Request, component, generation, place, take_away};

/// A subscription to a type with one plugin filter, tried again quickly.
fn filtered(ty: &str, sink: String, plugin: &str, config: Value) -> Value {
    json!({"types": [ty], "sink": sink, "filters": [{"plugin": {"name": plugin, "config": config}}],
        "protocolsettings": {"format": "raw"}, "config": {"schedule": ["50ms"], "max_attempts": 2}})
}

/// A hub with these plugins loaded.
async fn hub_with(folder: &Path, plugins: &[&str]) -> HubProcess {
    for name in plugins {
        place(folder, name, &component(name));
    }
    HubProcess::start(folder).await
}

/// Waits until a plugin's page satisfies `enough`.
async fn plugin(hub: &HubProcess, name: &str, what: &str, enough: impl Fn(&Value) -> bool) -> Value {
    hub.until(what, &format!("/v1/plugins/{name}"), enough).await
}

/// Waits until everything that was published is settled for a subscription.
async fn settled(hub: &HubProcess, id: &str) -> Value {
    let path = format!("/v1/subscriptions/{id}");
    hub.until("it has settled everything", &path, |one| one["status"]["behind"] == 0)
        .await
}

fn at(seen: &[Request], path: &str) -> Vec<String> {
    let bodies = seen.iter().filter(|request| request.path == path);
    bodies
        .map(|request| String::from_utf8(request.body.to_vec()).unwrap())
        .collect()
}

/// The numbers that arrived at a path, in order of their size; each as often as it came.
fn numbers(seen: &[Request], path: &str) -> Vec<u64> {
    let of = |body: &String| serde_json::from_str::<Value>(body).unwrap()["n"].as_u64().unwrap();
    let mut numbers: Vec<u64> = at(seen, path).iter().map(of).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_decides_for_its_subscription_alone() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with(folder.path(), &["filter-threshold", "misbehave"]).await;
    let threshold = filtered(
        "n",
        receiver.url("/some"),
        "filter-threshold",
        json!({"pointer": "/n", "min": 5, "max": 7}),
    );
    hub.put("/v1/subscriptions/some", &threshold).await;
    let replaced = filtered("n", receiver.url("/replaced"), "misbehave", json!({"do": "replace"}));
    hub.put("/v1/subscriptions/replaced", &replaced).await;
    let all = json!({"types": ["n"], "sink": receiver.url("/all"), "protocolsettings": {"format": "raw"}});
    hub.put("/v1/subscriptions/all", &all).await;
    hub.publish_many("n", 0..10, 0).await;
    receiver.wait_for(23).await;
    for id in ["some", "replaced", "all"] {
        settled(&hub, id).await;
    }
    let seen = receiver.seen();
    assert_eq!(numbers(&seen, "/some"), [5, 6, 7]);
    assert_eq!(numbers(&seen, "/all"), (0..10).collect::<Vec<_>>());
    let replaced: BTreeSet<String> = at(&seen, "/replaced").into_iter().collect();
    assert_eq!(replaced, (0..10).map(|n| format!("replaced n-{n}")).collect());
    let status = &hub.get("/v1/subscriptions/some").await["status"];
    assert_eq!((&status["filtered"], &status["delivered"]), (&json!(7), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_twenty_subscriptions_share_is_evaluated_once() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with(folder.path(), &["filter-threshold"]).await;
    for nth in 0..20 {
        let sink = receiver.url(&format!("/{nth}"));
        let shared = filtered("n", sink, "filter-threshold", json!({"pointer": "/n", "min": 5}));
        hub.put(&format!("/v1/subscriptions/s{nth}"), &shared).await;
    }
    let before = hub.get("/v1/plugins/filter-threshold").await["calls"].as_u64().unwrap();
    hub.publish_many("n", 0..10, 0).await;
    let seen = receiver.wait_for(100).await;
    for nth in 0..20 {
        settled(&hub, &format!("s{nth}")).await;
        assert_eq!(numbers(&seen, &format!("/{nth}")), [5, 6, 7, 8, 9]);
    }
    let page = hub.get("/v1/plugins/filter-threshold").await;
    assert_eq!(page["calls"].as_u64().unwrap() - before, 10, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_does_what_it_is_granted_and_a_grant_needs_no_restart() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with(folder.path(), &["notifier-chat"]).await;
    let page = hub.get("/v1/plugins/notifier-chat").await;
    assert_eq!(page["state"], "rejected");
    let line = "[plugins.notifier-chat]";
    for text in [&page["reason"], &hub.get("/healthz").await["reasons"][0]] {
        let text = text.as_str().unwrap();
        assert!(
            text.contains("notifier-chat") && text.contains("grants") && text.contains("http ="),
            "{text}"
        );
    }
    let chat = json!({"types": ["n"], "protocol": "notifier-chat",
        "protocolsettings": {"url": receiver.url("/chat"), "template": "{type} {/n}"}});
    let (status, body) = hub
        .send(Method::PUT, "/v1/subscriptions/chat", &[], chat.to_string())
        .await;
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &problem["code"]),
        (400, &json!("plugin_not_loaded")),
        "{problem}"
    );

    let origin = receiver.url("");
    std::fs::write(
        folder.path().join("busway.toml"),
        format!("{line}\ngrants = {{ http = [\"{origin}\"] }}\n"),
    )
    .unwrap();
    // The file was not there at the start, so nobody looks at it: a hub that is told reads it.
    hub.signal("HUP");
    let page = plugin(&hub, "notifier-chat", "it is granted", |page| page["state"] == "active").await;
    assert!(page["grants"].to_string().contains(&origin), "{page}");
    assert_eq!(hub.get("/healthz").await["status"], "ok");
    hub.put("/v1/subscriptions/chat", &chat).await;
    hub.publish_many("n", 7..8, 0).await;
    let seen = receiver.wait_for(1).await;
    assert_eq!(
        (seen[0].path.as_str(), seen[0].json()),
        ("/chat", json!({"text": "n 7"}))
    );

    // Another origin than the granted one is refused at the call, in words, and for good.
    let elsewhere = Receiver::start().await;
    let mut other = chat.clone();
    other["protocolsettings"]["url"] = elsewhere.url("/").into();
    hub.put("/v1/subscriptions/chat", &other).await;
    hub.publish_many("n", 8..9, 0).await;
    let path = "/v1/dead-letters?subscription=chat";
    let dead = hub
        .until("it is dead", path, |dead| dead["dead_letters"][0].is_object())
        .await;
    let reason = dead["dead_letters"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("grant"), "{reason}");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_under_load_loses_nothing_and_fails_nothing() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with(folder.path(), &["misbehave"]).await;
    hub.put(
        "/v1/subscriptions/s",
        &filtered("n", receiver.url("/"), "misbehave", json!({"do": "pass"})),
    )
    .await;
    let mut published = 0;
    for digit in 1..=5_u8 {
        place(folder.path(), "misbehave", &generation(digit));
        let now = u64::from(digit) + 1;
        // Events flow until the new generation is live, and some more.
        loop {
            hub.publish_many("n", published..published + 20, 100).await;
            published += 20;
            if hub.get("/v1/plugins/misbehave").await["generation"] == now {
                break;
            }
        }
        hub.publish_many("n", published..published + 20, 100).await;
        published += 20;
    }
    let due: Vec<u64> = (0..published).collect();
    receiver.wait_for(due.len()).await;
    settled(&hub, "s").await;
    assert_eq!(numbers(&receiver.seen(), "/"), due, "everything, once");
    let page = hub.get("/v1/plugins/misbehave").await;
    assert_eq!((&page["errors"], &page["generation"]), (&json!(0), &json!(6)), "{page}");
    // The last generation is the one that speaks.
    let mark = filtered("m", receiver.url("/"), "misbehave", json!({"do": "replace"}));
    hub.put("/v1/subscriptions/m", &mark).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_keeps_the_last_good_one() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with(folder.path(), &["filter-threshold"]).await;
    let low = filtered(
        "n",
        receiver.url("/"),
        "filter-threshold",
        json!({"pointer": "/n", "min": 1}),
    );
    hub.put("/v1/subscriptions/s", &low).await;
    let good = hub.get("/v1/plugins/filter-threshold").await;
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    let core_module = wat::parse_file(guests.join("core-module.wat")).unwrap();
    let wrong_version = wat::parse_file(guests.join("wrong-version.wat")).unwrap();
    let cut = component("filter-threshold");
    for (nth, (bytes, says)) in [
        (&b"not wasm at all"[..], "it is not WebAssembly"),
        (&core_module, "not a component"),
        (&wrong_version, "0.9.0"),
        (&cut[..cut.len() / 2], "damaged"),
    ]
    .into_iter()
    .enumerate()
    {
        place(folder.path(), "filter-threshold", bytes);
        let nth = nth as u64;
        let page = plugin(&hub, "filter-threshold", says, |page| {
            page["state"] == "rejected" && page["reason"].as_str().is_some_and(|reason| reason.contains(says))
        })
        .await;
        assert_eq!(page["digest"], good["digest"], "the last good one serves");
        let health = hub.get("/healthz").await;
        assert_eq!(health["status"], "degraded");
        assert!(
            health["reasons"][0].as_str().unwrap().contains("filter-threshold"),
            "{health}"
        );
        hub.publish_many("n", nth * 2..nth * 2 + 2, 0).await;
    }
    receiver.wait_for(7).await;
    settled(&hub, "s").await;
    assert_eq!(numbers(&receiver.seen(), "/"), (1..8).collect::<Vec<_>>());
    place(folder.path(), "filter-threshold", &component("filter-threshold"));
    plugin(&hub, "filter-threshold", "the good file is back", |page| {
        page["state"] == "active"
    })
    .await;
    assert_eq!(hub.get("/healthz").await["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_plugin_holds_its_subscriptions_until_it_is_back() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = hub_with(folder.path(), &["filter-threshold"]).await;
    hub.put(
        "/v1/subscriptions/s",
        &filtered(
            "n",
            receiver.url("/s"),
            "filter-threshold",
            json!({"pointer": "/n", "min": 0}),
        ),
    )
    .await;
    hub.put(
        "/v1/subscriptions/free",
        &json!({"types": ["n"], "sink": receiver.url("/free"), "protocolsettings": {"format": "raw"}}),
    )
    .await;
    hub.publish_many("n", 0..3, 0).await;
    receiver.wait_for(6).await;
    take_away(folder.path(), "filter-threshold");
    hub.until("the plugin is gone", "/v1/plugins", |page| {
        !page.to_string().contains("filter-threshold")
    })
    .await;
    hub.publish_many("n", 3..6, 0).await;
    let held = |one: &Value| one["status"]["state"] == "held";
    let one = hub.until("it is held", "/v1/subscriptions/s", held).await;
    assert!(
        one["status"]["reason"].as_str().unwrap().contains("filter-threshold"),
        "{one}"
    );
    receiver.wait_for(9).await;
    // Held over a kill, too.
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    hub.publish_many("n", 6..9, 0).await;
    hub.until("it is held again", "/v1/subscriptions/s", held).await;
    assert_eq!(numbers(&receiver.seen(), "/s"), [0, 1, 2]);
    place(folder.path(), "filter-threshold", &component("filter-threshold"));
    settled(&hub, "s").await;
    settled(&hub, "free").await;
    let distinct = |path: &str| numbers(&receiver.seen(), path).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(distinct("/s"), (0..9).collect(), "nothing was lost");
    assert_eq!(distinct("/free"), (0..9).collect());
    assert_eq!(hub.get("/v1/dead-letters").await["dead_letters"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_misbehaves_hurts_its_own_deliveries_only() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    // Little memory, so that a hoarder is at its end long before its time is up.
    let limits = "[plugins.misbehave]\nlimits = { memory = \"8MiB\" }\n";
    std::fs::write(folder.path().join("busway.toml"), limits).unwrap();
    let hub = hub_with(folder.path(), &["misbehave", "misbehave-notifier"]).await;
    let deeds = [
        ("loop", "took longer than its limit of 250ms"),
        ("trap", "the plugin crashed"),
        ("panic", "the plugin crashed"),
        ("recurse", "the plugin crashed"),
        ("hoard", "memory"),
        ("error", "it went wrong"),
        ("huge-replace", ""),
    ];
    for (deed, _) in deeds {
        let bad = filtered("n", receiver.url("/bad"), "misbehave", json!({"do": deed}));
        hub.put(&format!("/v1/subscriptions/{deed}"), &bad).await;
    }
    let notifier = json!({"types": ["n"], "protocol": "misbehave-notifier", "protocolsettings": {"do": "fail-final"}});
    hub.put("/v1/subscriptions/never", &notifier).await;
    let mut well = filtered("n", receiver.url("/well"), "misbehave", json!({"do": "pass"}));
    well["config"]["max_attempts"] = 100.into();
    hub.put("/v1/subscriptions/well", &well).await;
    hub.put(
        "/v1/subscriptions/plain",
        &json!({"types": ["n"], "sink": receiver.url("/plain"), "protocolsettings": {"format": "raw"}}),
    )
    .await;
    hub.publish_many("n", 0..3, 0).await;
    let seen = receiver
        .wait_until("the others get theirs", |seen| {
            at(seen, "/plain").len() == 3 && at(seen, "/well").len() == 3
        })
        .await;
    assert_eq!(at(&seen, "/bad"), Vec::<String>::new());
    for (deed, says) in deeds.into_iter().chain([("never", "never again")]) {
        let path = format!("/v1/dead-letters?subscription={deed}");
        let three = |page: &Value| {
            page["dead_letters"]
                .as_array()
                .is_some_and(|letters| letters.len() == 3)
        };
        let page = hub.until("all three are dead", &path, three).await;
        let letter = &page["dead_letters"][0];
        assert!(letter["reason"].as_str().unwrap().contains(says), "{deed}: {letter}");
        let tries = if deed == "never" { 1 } else { 2 };
        assert_eq!(letter["tries"], tries, "{letter}");
    }
    hub.publish_many("n", 3..4, 0).await;
    receiver
        .wait_until("it goes on", |seen| {
            at(seen, "/plain").len() == 4 && at(seen, "/well").len() == 4
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_is_refused_in_the_plugins_own_words() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = hub_with(folder.path(), &["filter-threshold", "misbehave", "misbehave-notifier"]).await;
    let notifier = json!({"protocol": "misbehave-notifier", "protocolsettings": {"do": "init-error"}});
    for (body, code, says) in [
        (
            filtered("n", receiver.url("/"), "filter-threshold", json!({})),
            "plugin_config_invalid",
            "pointer: is required",
        ),
        (
            filtered(
                "n",
                receiver.url("/"),
                "filter-threshold",
                json!({"pointer": "/n", "min": 2, "max": 1}),
            ),
            "plugin_refused_config",
            "min 2 is above max 1",
        ),
        (
            filtered("n", receiver.url("/"), "misbehave", json!({"do": "init-error"})),
            "plugin_refused_config",
            "this config will not do",
        ),
        (
            filtered("n", receiver.url("/"), "misbehave", json!({"do": "init-trap"})),
            "plugin_failed",
            "misbehave",
        ),
        (
            filtered("n", receiver.url("/"), "misbehave", json!({"do": "init-loop"})),
            "plugin_failed",
            "misbehave",
        ),
        (
            filtered("n", receiver.url("/"), "misbehave-notifier", json!({})),
            "plugin_not_loaded",
            "no filter plugin",
        ),
        (notifier, "plugin_refused_config", "this config will not do"),
    ] {
        let (status, answer) = hub.send(Method::POST, "/v1/subscriptions", &[], body.to_string()).await;
        let problem: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, problem["code"].as_str()), (400, Some(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    }
    assert_eq!(hub.get("/v1/subscriptions").await, json!([]));
}
