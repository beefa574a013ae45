//! Enters calls into a trial's tally, and finds the events of differences in the log.

use std::sync::Arc;

use super::Trial;
use super::compare::{Difference, Said};
use crate::event::Event;
use crate::hub::Hub;
use crate::log::{BusName, Offset, ReadLimit};
use crate::plugin::Shadowed;

/// Records from the end of a bus among which the event of a difference is looked for.
const LOOKED_AT: u64 = 4_096;
/// One read of the log.
const READ: ReadLimit = ReadLimit {
    records: 1_000,
    bytes: 4 << 20,
};

/// Where a trial is written down.
pub(super) struct Books {
    pub(super) hub: Hub,
    pub(super) trial: Arc<Trial>,
}

impl Books {
    /// Enters what the two said of a call.
    pub(super) async fn tally(&self, call: &Shadowed, said: (Said, Said)) {
        let found = {
            let mut progress = self.trial.lock();
            progress
                .tally
                .compare(call.generation, said, (&call.event, &call.config))
        };
        if let Some(mut difference) = found {
            self.locate(&call.event, &mut difference).await;
            self.trial.lock().tally.keep(difference);
        }
    }

    /// Finds the event near the end of some bus: plugins are told nothing of offsets.
    async fn locate(&self, event: &Event, difference: &mut Difference) {
        for bus in self.hub.0.log.buses() {
            if let Some(offset) = self.find_on(&bus, event).await {
                (difference.bus, difference.offset) = (Some(bus.to_string()), Some(offset));
                return;
            }
        }
    }

    async fn find_on(&self, bus: &BusName, event: &Event) -> Option<Offset> {
        let log = &self.hub.0.log;
        let end = *log.end(bus).ok()?.borrow();
        let mut from = Offset(end.0.saturating_sub(LOOKED_AT));
        while from < end {
            let batch = log.read(bus, from, READ).await.ok()?;
            let is_it = |one: &Event| one.id() == event.id() && one.source() == event.source();
            if let Some(found) = batch.records.iter().find(|record| is_it(&record.event)) {
                return Some(found.offset);
            }
            if batch.next <= from {
                return None;
            }
            from = batch.next;
        }
        None
    }
}
