//! Subscriptions as callers send and see them: every rule by its path, secrets, patches.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::error::Error;
use crate::log::{BusName, Offset};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const SECRET: &str = "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
const OTHER: &str = "whsec_YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=";

fn read(json: &Value) -> Result<Subscription, Error> {
    Subscription::from_json(
        SubscriptionId("s".into()),
        BusName::default_bus(),
        json,
        &DeliveryConfig::default(),
        NOW,
    )
}

fn full() -> Value {
    json!({
        "source": "/s", "types": ["deployment_*", "com.example.order.**"],
        "filters": [{"prefix": {"subject": "/my-app"}}],
        "protocol": "HTTP", "sink": "https://example.com/hook",
        "protocolsettings": {
            "format": "binary", "headers": {"x-a": "b", "x-api-key": "k"},
            "auth": {"basic": {"username": "u", "password": "p"}}, "secret": SECRET,
            "success": [200, 202], "sign": "eventbridge", "token": "t"
        },
        "transform": {"form": "JSONPATH", "value": "$.data"},
        "config": {
            "start": "earliest", "schedule": ["5s", "30s", "1m..2m"], "jitter": false, "max_attempts": 3, "max_age": "1d", "dead_letter": {"bus": "dead"}, "timeout": "1m30s",
            "concurrency": 2, "ordering": "none", "on_error": "drop", "breaker": {"failures": 3, "probe": "1s", "probe_most": "1m"}, "rate": "100/s", "burst": 200, "retry_after_most": "10m", "batch": {"count": 7, "bytes": 2048, "wait": "500ms"}
        }
    })
}

/// `full` with the value at this JSON pointer replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut json = full();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    json.pointer_mut(parent).unwrap()[name] = value;
    json
}

/// The hub's defaults are what is so for a field that is missing; what has no limit says so, and keeps it.
#[test]
fn a_default_of_the_hub_can_be_gone_without() {
    let says = json!({"rate": "10/s", "burst": 5, "max_age": "1d", "schedule": {"exponential": {"first": "1s", "most": "2s"}}});
    let defaults = DeliveryConfig::default().with(&says).unwrap();
    let of = |config: Value| {
        let json = json!({"sink": "https://h/x", "config": config});
        Subscription::from_json(
            SubscriptionId("s".into()),
            BusName::default_bus(),
            &json,
            &defaults,
            NOW,
        )
        .unwrap()
    };
    let shown = |one: &Subscription| {
        let shown = one.to_json();
        ["rate", "burst", "max_age"].map(|name| shown["config"][name].clone())
    };
    let plain = of(json!({}));
    assert_eq!(shown(&plain), [json!("10/s"), json!(5), json!("1d")]);
    assert_eq!(plain.config.schedule, defaults.schedule);
    let none = of(json!({"rate": "none", "max_age": "none"}));
    assert_eq!(shown(&none), [json!("none"), Value::Null, json!("none")]);
    assert_eq!(shown(&of(json!({"burst": "none"})))[1], "none");
    for one in [plain, none, of(json!({"burst": "none"})), of(json!({"rate": "7/m"}))] {
        // A change of something else, and a restart, leave it.
        let same = one.patched(&json!({"types": ["a"]}), &defaults, NOW).unwrap();
        let kept = Subscription::from_stored(same.to_stored()).unwrap();
        for other in [same, kept] {
            assert_eq!((shown(&other), other.config.rate), (shown(&one), one.config.rate));
        }
    }
}

#[test]
fn a_full_subscription_is_shown_as_it_was_sent_but_for_its_secrets() {
    let shown = read(&full()).unwrap().to_json();
    let mut expected = full();
    expected["protocolsettings"]["auth"]["basic"]["password"] = "***".into();
    expected["protocolsettings"]["headers"]["x-api-key"] = "***".into();
    expected["protocolsettings"]["secret"] = "***".into();
    expected["protocolsettings"]["token"] = "***".into();
    for (name, value) in [
        ("id", "s"),
        ("bus", "default"),
        ("state", "active"),
        ("created", "2023-11-14T22:13:20.000Z"),
        ("updated", "2023-11-14T22:13:20.000Z"),
    ] {
        expected[name] = value.into();
    }
    assert_eq!(shown, expected);
}

