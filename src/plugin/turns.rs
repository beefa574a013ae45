//! Whose turn it is on the filter threads: a plain function of who waits and who runs.
//!
//! Who had its last turn longest ago comes first. (Rejected: round the names in order: those that share a thread would
//! be skipped for ever by those that do not.)
//!
//! Invariant: with T threads and several plugins, one plugin runs on at most T-1 of them (T is at least 2).
//! Invariant: while several are known, suspects together begin a turn on at most one thread.

use std::collections::{BTreeMap, VecDeque};

/// What waits for a turn.
pub(super) trait Waits {
    /// Of which plugin it is.
    fn plugin(&self) -> &str;
    /// Whether that one is suspect now.
    fn is_suspect(&self) -> bool;
}

/// What waits and runs, by plugin.
pub(super) struct Turns<W> {
    lanes: BTreeMap<String, Lane<W>>,
    /// Turns begun so far.
    begun: u64,
    /// Turns under way that began under suspicion.
    suspects: usize,
}

struct Lane<W> {
    waiting: VecDeque<W>,
    running: usize,
    /// The number of its last turn.
    last: u64,
}

/// A turn that began, to be given back at its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    plugin: String,
    suspect: bool,
}

impl<W> Default for Turns<W> {
    fn default() -> Self {
        Self {
            lanes: BTreeMap::new(),
            begun: 0,
            suspects: 0,
        }
    }
}

impl<W: Waits> Turns<W> {
    /// One more waits.
    pub(super) fn push(&mut self, waits: W) {
        if !self.lanes.contains_key(waits.plugin()) {
            let lane = Lane {
                waiting: VecDeque::new(),
                running: 0,
                last: 0,
            };
            self.lanes.insert(waits.plugin().to_owned(), lane);
        }
        if let Some(lane) = self.lanes.get_mut(waits.plugin()) {
            lane.waiting.push_back(waits);
        }
    }

    /// Begins the next turn, if one may begin with so many threads.
    pub(super) fn next(&mut self, threads: usize) -> Option<(Turn, W)> {
        let several = self.lanes.len() > 1;
        let most = threads - usize::from(several);
        let crowded = several && self.suspects > 0;
        let may_run = |lane: &Lane<W>| {
            let first = lane.waiting.front();
            lane.running < most && first.is_some_and(|first| !(crowded && first.is_suspect()))
        };
        let (name, lane) = self
            .lanes
            .iter_mut()
            .filter(|(_, lane)| may_run(lane))
            .min_by_key(|(_, lane)| lane.last)?;
        let waits = lane.waiting.pop_front()?;
        let suspect = waits.is_suspect();
        self.begun += 1;
        self.suspects += usize::from(suspect);
        (lane.last, lane.running) = (self.begun, lane.running + 1);
        let plugin = name.clone();
        Some((Turn { plugin, suspect }, waits))
    }

    /// A turn is over.
    pub(super) fn over(&mut self, turn: &Turn) {
        if let Some(lane) = self.lanes.get_mut(&turn.plugin) {
            lane.running = lane.running.saturating_sub(1);
        }
        self.suspects = self.suspects.saturating_sub(usize::from(turn.suspect));
    }

    /// Nobody waits any more.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
    }
}

impl Turn {
    /// Whose it is.
    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Suspect if its name says so.
    impl Waits for &'static str {
        fn plugin(&self) -> &str {
            self
        }

        fn is_suspect(&self) -> bool {
            self.starts_with("bad")
        }
    }

    fn begin(turns: &mut Turns<&'static str>, expected: Option<&str>) -> Option<Turn> {
        let turn = turns.next(3).map(|(turn, _)| turn);
        assert_eq!(turn.as_ref().map(Turn::plugin), expected);
        turn
    }

    #[test]
    fn suspects_share_one_thread() {
        let mut turns = Turns::default();
        ["bad-1", "bad-1", "bad-2", "bad-2", "good"]
            .into_iter()
            .for_each(|each| turns.push(each));
        let first = begin(&mut turns, Some("bad-1")).unwrap();
        let good = begin(&mut turns, Some("good")).unwrap();
        // A thread is free, and stays so for whoever behaves.
        begin(&mut turns, None);
        turns.push("good");
        begin(&mut turns, Some("good"));
        turns.over(&first);
        turns.over(&good);
        let second = begin(&mut turns, Some("bad-2")).unwrap();
        begin(&mut turns, None);
        turns.over(&second);
        begin(&mut turns, Some("bad-1"));
    }

    #[test]
    fn one_plugin_leaves_a_thread_to_the_others() {
        let mut turns = Turns::default();
        ["a", "a", "a", "a"].into_iter().for_each(|each| turns.push(each));
        for _ in 0..2 {
            begin(&mut turns, Some("a"));
        }
        turns.push("b");
        begin(&mut turns, Some("b"));
        begin(&mut turns, None);
    }

    #[test]
    fn alone_it_has_every_thread() {
        let mut turns = Turns::default();
        ["bad", "bad", "bad"].into_iter().for_each(|each| turns.push(each));
        for _ in 0..3 {
            begin(&mut turns, Some("bad"));
        }
    }

    #[test]
    fn nobody_is_passed_over() {
        let mut turns = Turns::default();
        for _ in 0..9 {
            ["bad-1", "bad-2", "m", "z"]
                .into_iter()
                .for_each(|each| turns.push(each));
        }
        for _ in 0..9 {
            for expected in ["bad-1", "bad-2", "m", "z"] {
                let turn = begin(&mut turns, Some(expected)).unwrap();
                turns.over(&turn);
            }
        }
    }
}
