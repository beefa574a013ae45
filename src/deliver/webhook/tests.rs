//! Requests header by header, and outcomes answer by answer.

use super::*;
use crate::event::http::encode;
use crate::event::{Data, DataKind, Draft, Event};
use crate::subscription::{Secret, SigningSecret};

const NOW: Timestamp = Timestamp(1_700_000_000_999);

fn event() -> Event {
    Draft {
        id: "1".to_owned(),
        source: "/s".to_owned(),
        ty: "t".to_owned(),
        datacontenttype: Some("application/json".to_owned()),
        data: Some(Data {
            kind: DataKind::Json,
            bytes: Bytes::from_static(br#"{"a":1}"#),
        }),
        ..Draft::default()
    }
    .check()
    .unwrap()
}

fn hook(format: Format) -> Webhook {
    Webhook {
        url: "http://sink.example:8080/hook?a=b#part".parse().unwrap(),
        format,
        headers: Vec::new(),
        auth: None,
        secrets: Vec::new(),
        consent: crate::subscription::Consent::NotNeeded,
        success: Vec::new(),
        push: None,
        tls: None,
        route: None,
    }
}

fn made(webhook: &Webhook) -> Request<Bytes> {
    request(
        webhook,
        encode(mode(webhook.format), &event()),
        "msg_1",
        NOW,
        Some("00-aa-bb-01"),
    )
    .unwrap()
}

fn names(request: &Request<Bytes>) -> Vec<&str> {
    let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn each_format_has_its_headers() {
    let ours = ["traceparent", "user-agent", "webhook-id", "webhook-timestamp"];
    let binary = ["ce-id", "ce-source", "ce-specversion", "ce-type"];
    let check = |format, extra: &[&[&str]]| {
        let mut want: Vec<&str> = extra.concat();
        want.push("content-type");
        want.sort_unstable();
        assert_eq!(names(&made(&hook(format))), want, "{format:?}");
    };
    check(Format::Structured, &[&ours]);
    check(Format::Binary, &[&ours, &binary]);
    check(Format::Batch, &[&ours]);
    check(Format::Raw, &[&["webhook-id", "webhook-timestamp"]]);
    let raw = made(&hook(Format::Raw));
    assert_eq!((raw.method().as_str(), &raw.body()[..]), ("POST", &br#"{"a":1}"#[..]));
    assert_eq!(raw.uri(), "http://sink.example:8080/hook?a=b");
}

#[test]
fn the_body_is_signed_as_it_is_sent() {
    let secret = Secret::Shared(STANDARD.decode("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=").unwrap());
    let signed = made(&Webhook {
        secrets: vec![SigningSecret::lasting(secret)],
        ..hook(Format::Raw)
    });
    assert_eq!(signed.headers()["webhook-timestamp"], "1700000000");
    assert_eq!(
        signed.headers()["webhook-signature"],
        "v1,gY5u0Gy1AnBsf6YdPFLa7N7Wpo237alzmdfC0DTFXRI="
    );
}

#[test]
fn own_headers_win_but_cannot_forge_or_break_the_message() {
    let own = [
        ("X-A", "1"),
        ("x-a", "2"),
        ("User-Agent", "mine"),
        ("content-type", "text/plain"),
        ("webhook-id", "forged"),
        ("Content-Length", "3"),
        ("Transfer-Encoding", "chunked"),
    ];
    let headers = own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let auth = Some(Auth::Basic {
        username: "u".to_owned(),
        password: "p".to_owned(),
    });
    let request = made(&Webhook {
        headers,
        auth,
        ..hook(Format::Structured)
    });
    let all = |name| {
        request
            .headers()
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("x-a"), ["1", "2"]);
    assert_eq!(all("user-agent"), ["mine"]);
    assert_eq!(all("content-type"), ["text/plain"]);
    assert_eq!(all("webhook-id"), ["msg_1"]);
    assert_eq!(all("authorization"), ["Basic dTpw"]);
    assert!(all("content-length").is_empty() && all("transfer-encoding").is_empty());
    let bearer = Webhook {
        auth: Some(Auth::Bearer { token: "t".to_owned() }),
        ..hook(Format::Raw)
    };
    assert_eq!(made(&bearer).headers()["authorization"], "Bearer t");
    let broken = Webhook {
        headers: vec![("a b".to_owned(), "1".to_owned())],
        ..hook(Format::Raw)
    };
    assert!(
        super::request(&broken, encode(Mode::Raw, &event()), "m", NOW, None)
            .unwrap_err()
            .contains("`a b`")
    );
}

#[test]
fn answers_become_outcomes() {
    let retry = |seconds: Option<u64>| Outcome::Retry {
        after: seconds.map(Duration::from_secs),
    };
    let soon = || Outcome::Retry {
        after: Some(Duration::from_millis(119_001)),
    };
    let table = [
        (200, None, Outcome::Accepted),
        (202, None, Outcome::Accepted),
        (204, Some("9"), Outcome::Accepted),
        (410, None, Outcome::Gone),
        (301, None, retry(None)),
        (400, None, retry(None)),
        (404, None, retry(None)),
        (429, Some("120"), retry(Some(120))),
        (503, Some(" 7 "), retry(Some(7))),
        (503, Some("soon"), retry(None)),
        (503, Some("-1"), retry(None)),
        (503, Some(""), retry(None)),
        (503, Some("0"), retry(Some(0))),
        (503, Some("1.5"), retry(None)),
        (503, Some("99999999999999999999999"), retry(None)),
        (503, Some("18446744073709551615"), retry(Some(u64::MAX))),
        (503, Some("Tue, 99 Nov 2023 22:15:20 GMT"), retry(None)),
        // The two older forms that a recipient must still know.
        (503, Some("Tuesday, 14-Nov-23 22:15:20 GMT"), soon()),
        (503, Some("Tue Nov 14 22:15:20 2023"), soon()),
        (503, Some("Sun Nov  6 08:49:37 1994"), retry(Some(0))),
        // Two minutes after NOW, and a date that has passed.
        (503, Some("Tue, 14 Nov 2023 22:15:20 GMT"), soon()),
        (503, Some("Mon, 14 Nov 2022 22:15:20 GMT"), retry(Some(0))),
    ];
    for (status, after, want) in table {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert(RETRY_AFTER, after.parse().unwrap());
        }
        let answer = net::Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(b"why"),
            cut: None,
        };
        let got = read(&answer, &[], NOW);
        assert_eq!(got.outcome, want, "{status} {after:?}");
        assert_eq!((got.status, got.answer.as_deref()), (Some(status), Some("why")));
    }
}

#[test]
fn a_sink_that_repeats_the_credentials_does_not_have_them_shown() {
    let check = |credentials: Option<&str>, said: &str, shown: &str| {
        let credentials = credentials.map(|text| sensitive(text.to_owned()).unwrap());
        assert_eq!(without(said.to_owned(), credentials.as_ref()), shown);
    };
    check(Some("Bearer t0ken"), "no: Bearer t0ken, t0ken", "no: Bearer ***, ***");
    check(Some("Basic dTpw"), "dTpw", "***");
    check(Some("Bearer t0ken"), "other", "other");
    check(None, "t0ken", "t0ken");
}

#[test]
fn what_is_over_does_not_sign() {
    let lasting = SigningSecret::lasting(Secret::Shared(vec![1; 32]));
    let until = |at: Timestamp| SigningSecret {
        until: Some(at),
        ..lasting.clone()
    };
    let signatures = |secrets: Vec<SigningSecret>| {
        let made = made(&Webhook {
            secrets,
            ..hook(Format::Raw)
        });
        let value = made
            .headers()
            .get("webhook-signature")
            .map(|value| value.to_str().unwrap().to_owned());
        value.map_or(0, |value| value.split(' ').count())
    };
    let (soon, now) = (until(NOW.plus(Duration::from_millis(1))), until(NOW));
    assert_eq!(signatures(vec![lasting.clone(), soon]), 2);
    assert_eq!(signatures(vec![lasting, now.clone()]), 1);
    assert_eq!(signatures(vec![now]), 0);
}

#[test]
fn only_a_place_that_is_blocked_for_good_is_given_up_at_once() {
    let blocked = |looked_up| {
        net::Error::Blocked(net::Blocked {
            place: "the address 169.254.169.254".to_owned(),
            rule: "metadata".to_owned(),
            looked_up,
        })
    };
    assert!(matches!(failed(&blocked(false)).outcome, Outcome::Rejected { .. }));
    let others = [
        blocked(true),
        net::Error::Timeout,
        net::Error::Connect("x".into()),
        net::Error::Resolve("x".into()),
        net::Error::Proxy("x".into()),
    ];
    for error in others {
        assert_eq!(failed(&error).outcome, Outcome::Retry { after: None }, "{error}");
    }
}
