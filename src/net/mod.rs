//! The only way out: one client that dials, one guard that says which addresses may be dialled.
//!
//! `guard` judges by the operator's `rule`s and by the closed `ranges`, `resolve` looks names up for it; `dial` opens
//! connections through it, `proxy` takes them further, `tls` secures them (as whom: `identity`; `handshake` says why not),
//! `pool` keeps them alive, `client` speaks HTTP on them and `reach` says how far it came. `direct` is the command line's
//! way to the one hub that it was told of, which no rule judges.
//! Why one place: a server-side request forgery is one forgotten `connect`; native delivery and plugins share this one.
//! Invariant: the address that is checked is the address that is dialled (no second look-up in between).
//! Invariant: nothing outside this folder opens an outgoing connection: a plugin's sockets are dialled here too.

mod client;
mod dial;
mod direct;
mod guard;
mod handshake;
mod identity;
mod pool;
mod proxy;
mod ranges;
mod reach;
mod resolve;
mod rule;
mod tls;

pub use client::{Answer, Client, Feed};
pub use direct::Direct;
pub use guard::{Blocked, Guard, GuardSettings};
pub use identity::{Identity, IdentityFault};
pub use proxy::{Exception, Proxy, ProxySettings, Route};
pub use resolve::Resolver;
pub use rule::Rule;
pub use tls::{Secured, Trust};

use std::fmt;

/// Why a request got no answer.
#[derive(Debug)]
pub enum Error {
    /// The guard refused the address.
    Blocked(Blocked),
    /// The name did not resolve.
    Resolve(String),
    /// No connection (refused, unreachable, TLS), or a URL that cannot be dialled.
    Connect(String),
    /// The proxy's fault, and not the sink's: it is named.
    Proxy(String),
    /// No answer in time.
    Timeout,
    /// The connection broke in the middle, or what came was not HTTP.
    Broken(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked(blocked) => blocked.fmt(f),
            Self::Resolve(why) => write!(f, "the name does not resolve: {why}"),
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Proxy(why) => f.write_str(why),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// An error with its causes: the outermost rarely says what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
