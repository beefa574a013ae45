//! RPC's signature, version 3: `ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=…`.

use axum::http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::hmac;
use url::form_urlencoded;

use super::super::fault::Fault;
use super::super::request::Whole;
use super::{Claim, unreadable};
use crate::digest::sha256;
use crate::event::parse_rfc3339;

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
/// RFC 3986, section 2.3: what is never escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn read(request: &Whole, authorization: &str) -> Result<Claim, Fault> {
    let Some(rest) = authorization.strip_prefix(ALGORITHM) else {
        return Err(unreadable(
            "The header Authorization must be ACS3-HMAC-SHA256 Credential=…,SignedHeaders=…,Signature=….",
        ));
    };
    let part = |name: &str| {
        let mut parts = rest.split(',').map(str::trim);
        parts
            .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
    };
    let signed: Vec<&str> = part("SignedHeaders").split(';').collect();
    // Whatever the call goes by must be signed, or anybody between could change it.
    let unsigned = request
        .headers
        .keys()
        .find(|name| name.as_str().starts_with("x-acs-") && !signed.contains(&name.as_str()));
    if let Some(name) = unsigned {
        return Err(Fault::denied(
            "SignatureDoesNotMatch",
            format!("The header {name} is not among the SignedHeaders."),
        ));
    }
    let date = request.header("x-acs-date").and_then(parse_rfc3339);
    if date.is_none() {
        return Err(Fault::denied(
            "InvalidTimeStamp.Format",
            "The header x-acs-date must be a time such as 2023-10-26T10:22:32Z.",
        ));
    }
    let canonical = canonical(request, &signed);
    Ok(Claim {
        key: part("Credential").to_owned(),
        signature: from_hex(part("Signature")).ok_or_else(|| unreadable("The signature is not hexadecimal."))?,
        texts: vec![format!("{ALGORITHM}\n{}", sha256(canonical.as_bytes()))],
        algorithm: hmac::HMAC_SHA256,
        suffix: "",
        date,
        nonce: request.header("x-acs-signature-nonce").map(str::to_owned),
    })
}

fn canonical(request: &Whole, signed: &[&str]) -> String {
    let headers: String = signed
        .iter()
        .map(|name| format!("{name}:{}\n", values(&request.headers, name)))
        .collect();
    format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        request.method,
        request.uri.path(),
        query(request.uri.query().unwrap_or_default()),
        signed.join(";"),
        // Of what has come, whatever `x-acs-content-sha256` says.
        sha256(&request.body)
    )
}

fn values(headers: &HeaderMap, name: &str) -> String {
    let mut values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(str::trim)
        .collect();
    values.sort_unstable();
    values.join(",")
}

fn query(text: &str) -> String {
    let pairs = form_urlencoded::parse(text.as_bytes());
    joined(pairs.into_owned().collect())
}

/// Parameters by name, escaped, as both versions of RPC sign them.
pub(super) fn joined(mut pairs: Vec<(String, String)>) -> String {
    pairs.sort_unstable();
    let shown: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect();
    shown.join("&")
}

/// Escaped by RFC 3986.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
