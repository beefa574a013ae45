//! Alibaba EventBridge: where rules lead. Who may lead them there, letters, a broker, and what goes wrong on the way.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Broker, HubProcess, MailServer, Receiver, component, keep_compiled, lend_compiled, place, status,
};

const ACCOUNTS: &str = "[auth.ann]\nsecret = \"s3cret-of-ann\"\nscopes = [\"admin\"]\n\
    [auth.bob]\nsecret = \"s3cret-of-bob\"\nscopes = [\"subscribe:default\", \"publish:mirror\"]\n";

/// A call of somebody's: the status, and the code of a refusal.
async fn call(hub: &HubProcess, who: &str, action: &str, body: &Value) -> (u16, String) {
    let bearer = format!("Bearer s3cret-of-{who}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let path = format!("/openapi/{action}");
    told(hub.send(Method::POST, &path, &headers, body.to_string()).await)
}

/// The same by RPC: parameters in the query.
async fn rpc(hub: &HubProcess, who: &str, method: Method, action: &str, parameters: &[(&str, &str)]) -> (u16, String) {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("Action", action).extend_pairs(parameters);
    let bearer = format!("Bearer s3cret-of-{who}");
    let path = format!("/?{}", query.finish());
    told(hub.send(method, &path, &[("authorization", bearer.as_str())], "").await)
}

fn told((status, answer): (u16, impl AsRef<[u8]>)) -> (u16, String) {
    let answer: Value = serde_json::from_slice(answer.as_ref()).unwrap();
    let code = answer.get("code").or(answer.get("Code"));
    (status, code.and_then(Value::as_str).unwrap_or("Success").to_owned())
}

fn arn(bus: &str) -> String {
    format!("acs:eventbridge:cn-hangzhou:1:eventbus/{bus}")
}

fn answer(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_leads_only_where_its_maker_may_publish() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("busway.toml"), ACCOUNTS).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    for bus in ["mirror", "other"] {
        let made = call(&hub, "ann", "createEventBus", &json!({"EventBusName": bus})).await;
        assert_eq!(made, answer(200, "Success"));
    }
    let named = |bus: &str| json!([{"ResourceKey": "EventBusName", "Form": "CONSTANT", "Value": bus}]);
    for (number, (bus, expected)) in [
        ("mirror", answer(200, "Success")),
        ("other", answer(403, "AccessDenied")),
    ]
    .into_iter()
    .enumerate()
    {
        let arn = arn(bus);
        let sink = "http://127.0.0.1:9/";
        for (at, target) in [
            json!({"Id": "1", "Type": "acs.eventbridge", "Endpoint": arn}),
            json!({"Id": "1", "Type": "acs.eventbridge", "ParamList": named(bus)}),
            json!({"Id": "1", "Type": "http", "Endpoint": sink, "DeadLetterQueue": {"Arn": arn}}),
            json!({"Id": "1", "Type": "http", "Endpoint": sink, "RunOptions": {"DeadLetterQueue": {"Config": {"EventBusArn": arn}}}}),
        ]
        .into_iter()
        .enumerate()
        {
            let (new, old, by_rpc) = (format!("n{number}-{at}"), format!("o{number}-{at}"), format!("r{number}-{at}"));
            let targets = json!([target]);
            let text = targets.to_string();
            let is = |found: (u16, String), how: &str| assert_eq!(found, expected, "{how} {target}");
            let rule = json!({"RuleName": new, "Targets": targets});
            is(call(&hub, "bob", "createRule", &rule).await, "createRule");
            let given = [("RuleName", by_rpc.as_str()), ("EventTargets", text.as_str())];
            is(rpc(&hub, "bob", Method::POST, "CreateRule", &given).await, "CreateRule");
            call(&hub, "bob", "createRule", &json!({"RuleName": old})).await;
            let rule = json!({"RuleName": old, "Targets": targets});
            is(call(&hub, "bob", "updateRule", &rule).await, "updateRule");
            call(&hub, "bob", "updateRule", &json!({"RuleName": old, "Targets": []})).await;
            is(call(&hub, "bob", "createTargets", &rule).await, "createTargets");
            let given = [("RuleName", old.as_str()), ("Targets", text.as_str())];
            is(rpc(&hub, "bob", Method::GET, "PutTargets", &given).await, "PutTargets");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_publish_there_does_not_widen_what_goes_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("busway.toml"), ACCOUNTS).unwrap();
    let hub = HubProcess::start(folder.path()).await;
    call(&hub, "ann", "createEventBus", &json!({"EventBusName": "other"})).await;
    let rule = json!({"RuleName": "r", "FilterPattern": "{\"source\":[\"x\"]}",
        "Targets": [{"Id": "1", "Type": "acs.eventbridge", "Endpoint": arn("other")}]});
    assert_eq!(call(&hub, "ann", "createRule", &rule).await, answer(200, "Success"));
    let wider = json!({"RuleName": "r", "FilterPattern": "{}"});
    let name = json!({"RuleName": "r"});
    for (who, action, body, expected) in [
        ("bob", "updateRule", &wider, answer(403, "AccessDenied")),
        (
            "bob",
            "updateRule",
            &json!({"RuleName": "r", "Description": "d"}),
            answer(200, "Success"),
        ),
        ("bob", "disableRule", &name, answer(200, "Success")),
        ("bob", "enableRule", &name, answer(403, "AccessDenied")),
        ("ann", "enableRule", &name, answer(200, "Success")),
        ("ann", "updateRule", &wider, answer(200, "Success")),
    ] {
        assert_eq!(call(&hub, who, action, body).await, expected, "{who} {action} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_does_not_move_with_its_target() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let target = |endpoint: &str, token: &str| {
        json!({"RuleName": "r", "Targets": [{"Id": "1", "Type": "http", "Endpoint": endpoint,
            "ParamList": [{"ResourceKey": "Token", "Form": "CONSTANT", "Value": token}]}]})
    };
    hub.post("/openapi/createRule", &target("http://127.0.0.1:9/", "hush"))
        .await;
    for (endpoint, token, status) in [
        ("http://127.0.0.1:9/", "***", 200),
        ("http://127.0.0.1:10/", "***", 409),
        ("http://127.0.0.1:10/", "known", 200),
    ] {
        let body = target(endpoint, token).to_string();
        let (found, answer) = hub.send(Method::POST, "/openapi/updateRule", &[], body).await;
        assert_eq!(
            found,
            status,
            "{endpoint} {token}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rpc_is_served_by_get_but_not_to_pages() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let path = "/?Action=CreateEventBus&EventBusName=got&Version=2020-04-01";
    let own = format!("http://{}/page", hub.address());
    for (header, expected) in [
        (("sec-fetch-site", "cross-site"), answer(403, "AccessDeniedByPreCheck")),
        (
            ("referer", "https://evil.example/page"),
            answer(403, "AccessDeniedByPreCheck"),
        ),
        (("referer", own.as_str()), answer(200, "Success")),
        (("sec-fetch-site", "none"), answer(200, "EventBusAlreadyExist")),
    ] {
        assert_eq!(
            told(hub.send(Method::GET, path, &[header], "").await),
            expected,
            "{header:?}"
        );
    }
    let header = [("x-acs-action", "GetEventBus")];
    let found = hub.send(Method::GET, "/?EventBusName=nowhere", &header, "").await;
    assert_eq!(told(found), answer(200, "EventBusNotExist"));
    let (status, text) = hub.send(Method::GET, "/", &[], "").await;
    assert!(
        status == 200 && text.starts_with(b"Busway"),
        "what is there without an action stays"
    );
    let asked = tempfile::tempdir().unwrap();
    std::fs::write(asked.path().join("busway.toml"), ACCOUNTS).unwrap();
    let hub = HubProcess::start(asked.path()).await;
    let kept = ("authorization", "Bearer s3cret-of-ann");
    for (headers, expected) in [
        (vec![], answer(403, "InvalidAccessKeyId")),
        (
            vec![kept, ("sec-fetch-site", "cross-site")],
            answer(403, "AccessDeniedByPreCheck"),
        ),
        (vec![kept], answer(200, "Success")),
    ] {
        let found = hub.send(Method::GET, path, &headers, "").await;
        assert_eq!(told(found), expected, "{headers:?}");
    }
}

/// Puts one event about an order of somebody.
async fn put(hub: &HubProcess, id: &str, data: &Value) {
    let event = json!({"specversion": "1.0", "id": id, "source": "shop", "type": "order:Made", "subject": "orders/7", "data": data});
    let headers = [("content-type", "application/cloudevents+json")];
    let (status, answer) = hub
        .send(Method::POST, "/openapi/putEvents", &headers, event.to_string())
        .await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!((status, &answer["FailedEntryCount"]), (200, &json!(0)), "{answer}");
}

fn param(name: &str, form: &str, value: &str) -> Value {
    json!({"ResourceKey": name, "Form": form, "Value": value})
}

/// A hub with this plugin, which may reach this place.
async fn hub_with(folder: &Path, plugin: &str, reach: &str) -> HubProcess {
    place(folder, plugin, &component(plugin));
    let config = format!("[plugins.{plugin}]\ngrants = {{ tcp = [\"{reach}\"] }}\nlimits = {{ instances = 1 }}\n");
    std::fs::write(folder.join("busway.toml"), config).unwrap();
    lend_compiled(folder);
    let hub = HubProcess::start(folder).await;
    keep_compiled(folder);
    hub
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_target_writes_letters() {
    let (folder, server) = (tempfile::tempdir().unwrap(), MailServer::start(&[]).await);
    let hub = hub_with(folder.path(), "email", &format!("localhost:{}", server.port)).await;
    let template = json!({"ResourceKey": "Body", "Form": "TEMPLATE", "Value": "{\"who\":\"$.data.who\"}", "Template": "Dear ${who}, it is on its way."});
    let target = json!({"Id": "mail", "Type": "acs.mail", "Endpoint": "ann@example.org", "ParamList": [
        param("Subject", "CONSTANT", "Order {subject}"), param("FromAddress", "CONSTANT", "shop@example.com"), template,
        param("host", "CONSTANT", "localhost"), param("port", "CONSTANT", &server.port.to_string()), param("security", "CONSTANT", "none")]});
    let rule =
        json!({"RuleName": "letters", "FilterPattern": "{\"type\":[{\"prefix\":\"order:\"}]}", "Targets": [target]});
    let made = hub.post("/openapi/createRule", &rule).await;
    assert!(made["RuleARN"].is_string(), "{made}");
    put(&hub, "e1", &json!({"who": "Ann"})).await;
    let letter = format!("{:?}", server.wait_for(1).await.remove(0));
    for part in [
        "ann@example.org",
        "shop@example.com",
        "Order orders/7",
        "Dear Ann, it is on its way.",
    ] {
        assert!(letter.contains(part), "{part}: {letter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rabbitmq_target_publishes() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Broker::start().await);
    let hub = hub_with(folder.path(), "amqp", &broker.address()).await;
    for key in ["order.*", "orders/7"] {
        broker.bind("amq.topic", "orders", key);
    }
    let endpoint = format!("amqp://{}", broker.address());
    let target =
        |id: &str, params: Value| json!({"Id": id, "Type": "acs.rabbitmq", "Endpoint": endpoint, "ParamList": params});
    let targets = [
        target(
            "exchange",
            json!([
                param("TargetType", "CONSTANT", "Exchange"),
                param("Exchange", "CONSTANT", "amq.topic"),
                param("RoutingKey", "JSONPATH", "$.data.key"),
                param("Body", "ORIGINAL", "")
            ]),
        ),
        target(
            "subject",
            json!([
                param("Exchange", "CONSTANT", "amq.topic"),
                param("RoutingKey", "JSONPATH", "$.subject"),
                param("Body", "JSONPATH", "$.data.who")
            ]),
        ),
        target(
            "queue",
            json!([
                param("TargetType", "CONSTANT", "Queue"),
                param("QueueName", "CONSTANT", "orders"),
                param("Body", "CONSTANT", "by its name")
            ]),
        ),
    ];
    let made = hub
        .post(
            "/openapi/createRule",
            &json!({"RuleName": "r", "FilterPattern": "{}", "Targets": targets}),
        )
        .await;
    assert!(made["RuleARN"].is_string(), "{made}");
    put(&hub, "e1", &json!({"key": "order.new", "who": "Ann"})).await;
    for id in ["exchange", "subject", "queue"] {
        let path = format!("/v1/subscriptions/eventbridge-default~r~{id}/deliveries");
        let came = |page: &Value| page["deliveries"][0]["outcome"] == "delivered";
        hub.until("it is delivered", &path, came).await;
    }
    let read = format!("{:?}", broker.read("orders", 3));
    for part in ["order.new", "\"Ann\"", "by its name"] {
        assert!(read.contains(part), "{part}: {read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_tolerates_no_error_waits_in_order_over_a_kill() {
    let (folder, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.answer(|_| status(500));
    let mut hub = HubProcess::start(folder.path()).await;
    let target = json!({"Id": "1", "Type": "http", "Endpoint": receiver.url("/"), "ErrorsTolerance": "NONE",
        "PushRetryStrategy": "EXPONENTIAL_DECAY_RETRY", "ParamList": [param("Body", "JSONPATH", "$.data.n")]});
    hub.post(
        "/openapi/createRule",
        &json!({"RuleName": "r", "FilterPattern": "{}", "Targets": [target]}),
    )
    .await;
    for n in 0..20 {
        put(&hub, &format!("e{n}"), &json!({"n": n})).await;
    }
    receiver.wait_for(1).await;
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    receiver.wait_for(2).await;
    receiver.answer(|_| status(200));
    let bodies = |seen: &[crate::support::Request]| -> Vec<String> {
        seen.iter()
            .map(|one| String::from_utf8_lossy(&one.body).into_owned())
            .collect()
    };
    let seen = receiver
        .wait_until("the last one", |seen| bodies(seen).contains(&"19".to_owned()))
        .await;
    let mut bodies = bodies(&seen);
    bodies.dedup();
    let all: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(
        bodies, all,
        "each once it was its turn, and none before the one that failed"
    );
    let dead = hub.get("/v1/dead-letters").await;
    assert_eq!(dead["dead_letters"], json!([]), "{dead}");
}
