//! Web pages of other sites may not act on a hub that trusts its neighbours.
//!
//! Why so: on a loopback address nobody is asked for credentials, and a browser on the same machine will send a
//! "simple" POST, or open a WebSocket, for any page that asks. It says for whom, in `Origin`; everybody else (curl,
//! clients in programs) sends none. Reading is left alone: without CORS headers the page never sees the answer.
//!
//! A page may also have its own name resolve to 127.0.0.1, a moment after it was loaded: then the hub is its "own site",
//! and only the name it calls the hub by gives it away. So a hub on a loopback address answers to addresses, to
//! `localhost`, and to the names that the operator lists.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Problem;
use crate::compat::site;
use crate::error::Error;

/// Refuses what changes something, and WebSockets, for a page of another site.
pub(super) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let upgrade = request.headers().contains_key(header::UPGRADE);
    let reading = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && !upgrade;
    if reading || !site::is_foreign(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let text = "the header `Origin` names another site than `Host`: web pages may use this API only from the hub's own address";
    Problem::from(Error::invalid("cross_origin", text)).into_response()
}

/// Refuses whatever calls the hub by a name that is not its.
pub(super) async fn refuse_other_names(State(names): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    match host_of(&request).filter(|host| !is_ours(host, &names)) {
        None => next.run(request).await,
        Some(host) => {
            let text = format!(
                "on a loopback address the hub does not answer to the name `{host}` (header `Host`), since a web page \
                 could make its own name lead here: call it `localhost`, or list the name in `listen.hosts`"
            );
            Problem::from(Error::invalid("host_unknown", text)).into_response()
        }
    }
}

/// An address, `localhost`, or one of these names; whatever the port.
fn is_ours(host: &str, names: &[String]) -> bool {
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => bare,
        _ => host,
    };
    let literal = bare.trim_start_matches('[').trim_end_matches(']');
    let is = |name: &str| bare.trim_end_matches('.').eq_ignore_ascii_case(name);
    literal.parse::<IpAddr>().is_ok()
        || is("localhost")
        || bare.to_ascii_lowercase().ends_with(".localhost")
        || names.iter().any(|name| is(name))
}

fn host_of(request: &Request) -> Option<String> {
    let named = request.headers().get(header::HOST);
    let named = named.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    named.or_else(|| request.uri().authority().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_cannot_make_its_name_ours() {
        let names = ["hub.example.com".to_owned()];
        let check = |host: &str, ours: bool| assert_eq!(is_ours(host, &names), ours, "{host}");
        for host in [
            "127.0.0.1:8080",
            "127.0.0.1",
            "[::1]:8080",
            "[::1]",
            "localhost",
            "LOCALHOST:80",
            "a.localhost:1",
        ] {
            check(host, true);
        }
        check("hub.example.com:8080", true);
        check("Hub.Example.COM", true);
        for host in [
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "",
            "hub",
        ] {
            check(host, false);
        }
    }
}
