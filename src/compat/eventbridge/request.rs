//! A request, read whole and within its limit, and where it came from: the same for both surfaces.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;

use super::call::Origin;
use super::fault::Fault;
use crate::compat::body::{self, Unread};

/// A request, read.
pub(super) struct Whole {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) from: Origin,
}

impl Whole {
    /// Reads a request with a body of at most `most` bytes.
    pub(super) async fn read(request: Request, most: usize) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = Origin {
            address: peer.map(|ConnectInfo(peer)| peer.ip()),
            base: base(&parts.headers),
        };
        Ok(Self {
            body: collect(body, most).await?,
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            from,
        })
    }

    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Its media type, without parameters, in lower case.
    pub(super) fn media(&self) -> String {
        let text = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

async fn collect(body: Body, most: usize) -> Result<Bytes, Fault> {
    body::read(body, most).await.map_err(|unread| match unread {
        Unread::TooLarge(most) => {
            let text = format!("The request body exceed the limit [{most}].");
            Fault::new(413, "RequestBodyTooLarge", text)
        }
        Unread::Incomplete | Unread::TooSlow(_) | Unread::Revoked => {
            Fault::new(400, "RequestBodyIncomplete", "The request body did not come whole.")
        }
    })
}

/// How the caller called the hub, for URLs that it is told.
fn base(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto")
        .filter(|scheme| *scheme == "https")
        .unwrap_or("http");
    format!("{scheme}://{}", text("host").unwrap_or("localhost"))
}

/// An answer in JSON.
pub(super) fn answer(status: u16, body: &Value) -> Response {
    let status = axum::http::StatusCode::from_u16(status).unwrap_or_default();
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        body.to_string(),
    )
        .into_response();
    if status == axum::http::StatusCode::TOO_MANY_REQUESTS {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}
