//! The window against a model that keeps every record's fate in a set, and the dispatcher's order of steps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// The dispatcher reads this many records and publishes its position.
    Publish(u64),
    /// The dispatcher offers the next record it has read.
    Offer,
    /// The lane reads at most this many records from the log.
    Read(u64),
    /// The lane tries to hand over.
    CatchUp,
    /// The nth outstanding record is settled.
    Settle(usize),
    /// The lane is full at its next offer.
    Overflow,
    /// The lane is paused, held or open.
    Detach,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1u64..5).prop_map(Step::Publish),
        6 => Just(Step::Offer),
        3 => (1u64..6).prop_map(Step::Read),
        3 => Just(Step::CatchUp),
        6 => (0usize..8).prop_map(Step::Settle),
        1 => Just(Step::Overflow),
        1 => Just(Step::Detach),
    ]
}

/// One lane and one dispatcher on an endless log in which every record with an odd offset is wanted.
struct World {
    window: Window,
    published: u64,
    dispatched: u64,
    full: bool,
    start: u64,
    /// How often each record was taken.
    taken: BTreeMap<u64, u32>,
    settled: BTreeSet<u64>,
    outstanding: BTreeSet<u64>,
}

impl World {
    fn new(start: u64, live: bool) -> Self {
        let window = if live {
            Window::live(Offset(1))
        } else {
            Window::behind(Offset(start))
        };
        let start = if live { 1 } else { start };
        Self {
            window,
            published: 1,
            dispatched: 1,
            full: false,
            start,
            taken: BTreeMap::new(),
            settled: BTreeSet::new(),
            outstanding: BTreeSet::new(),
        }
    }

    fn took(&mut self, offset: u64) {
        *self.taken.entry(offset).or_default() += 1;
        self.outstanding.insert(offset);
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Publish(n) if self.dispatched == self.published => self.published += n,
            Step::Offer if self.dispatched < self.published => {
                let offset = self.dispatched;
                if offset % 2 == 1 && self.window.admits(Offset(offset)) {
                    if std::mem::take(&mut self.full) {
                        self.window.fall_behind(Offset(offset));
                    } else {
                        self.window.take(Offset(offset));
                        self.took(offset);
                    }
                }
                self.dispatched += 1;
            }
            Step::Read(n) => {
                if let Feed::Behind { next } = self.window.feed() {
                    let upto = (next.0 + n).min(self.published.max(next.0));
                    let wanted: Vec<u64> = (next.0..upto).filter(|offset| offset % 2 == 1).collect();
                    wanted.iter().for_each(|offset| self.took(*offset));
                    self.window.take_read(wanted.into_iter().map(Offset), Offset(upto));
                }
            }
            Step::CatchUp => {
                self.window.catch_up(Offset(self.published));
            }
            Step::Settle(nth) => {
                if let Some(offset) = self.outstanding.iter().nth(*nth).copied() {
                    self.outstanding.remove(&offset);
                    self.settled.insert(offset);
                    self.window.settle(Offset(offset));
                }
            }
            Step::Overflow => self.full = true,
            Step::Detach => self.window.detach(Offset(self.dispatched)),
            Step::Publish(_) | Step::Offer => {}
        }
    }

    fn check(&self) {
        assert!(
            self.taken.values().all(|times| *times == 1),
            "taken twice: {:?}",
            self.taken
        );
        assert_eq!(self.window.outstanding(), self.outstanding.len());
        // What a restart would skip: everything before the row, or, without one, before the bus floor.
        let dispatched = Offset(self.dispatched);
        let resume = self.window.row(dispatched).unwrap_or(dispatched);
        for (what, upto) in [("row", resume), ("floor", self.window.floor(dispatched))] {
            let skipped = (self.start..upto.0).find(|offset| offset % 2 == 1 && !self.settled.contains(offset));
            assert_eq!(skipped, None, "the {what} at {upto:?} skips it");
        }
        assert!(
            resume.0 >= self.start.min(self.dispatched),
            "it would begin before its start"
        );
    }

    /// Lets everything come to rest; then every wanted record has been taken.
    fn finish(mut self) {
        self.full = false;
        while self.dispatched < self.published {
            self.apply(&Step::Offer);
        }
        while !self.window.catch_up(Offset(self.published)) {
            self.apply(&Step::Read(7));
        }
        while !self.outstanding.is_empty() {
            self.apply(&Step::Settle(0));
        }
        self.check();
        let wanted: Vec<u64> = (self.start..self.published).filter(|offset| offset % 2 == 1).collect();
        assert_eq!(self.settled.into_iter().collect::<Vec<_>>(), wanted);
        if self.start <= self.published {
            assert_eq!(
                self.window.row(Offset(self.published)),
                None,
                "a healthy lane needs no row"
            );
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_skipped_and_nothing_taken_twice(
        start in 1u64..12,
        live in any::<bool>(),
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut world = World::new(start, live);
        for step in &steps {
            world.apply(step);
            world.check();
        }
        world.finish();
    }
}

#[test]
fn a_lane_that_began_at_the_end_keeps_its_start_until_the_bus_floor_passes_it() {
    let mut window = Window::behind(Offset(100));
    assert_eq!(window.row(Offset(90)), Some(Offset(100)));
    assert!(window.catch_up(Offset(95)), "nothing before its start is read");
    assert!(!window.admits(Offset(99)), "nor taken");
    assert_eq!(window.row(Offset(99)), Some(Offset(100)));
    assert_eq!(window.row(Offset(100)), None);
}

#[test]
fn what_is_given_back_no_longer_holds_the_cursor_by_itself() {
    let mut window = Window::live(Offset(1));
    for offset in [1, 2, 3, 4] {
        window.take(Offset(offset));
    }
    window.settle(Offset(1));
    window.fall_behind(Offset(3));
    assert_eq!((window.outstanding(), window.floor(Offset(9))), (1, Offset(2)));
    window.settle(Offset(2));
    assert_eq!(window.row(Offset(9)), Some(Offset(3)));
}
