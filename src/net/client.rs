//! HTTP/1.1 out: one request, one answer, on a connection that is kept alive.
//!
//! Why our own over `hyper::client::conn`, and not hyper-util's client: its cost (see `pool`), and because what is
//! sent again is decided here in the open. A request goes out a second time only if hyper hands it back, that is,
//! if not a byte of it was written; a connection that breaks later is an error, and the caller's retry is counted.
//! Redirects are not followed: a sink that moved says so to whoever reads the status.
//! Invariant: no request is sent twice by one call of [`Client::send`].

mod feed;

use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::net::TcpStream;

pub use feed::Feed;

use super::dial::{Dialler, Stream};
use super::pool::{Link, Origin, Pool};
use super::reach::{Reached, Stage, whole_millis};
use super::{Error, Guard, ProxySettings, Route, Trust, chain};

/// One attempt to connect, all addresses of a name together (about).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Beyond what the caller keeps, this much of a body is read so that the connection can be used again.
const DRAIN: usize = 64 << 10;

/// The HTTP client, with connections kept alive. Cheap to clone. Never follows redirects.
#[derive(Clone)]
pub struct Client {
    dialler: Dialler,
    proxies: Arc<ProxySettings>,
    pool: Arc<Pool>,
}

/// An answer, its body read up to a limit.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The first bytes of the body, as far as they came.
    pub body: Bytes,
    /// Why the body did not end, if it did not.
    pub cut: Option<String>,
}

impl Answer {
    /// The answer, for whom half a body is none.
    ///
    /// # Errors
    /// [`Error::Broken`] if the body did not end.
    pub fn whole(self) -> Result<Self, Error> {
        match self.cut {
            Some(why) => Err(Error::Broken(format!("it answered {}, and {why}", self.status))),
            None => Ok(self),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("guard", self.guard())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client that dials through `guard`.
    pub fn new(guard: Guard) -> Self {
        Self {
            dialler: Dialler::new(guard, CONNECT_TIMEOUT),
            proxies: Arc::default(),
            pool: Arc::default(),
        }
    }

    /// The same client, whose requests go by these proxies unless they say otherwise (by a [`Route`] among their
    /// extensions). Connections that are no requests are dialled as before.
    #[must_use]
    pub fn through(mut self, proxies: ProxySettings) -> Self {
        self.proxies = Arc::new(proxies);
        self
    }

    /// The same way out with connections of its own: for another runtime, since a connection lives on the one that
    /// opened it.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            dialler: self.dialler.clone(),
            proxies: self.proxies.clone(),
            pool: Arc::default(),
        }
    }

    /// The guard it dials through.
    pub fn guard(&self) -> &Guard {
        &self.dialler.guard
    }

    /// Sends one request and reads at most `keep` bytes of the answer's body, all within `timeout`. A [`Trust`] and a
    /// [`Route`] among the request's extensions take the place of the client's.
    ///
    /// Once the head is there, so is the answer: what the sink decided is not undone by a body that breaks off or never
    /// ends ([`Answer::whole`] is for whom it is).
    ///
    /// # Errors
    /// Why there is no answer. Whether the sink saw the request is not known then, except for
    /// [`Error::Blocked`], [`Error::Resolve`], [`Error::Connect`] and [`Error::Proxy`]: it did not.
    pub async fn send(&self, request: Request<Bytes>, timeout: Duration, keep: usize) -> Result<Answer, Error> {
        let (origin, request) = self.address(request)?;
        let reached = Reached::default();
        let mut end = pin!(tokio::time::sleep(timeout));
        let (mut link, response) = tokio::select! {
            biased;
            answered = self.answered((&origin, request), &reached) => answered?,
            () = end.as_mut() => {
                self.pool.forget(&origin);
                return Err(reached.late(&origin.host, timeout));
            }
        };
        let (head, body) = response.into_parts();
        let mut kept = BytesMut::new();
        let cut = tokio::select! {
            biased;
            read = read(&mut link, body, (&mut kept, keep)) => match read {
                Ok(whole) => {
                    if whole && link.is_ready().await {
                        self.pool.keep(origin, link);
                    }
                    None
                }
                Err(error) => Some(format!("then {}", chain(&error))),
            },
            () = end => {
                self.pool.forget(&origin);
                Some(late_body(timeout))
            }
        };
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: kept.freeze(),
            cut,
        })
    }

    /// A plain TCP connection through the guard.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, Error> {
        self.dialler.tcp(host, port, &Reached::default()).await
    }

    /// A plain TCP connection to an address, through the guard. `names` led to it; none: it was asked for outright.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self, address: SocketAddr, names: &[String]) -> Result<TcpStream, Error> {
        self.dialler.address(address, names).await
    }

    /// Whom it trusts where it speaks TLS.
    pub fn trust(&self) -> &Trust {
        &self.dialler.trust
    }

    /// The head of the answer, and the connection that its body comes by.
    async fn answered(
        &self,
        (origin, mut request): (&Origin, Request<Full<Bytes>>),
        reached: &Reached,
    ) -> Result<(Link, Response<Incoming>), Error> {
        loop {
            let mut link = self.link(origin, reached).await?;
            reached.stage(Stage::Answer);
            let response = match link.exchange(request).await {
                Ok(response) => response,
                Err(mut failed) => match failed.take_message() {
                    // Not a byte of it was written: the idle connection had gone stale. Another one, then.
                    Some(unsent) => {
                        request = unsent;
                        continue;
                    }
                    None => return Err(broken(&failed.into_error())),
                },
            };
            refused_by_proxy(origin, response.status())?;
            return Ok((link, response));
        }
    }

    /// An idle connection that is still good, or a new one.
    async fn link(&self, origin: &Origin, reached: &Reached) -> Result<Link, Error> {
        while let Some(mut idle) = self.pool.take(origin) {
            if idle.is_ready().await {
                return Ok(idle);
            }
        }
        let (dialler, host, port) = (&self.dialler, &origin.host, origin.port);
        let tcp = match &origin.via {
            None => dialler.tcp(host, port, reached).await?,
            Some(proxy) => {
                reached.stage(Stage::Proxy(proxy.clone()));
                let tcp = proxy.dial(dialler).await?;
                match origin.tls {
                    true => proxy.tunnel(tcp, host, port).await?,
                    false => tcp,
                }
            }
        };
        let stream = match origin.tls {
            true => dialler.secure(host, tcp, (origin.trust.as_ref(), reached)).await?,
            false => Stream::Plain(tcp),
        };
        let mut link = Link::open(stream)
            .await
            .map_err(|error| Error::Connect(error.to_string()))?;
        match link.is_ready().await {
            true => Ok(link),
            false => Err(Error::Connect(format!("{} closed the new connection", origin.host))),
        }
    }
}

