//! One fetch at a time, whatever happens to it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderValue;

use super::*;
use crate::deliver::retry::Outcome;
use crate::subscription::ClientStyle;

const NOW: Timestamp = Timestamp(1_000);

fn id() -> SubscriptionId {
    SubscriptionId("s".into())
}

fn credentials(secret: &str) -> Arc<OAuth2> {
    Arc::new(OAuth2 {
        token_url: "https://id.example/token".parse().unwrap(),
        client_id: "me".to_owned(),
        client_secret: secret.to_owned(),
        scope: None,
        audience: None,
        style: ClientStyle::Header,
    })
}

/// A token by its number, good for a second.
fn token(number: usize) -> Token {
    Token {
        header: HeaderValue::from_str(&format!("Bearer {number}")).unwrap(),
        until: NOW.plus(Duration::from_secs(1)),
    }
}

fn failure() -> Answered {
    Answered::without_answer(
        Outcome::Retry { after: None },
        "the token endpoint answered 503".to_owned(),
    )
}

#[tokio::test]
async fn many_at_once_fetch_once_and_share_what_comes_of_it() {
    let check = async |fetched: Fetched| {
        let (tokens, asked, credentials) = (Tokens::default(), AtomicUsize::new(0), credentials("a"));
        let one = async |_: usize| {
            let fetch = async || {
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                fetched.clone()
            };
            tokens.token((&id(), &credentials), NOW, fetch).await
        };
        let all = join_all((0..100).map(one)).await;
        assert!(all.iter().all(|got| *got == fetched));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    };
    check(Ok(token(1))).await;
    check(Err(failure())).await;
}

#[tokio::test]
async fn a_token_is_kept_until_its_end_its_refusal_or_other_credentials() {
    let (tokens, asked) = (Tokens::default(), AtomicUsize::new(0));
    let get = async |secret: &str, now: Timestamp| {
        let fetch = async || Ok(token(asked.fetch_add(1, Ordering::SeqCst)));
        let got = tokens.token((&id(), &credentials(secret)), now, fetch).await.unwrap();
        got.header.to_str().unwrap().to_owned()
    };
    assert_eq!(get("a", NOW).await, "Bearer 0");
    assert_eq!(get("a", Timestamp(1_999)).await, "Bearer 0");
    assert_eq!(get("a", Timestamp(2_000)).await, "Bearer 1");
    tokens.refuse(&id(), &token(0));
    assert_eq!(get("a", NOW).await, "Bearer 1", "that one was gone already");
    tokens.refuse(&id(), &token(1));
    assert_eq!(get("a", NOW).await, "Bearer 2");
    assert_eq!(get("b", NOW).await, "Bearer 3");
    tokens.forget(&id());
    assert_eq!(get("b", NOW).await, "Bearer 4");
}

#[tokio::test]
async fn a_failure_is_not_kept_and_one_that_waits_takes_over_from_one_that_is_given_up() {
    let (tokens, credentials) = (Tokens::default(), credentials("a"));
    let failed = tokens.token((&id(), &credentials), NOW, async || Err(failure())).await;
    assert_eq!(failed, Err(failure()));
    let (first, second) = (id(), id());
    let mut hung = Box::pin(tokens.token((&first, &credentials), NOW, async || std::future::pending().await));
    let mut waits = Box::pin(tokens.token((&second, &credentials), NOW, async || Ok(token(7))));
    assert!(futures_util::poll!(&mut hung).is_pending());
    assert!(futures_util::poll!(&mut waits).is_pending(), "it waits for the first");
    drop(hung);
    assert_eq!(waits.await, Ok(token(7)));
}
