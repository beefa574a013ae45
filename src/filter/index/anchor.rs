//! What must be in an event for a selector to want it: the places where the index can look the selector up.
//!
//! A selector is a conjunction. Each part that names a literal is a [`Conjunct`] with its spots: an event that the
//! selector wants shows the index at least one of them. One conjunct is enough to find the selector; the index takes
//! the one whose buckets are smallest, and the rest is checked on the candidates.
//! Invariant: a conjunct's spots are complete (no wanted event misses all of them), or it has none. They depend on the
//! selector alone and come in one order: removal finds them again by asking again.

use super::super::dialect::Filter;
use super::super::pattern::{Check, Flat, Literal, Node, Number, Object, Root, Scalar, Test, Text};
use super::super::selector::Selector;
use super::super::sql::{self, Demand, Wanted};
use super::super::types::{self, TypePattern};

/// A place in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// An attribute or extension.
    Attribute(&'a str),
    /// A value of the data, by its keys.
    Data(Vec<&'a str>),
}

/// What stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe<'a> {
    /// This value.
    Value(Scalar<'a>),
    /// A text that begins so.
    Prefix(&'a str),
    /// A text that ends so.
    Suffix(&'a str),
}

/// A place and what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot<'a> {
    pub(super) place: Place<'a>,
    pub(super) probe: Probe<'a>,
}

/// Which part of a selector a conjunct is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Part {
    /// `source`.
    Source,
    /// `types`.
    Types,
    /// The whole of the filter at this place.
    Filter(u16),
    /// No whole part: one of several conditions of a filter.
    #[default]
    Fraction,
}

impl Part {
    /// Whether it is the filter at this place.
    pub(super) fn is_filter(self, at: usize) -> bool {
        matches!(self, Self::Filter(place) if usize::from(place) == at)
    }
}

/// One condition of a selector that must hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conjunct<'a> {
    /// Where to look it up; nowhere if it has no literal.
    pub(super) spots: Vec<Spot<'a>>,
    /// Whether an event that shows a spot satisfies it: there is nothing left to check.
    pub(super) whole: bool,
    /// What it is of the selector.
    pub(super) part: Part,
}

/// Every condition of a selector, those that cannot be looked up included.
pub(super) fn conjuncts(selector: &Selector) -> Vec<Conjunct<'_>> {
    let mut found = Vec::new();
    if let Some(source) = &selector.source {
        let source = value(Place::Attribute("source"), Scalar::Text(source));
        found.push(Conjunct {
            part: Part::Source,
            ..source
        });
    }
    if !selector.types.is_empty() {
        let types = union(selector.types.iter().map(type_pattern));
        found.push(Conjunct {
            part: Part::Types,
            ..types
        });
    }
    for (at, part) in selector.filters.iter().enumerate() {
        let before = found.len();
        filter(part, &mut found);
        if let (1, Some(only), Ok(at)) = (found.len() - before, found.last_mut(), u16::try_from(at)) {
            only.part = Part::Filter(at);
        }
    }
    found
}

impl<'a> Conjunct<'a> {
    fn new(spots: Vec<Spot<'a>>, whole: bool) -> Self {
        Self {
            spots,
            whole,
            part: Part::Fraction,
        }
    }
}

impl Spot<'_> {
    /// How telling such a spot is by itself, the less the better; decides between buckets of one size.
    pub(super) fn rank(&self) -> u32 {
        match (&self.place, self.probe) {
            (Place::Attribute("type" | "source"), Probe::Value(_)) => 1,
            (_, Probe::Value(Scalar::Text(_) | Scalar::Number(_))) => 0,
            (_, Probe::Prefix(part) | Probe::Suffix(part)) if part.len() > 3 => 2,
            (_, Probe::Prefix(_) | Probe::Suffix(_)) => 3,
            (_, Probe::Value(Scalar::Null | Scalar::Boolean(_))) => 4,
        }
    }
}

fn value<'a>(place: Place<'a>, scalar: Scalar<'a>) -> Conjunct<'a> {
    let probe = Probe::Value(scalar);
    Conjunct::new(vec![Spot { place, probe }], true)
}

