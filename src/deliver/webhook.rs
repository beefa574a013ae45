//! HTTP callbacks: an encoded event to a request, an answer to an outcome.
//!
//! 2xx delivers (of it what the subscription names, if it names some), 410 ends the subscription, everything else is
//! tried again. The head of an answer decides alone: a sink that has said 200 has the event, and a body that breaks off
//! or never ends must not make it get it twice. An address or a name that the guard refuses is not tried again, since
//! no wait makes it allowed. But where a name leads to such an address it is: it may lead elsewhere the next time, and a
//! mistake of the name servers' shall not cost a subscriber its events. The subscriber's own headers win over ours,
//! except for those that sign and those that frame the message.
//! Invariant: secrets and credentials are in the request and nowhere else: no outcome or log line has them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING, UPGRADE, USER_AGENT};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};

use super::consent::REQUEST_ORIGIN;
use super::control;
use super::retry::Outcome;
use super::sign::signature;
use crate::event::http::{Encoded, Mode};
use crate::net;
use crate::subscription::{Auth, Consent, Format, Webhook};
use crate::time::Timestamp;

/// What is kept of an answer's body, in bytes.
const KEEP: usize = 1_024;
/// Who we say we are.
pub(super) const AGENT: &str = concat!("busway/", env!("CARGO_PKG_VERSION"));

/// What came of an attempt, for the schedule and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    /// For the schedule.
    pub(super) outcome: Outcome,
    /// The HTTP status, if there was an answer.
    pub(super) status: Option<u16>,
    /// `delivered`, or why not.
    pub(super) words: String,
    /// The beginning of the answer's body.
    pub(super) answer: Option<String>,
}

impl Answered {
    /// An end that no HTTP answer brought about.
    pub(super) fn without_answer(outcome: Outcome, words: String) -> Self {
        Self {
            outcome,
            status: None,
            words,
            answer: None,
        }
    }

    /// No try will ever succeed.
    pub(super) fn rejected(reason: String) -> Self {
        Self::without_answer(Outcome::Rejected { reason: reason.clone() }, reason)
    }
}

/// The mode of the binding that a format is.
pub(super) fn mode(format: Format) -> Mode {
    match format {
        Format::Structured => Mode::Structured,
        Format::Binary => Mode::Binary,
        Format::Batch => Mode::Batch,
        Format::Raw => Mode::Raw,
        Format::Pulp => Mode::Pulp,
    }
}

/// Sends and waits for the answer. Only the statuses of `success` deliver; none named: every 2xx.
pub(super) async fn send(
    client: &net::Client,
    request: Request<Bytes>,
    (timeout, success): (Duration, &[u16]),
    now: Timestamp,
) -> Answered {
    let credentials = request.headers().get(AUTHORIZATION).cloned();
    match client.send(request, timeout, KEEP).await {
        Ok(answer) => {
            let mut answered = read(&answer, success, now);
            answered.answer = answered.answer.map(|text| without(text, credentials.as_ref()));
            answered
        }
        Err(error) => failed(&error),
    }
}

/// An answer's text without the credentials, should the sink have repeated them: what it says is shown to people.
fn without(text: String, credentials: Option<&HeaderValue>) -> String {
    let value = credentials.and_then(|value| value.to_str().ok());
    match value.and_then(|value| value.rsplit(' ').next()) {
        Some(secret) if !secret.is_empty() => text.replace(secret, "***"),
        _ => text,
    }
}

