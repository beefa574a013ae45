//! The value of an expression for an event, and what was at fault on the way.
//!
//! Invariant: what has a faulty operand yields the zero value of its own type; the right side of `AND` and `OR` is not
//! looked at when the left side decides.

use std::borrow::Cow;
use std::fmt;

use super::like::Like;
use super::tree::{Call, Chain, Expression, Level, Operator, Sense};
use super::value::{Kind, Value};
use crate::event::Event;

/// What an expression is for an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluated<'a> {
    /// Its value; the zero value of its type if something was at fault (a function may say otherwise).
    pub value: Value<'a>,
    /// What was at fault; empty if nothing was.
    pub faults: Vec<Fault<'a>>,
}

/// What was at fault in an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault<'a> {
    /// The event does not have this attribute.
    MissingAttribute(&'a str),
    /// There is no function of this name that takes so many arguments.
    MissingFunction(&'a str),
    /// This value is none of that type.
    Cast(Cow<'a, str>, &'static str),
    /// Arithmetic, and why.
    Math(&'static str),
    /// A function refused its arguments, and why.
    Function(&'static str),
}

impl Fault<'_> {
    /// The name that the specification's test suite has for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MissingAttribute(_) => "missingAttribute",
            Self::MissingFunction(_) => "missingFunction",
            Self::Cast(..) => "cast",
            Self::Math(_) => "math",
            Self::Function(_) => "functionEvaluation",
        }
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingAttribute(name) => write!(f, "{name} is not set"),
            Self::MissingFunction(name) => write!(f, "there is no such function: {name}"),
            Self::Cast(value, kind) => write!(f, "{:?} cannot be cast to {kind}", super::super::explain::shown(value)),
            Self::Math(why) | Self::Function(why) => f.write_str(why),
        }
    }
}

/// The value of an expression.
pub(super) fn evaluate<'a>(expression: &'a Expression, event: &'a Event) -> Evaluated<'a> {
    match expression {
        Expression::Boolean(truth) => Value::Boolean(*truth).into(),
        Expression::Integer(number) => Value::Integer(*number).into(),
        Expression::Text(text) => Value::Text((&**text).into()).into(),
        Expression::Attribute(name) => match Value::of(event, name) {
            Some(value) => value.into(),
            // Its type cannot be told.
            None => Evaluated::fault(Kind::Boolean, Fault::MissingAttribute(name)),
        },
        Expression::Exists(name) => Value::Boolean(event.attribute(name).is_some()).into(),
        Expression::Not(inner) => cast(evaluate(inner, event), Kind::Boolean).then(Kind::Boolean, |value| {
            Value::Boolean(!value.truth().unwrap_or_default()).into()
        }),
        Expression::Minus(inner) => cast(evaluate(inner, event), Kind::Integer).then(Kind::Integer, |value| {
            let number = value.number().unwrap_or_default();
            number
                .checked_neg()
                .map_or_else(overflow, |number| Value::Integer(number).into())
        }),
        Expression::Like(inner, sense, like) => matches_like(evaluate(inner, event), *sense, like),
        Expression::In(inner, sense, set) => is_in(evaluate(inner, event), *sense, set, event),
        Expression::Chain(chain) => chain_of(chain, event),
        Expression::Call(call) => called(call, event),
    }
}

impl<'a> From<Value<'a>> for Evaluated<'a> {
    fn from(value: Value<'a>) -> Self {
        Self {
            value,
            faults: Vec::new(),
        }
    }
}

impl<'a> Evaluated<'a> {
    fn fault(kind: Kind, fault: Fault<'a>) -> Self {
        Self {
            value: kind.zero(),
            faults: vec![fault],
        }
    }

    /// What an expression of type `kind` makes of this operand: its zero value if the operand is at fault.
    fn then(self, kind: Kind, next: impl FnOnce(Value<'a>) -> Self) -> Self {
        match self.faults.is_empty() {
            true => next(self.value),
            false => Self {
                value: kind.zero(),
                ..self
            },
        }
    }
}

fn overflow<'a>() -> Evaluated<'a> {
    Evaluated::fault(
        Kind::Integer,
        Fault::Math("the result does not fit into an Integer of 32 bits"),
    )
}

/// An operand as one of this type.
fn cast(operand: Evaluated<'_>, kind: Kind) -> Evaluated<'_> {
    operand.then(kind, |value| match value.clone().cast(kind) {
        Some(value) => value.into(),
        None => {
            let name = match kind {
                Kind::Boolean => "Boolean",
                Kind::Integer => "Integer",
                Kind::Text => "String",
            };
            Evaluated::fault(kind, Fault::Cast(value.text(), name))
        }
    })
}

fn matches_like<'a>(operand: Evaluated<'a>, sense: Sense, like: &Like) -> Evaluated<'a> {
    operand.then(Kind::Boolean, |value| {
        Value::Boolean(like.matches(&value.text()) == (sense == Sense::Plain)).into()
    })
}

