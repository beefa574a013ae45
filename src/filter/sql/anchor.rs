//! What an expression demands of an event, as far as the index can look it up.
//!
//! Invariant: an event that the expression passes meets every demand; what cannot be looked up is a demand too (for
//! nothing), so that whoever counts them knows whether one is the whole.

use super::Sql;
use super::like::Affixes;
use super::tree::{Chain, Expression, Level, Operator, Sense};

/// A condition that must hold.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::filter) enum Demand<'a> {
    /// An attribute's text is so; whether nothing else is asked.
    Attribute(&'a str, Wanted<'a>, bool),
    /// One of these holds, and nothing else is asked.
    OneOf(Vec<Demand<'a>>),
    /// All of one of these sets hold, and more is asked.
    AnyOf(Vec<Vec<Demand<'a>>>),
    /// Something that cannot be looked up.
    Other,
}

/// What an attribute's text must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::filter) enum Wanted<'a> {
    /// This.
    Text(&'a str),
    /// It begins so.
    Prefix(&'a str),
    /// It ends so.
    Suffix(&'a str),
}

/// Attributes that are texts in every event. An extension may be a number, which equals many texts.
const TEXTS: [&str; 7] = [
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
];

/// Every condition of an expression.
pub(in crate::filter) fn demands(sql: &Sql) -> Vec<Demand<'_>> {
    let mut found = Vec::new();
    collect(sql.root(), &mut found);
    found
}

fn collect<'a>(expression: &'a Expression, found: &mut Vec<Demand<'a>>) {
    match expression {
        Expression::Chain(chain) => of_chain(chain, found),
        Expression::In(inner, Sense::Plain, set) => found.push(one_of(inner, set)),
        Expression::Like(inner, Sense::Plain, like) => found.push(match (&**inner, like.affixes()) {
            (Expression::Attribute(name), Affixes::Whole(text)) => Demand::Attribute(name, Wanted::Text(text), true),
            (Expression::Attribute(name), Affixes::Prefix(text, enough)) => {
                Demand::Attribute(name, Wanted::Prefix(text), enough)
            }
            (Expression::Attribute(name), Affixes::Suffix(text, enough)) => {
                Demand::Attribute(name, Wanted::Suffix(text), enough)
            }
            _ => Demand::Other,
        }),
        _ => found.push(Demand::Other),
    }
}

fn of_chain<'a>(chain: &'a Chain, found: &mut Vec<Demand<'a>>) {
    let operands = || std::iter::once(&chain.first).chain(chain.rest.iter().map(|(_, operand)| operand));
    let only = |wanted: Operator| chain.rest.iter().all(|(operator, _)| *operator == wanted);
    match chain.level {
        Level::Logic if only(Operator::And) => operands().for_each(|operand| collect(operand, found)),
        Level::Logic if only(Operator::Or) => {
            let each = operands().map(|operand| {
                let mut inner = Vec::new();
                collect(operand, &mut inner);
                inner
            });
            found.push(Demand::AnyOf(each.collect()));
        }
        // The text on the right makes it a comparison of texts, whatever the attribute is.
        Level::Comparison => found.push(match (&chain.first, chain.rest.as_slice()) {
            (Expression::Attribute(name), [(Operator::Equal, Expression::Text(text))]) => {
                Demand::Attribute(name, Wanted::Text(text), true)
            }
            (Expression::Text(text), [(Operator::Equal, Expression::Attribute(name))]) if TEXTS.contains(&&**name) => {
                Demand::Attribute(name, Wanted::Text(text), true)
            }
            _ => Demand::Other,
        }),
        _ => found.push(Demand::Other),
    }
}

fn one_of<'a>(inner: &'a Expression, set: &'a [Expression]) -> Demand<'a> {
    let Expression::Attribute(name) = inner else {
        return Demand::Other;
    };
    let texts: Option<Vec<_>> = set
        .iter()
        .map(|element| match element {
            Expression::Text(text) => Some(Demand::Attribute(name, Wanted::Text(text), true)),
            _ => None,
        })
        .collect();
    match texts.filter(|_| TEXTS.contains(&&**name)) {
        Some(texts) => Demand::OneOf(texts),
        None => Demand::Other,
    }
}
