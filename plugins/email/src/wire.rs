//! The bytes under SMTP: one TCP connection, encrypted from some point on, commands out and answers in.
//!
//! std's sockets and rustls, in place of lettre's own connection: the crate under that (socket2) cannot connect with a timeout
//! under wasm, and a server that does not answer must cost no more than the deadline.
//! Invariant: every wait is bounded by what is left until the deadline.
//! Invariant: nothing that came in the clear is taken for an answer after the switch to TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use lettre::transport::smtp::response::Response;
use rustls::{ClientConnection, StreamOwned};

use crate::config::Tls;

/// What no answer of a sane server is longer than.
const LONGEST_ANSWER: usize = 64 << 10;

/// An open connection.
pub struct Wire {
    stream: Stream,
    /// What has been read and not yet been taken as an answer.
    read: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Connects to the first address of the name that takes it; a dead one leaves time for the next.
    pub fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<Self> {
        let found: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for (nth, address) in found.iter().enumerate() {
            let share = u32::try_from(found.len() - nth).unwrap_or(1);
            match TcpStream::connect_timeout(address, left_of(deadline)? / share).and_then(connected) {
                Ok(stream) => {
                    return Ok(Self {
                        stream: Stream::Plain(stream),
                        read: Vec::new(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Shakes hands; from here on everything is encrypted.
    pub fn encrypt(self, tls: &Tls, deadline: Instant) -> io::Result<Self> {
        let (Stream::Plain(mut socket), true) = (self.stream, self.read.is_empty()) else {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the server spoke before the encryption began",
            ));
        };
        let mut connection = ClientConnection::new(tls.config.clone(), tls.name.clone()).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            bound(&socket, deadline)?;
            connection.complete_io(&mut socket)?;
        }
        Ok(Self {
            stream: Stream::Encrypted(Box::new(StreamOwned::new(connection, socket))),
            read: Vec::new(),
        })
    }

    /// Whether it is encrypted by now.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Encrypted(_))
    }

    /// Sends a command, or a letter, in one piece; the answer.
    pub fn ask(&mut self, command: &str, deadline: Instant) -> io::Result<Response> {
        bound(self.socket(), deadline)?;
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(command.as_bytes())?,
            Stream::Encrypted(stream) => {
                stream.write_all(command.as_bytes())?;
                stream.flush()?;
            }
        }
        self.answer(deadline)
    }

    /// The next answer, all of its lines.
    pub fn answer(&mut self, deadline: Instant) -> io::Result<Response> {
        loop {
            if let Some(length) = answer_in(&self.read) {
                let answer: Vec<u8> = self.read.drain(..length).collect();
                let answer = String::from_utf8_lossy(&answer).into_owned();
                let no_smtp = || io::Error::new(ErrorKind::InvalidData, format!("no SMTP server answered: {answer:?}"));
                return answer.parse().map_err(|_| no_smtp());
            }
            if self.read.len() > LONGEST_ANSWER {
                return Err(io::Error::new(ErrorKind::InvalidData, "the server's answer has no end"));
            }
            let mut piece = [0; 1024];
            bound(self.socket(), deadline)?;
            let length = match &mut self.stream {
                Stream::Plain(stream) => stream.read(&mut piece)?,
                Stream::Encrypted(stream) => stream.read(&mut piece)?,
            };
            if length == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.read.extend(piece.iter().take(length));
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Encrypted(stream) => &stream.sock,
        }
    }
}

/// Whether a socket ran out of patience: it says either, after the platform.
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

fn bound(socket: &TcpStream, deadline: Instant) -> io::Result<()> {
    let left = left_of(deadline)?;
    socket.set_read_timeout(Some(left))?;
    socket.set_write_timeout(Some(left))
}

/// A dial that fails while it is waited for is told here only: std takes the end of the wait for a connection.
fn connected(tcp: TcpStream) -> io::Result<TcpStream> {
    match tcp.take_error()? {
        Some(error) => Err(error),
        None => Ok(tcp),
    }
}

fn left_of(deadline: Instant) -> io::Result<Duration> {
    #[allow(clippy::disallowed_methods, reason = "the clock of a guest is its host's")]
    let left = deadline.saturating_duration_since(Instant::now());
    // Zero would mean no limit to a socket.
    if left < Duration::from_millis(1) {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// The length of the answer at the beginning of this, if it is there in full: its last line has no `-` after the code.
fn answer_in(read: &[u8]) -> Option<usize> {
    let mut length = 0;
    for line in read.split_inclusive(|&byte| byte == b'\n') {
        if line.last() != Some(&b'\n') {
            return None;
        }
        length += line.len();
        if line.get(3) != Some(&b'-') {
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn soon(milliseconds: u64) -> Instant {
        #[allow(clippy::disallowed_methods, reason = "what is tested is a real socket's patience")]
        let now = Instant::now();
        now + Duration::from_millis(milliseconds)
    }

    /// A connection to a server that has sent this.
    fn told(words: &str) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire::connect("127.0.0.1", listener.local_addr().unwrap().port(), soon(10_000)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(words.as_bytes()).unwrap();
        (wire, server)
    }

    #[test]
    fn answers_are_read_one_by_one() {
        let (mut wire, server) = told("220 hello\r\n250-one\r\n250 two\r\n250 three\r\n");
        for code in [220, 250, 250] {
            assert!(wire.answer(soon(10_000)).unwrap().has_code(code));
        }
        drop(server);
        assert_eq!(wire.answer(soon(10_000)).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let check = |words: &str, says: &str| {
            let (mut wire, server) = told(words);
            drop(server);
            let error = wire.answer(soon(10_000)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        };
        check("HTTP/1.1 400 Bad Request\r\n", "no SMTP server answered");
        check(&"x".repeat(LONGEST_ANSWER + 2000), "has no end");
    }

    #[test]
    fn silence_lasts_until_the_deadline() {
        let (mut wire, _server) = told("220-and");
        assert!(is_timeout(&wire.answer(soon(20)).unwrap_err()));
    }

    #[test]
    fn words_before_the_encryption_are_not_taken_for_answers() {
        let (mut wire, _server) = told("220 ready\r\n250 injected\r\n");
        wire.answer(soon(10_000)).unwrap();
        let config = crate::config::Config::parse(
            r#"{"host": "localhost", "from": "a@example.com", "addresses": ["a@example.com"]}"#,
            None,
        );
        let error = wire.encrypt(&config.unwrap().server.tls, soon(10_000)).err().unwrap();
        assert!(error.to_string().contains("before the encryption"), "{error}");
    }

    #[test]
    fn an_answer_ends_with_the_line_without_a_dash() {
        let check = |read: &str, expected: Option<usize>| assert_eq!(answer_in(read.as_bytes()), expected, "{read:?}");
        check("", None);
        check("250 ok", None);
        check("250 ok\r\n", Some(8));
        check("250\r\n", Some(5));
        check("250-a\r\n", None);
        check("250-a\r\n250 b\r\n", Some(14));
        check("250-a\r\n250 b\r\n250 c\r\n", Some(14));
        check("\n", Some(1));
    }
}
