//! A reader that follows the log: what is there from a position on, then what comes.
//!
//! Why a position and not a queue alone: a slow reader costs a number. It reads the log by itself, at most one read of
//! it in memory, until it has come to the end; then it takes a seat (`fan`) and is handed what it wants. When it does
//! not take that, it is back at its position; and when it falls behind retention it is told what it missed.
//! Invariant: records come in order, each once; nothing is left out without an [`Item::Gap`].

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::fan::{Place, Seat};
use super::tray::Taken;
use crate::access::{Standing, caller};
use crate::error::{Error, Kind};
use crate::filter::{Filter, Match, Selector};
use crate::hub::Hub;
use crate::log::{BusName, Offset, ReadLimit, Record};
use crate::subscription::Start;
use crate::tasks::Owned;

/// Read ahead of the reader, at most: what a reader that stands still holds.
const AHEAD: ReadLimit = ReadLimit {
    records: 64,
    bytes: 64 << 10,
};

/// A front door's own test of what a stream carries. It is asked in the order of the log, for many streams in a row:
/// what it needs of a record should be made once for all ([`Record::once`]).
pub type Only = Arc<dyn Fn(&Record) -> bool + Send + Sync>;

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
#[derive(Debug, Clone)]
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
    selector: Arc<Selector>,
    only: Option<Only>,
    end: watch::Receiver<Offset>,
    /// Everything before this was brought, or is in `read`.
    next: Offset,
    read: VecDeque<Item>,
    /// Taken at the end of the log; what lies between `next` and its beginning is read first.
    seat: Option<Seat>,
    /// How the credentials stand that it was opened with.
    reader: Option<Arc<Standing>>,
    /// The stop of the hub waits for it.
    _owned: Owned,
    /// One of those that may be open.
    _place: OwnedSemaphorePermit,
}

impl Hub {
    /// Opens a stream. A bus that is not there yet is made.
    ///
    /// # Errors
    /// `stream_filter_unsupported` for a plugin filter; `too_many_streams`, `too_many_buses`, `stopping`.
    pub async fn stream(&self, wish: Wish) -> Result<EventStream, Error> {
        self.refuse_when_stopping()?;
        if let Some(plugin) = wish.selector.filters.iter().flat_map(Filter::plugins).next() {
            let text = format!(
                "`filter` names the plugin `{}`; streams take native filters only: make a subscription for it",
                plugin.name
            );
            return Err(Error::invalid("stream_filter_unsupported", text));
        }
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        let place = place.map_err(|_| self.too_many_streams())?;
        let end = self.0.log.end(&wish.bus)?;
        let next = self.position(&wish.bus, wish.start).await?;
        self.0.metrics.streams.inc();
        Ok(EventStream {
            hub: self.clone(),
            bus: wish.bus,
            selector: Arc::new(wish.selector),
            only: None,
            end,
            next,
            read: VecDeque::new(),
            seat: None,
            reader: caller::current().standing,
            _owned: self.0.owners.streams.owned(),
            _place: place,
        })
    }

    fn too_many_streams(&self) -> Error {
        let most = self.0.limits.streams;
        let text = format!("{most} streams are open, which is all that `limits.streams` allows; try again later");
        let retry_after = Duration::from_secs(5);
        Error::new(Kind::Busy { retry_after }, "too_many_streams", text)
    }
}

impl EventStream {
    /// Narrows the stream further, by a test of the caller's own.
    #[must_use]
    pub fn only(mut self, test: Only) -> Self {
        self.only = Some(test);
        self
    }

    /// The next item; `None` once the hub stops, or the credentials end ([`EventStream::farewell`]). Dropping the
    /// future loses nothing.
    ///
    /// # Errors
    /// `store_unavailable` when the log cannot be read.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        loop {
            if self.hub.is_stopping() || self.has_lost_its_reader() {
                return None;
            }
            if let Some(item) = self.ready() {
                return Some(Ok(item));
            }
            let reader = self.reader.clone();
            let more = match reader {
                None => self.more().await,
                Some(reader) => tokio::select! {
                    biased;
                    more = self.more() => more,
                    () = reader.ended() => continue,
                },
            };
            if let Err(error) = more {
                return Some(Err(error));
            }
        }
    }

    /// The next item if it is there: who has one to send sends those at hand along with it.
    pub fn ready(&mut self) -> Option<Item> {
        loop {
            let handed = match &self.seat {
                Some(seat) if self.read.is_empty() && seat.from <= self.next => match seat.take() {
                    Taken::Item(item) => Some(item),
                    Taken::Nothing => None,
                    Taken::Lost(at) => {
                        self.next = self.next.max(at);
                        self.seat = None;
                        None
                    }
                },
                _ => None,
            };
            let item = match handed {
                // A seat may begin before the place that this stream had come to.
                Some(item) if !self.pass(&item) => continue,
                Some(item) => item,
                None => self.read.pop_front()?,
            };
            if matches!(item, Item::Record(_)) {
                self.hub.0.metrics.streamed.inc();
            }
            return Some(item);
        }
    }

    /// Why it ended, in words for its reader.
    pub fn farewell(&self) -> &'static str {
        match self.has_lost_its_reader() {
            true => "the credentials were revoked, have expired, or are needed by now",
            false => "the hub is shutting down",
        }
    }

    fn has_lost_its_reader(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.has_ended())
    }

    /// Moves on past an item; whether it lay ahead.
    fn pass(&mut self, item: &Item) -> bool {
        let to = match item {
            Item::Record(record) => Offset(record.offset.0.saturating_add(1)),
            Item::Gap(gap) => gap.end,
        };
        let ahead = to > self.next;
        self.next = self.next.max(to);
        ahead
    }

    /// Reads on, takes a seat, or waits for what comes.
    async fn more(&mut self) -> Result<(), Error> {
        match &self.seat {
            Some(seat) if seat.from <= self.next => seat.come().await,
            None if self.next >= *self.end.borrow() => {
                let place = Place {
                    log: &self.hub.0.log,
                    bus: &self.bus,
                    tasks: &self.hub.0.owners.streams,
                };
                let fans = &self.hub.0.fans;
                self.seat = Some(fans.seat(place, Arc::clone(&self.selector), self.only.clone())?);
            }
            _ => self.read_on().await?,
        }
        Ok(())
    }

    async fn read_on(&mut self) -> Result<(), Error> {
        let batch = self.hub.0.log.read(&self.bus, self.next, AHEAD).await?;
        self.read.extend(batch.gap.map(Item::Gap));
        let wanted = batch.records.into_iter().filter(|record| {
            let passes = self.selector.matches(&record.event) == Match::Yes;
            passes && self.only.as_ref().is_none_or(|only| only(record))
        });
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

#[cfg(test)]
mod tests;
