//! What a guest asked of the hub during one observed call: its host calls, its log lines, and its effects.
//!
//! A recorder hangs on the log of one observed instance, since everything through which a guest reaches the world has
//! that log in hand. Instances that serve deliveries have none, and pay one look at an empty option a host call.
//!
//! Invariant: under [`Effects::Suppressed`] nothing leaves the machine: requests are answered here, names resolve to an
//! address that leads nowhere, connections are refused, and keys and values are a copy that is thrown away.
//! Invariant: whatever a guest does, what is kept of one call is bounded; what is left out is counted.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde::Serialize;

use super::kv::Space;
use crate::digest::sha256;

/// Log lines and effects kept of one call, each.
const KEPT: usize = 100;
/// Bytes of a body that are shown.
const SHOWN: usize = 1 << 10;
/// Where names lead that are not looked up: TEST-NET-1 (RFC 5737), which is nowhere.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Whether what a guest does to the world is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effects {
    /// It is done, and recorded.
    Real,
    /// It is recorded only: a request is answered with an empty 200, a connection is refused.
    Suppressed,
}

/// Something that a guest did to the world, or would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Effect {
    /// An HTTP request.
    Http {
        /// Its method.
        method: String,
        /// Where to, without credentials.
        url: String,
        /// What it says of itself. Values that look like credentials are replaced by their length.
        headers: Vec<(String, String)>,
        /// Bytes of its body.
        bytes: usize,
        /// Hex SHA-256 of its body.
        digest: String,
        /// How its body begins.
        body: String,
    },
    /// A TCP connection, to `host:port` as a grant writes it.
    Tcp {
        /// Where to.
        address: String,
    },
}

/// A line that a guest wrote to the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// What it said.
    pub text: String,
}

/// What happened during one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// How often the guest called the host, by function: `attribute`, `at`, `data`, `log`, `http`, `tcp` …
    pub host_calls: BTreeMap<&'static str, u32>,
    /// What it logged.
    pub logs: Vec<Line>,
    /// What it did to the world.
    pub effects: Vec<Effect>,
    /// The config lines that would allow what it wanted and was not granted.
    pub not_granted: Vec<String>,
    /// Log lines and effects past the bound, which are not in here.
    #[serde(skip_serializing_if = "is_none_left_out")]
    pub left_out: u64,
}

fn is_none_left_out(count: &u64) -> bool {
    *count == 0
}

/// Writes down what one observed instance does.
pub(super) struct Recorder {
    effects: Effects,
    /// Texts that are not shown.
    hidden: Vec<String>,
    trace: Mutex<Trace>,
    /// What the guest keeps while nothing of it may be kept.
    scratch: OnceLock<Space>,
}

impl Recorder {
    pub(super) fn new(effects: Effects) -> Self {
        Self {
            effects,
            hidden: Vec::new(),
            trace: Mutex::default(),
            scratch: OnceLock::new(),
        }
    }

    /// Shows `***` in the place of each of these texts.
    pub(super) fn hiding(mut self, texts: Vec<String>) -> Self {
        self.hidden = texts;
        self
    }

    /// What was written down since the last call of this.
    pub(super) fn take(&self) -> Trace {
        std::mem::take(&mut *self.lock())
    }

    /// Whether what the guest does must not be done.
    pub(super) fn suppresses(&self) -> bool {
        self.effects == Effects::Suppressed
    }

    /// One call of a host function.
    pub(super) fn count(&self, function: &'static str) {
        *self.lock().host_calls.entry(function).or_default() += 1;
    }

    /// One line for the log.
    pub(super) fn line(&self, level: &'static str, text: &str) {
        let text = self.without_secrets(text.to_owned());
        let mut trace = self.lock();
        match trace.logs.len() < KEPT {
            true => trace.logs.push(Line { level, text }),
            false => trace.left_out += 1,
        }
    }

    /// Something that was not granted, with the line that would allow it.
    pub(super) fn not_granted(&self, allow_with: &str) {
        let mut trace = self.lock();
        if trace.not_granted.len() < KEPT && !trace.not_granted.iter().any(|line| line == allow_with) {
            trace.not_granted.push(allow_with.to_owned());
        }
    }

