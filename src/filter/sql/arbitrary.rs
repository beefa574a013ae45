//! Random expressions of few words, so that they meet the random events of `filter::arbitrary`.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::like::Like;
use super::tree::{Call, Chain, Expression, Level, Operator, Sense};

/// Texts with everything that quoting must keep; a `\` never stands alone.
fn texts() -> impl Strategy<Value = String> {
    vec(
        select(vec![
            "a", "b", "%", "_", "\\%", "\\_", "\\\\", "'", "\"", "5", "true", "ü",
        ]),
        0..4,
    )
    .prop_map(|parts| parts.concat())
}

fn names() -> impl Strategy<Value = Box<str>> {
    select(vec!["type", "subject", "tenant", "missing", "source"]).prop_map(Into::into)
}

fn senses() -> impl Strategy<Value = Sense> {
    select(vec![Sense::Plain, Sense::Negated])
}

fn chains(inner: BoxedStrategy<Expression>) -> impl Strategy<Value = Expression> {
    use Operator::{
        And, Divide, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Minus, Modulo, NotEqual, Or, Plus, Times, Xor,
    };
    let levels: Vec<(Level, Vec<Operator>)> = vec![
        (Level::Logic, vec![And, Or, Xor]),
        (Level::Logic, vec![And]),
        (Level::Logic, vec![Or]),
        (
            Level::Comparison,
            vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual],
        ),
        (Level::Comparison, vec![Equal]),
        (Level::Sum, vec![Plus, Minus]),
        (Level::Product, vec![Times, Divide, Modulo]),
    ];
    select(levels).prop_flat_map(move |(level, operators)| {
        (inner.clone(), vec((select(operators), inner.clone()), 1..3))
            .prop_map(move |(first, rest)| Expression::Chain(Box::new(Chain { level, first, rest })))
    })
}

/// Any expression.
pub(in crate::filter) fn expressions() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        1 => any::<bool>().prop_map(Expression::Boolean),
        1 => prop_oneof![(-2..3), Just(i32::MIN), Just(i32::MAX)].prop_map(Expression::Integer),
        3 => texts().prop_map(|text| Expression::Text(text.into())),
        4 => names().prop_map(Expression::Attribute),
        1 => names().prop_map(Expression::Exists),
    ];
    let equal = (names(), texts(), any::<bool>()).prop_map(|(name, text, turned)| {
        let (name, text) = (Expression::Attribute(name), Expression::Text(text.into()));
        let (first, second) = if turned { (text, name) } else { (name, text) };
        let rest = vec![(Operator::Equal, second)];
        Expression::Chain(Box::new(Chain {
            level: Level::Comparison,
            first,
            rest,
        }))
    });
    prop_oneof![3 => leaf, 1 => equal].prop_recursive(3, 16, 3, |inner| {
        let inner = inner.boxed();
        let calls = (
            select(vec![
                "LENGTH",
                "CONCAT",
                "lower",
                "SUBSTRING",
                "LEFT",
                "ABS",
                "Int",
                "NONE",
            ]),
            vec(inner.clone(), 0..3),
        );
        prop_oneof![
            2 => inner.clone().prop_map(|inner| Expression::Not(inner.into())),
            1 => inner.clone().prop_map(|inner| Expression::Minus(inner.into())),
            2 => (inner.clone(), senses(), texts())
                .prop_map(|(inner, sense, text)| Expression::Like(inner.into(), sense, Like::new(&text))),
            2 => (inner.clone(), senses(), vec(inner.clone(), 1..3))
                .prop_map(|(inner, sense, set)| Expression::In(inner.into(), sense, set.into())),
            4 => chains(inner),
            1 => calls.prop_map(|(name, arguments)| Expression::Call(Call::new(name, arguments))),
        ]
    })
}

/// The text of an expression that a filter may have.
pub(in crate::filter) fn filter_texts() -> impl Strategy<Value = String> {
    let known = expressions().prop_filter("a function that there is not", |expression| {
        expression.unknown_function().is_none()
    });
    known.prop_map(|expression| expression.to_string())
}
