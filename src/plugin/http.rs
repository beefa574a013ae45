//! A guest's outgoing HTTP: checked against its grants, then sent by the hub's own client, through the guard.
//!
//! Why our own client: wasmtime's default keeps no connection alive, dials any address, and waits ten minutes.
//! Bodies are held whole, in both directions, up to the bounds below.
//! Invariant: no request leaves without a grant that covers its origin; redirects are the guest's to follow, so each
//! hop is checked.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

use super::allowance::Allowance;
use super::grants::{self, Allowed};
use super::guest_log::GuestLog;
use super::recorder::Recorder;
use crate::net;

/// The largest answer that a guest is given.
const ANSWER: usize = 8 << 20;
/// Requests of one instance that are under way at once: their bodies are in the hub's memory, not the guest's.
pub(super) const AT_ONCE: usize = 8;

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
    pub(super) allowance: Arc<Allowance>,
    /// [`AT_ONCE`] requests of one instance are under way; more wait their turn.
    pub(super) turns: Arc<Semaphore>,
}

type Io = Box<dyn Future<Output = Result<()>> + Send>;
type Sent = Box<dyn Future<Output = Result<(Response<WasiBody>, Io)>> + Send>;

impl WasiHttpHooks for Egress {
    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _received: Io) -> Sent {
        if !self.allowed.http(request.uri()) {
            let wanted = origin(request.uri());
            self.log
                .refused(&wanted, &grants::line(&self.plugin, "http", &self.granted, &wanted));
            return Box::new(deny(request, self.most, Error::HttpRequestDenied));
        }
        if !self.allowance.request() {
            return Box::new(deny(request, self.most, spent()));
        }
        let asked = options
            .and_then(|options| options.first_byte_timeout)
            .unwrap_or(self.timeout);
        let way = Way {
            client: self.client.clone(),
            recorder: self.log.recorder().cloned(),
            timeout: self.timeout.min(asked),
            most: self.most,
            allowance: self.allowance.clone(),
            turns: self.turns.clone(),
        };
        Box::new(way.send(request))
    }
}

/// The way of one request.
struct Way {
    client: net::Client,
    /// Writes it down, if the guest is observed.
    recorder: Option<Arc<Recorder>>,
    timeout: Duration,
    most: usize,
    allowance: Arc<Allowance>,
    turns: Arc<Semaphore>,
}

impl Way {
    async fn send(self, request: Request<WasiBody>) -> Result<(Response<WasiBody>, Io)> {
        // Whoever waits here is under the call's own deadline; the semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let (head, body) = request.into_parts();
        let body = self.collect(body).await?;
        if let Some(recorder) = &self.recorder {
            recorder.count("http");
            recorder.request(&head, &body);
            if recorder.suppresses() {
                return Ok((Response::new(whole(Bytes::new())), Box::new(async { Ok(()) })));
            }
        }
        // One byte more than may be kept shows that there was more.
        let keep = ANSWER.min(self.allowance.left()) + 1;
        let request = Request::from_parts(head, body);
        let answer = self.client.send(request, self.timeout, keep).await;
        let answer = answer.and_then(net::Answer::whole).map_err(told)?;
        if answer.body.len() > ANSWER {
            return Err(Error::HttpResponseBodySize(None));
        }
        if !self.allowance.bytes(answer.body.len()) {
            return Err(spent());
        }
        Ok(response(answer))
    }

