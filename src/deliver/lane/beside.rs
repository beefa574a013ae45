//! What a lane and a replay's lane beside it have to do with each other.

use super::State;
use crate::log::Offset;
use crate::time::Timestamp;

impl State {
    /// Whether everything before `end` is settled and nothing waits, in a lane that goes no further.
    pub(in crate::deliver) fn has_ended(&self, end: Offset) -> bool {
        self.in_flight == 0 && self.retries.len() == 0 && self.window.floor(end) >= end
    }

    /// Another lane has called the same sink: that counts for this one's rate.
    pub(in crate::deliver) fn charge(&mut self, now: Timestamp) {
        if let Some(rate) = self.rate() {
            self.pace.spend(rate, now);
        }
    }
}
