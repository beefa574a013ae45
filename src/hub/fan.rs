//! Hands each new record of a bus to the streams that want it.
//!
//! Why so: two thousand streams that each wake for every event, read the log and filter for themselves spend a core on
//! finding that there is nothing for them. Here one task a bus follows the log, asks the index who wants a record, and
//! wakes nobody else. Rejected: a broadcast channel, which wakes everybody.
//!
//! A stream that does not take what it is handed loses its seat and all that lay on its `tray`, is told where, and reads
//! on from the log by itself until it has caught up and takes a seat again: it never holds others, and costs a position.
//! Invariant: a seat is handed everything it wants from its `from` on, in order, each once, until it is lost.
//! Invariant: the task runs while there are seats, and every seat is lost when it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::warn;

use super::stream::{Item, Only};
use super::tray::{Taken, Tray};
use crate::error::Error;
use crate::filter::{Index, Match, Selector};
use crate::log::{Batch, BusName, EventLog, Offset, ReadLimit, Record};
use crate::tasks::Tasks;

/// Handed out in one go; then the readers have their turn.
const PORTION: ReadLimit = ReadLimit {
    records: 32,
    bytes: 1 << 20,
};

/// The fans of all buses that streams follow.
#[derive(Default)]
pub(super) struct Fans(Mutex<HashMap<BusName, Arc<Fan>>>);

impl Fans {
    /// A seat at this bus, for a stream that has come to the end of the log.
    ///
    /// # Errors
    /// As [`EventLog::end`].
    pub(super) fn seat(&self, wish: Place<'_>, selector: Arc<Selector>, only: Option<Only>) -> Result<Seat, Error> {
        let end = wish.log.end(wish.bus)?;
        let mut fans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fan = Arc::clone(fans.entry(wish.bus.clone()).or_default());
        drop(fans);
        let tray = Arc::<Tray>::default();
        let mut row = fan.row();
        if !row.going {
            row.going = true;
            row.at = *end.borrow();
            let following = follow(Arc::clone(&fan), wish, end);
            wish.tasks.spawn(following);
        }
        row.last += 1;
        let (number, from) = (row.last, row.at);
        row.index.insert(number, selector);
        row.seats.insert(
            number,
            Held {
                tray: Arc::clone(&tray),
                only,
            },
        );
        drop(row);
        Ok(Seat {
            from,
            number,
            tray,
            fan,
        })
    }
}

/// Where a seat is wanted.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) log: &'a EventLog,
    pub(super) bus: &'a BusName,
    /// Who owns the task that hands out.
    pub(super) tasks: &'a Tasks,
}

/// A stream's place among those that are handed new records. Dropping it gives it up.
pub(super) struct Seat {
    /// Everything wanted from here on is handed out.
    pub(super) from: Offset,
    number: u64,
    tray: Arc<Tray>,
    fan: Arc<Fan>,
}

impl Seat {
    /// What is there.
    pub(super) fn take(&self) -> Taken {
        self.tray.take()
    }

    /// Waits for something to be there, or for the seat to be lost.
    pub(super) async fn come(&self) {
        self.tray.come().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.fan.row().remove(self.number);
    }
}

/// The seats of one bus.
#[derive(Default)]
struct Fan(Mutex<Row>);

#[derive(Default)]
struct Row {
    /// Handed out up to here.
    at: Offset,
    index: Index<u64>,
    seats: HashMap<u64, Held>,
    /// The number of the last seat.
    last: u64,
    /// Whether the task runs.
    going: bool,
}

/// The fan's end of a seat.
struct Held {
    tray: Arc<Tray>,
    only: Option<Only>,
}

/// Hands out until nobody is there to take it, the hub stops, or the log cannot be read.
fn follow(fan: Arc<Fan>, place: Place<'_>, mut end: watch::Receiver<Offset>) -> impl Future<Output = ()> + use<> {
    let (log, bus, tasks) = (place.log.clone(), place.bus.clone(), place.tasks.clone());
    async move {
        let mut going = Going { fan, deserted: false };
        tokio::select! {
            () = tasks.stopping() => {}
            deserted = going.fan.hand_on(&log, &bus, &mut end) => going.deserted = deserted,
        }
    }
}

/// Held by the task while it runs: however it ends, even by a panic, no stream waits for it for ever.
struct Going {
    fan: Arc<Fan>,
    /// Whether it ended for want of seats. Another task may run by now, and the seats are its own.
    deserted: bool,
}

impl Drop for Going {
    fn drop(&mut self) {
        if !self.deserted {
            self.fan.row().end();
        }
    }
}

impl Fan {
    /// Hands out until it cannot; whether it ended for want of seats.
    async fn hand_on(&self, log: &EventLog, bus: &BusName, end: &mut watch::Receiver<Offset>) -> bool {
        loop {
            let (at, to) = (self.row().at, *end.borrow_and_update());
            if at >= to {
                if end.changed().await.is_err() {
                    return false;
                }
                if self.is_deserted() {
                    return true;
                }
                continue;
            }
            match log.read(bus, at, PORTION).await {
                Ok(batch) => self.hand_out(batch),
                Err(error) => {
                    warn!(%bus, reason = ?error, "live streams cannot be served, each will try by itself");
                    return false;
                }
            }
            // A long burst must not keep the thread from those it is for.
            tokio::task::yield_now().await;
        }
    }

    /// Whether no seat is left. Decided under the lock: who comes later starts another task.
    fn is_deserted(&self) -> bool {
        let mut row = self.row();
        row.going = !row.seats.is_empty();
        !row.going
    }

    fn hand_out(&self, batch: Batch) {
        let mut row = self.row();
        if let Some(gap) = batch.gap {
            row.tell_all(&gap);
        }
        let mut hits = Vec::new();
        for record in batch.records {
            row.hand(&record, &mut hits);
        }
        row.at = row.at.max(batch.next);
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    fn hand(&mut self, record: &Arc<Record>, hits: &mut Vec<(u64, Match)>) {
        hits.clear();
        self.index.matches(&record.event, hits);
        for (number, says) in hits.drain(..) {
            let Some(held) = self.seats.get(&number) else {
                continue;
            };
            let wanted = says == Match::Yes && held.only.as_ref().is_none_or(|only| only(record));
            if wanted && !held.tray.put(Item::Record(Arc::clone(record))) {
                self.remove(number);
            }
        }
    }

    fn tell_all(&mut self, gap: &std::ops::Range<Offset>) {
        let full = self
            .seats
            .iter()
            .filter(|(_, held)| !held.tray.put(Item::Gap(gap.clone())))
            .map(|(number, _)| *number);
        for number in full.collect::<Vec<_>>() {
            self.remove(number);
        }
    }

    /// Takes a seat away; its stream goes on from `at` by itself.
    fn lose(&mut self, number: u64, at: Offset) {
        if let Some(held) = self.remove(number) {
            held.tray.lose(at);
        }
    }

    fn remove(&mut self, number: u64) -> Option<Held> {
        self.index.remove(number);
        self.seats.remove(&number)
    }

    /// The task ends: every seat is lost.
    fn end(&mut self) {
        self.going = false;
        let numbers: Vec<u64> = self.seats.keys().copied().collect();
        for number in numbers {
            self.lose(number, self.at);
        }
    }
}
