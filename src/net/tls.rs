//! TLS over a connection that is open: whom it trusts, who we are to it, and the handshake.
//!
//! One place for both users: the hub's own client, and plugins that speak TLS by the host (`plugin/tls`).
//! Invariant: a handshake ends well only with a certificate for the name that was asked for, from an authority that is
//! trusted. There is no way to switch that off.

use std::hash::{Hash, Hasher};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::{Error, Identity};

/// Whom TLS trusts, and who we are to a server that asks. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Result<Arc<ClientConfig>, rustls::Error>);

/// An open connection under TLS.
pub struct Secured<S>(TlsStream<S>);

impl Trust {
    /// The roots that browsers trust.
    pub fn public() -> Self {
        Self(config(public_roots(), None))
    }

    /// The roots that browsers trust, and these certificates (PEM).
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn public_and(pem: &[u8]) -> Result<Self, String> {
        Self::public_and_as(Some(pem), None)
    }

    /// The roots that browsers trust, these certificates (PEM), and who we are to a server that asks.
    ///
    /// # Errors
    /// What is wrong with the certificates, in words.
    pub fn public_and_as(pem: Option<&[u8]>, identity: Option<&Identity>) -> Result<Self, String> {
        let mut roots = public_roots();
        if let Some(pem) = pem {
            let mut added = 0;
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| format!("is no PEM: {error:?}"))?;
                roots
                    .add(certificate)
                    .map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
                added += 1;
            }
            if added == 0 {
                return Err("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned());
            }
        }
        Ok(Self(config(roots, identity)))
    }

    /// The certificates of a text in PEM form, and nothing else that it may hold (such as a private key), as PEM again.
    ///
    /// # Errors
    /// What is wrong with them, in words.
    pub fn certificates(text: &[u8]) -> Result<String, String> {
        CertificateDer::pem_slice_iter(text)
            .map(|certificate| certificate.map(|certificate| pem("CERTIFICATE", &certificate)))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("is no PEM: {error:?}"))
    }

    fn place(&self) -> Option<*const ClientConfig> {
        self.0.as_ref().ok().map(Arc::as_ptr)
    }

    /// Shakes hands with `host` over `stream`.
    ///
    /// # Errors
    /// [`Error::Connect`], with what was wrong with the other side's certificate or words.
    pub async fn secure<S>(&self, host: &str, stream: S) -> Result<Secured<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let refused = |why: String| Error::Connect(format!("TLS with {host}: {why}"));
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|error| refused(error.to_string()))?;
        let config = self.0.clone().map_err(|error| refused(error.to_string()))?;
        let shaken = TlsConnector::from(config).connect(name, stream).await;
        shaken.map(Secured).map_err(|error| refused(error.to_string()))
    }
}

/// One is the other if both are clones of one: so connections of one can be told from those of another.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Trust {}

impl Hash for Trust {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place().hash(state);
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trust")
    }
}

fn public_roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

/// TLS 1.2 and 1.3 by ring.
fn config(roots: RootCertStore, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    Ok(Arc::new(match identity.map(Identity::parts) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    }))
}

/// One section of PEM.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told() {
        let check = |pem: &str, says: &str| {
            let why = Trust::public_and(pem.as_bytes()).unwrap_err();
            assert!(why.contains(says), "{pem}: {why}");
        };
        check("", "no certificate");
        check("hello", "no certificate");
        check(
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
            "no PEM",
        );
        check(
            "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
            "cannot be used",
        );
    }

    const CA: &[u8] = include_bytes!("../../tests/fixtures/tls/ca.pem");
    const SERVER: &[u8] = include_bytes!("../../tests/fixtures/tls/server.pem");
    const KEY: &[u8] = include_bytes!("../../tests/fixtures/tls/server.key");

    /// Says a word to whoever shakes hands.
    async fn serve(stream: tokio::io::DuplexStream) {
        use tokio::io::AsyncWriteExt;
        let chain = CertificateDer::pem_slice_iter(SERVER).map(Result::unwrap).collect();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        if let Ok(mut secured) = acceptor.accept(stream).await {
            let _ = secured.write_all(b"hello").await;
            let _ = secured.shutdown().await;
        }
    }

    #[tokio::test]
    async fn a_certificate_must_be_for_the_name_and_from_whom_is_trusted() {
        let ours = Trust::public_and(CA).unwrap();
        let check = async |trust: &Trust, name: &str, expected: Result<&str, &str>| {
            let (near, far) = tokio::io::duplex(16_384);
            let (secured, ()) = tokio::join!(
                async {
                    use tokio::io::AsyncReadExt;
                    let mut heard = String::new();
                    trust
                        .secure(name, near)
                        .await?
                        .read_to_string(&mut heard)
                        .await
                        .unwrap();
                    Ok::<_, Error>(heard)
                },
                serve(far)
            );
            match (secured, expected) {
                (Ok(heard), Ok(said)) => assert_eq!(heard, said, "{name}"),
                (Err(Error::Connect(why)), Err(says)) => assert!(why.contains(says), "{name}: {why}"),
                (other, _) => panic!("{name}: {other:?}"),
            }
        };
        check(&ours, "mail.test", Ok("hello")).await;
        check(&ours, "127.0.0.1", Ok("hello")).await;
        check(&ours, "other.test", Err("not valid for name")).await;
        check(&Trust::public(), "mail.test", Err("UnknownIssuer")).await;
    }

    #[tokio::test]
    async fn what_answers_without_tls_is_refused() {
        let (ours, mut theirs) = tokio::io::duplex(4_096);
        let answer = async {
            use tokio::io::AsyncWriteExt;
            theirs
                .write_all(b"220 hello, I only speak in the clear\r\n")
                .await
                .unwrap();
            theirs
        };
        let trust = Trust::public();
        let (shaken, _theirs) = tokio::join!(trust.secure("mail.example.com", ours), answer);
        assert!(matches!(shaken.err(), Some(Error::Connect(why)) if why.contains("mail.example.com")));
    }
}
