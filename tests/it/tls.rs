//! The listeners under TLS: every front door, certificates that change, clients that must show one, and the command
//! line behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Method;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, version};

use crate::support::{HubProcess, Raw, Sse, WebSocket, busway, run};

/// Who signs certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut about = CertificateParams::new(Vec::new()).unwrap();
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = about.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(about, key),
        }
    }

    /// A certificate for this machine that is good until then.
    fn signs(&self, until: (i32, u8, u8)) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut about = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        about.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        Pair {
            certificate: about.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    fn put(&self, folder: &Path) {
        std::fs::write(folder.join("hub.pem"), &self.certificate).unwrap();
        std::fs::write(folder.join("hub.key"), &self.key).unwrap();
    }
}

const TLS: [&str; 6] = [
    "--listen",
    "tls:127.0.0.1:0",
    "--listen-tls-certificate",
    "hub.pem",
    "--listen-tls-key",
    "hub.key",
];

/// A hub that is spoken to over TLS, its folder (with `ca.pem`), and who signed its certificate.
async fn hub() -> (tempfile::TempDir, HubProcess, Authority) {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.signs((2100, 1, 1)).put(folder.path());
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let mut hub = HubProcess::start_with(folder.path(), &TLS).await;
    hub.through_tls(authority.pem.as_bytes());
    (folder, hub, authority)
}

fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/tls", "type": "tls.test", "data": {"n": 1}})
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_is_served() {
    let (_folder, hub, _) = hub().await;
    let mut sse = Sse::open(&hub, "/v1/stream", &[]).await;
    let mut socket = WebSocket::open(&hub, "/v1/stream", &[]).await;
    let mut marathon = Raw::open(&hub, "/v2/events", &[("accept", "text/event-stream")]).await;
    let leader = format!("x-marathon-leader: https://{}", hub.address());
    assert!(
        marathon.head.to_ascii_lowercase().contains(&leader),
        "{}",
        marathon.head
    );
    assert!(marathon.frame().await.contains("event_stream_attached"));
    hub.publish(&event("1")).await;
    // The first event tells that a listener of Marathon's has come.
    assert_eq!(sse.offsets(2).await, [1, 2]);
    assert_eq!(socket.offsets(2).await, [1, 2]);
    assert_eq!(hub.get("/v1/events/2").await["id"], "1");
    let large = json!({"specversion": "1.0", "id": "2", "source": "/tls", "type": "t", "data": "x".repeat(900_000)});
    hub.publish(&large).await;
    assert_eq!(hub.get("/v1/events/3").await["data"].as_str().unwrap().len(), 900_000);
    // A page of another name is refused here as on a plain address, and one of the hub's own is not.
    for (host, status) in [("evil.example", 403), ("localhost", 200)] {
        assert_eq!(
            hub.send(Method::GET, "/healthz", &[("host", host)], "").await.0,
            status,
            "{host}"
        );
    }
    hub.until_metric("busway_tls_handshakes_total{result=\"ok\"}", |count| count >= 4.0)
        .await;
    hub.until_metric("busway_tls_certificate_expiry_seconds", |at| at > 4_000_000_000.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_finds_its_way() {
    let (folder, hub, _) = hub().await;
    let url = hub.url("");
    let check = |arguments: &[&str], code: i32, says: &str| {
        let (found, out, err) = run(folder.path(), arguments);
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        assert!(format!("{out}{err}").contains(says), "{arguments:?}: {out}{err}");
    };
    let publish = [
        "publish", "--type", "a.b", "--source", "/cli", "--data", "{}", "--url", &url,
    ];
    check(&publish, 69, "does `--ca`");
    check(
        &[&publish[..], &["--ca", "hub.key"]].concat(),
        64,
        "holds no certificate",
    );
    check(&[&publish[..], &["--ca", "none.pem"]].concat(), 64, "cannot be read");
    check(&[&publish[..], &["--ca", "ca.pem"]].concat(), 0, "");
    let many: String = (0..300).map(|n| format!("{}\n", event(&format!("many-{n}")))).collect();
    std::fs::write(folder.path().join("many.jsonl"), many).unwrap();
    check(&["publish", "many.jsonl", "--url", &url, "--ca", "ca.pem"], 0, "");
    let tail = [
        "tail", "--from", "earliest", "--count", "301", "--url", &url, "--ca", "ca.pem",
    ];
    check(&tail, 0, "a.b");
    check(&["subscription", "list", "--url", &url, "--ca", "ca.pem"], 0, "");
    check(&["listener", "--url", &url, "--ca", "ca.pem", "list"], 0, "");
    check(&["listener", "--url", &url, "list"], 74, "TLS with");
    let marathon = [
        "source", "marathon", &url, "--count", "1", "--url", &url, "--ca", "ca.pem",
    ];
    check(&marathon, 0, "1 published");
    let by_variable = busway()
        .current_dir(folder.path())
        .env("BUSWAY_CA", "ca.pem")
        .env("BUSWAY_URL", &url)
        .args(["subscription", "list"])
        .status();
    assert!(by_variable.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_while_streams_go_on() {
    let (folder, mut hub, authority) = hub().await;
    let mut before = Sse::open(&hub, "/v1/stream", &[]).await;
    let (other, next) = (Authority::new(), authority.signs((2099, 1, 1)));
    // One after the other, with time between: for a moment they do not fit, and nothing breaks.
    std::fs::write(folder.path().join("hub.pem"), &next.certificate).unwrap();
    hub.said("is not the key of the certificate").await;
    hub.until("told", "/healthz", |health| health["status"] == "degraded")
        .await;
    hub.publish(&event("1")).await;
    next.put(folder.path());
    hub.until("over", "/healthz", |health| health["status"] == "ok").await;
    hub.until_metric("busway_tls_certificate_reloads_total{result=\"ok\"}", |count| {
        count == 1.0
    })
    .await;
    // As Kubernetes does it: the files are links into a folder that is a link, which is swapped.
    let at = |name: &str| folder.path().join(name);
    for (version, pair) in [("v1", &next), ("v2", &other.signs((2098, 1, 1)))] {
        std::fs::create_dir(at(version)).unwrap();
        pair.put(&at(version));
    }
    swap(&at("..data"), Path::new("v1"));
    for name in ["hub.pem", "hub.key"] {
        swap(&at(name), &Path::new("..data").join(name));
    }
    swap(&at("..data"), Path::new("v2"));
    hub.said("2098-01-01").await;
    hub.through_tls(other.pem.as_bytes());
    hub.publish(&event("2")).await;
    assert_eq!(before.offsets(2).await, [1, 2], "the old connection goes on");
    other.signs((2020, 1, 1)).put(folder.path());
    hub.signal("HUP");
    hub.said("the TLS certificate has expired").await;
    let (_, health) = plainly(&hub, "/healthz").await;
    assert!(health.contains("has expired"), "{health}");
}

/// Replaces a link in one step.
fn swap(link: &Path, target: &Path) {
    let beside: PathBuf = link.with_file_name("beside");
    std::os::unix::fs::symlink(target, &beside).unwrap();
    std::fs::rename(&beside, link).unwrap();
}

/// A request at the address without TLS.
async fn plainly(hub: &HubProcess, path: &str) -> (u16, String) {
    let request = http::Request::get(format!("http://{}{path}", hub.plain_address()));
    let request = request.body(bytes::Bytes::new()).unwrap();
    let answer = crate::support::client()
        .send(request, crate::support::PATIENCE, 1 << 20)
        .await
        .unwrap();
    (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_ends_soon() {
    let (_folder, hub, _) = hub().await;
    let said = |bytes: &'static [u8]| async {
        let mut socket = TcpStream::connect(hub.address()).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = said(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"),
        "{answer}"
    );
    assert_eq!(said(b"").await, "");
    said(b"\x16\x03\x01\xff\xff nothing that makes sense").await;
    said(b"\x00\x01\x02").await;
    hub.until_metric("busway_tls_handshakes_total{result=\"plain\"}", |count| count == 1.0)
        .await;
    hub.until_metric("busway_tls_handshakes_total{result=\"refused\"}", |count| count >= 2.0)
        .await;
    assert!(
        !hub.log().iter().any(|line| line.contains("handshake")),
        "{:#?}",
        hub.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_cut_off_and_holds_up_nobody() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.signs((2100, 1, 1)).put(folder.path());
    let arguments = [&TLS[..], &["--listen-header-timeout", "2s"]].concat();
    let mut hub = HubProcess::start_with(folder.path(), &arguments).await;
    hub.through_tls(authority.pem.as_bytes());
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(hub.address()).await.unwrap());
    }
    hub.publish(&event("1")).await;
    for socket in &mut silent {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(crate::support::PATIENCE, socket.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty());
    }
    hub.until_metric("busway_tls_handshakes_total{result=\"late\"}", |count| count == 50.0)
        .await;
}

/// Shakes hands as this client and asks for a page; what came of it.
async fn shake(
    hub: &HubProcess,
    ca: &str,
    own: Option<&Pair>,
    only: &'static SupportedProtocolVersion,
) -> Result<ProtocolVersion, String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[only])
        .unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let socket = TcpStream::connect(hub.address()).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    let mut stream = shaken.map_err(|cause| cause.to_string())?;
    let asked = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(asked).await.map_err(|cause| cause.to_string())?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .map_err(|cause| cause.to_string())?;
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(stream.get_ref().1.protocol_version().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_must_show_a_certificate_where_the_operator_says_so() {
    let (folder, authority, clients) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    authority.signs((2100, 1, 1)).put(folder.path());
    std::fs::write(folder.path().join("clients.pem"), &clients.pem).unwrap();
    let arguments = [&TLS[..], &["--listen-tls-client-ca", "clients.pem"]].concat();
    let mut hub = HubProcess::start_with(folder.path(), &arguments).await;
    hub.through_tls(authority.pem.as_bytes());
    let (known, stranger) = (clients.signs((2100, 1, 1)), authority.signs((2100, 1, 1)));
    for only in [&version::TLS13, &version::TLS12] {
        let shaken = shake(&hub, &authority.pem, Some(&known), only).await;
        assert_eq!(shaken, Ok(only.version));
        assert!(shake(&hub, &authority.pem, None, only).await.is_err());
        assert!(shake(&hub, &authority.pem, Some(&stranger), only).await.is_err());
    }
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("ca.pem"), &authority.pem).unwrap();
    std::fs::write(at("me.pem"), &known.certificate).unwrap();
    std::fs::write(at("me.key"), &known.key).unwrap();
    std::fs::write(at("both.pem"), format!("{}{}", known.key, known.certificate)).unwrap();
    std::fs::write(at("stranger.pem"), format!("{}{}", stranger.key, stranger.certificate)).unwrap();
    let url = hub.url("");
    for (own, code, says) in [
        // The hub's alert may be lost behind the end of the connection: the hint is not sure.
        (&[][..], 69, "cannot reach a hub"),
        (&["--cert", "me.pem", "--key", "me.key"], 0, ""),
        (&["--cert", "both.pem"], 0, ""),
        (&["--cert", "stranger.pem"], 69, "cannot reach a hub"),
        (&["--cert", "me.pem"], 64, "--key: me.pem holds no private key"),
        (
            &["--cert", "me.pem", "--key", "hub.key"],
            64,
            "--key: hub.key does not belong",
        ),
        (&["--cert", "none.pem"], 64, "--cert: none.pem cannot be read"),
        (&["--key", "me.key"], 64, "--cert"),
    ] {
        let remote = [&["subscription", "list", "--url", &url, "--ca", "ca.pem"], own].concat();
        let (found, out, err) = run(folder.path(), &remote);
        assert!(found == code && err.contains(says), "{own:?}: {found} {out}{err}");
    }
    let pulp = [
        "listener", "--url", &url, "--ca", "ca.pem", "--cert", "both.pem", "list",
    ];
    let (code, out, err) = run(folder.path(), &pulp);
    assert_eq!(code, 0, "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_clients_keep_nobody_out() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    authority.signs((2100, 1, 1)).put(folder.path());
    // Nobody is cut off while this runs.
    let arguments = [&TLS[..], &["--listen-header-timeout", "10m"]].concat();
    let mut hub = HubProcess::start_with(folder.path(), &arguments).await;
    hub.through_tls(authority.pem.as_bytes());
    let mut silent = Vec::new();
    for _ in 0..1_100 {
        silent.push(TcpStream::connect(hub.address()).await.unwrap());
    }
    let open = |count: f64| count >= 1_100.0;
    hub.until_metric("busway_connections", open).await;
    hub.publish(&event("1")).await;
}

#[test]
fn a_pair_that_cannot_serve_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (one, other) = (authority.signs((2100, 1, 1)), authority.signs((2100, 1, 1)));
    one.put(folder.path());
    std::fs::write(folder.path().join("other.key"), &other.key).unwrap();
    for (certificate, key, says) in [
        ("hub.pem", "other.key", "is not the key of the certificate"),
        ("hub.key", "hub.key", "`listen.tls_certificate` holds no certificate"),
        ("hub.pem", "hub.pem", "`listen.tls_key` holds no private key"),
        ("none.pem", "hub.key", "cannot be read"),
        ("hub.pem", "none", "`listen.tls_key` is not set"),
    ] {
        let mut serve = vec!["serve", "--data", "data", "--listen", "tls:127.0.0.1:0"];
        serve.extend(["--listen-tls-certificate", certificate, "--listen-tls-key", key]);
        let (code, _, err) = run(folder.path(), &serve);
        assert_eq!(code, 78, "{err}");
        assert!(err.contains(says), "{err}");
    }
}
