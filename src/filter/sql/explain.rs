//! Why an expression passes an event or does not, in words.
//!
//! Invariant: it says what [`super::Sql::passes`] decides, with the part that decided and what the event has there.

use super::evaluate::{Fault, evaluate};
use super::tree::{Expression, Level, Operator};
use super::value::Value;
use crate::event::Event;
use crate::filter::explain::shown;

/// Attributes that are told.
const TOLD: usize = 4;

/// Why.
pub(super) fn because(root: &Expression, event: &Event) -> String {
    let found = evaluate(root, event);
    if let Some(fault) = found.faults.first() {
        let hint = match fault {
            Fault::MissingAttribute(name) => format!("; ask for `EXISTS {name} AND …` first if it may be missing"),
            _ => String::new(),
        };
        return format!("the expression has an error ({}): {fault}{hint}", fault.name());
    }
    match found.value {
        Value::Boolean(true) => format!("the expression is true{}", told(root, event)),
        Value::Boolean(false) => {
            let part = deciding(root, event);
            format!("`{}` is false{}", shown(&part.to_string()), told(part, event))
        }
        value => format!(
            "the expression is {}, and only the Boolean true passes; compare it with something",
            shown(&value.to_string())
        ),
    }
}

/// The first operand of `AND` that is false; else the whole.
fn deciding<'a>(whole: &'a Expression, event: &Event) -> &'a Expression {
    let Expression::Chain(chain) = whole else {
        return whole;
    };
    if chain.level != Level::Logic || chain.rest.iter().any(|(operator, _)| *operator != Operator::And) {
        return whole;
    }
    let is_false = |part: &&Expression| evaluate(part, event).value == Value::Boolean(false);
    match whole.parts().into_iter().find(is_false) {
        Some(part) => deciding(part, event),
        None => whole,
    }
}

/// What the event has where the expression looks.
fn told(expression: &Expression, event: &Event) -> String {
    let mut names = Vec::new();
    attributes(expression, &mut names);
    let values = names.iter().map(|name| match Value::of(event, name) {
        Some(value) => format!("{name} is {}", shown(&value.to_string())),
        None => format!("{name} is not set"),
    });
    let values: Vec<_> = values.take(TOLD).collect();
    match values.is_empty() {
        true => String::new(),
        false => format!(": {}", values.join(", ")),
    }
}

fn attributes<'a>(expression: &'a Expression, names: &mut Vec<&'a str>) {
    if let Expression::Attribute(name) | Expression::Exists(name) = expression
        && !names.contains(&&**name)
    {
        names.push(name);
    }
    expression.parts().into_iter().for_each(|part| attributes(part, names));
}