/// One of several must hold: all their spots, unless one of them cannot be looked up.
fn union<'a>(parts: impl Iterator<Item = Conjunct<'a>>) -> Conjunct<'a> {
    let mut sum = Conjunct::new(Vec::new(), true);
    for part in parts {
        if part.spots.is_empty() {
            return Conjunct::default();
        }
        sum.spots.extend(part.spots);
        sum.whole &= part.whole;
    }
    sum
}

/// The best of several that must all hold, for use in a union: buckets are not known there, ranks are.
fn best(parts: Vec<Conjunct<'_>>) -> Conjunct<'_> {
    let alone = parts.len() == 1;
    let rank = |part: &Conjunct<'_>| part.spots.iter().map(Spot::rank).max();
    let known = parts.into_iter().filter(|part| !part.spots.is_empty());
    let best = known
        .min_by_key(|part| (rank(part), part.spots.len()))
        .unwrap_or_default();
    Conjunct {
        whole: best.whole && alone,
        ..best
    }
}

fn type_pattern(pattern: &TypePattern) -> Conjunct<'_> {
    let (probe, whole) = match pattern.literal() {
        types::Literal::Exact(text) => (Probe::Value(Scalar::Text(text)), true),
        types::Literal::Below(text) => (Probe::Prefix(text), true),
        types::Literal::Prefix(text) => (Probe::Prefix(text), false),
        types::Literal::Suffix(text) => (Probe::Suffix(text), false),
        types::Literal::None => return Conjunct::default(),
    };
    let place = Place::Attribute("type");
    Conjunct::new(vec![Spot { place, probe }], whole)
}

fn filter<'a>(part: &'a Filter, found: &mut Vec<Conjunct<'a>>) {
    match part {
        Filter::Exact(pairs) => {
            let pair = |(name, text): &'a (String, String)| value(Place::Attribute(name), Scalar::Text(text));
            found.extend(pairs.iter().map(pair));
        }
        Filter::Prefix(pairs) => affixes(pairs, Probe::Prefix, found),
        Filter::Suffix(pairs) => affixes(pairs, Probe::Suffix, found),
        Filter::All(filters) => filters.iter().for_each(|part| filter(part, found)),
        Filter::Any(filters) => found.push(union(filters.iter().map(|part| {
            let mut inner = Vec::new();
            filter(part, &mut inner);
            best(inner)
        }))),
        Filter::Pattern(pattern) => match pattern.root() {
            Root::Nested(root) => object(root, &mut Vec::new(), true, found),
            Root::Flat(root) => flat(root, found),
        },
        Filter::Sql(sql) => found.extend(sql::demands(sql).iter().map(demand)),
        Filter::Not(_) | Filter::Plugin(_) => found.push(Conjunct::default()),
    }
}

/// What a CESQL expression demands.
fn demand<'a>(demand: &Demand<'a>) -> Conjunct<'a> {
    match demand {
        Demand::Attribute(name, wanted, enough) => {
            let probe = match *wanted {
                Wanted::Text(text) => Probe::Value(Scalar::Text(text)),
                Wanted::Prefix(text) => Probe::Prefix(text),
                Wanted::Suffix(text) => Probe::Suffix(text),
            };
            let place = Place::Attribute(name);
            Conjunct::new(vec![Spot { place, probe }], *enough)
        }
        Demand::OneOf(demands) => union(demands.iter().map(self::demand)),
        // An error in one alternative outweighs the truth of another, so finding one is never the whole.
        Demand::AnyOf(sets) => Conjunct {
            whole: false,
            ..union(sets.iter().map(|set| best(set.iter().map(self::demand).collect())))
        },
        Demand::Other => Conjunct::default(),
    }
}

fn affixes<'a>(pairs: &'a [(String, String)], probe: fn(&'a str) -> Probe<'a>, found: &mut Vec<Conjunct<'a>>) {
    for (name, text) in pairs {
        let spot = Spot {
            place: Place::Attribute(name),
            probe: probe(text),
        };
        found.push(Conjunct::new(vec![spot], true));
    }
}

