//! The way to a callback's sink: as whom the hub shows itself to it, and by which proxy it goes.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

use crate::support::{HubProcess, PATIENCE};

const CA: &str = include_str!("../fixtures/tls/ca.pem");

/// Somebody on the way, and what came by: a line for each.
struct Listener {
    address: SocketAddr,
    seen: watch::Receiver<Vec<String>>,
    server: JoinHandle<()>,
}

impl Listener {
    /// Serves each connection by itself, and tells what `serve` says of it.
    async fn start<F>(serve: impl Fn(TcpStream, watch::Sender<Vec<String>>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = watch::channel(Vec::new());
        #[allow(clippy::disallowed_methods, reason = "aborted when the listener is dropped")]
        let server = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(serve(stream, tell.clone()));
            }
        });
        Self { address, seen, server }
    }

    async fn wait_for(&self, what: &str, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| enough(seen))).await;
        let there = waited.map(|seen| seen.unwrap().clone());
        there.unwrap_or_else(|_| panic!("never came: {what}; {:?}", self.seen.borrow()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The head of the next request, its body read; nothing at the end of the connection.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(head)
}

async fn accept(stream: &mut (impl AsyncWrite + Unpin)) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
}

/// A sink that takes only who shows a certificate of `authority`'s; it tells the path and whose it was.
async fn demanding(authority: &rcgen::Certificate, names: Vec<(Vec<u8>, String)>) -> Listener {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = CertificateDer::pem_slice_iter(include_bytes!("../fixtures/tls/server.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../fixtures/tls/server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let (acceptor, names) = (TlsAcceptor::from(Arc::new(config)), Arc::new(names));
    Listener::start(move |stream, tell| {
        let (acceptor, names) = (acceptor.clone(), names.clone());
        async move {
            let Ok(mut secured) = acceptor.accept(stream).await else {
                return;
            };
            let shown = secured.get_ref().1.peer_certificates().unwrap()[0].to_vec();
            let (_, name) = names.iter().find(|(der, _)| *der == shown).unwrap();
            while let Some(head) = request(&mut secured).await {
                let path = head.split(' ').nth(1).unwrap();
                tell.send_modify(|seen| seen.push(format!("{path} {name}")));
                accept(&mut secured).await;
            }
        }
    })
    .await
}

/// An authority, and the certificates and keys of two that it knows.
struct Known {
    authority: rcgen::Certificate,
    people: [(rcgen::Certificate, KeyPair); 2],
}

impl Known {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let people = ["ann.test", "bob.test"].map(|name| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &issuer).unwrap(), key)
        });
        Self { authority, people }
    }

    async fn sink(&self) -> Listener {
        let names = self.people.iter().zip(["ann", "bob"]);
        let names = names.map(|((certificate, _), name)| (certificate.der().to_vec(), name.to_owned()));
        demanding(&self.authority, names.collect()).await
    }

    fn tls(&self, who: usize) -> Value {
        let (certificate, key) = &self.people[who];
        json!({"ca": CA, "certificate": certificate.pem(), "key": key.serialize_pem()})
    }
}

