//! What a lane does when a plugin fails: deliveries that are parked, or spared an attempt; and what keeps its order.
//!
//! `on_error: hold` parks a delivery, and whatever of its key comes later, until another generation of the plugin it
//! blames is loaded. A generation on probation may yet be rolled back: what fails by it waits on the schedule but
//! spends no attempt, so that a bad minute fills no dead letters.
//!
//! Why rows and not a stopped cursor: one poisonous event must not hold up the other keys. They are bounded together
//! with the retries (`MOST_RETRIES`); beyond that the lane reads no further and its events wait in the log.
//! Invariant: a parked delivery blames a plugin that `blames` has: whoever loads it releases it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::retries::Waiting;
use super::{Change, Effect, Item, MOST_RETRIES, Queued, State};
use crate::deliver::{Notice, Parked};
use crate::event::Event;
use crate::log::Offset;
use crate::subscription::{OnError, Ordering, Retry, Sink};
use crate::time::Timestamp;

/// How a plugin failed a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::deliver) struct Fault {
    /// Which.
    pub(in crate::deliver) plugin: Arc<str>,
    /// Which load of it.
    pub(in crate::deliver) generation: u64,
    /// In words.
    pub(in crate::deliver) reason: String,
}

/// How long a delivery waits that a plugin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Until the plugin is loaded anew.
    Loaded,
    /// Until then, or this time.
    Time(Timestamp),
}

/// What a lane blames on one plugin.
#[derive(Debug, Clone)]
pub(super) struct Blame {
    generation: u64,
    reason: String,
    since: Timestamp,
    /// Whether it has been told that deliveries are parked for it.
    told: bool,
}

/// The plugins that a lane's deliveries wait for.
pub(super) type Blames = BTreeMap<Arc<str>, Blame>;

impl State {
    /// What keeps a record in order with others of this lane, if anything does.
    pub(super) fn key_of(&self, event: &Event) -> Option<Arc<str>> {
        let config = &self.subscription.config;
        if config.ordering == Ordering::All {
            // One line for all.
            return Some(Arc::from(""));
        }
        let keyed = config.ordering == Ordering::Key || config.on_error == OnError::Hold;
        let key = || {
            event
                .attribute("partitionkey")
                .or_else(|| event.subject().map(Into::into))
        };
        keyed.then(key).flatten().map(Arc::from)
    }

    /// The rows that were kept, of a lane that begins at `floor`.
    pub(in crate::deliver) fn restore_all(&mut self, rows: Vec<Retry>, floor: Offset) {
        let after = rows.iter().map(|row| row.offset).filter(|offset| *offset >= floor);
        self.restored = after.collect();
        rows.into_iter().for_each(|row| self.restore(row));
    }

    /// A record that is to begin: an item for an attempt, unless it has to wait for another of its key.
    pub(super) fn begin(&mut self, queued: Queued, again: bool) -> Option<Item> {
        let offset = queued.candidate.offset();
        if self.restored.remove(&offset) || self.retries.has(offset) {
            self.window.settle(offset);
            return None;
        }
        let key = self.key_of(queued.candidate.event());
        let queued = match &key {
            None => queued,
            Some(key) if self.retries.last_of(key).is_some() => {
                self.go_behind(&queued, key.clone());
                return None;
            }
            Some(key) if self.is_ordered() && !again => self.keys.begin(key, queued)?,
            Some(_) => queued,
        };
        Some(Item {
            offset,
            queued: Some(queued),
            tries: 0,
            attempts: Vec::new(),
            key,
        })
    }

    /// A first attempt is over: the next record of its key begins.
    pub(super) fn let_next(&mut self, key: Option<&Arc<str>>) {
        if let Some(next) = key.and_then(|key| self.keys.next(key)) {
            self.again.push_back(next);
        }
    }

    /// A delivery gets a row; what waited for it in memory goes behind it, or on if it is not to wait any more.
    pub(super) fn write_down(&mut self, offset: Offset, waiting: Waiting, key: Option<&Arc<str>>) {
        let stays = waiting.key.is_some();
        self.put_row(offset, waiting);
        match key {
            Some(key) if stays => {
                for behind in self.keys.clear(key) {
                    self.go_behind(&behind, key.clone());
                }
            }
            key => self.let_next(key),
        }
    }

    /// A plugin failed this delivery: it waits, and has spent no attempt.
    pub(super) fn set_aside(
        &mut self,
        item: Item,
        (fault, until): (Fault, Until),
        retry: bool,
        now: Timestamp,
    ) -> Option<Effect> {
        let parked = until == Until::Loaded;
        let key = item.key.clone();
        let waiting = Waiting {
            due: match until {
                Until::Loaded => now,
                Until::Time(due) => due,
            },
            key: self.row_key(&item, retry, parked),
            blames: Some(fault.plugin.clone()),
            parked,
            ..Waiting::until(now, item.tries, item.attempts)
        };
        self.write_down(item.offset, waiting, key.as_ref());
        if let Some(key) = key.filter(|_| parked) {
            self.retries.park_line(&key, &fault.plugin);
        }
        self.blame(fault, (item.offset, parked), now)
    }

