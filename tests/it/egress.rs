//! The egress guard from outside: sinks in disguise, names that lead inside, other ways to a sink, proxies, plugins.
//!
//! Where names lead elsewhere in the middle (rebinding), and every range and rule, is tested beside the guard itself.

use http::Method;
use serde_json::{Value, json};

use crate::support::{HubProcess, Receiver, component, place, status};

const GUARDED: [&str; 3] = ["--egress-deny-private", "--egress-deny", "*:25,*.blocked.example"];

/// Every way to write down a place that is refused, and what the refusal says.
const DISGUISES: &[(&str, &str)] = &[
    ("http://127.0.0.1/", "loopback"),
    ("http://2130706433/", "loopback"),
    ("http://0177.0.0.1/", "loopback"),
    ("http://0x7f.1/", "loopback"),
    ("http://127.1/", "loopback"),
    ("http://127.0.0.1./", "loopback"),
    ("http://①②⑦.⓪.⓪.①/", "loopback"),
    ("http://１２７.0.0.1/", "loopback"),
    ("http://127。0。0。1/", "loopback"),
    ("http://%31%32%37.0.0.1/", "loopback"),
    ("http://1\t27.0\n.0.1/", "loopback"),
    (" http://127.0.0.1/", "loopback"),
    ("http:127.0.0.1/", "loopback"),
    ("http:///127.0.0.1/", "loopback"),
    ("HTTP:\\\\127.0.0.1\\x", "loopback"),
    ("http://[::1]/", "loopback"),
    ("http://[::ffff:127.0.0.1]/", "loopback"),
    ("http://[::ffff:7f00:1]/", "loopback"),
    ("http://[::127.0.0.1]/", "loopback"),
    ("http://[64:ff9b::7f00:1]/", "loopback"),
    ("http://[2002:7f00:1::]/", "loopback"),
    ("http://10.1.2.3/", "private"),
    ("http://[fec0::1]/", "private"),
    ("http://[64:ff9b:1::808:808]/", "no public host"),
    ("http://[2001:0:808:808::]/", "never dialled"),
    ("http://0/", "never dialled"),
    ("http://[::]/", "never dialled"),
    ("http://169.254.169.254/latest/meta-data/", "never dialled"),
    ("http://2852039166/", "never dialled"),
    ("http://169.254.169.254:80\\@public.example/", "never dialled"),
    ("http://169.254.169.254?@public.example/", "never dialled"),
    ("http://[fd00:ec2::254]/", "never dialled"),
    ("http://100.100.100.200/", "never dialled"),
    ("http://168.63.129.16/", "never dialled"),
    ("http://192.0.0.192/", "never dialled"),
    (
        "http://METADATA.google.internal./computeMetadata/v1/",
        "never looked up",
    ),
    ("http://a.blocked.example/", "*.blocked.example"),
    ("https://A.b.BLOCKED.Example./", "*.blocked.example"),
    ("http://public.example:25/", "*:25"),
    ("http://public.example@169.254.169.254/", "must not carry a user name"),
    ("http://169.254.169.254#@public.example/", "must not have a fragment"),
    ("http://[fe80::1%25eth0]/", "must be an absolute http or https URL"),
    ("gopher://127.0.0.1/", "must be an absolute http or https URL"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_disguise_passes_at_any_door() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start_with(folder.path(), &GUARDED).await;
    for (sink, says) in DISGUISES {
        let asked = json!({"types": ["n"], "sink": sink}).to_string();
        let (code, answer) = hub.send(Method::POST, "/v1/subscriptions", &[], asked).await;
        let told = String::from_utf8_lossy(&answer);
        assert!(code == 400 && told.contains(says), "{sink}: {code} {told}");
    }
    let oauth2 = json!({"token_url": "http://127.1/token", "client_id": "a", "client_secret": "b"});
    let asked = json!({"sink": "http://public.example/", "protocolsettings": {"auth": {"oauth2": oauth2}}}).to_string();
    let (code, answer) = hub.send(Method::POST, "/v1/subscriptions", &[], asked).await;
    let told = String::from_utf8_lossy(&answer);
    assert!(
        code == 400 && told.contains("oauth2.token_url: the address 127.0.0.1"),
        "{told}"
    );
    // The older doors lead to the same guard.
    let sink = "http://0x7f.1/";
    let target = json!({"RuleName": "r", "Targets": [{"Id": "1", "Type": "http", "Endpoint": sink}]});
    let doors = [
        (format!("/v2/eventSubscriptions?callbackUrl={sink}"), json!(null)),
        ("/openapi/createRule".to_owned(), target),
    ];
    for (path, body) in doors {
        let json = [("content-type", "application/json")];
        let (code, answer) = hub.send(Method::POST, &path, &json, body.to_string()).await;
        let told = String::from_utf8_lossy(&answer);
        assert!(
            (400..500).contains(&code) && told.contains("loopback"),
            "{path}: {code} {told}"
        );
    }
    // Pulp takes every listener, whether or not it can work; this one does not.
    let listener = json!({"notifier_type_id": "http", "notifier_config": {"url": sink}, "event_types": ["*"]});
    hub.post("/pulp/api/v2/events/", &listener).await;
    assert_eq!(hub.get("/v1/subscriptions").await, json!([]));
    // What is only like it passes.
    for sink in [
        "http://blocked.example/",
        "https://127.0.0.1.example/",
        "http://93.184.216.34/",
    ] {
        let asked = json!({"types": ["none"], "sink": sink});
        hub.post("/v1/subscriptions", &asked).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_judged_where_they_lead() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start_with(folder.path(), &GUARDED).await;
    let sinks = ["localhost", "a.LOCALHOST."].map(|name| receiver.url("/").replace("127.0.0.1", name));
    for (number, sink) in sinks.iter().enumerate() {
        let asked = json!({"types": ["n"], "sink": sink, "config": {"schedule": ["50ms"], "max_attempts": 2}});
        hub.put(&format!("/v1/subscriptions/s{number}"), &asked).await;
    }
    let asked = json!({"types": ["n"], "sink": sinks[0], "protocolsettings": {"validate": true}});
    hub.put("/v1/subscriptions/asked", &asked).await;
    hub.publish_many("n", 0..1, 0).await;
    for number in 0..2 {
        let path = format!("/v1/dead-letters?subscription=s{number}");
        let dead = |page: &Value| page["dead_letters"].as_array().is_some_and(|all| all.len() == 1);
        let page = hub.until("it is dead", &path, dead).await;
        let letter = &page["dead_letters"][0];
        assert_eq!(letter["tries"], 2, "it may lead elsewhere the next time: {letter}");
        let reason = letter["reason"].as_str().unwrap();
        assert!(
            reason.contains("localhost) may not be dialled: loopback addresses are refused"),
            "{reason}"
        );
    }
    let refused = |one: &Value| {
        let answer = one["status"]["consent"]["answer"].as_str();
        answer.is_some_and(|why| why.contains("may not be dialled"))
    };
    hub.until("the handshake is refused too", "/v1/subscriptions/asked", refused)
        .await;
    assert!(receiver.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_and_proxies_of_the_environment_lead_nowhere() {
    let (folder, receiver, other) = (
        tempfile::tempdir().unwrap(),
        Receiver::start().await,
        Receiver::start().await,
    );
    let elsewhere = other.url("/stolen");
    let location = elsewhere.clone();
    receiver.answer(move |request| {
        let mut answer = status(request.path.trim_start_matches('/').parse().unwrap());
        answer.headers_mut().insert("location", location.parse().unwrap());
        answer
    });
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"];
    let env: Vec<_> = names.iter().map(|name| (*name, elsewhere.as_str())).collect();
    // The way to the receiver is open, and to nothing else: by its name, with its port.
    let port = receiver.url("").rsplit_once(':').unwrap().1.to_owned();
    let allow = format!("localhost:{port}");
    let arguments = ["--egress-deny-private", "--egress-allow-only", "--egress-allow", &allow];
    let hub = HubProcess::start_under(folder.path(), &env, &arguments).await;
    let codes = [204, 301, 302, 303, 307, 308];
    for code in codes {
        let sink = format!("http://localhost:{port}/{code}");
        let asked = json!({"types": ["n"], "sink": sink, "config": {"max_attempts": 1}});
        hub.put(&format!("/v1/subscriptions/s{code}"), &asked).await;
    }
    hub.publish_many("n", 0..1, 0).await;
    receiver.wait_for(codes.len()).await;
    for code in codes {
        let path = format!("/v1/subscriptions/s{code}/deliveries");
        let tried = |shown: &Value| shown["deliveries"][0]["status"] == code;
        hub.until("the answer is what the sink said", &path, tried).await;
    }
    assert!(other.seen().is_empty(), "{:?}", other.seen());
    let asked = json!({"types": ["n"], "sink": "http://example.com/"}).to_string();
    let (code, answer) = hub.send(Method::POST, "/v1/subscriptions", &[], asked).await;
    let told = String::from_utf8_lossy(&answer);
    assert!(code == 400 && told.contains("egress.allow_only"), "{code} {told}");
}

/// Deeds of `reach`, and what it is told; `PORT` is that of a receiver on the loopback address.
const REACHES: &[(&str, &str, &str)] = &[
    ("get", "http://127.0.0.1:PORT/", "DestinationIpProhibited"),
    ("get", "http://2130706433:PORT/", "DestinationIpProhibited"),
    ("get", "http://0x7f.1:PORT/", "DestinationIpProhibited"),
    ("get", "http://127.1:PORT/", "DestinationIpProhibited"),
    ("get", "http://[::ffff:127.0.0.1]:PORT/", "DestinationIpProhibited"),
    ("get", "http://localhost:PORT/", "DestinationIpProhibited"),
    ("get", "http://LOCALHOST:PORT/", "DestinationIpProhibited"),
    ("get", "http://a.localhost:PORT/", "DestinationIpProhibited"),
    ("get", "http://169.254.169.254:PORT/", "DestinationIpProhibited"),
    (
        "get",
        "http://metadata.google.internal:PORT/",
        "DestinationIpProhibited",
    ),
    ("get", "http://a.blocked.example:PORT/", "DestinationIpProhibited"),
    ("echo", "127.0.0.1:PORT", "ermission denied"),
    ("echo", "localhost:PORT", "error"),
    ("echo", "2130706433:PORT", "error"),
    ("echo", "a.blocked.example:PORT", "error"),
];

/// Makes a hub under these rules with a plugin that is granted every place of the table; what each deed was told.
async fn reached(folder: &std::path::Path, port: &str, rules: &[&str]) -> Vec<String> {
    let fill = |place: &str| place.replace("PORT", port);
    let of = |deed: &str| {
        let places = REACHES.iter().filter(|row| row.0 == deed);
        let origin = |row: &(&str, &str, &str)| fill(row.1).trim_end_matches('/').to_ascii_lowercase();
        json!(places.map(origin).collect::<Vec<_>>()).to_string()
    };
    let config = format!(
        "[plugins.reach]\ngrants = {{ http = {}, tcp = {} }}\n",
        of("get"),
        of("echo")
    );
    std::fs::write(folder.join("busway.toml"), config).unwrap();
    place(folder, "reach", &component("reach"));
    let hub = HubProcess::start_with(folder, rules).await;
    let active = |page: &Value| page["state"] == "active";
    hub.until("the plugin is loaded", "/v1/plugins/reach", active).await;
    for (number, (deed, goal, _)) in REACHES.iter().enumerate() {
        let goal = fill(goal);
        let asked = json!({"types": ["n"], "protocol": "reach", "config": {"max_attempts": 1},
            "protocolsettings": {"do": deed, "url": goal, "tcp": goal}});
        hub.put(&format!("/v1/subscriptions/s{number}"), &asked).await;
    }
    hub.publish_many("n", 0..1, 0).await;
    let mut told = Vec::new();
    for number in 0..REACHES.len() {
        let path = format!("/v1/dead-letters?subscription=s{number}");
        let dead = |page: &Value| page["dead_letters"].as_array().is_some_and(|all| all.len() == 1);
        let page = hub.until("it told what it found", &path, dead).await;
        told.push(page["dead_letters"][0]["reason"].as_str().unwrap().to_owned());
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_go_through_the_same_guard() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let port = receiver.url("").rsplit_once(':').unwrap().1.to_owned();
    let told = reached(folder.path(), &port, &GUARDED).await;
    for ((deed, goal, says), told) in REACHES.iter().zip(told) {
        assert!(told.contains(says), "{deed} {goal}: {told}, not {says}");
    }
    assert!(receiver.seen().is_empty(), "{:?}", receiver.seen());
    // The grants are good: what the guard lets through arrives.
    let (folder, allow) = (tempfile::tempdir().unwrap(), format!("127.0.0.1:{port}"));
    let mut rules = GUARDED.to_vec();
    rules.extend(["--egress-allow", &allow]);
    let told = reached(folder.path(), &port, &rules).await;
    assert!(told[0].contains("204 with 0 bytes"), "{told:?}");
    assert!(told[1].contains("204 with 0 bytes"), "{told:?}");
    assert!(told[8].contains("DestinationIpProhibited"), "{told:?}");
}