/// Elements are cast to the type of the operand, one after the other, until one is equal.
fn is_in<'a>(operand: Evaluated<'a>, sense: Sense, set: &'a [Expression], event: &'a Event) -> Evaluated<'a> {
    operand.then(Kind::Boolean, |value| {
        for element in set {
            let element = cast(evaluate(element, event), value.kind());
            if !element.faults.is_empty() {
                return element.then(Kind::Boolean, Evaluated::from);
            }
            if element.value == value {
                return Value::Boolean(sense == Sense::Plain).into();
            }
        }
        Value::Boolean(sense == Sense::Negated).into()
    })
}

fn called<'a>(call: &'a Call, event: &'a Event) -> Evaluated<'a> {
    let Some(function) = call.function else {
        return Evaluated::fault(Kind::Boolean, Fault::MissingFunction(&call.name));
    };
    let (mut given, mut faults) = (Vec::with_capacity(call.arguments.len()), Vec::new());
    let parameters = function.parameters(call.arguments.len());
    for (argument, kind) in call.arguments.iter().zip(parameters) {
        let argument = cast(evaluate(argument, event), kind);
        faults.extend(argument.faults);
        given.push(argument.value);
    }
    if !faults.is_empty() {
        let value = function.returns.zero();
        return Evaluated { value, faults };
    }
    let (value, fault) = (function.call)(given);
    Evaluated {
        value,
        faults: fault.into_iter().collect(),
    }
}

fn chain_of<'a>(chain: &'a Chain, event: &'a Event) -> Evaluated<'a> {
    let mut so_far = evaluate(&chain.first, event);
    for (operator, right) in &chain.rest {
        so_far = match chain.level {
            Level::Logic => logic(so_far, *operator, right, event),
            Level::Comparison => compare(so_far, *operator, evaluate(right, event)),
            Level::Sum | Level::Product => reckon(so_far, *operator, evaluate(right, event)),
        };
        if !so_far.faults.is_empty() {
            so_far.value = chain.level.kind().zero();
            return so_far;
        }
    }
    so_far
}

fn logic<'a>(left: Evaluated<'a>, operator: Operator, right: &'a Expression, event: &'a Event) -> Evaluated<'a> {
    cast(left, Kind::Boolean).then(Kind::Boolean, |left| {
        let left = left.truth().unwrap_or_default();
        if (operator, left) == (Operator::And, false) || (operator, left) == (Operator::Or, true) {
            return Value::Boolean(left).into();
        }
        cast(evaluate(right, event), Kind::Boolean).then(Kind::Boolean, |right| {
            let right = right.truth().unwrap_or_default();
            // `AND` of true and `OR` of false are what stands on the right.
            Value::Boolean(right != (operator == Operator::Xor && left)).into()
        })
    })
}

/// Both, if none is at fault; else all that was, with the zero value of `kind`.
fn both<'a>(
    mut left: Evaluated<'a>,
    right: Evaluated<'a>,
    kind: Kind,
    next: impl FnOnce(Value<'a>, Value<'a>) -> Evaluated<'a>,
) -> Evaluated<'a> {
    left.faults.extend(right.faults);
    left.then(kind, |left| next(left, right.value))
}

/// Equality casts the left operand to the type of the right one; order is of Integers.
fn compare<'a>(left: Evaluated<'a>, operator: Operator, right: Evaluated<'a>) -> Evaluated<'a> {
    if matches!(operator, Operator::Equal | Operator::NotEqual) {
        return both(left, right, Kind::Boolean, |left, right| {
            cast(left.into(), right.kind()).then(Kind::Boolean, |left| {
                Value::Boolean((left == right) == (operator == Operator::Equal)).into()
            })
        });
    }
    both(
        cast(left, Kind::Integer),
        cast(right, Kind::Integer),
        Kind::Boolean,
        |left, right| {
            let order = left.number().cmp(&right.number());
            Value::Boolean(match operator {
                Operator::Less => order.is_lt(),
                Operator::LessOrEqual => order.is_le(),
                Operator::Greater => order.is_gt(),
                _ => order.is_ge(),
            })
            .into()
        },
    )
}

fn reckon<'a>(left: Evaluated<'a>, operator: Operator, right: Evaluated<'a>) -> Evaluated<'a> {
    both(
        cast(left, Kind::Integer),
        cast(right, Kind::Integer),
        Kind::Integer,
        |left, right| {
            let (left, right) = (left.number().unwrap_or_default(), right.number().unwrap_or_default());
            let result = match operator {
                Operator::Plus => left.checked_add(right),
                Operator::Minus => left.checked_sub(right),
                Operator::Times => left.checked_mul(right),
                _ if right == 0 => return Evaluated::fault(Kind::Integer, Fault::Math("division by zero")),
                Operator::Divide => left.checked_div(right),
                // The remainder of the least Integer by -1 is 0, though their quotient is none.
                _ => Some(left.wrapping_rem(right)),
            };
            result.map_or_else(overflow, |number| Value::Integer(number).into())
        },
    )
}
