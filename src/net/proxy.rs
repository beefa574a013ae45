//! Proxies: which requests go by one, and how it is asked (RFC 9110, sections 7.1 and 9.3.6).
//!
//! For https the proxy is asked for a tunnel (`CONNECT`) and sees names and volumes, nothing else; for http it gets the
//! request itself, with the whole URL in its first line.
//! Why the variables `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` are not read: whoever can set the environment of a hub
//! (or a CGI-like wrapper that turns headers into variables) would get every callback, credentials and all.
//! Invariant: credentials for a proxy go to the proxy alone: never into a tunnel, never to a sink.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::{Host, Url};

use super::Error;
use super::dial::Dialler;
use super::guard::literal;

/// The head of the answer to `CONNECT`, at most.
const LONGEST_HEAD: usize = 16 << 10;

/// A proxy that is spoken to in plain HTTP. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy(Arc<Place>);

#[derive(PartialEq, Eq, Hash)]
struct Place {
    /// With brackets, if it is an IPv6 address.
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
}

/// The way of one request, where it is not the client's own choice: an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// By no proxy.
    Direct,
    /// By this one.
    By(Proxy),
}

/// The way of requests that do not say it themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// The proxy; none: no request goes by one.
    pub proxy: Option<Proxy>,
    /// Where it is left out.
    pub except: Vec<Exception>,
}

/// Hosts to which requests go by no proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exception {
    /// All of them: `*`.
    All,
    /// This one and all below it: `example.com`.
    Host(String),
    /// All below it: `.example.com`, `*.example.com`.
    Below(String),
    /// Addresses; names are not resolved for it.
    Range(IpNet),
}

