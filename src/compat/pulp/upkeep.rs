//! Keeps the subscriptions in line with the listeners.
//!
//! A listener is accepted as Pulp accepts it, whether it can ever be notified or not. Where no subscription can stand for
//! it (no URL, mail switched off, a plugin that is not there), that is logged and told in the answer; once the plugin is
//! loaded, the subscription is made, from the moment on that the listener was.
//! Invariant: the listener is written first; [`mend`] does what a crash kept from being done.
//! Invariant: what stands as it should is left alone, so that its owner may pause it or give it another schedule.

use serde_json::json;
use tokio::sync::watch;
use tracing::{info, warn};

use super::listener::{Listener, known_form};
use super::sink::{self, Wanted, subscription_id};
use crate::compat::Door;
use crate::digest::short_sha256;
use crate::error::{Error, Kind};
use crate::log::BusName;

/// What listeners are kept as.
const KIND: &str = "pulp.listener";

/// Every listener, in the order in which they were made.
pub(super) fn listeners(door: &Door) -> Vec<Listener> {
    let all = door.hub.documents(KIND);
    all.iter()
        .filter_map(|(id, document)| Listener::from_document(id, document))
        .collect()
}

/// One listener.
pub(super) fn listener(door: &Door, id: &str) -> Option<Listener> {
    let id = known_form(id)?;
    let document = door.hub.document(KIND, &id)?;
    Listener::from_document(&id, &document)
}

/// Keeps a listener that is new, or changed from `old`; what of it the hub does not do, if there is anything.
///
/// # Errors
/// The store does not take it, or the hub has no room for its subscription: all is as it was.
pub(super) async fn keep(door: &Door, listener: Listener, old: Option<Listener>) -> Result<Option<String>, Error> {
    let id = listener.id.clone();
    door.hub.put_document(KIND, &id, listener.to_document()).await?;
    let aligned = align(door, listener, Begin::Now).await;
    if aligned.is_err() {
        // If this fails too, a caller who was told of a failure finds that it was done: better than the other way round.
        let undone = match old {
            Some(old) => door.hub.put_document(KIND, &id, old.to_document()).await,
            None => door.hub.remove_document(KIND, &id).await.map(drop),
        };
        undone.unwrap_or_else(|error| warn!(listener = id, reason = ?error, "a change that failed was not undone"));
    }
    aligned
}

/// Forgets a listener, and what stands for it.
///
/// # Errors
/// The store does not take it.
pub(super) async fn forget(door: &Door, id: &str) -> Result<(), Error> {
    door.hub.remove_document(KIND, id).await?;
    withdraw(door, id).await
}

/// Does what was left undone: by a crash, by settings that have changed since, or for want of a plugin.
///
/// # Errors
/// The store does not take it.
pub(super) async fn mend(door: &Door) -> Result<(), Error> {
    let kept = listeners(door);
    for listener in &kept {
        let wanted = sink::wanted(listener, &door.settings.pulp).ok();
        let as_wanted = wanted.is_some_and(|wanted| listener.stands == Some(fingerprint(&wanted)));
        if !as_wanted || !is_there(door, &listener.id) {
            align(door, listener.clone(), Begin::since(listener)).await?;
        }
    }
    let own = door.hub.subscriptions(Some(&BusName::default_bus()), None, usize::MAX);
    for subscription in own {
        let id = subscription.id.as_str().strip_prefix("pulp-").and_then(known_form);
        if let Some(id) = id.filter(|id| !kept.iter().any(|listener| listener.id == *id)) {
            info!(listener = id, "a listener is gone, and now its subscription too");
            withdraw(door, &id).await?;
        }
    }
    Ok(())
}

/// Tries again for listeners that wait, whenever other plugins are loaded.
pub(super) async fn follow(door: Door, mut changes: watch::Receiver<u64>) {
    loop {
        tokio::select! {
            () = door.tasks.stopping() => return,
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
        let _changing = door.changing.lock().await;
        for waiting in listeners(&door)
            .into_iter()
            .filter(|listener| listener.stands.is_none())
        {
            let id = waiting.id.clone();
            if let Err(error) = align(&door, waiting, Begin::Waiting).await {
                warn!(listener = id, reason = ?error, "a listener that waits for its plugin could not be brought in line");
            }
        }
    }
}

/// Where a subscription that is made begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// With the next event.
    Now,
    /// With the first event after the listener was made or changed.
    Waiting,
}

impl Begin {
    /// Who has had a subscription and has none any more, had it taken away: what came meanwhile is not wanted.
    fn since(listener: &Listener) -> Self {
        match listener.stands {
            Some(_) => Self::Now,
            None => Self::Waiting,
        }
    }
}

/// Makes the subscription be what the listener wants; why that is not so, or not all so.
async fn align(door: &Door, mut listener: Listener, begin: Begin) -> Result<Option<String>, Error> {
    let mut wanted = match sink::wanted(&listener, &door.settings.pulp) {
        Ok(wanted) => wanted,
        Err(why) => {
            withdraw(door, &listener.id).await?;
            return Ok(Some(told(&listener, why)));
        }
    };
    let stands = fingerprint(&wanted);
    if begin == Begin::Waiting
        && let Some(subscription) = wanted.subscription.as_object_mut()
        && let Some(config) = subscription
            .entry("config")
            .or_insert_with(|| json!({}))
            .as_object_mut()
    {
        config.insert("start".to_owned(), json!(listener.since.to_string()));
    }
    let id = subscription_id(&listener.id);
    let made = door
        .hub
        .replace(Some(&BusName::default_bus()), &id, &wanted.subscription)
        .await;
    match made {
        Ok(_) => {
            listener.stands = Some(stands);
            door.hub
                .put_document(KIND, &listener.id, listener.to_document())
                .await?;
            Ok(wanted.lacks.map(|lacks| told(&listener, lacks.to_owned())))
        }
        // What stands for it already goes on waiting for the plugin, with its events.
        Err(error) if error.code() == "plugin_not_loaded" => {
            if listener.stands.take().is_some() {
                door.hub
                    .put_document(KIND, &listener.id, listener.to_document())
                    .await?;
            }
            Ok(Some(told(&listener, error.message().to_owned())))
        }
        Err(error) if error.kind() == Kind::Invalid => {
            withdraw(door, &listener.id).await?;
            Ok(Some(told(&listener, error.message().to_owned())))
        }
        Err(error) => Err(error),
    }
}

/// Tells the operator; the words are for the answer too.
fn told(listener: &Listener, why: String) -> String {
    let notifier = listener.notifier.word();
    warn!(
        listener = listener.id,
        notifier,
        reason = why,
        "a listener of Pulp's is kept, but not all of it is done"
    );
    why
}

async fn withdraw(door: &Door, id: &str) -> Result<(), Error> {
    if !is_there(door, id) {
        return Ok(());
    }
    door.hub
        .remove(Some(&BusName::default_bus()), &subscription_id(id))
        .await
}

fn is_there(door: &Door, id: &str) -> bool {
    let found = door
        .hub
        .subscription(Some(&BusName::default_bus()), &subscription_id(id));
    found.is_ok()
}

fn fingerprint(wanted: &Wanted) -> String {
    short_sha256(wanted.subscription.to_string(), 16)
}
