//! Who got what, by counting: every arrival at every subscriber, as the subscribers themselves saw it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// A subscriber of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// The HTTP callback that is killed and started again.
    Callback,
    /// The reader of the SSE stream.
    Stream,
    /// The chat room, behind the notifier plugin.
    Chat,
    /// The callback behind the threshold plugin.
    Threshold,
    /// The callback behind the plugin that is swapped.
    Judged,
}

impl Who {
    /// All of them, as they stand in the feed.
    pub(super) const ALL: [Self; 5] = [Self::Callback, Self::Stream, Self::Chat, Self::Threshold, Self::Judged];

    /// A name for the feed and the ledger.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::Stream => "stream",
            Self::Chat => "chat",
            Self::Threshold => "threshold",
            Self::Judged => "judge",
        }
    }
}

/// What one subscriber has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Arrivals of each event id; more than one is a repeat, which at-least-once allows.
    pub(super) arrivals: BTreeMap<String, u32>,
    /// Which version of the judge stamped it: bit 1, bit 2.
    pub(super) stamps: BTreeMap<String, u8>,
}

impl Seen {
    /// Events that arrived more than once.
    pub(super) fn repeats(&self) -> usize {
        self.arrivals.values().map(|count| *count as usize - 1).sum()
    }

    /// Events stamped by exactly this set of versions.
    pub(super) fn stamped(&self, versions: u8) -> usize {
        self.stamps.values().filter(|stamps| **stamps == versions).count()
    }
}

/// The board that every subscriber writes to. Cheap to clone.
#[derive(Clone)]
pub(super) struct Board {
    seen: Arc<Mutex<BTreeMap<Who, Seen>>>,
    changes: watch::Sender<u64>,
}

impl Board {
    pub(super) fn new() -> Self {
        Self {
            seen: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// An event arrived. `stamp` is the version of the judge that let it pass, if that is known.
    pub(super) fn arrived(&self, who: Who, id: &str, stamp: Option<u8>) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(who).or_default();
        *seen.arrivals.entry(id.to_owned()).or_default() += 1;
        if let Some(version) = stamp {
            *seen.stamps.entry(id.to_owned()).or_default() |= version;
        }
        drop(all);
        self.changes.send_modify(|count| *count += 1);
    }

    /// What this subscriber has seen until now.
    pub(super) fn seen(&self, who: Who) -> Seen {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&who)
            .cloned()
            .unwrap_or_default()
    }

    /// How many different events have arrived there.
    pub(super) fn count(&self, who: Who) -> usize {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&who)
            .map_or(0, |seen| seen.arrivals.len())
    }

    /// Who has seen this event.
    pub(super) fn who_saw(&self, id: &str) -> Vec<Who> {
        let all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|(_, seen)| seen.arrivals.contains_key(id))
            .map(|(who, _)| *who)
            .collect()
    }

    /// Counts up at every arrival.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_stamps_are_counted_by_event() {
        let board = Board::new();
        for (id, stamp) in [
            ("a", Some(1)),
            ("a", Some(1)),
            ("b", Some(2)),
            ("c", Some(1)),
            ("c", Some(2)),
            ("d", None),
        ] {
            board.arrived(Who::Judged, id, stamp);
        }
        let seen = board.seen(Who::Judged);
        assert_eq!((board.count(Who::Judged), seen.repeats()), (4, 2));
        assert_eq!((seen.stamped(1), seen.stamped(2), seen.stamped(3)), (1, 1, 1));
        assert_eq!(board.who_saw("a"), [Who::Judged]);
        assert_eq!(board.count(Who::Chat), 0);
    }
}
