//! Taking a generation back that fails where the one before it worked: the swap the other way. `rollback` judges.
//!
//! Invariant: nothing is loaded for it: what comes back has stood by, linked, since it was replaced.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use super::{Refused, Reload};
use crate::metrics;
use crate::plugin::Notice;
use crate::plugin::generation::{Generation, PluginEntry, Rejection};

impl Reload {
    /// Looks at the generations that are on probation, one of which has failed a call.
    pub(super) fn take_back(&mut self) {
        let mut back = Vec::new();
        for (name, known) in &mut self.known {
            if let Some(live) = self.live.generation(name)
                && let Some((spare, reason)) = known.standing.take_back(&live)
            {
                back.push((live, spare, reason));
            }
        }
        for (live, spare, reason) in back {
            self.roll_back(&live, spare, reason);
        }
    }

    fn roll_back(&mut self, bad: &Generation, mut spare: Generation, reason: String) {
        let name = bad.name.clone();
        let inode = self.settling.inode(&name);
        let known = self.known.entry(name.clone()).or_default();
        known.loads += 1;
        spare.number = known.loads;
        let (number, digest) = (spare.number, spare.source.digest.clone());
        // A newer file than the bad one may have been refused meanwhile: then that is what there is to say of it.
        let newer = self.live.rejection_beside(&name, &bad.source.digest);
        if newer.is_none() {
            known.refused = Some(Refused {
                digest: bad.source.digest.clone(),
                inode,
            });
        }
        let was = Rejection {
            reason: reason.clone(),
            was_live: true,
        };
        let entry = PluginEntry {
            live: Some(Arc::new(spare)),
            rejected: newer.or(Some(was)),
            figures: known.figures.clone(),
        };
        self.live.put(&name, entry);
        let label = metrics::Plugin { plugin: name.clone() };
        self.loader.metrics.rollbacks.get_or_create(&label).inc();
        warn!(
            plugin = name,
            generation = bad.number,
            serving = number,
            reason,
            "plugin rolled back"
        );
        self.tell(Notice::RolledBack {
            name: name.clone(),
            digest: bad.source.digest.clone(),
            generation: bad.number,
            serving: number,
            reason,
        });
        self.tell(Notice::Loaded {
            name,
            digest,
            generation: number,
            took: Duration::ZERO,
        });
    }

    /// Ends the probations that are over; how long until the next one is.
    pub(super) fn end_probations(&mut self) -> Duration {
        let now = self.loader.clock.instant();
        let mut next = Duration::MAX;
        for (name, known) in &mut self.known {
            if known.standing.until().is_some() {
                known.standing.lapse(self.live.generation(name).as_deref(), now);
            }
            if let Some(until) = known.standing.until() {
                next = next.min(until.saturating_duration_since(now));
            }
        }
        next
    }
}
