//! The connection's bytes: TCP or TLS, each operation within a deadline.
//!
//! One thread and blocking sockets: a guest runs only while it is called, so there is nobody to read in the background
//! and nothing for a runtime with tasks to do. What arrived between two calls is found by [`Wire::read_ready`].
//!
//! Invariant: writes are whole publications. The host cannot switch Nagle's algorithm off, and would hold a second small
//! write back until the first is acknowledged.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::address::Address;
use crate::error::Error;

/// What a session speaks over.
pub trait Wire: Read + Write {
    /// Reads what is there already; `None` if nothing is.
    fn read_ready(&mut self, into: &mut [u8]) -> io::Result<Option<usize>>;

    /// Until when everything from now on must be done.
    fn finish_by(&mut self, deadline: Instant);
}

/// A real connection.
pub struct Connection {
    stream: Stream,
    deadline: Instant,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    /// Connects, and shakes hands if the address asks for TLS.
    pub fn open(
        address: &Address,
        authorities: Option<&[CertificateDer<'static>]>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let place = address.place();
        let failed = |what: &str, error: &io::Error| Error::Broker(explain(&format!("{what} {place}"), error));
        let tcp = connect(address, deadline).map_err(|error| failed("connecting to", &error))?;
        let mut connection = Self {
            stream: Stream::Plain(tcp),
            deadline,
        };
        if address.tls {
            connection = connection.with_tls(&address.host, authorities)?;
            let shaken = connection.flush();
            shaken.map_err(|error| failed("the TLS handshake with", &error))?;
        }
        Ok(connection)
    }

    fn with_tls(self, host: &str, authorities: Option<&[CertificateDer<'static>]>) -> Result<Self, Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::Broker(format!("TLS cannot be set up: {error}"));
        let mut roots = RootCertStore::empty();
        match authorities {
            Some(own) => roots.add_parsable_certificates(own.iter().cloned()),
            None => {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                (0, 0)
            }
        };
        // The provider is named, not installed: that would be for the whole process.
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).map_err(|error| wrong(&error))?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(|error| wrong(&error))?;
        let stream = match self.stream {
            Stream::Plain(tcp) => Stream::Tls(Box::new(StreamOwned::new(session, tcp))),
            already @ Stream::Tls(_) => already,
        };
        Ok(Self { stream, ..self })
    }

    /// Gives the socket what is left of the time, and the stream to work with.
    fn in_time(&mut self) -> io::Result<&mut dyn ReadWrite> {
        let left = left(self.deadline)?;
        let socket = self.socket();
        socket.set_read_timeout(Some(left))?;
        socket.set_write_timeout(Some(left))?;
        Ok(self.stream())
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    fn stream(&mut self) -> &mut dyn ReadWrite {
        match &mut self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.as_mut(),
        }
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl Wire for Connection {
    fn read_ready(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.socket().set_nonblocking(true)?;
        let read = self.stream().read(into);
        self.socket().set_nonblocking(false)?;
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    }

    fn finish_by(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Read for Connection {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.in_time()?.read(into)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.in_time()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.in_time()?.flush()
    }
}

fn connect(address: &Address, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name leads to no address");
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    // WASI's own words do not tell a name that is not granted from one that is not there.
    let found = found
        .map_err(|error| io::Error::other(format!("{error} (if the name is not granted, grant it in grants.tcp)")))?;
    for found in found {
        match TcpStream::connect_timeout(&found, left(deadline)?).and_then(connected) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A dial that fails while it is waited for is told here only: std takes the end of the wait for a connection.
fn connected(tcp: TcpStream) -> io::Result<TcpStream> {
    match tcp.take_error()? {
        Some(error) => Err(error),
        None => Ok(tcp),
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// What went wrong, for the operator.
pub fn explain(what: &str, error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::WouldBlock | Kind::TimedOut => format!("{what}: no answer in time (timeout_ms)"),
        Kind::PermissionDenied => {
            format!(
                "{what}: the hub does not allow it: grant it in grants.tcp, or see its log for the rule that forbids it"
            )
        }
        Kind::UnexpectedEof => format!("{what}: it closed the connection"),
        _ => format!("{what}: {error}"),
    }
}

/// Now, by the host's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the hub's clock is out of a guest's reach; this is the one place that asks"
)]
pub fn now() -> Instant {
    Instant::now()
}
