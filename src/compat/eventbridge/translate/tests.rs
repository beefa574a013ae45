//! Targets and the subscriptions that are made of them: pairs in a table.

use serde_json::json;

use super::super::settings::Settings;
use super::*;

fn target(kind: &str, endpoint: &str, params: Value) -> Target {
    Target::read(&json!({"Id": "1", "Type": kind, "Endpoint": endpoint, "ParamList": params})).unwrap()
}

fn constant_param(key: &str, value: &str) -> Value {
    json!({"ResourceKey": key, "Form": "CONSTANT", "Value": value})
}

#[test]
fn an_http_target_is_a_signed_callback() {
    let check = |endpoint: &str, params: Value, expected: Result<Value, &str>| {
        let made = http::sink(&Settings::default(), &target("http", endpoint, params.clone()));
        match (made, expected) {
            (Ok(part), Ok(expected)) => assert_eq!(Value::Object(part), expected, "{params}"),
            (Err(fault), Err(words)) => assert!(fault.message.contains(words), "{params}: {fault:?}"),
            (made, _) => panic!("{params}: {made:?}"),
        }
    };
    let part = |sink: &str, settings: Value, transform: Value| json!({"protocol": "HTTP", "sink": sink, "protocolsettings": settings, "transform": transform});
    let signed = || json!({"sign": "eventbridge"});
    let original = || json!({"form": "ORIGINAL"});
    check("http://a/", json!([]), Ok(part("http://a/", signed(), original())));
    check(
        "http://a/",
        json!([
            constant_param("url", "https://b/"),
            constant_param("Network", "PublicNetwork")
        ]),
        Ok(part("https://b/", signed(), original())),
    );
    check(
        "http://a/",
        json!([constant_param("Token", "t")]),
        Ok(part(
            "http://a/",
            json!({"sign": "eventbridge", "token": "t"}),
            original(),
        )),
    );
    check(
        "http://a/",
        json!([{"ResourceKey": "Body", "Form": "TEMPLATE", "Value": "{\"a\":\"$.type\"}", "Template": "${a}"}, constant_param("IsBase64Encode", "false")]),
        Ok(part(
            "http://a/",
            signed(),
            json!({"form": "TEMPLATE", "value": "{\"a\":\"$.type\"}", "template": "${a}"}),
        )),
    );
    check(
        "http://a/",
        json!([{"ResourceKey": "Body", "Form": "JSONPATH", "Value": "$.data"}]),
        Ok(part(
            "http://a/",
            signed(),
            json!({"form": "JSONPATH", "value": "$.data"}),
        )),
    );
    check("ftp://a/", json!([]), Err("must be an http or https URL"));
    check(
        "http://a/",
        json!([constant_param("Method", "PUT")]),
        Err("Method can only be POST here, not PUT"),
    );
    check(
        "http://a/",
        json!([constant_param("Colour", "red")]),
        Err("Colour is not served for targets of the type http"),
    );
    check(
        "http://a/",
        json!([{"ResourceKey": "URL", "Form": "JSONPATH", "Value": "$.data.url"}]),
        Err("URL can only be CONSTANT here"),
    );
    check(
        "http://a/",
        json!([{"ResourceKey": "Body", "Form": "TEMPLATE", "Value": "{\"a\":{}}", "Template": ""}]),
        Err("whose values are texts"),
    );
    check(
        "http://a/",
        json!([{"ResourceKey": "Body", "Form": "SHOUT"}]),
        Err("There is no form SHOUT"),
    );
    check(
        "http://a/",
        json!([{"ResourceKey": "Body", "Form": "CONSTANT", "Value": "x".repeat(10_241)}]),
        Err("at most 10240"),
    );
}

#[test]
fn other_targets_are_plugins() {
    let check = |kind: &str, endpoint: &str, params: Value, expected: Result<(&str, Value), &str>| {
        let made = notifier::sink(kind, &target(kind, endpoint, params.clone()));
        match (made, expected) {
            (Ok(part), Ok((plugin, settings))) => {
                assert_eq!(
                    (&part["protocol"], &part["protocolsettings"]),
                    (&json!(plugin), &settings),
                    "{params}"
                );
            }
            (Err(fault), Err(words)) => assert!(fault.message.contains(words), "{params}: {fault:?}"),
            (made, _) => panic!("{params}: {made:?}"),
        }
    };
    check(
        "acs.mail",
        "",
        json!([constant_param("ToAddress", "a@x,b@x"), constant_param("Subject", "s"), {"ResourceKey": "Body", "Form": "ORIGINAL"}]),
        Ok((
            "email",
            json!({"addresses": ["a@x", "b@x"], "subject": "s", "template": "{data}"}),
        )),
    );
    check(
        "acs.rabbitmq",
        "amqp://mq:5672",
        json!([constant_param("VirtualHostName", "v/1"), constant_param("Exchange", "x"), {"ResourceKey": "RoutingKey", "Form": "JSONPATH", "Value": "$.data.a.b"}]),
        Ok((
            "amqp",
            json!({"url": "amqp://mq:5672/v%2F1", "exchange": "x", "routing_key": "{/a/b}"}),
        )),
    );
    check(
        "acs.rabbitmq",
        "",
        json!([
            constant_param("InstanceId", "i"),
            constant_param("TargetType", "Queue"),
            constant_param("QueueName", "q")
        ]),
        Ok(("amqp", json!({"exchange": "", "routing_key": "q"}))),
    );
    check(
        "chat",
        "room",
        json!([constant_param("limit", "3")]),
        Ok(("chat", json!({"limit": 3, "sink": "room"}))),
    );
    check(
        "acs.rabbitmq",
        "",
        json!([{"ResourceKey": "RoutingKey", "Form": "JSONPATH", "Value": "$..a"}]),
        Err("can't be followed"),
    );
    check(
        "acs.rabbitmq",
        "",
        json!([constant_param("VirtualHostName", "v")]),
        Err("needs an Endpoint"),
    );
    check(
        "acs.fc.function",
        "",
        json!([]),
        Err("The type acs.fc.function is not served here"),
    );
}
