//! What a stream is handed and has not taken yet: few items, few bytes, and nothing at all once it is too slow.
//!
//! Why not a channel: what lies in a channel stays until its reader takes it, so a thousand readers that stand still
//! hold a thousand channels full of events. A tray that is full is cleared: what was on it is in the log, and its
//! reader goes on from there.
//! Invariant: a tray holds at most [`ITEMS`] items and about [`BYTES`]; a lost one holds none.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::stream::Item;
use crate::log::Offset;

/// Items, at most.
const ITEMS: usize = 64;
/// Bytes of events; one that is larger lies alone.
const BYTES: usize = 256 << 10;

/// A tray between the task that hands out and one stream.
#[derive(Default)]
pub(super) struct Tray {
    content: Mutex<Content>,
    come: Notify,
}

#[derive(Default)]
struct Content {
    items: VecDeque<Item>,
    bytes: usize,
    /// The seat is lost: nothing more comes, and what its reader has not taken lies at or after this offset.
    lost_at: Option<Offset>,
}

/// What a look at a tray finds.
pub(super) enum Taken {
    /// The next item.
    Item(Item),
    /// Nothing yet.
    Nothing,
    /// The seat is lost; the log has everything from here on.
    Lost(Offset),
}

impl Tray {
    /// Puts an item on it. If there is no room it is cleared, and the seat is lost.
    pub(super) fn put(&self, item: Item) -> bool {
        let mut content = self.lock();
        let weight = weight(&item);
        let full =
            content.items.len() >= ITEMS || (!content.items.is_empty() && content.bytes.saturating_add(weight) > BYTES);
        if full {
            let first = content.items.front().map_or_else(|| begin(&item), begin);
            content.lose(first);
        } else {
            content.bytes += weight;
            content.items.push_back(item);
        }
        drop(content);
        self.come.notify_one();
        !full
    }

    /// The seat is lost, and nothing from `at` on was put on the tray.
    pub(super) fn lose(&self, at: Offset) {
        let mut content = self.lock();
        let first = content.items.front().map_or(at, begin);
        content.lose(first);
        drop(content);
        self.come.notify_one();
    }

    /// Takes what is there.
    pub(super) fn take(&self) -> Taken {
        let mut content = self.lock();
        let Some(item) = content.items.pop_front() else {
            return content.lost_at.map_or(Taken::Nothing, Taken::Lost);
        };
        content.bytes = content.bytes.saturating_sub(weight(&item));
        if content.items.is_empty() {
            // A burst's room goes back: ten thousand idle streams hold none.
            content.items.shrink_to(4);
        }
        Taken::Item(item)
    }

    /// Waits for something to be there. Dropping the future loses nothing.
    pub(super) async fn come(&self) {
        self.come.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn lose(&mut self, first: Offset) {
        self.items = VecDeque::new();
        self.bytes = 0;
        self.lost_at = self.lost_at.or(Some(first));
    }
}

fn begin(item: &Item) -> Offset {
    match item {
        Item::Record(record) => record.offset,
        Item::Gap(gap) => gap.start,
    }
}

fn weight(item: &Item) -> usize {
    match item {
        Item::Record(record) => record.event.weight(),
        Item::Gap(_) => 0,
    }
}
