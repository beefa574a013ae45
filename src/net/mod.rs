//! The only way out: one client that dials, one guard that says which addresses may be dialled.

mod direct;

pub use direct::Direct;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

/// The operator's rules for addresses.
#[derive(Debug, Clone, Default)]
pub struct GuardSettings {
    /// Refuse loopback and private addresses too (link-local and metadata addresses are always refused).
    pub deny_private: bool,
    /// Ranges allowed whatever the rest says.
    pub allow: Vec<ipnet::IpNet>,
    /// Ranges refused.
    pub deny: Vec<ipnet::IpNet>,
}

/// Says which addresses may be dialled. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard;

/// An address that may not be dialled, and the rule.
#[derive(Debug, Clone)]
pub struct Blocked {
    /// The address.
    pub address: std::net::IpAddr,
    /// The rule that forbids it, in words.
    pub rule: &'static str,
}

impl Guard {
    /// A guard with these rules.
    pub fn new(_settings: GuardSettings) -> Self {
        unimplemented!()
    }
    /// Whether an address, after name resolution, may be dialled.
    pub fn check(&self, _address: SocketAddr) -> Result<(), Blocked> {
        unimplemented!()
    }
    /// Resolves a name and keeps only the addresses that may be dialled.
    pub async fn resolve(&self, _host: &str, _port: u16) -> Result<Vec<SocketAddr>, Error> {
        unimplemented!()
    }
}

/// Why a request got no answer.
#[derive(Debug)]
pub enum Error {
    /// The guard refused the address.
    Blocked(Blocked),
    /// The name did not resolve.
    Resolve(String),
    /// No connection (refused, unreachable, TLS).
    Connect(String),
    /// No answer in time.
    Timeout,
    /// The connection broke in the middle, or what came was not HTTP.
    Broken(String),
}

/// The HTTP client, with connections kept alive. Cheap to clone. Never follows redirects.
#[derive(Clone)]
pub struct Client;

/// An answer, its body read up to a limit.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: http::StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// The first bytes of the body.
    pub body: Bytes,
}

impl Client {
    /// A client that dials through `guard`.
    pub fn new(_guard: Guard) -> Self {
        unimplemented!()
    }
    /// The guard it dials through.
    pub fn guard(&self) -> &Guard {
        unimplemented!()
    }
    /// Sends one request and reads at most `keep` bytes of the answer's body, all within `timeout`.
    pub async fn send(&self, _request: http::Request<Bytes>, _timeout: Duration, _keep: usize) -> Result<Answer, Error> {
        unimplemented!()
    }
}
