//! Credentials in every form; tokens that come and go; what ends with them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::rate::Rate;
use crate::time::Timestamp;

fn account(secret: Secret, scopes: &[&str]) -> Account {
    Account {
        secret,
        permissions: scopes.iter().map(|scope| Permission::parse(scope).unwrap()).collect(),
        expires: None,
        pace: None,
    }
}

fn accounts() -> BTreeMap<String, Account> {
    let plain = |secret: &str| Secret::Plain(secret.to_owned());
    BTreeMap::from([
        ("ann".to_owned(), account(plain("s3cret"), &["admin"])),
        (
            "bob".to_owned(),
            account(plain("pass:word"), &["publish", "subscribe:orders"]),
        ),
        (
            "eve".to_owned(),
            account(Secret::Sha256(sha256("h4shed")), &["publish"]),
        ),
    ])
}

fn access() -> Access {
    Access::new(accounts().into(), Clock::system())
}

fn new(name: &str, scopes: &[&str]) -> NewToken {
    NewToken {
        name: name.to_owned(),
        permissions: scopes.iter().map(|scope| Permission::parse(scope).unwrap()).collect(),
        expires: None,
        pace: None,
    }
}

fn name(access: &Access, value: &str) -> Option<String> {
    let who = access.header(value)?;
    who.name.map(|name| name.to_string())
}

fn basic(text: &str) -> String {
    format!("Basic {}", BASE64.encode(text))
}

#[test]
fn credentials_of_every_form_are_known() {
    let access = access();
    let (token, whole) = Token::issue(new("shop", &["publish"]), Timestamp(0));
    let id = token.id.clone();
    let other = Token::issue(new("shop", &["publish"]), Timestamp(0)).1;
    let other = other.replace(other.split('_').nth(1).unwrap(), &id);
    access.admit(token);
    for (value, who) in [
        ("Bearer s3cret".to_owned(), Some("ann")),
        ("bearer ann:s3cret".to_owned(), Some("ann")),
        ("Bearer bob:s3cret".to_owned(), None),
        ("Bearer ".to_owned(), None),
        (basic("ann:s3cret"), Some("ann")),
        (basic("bob:pass:word"), Some("bob")),
        (basic("bob:pass"), None),
        (basic("mal:"), None),
        (basic("eve:h4shed"), Some("eve")),
        ("Bearer h4shed".to_owned(), Some("eve")),
        (format!("Bearer eve:{}", sha256("h4shed")), None),
        ("ApiKey ann:s3cret".to_owned(), Some("ann")),
        ("token=s3cret".to_owned(), Some("ann")),
        ("Digest x".to_owned(), None),
        ("Basic %%%".to_owned(), None),
        (String::new(), None),
        (format!("Bearer {whole}"), Some("shop")),
        (format!("token={whole}"), Some("shop")),
        (format!("Bearer shop:{whole}"), Some("shop")),
        (basic(&format!("shop:{whole}")), Some("shop")),
        (basic(&format!("{id}:{whole}")), Some("shop")),
        (basic(&format!("ann:{whole}")), None),
        (format!("Bearer {other}"), None),
        (format!("Bearer {}", &whole[..whole.len() - 1]), None),
    ] {
        assert_eq!(name(&access, &value).as_deref(), who, "{value}");
    }
}

#[test]
fn signatures_need_the_secret_itself() {
    let access = access();
    assert_eq!(access.secret("ann").map(|(_, secret)| secret), Some("s3cret"));
    assert!(access.secret("eve").is_none() && access.secret("mal").is_none());
}