    /// The whole body, paid for as it comes.
    async fn collect(&self, mut body: WasiBody) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame?.into_data() else {
                continue;
            };
            if whole.len() + piece.len() > self.most {
                return Err(refused(body, self.most, Error::HttpRequestBodySize(None)).await);
            }
            if !self.allowance.bytes(piece.len()) {
                return Err(refused(body, self.most, spent()).await);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

async fn deny(request: Request<WasiBody>, most: usize, error: Error) -> Result<(Response<WasiBody>, Io)> {
    Err(refused(request.into_body(), most, error).await)
}

/// The error, once what is left of the body is taken: a guest that is still writing it would hear of a broken stream
/// before it hears why, and JavaScript's engine ends itself at that. Nothing is kept, and no more than `most` taken.
async fn refused(mut body: WasiBody, most: usize, error: Error) -> Error {
    let mut taken = 0;
    while taken <= most
        && let Some(Ok(frame)) = body.frame().await
    {
        taken += frame.data_ref().map_or(0, Bytes::len);
    }
    error
}

/// What a call hears that has used up its allowance.
fn spent() -> Error {
    Error::InternalError(Some(
        "this call has asked for more of the network than it may (limits.requests, limits.egress)".to_owned(),
    ))
}

fn response(answer: net::Answer) -> (Response<WasiBody>, Io) {
    let mut response = Response::new(whole(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    (response, Box::new(async { Ok(()) }))
}

fn whole(body: Bytes) -> WasiBody {
    Full::new(body).map_err(Error::from).boxed_unsync()
}

fn told(error: net::Error) -> Error {
    match error {
        net::Error::Blocked(_) => Error::DestinationIpProhibited,
        net::Error::Resolve(why) => Error::DnsError {
            rcode: Some(why),
            info_code: None,
        },
        net::Error::Connect(_) | net::Error::Proxy(_) => Error::ConnectionRefused,
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
    use std::pin::Pin;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::plugin::status::Figures;
    use crate::plugin::{Effect, Effects, Grants, Limits};
    use crate::time::{Clock, Timestamp};

    /// Sends one request to `uri` under `grants`; the status and the body, or the error.
    async fn fetch(uri: &str, grants: &[&str], body: &'static str) -> Result<(u16, Bytes)> {
        let log = GuestLog::new("p", &Limits::default(), Arc::default(), Clock::manual(Timestamp(0)));
        fetch_with(log, uri, grants, body).await
    }

    async fn fetch_with(log: Arc<GuestLog>, uri: &str, grants: &[&str], body: &'static str) -> Result<(u16, Bytes)> {
        fetch_under(net::GuardSettings::default(), log, (uri, grants), body).await
    }

    async fn fetch_under(
        rules: net::GuardSettings,
        log: Arc<GuestLog>,
        (uri, grants): (&str, &[&str]),
        body: &'static str,
    ) -> Result<(u16, Bytes)> {
        let granted: Vec<String> = grants.iter().map(|&origin| origin.to_owned()).collect();
        let allowed = Allowed::parse(&Grants {
            http: granted.clone(),
            ..Grants::default()
        })
        .unwrap();
        let (limits, figures) = (Limits::default(), Arc::new(Figures::default()));
        let mut egress = Egress {
            plugin: "p".to_owned(),
            client: net::Client::new(net::Guard::new(rules)),
            allowed: Arc::new(allowed),
            granted,
            allowance: Allowance::new(&limits, log.clone(), figures),
            log,
            timeout: Duration::from_secs(10),
            most: 1_024,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        };
        let request = Request::post(uri).body(whole(body.into())).unwrap();
        let (response, _) = Pin::from(egress.send_request(request, None, Box::new(async { Ok(()) }))).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// A server for one request; it answers with its request's body.
    async fn echo() -> String {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", server.local_addr().unwrap());
        crate::tasks::Tasks::new().spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut seen = vec![0; 4_096];
            let mut length = 0;
            while !seen[..length].ends_with(b"hello") {
                length += stream.read(&mut seen[length..]).await.unwrap();
            }
            stream
                .write_all(b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 5\r\n\r\nworld")
                .await
                .unwrap();
        });
        origin
    }

    #[tokio::test]
    async fn a_granted_request_is_sent_and_answered() {
        let origin = echo().await;
        let (status, body) = fetch(&format!("{origin}/path"), &[&origin], "hello").await.unwrap();
        assert_eq!((status, body.as_ref()), (418, b"world".as_slice()));
    }

    #[tokio::test]
    async fn observed_without_effects_it_is_written_down_and_answered_here() {
        let recorder = Arc::new(Recorder::new(Effects::Suppressed));
        let log = GuestLog::recorded("p", &Limits::default(), Clock::manual(Timestamp(0)), recorder.clone());
        let sent = fetch_with(log, "http://nowhere.invalid/a", &["http://nowhere.invalid"], "hello");
        assert_eq!(sent.await.unwrap(), (200, Bytes::new()));
        let trace = recorder.take();
        assert_eq!(trace.host_calls["http"], 1);
        assert!(
            matches!(
                trace.effects.as_slice(),
                [Effect::Http { method, url, bytes: 5, body, .. }]
                    if method == "POST" && url == "http://nowhere.invalid/a" && body == "hello"
            ),
            "{trace:?}"
        );
    }

    #[tokio::test]
    async fn observed_with_effects_it_is_sent_too() {
        let origin = echo().await;
        let recorder = Arc::new(Recorder::new(Effects::Real));
        let log = GuestLog::recorded("p", &Limits::default(), Clock::manual(Timestamp(0)), recorder.clone());
        let (status, _) = fetch_with(log, &origin, &[&origin], "hello").await.unwrap();
        assert_eq!((status, recorder.take().effects.len()), (418, 1));
    }

    #[tokio::test]
    async fn any_other_is_not() {
        let refused = fetch("http://127.0.0.1:9/", &["http://127.0.0.1:8"], "hello").await;
        assert!(matches!(refused, Err(Error::HttpRequestDenied)), "{refused:?}");
        let blocked = fetch("http://169.254.169.254/", &["http://169.254.169.254"], "hello").await;
        assert!(matches!(blocked, Err(Error::DestinationIpProhibited)), "{blocked:?}");
    }

    #[tokio::test]
    async fn a_grant_opens_nothing_that_the_guard_refuses() {
        let rules = || net::GuardSettings {
            deny_private: true,
            deny: vec!["*.blocked.example".parse().unwrap(), "*:25".parse().unwrap()],
            resolver: net::Resolver::asking(|name| {
                let leads = if name.starts_with("inside") {
                    "::ffff:10.0.0.1"
                } else {
                    "169.254.169.254"
                };
                Ok(vec![leads.parse().unwrap()])
            }),
            ..net::GuardSettings::default()
        };
        for origin in [
            "http://127.0.0.1:9",
            "http://2130706433",
            "http://0x7f.1",
            "http://0177.0.0.1",
            "http://127.1",
            "http://0",
            "http://[::1]",
            "http://[::ffff:7f00:1]",
            "http://[64:ff9b::a9fe:a9fe]",
            "http://localhost",
            "http://a.localhost",
            "http://169.254.169.254",
            "http://metadata.google.internal",
            "http://a.blocked.example",
            "http://ok.example:25",
            "http://inside.example",
            "http://cname-to-metadata.example",
            "https://inside.example",
        ] {
            let log = GuestLog::new("p", &Limits::default(), Arc::default(), Clock::manual(Timestamp(0)));
            let refused = fetch_under(rules(), log, (&format!("{origin}/"), &[origin]), "hello").await;
            assert!(
                matches!(refused, Err(Error::DestinationIpProhibited)),
                "{origin}: {refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_body_is_bounded() {
        let origin = echo().await;
        let long: &'static str = Box::leak("x".repeat(2_000).into_boxed_str());
        let refused = fetch(&origin, &[&origin], long).await;
        assert!(matches!(refused, Err(Error::HttpRequestBodySize(None))), "{refused:?}");
    }

    #[test]
    fn an_origin_is_what_a_grant_says() {
        let check = |uri: &str, expected: &str| assert_eq!(origin(&uri.parse().unwrap()), expected);
        check("https://user@hooks.example.com/a?b", "https://hooks.example.com");
        check("http://127.0.0.1:8080/", "http://127.0.0.1:8080");
        check("http://[::1]:1/", "http://[::1]:1");
    }
}
