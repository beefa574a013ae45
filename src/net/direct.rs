//! HTTP to the one place that the person at the command line named: a hub.
//!
//! Why so: the guard and the limits of [`super::Client`] are for addresses that strangers choose. Here the user chose,
//! answers are streams as often as documents, and a unix socket is as good as a port.
//! Over TLS the connection of the request before is used again if its answer has been read: a command that publishes
//! a thousand events shakes hands once. A request goes out a second time only if not a byte of it was written.
//! Invariant: the hub itself never uses this, only the command line does.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::uri::Authority;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use url::Url;

use super::{Error, Trust, chain};
use crate::tasks::Tasks;

/// A way to one hub.
pub struct Direct {
    place: Place,
    tasks: Tasks,
}

enum Place {
    Web {
        base: Url,
        client: Box<Client<HttpConnector, Full<Bytes>>>,
    },
    Secure(Box<Secure>),
    Socket(PathBuf),
}

/// A hub behind TLS.
struct Secure {
    base: Url,
    host: String,
    port: u16,
    /// `host:port` as the person wrote it, for the header.
    authority: String,
    trust: Trust,
    idle: Mutex<Option<Sender>>,
}

type Sender = SendRequest<Full<Bytes>>;

impl Direct {
    /// A way to `http://host:port`, `https://host:port` or `unix:/path`; behind TLS must be somebody who is trusted.
    ///
    /// # Errors
    /// In words: what is wrong with the address.
    pub fn new(address: &str, trust: Trust) -> Result<Self, String> {
        let place = match address.strip_prefix("unix:") {
            Some(path) => Place::Socket(path.into()),
            None => web(address, trust)?,
        };
        Ok(Self {
            place,
            tasks: Tasks::new(),
        })
    }

    /// Sends one request to `path` (with its query); the answer's body is still to be read.
    ///
    /// # Errors
    /// No connection, or what came was not HTTP.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Error> {
        let (uri, host) = match &self.place {
            Place::Web { base, .. } => (format!("{}{path}", base.as_str().trim_end_matches('/')), None),
            Place::Secure(secure) => (
                format!("{}{path}", secure.base.path().trim_end_matches('/')),
                Some(secure.authority.as_str()),
            ),
            Place::Socket(_) => (path.to_owned(), Some("localhost")),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header(http::header::HOST, host);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|cause| Error::Broken(cause.to_string()))?;
        match &self.place {
            Place::Web { client, .. } => client
                .request(request)
                .await
                .map_err(|cause| Error::Connect(chain(&cause))),
            Place::Secure(secure) => self.over_tls(secure, request).await,
            Place::Socket(path) => self.over_socket(path, request).await,
        }
    }

    async fn over_tls(&self, secure: &Secure, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        if let Some(mut idle) = secure.take() {
            match idle.try_send_request(request).await {
                Ok(answer) => {
                    secure.keep(idle);
                    return Ok(answer);
                }
                Err(mut failed) => match failed.take_message() {
                    // It had gone stale, and not a byte was written: a new one, then.
                    Some(unsent) => request = unsent,
                    None => return Err(Error::Broken(chain(&failed.into_error()))),
                },
            }
        }
        let stream = TcpStream::connect((secure.host.as_str(), secure.port)).await;
        let stream = stream.map_err(|cause| Error::Connect(cause.to_string()))?;
        let mut sender = self.speak(secure.trust.secure(&secure.host, stream).await?).await?;
        let answer = sender.send_request(request).await.map_err(|cause| broken(&cause))?;
        secure.keep(sender);
        Ok(answer)
    }

    async fn over_socket(&self, path: &PathBuf, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        let stream = tokio::net::UnixStream::connect(path)
            .await
            .map_err(|cause| Error::Connect(cause.to_string()))?;
        let mut sender = self.speak(stream).await?;
        sender.send_request(request).await.map_err(|cause| broken(&cause))
    }

    /// HTTP on an open stream.
    async fn speak(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Sender, Error> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|cause| broken(&cause))?;
        self.tasks.spawn(connection);
        Ok(sender)
    }
}

impl Secure {
    fn take(&self) -> Option<Sender> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One whose answer is still being read is not free, and is left to its reader.
        idle.filter(Sender::is_ready)
    }

    fn keep(&self, sender: Sender) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }
}

fn web(address: &str, trust: Trust) -> Result<Place, String> {
    let base = Url::parse(address).map_err(|cause| format!("`{address}` is not a URL: {cause}"))?;
    let rule = || format!("`{address}` must begin with `http://`, `https://` or `unix:`");
    let host = base.host_str().ok_or_else(rule)?.to_owned();
    match base.scheme() {
        "http" => Ok(Place::Web {
            base,
            client: Box::new(Client::builder(TokioExecutor::new()).build(HttpConnector::new())),
        }),
        "https" => {
            let port = base.port_or_known_default().unwrap_or(443);
            let authority = base
                .port()
                .map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
            authority.parse::<Authority>().map_err(|_| rule())?;
            Ok(Place::Secure(Box::new(Secure {
                host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
                base,
                port,
                authority,
                trust,
                idle: Mutex::default(),
            })))
        }
        _ => Err(rule()),
    }
}

fn broken(cause: &hyper::Error) -> Error {
    Error::Broken(chain(cause))
}