#[test]
fn defaults_fill_what_is_not_said() {
    let read = read(&json!({"sink": "http://127.0.0.1:9000/hook"})).unwrap();
    assert_eq!(read.config, DeliveryConfig::default());
    assert!(read.selector.types.is_empty() && read.selector.filters.is_empty());
    assert!(
        matches!(&read.sink, Sink::Webhook(webhook) if webhook.format == Format::Structured && webhook.secrets.is_empty())
    );
}

/// Where `full` is changed, to what, and the beginning and a part of the refusal.
#[rustfmt::skip]
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("/protocolsettings/success", r#"[404]"#, "protocolsettings.success[0]", "from 200 to 299"),
    ("/protocolsettings/success", r#"[]"#, "protocolsettings.success", "leave it out"),
    ("/protocolsettings/sign", r#""aws""#, "protocolsettings.sign", "must be \"eventbridge\""),
    ("/protocolsettings/sign", r#"null"#, "protocolsettings.token", "goes along with `sign`"),
    ("/protocolsettings/token", r#""a\nb""#, "protocolsettings.token", "control characters"),
    ("/protocolsettings/headers", r#"{"x-eventbridge-signature": "1"}"#, "protocolsettings.headers.x-eventbridge-signature", "cannot be set"),
    ("/protocolsettings/format", r#""batch""#, "transform", "the format `batch`"),
    ("/transform", r#"{"form": "TEMPLATE", "value": "{}"}"#, "transform.template", "is missing"),
    ("/transform", r#"1"#, "transform", "must be an object"),
    ("/config/schedule", r#"["20s..10s"]"#, "config.schedule[0]", "a range such as"),
    ("/config/schedule", r#"["10s..9d"]"#, "config.schedule[0]", "must be from 1ms to 7d"),
    ("/config/schedule", r#""5s""#, "config.schedule", "a list of waits such as"),
    ("/config/schedule", r#"{}"#, "config.schedule", "or have `exponential`"),
    ("/config/schedule", r#"{"exponental": {}}"#, "`config.schedule.exponental`", "did you mean `config.schedule.exponential`?"),
    ("/config/schedule", r#"{"exponential": {"first": "5s"}}"#, "config.schedule.exponential.most", "is missing"),
    ("/config/schedule", r#"{"exponential": {"first": "5s", "most": "1h", "factor": 0.5}}"#, "config.schedule.exponential.factor", "from 1 to 100"),
    ("/config/schedule", r#"{"exponential": {"first": "5s", "most": "1h", "factor": "2"}}"#, "config.schedule.exponential.factor", "from 1 to 100"),
    ("/config/schedule", r#"{"exponential": {"first": "2h", "most": "1h"}}"#, "config.schedule.exponential.most", "must not be shorter"),
    ("/config/schedule", r#"{"exponential": {"first": "0s", "most": "1h"}}"#, "config.schedule.exponential.first", "must be from 1ms to 7d"),
    ("/config/schedule", r#"{"exponential": {"first": "5s", "most": "1h", "facter": 2}}"#, "`config.schedule.exponential.facter`", "did you mean `config.schedule.exponential.factor`?"),
    ("/config/burst", r#"0"#, "config.burst", "from 1 to 1000000"),
    ("/config/burst", r#"-1"#, "config.burst", "from 1 to 1000000"),
    ("/config/burst", r#"1000001"#, "config.burst", "from 1 to 1000000"),
    ("/config/burst", r#""200""#, "config.burst", "whole number"),
    ("/config/rate", r#""none""#, "config.burst", "beside `config.rate`"),
    ("/config/rate", r#""100""#, "config.rate", "a rate such as"),
    ("/config/rate", r#""0/s""#, "config.rate", "a rate such as"),
    ("/config/retry_after_most", r#""8d""#, "config.retry_after_most", "from 0s to 7d"),
    ("/config/retry_after_most", r#"60"#, "config.retry_after_most", "a duration with its unit"),
    ("/config/retry_after_max", r#""1h""#, "`config.retry_after_max`", "did you mean `config.retry_after_most`?"),
    ("/config/max_age", r#""never""#, "config.max_age", "a duration with its unit"),
    ("/config/jitter", r#"1"#, "config.jitter", "must be true or false"),
    ("/config/max_attempts", r#""many""#, "config.max_attempts", "or \"unlimited\""),
    ("/config/max_age", r#""1ms""#, "config.max_age", "must be from 1s"),
    ("/config/dead_letter", r#"{}"#, "config.dead_letter.bus", "is missing"),
    ("/config/dead_letter", r#"{"bus": "A"}"#, "config.dead_letter.bus", "cannot name a bus"),
    ("/config/dead_letter", r#"{"bus": "default"}"#, "config.dead_letter.bus", "own bus"),
    ("/config/dead_letter", r#"{"bus": "busway"}"#, "config.dead_letter.bus", "the hub's own"),
    ("/sink", r#""/relative""#, "sink", "absolute"),
    ("/sink", r#""ftp://h/x""#, "sink", "http or https"),
    ("/sink", r#""mailto:a@b""#, "sink", "http or https"),
    ("/sink", r#""https://u:p@h/x""#, "sink", "protocolsettings.auth"),
    ("/sink", r#""https://u@h/x""#, "sink", "protocolsettings.auth"),
    ("/sink", r#""https://h/x#y""#, "sink", "fragment"),
    ("/sink", r#"1"#, "sink", "must be a string, not a number"),
    ("/type", r#""a""#, "`type`", "did you mean `types`?"),
    ("/sinkcredential", r#"{}"#, "`sinkcredential`", "protocolsettings.auth"),
    ("/source", r#""""#, "source", "must not be empty"),
    ("/types", r#""a""#, "types", "must be an array, not a string"),
    ("/types", r#"[1]"#, "types[0]", "must be a string"),
    ("/filters", r#"[{"exact": {"id": "1"}}, {"exakt": {}}]"#, "filters[1]", "exact"),
    ("/filters", r#"{}"#, "filters", "must be an array"),
    ("/protocol", r#""MQTT5""#, "protocol", "notifier plugin"),
    ("/bus", r#""other""#, "bus", "is \"other\""),
    ("/protocolsettings", r#"1"#, "protocolsettings", "must be a JSON object"),
    ("/protocolsettings/formet", r#"1"#, "`protocolsettings.formet`", "did you mean `protocolsettings.format`?"),
    ("/protocolsettings/format", r#""xml""#, "protocolsettings.format", "one of \"structured\""),
    ("/protocolsettings/headers", r#"{"Host": "x"}"#, "protocolsettings.headers.Host", "cannot be set"),
    ("/protocolsettings/headers", r#"{"Content-Length": "1"}"#, "protocolsettings.headers.Content-Length", "cannot be set"),
    ("/protocolsettings/headers", r#"{"webhook-id": "1"}"#, "protocolsettings.headers.webhook-id", "cannot be set"),
    ("/protocolsettings/headers", r#"{"transfer-encoding": "1"}"#, "protocolsettings.headers.transfer-encoding", "cannot be set"),
    ("/protocolsettings/headers", r#"{"a b": "1"}"#, "protocolsettings.headers.a b", "valid header name"),
    ("/protocolsettings/headers", r#"{"a": "1\n"}"#, "protocolsettings.headers.a", "visible ASCII"),
    ("/protocolsettings/headers", r#"{"a": 1}"#, "protocolsettings.headers.a", "must be a string"),
    ("/protocolsettings/headers", r#"{"a": "1", "A": "2"}"#, "protocolsettings.headers", "given twice"),
    ("/protocolsettings/headers", r#"{"authorization": "x"}"#, "protocolsettings.headers.authorization", "give one"),
    ("/protocolsettings/auth", r#"{}"#, "protocolsettings.auth", "must have `basic`"),
    ("/protocolsettings/auth", r#"{"basic": {"username": "u"}}"#, "protocolsettings.auth.basic.password", "is missing"),
    ("/protocolsettings/auth", r#"{"basic": {"username": "a:b", "password": ""}}"#, "protocolsettings.auth.basic.username", "`:`"),
    ("/protocolsettings/auth", r#"{"bearer": {"token": "a\nb"}}"#, "protocolsettings.auth.bearer.token", "control"),
    ("/protocolsettings/auth/bearer", r#"{"token": "a"}"#, "protocolsettings.auth", "more than one of"),
    ("/protocolsettings/auth", r#"{"basic": {"username": "u", "password": "a\r\nX-Evil: 1"}}"#, "protocolsettings.auth.basic.password", "control"),
    ("/protocolsettings/auth", r#"{"oauth2": {"token_url": "https://id/t", "client_id": "a"}}"#, "protocolsettings.auth.oauth2.client_secret", "is missing"),
    ("/protocolsettings/auth", r#"{"oauth2": {"token_url": "id/t", "client_id": "a", "client_secret": "b"}}"#, "protocolsettings.auth.oauth2.token_url", "absolute"),
    ("/protocolsettings/auth", r#"{"oauth2": {"token_url": "file:///etc/passwd", "client_id": "a", "client_secret": "b"}}"#, "protocolsettings.auth.oauth2.token_url", "http or https"),
    ("/protocolsettings/auth", r#"{"oauth2": {"token_url": "https://u:p@id/t", "client_id": "a", "client_secret": "b"}}"#, "protocolsettings.auth.oauth2.token_url", "user name"),
    ("/protocolsettings/auth", r#"{"oauth2": {"token_url": "https://id/t#x", "client_id": "a", "client_secret": "b"}}"#, "protocolsettings.auth.oauth2.token_url", "fragment"),
    ("/protocolsettings/auth", r#"{"oauth2": {"token_url": "https://id/t", "client_id": "a", "client_secret": "b", "scope": "a\nb"}}"#, "protocolsettings.auth.oauth2.scope", "control"),
    ("/protocolsettings/auth", r#"{"oauth2": {"token_url": "https://id/t", "client_id": "a", "client_secret": "b", "style": "jwt"}}"#, "protocolsettings.auth.oauth2.style", "one of \"header\", \"body\""),
    ("/protocolsettings/auth", r#"{"oauth2": {"token_url": "https://id/t", "client_id": "a", "client_secret": "***"}}"#, "protocolsettings.auth.oauth2.client_secret", "already kept"),
    ("/protocolsettings/proxy", r#"1"#, "protocolsettings.proxy", "must be a string"),
    ("/protocolsettings/proxy", r#""proxy:3128""#, "protocolsettings.proxy", "http proxy"),
    ("/protocolsettings/proxy", r#""https://proxy:3128""#, "protocolsettings.proxy", "http proxy"),
    ("/protocolsettings/proxy", r#""http://u:p@proxy:3128""#, "protocolsettings.proxy", "never shown"),
    ("/protocolsettings/proxy", r#"{"url": "http://u:p@proxy:3128"}"#, "protocolsettings.proxy.url", "never shown"),
    ("/protocolsettings/proxy", r#"{"username": "u", "password": "p"}"#, "protocolsettings.proxy.url", "is missing"),
    ("/protocolsettings/proxy", r#"{"url": "http://proxy:3128", "username": "u"}"#, "protocolsettings.proxy.password", "is missing"),
    ("/protocolsettings/proxy", r#"{"url": "http://proxy:3128", "username": "u:v", "password": "p"}"#, "protocolsettings.proxy", "Basic cannot carry"),
    ("/protocolsettings/headers", r#"{"Proxy-Authorization": "x"}"#, "protocolsettings.headers.Proxy-Authorization", "cannot be set"),
    ("/protocolsettings/headers", r#"{"Connection": "x-a"}"#, "protocolsettings.headers.Connection", "cannot be set"),
    ("/protocolsettings/headers", r#"{"TE": "trailers"}"#, "protocolsettings.headers.TE", "cannot be set"),
    ("/protocolsettings/headers", r#"{"Webhook-Signature": "v1,x"}"#, "protocolsettings.headers.Webhook-Signature", "cannot be set"),
    ("/protocolsettings/headers", r#"{"ce-id": "1"}"#, "protocolsettings.headers.ce-id", "cannot be set"),
    ("/protocolsettings/headers", r#"{"a\r\nb": "1"}"#, "protocolsettings.headers.a", "valid header name"),
    ("/protocolsettings/headers", r#"{"": "1"}"#, "protocolsettings.headers.", "valid header name"),
    ("/protocolsettings/headers", r#"{"a": "1\r\nHost: evil"}"#, "protocolsettings.headers.a", "visible ASCII"),
    ("/protocolsettings/headers", r#"{"a": "\u0000"}"#, "protocolsettings.headers.a", "visible ASCII"),
    ("/protocolsettings/secret", r#""whsec_short""#, "protocolsettings.secret", "24 to 64"),
    ("/protocolsettings/secret", r#""***""#, "protocolsettings.secret", "already kept"),
    ("/protocolsettings/secrets", r#"["whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="]"#, "protocolsettings", "both `secret` and `secrets`"),
    ("/config/timeout", r#"15"#, "config.timeout", "a duration with its unit"),
    ("/config/timeout", r#""15""#, "config.timeout", "a duration with its unit"),
    ("/config/timeout", r#""10h""#, "config.timeout", "from 100ms to 5m"),
    ("/config/schedule", r#"[]"#, "config.schedule", "at least one"),
    ("/config/schedule", r#"["5s", 30]"#, "config.schedule[1]", "a duration with its unit"),
    ("/config/max_attempts", r#"0"#, "config.max_attempts", "from 1 to 1000"),
    ("/config/max_attempts", r#"1.5"#, "config.max_attempts", "whole number"),
    ("/config/concurrency", r#""4""#, "config.concurrency", "whole number"),
    ("/config/start", r#""tomorrow""#, "config.start", "\"latest\""),
    ("/config/start", r#"-1"#, "config.start", "an offset"),
    ("/config/on_error", r#""explode""#, "config.on_error", "one of \"retry\", \"hold\", \"pass\", \"drop\""),
    ("/config/rate", r#""100""#, "config.rate", "must be a rate such as"),
    ("/config/rate", r#"100"#, "config.rate", "must be a string"),
    ("/protocolsettings/validate", r#""yes""#, "protocolsettings.validate", "must be true or false"),
    ("/config/time_out", r#""1s""#, "`config.time_out`", "did you mean `config.timeout`?"),
    ("/config/batch/count", r#"0"#, "config.batch.count", "from 1"),
    ("/config/batch/wait", r#""2m""#, "config.batch.wait", "from 0s to 1m"),
];

fn refused(json: &Value, place: &str, rule: &str) {
    let error = read(json).expect_err(place);
    assert!(
        error.message().starts_with(place) && error.message().contains(rule),
        "{place}: {rule}: {error}"
    );
}

#[test]
fn every_refusal_names_its_place_and_its_rule() {
    for (pointer, value, place, rule) in REFUSED {
        refused(&with(pointer, serde_json::from_str(value).unwrap()), place, rule);
    }
    let bus = |sink: &str| json!({"protocol": "BUS", "sink": sink});
    refused(&json!({"protocol": "BUS"}), "sink", "the bus on which");
    refused(&bus("default"), "sink", "own bus");
    refused(&bus("busway"), "sink", "the hub's own");
    refused(&bus("No"), "sink", "cannot name a bus");
    refused(
        &json!({"protocol": "BUS", "sink": "b", "protocolsettings": {"format": "raw"}}),
        "`protocolsettings.format`",
        "is not a field",
    );
    let batch = json!({"sink": "http://h/", "protocolsettings": {"format": "batch"}, "config": {"ordering": "all"}});
    refused(&batch, "config.ordering", "one event at a time");
    refused(&json!([]), "the subscription", "must be a JSON object");
    refused(&json!({}), "sink", "is missing");
    refused(
        &with("/sink", json!(format!("https://h/{}", "x".repeat(3_000)))),
        "sink",
        "longer than",
    );
    refused(&with("/types", json!(vec!["a"; 300])), "types", "at most 256");
    let (headers, long) = ("/protocolsettings/headers", "x".repeat(1 << 20));
    refused(
        &with(headers, json!({"a": long})),
        "protocolsettings.headers.a",
        "at most 4096",
    );
    let many: serde_json::Map<_, _> = (0..33).map(|n| (format!("x-{n}"), json!("1"))).collect();
    refused(
        &with(headers, Value::Object(many)),
        "protocolsettings.headers",
        "at most 32",
    );
    let bearer = json!({"bearer": {"token": long}});
    refused(
        &with("/protocolsettings/auth", bearer),
        "protocolsettings.auth.bearer.token",
        "longer than 4096",
    );
}

#[test]
fn another_form_of_transform_takes_the_place_of_the_old_one() {
    let template = json!({"form": "TEMPLATE", "value": "{\"a\":\"$.id\"}", "template": "${a}"});
    let old = read(&json!({"sink": "http://h/", "transform": template})).unwrap();
    let defaults = DeliveryConfig::default();
    for (patch, shown) in [
        (
            json!({"form": "CONSTANT", "value": "x"}),
            json!({"form": "CONSTANT", "value": "x"}),
        ),
        (
            json!({"template": "<${a}>"}),
            json!({"form": "TEMPLATE", "value": "{\"a\":\"$.id\"}", "template": "<${a}>"}),
        ),
        (Value::Null, Value::Null),
    ] {
        let new = old.patched(&json!({"transform": patch}), &defaults, NOW).unwrap();
        assert_eq!(new.to_json().get("transform").cloned().unwrap_or_default(), shown);
        assert_eq!(Subscription::from_stored(new.to_stored()).unwrap(), new);
    }
}

#[test]
fn a_bus_is_a_sink() {
    let json = json!({"protocol": "BUS", "sink": "other", "config": {"max_attempts": "unlimited", "ordering": "all"}});
    let read = read(&json).unwrap();
    assert_eq!(read.sink, Sink::Bus(BusName::parse("other").unwrap()));
    assert_eq!(Subscription::from_stored(read.to_stored()).unwrap(), read);
    let shown = read.to_json();
    assert_eq!((&shown["protocol"], &shown["sink"]), (&json["protocol"], &json["sink"]));
    assert_eq!(shown["config"]["max_attempts"], "unlimited");
}

#[test]
fn starts_are_read_in_every_form() {
    for (json, expected) in [
        (json!("latest"), Start::Latest),
        (json!("earliest"), Start::Earliest),
        (json!(7), Start::Offset(Offset(7))),
        (json!("7"), Start::Offset(Offset(7))),
        (json!("2023-11-14T22:13:20Z"), Start::Time(NOW)),
        (json!(null), Start::Latest),
    ] {
        assert_eq!(
            read(&with("/config/start", json.clone())).unwrap().config.start,
            expected,
            "{json}"
        );
    }
}

#[test]
fn a_notifier_takes_settings_of_its_own() {
    let json = json!({"protocol": "notifier-chat", "sink": "https://chat.example.com/hook", "protocolsettings": {"room": "r", "token": "t"}});
    let read = read(&json).unwrap();
    let Sink::Notifier { plugin, sink, settings } = &read.sink else {
        panic!("{:?}", read.sink)
    };
    assert_eq!(
        (plugin.as_ref(), sink.as_deref()),
        ("notifier-chat", Some("https://chat.example.com/hook"))
    );
    let settings: Value = serde_json::from_str(settings).unwrap();
    assert_eq!(
        settings,
        json!({"room": "r", "token": "t", "sink": "https://chat.example.com/hook"})
    );
    assert_eq!(read.to_json()["protocolsettings"], json!({"room": "r", "token": "***"}));
    assert_eq!(Subscription::from_stored(read.to_stored()).unwrap(), read);
}

#[test]
fn the_stored_form_reads_back_equal() {
    let mut one = read(&full()).unwrap();
    one.state = State::Paused { reason: "gone".into() };
    one.updated = Timestamp(NOW.0 + 5);
    assert_eq!(Subscription::from_stored(one.to_stored()).unwrap(), one);
    let two = read(&with(
        "/protocolsettings",
        json!({"secrets": [SECRET, OTHER], "auth": {"bearer": {"token": "t"}}}),
    ))
    .unwrap();
    assert_eq!(Subscription::from_stored(two.to_stored()).unwrap(), two);
    let mut later = two.to_stored();
    later["v"] = 2.into();
    assert!(Subscription::from_stored(later).is_err());
}

#[test]
fn what_get_shows_can_be_put_back() {
    let one = read(&full()).unwrap();
    let again = one.replaced(&one.to_json(), &DeliveryConfig::default(), NOW).unwrap();
    assert_eq!(again, one);
}

/// A patch of `full`, a place in the stored form, and what is there then.
#[rustfmt::skip]
const PATCHED: &[(&str, &str, &str)] = &[
    (r#"{"types": ["b"]}"#, "/types", r#"["b"]"#),
    (r#"{"source": null}"#, "/source", "null"),
    (r#"{"config": {"timeout": null}}"#, "/config/timeout", r#""15s""#),
    (r#"{"config": {"max_attempts": 4}}"#, "/config/schedule", r#"["5s", "30s", "1m..2m"]"#),
    (r#"{"protocolsettings": {"auth": {"basic": {"username": "v"}}}}"#, "/protocolsettings/auth", r#"{"basic": {"username": "v", "password": "p"}}"#),
    (r#"{"protocolsettings": {"auth": null}}"#, "/protocolsettings/auth", "null"),
    (r#"{"sink": "https://example.com/other"}"#, "/protocolsettings/auth/basic/password", r#""p""#),
];

#[test]
fn patches_change_what_they_name_and_keep_secrets() {
    let one = read(&full()).unwrap();
    let later = Timestamp(NOW.0 + 1);
    let patched = |patch: Value| one.patched(&patch, &DeliveryConfig::default(), later);
    for (patch, pointer, expected) in PATCHED {
        let stored = patched(serde_json::from_str(patch).unwrap()).unwrap().to_stored();
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(
            stored.pointer(pointer).cloned().unwrap_or_default(),
            expected,
            "{patch}"
        );
    }
    let same = patched(json!({})).unwrap();
    assert_eq!((same.sink, same.created, same.updated), (one.sink.clone(), NOW, later));
    let rotated = patched(json!({"protocolsettings": {"secret": OTHER}}))
        .unwrap()
        .to_stored();
    assert_eq!(rotated["protocolsettings"]["secret"], OTHER);
    // What was alone becomes the second of two, without being sent again; of a third the hub knows nothing.
    let two = patched(json!({"protocolsettings": {"secrets": [OTHER, "***"]}})).unwrap();
    assert_eq!(two.to_stored()["protocolsettings"]["secrets"], json!([OTHER, SECRET]));
    let three = patched(json!({"protocolsettings": {"secrets": [OTHER, "***", "***"]}}));
    assert!(three.unwrap_err().message().starts_with("protocolsettings.secrets[2]"));
    assert!(patched(json!([])).is_err() && patched(json!({"sink": null})).is_err());
}

#[test]
fn kept_credentials_do_not_follow_the_sink_to_another_place() {
    let one = read(&full()).unwrap();
    let defaults = DeliveryConfig::default();
    let moved = |patch: Value| one.patched(&patch, &defaults, NOW);
    assert_eq!(
        moved(json!({"sink": "https://evil.example.org/"})).unwrap_err().code(),
        "credentials_required"
    );
    assert_eq!(
        moved(json!({"sink": "http://example.com/hook"})).unwrap_err().code(),
        "credentials_required"
    );
    let both = json!({"sink": "https://new.example.org/", "protocolsettings": {"auth": {"basic": {"password": "q"}}, "headers": {"x-api-key": null}, "token": "new"}});
    assert!(moved(both).is_ok());
    // A signing secret is never sent, so it may stay.
    let plain = read(&json!({"sink": "https://a.example/", "protocolsettings": {"secret": SECRET}})).unwrap();
    assert!(
        plain
            .patched(&json!({"sink": "https://b.example/"}), &defaults, NOW)
            .is_ok()
    );
}

#[test]
fn kept_credentials_go_to_no_other_token_endpoint_and_by_no_other_proxy() {
    let oauth2 = json!({"token_url": "https://id.example/t", "client_id": "me", "client_secret": "s3cret"});
    let proxy = json!({"url": "http://proxy:3128", "username": "u", "password": "s3cret"});
    let settings = json!({"auth": {"oauth2": oauth2}, "proxy": proxy});
    let one = read(&json!({"sink": "http://a.example/", "protocolsettings": settings})).unwrap();
    assert_eq!(Subscription::from_stored(one.to_stored()).unwrap(), one);
    let shown = one.to_json();
    assert!(!shown.to_string().contains("s3cret") && !format!("{one:?}").contains("s3cret"));
    assert_eq!(
        shown["protocolsettings"]["auth"]["oauth2"]["token_url"],
        "https://id.example/t"
    );
    let check = |settings: Value, taken: bool| {
        let patch = json!({"protocolsettings": settings});
        let patched = one.patched(&patch, &DeliveryConfig::default(), NOW);
        match patched {
            Ok(_) => assert!(taken, "{patch}"),
            Err(error) => assert!(!taken && error.code() == "credentials_required", "{patch}: {error}"),
        }
    };
    check(json!({"auth": {"oauth2": {"scope": "a"}}}), true);
    check(
        json!({"auth": {"oauth2": {"token_url": "https://evil.example/t"}}}),
        false,
    );
    check(json!({"proxy": {"url": "http://evil:3128"}}), false);
    check(json!({"proxy": "http://evil:3128"}), false);
    check(json!({"proxy": "none"}), true);
    check(json!({"proxy": null}), true);
    let all = json!({"auth": {"oauth2": {"token_url": "https://b.example/t", "client_secret": "n"}},
        "proxy": {"url": "http://b:1", "password": "n"}});
    check(all, true);
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("{:?}", read(&full()).unwrap());
    assert!(!text.contains("\"p\"") && !text.contains("97, 97"), "{text}");
}

proptest! {
    #[test]
    fn no_json_makes_it_panic(pointer in prop::sample::select(vec![
        "/sink", "/types", "/filters", "/protocolsettings", "/protocolsettings/auth", "/protocolsettings/secret", "/protocolsettings/headers",
        "/config", "/config/start", "/config/schedule", "/config/timeout", "/config/batch", "/protocol", "/source", "/bus",
    ]), value in any_json()) {
        if let Ok(read) = read(&with(pointer, value.clone())) {
            prop_assert_eq!(&Subscription::from_stored(read.to_stored()).unwrap(), &read);
            prop_assert_eq!(&read.replaced(&read.to_json(), &DeliveryConfig::default(), NOW).unwrap(), &read);
        }
        let _ = self::read(&full()).unwrap().patched(&value, &DeliveryConfig::default(), NOW);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(Value::from("***")),
        Just(Value::from("5s")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z-]{1,9}|auth|basic|secret|count", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}
