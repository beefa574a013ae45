//! Sinks that break every rule of the network: what the attempt says, that it ends in time, and that nobody else suffers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{HubProcess, Receiver};

/// A sink that does what a script says with each connection.
struct Scripted {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Scripted {
    async fn start<F, W>(script: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        #[allow(clippy::disallowed_methods, reason = "aborted when the sink is dropped")]
        let server = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(script(stream));
            }
        });
        Self { address, server }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads the head and the body of a request, as far as one read brings it.
async fn some_of_a_request(stream: &mut TcpStream) -> std::io::Result<usize> {
    stream.read(&mut vec![0; 64 << 10]).await
}

/// What a bad sink writes once something of a request is there.
#[derive(Clone, Copy)]
enum Then {
    /// This, and closes.
    Closes(&'static str),
    /// This, and keeps the connection without another word.
    Waits(&'static str),
    /// The first, and then the second as often as it is taken.
    Floods(&'static str, &'static str),
    /// The first, and then a byte now and then.
    Drips(&'static str),
}

use Then::*;

async fn act(mut stream: TcpStream, then: Then) -> std::io::Result<()> {
    some_of_a_request(&mut stream).await?;
    match then {
        Closes(text) => stream.write_all(text.as_bytes()).await,
        Waits(text) => {
            stream.write_all(text.as_bytes()).await?;
            std::future::pending().await
        }
        Floods(first, again) => {
            stream.write_all(first.as_bytes()).await?;
            let piece = again.repeat((16 << 10) / again.len());
            loop {
                stream.write_all(piece.as_bytes()).await?;
            }
        }
        Drips(first) => {
            stream.write_all(first.as_bytes()).await?;
            let mut drop_by_drop = tokio::time::interval(Duration::from_millis(50));
            loop {
                drop_by_drop.tick().await;
                stream.write_all(b"x").await?;
            }
        }
    }
}

/// A fault, and what the attempt says of it.
const FAULTS: &[(&str, Then, &str)] = &[
    ("no-word", Waits(""), "no answer in time"),
    ("closes", Closes(""), "the connection broke"),
    (
        "ssh",
        Closes("SSH-2.0-OpenSSH_9.9\r\n"),
        "the connection broke: invalid HTTP",
    ),
    (
        "half-a-head",
        Waits("HTTP/1.1 200 OK\r\ncontent-le"),
        "no answer in time",
    ),
    (
        "cut-head",
        Closes("HTTP/1.1 200 OK\r\ncontent-le"),
        "the connection broke",
    ),
    (
        "dripping-head",
        Drips("HTTP/1.1 200 OK\r\nx-slow: "),
        "no answer in time",
    ),
    (
        "endless-head",
        Floods("HTTP/1.1 200 OK\r\n", "x-more: of it\r\n"),
        "the connection broke",
    ),
    (
        "endless-line",
        Floods("HTTP/1.1 200 OK\r\nx-more: ", "of it"),
        "the connection broke: message head is too large",
    ),
    (
        "two-lengths",
        Waits("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nhello"),
        "the connection broke",
    ),
    (
        "dripping-body",
        Drips("HTTP/1.1 500 Oh\r\ncontent-length: 500\r\n\r\n"),
        "the sink answered 500",
    ),
    (
        "aborts",
        Closes("HTTP/1.1 503 No\r\nwebhook-delivery: abort-message\r\ncontent-length: 500\r\n\r\nhello"),
        "abort-message",
    ),
    (
        "only-interim",
        Floods("", "HTTP/1.1 100 Continue\r\n\r\n"),
        "no answer in time",
    ),
    (
        "switches",
        Waits("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        "the sink answered 101",
    ),
    (
        "early-refusal",
        Waits("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"),
        "the sink answered 413",
    ),
    // And what looks odd, but is an answer: its head decides.
    (
        "silent-body",
        Waits("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        "delivered",
    ),
    (
        "dripping-success",
        Drips("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n"),
        "delivered",
    ),
    (
        "cut-body",
        Closes("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello"),
        "delivered",
    ),
    (
        "bad-chunks",
        Waits("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello"),
        "delivered",
    ),
    (
        "long-chunk",
        Waits("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nx"),
        "delivered",
    ),
    (
        "interim",
        Waits("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
        "delivered",
    ),
    ("old", Closes("HTTP/1.0 200 OK\r\n\r\nhello"), "delivered"),
    (
        "too-much",
        Closes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhello"),
        "delivered",
    ),
    (
        "endless-body",
        Floods("HTTP/1.1 200 OK\r\n\r\n", "and on "),
        "delivered",
    ),
    (
        "endless-chunks",
        Floods(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "5\r\nhello\r\n",
        ),
        "delivered",
    ),
];

async fn subscribe(hub: &HubProcess, id: &str, sink: &str, settings: Value) {
    let asked = json!({"types": ["n"], "sink": sink, "protocolsettings": settings,
        "config": {"max_attempts": 1, "timeout": "2s"}});
    hub.put(&format!("/v1/subscriptions/{id}"), &asked).await;
}

/// Waits for the attempt of this subscription; what came of it.
async fn outcome(hub: &HubProcess, id: &str) -> String {
    let path = format!("/v1/subscriptions/{id}/deliveries");
    let tried = |shown: &Value| shown["deliveries"].as_array().is_some_and(|all| !all.is_empty());
    let shown = hub.until(&format!("{id} was tried"), &path, tried).await;
    shown["deliveries"][0]["outcome"].as_str().unwrap().to_owned()
}

/// The most memory that the hub ever had.
fn peak_mib(hub: &HubProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_ends_its_attempt_and_says_what_it_was() {
    let (folder, good) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let mut sinks = Vec::new();
    for (id, then, _) in FAULTS {
        let then = *then;
        let sink = Scripted::start(move |stream| act(stream, then)).await;
        subscribe(&hub, id, &format!("http://{}/", sink.address), json!({})).await;
        sinks.push(sink);
    }
    // A close with a request unread is a reset; a port where nobody listens refuses.
    let resets = Scripted::start(|stream| async move {
        stream.readable().await?;
        drop(stream);
        Ok(())
    })
    .await;
    subscribe(&hub, "resets", &format!("http://{}/", resets.address), json!({})).await;
    subscribe(&hub, "refuses", "http://127.0.0.1:9/", json!({})).await;
    subscribe(&hub, "no-name", "http://no-such-name.invalid/", json!({})).await;
    subscribe(&hub, "good", &good.url("/"), json!({})).await;
    let before = peak_mib(&hub);
    hub.publish_many("n", 0..1, 0).await;
    good.wait_for(1).await;
    for (id, _, says) in FAULTS {
        let told = outcome(&hub, id).await;
        assert!(told.contains(says), "{id}: {told}, not {says}");
    }
    for (id, says) in [
        ("resets", "connection"),
        ("refuses", "no connection: 127.0.0.1:9: Connection refused"),
        ("no-name", "the name does not resolve: no-such-name.invalid: "),
        ("good", "delivered"),
    ] {
        let told = outcome(&hub, id).await;
        assert!(told.contains(says), "{id}: {told}, not {says}");
    }
    // Two seconds of floods, bounded by what is read of a head and of a body.
    let grown = peak_mib(&hub) - before;
    assert!(grown < 128, "{grown} MiB more");
    hub.publish_many("n", 1..2, 0).await;
    good.wait_for(2).await;
}

/// A head that has come decides, however its body ends: what is delivered is not sent again, a sink that is gone is left
/// alone, and who asked for a pause gets one.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_the_end_of_its_body_decides() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let check = async |id: &str, then: Then, answer: &str, what: fn(&Value) -> bool| {
        let sink = Scripted::start(move |stream| act(stream, then)).await;
        let asked = json!({"types": [id], "sink": format!("http://{}/", sink.address),
            "config": {"schedule": ["1h"], "jitter": false, "timeout": "1s"}});
        hub.put(&format!("/v1/subscriptions/{id}"), &asked).await;
        hub.publish_many(id, 0..1, 0).await;
        let path = format!("/v1/subscriptions/{id}");
        hub.until(&format!("{id} is as its status says"), &path, what).await;
        outcome(&hub, id).await;
        let recent = hub.get(&format!("{path}/deliveries")).await;
        let kept = recent["deliveries"][0]["answer"].as_str().unwrap_or_default();
        assert!(
            kept.starts_with(answer) && kept.contains("its body did not end: "),
            "{id}: {kept}"
        );
    };
    let done = |shown: &Value| shown["status"]["delivered"] == 1 && shown["status"]["retrying"] == 0;
    let gone = |shown: &Value| shown["status"]["state"] == "paused" && shown["status"]["reason"] == "gone";
    let waits = |shown: &Value| shown["status"]["retrying"] == 1;
    let cut = Closes("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello");
    check("cut", cut, "hello… and", done).await;
    let drips = Drips("HTTP/1.1 202 Yes\r\ncontent-length: 500\r\n\r\n");
    check("drips", drips, "x", done).await;
    let silent = Waits("HTTP/1.1 410 Gone\r\ncontent-length: 5\r\n\r\n");
    check("gone", silent, "… and", gone).await;
    let later = Closes("HTTP/1.1 429 Slow\r\nretry-after: 9\r\ncontent-length: 5\r\n\r\n");
    check("later", later, "… and", waits).await;
}

/// A certificate for these names, signed by itself, and its key; both PEM.
fn certificate(names: &[&str], years: (i32, i32)) -> (String, String) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let signed = params.self_signed(&key).unwrap();
    (signed.pem(), key.serialize_pem())
}

/// A sink that speaks TLS with this certificate and answers 204.
async fn secure((certificate, key): &(String, String)) -> Scripted {
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Scripted::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut secured = acceptor.accept(stream).await?;
            let _ = secured.read(&mut vec![0; 64 << 10]).await?;
            secured.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
            std::future::pending().await
        }
    })
    .await
}

/// What else may answer a greeting: alerts byte for byte, plain HTTP, an end, nothing.
const GREETINGS: &[(&str, Then, &str)] = &[
    (
        "ancient",
        Closes("\x15\x03\x03\0\x02\x02\x46"),
        "it speaks no TLS 1.2 or 1.3",
    ),
    (
        "no-cipher",
        Closes("\x15\x03\x03\0\x02\x02\x28"),
        "it has no cipher in common",
    ),
    (
        "plain",
        Waits("HTTP/1.1 400 Bad Request\r\n\r\n"),
        "what came is not TLS; is it a port for plain HTTP?",
    ),
    ("leaves", Closes(""), "in the middle of the handshake"),
    ("mute", Waits(""), "the handshake did not end within"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_says_who_must_act() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    let mut sinks = Vec::new();
    // Certificate, whether it is trusted, and what is said.
    let certificates = [
        ("trusted", certificate(&["127.0.0.1"], (2020, 4000)), true, "delivered"),
        (
            "unknown",
            certificate(&["127.0.0.1"], (2020, 4000)),
            false,
            "`protocolsettings.tls.ca` names an authority",
        ),
        (
            "expired",
            certificate(&["127.0.0.1"], (2020, 2021)),
            true,
            "its certificate has expired",
        ),
        (
            "early",
            certificate(&["127.0.0.1"], (3900, 4000)),
            true,
            "its certificate is not valid yet",
        ),
        (
            "misnamed",
            certificate(&["other.example"], (2020, 4000)),
            true,
            "its certificate is for another name",
        ),
    ];
    for (id, made, is_trusted, _) in &certificates {
        let sink = secure(made).await;
        let settings = if *is_trusted {
            json!({"tls": {"ca": made.0}})
        } else {
            json!({})
        };
        subscribe(&hub, id, &format!("https://{}/", sink.address), settings).await;
        sinks.push(sink);
    }
    for (id, then, _) in GREETINGS {
        let then = *then;
        let sink = Scripted::start(move |stream| act(stream, then)).await;
        subscribe(&hub, id, &format!("https://{}/", sink.address), json!({})).await;
        sinks.push(sink);
    }
    hub.publish_many("n", 0..1, 0).await;
    let said = certificates.iter().map(|(id, .., says)| (*id, *says));
    for (id, says) in said.chain(GREETINGS.iter().map(|(id, _, says)| (*id, *says))) {
        let told = outcome(&hub, id).await;
        assert!(told.contains(says), "{id}: {told}, not {says}");
        assert!(
            says == "delivered" || told.contains("TLS with 127.0.0.1: "),
            "{id}: {told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_while_idle_costs_one_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let hub = HubProcess::start(folder.path()).await;
    // Answers the first request of a connection, and no other: what a peer looks like behind a router that forgot it.
    let sink = Scripted::start(|mut stream| async move {
        some_of_a_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        std::future::pending().await
    })
    .await;
    let asked = json!({"types": ["n"], "sink": format!("http://{}/", sink.address),
        "config": {"max_attempts": 3, "timeout": "1s", "schedule": ["50ms"], "concurrency": 1}});
    hub.put("/v1/subscriptions/s", &asked).await;
    for n in 0..2 {
        hub.publish_many("n", n..n + 1, 0).await;
        let settled = |one: &Value| one["status"]["behind"] == 0 && one["status"]["retrying"] == 0;
        hub.until("it is delivered", "/v1/subscriptions/s", settled).await;
    }
    let shown = hub.get("/v1/subscriptions/s/deliveries").await;
    let all = shown["deliveries"].as_array().unwrap();
    let told: Vec<_> = all
        .iter()
        .map(|one| (&one["number"], one["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (&json!(2), "delivered"),
            (&json!(1), "no answer in time"),
            (&json!(1), "delivered")
        ],
        "{shown}"
    );
}
