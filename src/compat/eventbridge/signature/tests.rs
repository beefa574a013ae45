//! Signatures against vectors that others have computed, and every way in which one can be wrong.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::super::call::Origin;
use super::*;
use crate::access::{Account, Permission};

fn access() -> Access {
    let account = Account::plain("SK", vec![Permission::parse("publish").unwrap()]);
    Access::new(BTreeMap::from([("AK".to_owned(), account)]).into(), Clock::system())
}

fn request(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Whole {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    Whole {
        method: method.parse().unwrap(),
        uri: uri.parse().unwrap(),
        headers: map,
        body: Bytes::copy_from_slice(body.as_bytes()),
        from: Origin::default(),
    }
}

/// Who has signed it, or the code of the refusal, at this time.
fn told(claim: Result<Claim, Fault>, nonces: &Nonces, now: &str) -> Result<(), String> {
    let clock = Clock::manual(crate::event::parse_rfc3339(now).unwrap());
    let verified = claim.and_then(|claim| verify(&access(), nonces, &clock, claim));
    verified.map(|_| ()).map_err(|fault| fault.code.into_owned())
}

const DATE: &str = "Thu, 22 Feb 2018 07:46:12 GMT";
const NOW: &str = "2018-02-22T07:50:00Z";

fn put_events(authorization: &str, more: &[(&str, &str)]) -> Whole {
    let mut headers = vec![
        ("content-type", "application/cloudevents-batch+json; charset=utf-8"),
        ("accept", "application/json"),
        ("x-acs-signature-method", "HMAC-SHA1"),
        ("x-acs-signature-nonce", "550e8400e29b41d4a716446655440000"),
        ("x-acs-signature-version", "1.0"),
        ("x-eventbridge-version", "2015-06-06"),
        ("authorization", authorization),
    ];
    headers.extend(more);
    request("POST", "/openapi/putEvents", &headers, "[]")
}

fn sha1(text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"SK");
    BASE64.encode(hmac::sign(&key, text.as_bytes()))
}

#[test]
fn the_published_vector_is_right() {
    let given = put_events("acs:AK:rIPsAn4c/MnQF6rKGWpz5rJSjfc=", &[("date", DATE)]);
    let nonces = Nonces::default();
    assert_eq!(told(data_plane::read(&given), &nonces, NOW), Ok(()));
    assert_eq!(
        told(data_plane::read(&given), &nonces, NOW),
        Err("SignatureNonceUsed".to_owned())
    );
}

#[test]
fn every_writer_of_it_is_understood() {
    let rest = "x-acs-signature-method:HMAC-SHA1\nx-acs-signature-nonce:550e8400e29b41d4a716446655440000\nx-acs-signature-version:1.0\n";
    let media = "application/cloudevents-batch+json; charset=utf-8";
    let documents = format!("POST\napplication/json\n\n{media}\n{DATE}\n{rest}/openapi/putEvents");
    let java = format!("POST\n\n{media}\nnull\n{rest}x-eventbridge-version:2015-06-06\n/openapi/putEvents");
    for given in [
        put_events(&format!("acs AK:{}", sha1(&documents)), &[("date", DATE)]),
        put_events(&format!("acs:AK:{}", sha1(&java)), &[]),
    ] {
        assert_eq!(
            told(data_plane::read(&given), &Nonces::default(), NOW),
            Ok(()),
            "{:?}",
            given.headers
        );
    }
}

#[test]
fn what_is_wrong_is_told() {
    let good = "acs:AK:rIPsAn4c/MnQF6rKGWpz5rJSjfc=";
    for (authorization, date, now, code) in [
        ("", DATE, NOW, "InvalidAccessKeyId"),
        ("acs:AK", DATE, NOW, "InvalidAccessKeyId"),
        ("acs:AK:%%", DATE, NOW, "InvalidAccessKeyId"),
        ("acs:XX:rIPsAn4c/MnQF6rKGWpz5rJSjfc=", DATE, NOW, "InvalidAccessKeyId"),
        (
            "acs:AK:rIPsAn4c/MnQF6rKGWpz5rJSjf0=",
            DATE,
            NOW,
            "SignatureDoesNotMatch",
        ),
        (good, "Thu, 22 Feb 2018 07:46:13 GMT", NOW, "SignatureDoesNotMatch"),
        (good, "yesterday", NOW, "InvalidTimeStamp.Format"),
        (good, DATE, "2018-02-22T08:01:13Z", "InvalidTimeStamp.Expired"),
        (good, DATE, "2018-02-22T07:31:11Z", "InvalidTimeStamp.Expired"),
    ] {
        let given = put_events(authorization, &[("date", date)]);
        assert_eq!(
            told(data_plane::read(&given), &Nonces::default(), now),
            Err(code.to_owned()),
            "{authorization} {date}"
        );
    }
    let given = put_events("acs:AK:AAAA", &[("date", DATE)]);
    let clock = Clock::manual(Timestamp(0));
    let fault = verify(&access(), &Nonces::default(), &clock, data_plane::read(&given).unwrap()).unwrap_err();
    assert!(
        fault
            .message
            .contains("server string to sign is:POST\n\napplication/cloudevents-batch+json"),
        "{fault:?}"
    );
}

