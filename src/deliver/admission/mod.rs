//! The way into flight: every attempt waits here for a place, of the hub's and of its host's.
//!
//! [`ledger`] decides; here its decisions reach those who wait. Nobody's waiting counts against the timeout of the
//! attempt, which begins with the place. What had to wait may be of an older time: whoever comes through looks whether
//! the subscription is still the same.
//! Invariant: a place is given back when its [`Place`] is dropped, wherever that happens; one that is given to somebody
//! who no longer waits goes on to the next.

mod ledger;
mod line;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use self::ledger::Ledger;
pub(super) use self::ledger::{Host, Quickness};
use super::Bounds;
use super::lane::Lane;
use crate::subscription::{Sink, Subscription};
use crate::time::Clock;

/// All places.
pub(super) struct Admission {
    ledger: Mutex<Ledger<Asking>>,
    clock: Clock,
}

/// Who waits for a place.
struct Asking {
    lane: Arc<Lane>,
    tell: oneshot::Sender<Place>,
}

/// A place in flight.
pub(super) struct Place {
    flight: u64,
    lane: Arc<Lane>,
    admission: Arc<Admission>,
    used: bool,
}

impl Place {
    /// Gives the place back without having called anybody.
    pub(super) fn give_back(mut self) {
        self.used = false;
    }
}

impl Admission {
    /// All places free.
    pub(super) fn new(bounds: Bounds, clock: Clock) -> Self {
        let ledger = Mutex::new(Ledger::new(bounds.in_flight, bounds.connections_per_host));
        Self { ledger, clock }
    }

    /// Waits for a place for one attempt of this lane.
    pub(super) async fn place(self: &Arc<Self>, lane: &Arc<Lane>, subscription: &Subscription) -> Option<Place> {
        let (tell, told) = oneshot::channel();
        let asking = Asking {
            lane: lane.clone(),
            tell,
        };
        let who = (lane.key, lane.quickness());
        let begun = self.lock().ask(who, (host(subscription), asking), self.clock.instant());
        self.admit(begun);
        // Nobody drops the other end without having told.
        told.await.ok()
    }

    /// How many attempts are in flight, and how many wait for a place.
    pub(super) fn load(&self) -> (usize, usize) {
        let ledger = self.lock();
        (ledger.in_flight(), ledger.waiting())
    }

    /// Tells those who may begin. Who no longer waits gives the place back at once, and so on: in a loop, since
    /// thousands may have gone together.
    fn admit(self: &Arc<Self>, mut begun: Vec<(u64, Asking)>) {
        while let Some((flight, Asking { lane, tell })) = begun.pop() {
            if tell.is_closed() {
                begun.extend(self.lock().end(flight, false, self.clock.instant()).0);
                continue;
            }
            let admission = self.clone();
            // If it has gone just now, the place is dropped here, and with that given back.
            drop(tell.send(Place {
                flight,
                lane,
                admission,
                used: true,
            }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger<Asking>> {
        // Nothing in there panics half way.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.admission.clock.instant();
        let (begun, quickness) = self.admission.lock().end(self.flight, self.used, now);
        if let Some(quickness) = quickness {
            self.lane.note_quickness(quickness);
        }
        self.admission.admit(begun);
    }
}

/// Where the sink of a subscription is, if it is called over the network by the hub itself.
fn host(subscription: &Subscription) -> Option<Host> {
    let Sink::Webhook(hook) = &subscription.sink else {
        return None;
    };
    let (name, port) = (hook.url.host_str()?, hook.url.port_or_known_default()?);
    Some(format!("{name}:{port}").into())
}
