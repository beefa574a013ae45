//! Callbacks over TLS: whose certificate is taken, by a subscription's own authority and by Pulp's `ca_path`.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

use crate::support::{HubProcess, PATIENCE};

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/ca.pem");

/// A sink with a certificate that no public authority has signed; it tells the paths that it was called at.
struct SecureSink {
    address: SocketAddr,
    called: watch::Receiver<Vec<String>>,
    server: JoinHandle<()>,
}

impl SecureSink {
    async fn start() -> Self {
        let chain = CertificateDer::pem_slice_iter(include_bytes!("../fixtures/tls/server.pem"));
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../fixtures/tls/server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, called) = watch::channel(Vec::new());
        #[allow(clippy::disallowed_methods, reason = "aborted when the sink is dropped")]
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Some(path) = answer(&acceptor, stream).await {
                    tell.send_modify(|called| called.push(path));
                }
            }
        });
        Self {
            address,
            called,
            server,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    async fn wait_for(&mut self, path: &str) {
        let there = self.called.wait_for(|called| called.iter().any(|one| one == path));
        tokio::time::timeout(PATIENCE, there).await.expect(path).unwrap();
    }

    fn was_called(&self, path: &str) -> bool {
        self.called.borrow().iter().any(|one| one == path)
    }
}

impl Drop for SecureSink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Reads the head of one request, answers 200 and closes; the path.
async fn answer(acceptor: &TlsAcceptor, stream: TcpStream) -> Option<String> {
    let mut secured = acceptor.accept(stream).await.ok()?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        head.push(secured.read_u8().await.ok()?);
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    secured.write_all(answer).await.ok()?;
    secured.shutdown().await.ok()?;
    let head = String::from_utf8(head).unwrap();
    head.split(' ').nth(1).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_may_name_the_authority_of_its_certificate() {
    let (folder, mut sink) = (tempfile::tempdir().unwrap(), SecureSink::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let of = |path: &str, settings: Value| {
        json!({"sink": sink.url(path), "types": ["n"], "protocolsettings": settings,
            "config": {"schedule": ["1h"]}})
    };
    let ca = std::fs::read_to_string(CA).unwrap();
    hub.put("/v1/subscriptions/stranger", &of("/stranger", json!({}))).await;
    let shown = hub
        .put("/v1/subscriptions/known", &of("/known", json!({"tls": {"ca": ca}})))
        .await;
    let kept = shown["protocolsettings"]["tls"]["ca"].as_str().unwrap();
    assert!(kept.starts_with("-----BEGIN CERTIFICATE-----\n"), "{kept}");
    hub.publish_many("n", 0..1, 0).await;
    sink.wait_for("/known").await;
    let refused = |json: &Value| json.to_string().contains("UnknownIssuer");
    hub.until("why not", "/v1/subscriptions/stranger/deliveries", refused)
        .await;
    assert!(!sink.was_called("/stranger"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pulps_ca_path_is_that_authority() {
    let (folder, mut sink) = (tempfile::tempdir().unwrap(), SecureSink::start().await);
    let hub = HubProcess::start(folder.path()).await;
    let listener = json!({"notifier_type_id": "http", "event_types": ["*"],
        "notifier_config": {"url": sink.url("/pulp"), "ca_path": CA}});
    hub.post("/pulp/api/v2/events/", &listener).await;
    hub.publish_many("repo.sync.start", 0..1, 0).await;
    sink.wait_for("/pulp").await;
}
