//! Events in, and events read back from the log.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::event::Event;
use crate::filter::{Match, Selector};
use crate::hub::Hub;
use crate::log::{Appended, BusName, Offset, ReadLimit, Record};
use crate::metrics::Bus;
use crate::subscription::Start;

/// At most this many records are looked at for one page, however few of them match.
const SCANNED: usize = 20_000;
/// One read of the log.
const READ: ReadLimit = ReadLimit {
    records: 1_000,
    bytes: 4 << 20,
};
/// One page holds about this many bytes of events at most.
const PAGE_BYTES: usize = 16 << 20;

/// A part of the log that matches a selector.
#[derive(Debug, Default)]
pub struct Page {
    /// The records, in order.
    pub records: Vec<Arc<Record>>,
    /// Where to read on.
    pub next: Offset,
    /// Offsets that were asked for but retention has removed.
    pub gap: Option<Range<Offset>>,
}

impl Hub {
    /// Publishes events on a bus in one atomic step; returns when they are on disk.
    ///
    /// # Errors
    /// `bus_reserved`, `batch_too_large`, `event_too_large`, `hub_busy`, `stopping`, `store_unavailable`: nothing of
    /// it is stored.
    pub async fn publish(&self, bus: &BusName, events: Vec<Event>) -> Result<Vec<Appended>, Error> {
        let began = self.0.clock.instant();
        self.refuse_when_stopping()?;
        if *bus == BusName::own() {
            let text = "the bus `busway` is the hub's own: it reports its life there; publish on another bus";
            return Err(Error::invalid("bus_reserved", text));
        }
        self.check_sizes(&events)?;
        let appended = self.0.log.append(bus, events).await?;
        self.count(bus, &appended);
        self.0.metrics.publish_seconds.observe(began.elapsed().as_secs_f64());
        Ok(appended)
    }

    /// Refuses what would be refused anyhow, before its body is read: in a flood, refusals must cost less than events.
    ///
    /// # Errors
    /// `hub_busy`.
    pub fn refuse_when_busy(&self, bus: &BusName) -> Result<(), Error> {
        self.0.log.refuse_when_busy(bus)
    }

    fn check_sizes(&self, events: &[Event]) -> Result<(), Error> {
        let limits = &self.0.limits;
        if events.len() > limits.batch_events {
            let text = format!(
                "the batch has {} events; at most {} may come at once",
                events.len(),
                limits.batch_events
            );
            return Err(Error::new(Kind::TooLarge, "batch_too_large", text));
        }
        let large = events
            .iter()
            .position(|event| event.data().is_some_and(|data| data.bytes.len() > limits.event_bytes));
        match large {
            None => Ok(()),
            Some(index) => {
                let text = format!("event {index} has more data than {} bytes", limits.event_bytes);
                Err(Error::new(Kind::TooLarge, "event_too_large", text))
            }
        }
    }

    fn count(&self, bus: &BusName, appended: &[Appended]) {
        let label = Bus { bus: bus.to_string() };
        let duplicates = appended.iter().filter(|one| one.duplicate).count();
        let stored = appended.len().saturating_sub(duplicates);
        self.0
            .metrics
            .published
            .get_or_create(&label)
            .inc_by(u64::try_from(stored).unwrap_or_default());
        if duplicates > 0 {
            self.0
                .metrics
                .duplicates
                .get_or_create(&label)
                .inc_by(u64::try_from(duplicates).unwrap_or_default());
        }
    }

    /// Reads at most `limit` records that match natively, from `start` on.
    ///
    /// # Errors
    /// `bus_not_found`, `store_unavailable`.
    pub async fn read(&self, bus: &BusName, start: Start, selector: &Selector, limit: usize) -> Result<Page, Error> {
        let mut page = Page {
            next: self.position(bus, start).await?,
            ..Page::default()
        };
        let (mut scanned, mut bytes) = (0, 0);
        while page.records.len() < limit && scanned < SCANNED && bytes < PAGE_BYTES {
            let batch = self.0.log.read(bus, page.next, READ).await?;
            if page.gap.is_none() {
                page.gap = batch.gap;
            }
            if batch.records.is_empty() {
                page.next = batch.next;
                break;
            }
            scanned += batch.records.len();
            let end = batch.next;
            let wanted = batch
                .records
                .into_iter()
                .filter(|record| selector.matches(&record.event) == Match::Yes);
            for record in wanted {
                bytes += record.event.weight();
                page.records.push(record);
                if page.records.len() == limit {
                    break;
                }
            }
            page.next = match page.records.last() {
                Some(last) if page.records.len() == limit => Offset(last.offset.0 + 1),
                _ => end,
            };
        }
        Ok(page)
    }

    /// Every bus that events have been published on, or that is listened to.
    pub fn buses(&self) -> Vec<BusName> {
        self.0.log.buses()
    }

    /// One record.
    ///
    /// # Errors
    /// `event_not_found` (not yet there, or removed by retention), `bus_not_found`, `store_unavailable`.
    pub async fn event(&self, bus: &BusName, offset: Offset) -> Result<Arc<Record>, Error> {
        let batch = self.0.log.read(bus, offset, ReadLimit { records: 1, bytes: 1 }).await?;
        batch
            .records
            .into_iter()
            .find(|record| record.offset == offset)
            .ok_or_else(|| {
                let first = self.0.log.first(bus);
                let why = if offset < first {
                    "retention has removed it, or it never was"
                } else {
                    "there is no event at this offset"
                };
                Error::not_found(
                    "event_not_found",
                    format!(
                        "no event at offset {} of the bus `{bus}`: {why}; the first one there is {}",
                        offset.0, first.0
                    ),
                )
            })
    }

    /// Whether events can be read on this bus: it begins with its first one; `default` is always there.
    pub fn has_bus(&self, bus: &BusName) -> bool {
        *bus == BusName::default_bus() || self.0.log.buses().contains(bus)
    }

    /// The offset that the next event of a bus will get. A bus that is not there yet is made.
    ///
    /// # Errors
    /// `too_many_buses`, `stopping`.
    pub fn end_of(&self, bus: &BusName) -> Result<Offset, Error> {
        Ok(*self.0.log.end(bus)?.borrow())
    }

    /// The offset that a start means now.
    pub(super) async fn position(&self, bus: &BusName, start: Start) -> Result<Offset, Error> {
        match start {
            Start::Earliest => Ok(self.0.log.first(bus)),
            Start::Latest => Ok(*self.0.log.end(bus)?.borrow()),
            // Past the end there is nothing yet: the next event is the one that is meant.
            Start::Offset(offset) => Ok(offset.min(*self.0.log.end(bus)?.borrow())),
            Start::Time(time) => {
                // Makes the bus known, so that it can be searched.
                self.0.log.end(bus)?;
                self.0.log.offset_at(bus, time).await
            }
        }
    }
}
