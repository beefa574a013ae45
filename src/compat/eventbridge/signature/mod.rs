//! Who has signed a request: the data plane's signature, and RPC's two.
//!
//! `data_plane`, `acs3` and `version1` each rebuild the text that was to be signed; here it is compared, the date is
//! held against the clock, and the nonce remembered. Basic and Bearer credentials are taken too, for people with curl.
//! Why a wrong signature is told with the text that the hub would have signed: the service does so, and it is the only
//! way to find a misspelt header; it holds nothing that the caller did not send.
//! Invariant: a signature is compared in constant time, and its nonce is spent only by one that is right.

mod acs3;
mod data_plane;
mod nonces;
mod version1;

use std::time::Duration;

use axum::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use super::fault::Fault;
use super::request::Whole;
use crate::access::{Access, Principal};
use crate::compat::Door;
use crate::time::{Clock, Timestamp};

pub(super) use nonces::Nonces;

/// How far a request's date may be from the clock.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// A signature and what it should be of.
#[derive(Debug)]
struct Claim {
    /// The access key's id: a name of the config.
    key: String,
    /// What was sent.
    signature: Vec<u8>,
    /// The texts that it may be of; the first is the usual one.
    texts: Vec<String>,
    algorithm: hmac::Algorithm,
    /// What stands behind the secret in the key.
    suffix: &'static str,
    date: Option<Timestamp>,
    nonce: Option<String>,
}

/// Who has signed a request of the data plane.
pub(super) fn of_data_plane(door: &Door, nonces: &Nonces, request: &Whole) -> Result<Principal, Fault> {
    match plain(&door.access, request)? {
        Some(who) => Ok(who),
        None => verify(&door.access, nonces, door.hub.clock(), data_plane::read(request)?),
    }
}

/// Who has signed an RPC call with these parameters.
pub(super) fn of_rpc(
    door: &Door,
    nonces: &Nonces,
    request: &Whole,
    pairs: &[(String, String)],
) -> Result<Principal, Fault> {
    if let Some(who) = plain(&door.access, request)? {
        return Ok(who);
    }
    let claim = match request.header(header::AUTHORIZATION.as_str()) {
        Some(text) => acs3::read(request, text)?,
        None => version1::read(request.method.as_str(), pairs)?,
    };
    verify(&door.access, nonces, door.hub.clock(), claim)
}

/// Those who need not sign: everybody where nobody is asked, and whoever sends name and secret outright.
fn plain(access: &Access, request: &Whole) -> Result<Option<Principal>, Fault> {
    let anybody = access.anonymous();
    let given = request.header(header::AUTHORIZATION.as_str()).unwrap_or_default();
    let scheme = given.split(' ').next().unwrap_or_default();
    if anybody.is_none() && !scheme.eq_ignore_ascii_case("basic") && !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    // A browser adds a password that it was once told to whatever a page has it ask.
    if is_other_site(request) {
        return Err(Fault::denied(
            "AccessDeniedByPreCheck",
            "The access is denied: web pages of other sites may not call this hub.",
        ));
    }
    let denied = || Fault::denied("AccessDenied", "The access is denied: the credentials are not valid.");
    anybody.or_else(|| access.header(given)).map(Some).ok_or_else(denied)
}

/// Whether a browser sends this for a page of another site. Where nobody is asked, any page could make a rule that
/// carries all events away; programs send none of these. A picture's GET has no `Origin`, but tells whence it comes.
fn is_other_site(request: &Whole) -> bool {
    let host = request.header("host").map(str::to_ascii_lowercase);
    let is_foreign = |name: &str| {
        let site = request.header(name).map(|page| {
            let rest = page.split_once("://").map_or("", |(_, rest)| rest);
            rest.split('/').next().unwrap_or_default().to_ascii_lowercase()
        });
        site.is_some() && site != host
    };
    let by_get = request.method == axum::http::Method::GET;
    let told = request.header("sec-fetch-site");
    is_foreign("origin")
        || by_get && (is_foreign("referer") || told.is_some_and(|site| !["none", "same-origin"].contains(&site)))
}

fn verify(access: &Access, nonces: &Nonces, clock: &Clock, claim: Claim) -> Result<Principal, Fault> {
    let Some((signatory, secret)) = access.secret(&claim.key) else {
        return Err(Fault::denied(
            "InvalidAccessKeyId",
            "The access Id you provided is not exist.",
        ));
    };
    let key = hmac::Key::new(claim.algorithm, format!("{secret}{}", claim.suffix).as_bytes());
    let right = |text: &String| hmac::verify(&key, text.as_bytes(), &claim.signature).is_ok();
    if !claim.texts.iter().any(right) {
        let text = claim.texts.first().map(String::as_str).unwrap_or_default();
        let told = format!(
            "The request signature we calculated does not match the signature you provided. Check your key and signing \
             method. server string to sign is:{text}"
        );
        return Err(Fault::denied("SignatureDoesNotMatch", told));
    }
    let now = clock.now();
    let is_off = |date: Timestamp| date.since(now).max(now.since(date)) > WINDOW;
    if claim.date.is_some_and(is_off) {
        return Err(Fault::denied(
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
        ));
    }
    let Some(nonce) = claim.nonce else {
        return Err(Fault::denied(
            "MissingSignatureNonce",
            "The signature nonce is mandatory.",
        ));
    };
    match nonces.spend(&claim.key, &nonce, now) {
        true => signatory
            .admitted()
            .ok_or_else(|| Fault::denied("AccessDenied", "The access is denied: the access key has expired.")),
        false => Err(Fault::denied(
            "SignatureNonceUsed",
            "Specified signature nonce was used already.",
        )),
    }
}

/// No signature at all, or one that is none.
fn unreadable(text: &str) -> Fault {
    Fault::denied(
        "InvalidAccessKeyId",
        format!("The access Id you provided is not exist. {text}"),
    )
}

fn base64(text: &str) -> Result<Vec<u8>, Fault> {
    BASE64
        .decode(text.trim())
        .map_err(|_| unreadable("The signature is not base64."))
}

#[cfg(test)]
mod tests;
