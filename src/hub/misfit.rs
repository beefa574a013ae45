//! Subscriptions whose config a newer generation of their plugin no longer takes.
//!
//! Nobody asked them when the plugin was swapped, so the hub says it: in `/healthz`, and in the subscription itself.
//! Going through all subscriptions at every look would make health dearer with their number, so it is done once for
//! every change of what is loaded; a subscription that is made or changed later has been checked anyway.
//!
//! Invariant: what is told is true now: those found are looked at again before they are told.

use std::sync::{Mutex, PoisonError};

use super::Hub;
use crate::subscription::SubscriptionId;

/// The most that one page of health tells.
const TOLD: usize = 5;

/// Those found at the last change of what is loaded.
#[derive(Default)]
pub(super) struct Misfits(Mutex<Found>);

#[derive(Default)]
struct Found {
    change: Option<u64>,
    ids: Vec<SubscriptionId>,
}

impl Hub {
    /// Subscriptions that a plugin no longer takes, a sentence each.
    pub(super) fn misfits(&self) -> Vec<String> {
        let mut told: Vec<String> = self
            .misfit_ids()
            .iter()
            .filter_map(|id| {
                let why = self.misfit(&self.0.delivery.get(id)?)?;
                Some(format!(
                    "subscription {id}: its plugin no longer takes its config: {why}"
                ))
            })
            .collect();
        if told.len() > TOLD {
            let more = told.len() - TOLD;
            told.truncate(TOLD);
            told.push(format!(
                "and {more} more subscriptions whose plugins no longer take their config"
            ));
        }
        told
    }

    fn misfit_ids(&self) -> Vec<SubscriptionId> {
        let change = *self.0.plugins.changes().borrow();
        {
            let found = self.0.misfits.0.lock().unwrap_or_else(PoisonError::into_inner);
            if found.change == Some(change) {
                return found.ids.clone();
            }
        }
        let all = self.0.delivery.list();
        let ids: Vec<SubscriptionId> = all
            .iter()
            .filter(|subscription| self.misfit(subscription).is_some())
            .map(|subscription| subscription.id.clone())
            .collect();
        let mut found = self.0.misfits.0.lock().unwrap_or_else(PoisonError::into_inner);
        *found = Found {
            change: Some(change),
            ids: ids.clone(),
        };
        ids
    }
}