/// The text of a call, and its signature, made with the openapi helper of the Python SDK.
const ACS3: (&str, &str) = (
    "/?EventBusName=a%20b&RuleName=r",
    "8f34c92d4a663bf9e637ad02e3204173a63b6c437391bab90a726bb4d3ffda0c",
);

fn acs3(signature: &str, signed: &str) -> Whole {
    let authorization = format!("ACS3-HMAC-SHA256 Credential=AK,SignedHeaders={signed},Signature={signature}");
    let headers = [
        ("accept", "application/json"),
        ("host", "127.0.0.1:8080"),
        ("x-acs-action", "GetRule"),
        (
            "x-acs-content-sha256",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("x-acs-date", "2018-02-22T07:46:12Z"),
        ("x-acs-signature-nonce", "n"),
        ("x-acs-version", "2020-04-01"),
        ("authorization", authorization.as_str()),
    ];
    request("POST", ACS3.0, &headers, "")
}

const SIGNED: &str = "accept;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";

#[test]
fn version_three_is_right() {
    let read = |given: &Whole| acs3::read(given, given.header("authorization").unwrap());
    let check = |given: &Whole, expected: Result<(), &str>| {
        assert_eq!(
            told(read(given), &Nonces::default(), NOW),
            expected.map_err(str::to_owned)
        );
    };
    check(&acs3(ACS3.1, SIGNED), Ok(()));
    check(&acs3(&ACS3.1.replace('6', "7"), SIGNED), Err("SignatureDoesNotMatch"));
    check(&acs3(ACS3.1, "accept;host"), Err("SignatureDoesNotMatch"));
    check(&acs3("zz", SIGNED), Err("InvalidAccessKeyId"));
}

#[test]
fn version_one_is_right() {
    // The example of Alibaba's own documents of this signature, with its keys.
    let access = {
        let account = Account::plain("testsecret", Vec::new());
        Access::new(BTreeMap::from([("testid".to_owned(), account)]).into(), Clock::system())
    };
    let pairs = [
        ("TimeStamp", "2016-02-23T12:46:24Z"),
        ("Format", "XML"),
        ("AccessKeyId", "testid"),
        ("Action", "DescribeRegions"),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"),
        ("Version", "2014-05-26"),
        ("SignatureVersion", "1.0"),
        ("Timestamp", "2016-02-23T12:46:24Z"),
        ("Signature", "OLeaidS1JvxuMvnyHOwuJ+uX5qY="),
    ];
    let given = |left_out: &str| -> Vec<(String, String)> {
        let kept = pairs.iter().filter(|(name, _)| *name != left_out);
        kept.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let clock = Clock::manual(crate::event::parse_rfc3339("2016-02-23T12:50:00Z").unwrap());
    let claim = version1::read("GET", &given("TimeStamp")).unwrap();
    assert!(verify(&access, &Nonces::default(), &clock, claim).is_ok());
    for (left_out, code) in [
        ("AccessKeyId", "InvalidAccessKeyId"),
        ("Signature", "InvalidAccessKeyId"),
        ("Timestamp", "InvalidTimeStamp.Format"),
    ] {
        let mut pairs = given(left_out);
        pairs.retain(|(name, _)| name != "TimeStamp");
        assert_eq!(version1::read("GET", &pairs).unwrap_err().code, code, "{left_out}");
    }
}

#[test]
fn a_page_of_another_site_is_refused_where_nobody_is_asked() {
    let open = Access::new(Default::default(), Clock::system());
    for (origin, good) in [
        (None, true),
        (Some("http://127.0.0.1:8080"), true),
        (Some("https://evil.example"), false),
        (Some("null"), false),
    ] {
        let mut headers = vec![("host", "127.0.0.1:8080")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let given = request("POST", "/openapi/createRule", &headers, "{}");
        assert_eq!(plain(&open, &given).is_ok(), good, "{origin:?}");
    }
}