/// The request that carries an encoded event. `trace` is the event's own `traceparent`.
///
/// # Errors
/// What in the subscription cannot be sent, in words.
pub(super) fn request(
    webhook: &Webhook,
    encoded: Encoded,
    id: &str,
    now: Timestamp,
    trace: Option<&str>,
) -> Result<Request<Bytes>, String> {
    let uri: Uri = webhook
        .url
        .as_str()
        .parse()
        .map_err(|error| format!("the sink's URL cannot be sent to: {error}"))?;
    let mut headers: HeaderMap = encoded.headers.into_iter().collect();
    // `raw` and `pulp` are for consumers that know nothing of CloudEvents: no headers of ours but the signature's.
    if !matches!(webhook.format, Format::Raw | Format::Pulp) {
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(trace) = trace.and_then(|trace| HeaderValue::from_str(trace).ok()) {
            headers.insert(HeaderName::from_static("traceparent"), trace);
        }
    }
    if let Some(value) = webhook.auth.as_ref().and_then(standing) {
        headers.insert(AUTHORIZATION, sensitive(value)?);
    }
    add_own(&mut headers, &webhook.headers)?;
    if let Consent::Given(given) = &webhook.consent {
        let origin = HeaderValue::from_str(&given.origin).map_err(|_| "our origin cannot be a header".to_owned())?;
        headers.insert(REQUEST_ORIGIN, origin);
    }
    sign(&mut headers, webhook, (id, now), &encoded.body)?;
    let mut request = Request::new(encoded.body);
    request.extensions_mut().extend(way(webhook));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What goes along with a request so that it takes the subscription's own way: whom it trusts, as whom, and by which
/// proxy.
pub(super) fn way(webhook: &Webhook) -> Extensions {
    let mut extensions = Extensions::new();
    if let Some(tls) = &webhook.tls {
        extensions.insert(tls.trust().clone());
    }
    if let Some(route) = &webhook.route {
        extensions.insert(route.clone());
    }
    extensions
}

/// Credentials that are the same for every request; a token that is fetched is put in by who fetched it.
fn standing(auth: &Auth) -> Option<String> {
    match auth {
        Auth::Basic { username, password } => Some(basic(username, password)),
        Auth::Bearer { token } => Some(format!("Bearer {token}")),
        Auth::OAuth2(_) => None,
    }
}

/// The value of `Authorization` for Basic.
pub(super) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// A header that nothing prints.
pub(super) fn sensitive(text: String) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text).map_err(|_| "the credentials cannot be a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn add_own(headers: &mut HeaderMap, own: &[(String, String)]) -> Result<(), String> {
    let mut added = HeaderMap::new();
    for (name, value) in own {
        let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` cannot be a header"))?;
        let value = HeaderValue::try_from(value).map_err(|_| format!("the value of `{name}` cannot be a header"))?;
        if ![CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE].contains(&name) {
            added.append(name, value);
        }
    }
    for name in added.keys() {
        headers.remove(name);
    }
    headers.extend(added);
    Ok(())
}

/// Standard Webhooks: the id and the time always, the signature where there is a secret.
fn sign(headers: &mut HeaderMap, webhook: &Webhook, (id, now): (&str, Timestamp), body: &[u8]) -> Result<(), String> {
    let seconds = now.0.div_euclid(1_000);
    let id_value = HeaderValue::from_str(id).map_err(|_| "the delivery's id cannot be a header".to_owned())?;
    headers.insert(HeaderName::from_static("webhook-id"), id_value);
    headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(seconds));
    if webhook.signing(now).next().is_some() {
        let value = HeaderValue::try_from(signature(webhook.signing(now), id, seconds, body));
        let value = value.map_err(|_| "the signature cannot be a header".to_owned())?;
        headers.insert(HeaderName::from_static("webhook-signature"), value);
    }
    Ok(())
}

fn read(answer: &net::Answer, success: &[u16], now: Timestamp) -> Answered {
    let outcome = match answer.status {
        status if status.is_success() && (success.is_empty() || success.contains(&status.as_u16())) => {
            Outcome::Accepted
        }
        StatusCode::GONE => Outcome::Gone,
        _ => Outcome::Retry {
            after: retry_after(&answer.headers, now),
        },
    };
    let outcome = control::heed(outcome, &answer.headers, answer.status.as_u16());
    let words = match &outcome {
        Outcome::Accepted | Outcome::Disabled { accepted: true } => "delivered".to_owned(),
        Outcome::Rejected { reason } => reason.clone(),
        _ => format!("the sink answered {}", answer.status.as_u16()),
    };
    Answered {
        outcome,
        status: Some(answer.status.as_u16()),
        words,
        answer: kept(answer),
    }
}

/// What is kept of an answer's body: as far as it came, and that it did not end if it did not.
fn kept(answer: &net::Answer) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.body);
    match &answer.cut {
        Some(why) => Some(format!("{text}… and its body did not end: {why}")),
        None => (!text.is_empty()).then(|| text.into_owned()),
    }
}

pub(super) fn failed(error: &net::Error) -> Answered {
    let words = error.to_string();
    let outcome = match error {
        net::Error::Blocked(blocked) if !blocked.looked_up => Outcome::Rejected { reason: words.clone() },
        _ => Outcome::Retry { after: None },
    };
    Answered {
        outcome,
        status: None,
        words,
        answer: None,
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(http_date(value)?.since(now))
}

/// A date as HTTP writes it, or once wrote it (RFC 9110, section 5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    const ONCE: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S", "%a %b %e %H:%M:%S %Y"];
    let now = jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp());
    let bare = text.strip_suffix(" GMT").unwrap_or(text);
    let once = || {
        let read = ONCE
            .iter()
            .find_map(|form| jiff::civil::DateTime::strptime(form, bare).ok());
        read?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp())
    };
    now.or_else(once).map(|at| Timestamp(at.as_millisecond()))
}

#[cfg(test)]
mod tests;