    /// A request that is about to leave.
    pub(super) fn request(&self, head: &http::request::Parts, body: &Bytes) {
        let mut effect = request(&head.method, &head.uri, &head.headers, body);
        if let Effect::Http { url, headers, body, .. } = &mut effect {
            let shown = headers.iter_mut().map(|(_, value)| value).chain([url, body]);
            shown.for_each(|text| *text = self.without_secrets(std::mem::take(text)));
        }
        self.effect(effect);
    }

    /// A connection that is about to be made.
    pub(super) fn connection(&self, address: String) {
        self.effect(Effect::Tcp { address });
    }

    /// Where a granted name leads while nothing may leave; none if it is to be looked up.
    pub(super) fn instead_of_look_up(&self) -> Option<IpAddr> {
        self.suppresses().then_some(NOWHERE)
    }

    /// A copy of the plugin's keys and values, in the place of them.
    pub(super) fn scratch(&self, space: &Space) -> &Space {
        self.scratch.get_or_init(|| space.copy())
    }

    fn without_secrets(&self, text: String) -> String {
        self.hidden
            .iter()
            .fold(text, |text, secret| match text.contains(secret) {
                true => text.replace(secret, "***"),
                false => text,
            })
    }

    fn effect(&self, effect: Effect) {
        let mut trace = self.lock();
        match trace.effects.len() < KEPT {
            true => trace.effects.push(effect),
            false => trace.left_out += 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Effect {
    let shown = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let text = match is_credential(name.as_str()) {
            true => format!("({} bytes, not shown)", value.len()),
            false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        (name.as_str().to_owned(), text)
    };
    let begins = body.get(..body.len().min(SHOWN)).unwrap_or_default();
    Effect::Http {
        method: method.to_string(),
        url: without_credentials(uri),
        headers: headers.iter().map(shown).collect(),
        bytes: body.len(),
        digest: sha256(body),
        body: String::from_utf8_lossy(begins).into_owned(),
    }
}

fn is_credential(header: &str) -> bool {
    ["auth", "cookie", "key", "secret", "signature", "token"]
        .iter()
        .any(|word| header.contains(word))
}

fn without_credentials(uri: &Uri) -> String {
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let path = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    let scheme = uri.scheme_str().unwrap_or("https");
    format!("{scheme}://{place}{}", path.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_without_its_credentials() {
        let request = http::Request::post("https://user:word@hooks.example.com:8443/a?b=c")
            .header("content-type", "text/plain")
            .header("x-api-key", "hunter2")
            .header("authorization", "Bearer hunter2")
            .body(())
            .unwrap();
        let recorder = Recorder::new(Effects::Suppressed);
        recorder.request(&request.into_parts().0, &"x".repeat(5_000).into());
        let trace = recorder.take();
        let [
            Effect::Http {
                url,
                headers,
                bytes,
                body,
                ..
            },
        ] = trace.effects.as_slice()
        else {
            panic!("{trace:?}");
        };
        assert_eq!(url, "https://hooks.example.com:8443/a?b=c");
        assert_eq!((*bytes, body.len()), (5_000, SHOWN));
        assert!(headers.contains(&("content-type".to_owned(), "text/plain".to_owned())));
        assert!(!format!("{trace:?}").contains("hunter2"));
        assert_eq!(recorder.take(), Trace::default(), "each call begins with an empty page");
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_rest_is_counted() {
        let recorder = Recorder::new(Effects::Real);
        for n in 0..1_000 {
            recorder.line("info", "again");
            recorder.connection(format!("host:{n}"));
            recorder.not_granted("[plugins.p] grants = …");
            recorder.count("log");
        }
        let trace = recorder.take();
        assert_eq!(
            (trace.logs.len(), trace.effects.len(), trace.not_granted.len()),
            (KEPT, KEPT, 1)
        );
        assert_eq!((trace.left_out, trace.host_calls.get("log")), (1_800, Some(&1_000)));
    }
}
