//! The command line's way to a hub: requests to `/v1`, problems turned into exit codes.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::exit::{Code, Failure};
use super::tls::Tls;
use crate::net::{Direct, Error};

/// What stands as it is in a path segment or a query value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A hub, as seen from the command line.
pub(super) struct HubClient {
    direct: Direct,
    url: String,
    token: Option<String>,
}

impl HubClient {
    /// The hub at `url`; behind TLS with these files.
    ///
    /// # Errors
    /// `url` is none, or a file cannot be used.
    pub(super) fn new(url: &str, tls: &Tls) -> Result<Self, Failure> {
        let direct =
            Direct::new(url, tls.trust()?).map_err(|why| Failure::new(Code::Usage, format!("--url: {why}")))?;
        Ok(Self {
            direct,
            url: url.to_owned(),
            token: None,
        })
    }

    /// The same, with credentials: `NAME:SECRET`, or a secret alone.
    #[must_use]
    pub(super) fn with_token(mut self, token: Option<&str>) -> Self {
        self.token = token.map(|token| format!("Bearer {token}"));
        self
    }

    /// A document.
    ///
    /// # Errors
    /// The hub's own words, or that it cannot be reached.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, None).await
    }

    /// Sends a document (or nothing) and reads the answer; an empty answer is null.
    ///
    /// # Errors
    /// As [`HubClient::get`].
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let media = body.map(|_| ("content-type", "application/json"));
        self.send(method, path, media.as_slice(), bytes).await
    }

    /// Sends any bytes and reads the answer.
    ///
    /// # Errors
    /// As [`HubClient::get`].
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Value, Failure> {
        let answer = self.open(method, path, headers, body).await?;
        let bytes = self.whole(answer).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes))))
    }

    /// Sends a request; what is not a success is a failure. The body is still to be read.
    ///
    /// # Errors
    /// As [`HubClient::get`].
    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let credentials = self.token.as_deref().map(|token| ("authorization", token));
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain(credentials).collect();
        let answer = self
            .direct
            .send(method, path, &headers, body)
            .await
            .map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let bytes = self.whole(answer).await?;
        Err(problem(status, &bytes))
    }

    async fn whole(&self, answer: Response<Incoming>) -> Result<Bytes, Failure> {
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|cause| self.broken(&cause))?;
        Ok(body.to_bytes())
    }

    /// The connection ended in the middle of an answer.
    pub(super) fn broken(&self, cause: &hyper::Error) -> Failure {
        Failure::new(
            Code::Unavailable,
            format!("the connection to the hub at {} broke: {cause}", self.url),
        )
    }

    fn unreachable(&self, error: &Error) -> Failure {
        let why = match error {
            Error::Connect(why) | Error::Broken(why) | Error::Resolve(why) | Error::Proxy(why) => why.clone(),
            Error::Timeout => "no answer in time".to_owned(),
            Error::Blocked(blocked) => blocked.to_string(),
        };
        let url = &self.url;
        let hint = match () {
            () if why.contains("is not TLS") => "call it by http://",
            () if why.contains("CertificateRequired") => {
                "it wants to see a certificate: `--cert` and `--key` (BUSWAY_CERT, BUSWAY_KEY) name one"
            }
            () if why.contains("TLS with") => {
                "does `--ca` (or BUSWAY_CA) name the authority of its certificate, and `--url` the name in it?"
            }
            () => "is `busway serve` running, and does `--url` (or BUSWAY_URL) name its address?",
        };
        Failure::new(Code::Unavailable, format!("cannot reach a hub at {url}: {why}; {hint}"))
    }
}

/// Text fit for a path segment or a query value.
pub(super) fn escape(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A query from pairs; empty if there are none.
pub(super) fn query(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", escape(value)))
        .collect();
    if pairs.is_empty() {
        String::new()
    } else {
        format!("?{}", pairs.join("&"))
    }
}

/// The hub's problem document as a failure: its own words, its stable code, and ours.
fn problem(status: StatusCode, body: &[u8]) -> Failure {
    let code = match status.as_u16() {
        401 | 403 => Code::NoPermission,
        404 | 410 => Code::NoInput,
        429 => Code::TryLater,
        400..=499 => Code::Data,
        503 => Code::Unavailable,
        _ => Code::Software,
    };
    let document: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let words = text("detail")
        .or_else(|| text("title"))
        .map_or_else(|| format!("{status}{}", sentence(body)), str::to_owned);
    let message = match text("code") {
        Some(stable @ "unauthorized") => format!("{words} ({stable}); here that is `--token` or BUSWAY_TOKEN"),
        Some(stable) => format!("{words} ({stable})"),
        None => words,
    };
    Failure::new(code, message)
}

/// What was said in plain words, where that is no page: by a TLS listener that was called by http, or a proxy.
fn sentence(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap_or_default().trim();
    let plain = !text.is_empty() && text.len() <= 200 && !text.contains(['<', '{', '\n']);
    match plain {
        true => format!(": {text}"),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_become_exit_codes() {
        let body = br#"{"title":"t","detail":"`sink` is missing","code":"sink_missing"}"#;
        let cases = [
            (400, 65),
            (401, 77),
            (404, 66),
            (413, 65),
            (429, 75),
            (500, 70),
            (503, 69),
        ];
        for (status, expected) in cases {
            let failure = problem(StatusCode::from_u16(status).unwrap(), body);
            assert_eq!(failure.code as u8, expected, "{status}");
            assert_eq!(failure.message, "`sink` is missing (sink_missing)");
        }
        assert_eq!(problem(StatusCode::BAD_GATEWAY, b"<html>").message, "502 Bad Gateway");
        let told = problem(
            StatusCode::BAD_REQUEST,
            b"this address speaks TLS: call it by https://\n",
        );
        assert_eq!(
            told.message,
            "400 Bad Request: this address speaks TLS: call it by https://"
        );
    }

    #[test]
    fn queries_are_escaped() {
        assert_eq!(
            query(&[("a", "x y&z".into()), ("b", "ü".into())]),
            "?a=x%20y%26z&b=%C3%BC"
        );
        assert_eq!(query(&[]), "");
    }
}
