//! OAuth2 tokens of subscriptions: one each, kept until shortly before its end, and fetched by one attempt at a time.
//!
//! Whoever finds no token while another is fetching waits for what comes of that, good or bad: a token endpoint that is
//! down is asked once by all the deliveries of a moment, and not by each of them in turn. If the one that fetches is
//! given up (its attempt ran out of time), one of those that wait takes over.
//! Why a place a subscription, and not one for all that have the same credentials: what one of them gets wrong (a proxy,
//! an authority) is then nobody else's trouble.
//! Invariant: a token is only used with the credentials that it was fetched with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::token::Token;
use super::webhook::Answered;
use crate::subscription::{OAuth2, SubscriptionId};
use crate::time::Timestamp;

/// What comes of fetching one.
type Fetched = Result<Token, Answered>;

/// The tokens of all subscriptions.
#[derive(Default)]
pub(super) struct Tokens {
    places: Mutex<HashMap<SubscriptionId, Arc<Place>>>,
}

/// The token of one.
struct Place {
    credentials: Arc<OAuth2>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// What will come of the fetching that goes on; closed without a word if it was given up.
    fetching: Option<watch::Receiver<Option<Fetched>>>,
}

/// What there is to do for one that needs a token.
enum Turn {
    Use(Token),
    Wait(watch::Receiver<Option<Fetched>>),
    Fetch(watch::Sender<Option<Fetched>>),
}

impl Tokens {
    /// A token for this subscription: the one that is kept, or what `fetch` gets.
    ///
    /// # Errors
    /// The end of the attempt that needed it.
    pub(super) async fn token(
        &self,
        (id, credentials): (&SubscriptionId, &Arc<OAuth2>),
        now: Timestamp,
        fetch: impl AsyncFnOnce() -> Fetched,
    ) -> Fetched {
        let place = self.place(id, credentials);
        loop {
            let told = match place.turn(now) {
                Turn::Use(token) => return Ok(token),
                Turn::Wait(mut fetching) => match fetching.wait_for(Option::is_some).await {
                    Ok(fetched) => fetched.clone(),
                    // Given up: perhaps it is our turn.
                    Err(_) => None,
                },
                Turn::Fetch(tell) => {
                    let fetched = fetch().await;
                    place.settle(&fetched);
                    tell.send_replace(Some(fetched.clone()));
                    return fetched;
                }
            };
            if let Some(fetched) = told {
                return fetched;
            }
        }
    }

    /// The sink did not take this token: the next attempt fetches another, unless one has already.
    pub(super) fn refuse(&self, id: &SubscriptionId, token: &Token) {
        let place = self.lock().get(id).cloned();
        if let Some(place) = place {
            let mut state = place.lock();
            state.token.take_if(|kept| kept == token);
        }
    }

    /// Forgets a subscription that is gone.
    pub(super) fn forget(&self, id: &SubscriptionId) {
        self.lock().remove(id);
    }

    /// Where a subscription's token is; anew if its credentials have changed.
    fn place(&self, id: &SubscriptionId, credentials: &Arc<OAuth2>) -> Arc<Place> {
        let mut places = self.lock();
        let same = |known: &Place| Arc::ptr_eq(&known.credentials, credentials) || known.credentials == *credentials;
        if let Some(known) = places.get(id).filter(|known| same(known)) {
            return known.clone();
        }
        let place = Arc::new(Place {
            credentials: credentials.clone(),
            state: Mutex::default(),
        });
        places.insert(id.clone(), place.clone());
        place
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Arc<Place>>> {
        // A map is whole whatever happened while it was locked.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn turn(&self, now: Timestamp) -> Turn {
        let mut state = self.lock();
        if let Some(token) = state.token.as_ref().filter(|token| now < token.until) {
            return Turn::Use(token.clone());
        }
        let goes_on = |fetching: &watch::Receiver<Option<Fetched>>| fetching.has_changed().is_ok();
        if let Some(fetching) = state.fetching.as_ref().filter(|fetching| goes_on(fetching)) {
            return Turn::Wait(fetching.clone());
        }
        let (tell, fetching) = watch::channel(None);
        state.fetching = Some(fetching);
        Turn::Fetch(tell)
    }

    fn settle(&self, fetched: &Fetched) {
        let mut state = self.lock();
        state.token = fetched.as_ref().ok().cloned();
        state.fetching = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
