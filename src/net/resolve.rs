//! From a name to its addresses, so that a name nobody answers for holds up nobody else.
//!
//! The system's resolver is asked (`getaddrinfo`): it knows `/etc/hosts`, search domains, and what else the machine is
//! set up for. It blocks a thread and cannot be cancelled, and so
//! - one name is asked for once at a time, by whoever needs it first; all who need it meanwhile share the answer;
//! - look-ups at once are bounded, each [`Standing`] for itself: names that were answered in good time, names of which
//!   nothing is known, names that took long. So dead names wait for each other, and not the living for
//!   the dead;
//! - who waits gives up after ten seconds, whatever becomes of the look-up.
//!
//! An answer and a failure are kept for a moment ([`PACE`]): just enough that a burst of connections costs one look-up.
//! More would be a cache of our own beside the machine's, which knows how long an answer holds.
//! `localhost` and what is below it is the loopback address without asking anybody (RFC 6761, section 6.3).
//! Invariant: nothing here decides what may be dialled.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::Error;
use crate::tasks::Tasks;

/// Look-ups at once, by standing.
const PLACES: [(Standing, usize); 3] = [(Standing::Good, 32), (Standing::Unknown, 24), (Standing::Slow, 8)];
const PACE: Pace = Pace {
    long: Duration::from_secs(2),
    patience: Duration::from_secs(10),
    fresh: Duration::from_secs(2),
    stale: Duration::from_secs(1),
};
/// Names whose standing is remembered.
const REMEMBERED: usize = 100_000;

/// Looks names up. Cheap to clone; clones share what is under way.
#[derive(Clone)]
pub struct Resolver(Arc<Desk>);

type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;
type Found = Result<Arc<[IpAddr]>, Arc<str>>;

/// How long things take.
struct Pace {
    /// A look-up that takes longer took long.
    long: Duration,
    /// The longest that anybody waits.
    patience: Duration,
    /// An answer is kept for this.
    fresh: Duration,
    /// A failure is kept for this.
    stale: Duration,
}

struct Desk {
    ask: Box<Ask>,
    pace: Pace,
    state: Mutex<State>,
    places: BTreeMap<Standing, Arc<Semaphore>>,
    tasks: Tasks,
}

/// How long the last look-up of a name took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Good,
    Unknown,
    Slow,
}

#[derive(Default)]
struct State {
    /// Look-ups under way, and answers that are fresh.
    answers: BTreeMap<String, watch::Receiver<Option<Found>>>,
    standings: BTreeMap<String, Standing>,
}

impl Default for Resolver {
    /// The system's.
    fn default() -> Self {
        Self::asking(|name| Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// One that asks `ask`, which may block.
    pub fn asking(ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self::paced(ask, PACE)
    }

    fn paced(ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static, pace: Pace) -> Self {
        Self(Arc::new(Desk {
            ask: Box::new(ask),
            pace,
            state: Mutex::default(),
            places: PLACES
                .map(|(standing, many)| (standing, Arc::new(Semaphore::new(many))))
                .into(),
            tasks: Tasks::new(),
        }))
    }

    /// The addresses of a name.
    ///
    /// # Errors
    /// [`Error::Resolve`], with what the name servers said.
    pub(super) async fn look_up(&self, name: &str) -> Result<Arc<[IpAddr]>, Error> {
        let bare = name.strip_suffix('.').unwrap_or(name);
        if bare == "localhost" || bare.ends_with(".localhost") {
            return Ok([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into());
        }
        let patience = self.0.pace.patience;
        let found = tokio::time::timeout(patience, self.answer(name)).await;
        let found =
            found.unwrap_or_else(|_| Err(format!("the name servers did not answer within {patience:?}").into()));
        found.map_err(|why| Error::Resolve(format!("{name}: {why}")))
    }

    async fn answer(&self, name: &str) -> Found {
        loop {
            let mut answer = self.0.expect(name);
            // An error: the runtime that looked it up is gone. Ours is not.
            if let Ok(found) = answer.wait_for(Option::is_some).await
                && let Some(found) = found.clone()
            {
                return found;
            }
        }
    }
}

impl Desk {
    /// The answer that is there or under way, or a new look-up.
    fn expect(self: &Arc<Self>, name: &str) -> watch::Receiver<Option<Found>> {
        let mut state = self.lock();
        if let Some(answer) = state.answers.get(name) {
            return answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        state.answers.insert(name.to_owned(), answer.clone());
        let standing = state.standings.get(name).copied().unwrap_or(Standing::Unknown);
        drop(state);
        let entry = Entry(self.clone(), name.to_owned());
        drop(self.tasks.spawn(look_up(entry, tell, standing)));
        answer
    }

    fn remember(&self, name: &str, standing: Standing) {
        let mut state = self.lock();
        if state.standings.len() >= REMEMBERED {
            // They are strangers again, and soon known again.
            state.standings.clear();
        }
        state.standings.insert(name.to_owned(), standing);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half way: a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a look-up among the answers; it is free again however the look-up ends.
struct Entry(Arc<Desk>, String);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.lock().answers.remove(&self.1);
    }
}

async fn look_up(entry: Entry, tell: watch::Sender<Option<Found>>, standing: Standing) {
    let Entry(desk, name) = &entry;
    let Some(places) = desk.places.get(&standing) else {
        return;
    };
    // Never closed.
    let Ok(place) = places.clone().acquire_owned().await else {
        return;
    };
    // Nobody waits any more: one receiver is the entry's own.
    if tell.receiver_count() <= 1 {
        return;
    }
    let (asked, whom) = (name.clone(), desk.clone());
    let mut work = Tasks::expendable(move || (whom.ask)(&asked));
    let (found, standing) = tokio::select! {
        found = &mut work => (found, Standing::Good),
        () = tokio::time::sleep(desk.pace.long) => {
            desk.remember(name, Standing::Slow);
            (work.await, Standing::Slow)
        }
    };
    drop(place);
    desk.remember(name, standing);
    let found = match found {
        Ok(Ok(found)) => Ok(Arc::from(found)),
        Ok(Err(error)) => Err(Arc::from(why(&error))),
        Err(_) => Err(Arc::from("the look-up ended before it was done")),
    };
    let fresh = if found.is_ok() {
        desk.pace.fresh
    } else {
        desk.pace.stale
    };
    tell.send_replace(Some(found));
    tokio::time::sleep(fresh).await;
}

/// What the system's resolver means. Its codes do not reach us, its words do (glibc's, musl's).
fn why(error: &io::Error) -> String {
    let said = error.to_string();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let means = if has(&["Temporary failure", "Try again"]) {
        "the name servers could not tell (SERVFAIL, or no answer)"
    } else if has(&["not known", "does not resolve"]) {
        "there is no such name (NXDOMAIN)"
    } else if has(&["No address associated"]) {
        "the name has no address"
    } else {
        return said;
    };
    format!("{means}: {said}")
}

#[cfg(test)]
mod tests;