#[test]
fn a_hub_that_has_once_asked_goes_on_asking() {
    let open = Access::new(Settings::default(), Clock::system());
    let anybody = open.anonymous().unwrap();
    assert!(anybody.may(Scope::Admin, None));
    assert!(open.header("nonsense").is_some());
    let (token, whole) = Token::issue(new("root", &["admin"]), Timestamp(0));
    let id = token.id.clone();
    open.admit(token);
    assert!(open.anonymous().is_none() && open.header("nonsense").is_none());
    assert!(anybody.standing().unwrap().has_ended(), "what was open stays open");
    let root = open.bearer(&whole).unwrap();
    assert!(!root.standing().unwrap().has_ended());
    assert!(open.has_admin_without("other") && !open.has_admin_without(&id));
    open.revoke(&id);
    assert!(open.bearer(&whole).is_none() && open.anonymous().is_none());
    assert!(root.standing().unwrap().has_ended());
}

#[tokio::test]
async fn credentials_end_when_they_expire() {
    let clock = Clock::manual(Timestamp(0));
    let access = Access::new(Settings::default(), clock.clone());
    let mut until = new("guest", &["admin"]);
    until.expires = Some(Timestamp(60_000));
    let (token, whole) = Token::issue(until, clock.now());
    access.admit(token);
    let standing = access.bearer(&whole).unwrap().standing().unwrap();
    assert!(access.has_admin_without(""));
    let ended = standing.ended();
    tokio::pin!(ended);
    assert!(futures_util::poll!(ended.as_mut()).is_pending());
    clock.advance(Duration::from_secs(60));
    ended.await;
    assert!(access.bearer(&whole).is_none(), "expired, and still let in");
    assert!(!access.has_admin_without(""));
}

#[tokio::test]
async fn what_is_done_for_a_request_is_done_by_its_sender() {
    let access = access();
    let address = "10.0.0.7".parse().ok();
    let found = caller::serving(address, async {
        assert!(access.header("Bearer wrong").is_none());
        access.header("Bearer ann:s3cret");
        caller::current()
    });
    let (found, end) = found.await;
    assert!(!end.stranger, "one of the credentials was right");
    assert_eq!((found.name.as_deref(), found.address), (Some("ann"), address));
    let nobody = caller::current();
    assert!(nobody.name.is_none() && nobody.address.is_none() && nobody.standing.is_none());
}

#[tokio::test]
async fn a_stranger_is_who_tried_and_was_not_recognised() {
    let access = access();
    for (credentials, stranger) in [
        (None, false),
        (Some("Bearer wrong"), true),
        (Some("Digest x"), true),
        (Some("Bearer s3cret"), false),
    ] {
        let request = async { credentials.map(|value| access.header(value)) };
        let (_, end) = caller::serving(None, request).await;
        assert_eq!(end.stranger, stranger, "{credentials:?}");
    }
    let (_, end) = caller::serving(None, async { access.secret("ann").is_some() }).await;
    assert!(end.stranger, "a name alone proves nothing");
    let signed = async { access.secret("ann").and_then(|(signatory, _)| signatory.admitted()) };
    let (who, end) = caller::serving(None, signed).await;
    assert!(who.is_some() && !end.stranger);
}

#[test]
fn a_rate_is_of_the_credentials() {
    let mut all = accounts();
    let pace = Pace {
        rate: Rate::parse("1/h").unwrap(),
        burst: 2,
    };
    all.get_mut("bob").unwrap().pace = Some(pace);
    let access = Access::new(all.into(), Clock::system());
    let spend = |token: &str| access.bearer(token).unwrap().spend().map_err(|error| error.code());
    assert_eq!(spend("pass:word"), Ok(()));
    assert_eq!(spend("bob:pass:word"), Ok(()));
    assert_eq!(spend("pass:word"), Err("rate_limited"));
    assert_eq!(spend("s3cret"), Ok(()));
}

#[test]
fn nothing_shows_a_secret() {
    let access = access();
    let (token, whole) = Token::issue(new("shop", &["publish"]), Timestamp(0));
    access.admit(token);
    let shown = format!("{access:?} {:?}", accounts());
    for secret in [
        "s3cret",
        "pass:word",
        &sha256("h4shed"),
        whole.rsplit('_').next().unwrap(),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