    /// The key of a delivery's row: what was parked once stays in its line.
    pub(super) fn row_key(&self, item: &Item, retry: bool, parked: bool) -> Option<Arc<str>> {
        item.key.clone().filter(|_| retry || parked || self.is_ordered())
    }

    /// Another load of a plugin, or another version of the subscription, may do better: what waits for it is due.
    /// `generation` says which load serves now.
    pub(super) fn release(&mut self, generation: impl Fn(&str) -> u64, now: Timestamp) -> Vec<Effect> {
        let loaded = |plugin: &str, blame: &Blame| ![0, blame.generation].contains(&generation(plugin));
        let freed: Blames = self
            .blames
            .extract_if(.., |plugin, blame| loaded(plugin, blame))
            .collect();
        let mut effects = Vec::new();
        for (plugin, blame) in freed {
            let deliveries = self.retries.release(&plugin, now);
            if blame.told {
                effects.push(Effect::Tell(Notice::Released {
                    subscription: self.subscription.id.clone(),
                    plugin: plugin.to_string(),
                    deliveries,
                }));
            }
        }
        effects
    }

    /// A notifier that is loaded anew is another sink: what the old one's failures said of it no longer counts.
    pub(super) fn renew_sink(&mut self, generation: impl Fn(&str) -> u64) -> Option<Effect> {
        let Sink::Notifier { plugin, .. } = &self.subscription.sink else {
            return None;
        };
        let now = generation(plugin);
        let before = std::mem::replace(&mut self.notifier, now);
        if now == 0 || now == before {
            return None;
        }
        self.close_breaker()
    }

    /// The load of its notifier that serves as the lane begins.
    pub(in crate::deliver) fn see_notifier(&mut self, generation: u64) {
        self.notifier = generation;
    }

    /// What is parked, for whom and why.
    pub(super) fn parked(&self) -> Vec<Parked> {
        let told = self.blames.iter().filter(|(_, blame)| blame.told);
        told.map(|(plugin, blame)| Parked {
            plugin: plugin.to_string(),
            generation: blame.generation,
            reason: blame.reason.clone(),
            since: blame.since.to_string(),
            deliveries: self.retries.parked_for(plugin),
        })
        .collect()
    }

    /// In a sentence.
    pub(super) fn why_parked(&self) -> String {
        let full = match self.retries.len() >= MOST_RETRIES {
            true => format!("; {MOST_RETRIES} wait, so events beyond wait in the log"),
            false => String::new(),
        };
        let one = |parked: Parked| {
            let Parked {
                plugin,
                generation,
                reason,
                deliveries,
                ..
            } = parked;
            format!("{deliveries} until another generation of plugin {plugin} than {generation} is loaded ({reason})")
        };
        let all: Vec<String> = self.parked().into_iter().map(one).collect();
        format!("deliveries are parked: {}{full}", all.join(", "))
    }

    fn is_ordered(&self) -> bool {
        self.subscription.config.ordering != Ordering::None
    }

    /// A record whose key has a row goes behind that, and waits for what it waits for.
    fn go_behind(&mut self, queued: &Queued, key: Arc<str>) {
        let Some(last) = self.retries.last_of(&key) else { return };
        let waiting = Waiting {
            blames: last.blames.clone(),
            parked: last.parked,
            key: Some(key),
            ..Waiting::until(last.due, 0, Vec::new())
        };
        self.put_row(queued.candidate.offset(), waiting);
    }

    /// In one change with leaving the window.
    fn put_row(&mut self, offset: Offset, waiting: Waiting) {
        let row = Retry {
            subscription: self.subscription.id.clone(),
            offset,
            due: waiting.due,
            attempts: waiting.attempts.clone(),
            tries: waiting.tries,
            key: waiting.key.clone(),
        };
        self.window.settle(offset);
        self.retries.insert(offset, waiting);
        self.unsaved.insert(offset, Change::Retry(row));
    }

    fn blame(&mut self, fault: Fault, (offset, parked): (Offset, bool), now: Timestamp) -> Option<Effect> {
        let Fault {
            plugin,
            generation,
            reason,
        } = fault;
        let known = self.blames.get(&plugin);
        let since = known.filter(|known| known.told).map_or(now, |known| known.since);
        let told = known.is_some_and(|known| known.told);
        let blame = Blame {
            generation: known.map_or(generation, |known| known.generation.max(generation)),
            reason: reason.clone(),
            since,
            told: told || parked,
        };
        self.blames.insert(plugin.clone(), blame);
        (parked && !told).then(|| {
            Effect::Tell(Notice::Parked {
                subscription: self.subscription.id.clone(),
                plugin: plugin.to_string(),
                generation,
                offset,
                reason,
            })
        })
    }
}
