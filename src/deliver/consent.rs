//! The question whether a callback's target wants events, and its answer (CloudEvents webhooks, section 4).
//!
//! The status of the answer proves nothing: whoever does not know the handshake may well answer 200 to OPTIONS. Only
//! the header that names us does.

use std::num::NonZeroU32;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use super::webhook::way;
use crate::subscription::{Rate, Webhook};

/// Who asks.
pub const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const REQUEST_RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const REQUEST_CALLBACK: HeaderName = HeaderName::from_static("webhook-request-callback");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
/// How often the target wants to be called, in a minute.
pub const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// What a target is asked.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Who asks: a DNS name.
    pub origin: &'a str,
    /// How fast it will be called.
    pub rate: Option<Rate>,
    /// Where it may agree later.
    pub callback: Option<String>,
}

impl Question<'_> {
    /// The request that asks it.
    ///
    /// # Errors
    /// What cannot be sent, in words.
    pub fn request(&self, webhook: &Webhook) -> Result<Request<Bytes>, String> {
        let uri = webhook.url.as_str().parse();
        let uri = uri.map_err(|error| format!("the sink's URL cannot be sent to: {error}"))?;
        let mut request = Request::new(Bytes::new());
        request.extensions_mut().extend(way(webhook));
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = uri;
        let given = [
            (REQUEST_ORIGIN, Some(self.origin.to_owned())),
            (REQUEST_RATE, self.rate.map(|rate| rate.in_a_minute().to_string())),
            (REQUEST_CALLBACK, self.callback.clone()),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                let value =
                    HeaderValue::try_from(value).map_err(|_| format!("the value of {name} cannot be a header"))?;
                request.headers_mut().insert(name, value);
            }
        }
        Ok(request)
    }

    /// Whether the answer agrees, and to what rate.
    ///
    /// # Errors
    /// Why it does not, in words.
    pub fn agreed(&self, answer: &HeaderMap) -> Result<Option<Rate>, String> {
        let Some(allowed) = answer.get(ALLOWED_ORIGIN) else {
            return Err("without WebHook-Allowed-Origin, which would be its consent".to_owned());
        };
        let allowed = String::from_utf8_lossy(allowed.as_bytes()).trim().to_owned();
        if allowed != "*" && !allowed.eq_ignore_ascii_case(self.origin) {
            return Err(format!("allowing {allowed:?}, and not {:?}", self.origin));
        }
        rate(answer)
    }
}

/// The rate that a target allows; none: any.
///
/// # Errors
/// It names one that is none.
pub fn rate(headers: &HeaderMap) -> Result<Option<Rate>, String> {
    let Some(value) = headers.get(ALLOWED_RATE) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    match text.parse::<NonZeroU32>() {
        _ if text == "*" => Ok(None),
        Ok(count) => Ok(Some(Rate::per_minute(count))),
        Err(_) => Err(format!(
            "with WebHook-Allowed-Rate {text:?}, which is neither `*` nor a number of calls a minute"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question<'_> = Question {
        origin: "hub.example",
        rate: None,
        callback: None,
    };

    fn check(answer: &[(&'static str, &'static str)], expected: Result<Option<u32>, &str>) {
        let headers: HeaderMap = answer
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        match (QUESTION.agreed(&headers), expected) {
            (Ok(rate), Ok(expected)) => assert_eq!(rate.map(Rate::in_a_minute), expected, "{answer:?}"),
            (Err(why), Err(expected)) => assert!(why.contains(expected), "{answer:?}: {why}"),
            (found, expected) => panic!("{answer:?}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn only_the_header_that_names_us_is_consent() {
        check(
            &[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "*")],
            Ok(None),
        );
        check(
            &[
                ("webhook-allowed-origin", "hub.example"),
                ("webhook-allowed-rate", "120"),
            ],
            Ok(Some(120)),
        );
        check(&[("webhook-allowed-origin", "HUB.example")], Ok(None));
        check(
            &[("webhook-allowed-origin", "other.example")],
            Err("allowing \"other.example\""),
        );
        check(
            &[("webhook-allowed-rate", "120")],
            Err("without WebHook-Allowed-Origin"),
        );
        check(&[("allow", "POST")], Err("without WebHook-Allowed-Origin"));
        for wrong in ["0", "-1", "many", ""] {
            check(
                &[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", wrong)],
                Err("neither `*` nor a number"),
            );
        }
    }
}