/// The fields of a pattern below the keys `above`; `top` is outside of `data`.
fn object<'a>(part: &'a Object, above: &mut Vec<&'a str>, top: bool, found: &mut Vec<Conjunct<'a>>) {
    for (key, node) in &part.fields {
        let in_data = !top || &**key == "data";
        if !top {
            above.push(key);
        }
        match node {
            Node::Object(inner) => object(inner, above, false, found),
            Node::Leaf(tests) => {
                let place = || match in_data {
                    true => Place::Data(above.clone()),
                    false => Place::Attribute(key),
                };
                found.push(union(tests.iter().map(|test| leaf(test, &place))));
            }
        }
        if !top {
            above.pop();
        }
    }
    for objects in &part.either {
        found.push(union(objects.iter().map(|part| {
            let mut inner = Vec::new();
            object(part, above, top, &mut inner);
            best(inner)
        })));
    }
}

/// A test on the value at a place.
fn leaf<'a>(test: &'a Test, place: &dyn Fn() -> Place<'a>) -> Conjunct<'a> {
    let (probe, whole) = match test {
        Test::OneOf(literals) => {
            return union(literals.iter().map(|one: &Literal| value(place(), one.as_scalar())));
        }
        Test::Prefix(Text::Exact(part)) => (Probe::Prefix(part), true),
        Test::Suffix(Text::Exact(part)) => (Probe::Suffix(part), true),
        Test::Wildcard(pieces) => match (pieces.first(), pieces.last()) {
            (Some(only), _) if pieces.len() == 1 => (Probe::Value(Scalar::Text(only)), true),
            (Some(first), Some(last)) if first.len() >= last.len() && !first.is_empty() => {
                (Probe::Prefix(first), false)
            }
            (_, Some(last)) if !last.is_empty() => (Probe::Suffix(last), false),
            _ => return Conjunct::default(),
        },
        Test::All(tests) => return best(tests.iter().map(|test| leaf(test, place)).collect()),
        Test::Prefix(_) | Test::Suffix(_) | Test::Contains(_) | Test::EqualsIgnoreCase(_) => {
            return Conjunct::default();
        }
        Test::AnythingBut(_) | Test::Numeric(_) | Test::Cidr(_) | Test::Exists(_) => {
            return Conjunct::default();
        }
    };
    let place = place();
    Conjunct::new(vec![Spot { place, probe }], whole)
}

/// The entries of a flat pattern. An array with an object in it shows its values to the index and matches nothing, and
/// numbers are compared by how they are written: no spot is the whole condition, but for texts of attributes.
fn flat<'a>(part: &'a Flat, found: &mut Vec<Conjunct<'a>>) {
    for (name, entry) in &part.attributes {
        let of = |one: &'a Check| Flat::places(name).map(move |name| check(one, &|| Place::Attribute(name), true));
        let mut sum = union(entry.checks.iter().flat_map(of));
        sum.whole &= Flat::places(name).count() == 1;
        found.push(sum);
    }
    for (path, entry) in &part.data {
        let place = || Place::Data(path.iter().map(|key| &**key).collect());
        let fraction = |one| Conjunct {
            whole: false,
            ..check(one, &place, false)
        };
        found.push(union(entry.checks.iter().map(fraction)));
    }
}

/// A check of the value at a place. Every attribute shows its text.
fn check<'a>(check: &'a Check, place: &dyn Fn() -> Place<'a>, is_attribute: bool) -> Conjunct<'a> {
    let spot = |probe| Spot { place: place(), probe };
    let of = |scalar| spot(Probe::Value(scalar));
    match check {
        Check::Equal(text) => {
            let mut spots = vec![of(Scalar::Text(text))];
            if !is_attribute {
                let number = serde_json::from_str(text).ok().and_then(|number| Number::of(&number));
                spots.extend(number.map(|number| of(Scalar::Number(number))));
                spots.extend(text.parse().ok().map(|truth| of(Scalar::Boolean(truth))));
            }
            Conjunct::new(spots, is_attribute)
        }
        Check::Null => Conjunct::new(vec![of(Scalar::Null)], false),
        Check::Prefix(part) => Conjunct::new(vec![spot(Probe::Prefix(part))], false),
        Check::Suffix(part) => Conjunct::new(vec![spot(Probe::Suffix(part))], false),
        Check::All(checks) => best(checks.iter().map(|one| self::check(one, place, is_attribute)).collect()),
        Check::Contains(_) | Check::AnythingBut(_) | Check::Numeric(_) => Conjunct::default(),
        Check::Address(_) | Check::Network(..) | Check::Exists(_) => Conjunct::default(),
    }
}
