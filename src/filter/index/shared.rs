//! Questions that several selectors ask of an event: one number each, answered once an event; and what one event needs
//! to remember.
//!
//! A question is a list of type patterns or a filter. Only filters dearer than a look-up are shared: a plain comparison
//! of attributes is done again quicker than it is remembered.

use std::collections::HashMap;

use super::super::decide::Match;
use super::super::dialect::Filter;
use super::super::selector::Selector;
use super::super::types::TypePattern;
use super::anchor::Part;
use super::hashed::Hashed;

/// No number: the filter is cheap.
const CHEAP: u32 = u32::MAX;

/// Questions by number, with how many selectors ask each.
#[derive(Debug, Default)]
pub(super) struct Shared {
    numbers: HashMap<Hashed<Question>, Uses>,
    free: Vec<u32>,
    bound: u32,
}

/// What is asked of an event.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Question {
    Types(Vec<TypePattern>),
    Filter(Filter),
}

#[derive(Debug)]
struct Uses {
    number: u32,
    count: u32,
}

impl Shared {
    /// The number of a selector's `types`, if they must be asked.
    pub(super) fn take_types(&mut self, selector: &Selector, proven: Part) -> Option<u32> {
        let types = types(selector, proven)?;
        Some(self.number(Question::Types(types.clone())))
    }

    /// The numbers of a selector's filters, in their order; empty if all that must be asked are cheap.
    pub(super) fn take_filters(&mut self, selector: &Selector, proven: Part) -> Box<[u32]> {
        if dear(selector, proven).next().is_none() {
            return Box::default();
        }
        let mut numbers = vec![CHEAP; selector.filters.len()];
        for (at, filter) in dear(selector, proven) {
            let number = self.number(Question::Filter(filter.clone()));
            if let Some(slot) = numbers.get_mut(at) {
                *slot = number;
            }
        }
        numbers.into()
    }

    fn number(&mut self, question: Question) -> u32 {
        let key = Hashed::new(question, self.numbers.hasher());
        if let Some(uses) = self.numbers.get_mut(&key) {
            uses.count += 1;
            return uses.number;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.bound += 1;
            self.bound - 1
        });
        self.numbers.insert(key, Uses { number, count: 1 });
        number
    }

    /// Gives back what `take_types` and `take_filters` gave.
    pub(super) fn give_back(&mut self, selector: &Selector, proven: Part) {
        let types = types(selector, proven).map(|types| Question::Types(types.clone()));
        let filters = dear(selector, proven).map(|(_, filter)| Question::Filter(filter.clone()));
        for question in types.into_iter().chain(filters) {
            let key = Hashed::new(question, self.numbers.hasher());
            if let Some(uses) = self.numbers.get_mut(&key) {
                uses.count -= 1;
                if uses.count == 0 {
                    self.free.push(uses.number);
                    self.numbers.remove(&key);
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

/// The types, unless there are none or they are proven.
fn types(selector: &Selector, proven: Part) -> Option<&Vec<TypePattern>> {
    let types = Some(&selector.types);
    types.filter(|types| !types.is_empty() && proven != Part::Types)
}

/// The dear filters and their places, without one that is proven: nobody asks it.
fn dear(selector: &Selector, proven: Part) -> impl Iterator<Item = (usize, &Filter)> {
    let all = selector.filters.iter().enumerate();
    all.filter(move |(at, filter)| is_dear(filter) && !proven.is_filter(*at))
}

fn is_dear(filter: &Filter) -> bool {
    match filter {
        Filter::Pattern(_) | Filter::Sql(_) | Filter::All(_) | Filter::Any(_) => true,
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
    pub(super) fn begin(&mut self, buckets: usize, entries: usize, questions: usize) {
        self.round = self.round.wrapping_add(1);
        if self.round == 0 {
            *self = Self {
                round: 1,
                ..Self::default()
            };
        }
        grow(&mut self.buckets, buckets);
        grow(&mut self.entries, entries);
        grow(&mut self.answers, questions);
    }

    /// Whether the bucket comes up for the first time.
    pub(super) fn first_bucket(&mut self, number: u32) -> bool {
        first(&mut self.buckets, number, self.round)
    }

    /// Whether the entry comes up for the first time.
    pub(super) fn first_entry(&mut self, number: u32) -> bool {
        first(&mut self.entries, number, self.round)
    }

    /// The answer to a question, asked at most once an event.
    pub(super) fn answer(&mut self, number: u32, ask: impl FnOnce() -> Match) -> Match {
        match self.answers.get_mut(number as usize) {
            Some((round, Some(answer))) if *round == self.round => *answer,
            Some(slot) => {
                let answer = ask();
                *slot = (self.round, Some(answer));
                answer
            }
            // A cheap filter has no slot.
            None => ask(),
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
        assert_eq!(*shared.take_filters(&first, Part::Fraction), [0, CHEAP]);
        assert_eq!(*shared.take_filters(&second, Part::Filter(0)), [CHEAP, 0]);
        assert!(shared.take_filters(&cheap, Part::Fraction).is_empty());
        assert!(shared.take_filters(&second, Part::Filter(1)).is_empty());
        shared.give_back(&first, Part::Fraction);
        assert!(!shared.is_empty());
        shared.give_back(&second, Part::Filter(0));
        assert!(shared.is_empty());
        assert_eq!(*shared.take_filters(&second, Part::Types), [CHEAP, 0]);
        assert_eq!(shared.bound(), 1);
    }

    #[test]
    fn types_are_shared_unless_proven() {
        let types = vec![TypePattern::parse("a.*").expect("valid")];
        let selector = Selector {
            types,
            ..Selector::default()
        };
        let mut shared = Shared::default();
        assert_eq!(shared.take_types(&Selector::default(), Part::Fraction), None);
        assert_eq!(shared.take_types(&selector, Part::Types), None);
        assert_eq!(shared.take_types(&selector, Part::Source), Some(0));
        assert_eq!(shared.take_types(&selector, Part::Fraction), Some(0));
        shared.give_back(&selector, Part::Types);
        shared.give_back(&selector, Part::Source);
        shared.give_back(&selector, Part::Fraction);
        assert!(shared.is_empty());
    }

    #[test]
    fn stamps_hold_for_one_event_and_survive_the_last_round() {
        let of_type = |ty: &str| {
            let (id, source) = ("1".into(), "/".into());
            let draft = Draft {
                id,
                source,
                ty: ty.into(),
                ..Draft::default()
            };
            draft.check().expect("valid")
        };
        let (event, other) = (of_type("t"), of_type("x"));
        let filter = Filter::parse(&json!({"pattern": {"type": ["x"]}})).expect("valid");
        let mut scratch = Scratch {
            round: u32::MAX - 2,
            ..Scratch::default()
        };
        for _ in 0..5 {
            scratch.begin(1, 1, 1);
            assert!(scratch.first_bucket(0) && !scratch.first_bucket(0));
            assert!(scratch.first_entry(0) && !scratch.first_entry(0));
            assert_eq!(scratch.answer(0, || filter.matches(&event)), Match::No);
            // Not asked again: the other event would say yes.
            assert_eq!(scratch.answer(0, || filter.matches(&other)), Match::No);
            assert_eq!(scratch.answer(CHEAP, || filter.matches(&other)), Match::Yes);
        }
    }
}
