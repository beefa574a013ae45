//! The credentials of a callback (`protocolsettings.auth`): Basic, Bearer, or what an OAuth2 token is asked for with
//! (RFC 6749, section 4.4).
//!
//! Invariant: what is read here can be sent: nothing in it breaks a header or a form.
//! Invariant: `Debug` shows no part of it but its kind.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use serde_json::{Map, Value, json};
use url::Url;

use super::fields::{Fields, refuse};
use crate::error::Error;

const LONGEST: usize = 4_096;

/// Credentials of a callback. Never shown again.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Basic`.
    Basic {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// Token.
        token: String,
    },
    /// `Authorization: Bearer`, with a token that is fetched.
    OAuth2(Arc<OAuth2>),
}

/// What a token is asked for with.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// Where.
    pub token_url: Url,
    /// Who asks.
    pub client_id: String,
    /// And proves it.
    pub client_secret: String,
    /// What for.
    pub scope: Option<String>,
    /// For whom: not of the RFC, but several servers want it.
    pub audience: Option<String>,
    /// How the client says who it is.
    pub style: ClientStyle,
}

/// How a client says who it is (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientStyle {
    /// By `Authorization: Basic`, which every server must take.
    #[default]
    Header,
    /// In the form, for servers that take nothing else.
    Body,
}

impl Auth {
    /// Reads `auth`.
    pub(super) fn read(settings: &Fields<'_>) -> Result<Option<Self>, Error> {
        let Some(auth) = settings.object("auth", &["basic", "bearer", "oauth2"])? else {
            return Ok(None);
        };
        let basic = auth.object("basic", &["username", "password"])?;
        let bearer = auth.object("bearer", &["token"])?;
        let oauth2 = auth.object("oauth2", &OAUTH2)?;
        let read = match (basic, bearer, oauth2) {
            (Some(fields), None, None) => basic_of(&fields),
            (None, Some(fields), None) => bearer_of(&fields),
            (None, None, Some(fields)) => OAuth2::read(&fields).map(|oauth2| Self::OAuth2(Arc::new(oauth2))),
            (None, None, None) => Err(refuse(
                "protocolsettings.auth",
                "must have `basic` (username, password), `bearer` (token) or `oauth2` (token_url, client_id, client_secret)",
            )),
            _ => Err(refuse(
                "protocolsettings.auth",
                "has more than one of `basic`, `bearer` and `oauth2`; give one (in a patch set the others to null)",
            )),
        };
        read.map(Some)
    }

    /// As it is read.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Basic { username, password } => json!({"basic": {"username": username, "password": password}}),
            Self::Bearer { token } => json!({"bearer": {"token": token}}),
            Self::OAuth2(oauth2) => json!({"oauth2": oauth2.to_json()}),
        }
    }
}

fn basic_of(basic: &Fields<'_>) -> Result<Auth, Error> {
    let (username, password) = (required(basic, "username")?, required(basic, "password")?);
    match username.contains(':') {
        true => Err(refuse(
            &basic.path("username"),
            "must not contain `:`, which ends it in Basic authentication",
        )),
        false => Ok(Auth::Basic { username, password }),
    }
}

fn bearer_of(bearer: &Fields<'_>) -> Result<Auth, Error> {
    let token = required(bearer, "token")?;
    match token.is_empty() || HeaderValue::from_str(&token).is_err() {
        true => Err(refuse(
            &bearer.path("token"),
            "must be visible ASCII, at least one character",
        )),
        false => Ok(Auth::Bearer { token }),
    }
}

const OAUTH2: [&str; 6] = ["token_url", "client_id", "client_secret", "scope", "audience", "style"];

impl OAuth2 {
    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let optional = |name: &str| match fields.value(name) {
            None => Ok(None),
            Some(_) => required(fields, name).map(Some),
        };
        Ok(Self {
            token_url: token_url(fields)?,
            client_id: required(fields, "client_id")?,
            client_secret: required(fields, "client_secret")?,
            scope: optional("scope")?,
            audience: optional("audience")?,
            style: fields.choice("style", &[("header", ClientStyle::Header), ("body", ClientStyle::Body)])?,
        })
    }

    fn to_json(&self) -> Value {
        let style = match self.style {
            ClientStyle::Header => "header",
            ClientStyle::Body => "body",
        };
        let mut json = Map::new();
        let mut set = |name: &str, text: &str| json.insert(name.to_owned(), text.into());
        set("token_url", self.token_url.as_str());
        set("client_id", &self.client_id);
        set("client_secret", &self.client_secret);
        set("style", style);
        for (name, text) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(text) = text {
                set(name, text);
            }
        }
        Value::Object(json)
    }
}

fn token_url(fields: &Fields<'_>) -> Result<Url, Error> {
    let path = fields.path("token_url");
    let rule = "must be the absolute http or https URL of the token endpoint";
    let text = required(fields, "token_url")?;
    let url = Url::parse(&text).map_err(|error| refuse(&path, format_args!("{rule}: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refuse(&path, rule));
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        let rule = "must have neither a fragment (`#…`) nor a user name: `client_id` and `client_secret` say who asks";
        return Err(refuse(&path, rule));
    }
    Ok(url)
}

/// A text that must be there and can be sent.
pub(super) fn required(fields: &Fields<'_>, name: &str) -> Result<String, Error> {
    let text = fields
        .text(name, LONGEST)?
        .ok_or_else(|| refuse(&fields.path(name), "is missing"))?;
    match text.contains(char::is_control) {
        true => Err(refuse(&fields.path(name), "must not contain control characters")),
        false => Ok(text.to_owned()),
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Auth::Basic(…)",
            Self::Bearer { .. } => "Auth::Bearer(…)",
            Self::OAuth2(_) => "Auth::OAuth2(…)",
        })
    }
}

impl fmt::Debug for OAuth2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OAuth2(…)")
    }
}
