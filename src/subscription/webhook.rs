//! The HTTP callback of a subscription: its sink and its `protocolsettings`.
//!
//! Invariant: a header that a subscriber sets can neither change how the request is framed nor pass for one of ours.

use http::{HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::auth::{Auth, required};
use super::consent::{Consent, ConsentKey};
use super::fields::{Fields, refuse};
use super::model::{Format, PushSign, Webhook};
use super::proxy;
use super::signing::{Secret, SigningSecret};
use super::tls::Tls;
use crate::error::Error;

const MOST_HEADERS: usize = 32;
const LONGEST_VALUE: usize = 4_096;
const MOST_STATUSES: usize = 16;
/// Two of a kind are valid while one takes over from the other, and there are two kinds.
pub(super) const MOST_SECRETS: usize = 4;

/// Reads `sink` and `protocolsettings` of a subscription whose protocol is HTTP.
pub(super) fn read(sink: Option<&str>, settings: Option<&Value>) -> Result<Webhook, Error> {
    let url = url(sink)?;
    let Some(settings) = settings else {
        return Ok(Webhook {
            url,
            format: Format::default(),
            headers: Vec::new(),
            auth: None,
            secrets: Vec::new(),
            consent: Consent::NotNeeded,
            success: Vec::new(),
            push: None,
            tls: None,
            route: None,
        });
    };
    let settings = Fields::of(
        settings,
        "protocolsettings",
        &[
            "format", "headers", "auth", "secret", "secrets", "success", "sign", "token", "validate", "tls", "proxy",
        ],
    )?;
    let format = settings.choice(
        "format",
        &[
            ("structured", Format::Structured),
            ("binary", Format::Binary),
            ("batch", Format::Batch),
            ("raw", Format::Raw),
            ("pulp", Format::Pulp),
        ],
    )?;
    let (headers, auth) = (headers(&settings)?, Auth::read(&settings)?);
    if auth.is_some() && headers.iter().any(|(name, _)| name == "authorization") {
        return Err(refuse(
            "protocolsettings.headers.authorization",
            "is set by `protocolsettings.auth` too; give one of them",
        ));
    }
    Ok(Webhook {
        tls: Tls::read(&settings, url.scheme())?,
        route: proxy::read(&settings)?,
        url,
        format,
        headers,
        auth,
        secrets: secrets(&settings)?,
        // The key is the hub's to draw.
        consent: match settings.truth("validate", false)? {
            true => Consent::Wanted(ConsentKey::default()),
            false => Consent::NotNeeded,
        },
        success: success(&settings)?,
        push: push(&settings)?,
    })
}

/// The one kind of signature besides our own.
pub(super) const EVENTBRIDGE: &str = "eventbridge";

/// Statuses that deliver.
fn success(settings: &Fields<'_>) -> Result<Vec<u16>, Error> {
    let rule = "must be a status from 200 to 299";
    let one = |(path, value): (String, &Value)| {
        let status = value.as_u64().and_then(|status| u16::try_from(status).ok());
        status
            .filter(|status| (200..300).contains(status))
            .ok_or_else(|| refuse(&path, rule))
    };
    let all = settings.list("success", MOST_STATUSES)?;
    if settings.value("success").is_some() && all.is_empty() {
        return Err(refuse(
            &settings.path("success"),
            "must name a status; leave it out for every 2xx",
        ));
    }
    all.into_iter().map(one).collect()
}

/// The signatures of Alibaba's EventBridge.
fn push(settings: &Fields<'_>) -> Result<Option<PushSign>, Error> {
    let token = settings
        .value("token")
        .map(|_| required(settings, "token"))
        .transpose()?;
    match settings.text("sign", 64)? {
        Some(EVENTBRIDGE) => {}
        Some(other) => {
            let rule = format!("must be \"{EVENTBRIDGE}\", not \"{other}\" (`secret` signs by Standard Webhooks)");
            return Err(refuse(&settings.path("sign"), rule));
        }
        None if token.is_some() => {
            let rule = format!("goes along with `sign`: \"{EVENTBRIDGE}\", which is not given");
            return Err(refuse(&settings.path("token"), rule));
        }
        None => return Ok(None),
    }
    match &token {
        Some(text) if text.is_empty() || HeaderValue::from_str(text).is_err() => Err(refuse(
            &settings.path("token"),
            "must be visible ASCII, at least one character",
        )),
        _ => Ok(Some(PushSign { token })),
    }
}

fn url(sink: Option<&str>) -> Result<Url, Error> {
    let sink = sink.ok_or_else(|| refuse("sink", "is missing: the http or https URL to which events are sent"))?;
    let url = Url::parse(sink)
        .map_err(|error| refuse("sink", format_args!("must be an absolute http or https URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(refuse(
            "sink",
            format_args!(
                "must be an absolute http or https URL, not one of scheme `{}`",
                url.scheme()
            ),
        ));
    }
    if url.fragment().is_some() {
        return Err(refuse("sink", "must not have a fragment (`#…`): it is never sent"));
    }
    refuse_userinfo(sink)?;
    Ok(url)
}

/// Refuses a sink that carries credentials: they would be shown with it.
pub(super) fn refuse_userinfo(sink: &str) -> Result<(), Error> {
    match Url::parse(sink) {
        Ok(url)
            if url.password().is_some()
                || (url.has_host() && !url.username().is_empty() && url.scheme().starts_with("http")) =>
        {
            Err(refuse(
                "sink",
                "must not carry a user name or password; put them into `protocolsettings.auth`, which is never shown again",
            ))
        }
        _ => Ok(()),
    }
}

fn headers(settings: &Fields<'_>) -> Result<Vec<(String, String)>, Error> {
    let Some(json) = settings.value("headers") else {
        return Ok(Vec::new());
    };
    let path = settings.path("headers");
    let map = json
        .as_object()
        .ok_or_else(|| refuse(&path, "must be an object of header names and values"))?;
    if map.len() > MOST_HEADERS {
        return Err(refuse(
            &path,
            format_args!("has {} headers; at most {MOST_HEADERS} are allowed", map.len()),
        ));
    }
    let mut headers: Vec<(String, String)> = Vec::with_capacity(map.len());
    for (name, value) in map {
        let header = header(&format!("{path}.{name}"), name, value)?;
        if headers.iter().any(|(known, _)| *known == header.0) {
            return Err(refuse(&format!("{path}.{name}"), "is given twice"));
        }
        headers.push(header);
    }
    Ok(headers)
}

fn header(path: &str, name: &str, value: &Value) -> Result<(String, String), Error> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse(path, "is not a valid header name"))?;
    if is_ours(name.as_str()) {
        return Err(refuse(
            path,
            "is set by the hub or by HTTP itself and cannot be set here",
        ));
    }
    let value = value.as_str().ok_or_else(|| refuse(path, "must be a string"))?;
    if value.len() > LONGEST_VALUE || HeaderValue::from_str(value).is_err() {
        return Err(refuse(
            path,
            format_args!("must be at most {LONGEST_VALUE} bytes of visible ASCII and spaces"),
        ));
    }
    Ok((name.as_str().to_owned(), value.to_owned()))
}

fn is_ours(name: &str) -> bool {
    const FRAMING: [&str; 11] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "host",
    ];
    const OURS: [&str; 4] = ["content-type", "expect", "traceparent", "tracestate"];
    FRAMING.contains(&name)
        || OURS.contains(&name)
        || name.starts_with("webhook-")
        || name.starts_with("ce-")
        || name.starts_with("x-eventbridge-")
}

fn secrets(settings: &Fields<'_>) -> Result<Vec<SigningSecret>, Error> {
    let single = settings.value("secret").map(|value| (settings.path("secret"), value));
    let several = settings.list("secrets", MOST_SECRETS)?;
    if single.is_some() && !several.is_empty() {
        return Err(refuse(
            "protocolsettings",
            "has both `secret` and `secrets`; give one of them",
        ));
    }
    single
        .into_iter()
        .chain(several)
        .map(|(path, value)| Secret::read(&path, value).map(SigningSecret::lasting))
        .collect()
}