impl Proxy {
    /// Reads `http://host:port`, with `user:password@` before the host if it asks for them.
    ///
    /// # Errors
    /// The end of a sentence: how it must be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rule = "must be the URL of an http proxy, such as `http://proxy.example.com:3128`";
        let url = Url::parse(text).map_err(|_| rule.to_owned())?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|host| !host.is_empty());
        let (Some(host), Some(port), "http", true) = (host, url.port_or_known_default(), url.scheme(), bare) else {
            return Err(format!("{rule}, and nothing after its port"));
        };
        let proxy = Self(Arc::new(Place {
            host: host.to_owned(),
            port,
            credentials: None,
        }));
        match (url.username(), url.password()) {
            ("", None) => Ok(proxy),
            (username, password) => {
                let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
                proxy.with_credentials(plain(username), plain(password.unwrap_or_default()))
            }
        }
    }

    /// The same proxy, asked with these (Basic).
    ///
    /// # Errors
    /// The end of a sentence: what Basic cannot carry.
    pub fn with_credentials(self, username: String, password: String) -> Result<Self, String> {
        if username.contains(':')
            || [&username, &password]
                .iter()
                .any(|text| text.contains(char::is_control))
        {
            return Err("has credentials that Basic cannot carry: `:` in the name, or control characters".to_owned());
        }
        Ok(Self(Arc::new(Place {
            host: self.0.host.clone(),
            port: self.0.port,
            credentials: Some((username, password)),
        })))
    }

    /// Its URL, without credentials.
    pub fn url(&self) -> String {
        format!("http://{self}")
    }

    /// What it is asked with.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        let given = self.0.credentials.as_ref();
        given.map(|(username, password)| (username.as_str(), password.as_str()))
    }

    /// As the config shows it: the password hidden.
    pub fn shown(&self) -> String {
        match self.credentials() {
            Some((username, _)) => format!("http://{username}:***@{self}"),
            None => self.url(),
        }
    }

    /// The value of `Proxy-Authorization`, if it is asked with credentials.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let (username, password) = self.credentials()?;
        let value = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A connection to it: its own address goes through the guard like any other.
    pub(super) async fn dial(&self, dialler: &Dialler) -> Result<TcpStream, Error> {
        let dialled = dialler.tcp(&self.0.host, self.0.port).await;
        // Not `Blocked`: that would give up deliveries for good, and it is no fault of their sink.
        dialled.map_err(|error| self.fault(format_args!("cannot be reached: {error}")))
    }

    /// Asks for a tunnel to `host`, over a connection to the proxy.
    pub(super) async fn tunnel(&self, mut stream: TcpStream, host: &str, port: u16) -> Result<TcpStream, Error> {
        let mut asked = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n").into_bytes();
        if let Some(value) = self.authorization() {
            asked.extend_from_slice(b"proxy-authorization: ");
            asked.extend_from_slice(value.as_bytes());
            asked.extend_from_slice(b"\r\n");
        }
        asked.extend_from_slice(b"\r\n");
        let broke = |error: std::io::Error| self.fault(format_args!("broke the connection: {error}"));
        stream.write_all(&asked).await.map_err(broke)?;
        let mut head = Vec::with_capacity(256);
        let end = loop {
            if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if head.len() > LONGEST_HEAD || stream.read_buf(&mut head).await.map_err(broke)? == 0 {
                return Err(self.fault("gave no whole answer to CONNECT"));
            }
        };
        match status(&head) {
            // The sink is the second to speak, in TLS: what comes before that is not the sink's.
            Some(200..=299) if head.len() == end => Ok(stream),
            Some(200..=299) => Err(self.fault("sent something before the tunnel was used")),
            Some(status) => Err(self.refused(status, " to CONNECT")),
            None => Err(self.fault("did not answer CONNECT in HTTP")),
        }
    }

    /// It answered for itself.
    pub(super) fn refused(&self, status: u16, to: &str) -> Error {
        let hint = match (status, self.credentials()) {
            (407, None) => " (it wants credentials, and none are set)",
            (407, Some(_)) => " (it does not take its credentials)",
            _ => "",
        };
        self.fault(format_args!("answered {status}{to}{hint}"))
    }

    fn fault(&self, what: impl fmt::Display) -> Error {
        Error::Proxy(format!("the proxy {self} {what}"))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.host, self.0.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// The status of an answer that begins so.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let rest = line.strip_prefix(b"HTTP/1.1 ").or(line.strip_prefix(b"HTTP/1.0 "))?;
    let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
    digits.parse().ok()
}

impl ProxySettings {
    /// The proxy for a request to `host`.
    pub(super) fn by(&self, host: &str) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref()?;
        let excepted = self.except.iter().any(|exception| exception.covers(host));
        (!excepted).then_some(proxy)
    }
}

impl Exception {
    /// Reads `*`, `example.com`, `.example.com`, `10.0.0.0/8` or an address.
    ///
    /// # Errors
    /// The end of a sentence: how it must be written.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        let range = text.parse::<IpNet>().ok();
        if let Some(range) = range.or_else(|| literal(text).map(IpNet::from)) {
            return Ok(Self::Range(range));
        }
        let (below, name) = match text.strip_prefix("*.").or(text.strip_prefix('.')) {
            Some(name) => (true, name),
            None => (false, text),
        };
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.contains(['*', ':', '/']) => Ok(match below {
                true => Self::Below(name),
                false => Self::Host(name),
            }),
            _ => Err(format!(
                "must hold names such as `example.com` or `.example.com`, ranges such as `10.0.0.0/8`, or `*`, not `{text}`"
            )),
        }
    }

    fn covers(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_below = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        match self {
            Self::All => true,
            Self::Host(name) => host == *name || is_below(name),
            Self::Below(name) => is_below(name),
            Self::Range(range) => literal(&host).is_some_and(|ip: IpAddr| range.contains(&ip)),
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Host(name) => f.write_str(name),
            Self::Below(name) => write!(f, ".{name}"),
            Self::Range(range) if range.prefix_len() == range.max_prefix_len() => range.addr().fmt(f),
            Self::Range(range) => range.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
