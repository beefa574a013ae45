//! JSONPath, as far as a path is definite: `$.data.items[0].name`, `$['data']["a.b"]`, `$.list[-1]`.
//!
//! A path that could find several values (`[*]`, `..`, a slice, a filter) and a text that is no path at all are the text
//! that they are: so says the service whose rules these are.

use std::borrow::Cow;

use crate::event::Lexed;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// This text.
    Literal(String),
    /// What stands at these steps.
    Path(Vec<Step>),
}

/// One step down.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Member(String),
    Item(i64),
}

impl Source {
    /// Reads a path, or takes the text as it is.
    pub(super) fn read(text: &str) -> Self {
        steps(text).map_or_else(|| Self::Literal(text.to_owned()), Self::Path)
    }

    /// What it finds.
    pub(super) fn find<'a>(&self, document: &'a Lexed) -> Option<Cow<'a, Lexed>> {
        match self {
            Self::Literal(text) => Some(Cow::Owned(Lexed::Text(text.as_str().into()))),
            Self::Path(steps) => {
                let found = steps.iter().try_fold(document, |value, step| match step {
                    Step::Member(name) => value.member(name),
                    Step::Item(at) => value.item(*at),
                });
                found.map(Cow::Borrowed)
            }
        }
    }
}

/// A value as it is inserted: texts without quotes, `null`, everything else as compact JSON.
pub(super) fn shown(value: &Lexed) -> String {
    value.primitive().map_or_else(|| value.to_compact(), Cow::into_owned)
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[') {
            Some(inside) => bracket(inside)?,
            None => member(rest.strip_prefix('.')?)?,
        };
        steps.push(step);
        rest = after;
    }
    Some(steps)
}

/// A name after a dot.
fn member(text: &str) -> Option<(Step, &str)> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, after) = text.split_at_checked(end)?;
    let plain = !name.is_empty() && !name.contains(['*', '(', ')', ']', ' ', '\'', '"', '?', '@', ',']);
    plain.then(|| (Step::Member(name.to_owned()), after))
}

/// A quoted name or a number, after the bracket.
fn bracket(inside: &str) -> Option<(Step, &str)> {
    let inside = inside.trim_ascii_start();
    let Some(quote) = inside.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        let (number, after) = inside.split_once(']')?;
        let at = number.trim_ascii().parse().ok()?;
        return Some((Step::Item(at), after));
    };
    let mut name = String::new();
    let mut letters = inside.char_indices().skip(1);
    let end = loop {
        match letters.next()? {
            (_, '\\') => name.push(letters.next()?.1),
            (at, letter) if letter == quote => break at + 1,
            (_, letter) => name.push(letter),
        }
    };
    let after = inside.get(end..)?.trim_ascii_start().strip_prefix(']')?;
    Some((Step::Member(name), after))
}
