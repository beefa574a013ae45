//! One OAuth2 token asked for: the client credentials grant of RFC 6749, section 4.4.
//!
//! Invariant: nothing that the endpoint says is repeated but its status and its error code, and that only if it is one
//! (`invalid_client`): a description may hold what was sent.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use serde_json::Value;
use url::form_urlencoded::{self, byte_serialize};

use super::retry::Outcome;
use super::webhook::{AGENT, Answered, basic, failed, retry_after, sensitive, way};
use crate::net;
use crate::subscription::{ClientStyle, OAuth2, Webhook};
use crate::time::Timestamp;

/// An answer with a token in it is small.
const LARGEST_ANSWER: usize = 64 << 10;
const LONGEST_TOKEN: usize = 32 << 10;
/// A token that does not say how long it is good is used for so long.
const UNKNOWN_LIFE: Duration = Duration::from_secs(3_600);
/// Before its end by this, or by a tenth of its life if that is shorter, a token is used no more: it must arrive.
const MARGIN: Duration = Duration::from_secs(30);

/// A token, ready to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The value of `Authorization`; prints as `Sensitive`.
    pub(super) header: HeaderValue,
    /// Not to be used from then on.
    pub(super) until: Timestamp,
}

/// Asks for a token, the way that the callback takes too.
///
/// # Errors
/// The end of the attempt that needed it.
pub(super) async fn fetch(
    client: &net::Client,
    (webhook, oauth2): (&Webhook, &OAuth2),
    timeout: Duration,
    now: Timestamp,
) -> Result<Token, Answered> {
    let request = request(webhook, oauth2).map_err(Answered::rejected)?;
    let answer = client.send(request, timeout, LARGEST_ANSWER).await;
    // A refusal is one without its body, a token is in it.
    let answer = answer.and_then(|answer| match answer.status {
        StatusCode::OK => answer.whole(),
        _ => Ok(answer),
    });
    let answer = answer.map_err(|error| {
        let Answered { outcome, words, .. } = failed(&error);
        let words = format!("no token: {words}");
        match outcome {
            Outcome::Rejected { .. } => Answered::rejected(words),
            outcome => Answered::without_answer(outcome, words),
        }
    })?;
    read(&answer, now).map_err(|words| {
        let after = retry_after(&answer.headers, now);
        Answered::without_answer(Outcome::Retry { after }, words)
    })
}

fn request(webhook: &Webhook, oauth2: &OAuth2) -> Result<Request<Bytes>, String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (name, value) in [("scope", &oauth2.scope), ("audience", &oauth2.audience)] {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    if oauth2.style == ClientStyle::Body {
        form.append_pair("client_id", &oauth2.client_id);
        form.append_pair("client_secret", &oauth2.client_secret);
    }
    let mut request = Request::new(Bytes::from(form.finish()));
    *request.method_mut() = http::Method::POST;
    let uri = oauth2.token_url.as_str().parse();
    *request.uri_mut() = uri.map_err(|error| format!("the token endpoint's URL cannot be sent to: {error}"))?;
    request.extensions_mut().extend(way(webhook));
    let headers = request.headers_mut();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if oauth2.style == ClientStyle::Header {
        // Each in the form's encoding first (RFC 6749, section 2.3.1): a `:` in the id would end it.
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let value = basic(&encoded(&oauth2.client_id), &encoded(&oauth2.client_secret));
        headers.insert(AUTHORIZATION, sensitive(value)?);
    }
    Ok(request)
}

fn read(answer: &net::Answer, now: Timestamp) -> Result<Token, String> {
    let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let status = answer.status.as_u16();
    if answer.status != StatusCode::OK {
        let code = json.as_ref().and_then(|json| json.get("error")?.as_str());
        let code = code.filter(|code| is_error_code(code));
        let code = code.map(|code| format!(": {code}")).unwrap_or_default();
        return Err(format!("the token endpoint answered {status}{code}"));
    }
    let json = json.ok_or_else(|| "the token endpoint answered 200 without JSON".to_owned())?;
    let kind = json.get("token_type").and_then(Value::as_str);
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("the token endpoint gave a token of a type that is not `Bearer`".to_owned());
    }
    let token = json.get("access_token").and_then(Value::as_str).unwrap_or_default();
    let sendable = (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !sendable {
        return Err("the token endpoint answered 200 without an `access_token` that can be sent".to_owned());
    }
    let life = life(json.get("expires_in"));
    Ok(Token {
        header: sensitive(format!("Bearer {token}"))?,
        until: now.plus(life.saturating_sub(MARGIN.min(life / 10))),
    })
}

/// How long a token is good. Some servers write the number as text.
fn life(expires_in: Option<&Value>) -> Duration {
    let seconds = expires_in.and_then(|value| match value {
        Value::String(text) => text.parse::<f64>().ok(),
        other => other.as_f64(),
    });
    let life = seconds.map(|seconds| Duration::try_from_secs_f64(seconds.clamp(0.0, 1e9)));
    life.and_then(Result::ok).unwrap_or(UNKNOWN_LIFE)
}

/// A code such as those of RFC 6749, section 5.2: a word, and too short to be a secret of any use.
fn is_error_code(code: &str) -> bool {
    code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests;
