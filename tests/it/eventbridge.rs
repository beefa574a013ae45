//! Alibaba EventBridge: requests and answers word for word, clients that nobody here wrote, and events on their way
//! through rules to their targets.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};

use crate::support::{Clients, HubProcess, Receiver};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/eventbridge");

/// The files of a folder of the fixtures that end so, by name.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let read = std::fs::read_dir(Path::new(FIXTURES).join(folder)).expect("fixtures");
    let mut files: Vec<PathBuf> = read.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(end));
    files.sort();
    assert!(!files.is_empty(), "no {end} in {folder}");
    files
}

fn script(name: &str) -> String {
    std::fs::read_to_string(Path::new(FIXTURES).join("clients").join(name)).expect("a script")
}

/// Whether an answer is the expected one, where `"*"` stands for anything.
fn is_like(given: &Value, expected: &Value) -> bool {
    match (given, expected) {
        (_, Value::String(text)) if text == "*" => true,
        (Value::Object(given), Value::Object(expected)) => {
            given.len() == expected.len()
                && expected
                    .iter()
                    .all(|(name, value)| given.get(name).is_some_and(|given| is_like(given, value)))
        }
        (Value::Array(given), Value::Array(expected)) => {
            given.len() == expected.len() && given.iter().zip(expected).all(|(one, other)| is_like(one, other))
        }
        (given, expected) => given == expected,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    for path in files("pairs", ".request") {
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, body) = text.split_once("\n\n").expect("a blank line");
        let mut lines = head.lines();
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let (status, answer) = hub
            .send(method.parse().unwrap(), target, &headers, body.to_owned())
            .await;
        let expected = std::fs::read_to_string(path.with_extension("answer")).unwrap();
        let (code, expected) = expected.split_once('\n').unwrap();
        let given: Value = serde_json::from_slice(&answer).unwrap_or_else(|_| panic!("{path:?}: {answer:?}"));
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert!(
            status.to_string() == code && is_like(&given, &expected),
            "{path:?}\n{status} {given:#}\n{code} {expected:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_seed_documents_goes_through_and_comes_out_as_documented() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let rule = json!({"RuleName": "all", "FilterPattern": "{\"source\":[\"acs.mse\"],\"type\":[{\"prefix\":\"mse:\"}]}",
        "Targets": [{"Id": "1", "Type": "http", "Endpoint": receiver.url("/"), "ParamList": [{"ResourceKey": "Body", "Form": "ORIGINAL"}]}]});
    hub.post("/openapi/createRule", &rule).await;
    let events: Vec<Value> = files("mse", ".json")
        .into_iter()
        .filter(|path| !path.to_string_lossy().ends_with(".schema.json"))
        .map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    assert_eq!(events.len(), 9);
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let (status, answer) = hub
        .send(
            Method::POST,
            "/openapi/putEvents",
            &headers,
            Value::from(events.clone()).to_string(),
        )
        .await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((status, &answer["FailedEntryCount"]), (200, &json!(0)), "{answer}");
    let schemas: Vec<jsonschema::Validator> = files("mse", ".schema.json")
        .into_iter()
        .map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        .map(|schema: Value| jsonschema::validator_for(&schema).unwrap())
        .collect();
    for request in receiver.wait_for(events.len()).await {
        let arrived = request.json();
        let fitting = schemas.iter().filter(|schema| schema.is_valid(&arrived)).count();
        assert_eq!(fitting, 1, "one schema says what it is: {arrived}");
        let sent = events.iter().find(|event| event["id"] == arrived["id"]).unwrap();
        for name in ["specversion", "source", "type", "time", "data", "datacontenttype"] {
            assert_eq!(arrived[name], sent[name], "{name}");
        }
        assert_eq!(arrived["aliyunaccountid"], "1234567890123456");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_readme_run() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let readme = include_str!("../../README.md");
    let section = readme.split("### Alibaba EventBridge").nth(1).expect("its section");
    let shell = section
        .split("```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let shell = shell
        .expect("its commands")
        .replace("http://127.0.0.1:8080", &hub.url(""));
    let shell = shell.replace("http://127.0.0.1:9000/hook", &receiver.url("/hook"));
    let ended = std::process::Command::new("sh")
        .args(["-ec", &shell.replace("curl ", "curl -sS --fail-with-body ")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(
        said.contains("\"FailedEntryCount\":0") && said.contains("\"Action\":\"PutEvent\""),
        "{said}"
    );
    let seen = receiver.wait_for(1).await;
    assert_eq!(bodies(&seen), ["SUCCESS, no spring cloud registry found"]);
}

/// Runs the clients' scripts against a hub with this key; what they print.
async fn clients(hub: &HubProcess, secret: &str, sink: &str) -> [String; 4] {
    let arguments = [hub.address(), "AK", secret, sink];
    [
        Clients::Python.run(&script("data_plane.py"), &arguments).await,
        Clients::PythonRpc.run(&script("rpc.py"), &arguments).await,
        Clients::Python.run(&script("rpc_version1.py"), &arguments).await,
        Clients::Node.run(&script("data_plane.js"), &arguments).await,
    ]
}

/// What they print, wherever they do not print more than that.
const DATA_PLANE: &str = "createEventBus acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/orders
getEventBus orders d
listEventBuses ['default', 'orders']
createRule acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/orders/rule/r1
getRule ENABLE {\"source\":[\"shop\"]} [True]
listRules ['r1']
testEventPattern True
putEvents 0 ['e1']
queryEventByEventId ['e1']
disableRule DISABLE
missing EventBusNotExist
";
const RPC: &str = "CreateEventBus acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/rpc
GetEventBus a b
CreateRule acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/rpc/rule/r
PutTargets 0
ListTargets ['1', '2']
ListRules ['r']
TestEventPattern True
PutEvents 0 ['e9']
missing False EventBusNotExist
CreateEventSource acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/rpc/eventsource/hook
";
const RPC_VERSION1: &str = "CreateEventBus Success
again EventBusAlreadyExist
CreateRule {'RuleARN': 'acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/older/rule/r'}
TestEventPattern {'Result': False}
ListEventBuses ['default', 'older', 'orders', 'rpc']
by GET 1
";

const TYPED: &str = r#"createEventBus acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/typed
getEventBus d
listEventBuses [ 'typed' ]
createRule acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/typed/rule/r
getRule ENABLE changed {"type":[{"prefix":"order:"}]} 1
createTargets [ 'EventTargetAlreadyExist' ]
listTargets [ '1', '2' ]
deleteTargets 1
testEventPattern false
putEvents 0 [ 't1', 't2' ]
queryEventByEventId [ 'order:Made' ]
queryEventsByPeriod 1
queryEventTraces PutEvent
listRules [ 'DISABLE' ]
missing EventBusNotExist
"#;

async fn serve_clients(config: &str, secret: &str) {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    std::fs::write(folder.path().join("busway.toml"), config).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let [data_plane, rpc, version1, typed] = clients(&hub, secret, &receiver.url("/")).await;
    assert_eq!(data_plane, DATA_PLANE);
    let webhook = rpc.strip_prefix(RPC).unwrap_or_else(|| panic!("{rpc}"));
    assert!(
        webhook.starts_with(&format!("webhook {}?token=", hub.url("/webhook/putEvents"))),
        "{webhook}"
    );
    assert_eq!(version1, RPC_VERSION1);
    assert_eq!(typed, TYPED);
    let seen = receiver.wait_for(5).await;
    let bodies: BTreeSet<String> = seen
        .iter()
        .map(|one| String::from_utf8_lossy(&one.body).into_owned())
        .collect();
    assert!(
        bodies.contains("{\"number\":7}") && bodies.contains("hello"),
        "{bodies:?}"
    );
    for request in &seen {
        for header in [
            "x-eventbridge-signature",
            "x-eventbridge-signature-v2",
            "x-eventbridge-signature-url",
        ] {
            assert!(request.headers.contains_key(header), "{header}: {:?}", request.headers);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clients_are_served_without_accounts() {
    serve_clients("", "whatever").await;
}

const ACCOUNTS: &str =
    "[auth.AK]\nsecret = \"SK\"\nscopes = [\"admin\"]\n[auth.reader]\nsecret = \"RK\"\nscopes = [\"subscribe\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn real_clients_are_served_with_accounts() {
    serve_clients(ACCOUNTS, "SK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_in_their_own_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("busway.toml"), ACCOUNTS).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let told = |name: &str, clients: Clients, key: &'static str, secret: &'static str| {
        let script = format!(
            "import traceback\ntry:\n  exec({:?})\nexcept Exception as e: print('refused', e)",
            script(name)
        );
        let address = hub.address().to_owned();
        async move {
            clients
                .run(&script, &[&address, key, secret, "http://127.0.0.1:9/"])
                .await
        }
    };
    for (name, clients, key, secret, code) in [
        ("data_plane.py", Clients::Python, "AK", "wrong", "SignatureDoesNotMatch"),
        ("data_plane.py", Clients::Python, "nobody", "SK", "InvalidAccessKeyId"),
        ("data_plane.py", Clients::Python, "reader", "RK", "AccessDenied"),
        ("rpc.py", Clients::PythonRpc, "AK", "wrong", "SignatureDoesNotMatch"),
        ("rpc.py", Clients::PythonRpc, "reader", "RK", "AccessDenied"),
        (
            "rpc_version1.py",
            Clients::Python,
            "AK",
            "wrong",
            "SignatureDoesNotMatch",
        ),
        ("rpc_version1.py", Clients::Python, "nobody", "SK", "InvalidAccessKeyId"),
    ] {
        let said = told(name, clients, key, secret).await;
        assert!(
            said.starts_with("refused") && said.contains(code),
            "{name} {key}: {said}"
        );
    }
    let (status, _) = hub.send(Method::POST, "/openapi/listEventBuses", &[], "{}").await;
    assert_eq!(status, 403, "without credentials");
    // Who may only read makes no rule that writes.
    let bearer = [("authorization", "Bearer RK")];
    let forward = json!({"EventBusName": "busway", "RuleName": "r", "Targets": [{"Id": "1", "Type": "acs.eventbridge", "Endpoint": "acs:eventbridge:cn:1:eventbus/default"}]});
    let (status, answer) = hub
        .send(Method::POST, "/openapi/createRule", &bearer, forward.to_string())
        .await;
    assert!(
        status == 403 && answer.starts_with(b"{\"code\":\"AccessDenied\""),
        "{status} {answer:?}"
    );
}

/// Puts one event of this id on the default bus.
async fn put(hub: &HubProcess, id: &str) {
    let event = json!({"specversion": "1.0", "id": id, "source": "shop", "type": "t", "data": {"id": id}});
    let headers = [("content-type", "application/cloudevents+json")];
    let (status, answer) = hub
        .send(Method::POST, "/openapi/putEvents", &headers, event.to_string())
        .await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((status, &answer["FailedEntryCount"]), (200, &json!(0)), "{answer}");
}

fn bodies(seen: &[crate::support::Request]) -> Vec<String> {
    seen.iter()
        .map(|one| String::from_utf8_lossy(&one.body).into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_rests_and_outlives_the_hub() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    let names = json!({"RuleName": "r"});
    let rule = json!({"RuleName": "r", "FilterPattern": "{}", "Status": "DISABLE", "Targets": [{"Id": "1", "Type": "http",
        "Endpoint": receiver.url("/"), "ParamList": [{"ResourceKey": "Body", "Form": "JSONPATH", "Value": "$.data.id"}]}]});
    hub.post("/openapi/createRule", &rule).await;
    put(&hub, "before").await;
    hub.post("/openapi/enableRule", &names).await;
    put(&hub, "one").await;
    receiver.wait_for(1).await;
    hub.post("/openapi/disableRule", &names).await;
    put(&hub, "two").await;
    let shown = hub.get("/v1/subscriptions/eventbridge-default~r~1").await;
    assert_eq!(
        (&shown["state"], &shown["bus"]),
        (&json!("paused"), &json!("default")),
        "{shown}"
    );
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    put(&hub, "three").await;
    assert_eq!(hub.post("/openapi/getRule", &names).await["Status"], "DISABLE");
    hub.post("/openapi/enableRule", &names).await;
    // What was delivered just before the kill may come again.
    let all: BTreeSet<String> = ["one", "three", "two"].map(str::to_owned).into();
    let waited = |seen: &[crate::support::Request]| bodies(seen).into_iter().collect::<BTreeSet<_>>() == all;
    receiver.wait_until("what came while it rested has come", waited).await;
    hub.post("/openapi/deleteRule", &names).await;
    let (status, _) = hub
        .send(Method::GET, "/v1/subscriptions/eventbridge-default~r~1", &[], "")
        .await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_says_how_it_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    hub.post("/openapi/createEventBus", &json!({"EventBusName": "dead"}))
        .await;
    let rule = json!({"RuleName": "r", "FilterPattern": "{}", "Targets": [{"Id": "1", "Type": "http", "Endpoint": "http://127.0.0.1:9/",
        "ErrorsTolerance": "NONE", "ConcurrentConfig": {"Concurrency": 3},
        "DeadLetterQueue": {"Arn": "acs:eventbridge:cn-hangzhou:1:eventbus/dead"},
        "RunOptions": {"RetryStrategy": {"PushRetryStrategy": "EXPONENTIAL_DECAY_RETRY", "MaximumEventAgeInSeconds": 3600}}}]});
    hub.post("/openapi/createRule", &rule).await;
    let config = hub.get("/v1/subscriptions/eventbridge-default~r~1").await["config"].clone();
    let told = [
        ("ordering", json!("all")),
        ("max_attempts", json!("unlimited")),
        ("max_age", json!("1h")),
        ("jitter", json!(false)),
        ("breaker", json!("off")),
        ("dead_letter", json!({"bus": "dead"})),
        ("timeout", json!("5s")),
    ];
    for (name, value) in told {
        assert_eq!(config[name], value, "{name}: {config}");
    }
    let queue = json!({"RuleName": "r", "Targets": [{"Id": "2", "Type": "http", "Endpoint": "http://127.0.0.1:9/", "DeadLetterQueue": {"Arn": "acs:mns:cn-hangzhou:1:/queues/q"}}]});
    let answer = hub.post("/openapi/createTargets", &queue).await;
    assert!(
        answer["ErrorEntries"][0]["ErrorMessage"]
            .as_str()
            .unwrap()
            .contains("this hub has no queues"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_mends_what_was_left_between() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut hub = HubProcess::start(folder.path()).await;
    let rule = json!({"RuleName": "r", "FilterPattern": "{}", "Targets": [{"Id": "1", "Type": "http", "Endpoint": receiver.url("/")}]});
    hub.post("/openapi/createRule", &rule).await;
    let id = "/v1/subscriptions/eventbridge-default~r~1";
    let (status, _) = hub.send(Method::DELETE, id, &[], "").await;
    assert!((200..300).contains(&status));
    let orphan = json!({"sink": receiver.url("/orphan")});
    hub.put("/v1/subscriptions/eventbridge-default~gone~1", &orphan).await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    assert_eq!(hub.get(id).await["state"], "active");
    let (status, _) = hub
        .send(Method::GET, "/v1/subscriptions/eventbridge-default~gone~1", &[], "")
        .await;
    assert_eq!(status, 404, "no rule stands behind it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_may_lead_to_another_bus() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    hub.post("/openapi/createEventBus", &json!({"EventBusName": "Far-Away"}))
        .await;
    let forward = json!({"RuleName": "forward", "FilterPattern": "{}", "Targets": [{"Id": "1", "Type": "acs.eventbridge",
        "Endpoint": "acs:eventbridge:cn-hangzhou:1234567890123456:eventbus/Far-Away"}]});
    hub.post("/openapi/createRule", &forward).await;
    let push = json!({"EventBusName": "Far-Away", "RuleName": "push", "FilterPattern": "{}",
        "Targets": [{"Id": "1", "Type": "http", "Endpoint": receiver.url("/")}]});
    hub.post("/openapi/createRule", &push).await;
    put(&hub, "far").await;
    assert_eq!(receiver.wait_for(1).await[0].json()["data"]["id"], "far");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_becomes_an_event() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let config = format!("{ACCOUNTS}[eventbridge]\nwebhooks = [\"shop=0123456789abcdef\"]\n");
    std::fs::write(folder.path().join("busway.toml"), config).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let bearer = [("authorization", "Bearer SK"), ("content-type", "application/json")];
    let rule = json!({"RuleName": "r", "FilterPattern": "{\"source\":[\"shop\"]}", "Targets": [{"Id": "1", "Type": "http", "Endpoint": receiver.url("/")}]});
    let (status, answer) = hub
        .send(Method::POST, "/openapi/createRule", &bearer, rule.to_string())
        .await;
    assert_eq!(status, 200, "{answer:?}");
    let headers = [("content-type", "application/json"), ("cookie", "c=1")];
    let (status, _) = hub
        .send(
            Method::PUT,
            "/webhook/putEvents?token=0123456789abcdef&a=1",
            &headers,
            r#"{"infoId": 1.0}"#,
        )
        .await;
    assert_eq!(status, 200);
    let arrived = receiver.wait_for(1).await.remove(0);
    let text = String::from_utf8_lossy(&arrived.body).into_owned();
    assert!(
        text.contains(r#""body":{"infoId": 1.0}"#) && !text.contains("c=1"),
        "{text}"
    );
    let event = arrived.json();
    assert_eq!(
        (&event["type"], &event["data"]["httpMethod"]),
        (&json!("eventbridge:Events:HTTPEvent"), &json!("PUT"))
    );
    assert_eq!(
        (&event["data"]["queryString"], &event["aliyunpublishaddr"]),
        (&json!({"a": "1"}), &json!("127.0.0.1"))
    );
}
