//! The data plane's signature: `Authorization: acs:KEY:BASE64`, HMAC-SHA1 over method, headers and path.
//!
//! Three writers of it differ, and all are taken: the SDKs; the documents (`acs KEY:BASE64`, and the value of Accept on
//! a line after the method); and the samples in plain Java, which sign `x-eventbridge…` headers too and write `null`
//! for a date that is not there.

use axum::http::HeaderMap;
use ring::hmac;
use url::form_urlencoded;

use super::super::fault::Fault;
use super::super::request::Whole;
use super::{Claim, base64, unreadable};
use crate::time::Timestamp;

/// What is in a text beside what always is.
#[derive(Clone, Copy)]
struct Form {
    accept: bool,
    eventbridge_headers: bool,
    no_date: &'static str,
}

const FORMS: [Form; 8] = {
    const fn form(accept: bool, eventbridge_headers: bool, no_date: &'static str) -> Form {
        Form {
            accept,
            eventbridge_headers,
            no_date,
        }
    }
    [
        form(false, false, ""),
        form(true, false, ""),
        form(false, true, ""),
        form(true, true, ""),
        form(false, true, "null"),
        form(false, false, "null"),
        form(true, true, "null"),
        form(true, false, "null"),
    ]
};

pub(super) fn read(request: &Whole) -> Result<Claim, Fault> {
    let given = request.header("authorization").unwrap_or_default();
    let rest = given.strip_prefix("acs").and_then(|rest| rest.strip_prefix([':', ' ']));
    let Some((key, signature)) = rest.and_then(|rest| rest.trim().rsplit_once(':')) else {
        return Err(unreadable(
            "The header Authorization must be acs:<AccessKeyId>:<Signature>.",
        ));
    };
    let date = match request.header("date") {
        None => None,
        Some(text) => Some(http_date(text).ok_or_else(|| {
            Fault::denied(
                "InvalidTimeStamp.Format",
                "Specified time stamp or date value is not well formatted.",
            )
        })?),
    };
    let canonical = |form: &Form| text(request, *form);
    let texts = match date {
        // Both spellings of no date say the same where there is one.
        Some(_) => FORMS.iter().take(4).map(canonical).collect(),
        None => FORMS.iter().map(canonical).collect(),
    };
    Ok(Claim {
        key: key.to_owned(),
        signature: base64(signature)?,
        texts,
        algorithm: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        suffix: "",
        date,
        nonce: request.header("x-acs-signature-nonce").map(str::to_owned),
    })
}

fn text(request: &Whole, form: Form) -> String {
    let header = |name: &str| request.header(name).unwrap_or_default();
    let mut text = format!("{}\n", request.method);
    if form.accept {
        text.push_str(header("accept"));
        text.push('\n');
    }
    let date = request.header("date").unwrap_or(form.no_date);
    for line in [header("content-md5"), header("content-type"), date] {
        text.push_str(line);
        text.push('\n');
    }
    for (name, value) in signed(&request.headers, form) {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(&resource(request));
    text
}

/// The headers that are signed, by name.
fn signed(headers: &HeaderMap, form: Form) -> Vec<(&str, &str)> {
    let is = |name: &str| name.starts_with("x-acs") || form.eventbridge_headers && name.starts_with("x-eventbridge");
    let mut found: Vec<(&str, &str)> = headers
        .iter()
        .filter(|(name, _)| is(name.as_str()))
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    found.sort_unstable();
    found
}

/// The path, and the query sorted and unescaped.
fn resource(request: &Whole) -> String {
    let query = request.uri.query().unwrap_or_default();
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.sort_unstable();
    let shown: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| match value.is_empty() {
            true => name,
            false => format!("{name}={value}"),
        })
        .collect();
    match shown.is_empty() {
        true => request.uri.path().to_owned(),
        false => format!("{}?{}", request.uri.path(), shown.join("&")),
    }
}

/// `Thu, 22 Feb 2018 07:46:12 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(Timestamp(at.timestamp().as_millisecond()))
}
