//! Where one record stands in a lane, for whoever asks why it did or did not arrive.

use super::State;
use crate::deliver::Place;
use crate::deliver::window::Feed;
use crate::log::Offset;

impl State {
    /// Where a record stands, given that the dispatcher has offered everything before `dispatched`.
    pub(in crate::deliver) fn place(&self, offset: Offset, dispatched: Offset) -> Place {
        if let Some(waiting) = self.retries.at(offset) {
            return Place::Retrying {
                due: waiting.due(),
                tries: waiting.tries,
                attempts: waiting.attempts.clone(),
            };
        }
        if self.window.is_outstanding(offset) {
            return Place::Taken;
        }
        let fed = match self.window.feed() {
            Feed::Live { seen, .. } => seen.max(dispatched),
            Feed::Behind { next } => next,
        };
        if offset < fed { Place::Settled } else { Place::Ahead }
    }
}
