//! A reader that follows the log: what is there from a position on, then what comes.
//!
//! Why a position and not a queue: a slow reader costs a number. It holds at most one read of the log in memory, and
//! when it falls behind retention it is told what it missed.
//! Invariant: records come in order, each once; nothing is left out without an [`Item::Gap`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::watch;

use crate::error::Error;
use crate::filter::{Filter, Match, Selector};
use crate::hub::Hub;
use crate::log::{BusName, Offset, ReadLimit, Record};
use crate::subscription::Start;

/// Read ahead of the reader, at most.
const AHEAD: ReadLimit = ReadLimit {
    records: 256,
    bytes: 1 << 20,
};

/// What a stream is to carry.
#[derive(Debug)]
pub struct Wish {
    /// Of which bus.
    pub bus: BusName,
    /// From where on.
    pub start: Start,
    /// Which events.
    pub selector: Selector,
}

/// What a stream brings.
#[derive(Debug)]
pub enum Item {
    /// An event.
    Record(Arc<Record>),
    /// Retention had removed these offsets before this stream came to them.
    Gap(Range<Offset>),
}

/// An open stream.
pub struct EventStream {
    hub: Hub,
    bus: BusName,
    selector: Selector,
    end: watch::Receiver<Offset>,
    next: Offset,
    read: VecDeque<Item>,
}

impl Hub {
    /// Opens a stream. A bus that is not there yet is made.
    ///
    /// # Errors
    /// `stream_filter_unsupported` for a plugin filter; `too_many_buses`, `stopping`.
    pub async fn stream(&self, wish: Wish) -> Result<EventStream, Error> {
        self.refuse_when_stopping()?;
        if let Some(plugin) = wish.selector.filters.iter().flat_map(Filter::plugins).next() {
            let text = format!(
                "`filter` names the plugin `{}`; streams take native filters only: make a subscription for it",
                plugin.name
            );
            return Err(Error::invalid("stream_filter_unsupported", text));
        }
        let end = self.0.log.end(&wish.bus)?;
        let next = self.position(&wish.bus, wish.start).await?;
        self.0.metrics.streams.inc();
        Ok(EventStream {
            hub: self.clone(),
            bus: wish.bus,
            selector: wish.selector,
            end,
            next,
            read: VecDeque::new(),
        })
    }
}

impl EventStream {
    /// The next item; `None` once the hub stops. Dropping the future loses nothing.
    ///
    /// # Errors
    /// `store_unavailable` when the log cannot be read.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        loop {
            if self.hub.is_stopping() {
                return None;
            }
            if let Some(item) = self.read.pop_front() {
                if matches!(item, Item::Record(_)) {
                    self.hub.0.metrics.streamed.inc();
                }
                return Some(Ok(item));
            }
            let end = *self.end.borrow_and_update();
            if self.next < end {
                if let Err(error) = self.read_on().await {
                    return Some(Err(error));
                }
                continue;
            }
            tokio::select! {
                () = self.hub.stopping() => return None,
                changed = self.end.changed() => changed.ok()?,
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), Error> {
        let batch = self.hub.0.log.read(&self.bus, self.next, AHEAD).await?;
        self.read.extend(batch.gap.map(Item::Gap));
        let wanted = batch
            .records
            .into_iter()
            .filter(|record| self.selector.matches(&record.event) == Match::Yes);
        self.read.extend(wanted.map(Item::Record));
        self.next = self.next.max(batch.next);
        if self.read.is_empty() {
            // A long stretch without a match must not keep the thread from others.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.hub.0.metrics.streams.dec();
    }
}
