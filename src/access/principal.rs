//! Who is asking: what they may do, how often, and until when.
//!
//! Everybody who came with the same credentials shares one [`Standing`]: a rate is of the credentials, not of a
//! connection, and their end ends all that was opened with them.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::account::{Account, Pace};
use super::bucket::Bucket;
use super::caller;
use super::permission::{Permission, Scope};
use crate::error::{Error, Kind};
use crate::time::{Clock, Timestamp};

/// Who is asking.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The name, for logs; none where nobody is asked.
    pub name: Option<Arc<str>>,
    permissions: Arc<[Permission]>,
    standing: Option<Arc<Standing>>,
}

/// How credentials stand, for all who came with them.
#[derive(Debug)]
pub struct Standing {
    clock: Clock,
    expires: Option<Timestamp>,
    pace: Option<(Pace, Mutex<Bucket>)>,
    ended: watch::Sender<bool>,
}

impl Principal {
    /// Whoever has these credentials.
    pub(super) fn of(name: &str, account: &Account, clock: &Clock) -> Self {
        Self {
            name: Some(name.into()),
            permissions: account.permissions.clone().into(),
            standing: Some(Arc::new(Standing {
                clock: clock.clone(),
                expires: account.expires,
                pace: account.pace.map(|pace| (pace, Mutex::default())),
                ended: watch::Sender::new(false),
            })),
        }
    }

    /// Whoever it is, where nobody is asked.
    pub(super) fn anybody(clock: &Clock) -> Self {
        Self {
            name: None,
            permissions: [Permission::ALL].into(),
            standing: Some(Arc::new(Standing {
                clock: clock.clone(),
                expires: None,
                pace: None,
                ended: watch::Sender::new(false),
            })),
        }
    }

    /// Whoever has a token that lets events in on one bus, such as a webhook's URL: it opens nothing else.
    pub fn for_publishing(bus: &str) -> Self {
        let permission = Permission {
            scope: Scope::Publish,
            bus: Some(bus.to_owned()),
        };
        let principal = Self {
            name: None,
            permissions: [permission].into(),
            standing: None,
        };
        caller::recognised(&principal);
        principal
    }

    /// Whether this is allowed on that bus (none: on every bus).
    pub fn may(&self, scope: Scope, bus: Option<&str>) -> bool {
        self.permissions.iter().any(|held| held.covers(scope, bus))
    }

    /// The buses on which this is allowed; none: on all.
    pub fn buses(&self, scope: Scope) -> Option<Vec<String>> {
        let held = self.permissions.iter().filter(|held| held.is(scope));
        held.map(|held| held.bus.clone()).collect()
    }

    /// Whether this is allowed on some bus.
    pub fn may_somewhere(&self, scope: Scope) -> bool {
        self.permissions.iter().any(|held| held.is(scope))
    }

    /// Counts a request.
    ///
    /// # Errors
    /// `rate_limited`: there were more than these credentials may make.
    pub fn spend(&self) -> Result<(), Error> {
        let Some((pace, bucket)) = self.standing.as_ref().and_then(|standing| {
            let (pace, bucket) = standing.pace.as_ref()?;
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            Some((*pace, bucket.take(*pace, standing.clock.instant())))
        }) else {
            return Ok(());
        };
        bucket.map_err(|wait| {
            caller::limited();
            let name = self.name.as_deref().unwrap_or_default();
            let text = format!(
                "the credentials of `{name}` may be used {} times, and were used more",
                pace.rate
            );
            Error::new(Kind::Busy { retry_after: wait }, "rate_limited", text)
        })
    }

    /// How the credentials stand, for what stays open.
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.clone()
    }

    /// Ends what was opened with these credentials.
    pub(super) fn end(&self) {
        if let Some(standing) = &self.standing {
            standing.ended.send_replace(true);
        }
    }
}

impl Standing {
    /// Whether the credentials were revoked, or have expired.
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow() || self.expires.is_some_and(|at| self.clock.now() >= at)
    }

    /// Resolves once they were revoked, or have expired.
    pub async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        let revoked = async {
            // The sender is in `self`: the wait cannot fail.
            let _ = ended.wait_for(|ended| *ended).await;
        };
        match self.expires {
            None => revoked.await,
            Some(at) => tokio::select! {
                () = revoked => {}
                () = self.clock.sleep_until(at) => {}
            },
        }
    }
}
