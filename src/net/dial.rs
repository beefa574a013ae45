//! Opening a connection: resolve, ask the guard, dial, and TLS where the scheme says so.
//!
//! Several addresses are tried in the order the resolver gave them, each with a share of the time, so that a dead
//! IPv6 route does not use it all up. Why no race of both families: it doubles the connections a sink sees.
//! Invariant: only addresses that the guard let through are dialled.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Error, Guard, Secured, Trust};

/// Before this a connection attempt is not given up in favour of the next address.
const LEAST_SHARE: Duration = Duration::from_secs(1);

/// Opens guarded connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) guard: Guard,
    pub(super) trust: Trust,
    timeout: Duration,
}

/// An open connection, plain or TLS.
pub(super) enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<Secured<TcpStream>>),
}

impl Dialler {
    pub(super) fn new(guard: Guard, timeout: Duration) -> Self {
        Self {
            guard,
            trust: Trust::public(),
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
            match open(address, share).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A TCP connection to this very address, without delay of small writes.
    pub(super) async fn address(&self, address: SocketAddr) -> Result<TcpStream, Error> {
        self.guard.check(address).map_err(Error::Blocked)?;
        open(address, self.timeout).await
    }

    /// TLS over a connection; the certificate must be for `host`, and from whom `trust` (none: the dialler) trusts.
    pub(super) async fn secure(&self, host: &str, tcp: TcpStream, trust: Option<&Trust>) -> Result<Stream, Error> {
        let secured = trust.unwrap_or(&self.trust).secure(host, tcp).await?;
        Ok(Stream::Tls(Box::new(secured)))
    }
}

async fn open(address: SocketAddr, longest: Duration) -> Result<TcpStream, Error> {
    match tokio::time::timeout(longest, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // Refused only by a socket that is already dead, which the first write will tell.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(Error::Connect(format!("{address}: {error}"))),
        Err(_) => Err(Error::Connect(format!("{address}: no answer within {longest:?}"))),
    }
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
