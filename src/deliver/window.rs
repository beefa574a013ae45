//! How far a subscription has come: the arithmetic of its cursor. Pure.
//!
//! A window knows which records were taken and are not settled yet, and where the next ones come from. Its feed is
//! either the dispatcher (`Live`) or the log itself (`Behind`), and the hand-over between the two rests on one rule
//! of the dispatcher: it publishes the position after a batch *before* it offers the batch's first record. So under
//! the lane's lock, `next == published` means that every record from `next` on will still be offered, and records
//! before `next` that are yet to be offered are refused because they lie before `since`.
//!
//! Invariant: [`Window::floor`] never passes a record that was taken and is not settled.
//! Invariant: a row of `None` means that everything before the bus floor is settled, and nothing less.

use std::collections::BTreeSet;

use crate::log::Offset;

/// Where records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// The dispatcher offers them.
    Live {
        /// Records before this one are not ours to take.
        since: Offset,
        /// Everything before this one has been offered, or lies before `since`.
        seen: Offset,
    },
    /// The lane reads the log.
    Behind {
        /// From here.
        next: Offset,
    },
}

/// The cursor of one subscription.
#[derive(Debug)]
pub(super) struct Window {
    feed: Feed,
    /// Taken, and neither delivered, filtered, nor written down as a retry or a dead letter.
    outstanding: BTreeSet<Offset>,
}

impl Window {
    /// Begins by reading the log from `next` on.
    pub(super) fn behind(next: Offset) -> Self {
        Self {
            feed: Feed::Behind { next },
            outstanding: BTreeSet::new(),
        }
    }

    /// Begins with what the dispatcher, which stands at `since`, will offer.
    pub(super) fn live(since: Offset) -> Self {
        Self {
            feed: Feed::Live { since, seen: since },
            outstanding: BTreeSet::new(),
        }
    }

    /// Where records come from.
    pub(super) fn feed(&self) -> Feed {
        self.feed
    }

    /// Whether the dispatcher feeds it.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.feed, Feed::Live { .. })
    }

    /// Whether the dispatcher's record is ours to take now. What is refused comes from the log, or is not wanted.
    pub(super) fn admits(&self, offset: Offset) -> bool {
        matches!(self.feed, Feed::Live { since, seen } if offset >= since && offset >= seen)
    }

    /// Takes a record that the dispatcher offered and [`Window::admits`].
    pub(super) fn take(&mut self, offset: Offset) {
        if let Feed::Live { seen, .. } = &mut self.feed {
            *seen = after(offset);
        }
        self.outstanding.insert(offset);
    }

    /// Takes what was read from the log up to `upto`: the records that are wanted.
    pub(super) fn take_read(&mut self, wanted: impl IntoIterator<Item = Offset>, upto: Offset) {
        if let Feed::Behind { next } = &mut self.feed {
            self.outstanding.extend(wanted);
            *next = upto;
        }
    }

    /// A record is settled: it no longer holds the cursor.
    pub(super) fn settle(&mut self, offset: Offset) {
        self.outstanding.remove(&offset);
    }

    /// Gives records from `next` on back to the log: they will be read again.
    pub(super) fn fall_behind(&mut self, next: Offset) {
        self.outstanding.split_off(&next);
        self.feed = Feed::Behind { next };
    }

    /// Gives back to the log whatever the dispatcher has not offered yet; it has offered everything before
    /// `dispatched`.
    pub(super) fn detach(&mut self, dispatched: Offset) {
        if let Feed::Live { seen, .. } = self.feed {
            self.feed = Feed::Behind {
                next: seen.max(dispatched),
            };
        }
    }

    /// Hands over to the dispatcher if everything up to its position has been read. Only under the lane's lock.
    pub(super) fn catch_up(&mut self, published: Offset) -> bool {
        match self.feed {
            Feed::Live { .. } => true,
            Feed::Behind { next } if next >= published => {
                self.feed = Feed::Live {
                    since: next,
                    seen: next,
                };
                true
            }
            Feed::Behind { .. } => false,
        }
    }

    /// Everything before this is settled, given that the dispatcher has offered everything before `dispatched`.
    pub(super) fn floor(&self, dispatched: Offset) -> Offset {
        let fed = match self.feed {
            Feed::Live { seen, .. } => seen.max(dispatched),
            Feed::Behind { next } => next,
        };
        self.outstanding.first().map_or(fed, |first| fed.min(*first))
    }

    /// The row that has to stand beside a bus floor of `dispatched`, if one has to.
    pub(super) fn row(&self, dispatched: Offset) -> Option<Offset> {
        let first = self.outstanding.first().copied();
        let bound = match self.feed {
            Feed::Behind { next } => Some(next),
            // It began ahead of the bus floor: without a row it would begin again at the floor, before its start.
            Feed::Live { since, .. } if since > dispatched => Some(since),
            Feed::Live { .. } => None,
        };
        match (first, bound) {
            (Some(first), Some(bound)) => Some(first.min(bound)),
            (Some(first), None) if first < dispatched => Some(first),
            (Some(_) | None, bound) => bound,
        }
    }

    /// Whether this record is taken and not settled.
    pub(super) fn is_outstanding(&self, offset: Offset) -> bool {
        self.outstanding.contains(&offset)
    }

    /// How many records are taken and not settled.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }
}

/// The offset after this one.
pub(super) fn after(offset: Offset) -> Offset {
    Offset(offset.0.saturating_add(1))
}

#[cfg(test)]
mod tests;
