//! Filters that several selectors have: one number each, evaluated once an event; and what one event needs to
//! remember.
//!
//! Only filters dearer than a look-up are shared: a plain comparison of attributes is done again quicker than it is
//! remembered.

use std::collections::HashMap;

use super::super::decide::Match;
use super::super::dialect::Filter;
use super::super::selector::Selector;
use crate::event::Event;

/// No number: the filter is cheap.
const CHEAP: u32 = u32::MAX;

/// Dear filters by number, with how many selectors have each.
#[derive(Debug, Default)]
pub(super) struct Shared {
    numbers: HashMap<Filter, Uses>,
    free: Vec<u32>,
    bound: u32,
}

#[derive(Debug)]
struct Uses {
    number: u32,
    count: u32,
}

impl Shared {
    /// The numbers of a selector's filters, in their order; empty if all are cheap.
    pub(super) fn take(&mut self, selector: &Selector) -> Box<[u32]> {
        if !selector.filters.iter().any(is_dear) {
            return Box::default();
        }
        selector
            .filters
            .iter()
            .map(|filter| self.number(filter))
            .collect()
    }

    fn number(&mut self, filter: &Filter) -> u32 {
        if !is_dear(filter) {
            return CHEAP;
        }
        if let Some(uses) = self.numbers.get_mut(filter) {
            uses.count += 1;
            return uses.number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.bound += 1;
            self.bound - 1
        });
        self.numbers
            .insert(filter.clone(), Uses { number, count: 1 });
        number
    }

    /// Gives a selector's numbers back.
    pub(super) fn give_back(&mut self, selector: &Selector) {
        for filter in selector.filters.iter().filter(|filter| is_dear(filter)) {
            if let Some(uses) = self.numbers.get_mut(filter) {
                uses.count -= 1;
                if uses.count == 0 {
                    self.free.push(uses.number);
                    self.numbers.remove(filter);
                }
            }
        }
    }

    /// All numbers given out are below this.
    pub(super) fn bound(&self) -> usize {
        self.bound as usize
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}

fn is_dear(filter: &Filter) -> bool {
    match filter {
        Filter::Pattern(_) | Filter::All(_) | Filter::Any(_) => true,
        Filter::Not(inner) => is_dear(inner),
        Filter::Exact(_) | Filter::Prefix(_) | Filter::Suffix(_) | Filter::Plugin(_) => false,
    }
}

/// What has been seen and answered for one event. Used for the next event as it is: a stamp of another round counts
/// as none, so nothing is cleared.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    round: u32,
    buckets: Vec<u32>,
    entries: Vec<u32>,
    answers: Vec<(u32, Option<Match>)>,
}

impl Scratch {
    /// Begins an event; numbers are below these.
    pub(super) fn begin(&mut self, buckets: usize, entries: usize, filters: usize) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            *self = Self {
                round: 1,
                ..Self::default()
            };
        }
        grow(&mut self.buckets, buckets);
        grow(&mut self.entries, entries);
        grow(&mut self.answers, filters);
    }

    /// Whether the bucket comes up for the first time.
    pub(super) fn first_bucket(&mut self, number: u32) -> bool {
        first(&mut self.buckets, number, self.round)
    }

    /// Whether the entry comes up for the first time.
    pub(super) fn first_entry(&mut self, number: u32) -> bool {
        first(&mut self.entries, number, self.round)
    }

    /// What a filter says, asked at most once an event.
    pub(super) fn answer(&mut self, number: u32, filter: &Filter, event: &Event) -> Match {
        match self.answers.get_mut(number as usize) {
            Some((round, Some(answer))) if *round == self.round => *answer,
            Some(slot) => {
                let answer = filter.matches(event);
                *slot = (self.round, Some(answer));
                answer
            }
            // A cheap filter has no slot.
            None => filter.matches(event),
        }
    }
}

fn grow<T: Clone + Default>(stamps: &mut Vec<T>, bound: usize) {
    if stamps.len() < bound {
        stamps.resize(bound, T::default());
    }
}

fn first(stamps: &mut [u32], number: u32, round: u32) -> bool {
    match stamps.get_mut(number as usize) {
        Some(stamp) => std::mem::replace(stamp, round) != round,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Draft;

    #[test]
    fn equal_dear_filters_share_a_number() {
        let selector = |json: serde_json::Value| Selector {
            filters: Filter::parse_list(&json).expect("valid"),
            ..Selector::default()
        };
        let pattern = json!({"pattern": {"data": {"a": [1]}}});
        let first = selector(json!([pattern, {"exact": {"type": "x"}}]));
        let second = selector(json!([{"exact": {"type": "y"}}, pattern]));
        let cheap = selector(json!([{"not": {"exact": {"type": "y"}}}]));
        let mut shared = Shared::default();
        assert_eq!(*shared.take(&first), [0, CHEAP]);
        assert_eq!(*shared.take(&second), [CHEAP, 0]);
        assert!(shared.take(&cheap).is_empty());
        shared.give_back(&first);
        assert!(!shared.is_empty());
        shared.give_back(&second);
        assert!(shared.is_empty());
        assert_eq!(*shared.take(&second), [CHEAP, 0]);
        assert_eq!(shared.bound(), 1);
    }

    #[test]
    fn stamps_hold_for_one_event_and_survive_the_last_round() {
        let event = Draft::default().check().expect("valid");
        let other = Draft {
            ty: "x".into(),
            ..Draft::default()
        }
        .check()
        .expect("valid");
        let filter = Filter::parse(&json!({"pattern": {"type": ["x"]}})).expect("valid");
        let mut scratch = Scratch {
            round: u32::MAX - 2,
            ..Scratch::default()
        };
        for _ in 0..5 {
            scratch.begin(1, 1, 1);
            assert!(scratch.first_bucket(0) && !scratch.first_bucket(0));
            assert!(scratch.first_entry(0) && !scratch.first_entry(0));
            assert_eq!(scratch.answer(0, &filter, &event), Match::No);
            // Not asked again: the other event would say yes.
            assert_eq!(scratch.answer(0, &filter, &other), Match::No);
            assert_eq!(scratch.answer(CHEAP, &filter, &other), Match::Yes);
        }
    }
}
