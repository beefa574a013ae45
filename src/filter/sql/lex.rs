//! The words of an expression.
//!
//! Keywords are known by the parser, not here: `and` is a word like any other. A sign is never part of a number here,
//! since only the parser knows whether `4 -1` subtracts.
//! Invariant: every token borrows from the text and knows where it begins; nothing but white space lies between two.

use super::parse::Refused;

/// One word, number, text or symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Letters, digits and `_`, at least one of them no digit.
    Word(&'a str),
    /// Digits.
    Digits(&'a str),
    /// A text, without its quotes and not unescaped yet, and the quote.
    Text(&'a str, char),
    /// An operator, a bracket or a comma.
    Symbol(&'static str),
}

/// A token and the byte at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed<'a> {
    pub(super) token: Token<'a>,
    pub(super) at: usize,
    /// Whether nothing stands between it and the one before.
    pub(super) joined: bool,
}

/// Longest first: `<=` is not `<`.
const SYMBOLS: [&str; 15] = [
    "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/", "%",
];

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed<'_>>, Refused> {
    let mut found = Vec::new();
    let (mut rest, mut joined) = (text, false);
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        joined &= trimmed.len() == rest.len();
        rest = trimmed;
        if rest.is_empty() {
            return Ok(found);
        }
        let at = text.len() - rest.len();
        let (token, after) = next(rest, at)?;
        found.push(Placed { token, at, joined });
        (rest, joined) = (after, true);
    }
}

fn next(rest: &str, at: usize) -> Result<(Token<'_>, &str), Refused> {
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    if let Some((word, after)) = rest.split_at_checked(end).filter(|(word, _)| !word.is_empty()) {
        let digits = word.bytes().all(|b| b.is_ascii_digit());
        return Ok((if digits { Token::Digits(word) } else { Token::Word(word) }, after));
    }
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        return quoted(rest, quote).ok_or_else(|| {
            let rule = format!("the text that begins here never ends: {quote} is missing");
            Refused::syntax(at, rule)
        });
    }
    let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
    match symbol.and_then(|symbol| Some((Token::Symbol(symbol), rest.strip_prefix(symbol)?))) {
        None => {
            let odd = rest.chars().next().unwrap_or_default();
            Err(Refused::syntax(at, format!("{odd:?} has no meaning here")))
        }
        Some(found) => Ok(found),
    }
}

/// A text in quotes; a `\` takes the character after it along.
fn quoted(rest: &str, quote: char) -> Option<(Token<'_>, &str)> {
    let inner = rest.strip_prefix(quote)?;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => {
                let after = inner.get(at..)?.strip_prefix(quote)?;
                return Some((Token::Text(inner.get(..at)?, quote), after));
            }
            _ => {}
        }
    }
    None
}

/// The value of a text: only its own quote is escaped in it, every other `\` is itself (`LIKE` reads `\%` and `\_`).
pub(super) fn unescaped(raw: &str, quote: char) -> String {
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some(next) if next == quote => value.push(quote),
                next => {
                    value.push('\\');
                    value.extend(next);
                }
            },
            (c, _) => value.push(c),
        }
    }
    value
}
