//! Opening a connection: resolve, ask the guard, dial, and TLS where the scheme says so.
//!
//! Several addresses are tried in the order the resolver gave them, each with a share of the time, so that a dead
//! IPv6 route does not use it all up. Why no race of both families: it doubles the connections a sink sees.
//! Invariant: only addresses that [`Guard::resolve`] returned are dialled.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::{Error, Guard};

/// Before this a connection attempt is not given up in favour of the next address.
const LEAST_SHARE: Duration = Duration::from_secs(1);

/// Opens guarded connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) guard: Guard,
    tls: Result<Arc<ClientConfig>, rustls::Error>,
    timeout: Duration,
}

/// An open connection, plain or TLS.
pub(super) enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Dialler {
    pub(super) fn new(guard: Guard, timeout: Duration) -> Self {
        Self {
            guard,
            tls: trust_the_public_roots(),
            timeout,
        }
    }

    /// A TCP connection to the first address of `host` that takes one, without delay of small writes.
    pub(super) async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        let addresses = self.guard.resolve(host, port).await?;
        let shares = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let share = (self.timeout / shares).max(LEAST_SHARE);
        let mut last = Error::Timeout;
        for address in addresses {
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Refused only by a socket that is already dead, which the first write will tell.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = Error::Connect(format!("{address}: {error}")),
                Err(_) => last = Error::Connect(format!("{address}: no answer within {share:?}")),
            }
        }
        Err(last)
    }

    /// A TLS connection; the certificate must be for `host`.
    pub(super) async fn tls(&self, host: &str, port: u16) -> Result<Stream, Error> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|error| Error::Connect(format!("{host}: {error}")))?;
        let tls = self
            .tls
            .clone()
            .map_err(|error| Error::Connect(format!("TLS settings: {error}")))?;
        let tcp = self.tcp(host, port).await?;
        let shaken = TlsConnector::from(tls).connect(name, tcp).await;
        match shaken {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(error) => Err(Error::Connect(format!("TLS with {host}: {error}"))),
        }
    }
}

/// TLS 1.2 and 1.3 by ring, trusting the roots that browsers trust.
fn trust_the_public_roots() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
