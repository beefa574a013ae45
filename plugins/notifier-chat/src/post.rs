//! One POST through wasi:http, and what its answer means for the delivery.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme};

use crate::exports::busway::plugin::notifier::Failure;

/// What `blocking_write_and_flush` takes at most.
const WRITE_AT_MOST: usize = 4096;
/// How much of a refusal's text is worth showing.
const SHOWN_OF_ANSWER: u64 = 200;

/// The webhook's address, in the parts that wasi:http wants.
#[derive(Debug, PartialEq)]
pub struct Url {
    https: bool,
    authority: String,
    path: String,
}

impl Url {
    /// Splits the address; the error continues "url ...".
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("must begin with https:// or http://"),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err("names no host");
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            https,
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
        })
    }
}

/// Posts the JSON and waits for the answer.
pub fn post(url: &Url, body: &[u8]) -> Result<(), Failure> {
    let request = request(url, body.len()).map_err(|()| refused("the url cannot be requested"))?;
    let outgoing = request.body().map_err(|()| refused("the request takes no body"))?;
    let answer = handle(request, None).map_err(unanswered)?;
    send(outgoing, body)?;
    answer.subscribe().block();
    match answer.get() {
        Some(Ok(Ok(response))) => judge(&response),
        Some(Ok(Err(error))) => Err(unanswered(error)),
        _ => Err(refused("the answer was not there when it should be")),
    }
}

fn request(url: &Url, length: usize) -> Result<OutgoingRequest, ()> {
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("content-length", length.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value.into_bytes()));
    let request = OutgoingRequest::new(Fields::from_list(&headers).map_err(|_| ())?);
    request.set_method(&Method::Post)?;
    request.set_scheme(Some(if url.https { &Scheme::Https } else { &Scheme::Http }))?;
    request.set_authority(Some(&url.authority))?;
    request.set_path_with_query(Some(&url.path))?;
    Ok(request)
}

fn send(outgoing: OutgoingBody, body: &[u8]) -> Result<(), Failure> {
    let stream = outgoing.write().map_err(|()| refused("the request takes no body"))?;
    for piece in body.chunks(WRITE_AT_MOST) {
        // A sink may answer and close before it has read everything: its answer says more than this error.
        if stream.blocking_write_and_flush(piece).is_err() {
            break;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(outgoing, None);
    Ok(())
}

fn judge(response: &IncomingResponse) -> Result<(), Failure> {
    let status = response.status();
    if (200..300).contains(&status) {
        return Ok(());
    }
    let retry_after = response.headers().get("retry-after").into_iter().next();
    let reason = format!("the chat answered {status}: {}", beginning(response));
    Err(failure(status, retry_after.as_deref(), reason))
}

/// The first bytes of the answer: chat services say there what they did not like.
fn beginning(response: &IncomingResponse) -> String {
    let body = response.consume();
    let read = body
        .as_ref()
        .ok()
        .and_then(|body| body.stream().ok()?.blocking_read(SHOWN_OF_ANSWER).ok());
    String::from_utf8_lossy(&read.unwrap_or_default()).into_owned()
}

/// Too much and broken come back later; every other refusal would be the same again.
fn failure(status: u16, retry_after: Option<&[u8]>, reason: String) -> Failure {
    let seconds = retry_after.and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok());
    let retry = matches!(status, 408 | 429 | 500..=599);
    Failure {
        reason,
        retry,
        retry_after_ms: seconds.filter(|_| retry).map(|seconds| seconds.saturating_mul(1000)),
    }
}

fn unanswered(error: ErrorCode) -> Failure {
    match error {
        ErrorCode::HttpRequestDenied => refused("the hub refused the request: grant this origin in grants.http"),
        error => Failure {
            reason: format!("no answer: {error:?}").replace("ErrorCode::", ""),
            retry: true,
            retry_after_ms: None,
        },
    }
}

/// A failure that another try cannot mend.
pub fn refused(reason: &str) -> Failure {
    Failure {
        reason: reason.to_owned(),
        retry: false,
        retry_after_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_addresses() {
        let check = |url: &str, https, authority: &str, path: &str| {
            let expected = Url {
                https,
                authority: authority.to_owned(),
                path: path.to_owned(),
            };
            assert_eq!(Url::parse(url), Ok(expected), "{url}");
        };
        check(
            "https://hooks.example.com/services/T/B?wait=true",
            true,
            "hooks.example.com",
            "/services/T/B?wait=true",
        );
        check("http://127.0.0.1:8080", false, "127.0.0.1:8080", "/");
        check("https://[::1]:9?x=/y", true, "[::1]:9", "/?x=/y");
        check("https://a/b#c", true, "a", "/b");
    }

    #[test]
    fn an_answer_says_whether_to_try_again() {
        let check = |status, header: Option<&str>, retry, wait| {
            let failure = failure(status, header.map(str::as_bytes), String::new());
            assert_eq!(
                (failure.retry, failure.retry_after_ms),
                (retry, wait),
                "{status} {header:?}"
            );
        };
        check(429, Some("3"), true, Some(3000));
        check(503, Some(" 120 "), true, Some(120_000));
        check(500, None, true, None);
        check(429, Some("Fri, 31 Dec 1999 23:59:59 GMT"), true, None);
        check(429, Some("18446744073709551615"), true, Some(u64::MAX));
        check(408, None, true, None);
        for status in [302, 400, 401, 403, 404, 410, 413] {
            check(status, Some("3"), false, None);
        }
    }
}