/// Reads the body, the first `keep` bytes into `kept`; whether all of it was read.
async fn read(link: &mut Link, mut body: Incoming, (kept, keep): (&mut BytesMut, usize)) -> hyper::Result<bool> {
    let mut seen = 0;
    let mut whole = body.is_end_stream();
    while !whole && seen <= keep.saturating_add(DRAIN) {
        match link.driving(body.frame()).await {
            Some(Ok(frame)) => {
                let Some(piece) = frame.data_ref() else {
                    continue;
                };
                seen += piece.len();
                let room = keep.saturating_sub(kept.len()).min(piece.len());
                kept.extend_from_slice(piece.get(..room).unwrap_or_default());
                whole = body.is_end_stream();
            }
            Some(Err(error)) => return Err(error),
            None => whole = true,
        }
    }
    Ok(whole)
}

fn late_body(longest: Duration) -> String {
    format!("the answer's body did not end within {:?}", whole_millis(longest))
}

impl Client {
    /// Where an absolute URL points, by which way, and the request in the form that goes on the wire there.
    fn address(&self, request: Request<Bytes>) -> Result<(Origin, Request<Full<Bytes>>), Error> {
        let (mut head, body) = request.into_parts();
        let (tls, authority, port) = place(&head.uri)?;
        let via = match head.extensions.remove() {
            Some(Route::Direct) => None,
            Some(Route::By(proxy)) => Some(proxy),
            None => self.proxies.by(authority.host()).cloned(),
        };
        let origin = Origin {
            tls,
            host: authority.host().to_ascii_lowercase(),
            port,
            trust: head.extensions.remove(),
            via,
        };
        if !head.headers.contains_key(HOST) {
            head.headers.insert(HOST, host_header(&authority)?);
        }
        if origin.via.is_some() {
            self.guard().allows_through_proxy(&origin.host, port)?;
        }
        match &origin.via {
            // The proxy needs the whole URL.
            Some(proxy) if !tls => {
                head.headers.remove(PROXY_AUTHORIZATION);
                let credentials = proxy.authorization().map(|value| (PROXY_AUTHORIZATION, value));
                head.headers.extend(credentials);
            }
            _ => {
                let path = head.uri.path_and_query().cloned();
                head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
            }
        }
        Ok((origin, Request::from_parts(head, Full::new(body))))
    }
}

/// What an absolute URL names: whether TLS is spoken, the authority, and the port.
fn place(uri: &Uri) -> Result<(bool, Authority, u16), Error> {
    let refused = |why: &str| Error::Connect(format!("the URL {why}"));
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(refused("must begin with http:// or https://")),
    };
    let authority = uri.authority().ok_or_else(|| refused("names no host"))?;
    if authority.as_str().contains('@') {
        return Err(refused("may not carry a user name or password"));
    }
    // `Authority::port` takes a number that is too large for no port at all.
    let port = match authority
        .as_str()
        .strip_prefix(authority.host())
        .and_then(|rest| rest.strip_prefix(':'))
    {
        Some(given) => given.parse().map_err(|_| refused("has a port that is none"))?,
        None if tls => 443,
        None => 80,
    };
    Ok((tls, authority.clone(), port))
}

/// A 407 to a request that went to a proxy as it is: the sink is no proxy, so it was not the sink that said it.
fn refused_by_proxy(origin: &Origin, status: StatusCode) -> Result<(), Error> {
    match &origin.via {
        Some(proxy) if !origin.tls && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Err(proxy.refused(status.as_u16(), ""))
        }
        _ => Ok(()),
    }
}

fn broken(error: &hyper::Error) -> Error {
    Error::Broken(chain(error))
}

fn host_header(authority: &Authority) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(authority.as_str()).map_err(|error| Error::Connect(format!("the URL's host: {error}")))
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
