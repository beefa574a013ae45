//! A guest's outgoing HTTP: checked against its grants, then sent by the hub's own client, through the guard.
//!
//! Why our own client: wasmtime's default keeps no connection alive, dials any address, and waits ten minutes.
//! Bodies are held whole, in both directions, up to the bounds below.
//! Invariant: no request leaves without a grant that covers its origin; redirects are the guest's to follow, so each
//! hop is checked.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

use super::grants::{self, Allowed};
use super::guest_log::GuestLog;
use crate::net;

/// The largest answer that a guest is given.
const ANSWER: usize = 8 << 20;

/// The way out of one instance.
pub(super) struct Egress {
    pub(super) plugin: String,
    pub(super) client: net::Client,
    pub(super) allowed: Arc<Allowed>,
    /// The grants as the operator wrote them, for the line that would allow more.
    pub(super) granted: Vec<String>,
    pub(super) log: Arc<GuestLog>,
    /// One request, whole.
    pub(super) timeout: Duration,
    /// The largest request body.
    pub(super) most: usize,
}

type Io = Box<dyn Future<Output = Result<()>> + Send>;
type Sent = Box<dyn Future<Output = Result<(Response<WasiBody>, Io)>> + Send>;

impl WasiHttpHooks for Egress {
    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _received: Io) -> Sent {
        if !self.allowed.http(request.uri()) {
            let wanted = origin(request.uri());
            self.log.refused(&wanted, &grants::line(&self.plugin, "http", &self.granted, &wanted));
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let asked = options.and_then(|options| options.first_byte_timeout).unwrap_or(self.timeout);
        let (client, timeout, most) = (self.client.clone(), self.timeout.min(asked), self.most);
        Box::new(send(client, request, timeout, most))
    }
}

async fn send(client: net::Client, request: Request<WasiBody>, timeout: Duration, most: usize) -> Result<(Response<WasiBody>, Io)> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, most).collect().await.map_err(|_| Error::HttpRequestBodySize(None))?.to_bytes();
    let answer = client.send(Request::from_parts(head, body), timeout, ANSWER + 1).await.map_err(told)?;
    if answer.body.len() > ANSWER {
        return Err(Error::HttpResponseBodySize(None));
    }
    let mut response = Response::new(whole(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok((response, Box::new(async { Ok(()) })))
}

fn whole(body: Bytes) -> WasiBody {
    Full::new(body).map_err(Error::from).boxed_unsync()
}

fn told(error: net::Error) -> Error {
    match error {
        net::Error::Blocked(_) => Error::DestinationIpProhibited,
        net::Error::Resolve(why) => Error::DnsError { rcode: Some(why), info_code: None },
        net::Error::Connect(_) => Error::ConnectionRefused,
        net::Error::Timeout => Error::HttpResponseTimeout,
        net::Error::Broken(_) => Error::HttpResponseIncomplete,
    }
}

/// `scheme://host[:port]`: what a grant for this request would say.
fn origin(uri: &http::Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", uri.scheme_str().unwrap_or("https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_grant_says() {
        let check = |uri: &str, expected: &str| assert_eq!(origin(&uri.parse().unwrap()), expected);
        check("https://user@hooks.example.com/a?b", "https://hooks.example.com");
        check("http://127.0.0.1:8080/", "http://127.0.0.1:8080");
        check("http://[::1]:1/", "http://[::1]:1");
    }
}
