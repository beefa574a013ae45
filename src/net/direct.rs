//! HTTP to the one place that the person at the command line named: a hub.
//!
//! Why so: the guard and the limits of [`super::Client`] are for addresses that strangers choose. Here the user chose,
//! answers are streams as often as documents, and a unix socket is as good as a port.
//! Invariant: the hub itself never uses this, only the command line does.

use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use url::Url;

use super::{Error, chain};
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
    Socket(PathBuf),
}

impl Direct {
    /// A way to `http://host:port` or `unix:/path`.
    ///
    /// # Errors
    /// In words: what is wrong with the address.
    pub fn new(address: &str) -> Result<Self, String> {
        let tasks = Tasks::new();
        if let Some(path) = address.strip_prefix("unix:") {
            return Ok(Self {
                place: Place::Socket(path.into()),
                tasks,
            });
        }
        let base = Url::parse(address).map_err(|cause| format!("`{address}` is not a URL: {cause}"))?;
        if base.scheme() != "http" || base.host_str().is_none() {
            return Err(format!("`{address}` must begin with `http://` or `unix:`"));
        }
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Ok(Self {
            place: Place::Web {
                base,
                client: Box::new(client),
            },
            tasks,
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
        let uri = match &self.place {
            Place::Web { base, .. } => format!("{}{path}", base.as_str().trim_end_matches('/')),
            Place::Socket(_) => path.to_owned(),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if let Place::Socket(_) = &self.place {
            request = request.header(http::header::HOST, "localhost");
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
            Place::Socket(path) => self.over_socket(path, request).await,
        }
    }

    async fn over_socket(&self, path: &PathBuf, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        let stream = tokio::net::UnixStream::connect(path)
            .await
            .map_err(|cause| Error::Connect(cause.to_string()))?;
        let broken = |cause: hyper::Error| Error::Broken(chain(&cause));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        self.tasks.spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }
}
