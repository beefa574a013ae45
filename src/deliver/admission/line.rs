//! What the ledger counts and sorts by: places of a bound, and lanes that wait.

use std::collections::BTreeSet;

/// Whether a lane may have all of a bound, or has to leave a part to those that are quicker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Its attempts end soon.
    Prompt,
    /// They do not, or nobody knows yet.
    Slow,
}

/// Places, and how many are taken.
#[derive(Debug)]
pub(super) struct Pool {
    most: usize,
    used: usize,
    slow: usize,
}

/// Who waits: with how many in flight, since which turn, and who.
pub(super) type Waiter = (usize, u64, u64);

/// Lanes that wait, those with the least in flight first.
#[derive(Debug, Default)]
pub(super) struct Line {
    prompt: BTreeSet<Waiter>,
    slow: BTreeSet<Waiter>,
}

impl Pool {
    /// So many places, all free; at least one.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            used: 0,
            slow: 0,
        }
    }

    /// Whether a lane of this class with so many in flight may have one more.
    pub(super) fn admits(&self, class: Class, held: usize) -> bool {
        let left = self.most.saturating_sub(self.used);
        let left = match class {
            Class::Prompt => left,
            Class::Slow => left.min((self.most - self.most / 4).saturating_sub(self.slow)),
        };
        held < left
    }

    /// A place is taken.
    pub(super) fn enter(&mut self, class: Class) {
        self.used += 1;
        self.slow += usize::from(class == Class::Slow);
    }

    /// A place is free again.
    pub(super) fn leave(&mut self, class: Class) {
        self.used = self.used.saturating_sub(1);
        self.slow = self.slow.saturating_sub(usize::from(class == Class::Slow));
    }

    /// How many are taken.
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl Line {
    /// The first of a class.
    pub(super) fn first(&self, class: Class) -> Option<Waiter> {
        self.of(class).first().copied()
    }

    /// Puts a lane in.
    pub(super) fn join(&mut self, class: Class, waiter: Waiter) {
        self.of_mut(class).insert(waiter);
    }

    /// Takes a lane out.
    pub(super) fn leave(&mut self, class: Class, waiter: Waiter) {
        self.of_mut(class).remove(&waiter);
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.prompt.is_empty() && self.slow.is_empty()
    }

    fn of(&self, class: Class) -> &BTreeSet<Waiter> {
        match class {
            Class::Prompt => &self.prompt,
            Class::Slow => &self.slow,
        }
    }

    fn of_mut(&mut self, class: Class) -> &mut BTreeSet<Waiter> {
        match class {
            Class::Prompt => &mut self.prompt,
            Class::Slow => &mut self.slow,
        }
    }
}
