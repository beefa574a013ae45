//! Whose request is being served: what the hub does meanwhile is done by them.
//!
//! Why a task's own value and not an argument: five front doors reach the hub by some sixty calls, and each would have to
//! hand it on to tell who did it; the one that forgets leaves no trace. Here the door's outermost layer opens it,
//! [`super::Access`] enters whom it recognises, and the hub reads it where it reports ([`current`]).
//! Invariant: it ends with the request: nothing that goes on afterwards is done by anybody.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::principal::{Principal, Standing};

tokio::task_local! {
    static SERVED: Served;
}

struct Served {
    address: Option<IpAddr>,
    principal: OnceLock<Principal>,
    /// Whether credentials were looked at.
    tried: AtomicBool,
    /// Whether good ones were used too often.
    limited: AtomicBool,
}

/// What a request's credentials came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Some were looked at, and nobody was recognised.
    pub stranger: bool,
    /// Somebody was recognised who came too often.
    pub limited: bool,
}

/// Whose request is being served.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The name of their credentials; none where nobody was asked.
    pub name: Option<Arc<str>>,
    /// Where the request came from; none from a unix socket.
    pub address: Option<IpAddr>,
    /// How their credentials stand, for what stays open.
    pub standing: Option<Arc<Standing>>,
}

/// Serves a request from there; what it answers, and what its credentials came to.
pub async fn serving<F: Future>(address: Option<IpAddr>, request: F) -> (F::Output, End) {
    let served = Served {
        address,
        principal: OnceLock::new(),
        tried: AtomicBool::new(false),
        limited: AtomicBool::new(false),
    };
    let whole = SERVED.scope(served, async {
        let answer = request.await;
        let end = SERVED.with(|served| End {
            stranger: served.tried.load(Ordering::Relaxed) && served.principal.get().is_none(),
            limited: served.limited.load(Ordering::Relaxed),
        });
        (answer, end)
    });
    whole.await
}

/// Whose request this task serves; nobody's, if it serves none.
pub fn current() -> Caller {
    let caller = SERVED.try_with(|served| {
        let principal = served.principal.get();
        Caller {
            name: principal.and_then(|principal| principal.name.clone()),
            address: served.address,
            standing: principal.and_then(Principal::standing),
        }
    });
    caller.unwrap_or_default()
}

/// Whether the credentials of the request that this task serves were revoked, or have expired, since it began.
pub fn has_ended() -> bool {
    let ended = SERVED.try_with(|served| {
        let standing = served.principal.get().and_then(Principal::standing);
        standing.is_some_and(|standing| standing.has_ended())
    });
    ended.unwrap_or(false)
}

/// Enters who was recognised.
pub(super) fn recognised(principal: &Principal) {
    // Outside of a request there is nothing to enter it in; a second look at the same credentials finds it there.
    let _ = SERVED.try_with(|served| served.principal.set(principal.clone()));
}

/// Notes that credentials are looked at: unless somebody is recognised by them, they are wrong.
pub fn tried() {
    let _ = SERVED.try_with(|served| served.tried.store(true, Ordering::Relaxed));
}

/// Notes that somebody comes too often.
pub(super) fn limited() {
    let _ = SERVED.try_with(|served| served.limited.store(true, Ordering::Relaxed));
}
