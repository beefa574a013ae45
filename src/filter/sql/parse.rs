//! Tokens to a tree, by precedence: calls, then `NOT` and `-`, then `LIKE` and `IN`, then `* / %`, `+ -`, comparisons,
//! and `AND OR XOR` (of one rank) as the loosest; operators of one rank go from left to right.
//!
//! Keywords and functions are known in any case, attributes only in lower case, which is the only one they can have.
//! Invariant: nesting is counted and bounded before the parser goes deeper, so that no text exhausts the stack.

use std::fmt;

use super::lex::{Placed, Token, tokens, unescaped};
use super::like::Like;
use super::tree::{Call, Chain, Expression, Level, Operator, Sense};
use crate::filter::dialect::is_attribute_name;

/// The most bytes of an expression.
const LONGEST: usize = 16 << 10;
/// The most expressions inside one another.
const DEEPEST: usize = 32;
/// The most operands, all together.
const MOST_OPERANDS: usize = 1_024;

const TOO_DEEP: Refused = Refused::TooLarge("an expression nests at most 32 deep");

const KEYWORDS: [&str; 9] = ["AND", "OR", "XOR", "NOT", "LIKE", "IN", "EXISTS", "TRUE", "FALSE"];

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// At this byte, and what.
    Syntax(usize, String),
    /// A limit, in words.
    TooLarge(&'static str),
}

impl Refused {
    pub(super) fn syntax(at: usize, what: impl Into<String>) -> Self {
        Self::Syntax(at, what.into())
    }

    /// The stable code of the error.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Syntax(..) => "filter_invalid",
            Self::TooLarge(_) => "filter_too_large",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(at, what) => write!(f, "at character {}: {what}", at + 1),
            Self::TooLarge(limit) => f.write_str(limit),
        }
    }
}

/// The tree of an expression.
pub(super) fn parse(text: &str) -> Result<Expression, Refused> {
    if text.len() > LONGEST {
        return Err(Refused::TooLarge("an expression has at most 16384 bytes"));
    }
    let tokens = tokens(text).map_err(|refused| in_characters(text, refused))?;
    let mut parser = Parser {
        tokens: &tokens,
        next: 0,
        end: text.len(),
        operands: 0,
        depth: 0,
        stacked: 0,
    };
    let whole = parser.chain(Level::Logic).and_then(|found| match parser.peek() {
        None => Ok(found),
        Some(_) => Err(parser.expected("an operator or the end")),
    });
    whole.map_err(|refused| in_characters(text, refused))
}

/// People count characters.
fn in_characters(text: &str, refused: Refused) -> Refused {
    match refused {
        Refused::Syntax(at, what) => Refused::Syntax(text.get(..at).unwrap_or(text).chars().count(), what),
        too_large => too_large,
    }
}

struct Parser<'t, 'a> {
    tokens: &'t [Placed<'a>],
    next: usize,
    end: usize,
    operands: usize,
    depth: usize,
    /// `LIKE` and `IN` upon another of them: each nests, without a bracket.
    stacked: usize,
}

