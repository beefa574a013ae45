//! CESQL 1.0, the CloudEvents SQL Expression Language: `type LIKE 'com.example.%' AND EXISTS subject`.
//!
//! Text to tokens (`lex`), tokens to a tree (`parse`, `tree`), a tree and an event to a value and a list of faults
//! (`evaluate`, with `value`, `like` and `function` beside it). Evaluation is total: it always has a value, and never
//! fails. As a filter an expression passes an event only if its value is the Boolean true and there is no fault.
//!
//! Where the specification leaves a choice, this is ours:
//! - An operator or function one of whose operands is at fault yields the zero value of its own type (`0`, `""`,
//!   `false`) and those faults: the fail-fast mode of its section 4.1, which its test suite expects.
//! - Integers that leave 32 bits are a math fault and 0; they never wrap.
//! - Boolean and Integer extensions keep their type; every other attribute is a String.
//! - A function that is not known is a fault of evaluation there. A filter that names one is refused at once: it could
//!   hardly ever pass, and is a slip of the pen.
//!
//! Invariant: no text makes the parser or the evaluator panic or recurse without bound (the limits stand in `parse`);
//! evaluation takes time bounded by event × expression.

mod parse;

mod anchor;
mod evaluate;
mod explain;

mod function;
mod lex;
mod like;
mod tree;
mod value;

#[cfg(test)]
pub(super) mod arbitrary;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde_json::Value as Json;

use super::path::Path;
use crate::error::Error;
use crate::event::Event;
use crate::nearest::hint;

pub use evaluate::{Evaluated, Fault};
pub use value::Value;

pub(super) use anchor::{Demand, Wanted, demands};

/// A CESQL expression, compiled; a clone shares it.
///
/// ```
/// use busway::{event::Draft, filter::Sql};
///
/// let sql = Sql::parse("type LIKE 'order.%' AND INT(priority) > 3")?;
/// let event = Draft {
///     id: "1".into(),
///     source: "/shop".into(),
///     ty: "order.made".into(),
///     extensions: vec![("priority".into(), busway::event::Value::Integer(5))],
///     ..Draft::default()
/// };
/// assert!(sql.passes(&event.check()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Sql(Arc<Compiled>);

/// The compiled form and the text that it came from.
struct Compiled {
    text: Box<str>,
    root: tree::Expression,
}

impl Sql {
    /// Compiles an expression.
    ///
    /// # Errors
    /// `filter_invalid` with the position and what was expected there, `filter_too_large` with the limit.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::compile(text, &Path::Root("sql"))
    }

    /// As [`Sql::parse`], for the operand of a filter that stands at `path`. A function that is not known is refused
    /// too.
    pub(super) fn parse_at(json: &Json, path: &Path<'_>) -> Result<Self, Error> {
        let Some(text) = json.as_str() else {
            let rule = "must be a text: a CESQL expression such as \"type LIKE 'com.example.%' AND EXISTS subject\"";
            return Err(path.fault("filter_invalid", rule));
        };
        let sql = Self::compile(text, path)?;
        if let Some((name, arguments)) = sql.0.root.unknown_function() {
            let rule = match function::named(name).next() {
                Some(_) => format!("the function {name} does not take {arguments} arguments"),
                None => format!(
                    "unknown function {name}; {}",
                    hint(&name.to_ascii_uppercase(), function::names())
                ),
            };
            return Err(path.fault("filter_invalid", rule));
        }
        Ok(sql)
    }

    fn compile(text: &str, path: &Path<'_>) -> Result<Self, Error> {
        let root = parse::parse(text).map_err(|refused| path.fault(refused.code(), refused))?;
        Ok(Self(Arc::new(Compiled {
            text: text.into(),
            root,
        })))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The value for an event, and what was at fault.
    pub fn evaluate<'a>(&'a self, event: &'a Event) -> Evaluated<'a> {
        evaluate::evaluate(&self.0.root, event)
    }

    /// Whether an event passes: the value is the Boolean true, and nothing was at fault.
    pub fn passes(&self, event: &Event) -> bool {
        let Evaluated { value, faults } = self.evaluate(event);
        faults.is_empty() && matches!(value, Value::Boolean(true))
    }

    /// Why an event passes or does not, in words.
    pub(super) fn because(&self, event: &Event) -> String {
        explain::because(&self.0.root, event)
    }

    /// The compiled form, for the index.
    pub(super) fn root(&self) -> &tree::Expression {
        &self.0.root
    }
}

impl PartialEq for Sql {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for Sql {}

impl Hash for Sql {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl fmt::Debug for Sql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sql({})", self.0.text)
    }
}

#[cfg(test)]
mod tests;
