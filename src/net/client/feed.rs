//! An answer that is read as it comes: a stream of events lasts for days and never ends by itself.
//!
//! Why beside [`Client::send`]: that reads a whole answer within a time and keeps the connection; here only the head
//! has a time, and the connection ends with the answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{Client, Link, refused_by_proxy};
use crate::net::{Error, Trust};

/// An open answer.
pub struct Feed {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    link: Link,
    body: Incoming,
}

impl Client {
    /// The same client, trusting these where it speaks TLS.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.dialler.trust = trust;
        self
    }

    /// Sends one request; the head of the answer must come within `timeout`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn open(&self, request: Request<Bytes>, timeout: Duration) -> Result<Feed, Error> {
        let opened = async {
            let (origin, request) = self.address(request)?;
            let mut link = self.link(&origin).await?;
            let answer = link.exchange(request).await;
            let answer = answer.map_err(|failed| Error::Broken(failed.into_error().to_string()))?;
            refused_by_proxy(&origin, answer.status())?;
            let (head, body) = answer.into_parts();
            Ok(Feed {
                status: head.status,
                headers: head.headers,
                link,
                body,
            })
        };
        tokio::time::timeout(timeout, opened)
            .await
            .unwrap_or(Err(Error::Timeout))
    }
}

impl Feed {
    /// The next bytes; `None` at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            match self.link.driving(self.body.frame()).await? {
                Ok(frame) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Some(Ok(bytes));
                    }
                }
                Err(cause) => return Some(Err(Error::Broken(cause.to_string()))),
            }
        }
    }
}
