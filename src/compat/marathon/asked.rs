//! A request as Marathon reads one.
//!
//! Why the raw query is read by hand: real clients send `callbackUrl` unencoded, so that its value holds `:`, `/` and
//! `?`; what stands up to the next `&` is the value, decoded once, and `+` is itself.
//! Invariant: bodies are not looked at here; Marathon ignores them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::Method;
use axum::http::header::{self, HeaderName};
use axum::http::request::Parts;
use axum::http::uri::Scheme;
use percent_encoding::percent_decode_str;

use crate::compat::site;

/// A request without its body.
pub(super) struct Asked {
    parts: Parts,
    path: String,
}

impl Asked {
    /// Of this head.
    pub(super) fn of(parts: Parts) -> Self {
        let sent = parts.uri.path();
        let path = match sent.strip_suffix('/') {
            Some(bare) if !bare.is_empty() => bare.to_owned(),
            _ => sent.to_owned(),
        };
        Self { parts, path }
    }

    /// The method.
    pub(super) fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The path; one slash at its end is as good as none.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path, letter for letter.
    pub(super) fn path_as_sent(&self) -> &str {
        self.parts.uri.path()
    }

    /// A header, if it is text.
    pub(super) fn text(&self, name: HeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The first value of a query parameter.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.values(name).into_iter().next()
    }

    /// Every value of a query parameter, in order.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        let named = query
            .split('&')
            .filter_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        named
            .map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
            .collect()
    }

    /// Whether a media range of `Accept` names this media type. (`*/*` names none.)
    fn accepts(&self, media: &str) -> bool {
        let lines = self.parts.headers.get_all(header::ACCEPT);
        let lines = lines.iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|range| {
            let essence = range.split(';').next().unwrap_or_default();
            essence.trim().eq_ignore_ascii_case(media)
        })
    }

    /// Whether server-sent events are asked for.
    pub(super) fn wants_stream(&self) -> bool {
        self.accepts("text/event-stream")
    }

    /// Whether JSON is asked for.
    pub(super) fn wants_json(&self) -> bool {
        self.accepts("application/json")
    }

    /// The address it came from, as Java writes one. Who comes over a unix socket is on this machine.
    pub(super) fn client_ip(&self) -> String {
        let peer = self.parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ip = peer.map(|ConnectInfo(peer)| peer.ip().to_canonical());
        match ip {
            Some(IpAddr::V6(ip)) => as_java(ip),
            Some(IpAddr::V4(ip)) => ip.to_string(),
            None => "127.0.0.1".to_owned(),
        }
    }

    /// What the client calls this hub: `Host`.
    pub(super) fn host(&self) -> Option<&str> {
        let named = self.text(header::HOST);
        named.or_else(|| self.parts.uri.authority().map(|authority| authority.as_str()))
    }

    /// How it came: `http`, or `https`.
    pub(super) fn scheme(&self) -> &str {
        self.parts.extensions.get::<Scheme>().map_or("http", Scheme::as_str)
    }

    /// Whether no web page of another site sent it.
    pub(super) fn is_of_this_site(&self) -> bool {
        !site::is_foreign(&self.parts.headers, &self.parts.uri)
    }
}

/// Java never writes `::`.
fn as_java(ip: Ipv6Addr) -> String {
    ip.segments().map(|segment| format!("{segment:x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn asked(uri: &str) -> Asked {
        Asked::of(Request::builder().uri(uri).body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_callback_url_is_found_however_it_is_sent() {
        for (query, url) in [
            (
                "callbackUrl=http://1.2.3.4:10001/event",
                Some("http://1.2.3.4:10001/event"),
            ),
            (
                "callbackUrl=http%3A%2F%2Fh%2Fp%3Fa%3D1%26b%3D2",
                Some("http://h/p?a=1&b=2"),
            ),
            ("callbackUrl=http://h/p?a=1+2", Some("http://h/p?a=1+2")),
            ("callbackUrl=http://h/p?a=1&b=2", Some("http://h/p?a=1")),
            ("x=1&callbackUrl=http://h/%2520", Some("http://h/%20")),
            ("callbackUrl=", Some("")),
            ("callbackUrls=http://h", None),
            ("callbackurl=http://h", None),
            ("", None),
        ] {
            assert_eq!(
                asked(&format!("/v2/x?{query}")).value("callbackUrl").as_deref(),
                url,
                "{query}"
            );
        }
        assert_eq!(
            asked("/v2/events?event_type=a&event_type=b").values("event_type"),
            ["a", "b"]
        );
    }

    #[test]
    fn addresses_are_written_as_java_does() {
        for (ip, text) in [("::1", "0:0:0:0:0:0:0:1"), ("2001:db8::ff", "2001:db8:0:0:0:0:0:ff")] {
            assert_eq!(as_java(ip.parse().unwrap()), text);
        }
        let mut one = asked("/ping");
        assert_eq!(one.client_ip(), "127.0.0.1");
        let peer: SocketAddr = "[::ffff:10.0.0.7]:4000".parse().unwrap();
        one.parts.extensions.insert(ConnectInfo(peer));
        assert_eq!(one.client_ip(), "10.0.0.7");
    }

    #[test]
    fn only_who_names_the_media_type_wants_a_stream() {
        for (accept, wants) in [
            (&["text/event-stream"][..], true),
            (&["application/json", "Text/Event-Stream; q=0.5"], true),
            (&["text/html, text/event-stream"], true),
            (&["*/*"], false),
            (&["text/*"], false),
            (&[], false),
        ] {
            let mut request = Request::builder().uri("/v2/events");
            for value in accept {
                request = request.header("accept", *value);
            }
            let one = Asked::of(request.body(()).unwrap().into_parts().0);
            assert_eq!(one.wants_stream(), wants, "{accept:?}");
        }
    }
}
