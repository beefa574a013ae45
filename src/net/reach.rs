//! How far a request came, for whoever must say why its time was up.
//!
//! "No answer in time" sends people to the sink, when it was the name servers that did not answer.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use super::{Error, Proxy};

/// A step of a request on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    LookUp,
    Connect,
    Handshake,
    /// By this proxy: its look-up, its connection, and the tunnel.
    Proxy(Proxy),
    /// The request is written, or on its way.
    Answer,
}

/// The step that was begun last.
#[derive(Debug, Default)]
pub(super) struct Reached(Mutex<Stage>);

impl Reached {
    pub(super) fn stage(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// The error of a request to `host` whose time is up.
    pub(super) fn late(&self, host: &str, longest: Duration) -> Error {
        let stage = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stage.late(host, longest)
    }
}

impl Stage {
    /// The error where this step did not end in time.
    pub(super) fn late(self, host: &str, longest: Duration) -> Error {
        let longest = whole_millis(longest);
        match self {
            Self::LookUp => Error::Resolve(format!("{host}: the name servers did not answer within {longest:?}")),
            Self::Connect => Error::Connect(format!("{host}: no answer within {longest:?}")),
            Self::Handshake => Error::Connect(format!("TLS with {host}: the handshake did not end within {longest:?}")),
            Self::Proxy(proxy) => proxy.late(longest),
            Self::Answer => Error::Timeout,
        }
    }
}

/// For people: what was left of an attempt's time is no round number.
pub(super) fn whole_millis(longest: Duration) -> Duration {
    Duration::from_millis(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX))
}
