//! Targets and the subscriptions that are made of them: pairs in a table.

use serde_json::json;

use super::super::settings::Settings;
use super::*;

fn target(kind: &str, endpoint: &str, params: Value) -> Target {
    Target::read(&json!({"Id": "1", "Type": kind, "Endpoint": endpoint, "ParamList": params})).unwrap()
}

fn fixed(key: &str, value: &str) -> Value {
    json!({"ResourceKey": key, "Form": "CONSTANT", "Value": value})
}

fn body(form: &str, value: &str) -> Value {
    json!({"ResourceKey": "Body", "Form": form, "Value": value})
}

/// An `http` target at `http://a/` and its sink, settings and transform.
fn pushed(params: Value) -> Result<Part, Fault> {
    http::sink(&Settings::default(), &target("http", "http://a/", params))
}

fn refused(made: Result<Part, Fault>, words: &str) {
    let fault = made.expect_err(words);
    assert!(fault.message.contains(words), "{words}: {fault:?}");
}

#[test]
fn an_http_target_is_a_signed_callback() {
    let check = |params: Value, sink: &str, settings: Value| {
        let part = pushed(params.clone()).unwrap();
        let expected =
            json!({"protocol": "HTTP", "sink": sink, "protocolsettings": settings, "transform": {"form": "ORIGINAL"}});
        assert_eq!(Value::Object(part), expected, "{params}");
    };
    let signed = || json!({"sign": "eventbridge"});
    check(json!([]), "http://a/", signed());
    check(json!([fixed("url", "https://b/")]), "https://b/", signed());
    check(json!([fixed("Network", "PublicNetwork")]), "http://a/", signed());
    check(json!([fixed("Method", "post")]), "http://a/", signed());
    check(json!([fixed("IsBase64Encode", "false")]), "http://a/", signed());
    let with_token = json!({"sign": "eventbridge", "token": "t"});
    check(json!([fixed("Token", "t")]), "http://a/", with_token.clone());
    check(json!([fixed("SecretKey", "t")]), "http://a/", with_token);
}

#[test]
fn its_body_is_a_transform() {
    let check = |param: Value, transform: Value| assert_eq!(pushed(json!([param])).unwrap()["transform"], transform);
    check(body("ORIGINAL", ""), json!({"form": "ORIGINAL"}));
    check(
        body("JSONPATH", "$.data"),
        json!({"form": "JSONPATH", "value": "$.data"}),
    );
    check(body("CONSTANT", "x"), json!({"form": "CONSTANT", "value": "x"}));
    let template = |value: &str| json!({"ResourceKey": "Body", "Form": "TEMPLATE", "Value": value, "Template": "${a}"});
    check(
        template("{\"a\":\"$.type\"}"),
        json!({"form": "TEMPLATE", "value": "{\"a\":\"$.type\"}", "template": "${a}"}),
    );
    refused(pushed(json!([template("{\"a\":{}}")])), "whose values are texts");
    refused(pushed(json!([template("[")])), "must be a JSON object of variables");
    refused(pushed(json!([body("TEMPLATE", "{}")])), "needs a Template");
    refused(pushed(json!([body("SHOUT", "")])), "There is no form SHOUT");
    refused(pushed(json!([body("CONSTANT", &"x".repeat(10_241))])), "at most 10240");
}

#[test]
fn what_a_push_cannot_do_is_named() {
    refused(
        http::sink(&Settings::default(), &target("http", "ftp://a/", json!([]))),
        "must be an http or https URL",
    );
    refused(
        pushed(json!([fixed("Method", "PUT")])),
        "Method can only be POST here, not PUT",
    );
    refused(
        pushed(json!([fixed("IsBase64Encode", "true")])),
        "can only be false here",
    );
    refused(
        pushed(json!([fixed("Colour", "red")])),
        "Colour is not served for targets of the type http",
    );
    let url = json!([{"ResourceKey": "URL", "Form": "JSONPATH", "Value": "$.data.url"}]);
    refused(pushed(url), "URL can only be CONSTANT here");
}

/// The plugin and its settings that a target becomes.
fn notified(kind: &str, endpoint: &str, params: Value) -> Result<Part, Fault> {
    notifier::sink(kind, &target(kind, endpoint, params))
}

#[test]
fn other_targets_are_plugins() {
    let check = |made: Result<Part, Fault>, plugin: &str, settings: Value| {
        let part = made.unwrap();
        assert_eq!(
            (&part["protocol"], &part["protocolsettings"]),
            (&json!(plugin), &settings)
        );
    };
    let mail = json!([
        fixed("ToAddress", "a@x,b@x"),
        fixed("Subject", "s"),
        body("ORIGINAL", "")
    ]);
    let settings = json!({"addresses": ["a@x", "b@x"], "subject": "s", "template": "{data}"});
    check(notified("acs.mail", "", mail), "email", settings);
    check(
        notified("acs.mail", "mailto:a@x", json!([])),
        "email",
        json!({"addresses": ["a@x"]}),
    );
    check(
        notified("chat", "room", json!([fixed("limit", "3")])),
        "chat",
        json!({"limit": 3, "sink": "room"}),
    );
    refused(
        notified("acs.fc.function", "", json!([])),
        "The type acs.fc.function is not served here",
    );
}

#[test]
fn a_rabbitmq_target_is_an_exchange_or_a_queue() {
    let settings =
        |endpoint: &str, params: Value| notified("acs.rabbitmq", endpoint, params).unwrap()["protocolsettings"].clone();
    let key = |path: &str| json!({"ResourceKey": "RoutingKey", "Form": "JSONPATH", "Value": path});
    assert_eq!(
        settings(
            "amqp://mq:5672",
            json!([
                fixed("VirtualHostName", "v/1"),
                fixed("Exchange", "x"),
                key("$.data.a.b")
            ])
        ),
        json!({"url": "amqp://mq:5672/v%2F1", "exchange": "x", "routing_key": "{/a/b}"})
    );
    assert_eq!(
        settings("", json!([key("$.subject")])),
        json!({"routing_key": "{subject}"})
    );
    assert_eq!(
        settings(
            "",
            json!([
                fixed("InstanceId", "i"),
                fixed("TargetType", "Queue"),
                fixed("QueueName", "q")
            ])
        ),
        json!({"exchange": "", "routing_key": "q"})
    );
    refused(notified("acs.rabbitmq", "", json!([key("$..a")])), "can't be followed");
    let body = json!({"ResourceKey": "Body", "Form": "JSONPATH", "Value": "$.data.a"});
    refused(
        notified("acs.rabbitmq", "", json!([key("$.data.b"), body])),
        "an attribute such as $.subject",
    );
    assert!(notified("acs.rabbitmq", "", json!([key("$.subject"), body])).is_ok());
    refused(
        notified("acs.rabbitmq", "", json!([fixed("VirtualHostName", "v")])),
        "needs an Endpoint",
    );
    refused(
        notified("acs.rabbitmq", "", json!([fixed("TargetType", "Queue")])),
        "needs a QueueName",
    );
}
