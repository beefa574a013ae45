//! TLS for the listeners: what they show, and the handshake of one connection.
//!
//! `files` reads certificate, key and the authority of clients from disk, `expiry` how long a certificate is good,
//! `renewal` takes up what changes there.
//! A handshake runs in its connection's own task, so a slow one holds its slot and nobody else; it has the time that
//! a request's header has, and only so many go on at once. What a stranger says wrong is no news for the operator:
//! it is counted, and logged at debug.
//! Invariant: at an address `tls:…` no byte of HTTP is served without a handshake, except to say so.
//! Invariant: connections keep the certificate that they began with; a new one is for new connections.

mod expiry;
mod files;
pub(super) mod renewal;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::metrics::Doors;

/// Handshakes that go on at once, for their memory. Who has said nothing yet holds none: or a thousand silent connections
/// would keep everybody else out.
const HANDSHAKES: usize = 1_024;
/// Who was told so has this long to go.
const LAST: Duration = Duration::from_secs(1);
/// What somebody hears who speaks HTTP where TLS is spoken.
const PLAIN: &str = "this address speaks TLS: call it by https://\n";

/// What listeners show, and how many shake hands.
pub struct Tls {
    current: Mutex<Arc<ServerConfig>>,
    handshakes: Semaphore,
    counts: Doors,
}

/// Why there is no secured connection.
enum Fault {
    /// The other side speaks HTTP without TLS.
    Plain,
    /// No agreement, or the other side went away.
    Refused(io::Error),
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    fn new(config: Arc<ServerConfig>, counts: Doors) -> Self {
        Self {
            current: Mutex::new(config),
            handshakes: Semaphore::new(HANDSHAKES),
            counts,
        }
    }

    /// Shows this from the next handshake on.
    fn show(&self, config: Arc<ServerConfig>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn shown(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shakes hands within this time; none if it did not come to that, which is counted.
    pub(super) async fn secure(&self, stream: TcpStream, within: Duration) -> Option<TlsStream<TcpStream>> {
        let shaken = self.shake(stream);
        let (result, secured) = match tokio::time::timeout(within, shaken).await {
            Ok(Ok(secured)) => ("ok", Some(secured)),
            Ok(Err(Fault::Plain)) => ("plain", None),
            Ok(Err(Fault::Refused(cause))) => {
                tracing::debug!(%cause, "a TLS handshake failed");
                ("refused", None)
            }
            Err(_) if self.handshakes.available_permits() == 0 => ("busy", None),
            Err(_) => ("late", None),
        };
        self.counts.count_handshake(result);
        secured
    }

    async fn shake(&self, mut stream: TcpStream) -> Result<TlsStream<TcpStream>, Fault> {
        let mut first = [0];
        let heard = stream.peek(&mut first).await.map_err(Fault::Refused)?;
        // A greeting begins with 0x16, the name of a method with a letter.
        if heard == 1 && first.iter().any(u8::is_ascii_alphabetic) {
            let (length, status) = (PLAIN.len(), "HTTP/1.1 400 Bad Request");
            let head = format!("{status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close");
            // Who has gone by now needs no answer.
            let _ = stream.write_all(format!("{head}\r\n\r\n{PLAIN}").as_bytes()).await;
            let _ = stream.shutdown().await;
            // What is unread when a socket closes resets it, and the answer with it; so it is read, if soon.
            let _ = tokio::time::timeout(LAST, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
            return Err(Fault::Plain);
        }
        // Never closed, so never refused.
        let _turn = self.handshakes.acquire().await;
        let acceptor = TlsAcceptor::from(self.shown());
        acceptor.accept(stream).await.map_err(Fault::Refused)
    }
}
