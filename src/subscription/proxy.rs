//! The way to a callback's sink (`protocolsettings.proxy`): a proxy of its own, or `none` where the hub has one.
//!
//! Invariant: credentials for the proxy stand in a field that is hidden by its name, never in its URL.

use serde_json::{Value, json};

use super::auth::required;
use super::fields::{Fields, refuse};
use crate::error::Error;
use crate::net::{Proxy, Route};

const LONGEST: usize = 2_048;
const DIRECT: &str = "none";

/// Reads `proxy`; nothing: the way that the hub takes by default.
pub(super) fn read(settings: &Fields<'_>) -> Result<Option<Route>, Error> {
    let Some(value) = settings.value("proxy") else {
        return Ok(None);
    };
    let path = settings.path("proxy");
    if !value.is_object() {
        return match settings.text("proxy", LONGEST)? {
            Some(DIRECT) => Ok(Some(Route::Direct)),
            Some(url) => proxy(&path, url).map(|proxy| Some(Route::By(proxy))),
            None => Ok(None),
        };
    }
    let fields = Fields::of(value, &path, &["url", "username", "password"])?;
    let proxy = proxy(&fields.path("url"), &required(&fields, "url")?)?;
    if fields.value("username").is_none() && fields.value("password").is_none() {
        return Ok(Some(Route::By(proxy)));
    }
    let (username, password) = (required(&fields, "username")?, required(&fields, "password")?);
    let proxy = proxy.with_credentials(username, password);
    proxy
        .map(|proxy| Some(Route::By(proxy)))
        .map_err(|why| refuse(&path, why))
}

fn proxy(path: &str, url: &str) -> Result<Proxy, Error> {
    let proxy = Proxy::parse(url).map_err(|why| refuse(path, why))?;
    match proxy.credentials() {
        None => Ok(proxy),
        Some(_) => Err(refuse(
            path,
            "must not carry a user name or password; write {\"url\", \"username\", \"password\"}, of which the password is never shown again",
        )),
    }
}

/// As it is read.
pub(super) fn to_json(route: &Route) -> Value {
    match route {
        Route::Direct => DIRECT.into(),
        Route::By(proxy) => match proxy.credentials() {
            None => proxy.url().into(),
            Some((username, password)) => json!({"url": proxy.url(), "username": username, "password": password}),
        },
    }
}
