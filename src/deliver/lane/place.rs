//! Where one record stands in a lane, for whoever asks why it did or did not arrive.

use super::State;
use crate::deliver::window::Feed;
use crate::deliver::{Place, Until};
use crate::log::Offset;

impl State {
    /// Where a record stands, given that the dispatcher has offered everything before `dispatched`.
    pub(in crate::deliver) fn place(&self, offset: Offset, dispatched: Offset) -> Place {
        if let Some(waiting) = self.retries.at(offset) {
            let (tries, attempts) = (waiting.tries, waiting.attempts.clone());
            let until = match (waiting.flying, &waiting.blames) {
                (true, _) => Until::Answered,
                (false, Some(plugin)) if waiting.parked => Until::Loaded(plugin.to_string()),
                (false, _) => Until::Due(waiting.due),
            };
            return Place::Retrying { until, tries, attempts };
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
