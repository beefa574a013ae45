//! Who asks, for which bus, and what they are told when they may not.
//!
//! Credentials come as Docker Cloud's and Tutum's clients send them: `Authorization` with `Basic`, `ApiKey user:key` or
//! whatever `DOCKERCLOUD_AUTH` held; the same in `?auth=`; or `?token=KEY&user=USER`.
//!
//! Why 401 and not 403 for a listener whose credentials are good for another bus: the Python client comes back at once
//! and for ever after anything but a 401.
//! Invariant: nobody learns from an answer whether a bus is there that they may not read.

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use url::form_urlencoded;

use super::Door;
use crate::access::{Principal, Scope};
use crate::compat::site;
use crate::error::{Error, Kind};
use crate::log::BusName;

/// Who asks.
#[derive(Debug)]
pub(super) struct Caller {
    principal: Principal,
    /// Whose namespace is meant when none is named.
    user: Option<String>,
}

/// What a request says of its sender.
#[derive(Debug, Default, PartialEq, Eq)]
struct Credentials {
    /// `Authorization`, or `auth`.
    value: Option<String>,
    token: Option<String>,
    user: Option<String>,
}

impl Caller {
    /// Who sends this request.
    pub(super) fn of(door: &Door, headers: &HeaderMap, uri: &Uri) -> Result<Self, Refusal> {
        let given = Credentials::of(headers, uri);
        let principal = match (&given.value, &given.token, &given.user) {
            (Some(value), _, _) => door.access.header(value).or_else(|| door.access.bearer(value)),
            (None, Some(token), Some(user)) => door.access.verify(user, token),
            (None, Some(token), None) => door.access.bearer(token),
            (None, None, _) => door.access.anonymous(),
        };
        let principal = principal.ok_or_else(|| {
            let text = "UNAUTHORIZED: send the user and API key of an entry of the hub's `[auth]`";
            Refusal::new(StatusCode::UNAUTHORIZED, text)
        })?;
        principal.spend()?;
        let named = principal.name.as_deref().map(str::to_owned);
        Ok(Self {
            principal,
            user: named.or_else(|| given.claimed()),
        })
    }

    /// The bus that a namespace means, or that of the caller if none is named.
    pub(super) fn bus(&self, door: &Door, namespace: Option<&str>) -> Result<BusName, Refusal> {
        if let Some(name) = namespace {
            return BusName::parse(name).map_err(|why| {
                let text = format!("there is no namespace `{name}`: {}", why.message());
                Refusal::new(StatusCode::NOT_FOUND, text)
            });
        }
        let own = self.user.as_deref().and_then(|user| BusName::parse(user).ok());
        Ok(own
            .filter(|bus| door.hub.has_bus(bus))
            .unwrap_or_else(BusName::default_bus))
    }

    /// Whether this caller may do this on that bus.
    pub(super) fn may(&self, scope: Scope, bus: &BusName) -> bool {
        self.principal.may(scope, Some(bus.as_str()))
    }
}

impl Credentials {
    fn of(headers: &HeaderMap, uri: &Uri) -> Self {
        let mut given = Self::default();
        for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let slot = match key.as_ref() {
                "auth" => &mut given.value,
                "token" => &mut given.token,
                "user" => &mut given.user,
                _ => continue,
            };
            *slot = Some(value.into_owned()).filter(|value| !value.is_empty());
        }
        if let Some(header) = headers.get(header::AUTHORIZATION) {
            // A value that is no text is nobody's, and is not the same as none.
            given.value = Some(header.to_str().unwrap_or_default().to_owned());
        }
        given
    }

    /// The user's name as it was sent, for where nobody is asked.
    fn claimed(self) -> Option<String> {
        let Some(value) = self.value else {
            return self.user;
        };
        let (scheme, rest) = value.trim().split_once(' ')?;
        let pair = match scheme.to_ascii_lowercase().as_str() {
            "basic" => String::from_utf8(BASE64.decode(rest.trim()).ok()?).ok()?,
            "apikey" => rest.trim().to_owned(),
            _ => return None,
        };
        pair.split_once(':').map(|(user, _)| user.to_owned())
    }
}

/// Refuses a web page of another site where nobody is asked for credentials: its `Origin` gives it away, and that it
/// cannot send `Authorization` tells it from the clients, which send an `Origin` too.
pub(super) fn refuse_other_sites(door: &Door, headers: &HeaderMap) -> Result<(), Refusal> {
    let asked = !door.access.is_open() || headers.contains_key(header::AUTHORIZATION);
    if asked || !site::is_foreign(headers, &Uri::default()) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "the header `Origin` names another site than `Host`: without credentials a web page may use this only from the \
         hub's own address",
    ))
}

/// There is no such namespace.
pub(super) fn unknown(namespace: &str) -> Refusal {
    let text = format!("there is no namespace `{namespace}`: it is a bus of this hub, and begins with its first event");
    Refusal::new(StatusCode::NOT_FOUND, text)
}

/// An answer in Docker Cloud's form: `{"error": "…"}`.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    text: String,
    /// For those who may come back, in seconds.
    retry_after: Option<u64>,
}

impl Refusal {
    /// With this status and these words.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            retry_after: None,
        }
    }

    /// Whether it is the credentials' fault.
    pub(super) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// The same, for who may come back later.
    #[must_use]
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match error.kind() {
            Kind::Internal => tracing::error!(code = error.code(), reason = ?error, "a request failed"),
            Kind::Unavailable => tracing::warn!(code = error.code(), reason = ?error, "a request could not be served"),
            _ => {}
        }
        let refusal = Self::new(status, error.message());
        match error.kind() {
            Kind::Busy { retry_after } => refusal.retry_after(retry_after.as_secs().max(1)),
            Kind::Unavailable => refusal.retry_after(5),
            _ => refusal,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let content = [(header::CONTENT_TYPE, "application/json")];
        let body = json!({ "error": self.text }).to_string();
        let mut response = (self.status, content, body).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"busway\""),
            );
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_wherever_clients_put_them() {
        let basic = format!("Basic {}", BASE64.encode("ann:k:ey"));
        for (header, query, value, claimed) in [
            (Some(basic.as_str()), "", Some(basic.as_str()), Some("ann")),
            (
                Some("ApiKey bob:key"),
                "auth=Basic+x",
                Some("ApiKey bob:key"),
                Some("bob"),
            ),
            (None, "auth=ApiKey%20bob%3Akey", Some("ApiKey bob:key"), Some("bob")),
            (None, "auth=Basic%20%25%25", Some("Basic %%"), None),
            (Some("token"), "", Some("token"), None),
            (None, "token=key&user=eve", None, Some("eve")),
            (None, "auth=&user=eve", None, Some("eve")),
            (None, "type=container", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|text| (header::AUTHORIZATION, text.parse().unwrap())));
            let given = Credentials::of(&headers, &format!("/x?{query}").parse().unwrap());
            assert_eq!(given.value.as_deref(), value, "{header:?} {query}");
            assert_eq!(given.claimed().as_deref(), claimed, "{header:?} {query}");
        }
    }
}