fn to(sink: String, settings: Value) -> Value {
    json!({"sink": sink, "types": ["n"], "protocolsettings": settings, "config": {"schedule": ["1h"]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subscription_shows_its_own_certificate_on_connections_of_its_own() {
    let (folder, known) = (tempfile::tempdir().unwrap(), Known::new());
    let sink = known.sink().await;
    let mut hub = HubProcess::start(folder.path()).await;
    for (who, name) in ["ann", "bob"].into_iter().enumerate() {
        let url = format!("https://{}/{name}", sink.address);
        let shown = hub
            .put(
                &format!("/v1/subscriptions/{name}"),
                &to(url, json!({"tls": known.tls(who)})),
            )
            .await;
        assert_eq!(shown["protocolsettings"]["tls"]["key"], "***");
    }
    let url = format!("https://{}/nobody", sink.address);
    hub.put("/v1/subscriptions/nobody", &to(url, json!({"tls": {"ca": CA}})))
        .await;
    hub.publish_many("n", 0..20, 0).await;
    let all = |count: usize| {
        move |seen: &[String]| {
            seen.iter().filter(|one| *one == "/ann ann").count() >= count
                && seen.iter().filter(|one| *one == "/bob bob").count() >= count
        }
    };
    let seen = sink.wait_for("20 of each", all(20)).await;
    assert!(
        seen.iter().all(|one| one == "/ann ann" || one == "/bob bob"),
        "{seen:?}"
    );
    let refused = |json: &Value| json.to_string().contains("no connection") || json.to_string().contains("broke");
    hub.until(
        "who shows none is refused",
        "/v1/subscriptions/nobody/deliveries",
        refused,
    )
    .await;
    // The key is kept over a kill.
    hub.kill().await;
    let hub = HubProcess::start(folder.path()).await;
    hub.publish_many("n", 20..21, 0).await;
    sink.wait_for("21 of each", all(21)).await;
}

/// A proxy that wants `u:p`: it opens tunnels, and answers plain requests itself. It tells their first lines.
async fn proxy() -> Listener {
    Listener::start(|mut stream, tell| async move {
        while let Some(head) = request(&mut stream).await {
            let line = head.lines().next().unwrap().to_owned();
            let knows = head.contains("proxy-authorization: Basic dTpw\r\n");
            tell.send_modify(|seen| seen.push(format!("{line}{}", if knows { "" } else { ": stranger" })));
            if !knows {
                let _ = stream
                    .write_all(b"HTTP/1.1 407 Who?\r\ncontent-length: 0\r\n\r\n")
                    .await;
                continue;
            }
            let Some(place) = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
                accept(&mut stream).await;
                continue;
            };
            let mut far = TcpStream::connect(place).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
            return;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_by_a_proxy_of_its_own() {
    let (folder, known, proxy) = (tempfile::tempdir().unwrap(), Known::new(), proxy().await);
    let sink = known.sink().await;
    let hub = HubProcess::start(folder.path()).await;
    let url = format!("http://{}", proxy.address);
    let way = json!({"url": url, "username": "u", "password": "p"});
    let secure = format!("https://{}/ann", sink.address);
    let shown = hub
        .put(
            "/v1/subscriptions/secure",
            &to(secure.clone(), json!({"tls": known.tls(0), "proxy": way})),
        )
        .await;
    let masked = json!({"url": url, "username": "u", "password": "***"});
    assert_eq!(shown["protocolsettings"]["proxy"], masked);
    hub.put(
        "/v1/subscriptions/plain",
        &to("http://sink.test:81/hook?a".to_owned(), json!({"proxy": way})),
    )
    .await;
    hub.put(
        "/v1/subscriptions/stranger",
        &to(secure, json!({"tls": known.tls(0), "proxy": url})),
    )
    .await;
    let metadata = "http://169.254.169.254/latest".to_owned();
    hub.put("/v1/subscriptions/metadata", &to(metadata, json!({"proxy": way})))
        .await;
    hub.publish_many("n", 0..1, 0).await;
    let asked = format!("CONNECT {} HTTP/1.1", sink.address);
    let wanted = [
        "POST http://sink.test:81/hook?a HTTP/1.1".to_owned(),
        asked.clone(),
        format!("{asked}: stranger"),
    ];
    let seen = proxy
        .wait_for("all three", |seen| wanted.iter().all(|one| seen.contains(one)))
        .await;
    assert!(!seen.iter().any(|one| one.contains("169.254")), "{seen:?}");
    sink.wait_for("through the tunnel", |seen| seen == ["/ann ann"]).await;
    let says = async |id: &str, text: String| {
        let told = |json: &Value| json.to_string().contains(&text);
        hub.until(&text, &format!("/v1/subscriptions/{id}/deliveries"), told)
            .await;
    };
    says(
        "stranger",
        format!("the proxy {} answered 407 to CONNECT", proxy.address),
    )
    .await;
    says("metadata", "may not be dialled".to_owned()).await;
    says("plain", "delivered".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_has_a_proxy_for_all_but_those_it_names() {
    let (folder, proxy) = (tempfile::tempdir().unwrap(), proxy().await);
    let plain = crate::support::Receiver::start().await;
    let flags = ["--egress-proxy", &format!("http://u:p@{}", proxy.address)];
    let hub = HubProcess::start_with(folder.path(), &flags).await;
    hub.put(
        "/v1/subscriptions/far",
        &to("http://sink.test/far".to_owned(), json!({})),
    )
    .await;
    hub.put("/v1/subscriptions/near", &to(plain.url("/near"), json!({})))
        .await;
    hub.put(
        "/v1/subscriptions/direct",
        &to("http://sink.invalid/".to_owned(), json!({"proxy": "none"})),
    )
    .await;
    hub.publish_many("n", 0..1, 0).await;
    proxy
        .wait_for("by the proxy", |seen| seen == ["POST http://sink.test/far HTTP/1.1"])
        .await;
    assert_eq!(
        plain.wait_for(1).await[0].path,
        "/near",
        "loopback is excepted by default"
    );
    let direct = |json: &Value| json.to_string().contains("does not resolve");
    hub.until(
        "resolved by the hub itself",
        "/v1/subscriptions/direct/deliveries",
        direct,
    )
    .await;
}
