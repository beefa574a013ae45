//! Names that change where they lead, against the client itself: in a test the name servers can be told what to say.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;

use super::tests::{SECONDS, post, sink};
use super::*;
use crate::net::{GuardSettings, Resolver};

/// A client whose names lead to these addresses, one answer after the other; the last one stays.
fn led(answers: &[&[&str]], rules: GuardSettings) -> Client {
    let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
    let answers: Mutex<VecDeque<Vec<IpAddr>>> = Mutex::new(answers.iter().map(parse).collect());
    let resolver = Resolver::forgetting(move |_| {
        let mut answers = answers.lock().unwrap();
        let next = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        Ok(next.unwrap())
    });
    Client::new(Guard::new(GuardSettings { resolver, ..rules }))
}

/// The URL of a sink under a name.
fn named(url: &str) -> String {
    url.replace("127.0.0.1", "sink.example")
}

const KEPT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const CLOSED: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Sends until a request is refused; how many were answered before.
async fn until_refused(client: &Client, url: &str) -> usize {
    for answered in 0.. {
        match client.send(post(url), SECONDS, 10).await {
            Ok(answer) => assert!(answer.status.is_success()),
            Err(Error::Blocked(blocked)) => {
                assert!(blocked.looked_up, "{blocked}");
                return answered;
            }
            Err(error) => panic!("{error}"),
        }
        // The answer of a look-up is kept for a moment.
        tokio::task::yield_now().await;
    }
    0
}

#[tokio::test]
async fn a_name_that_is_bound_anew_is_judged_anew() {
    let inside: &[&[&str]] = &[&["127.0.0.1"], &["169.254.169.254"]];
    let (url, connections) = sink(CLOSED, 1).await;
    let client = led(inside, GuardSettings::default());
    let answered = until_refused(&client, &named(&url)).await;
    assert!(answered > 0);
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), answered);
}

#[tokio::test]
async fn an_open_connection_stays_where_it_was_and_grows_old() {
    let (url, connections) = sink(KEPT, usize::MAX).await;
    let client = led(&[&["127.0.0.1"], &["100.100.100.200"]], GuardSettings::default());
    let url = named(&url);
    for _ in 0..10 {
        client.send(post(&url), SECONDS, 10).await.unwrap();
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    // Used once more, and then not kept: the next connection asks where the name leads now.
    client.pool.age();
    client.send(post(&url), SECONDS, 10).await.unwrap();
    assert_eq!(client.pool.idle(), 0);
    until_refused(&client, &url).await;
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_are_dialled() {
    let (url, _) = sink(KEPT, usize::MAX).await;
    let mixed: &[&[&str]] = &[&["169.254.169.254", "::ffff:100.100.100.200", "127.0.0.1", "fe80::1"]];
    let client = led(mixed, GuardSettings::default());
    assert!(client.send(post(&named(&url)), SECONDS, 10).await.is_ok());
    let strict = GuardSettings {
        deny_private: true,
        ..GuardSettings::default()
    };
    let refused = led(mixed, strict)
        .send(post(&named(&url)), SECONDS, 10)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Blocked(_)), "{refused}");
}

#[tokio::test]
async fn every_address_that_failed_is_told() {
    let (url, _) = sink(KEPT, 0).await;
    let port = url.rsplit_once(':').unwrap().1.split_once('/').unwrap().0.to_owned();
    let client = led(&[&["127.0.0.2", "127.0.0.3"]], GuardSettings::default());
    let told = client
        .send(post(&named(&url)), SECONDS, 10)
        .await
        .unwrap_err()
        .to_string();
    for address in ["127.0.0.2", "127.0.0.3"] {
        assert!(
            told.contains(&format!("{address}:{port}: Connection refused")),
            "{told}"
        );
    }
}

#[tokio::test]
async fn name_servers_that_do_not_answer_are_told_from_a_sink_that_does_not() {
    let (gate, closed) = std::sync::mpsc::channel::<()>();
    let closed = Mutex::new(closed);
    let resolver = Resolver::forgetting(move |_| {
        let _ = closed.lock().unwrap().recv();
        Ok(Vec::new())
    });
    let client = Client::new(Guard::new(GuardSettings {
        resolver,
        ..GuardSettings::default()
    }));
    let moment = Duration::from_millis(100);
    let told = client.send(post("http://sink.example/"), moment, 10).await.unwrap_err();
    drop(gate);
    assert_eq!(
        told.to_string(),
        "the name does not resolve: sink.example: the name servers did not answer within 100ms"
    );
}
