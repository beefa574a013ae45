//! The built-in functions (CESQL 1.0, section 3.5, and the casts of its test suite).
//!
//! Characters are Unicode scalar values and are counted from 1.
//! Invariant: a text that a function makes is at most [`LONGEST`] bytes, so that `CONCAT(subject, subject, …)` cannot
//! fill the memory.

use super::evaluate::Fault;
use super::value::{Kind, Value};

/// The most bytes of a text that a function makes.
const LONGEST: usize = 64 << 10;

/// One function of one arity.
#[derive(Debug)]
pub(in crate::filter) struct Function {
    name: &'static str,
    /// The types of its first parameters.
    fixed: &'static [Kind],
    /// The type of any number of further ones, if it takes them.
    variadic: Option<Kind>,
    /// The type of what it returns.
    pub(super) returns: Kind,
    /// Called with arguments that have been cast.
    pub(super) call: for<'a> fn(Vec<Value<'a>>) -> Returned<'a>,
}

/// What a function returns, and what was at fault.
type Returned<'a> = (Value<'a>, Option<Fault<'a>>);

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.fixed) == (other.name, other.fixed)
    }
}

impl Function {
    /// The types of `count` arguments.
    pub(super) fn parameters(&self, count: usize) -> impl Iterator<Item = Kind> {
        let more = self.variadic.into_iter().cycle();
        self.fixed.iter().copied().chain(more).take(count)
    }
}

/// The function of this name, in any case, that takes so many arguments.
pub(super) fn find(name: &str, arguments: usize) -> Option<&'static Function> {
    named(name).find(|function| match function.variadic {
        Some(_) => arguments >= function.fixed.len(),
        None => arguments == function.fixed.len(),
    })
}

/// Every function of this name.
pub(super) fn named(name: &str) -> impl Iterator<Item = &'static Function> {
    FUNCTIONS
        .iter()
        .filter(move |function| function.name.eq_ignore_ascii_case(name))
}

/// The names of all functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    FUNCTIONS.iter().map(|function| function.name)
}

const fn function(
    name: &'static str,
    fixed: &'static [Kind],
    returns: Kind,
    call: for<'a> fn(Vec<Value<'a>>) -> Returned<'a>,
) -> Function {
    Function {
        name,
        fixed,
        variadic: None,
        returns,
        call,
    }
}

/// Arguments in whatever number.
const fn variadic(function: Function) -> Function {
    Function {
        variadic: Some(Kind::Text),
        ..function
    }
}

use Kind::{Boolean, Integer, Text};

static FUNCTIONS: [Function; 14] = [
    function("LENGTH", &[Text], Integer, |given| {
        let length = Arguments::of(given).text().chars().count();
        (Value::Integer(i32::try_from(length).unwrap_or(i32::MAX)), None)
    }),
    variadic(function("CONCAT", &[], Text, |given| {
        let texts: Vec<_> = given.into_iter().map(Value::text).collect();
        made(texts.concat())
    })),
    variadic(function("CONCAT_WS", &[Text], Text, |given| {
        let mut given = Arguments::of(given);
        let delimiter = given.text();
        let texts: Vec<_> = given.0.map(Value::text).collect();
        made(texts.join(&*delimiter))
    })),
    function("LOWER", &[Text], Text, |given| {
        made(Arguments::of(given).text().to_lowercase())
    }),
    function("UPPER", &[Text], Text, |given| {
        made(Arguments::of(given).text().to_uppercase())
    }),
    function("TRIM", &[Text], Text, |given| {
        made(Arguments::of(given).text().trim().to_owned())
    }),
    function("LEFT", &[Text, Integer], Text, |given| {
        let mut given = Arguments::of(given);
        let (text, count) = (given.text(), given.number());
        match usize::try_from(count) {
            Ok(count) => made(text.chars().take(count).collect()),
            Err(_) => (
                Value::Text(text),
                Some(Fault::Function("LEFT takes no negative number of characters")),
            ),
        }
    }),
    function("RIGHT", &[Text, Integer], Text, |given| {
        let mut given = Arguments::of(given);
        let (text, count) = (given.text(), given.number());
        match usize::try_from(count) {
            Ok(count) => {
                let length = text.chars().count();
                made(text.chars().skip(length.saturating_sub(count)).collect())
            }
            Err(_) => (
                Value::Text(text),
                Some(Fault::Function("RIGHT takes no negative number of characters")),
            ),
        }
    }),
    function("SUBSTRING", &[Text, Integer], Text, |given| {
        let mut given = Arguments::of(given);
        let (text, position) = (given.text(), given.number());
        substring(&text, position, i32::MAX)
    }),
    function("SUBSTRING", &[Text, Integer, Integer], Text, |given| {
        let mut given = Arguments::of(given);
        let (text, position, length) = (given.text(), given.number(), given.number());
        substring(&text, position, length)
    }),
    function("ABS", &[Integer], Integer, |given| {
        match Arguments::of(given).number().checked_abs() {
            Some(number) => (Value::Integer(number), None),
            None => (
                Value::Integer(i32::MAX),
                Some(Fault::Math("ABS of the least Integer is none")),
            ),
        }
    }),
    function("INT", &[Integer], Integer, |given| {
        (Value::Integer(Arguments::of(given).number()), None)
    }),
    function("BOOL", &[Boolean], Boolean, |given| {
        let truth = given.first().and_then(Value::truth).unwrap_or_default();
        (Value::Boolean(truth), None)
    }),
    function("STRING", &[Text], Text, |given| {
        (Value::Text(Arguments::of(given).text()), None)
    }),
];

/// Arguments one after the other. They have been counted and cast: what stands for a missing one is never seen.
struct Arguments<'a>(std::vec::IntoIter<Value<'a>>);

impl<'a> Arguments<'a> {
    fn of(given: Vec<Value<'a>>) -> Self {
        Self(given.into_iter())
    }

    fn text(&mut self) -> std::borrow::Cow<'a, str> {
        self.0.next().unwrap_or(Kind::Text.zero()).text()
    }

    fn number(&mut self) -> i32 {
        self.0.next().and_then(|value| value.number()).unwrap_or_default()
    }
}

fn substring<'a>(text: &str, position: i32, length: i32) -> Returned<'a> {
    let none = |fault| (Kind::Text.zero(), fault);
    let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let Ok(length) = usize::try_from(length) else {
        return none(Some(Fault::Function("SUBSTRING takes no negative length")));
    };
    let position = i64::from(position);
    if position.abs() > count {
        return none(Some(Fault::Function("SUBSTRING begins outside of the text")));
    }
    let skipped = match position {
        0 => return none(None),
        1.. => position - 1,
        _ => count + position,
    };
    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
    made(text.chars().skip(skipped).take(length).collect())
}

/// A text that was made, if it is not too long.
fn made<'a>(text: String) -> Returned<'a> {
    match text.len() > LONGEST {
        true => (
            Kind::Text.zero(),
            Some(Fault::Function("the text that a function makes is longer than 64 KiB")),
        ),
        false => (Value::Text(text.into()), None),
    }
}