impl<'a> Parser<'_, 'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).map(|placed| placed.token)
    }

    /// Goes past the next token if it is this symbol or, in any case, this keyword.
    fn take(&mut self, wanted: &str) -> bool {
        let found = self.is(0, wanted);
        self.next += usize::from(found);
        found
    }

    fn is(&self, ahead: usize, wanted: &str) -> bool {
        match self.tokens.get(self.next + ahead).map(|placed| placed.token) {
            Some(Token::Symbol(symbol)) => symbol == wanted,
            Some(Token::Word(word)) => word.eq_ignore_ascii_case(wanted),
            _ => false,
        }
    }

    fn demand(&mut self, wanted: &str, what: &str) -> Result<(), Refused> {
        match self.take(wanted) {
            true => Ok(()),
            false => Err(self.expected(what)),
        }
    }

    /// Something else stands where `what` should.
    fn expected(&self, what: &str) -> Refused {
        let Some(placed) = self.tokens.get(self.next) else {
            return Refused::syntax(self.end, format!("expected {what}, but the expression ends"));
        };
        let found = match placed.token {
            Token::Word(text) | Token::Digits(text) => format!("`{}`", text.chars().take(40).collect::<String>()),
            Token::Symbol(symbol) => format!("`{symbol}`"),
            Token::Text(..) => "a text".to_owned(),
        };
        Refused::syntax(placed.at, format!("expected {what}, not {found}"))
    }

    /// What `inner` reads, one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Refused>) -> Result<T, Refused> {
        if self.depth >= DEEPEST {
            return Err(TOO_DEEP);
        }
        self.depth += 1;
        let found = inner(self);
        self.depth -= 1;
        found
    }

    /// Operands of one level and the operators between them.
    fn chain(&mut self, level: Level) -> Result<Expression, Refused> {
        let first = self.tighter(level)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator(level) {
            rest.push((operator, self.tighter(level)?));
        }
        Ok(match rest.is_empty() {
            true => first,
            false => Expression::Chain(Box::new(Chain { level, first, rest })),
        })
    }

    fn tighter(&mut self, level: Level) -> Result<Expression, Refused> {
        match level.tighter() {
            Some(tighter) => self.chain(tighter),
            None => self.tested(),
        }
    }

    fn operator(&mut self, level: Level) -> Option<Operator> {
        let (Token::Symbol(text) | Token::Word(text)) = self.peek()? else {
            return None;
        };
        let operator = Operator::read(text, level)?;
        self.next += 1;
        Some(operator)
    }

    /// An operand and the `LIKE` and `IN` after it.
    fn tested(&mut self) -> Result<Expression, Refused> {
        let mut found = self.operand()?;
        loop {
            let sense = match self.is(0, "NOT") {
                true if self.is(1, "LIKE") || self.is(1, "IN") => {
                    self.next += 1;
                    Sense::Negated
                }
                _ => Sense::Plain,
            };
            if self.take("LIKE") {
                let Some(Token::Text(raw, quote)) = self.peek() else {
                    return Err(self.expected("the pattern of LIKE: a text in quotes"));
                };
                self.next += 1;
                self.stack(&found)?;
                found = Expression::Like(Box::new(found), sense, Like::new(&unescaped(raw, quote)));
            } else if self.take("IN") {
                self.demand("(", "`(` and the values of IN")?;
                let set = self.deeper(Self::list)?;
                self.stack(&found)?;
                found = Expression::In(Box::new(found), sense, set.into());
            } else {
                return Ok(found);
            }
        }
    }

    /// Counts a test of what is a test itself.
    fn stack(&mut self, tested: &Expression) -> Result<(), Refused> {
        self.stacked += usize::from(matches!(tested, Expression::Like(..) | Expression::In(..)));
        match self.stacked > DEEPEST {
            true => Err(TOO_DEEP),
            false => Ok(()),
        }
    }

    /// Expressions with commas between them, at least one, and the closing bracket.
    fn list(&mut self) -> Result<Vec<Expression>, Refused> {
        let mut items = vec![self.chain(Level::Logic)?];
        while self.take(",") {
            items.push(self.chain(Level::Logic)?);
        }
        self.demand(")", "`,` or `)`")?;
        Ok(items)
    }

    fn operand(&mut self) -> Result<Expression, Refused> {
        self.operands += 1;
        if self.operands > MOST_OPERANDS {
            return Err(Refused::TooLarge("an expression has at most 1024 operands"));
        }
        if let Some(number) = self.integer()? {
            return Ok(Expression::Integer(number));
        }
        if self.take("-") {
            return Ok(Expression::Minus(Box::new(self.deeper(Self::operand)?)));
        }
        if self.take("NOT") {
            return Ok(Expression::Not(Box::new(self.deeper(Self::operand)?)));
        }
        if self.take("(") {
            let inner = self.deeper(|parser| parser.chain(Level::Logic))?;
            self.demand(")", "an operator or `)`")?;
            return Ok(inner);
        }
        if self.take("EXISTS") {
            return Ok(Expression::Exists(
                self.attribute("the name of an attribute after EXISTS")?,
            ));
        }
        if self.take("TRUE") {
            return Ok(Expression::Boolean(true));
        }
        if self.take("FALSE") {
            return Ok(Expression::Boolean(false));
        }
        self.named_or_text()
    }

    fn named_or_text(&mut self) -> Result<Expression, Refused> {
        if let Some(Token::Text(raw, quote)) = self.peek() {
            self.next += 1;
            return Ok(Expression::Text(unescaped(raw, quote).into()));
        }
        match self.peek() {
            Some(Token::Word(name)) if self.is(1, "(") && !is_keyword(name) => self.call(name),
            _ => Ok(Expression::Attribute(
                self.attribute("a value, an attribute or a function")?,
            )),
        }
    }

    fn call(&mut self, name: &str) -> Result<Expression, Refused> {
        if !name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') || name.starts_with('_') {
            return Err(self.expected("a function, whose name has only letters and `_`"));
        }
        self.next += 2;
        let arguments = match self.take(")") {
            true => Vec::new(),
            false => self.deeper(Self::list)?,
        };
        Ok(Expression::Call(Call::new(name, arguments)))
    }

    fn attribute(&mut self, what: &str) -> Result<Box<str>, Refused> {
        let name = match self.peek() {
            Some(Token::Word(name) | Token::Digits(name)) if !is_keyword(name) => name,
            _ => return Err(self.expected(what)),
        };
        if !is_attribute_name(name) {
            return Err(self.expected(&format!("{what} (attributes have only a-z and 0-9)")));
        }
        self.next += 1;
        Ok(name.into())
    }

    /// A number, and the sign that it begins with.
    fn integer(&mut self) -> Result<Option<i32>, Refused> {
        let sign = ["-", "+"].into_iter().find(|sign| self.is(0, sign));
        let at = self.next + usize::from(sign.is_some());
        let Some(Placed {
            token: Token::Digits(digits),
            joined,
            ..
        }) = self.tokens.get(at)
        else {
            return Ok(None);
        };
        if sign.is_some() && !joined {
            return Ok(None);
        }
        let number = format!("{}{digits}", sign.unwrap_or_default()).parse();
        let Ok(number) = number else {
            return Err(self.expected("an Integer from -2147483648 to 2147483647"));
        };
        self.next = at + 1;
        Ok(Some(number))
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}
