//! What a token endpoint is asked, and what its answers are taken for.

use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::log::BusName;
use crate::subscription::{Auth, DeliveryConfig, Sink, Subscription, SubscriptionId};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// The form and the credentials in the header that are sent for these settings.
fn asked(oauth2: Value) -> (String, Option<String>) {
    let json = json!({"sink": "https://sink.example/", "protocolsettings": {"auth": {"oauth2": oauth2}}});
    let (id, bus) = (SubscriptionId("s".into()), BusName::default_bus());
    let made = Subscription::from_json(id, bus, &json, &DeliveryConfig::default(), NOW).unwrap();
    let Sink::Webhook(webhook) = &made.sink else {
        panic!("no webhook")
    };
    let Some(Auth::OAuth2(oauth2)) = &webhook.auth else {
        panic!("no OAuth2")
    };
    let request = request(webhook, oauth2).unwrap();
    assert_eq!(
        (request.method().as_str(), request.uri().to_string()),
        ("POST", oauth2.token_url.to_string())
    );
    assert_eq!(request.headers()[CONTENT_TYPE], "application/x-www-form-urlencoded");
    let header = request.headers().get(AUTHORIZATION);
    let header = header.map(|value| value.to_str().unwrap().to_owned());
    (String::from_utf8(request.body().to_vec()).unwrap(), header)
}

#[test]
fn a_token_is_asked_for_in_either_style() {
    let url = "https://id.example/token?tenant=1";
    let with = |more: Value| {
        let mut all = json!({"token_url": url, "client_id": "a:b c", "client_secret": "p%/ö"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    // Each half in the form's encoding, then base64: `a%3Ab+c:p%25%2F%C3%B6`.
    let (form, header) = asked(with(json!({})));
    assert_eq!(form, "grant_type=client_credentials");
    assert_eq!(header.as_deref(), Some("Basic YSUzQWIrYzpwJTI1JTJGJUMzJUI2"));
    let (form, header) = asked(with(json!({"style": "body", "scope": "a b", "audience": "x"})));
    assert_eq!(header, None);
    assert_eq!(
        form,
        "grant_type=client_credentials&scope=a+b&audience=x&client_id=a%3Ab+c&client_secret=p%25%2F%C3%B6"
    );
}

fn answer(status: u16, body: &str) -> net::Answer {
    net::Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        cut: None,
    }
}

#[test]
fn answers_become_tokens_or_reasons() {
    let check = |status: u16, body: &str, expected: Result<(&str, u64), &str>| {
        let expected = expected.map(|(header, seconds)| Token {
            header: HeaderValue::from_str(header).unwrap(),
            until: NOW.plus(Duration::from_secs(seconds)),
        });
        assert_eq!(
            read(&answer(status, body), NOW),
            expected.map_err(str::to_owned),
            "{body}"
        );
    };
    let ok = |text: &'static str, seconds| Ok((text, seconds));
    check(
        200,
        r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#,
        ok("Bearer t", 3_570),
    );
    check(
        200,
        r#"{"access_token":"t","token_type":"bearer","expires_in":"100"}"#,
        ok("Bearer t", 90),
    );
    check(200, r#"{"access_token":"t"}"#, ok("Bearer t", 3_570));
    check(200, r#"{"access_token":"t","expires_in":-5}"#, ok("Bearer t", 0));
    check(
        200,
        r#"{"access_token":"t","expires_in":"soon"}"#,
        ok("Bearer t", 3_570),
    );
    check(
        200,
        r#"{"access_token":"t","token_type":"mac"}"#,
        Err("the token endpoint gave a token of a type that is not `Bearer`"),
    );
    check(200, "<html>", Err("the token endpoint answered 200 without JSON"));
    check(
        400,
        r#"{"error":"invalid_client","error_description":"s3cret is wrong"}"#,
        Err("the token endpoint answered 400: invalid_client"),
    );
    check(
        400,
        r#"{"error":"Your secret S3cret!"}"#,
        Err("the token endpoint answered 400"),
    );
    check(302, "", Err("the token endpoint answered 302"));
    check(503, "down", Err("the token endpoint answered 503"));
}

#[test]
fn only_a_token_that_can_be_sent_is_taken() {
    let none = Err("the token endpoint answered 200 without an `access_token` that can be sent".to_owned());
    let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(LONGEST_TOKEN + 1));
    for body in [
        r#"{"access_token":""}"#,
        r#"{"access_token":"a\r\nb"}"#,
        r#"{"access_token":7}"#,
        "{}",
        &long,
    ] {
        assert_eq!(read(&answer(200, body), NOW), none, "{body}");
    }
}

#[test]
fn a_token_prints_nothing_of_itself() {
    let token = read(&answer(200, r#"{"access_token":"s3cret"}"#), NOW).unwrap();
    assert!(!format!("{token:?}").contains("s3cret"));
}
