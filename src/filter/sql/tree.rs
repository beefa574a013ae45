//! An expression as a tree, and as text again.
//!
//! What is written one after the other on one level of precedence (`a AND b OR c`) is one [`Chain`], not a tree that
//! leans: a list of a thousand alternatives is evaluated by a loop.
//! Invariant: the text of a tree parses to an equal tree.

use std::fmt;

use super::function::{self, Function};
use super::like::Like;
use super::value::Kind;

/// One expression.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::filter) enum Expression {
    /// A literal.
    Boolean(bool),
    /// A literal.
    Integer(i32),
    /// A literal.
    Text(Box<str>),
    /// The value of an attribute.
    Attribute(Box<str>),
    /// `EXISTS name`
    Exists(Box<str>),
    /// `NOT x`
    Not(Box<Expression>),
    /// `-x`
    Minus(Box<Expression>),
    /// `x LIKE 'pattern'`
    Like(Box<Expression>, Sense, Like),
    /// `x IN (a, b)`
    In(Box<Expression>, Sense, Box<[Expression]>),
    /// Operators of one level, left to right.
    Chain(Box<Chain>),
    /// `NAME(a, b)`
    Call(Call),
}

/// Whether `NOT` stands before `LIKE` or `IN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filter) enum Sense {
    Plain,
    Negated,
}

/// Operators of one level, left to right; at least one.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::filter) struct Chain {
    pub(super) level: Level,
    pub(super) first: Expression,
    pub(super) rest: Vec<(Operator, Expression)>,
}

/// A level of precedence, the loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::filter) enum Level {
    Logic,
    Comparison,
    Sum,
    Product,
}

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filter) enum Operator {
    And,
    Or,
    Xor,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::filter) struct Call {
    /// As it was written.
    pub(super) name: Box<str>,
    /// Which one it is, if there is one of that name and that many parameters.
    pub(super) function: Option<&'static Function>,
    pub(super) arguments: Box<[Expression]>,
}

impl Call {
    pub(super) fn new(name: &str, arguments: Vec<Expression>) -> Self {
        Self {
            name: name.into(),
            function: function::find(name, arguments.len()),
            arguments: arguments.into(),
        }
    }
}

impl Level {
    /// The type of what operators of this level yield.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Logic | Self::Comparison => Kind::Boolean,
            Self::Sum | Self::Product => Kind::Integer,
        }
    }

    /// The next tighter one.
    pub(super) fn tighter(self) -> Option<Self> {
        match self {
            Self::Logic => Some(Self::Comparison),
            Self::Comparison => Some(Self::Sum),
            Self::Sum => Some(Self::Product),
            Self::Product => None,
        }
    }
}

impl Operator {
    /// The operators and how they are written; `<>` is a second spelling of the second.
    const WRITTEN: [(Self, &'static str, Level); 14] = [
        (Self::And, "AND", Level::Logic),
        (Self::Or, "OR", Level::Logic),
        (Self::Xor, "XOR", Level::Logic),
        (Self::Equal, "=", Level::Comparison),
        (Self::NotEqual, "!=", Level::Comparison),
        (Self::Less, "<", Level::Comparison),
        (Self::LessOrEqual, "<=", Level::Comparison),
        (Self::Greater, ">", Level::Comparison),
        (Self::GreaterOrEqual, ">=", Level::Comparison),
        (Self::Plus, "+", Level::Sum),
        (Self::Minus, "-", Level::Sum),
        (Self::Times, "*", Level::Product),
        (Self::Divide, "/", Level::Product),
        (Self::Modulo, "%", Level::Product),
    ];

    /// The operator of a level that is written so.
    pub(super) fn read(text: &str, level: Level) -> Option<Self> {
        let text = if text == "<>" { "!=" } else { text };
        let found = Self::WRITTEN
            .iter()
            .find(|(_, written, _)| written.eq_ignore_ascii_case(text));
        found.filter(|(_, _, of)| *of == level).map(|(operator, ..)| *operator)
    }

    fn written(self) -> &'static str {
        let found = Self::WRITTEN.iter().find(|(operator, ..)| *operator == self);
        found.map_or("", |(_, written, _)| written)
    }
}

impl Expression {
    /// The first call of a function that there is not, and with how many arguments.
    pub(super) fn unknown_function(&self) -> Option<(&str, usize)> {
        if let Self::Call(call) = self
            && call.function.is_none()
        {
            return Some((&call.name, call.arguments.len()));
        }
        self.parts().into_iter().find_map(Self::unknown_function)
    }

    /// The expressions directly in this one, left to right.
    pub(super) fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Boolean(_) | Self::Integer(_) | Self::Text(_) | Self::Attribute(_) | Self::Exists(_) => Vec::new(),
            Self::Not(inner) | Self::Minus(inner) | Self::Like(inner, ..) => vec![inner],
            Self::In(inner, _, set) => std::iter::once(&**inner).chain(set.iter()).collect(),
            Self::Call(call) => call.arguments.iter().collect(),
            Self::Chain(chain) => {
                let rest = chain.rest.iter().map(|(_, operand)| operand);
                std::iter::once(&chain.first).chain(rest).collect()
            }
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(truth) => f.write_str(if *truth { "TRUE" } else { "FALSE" }),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => write_text(f, text),
            Self::Attribute(name) => f.write_str(name),
            Self::Exists(name) => write!(f, "EXISTS {name}"),
            Self::Not(inner) => write!(f, "NOT {}", Operand(inner)),
            // In brackets: `-5` is a literal.
            Self::Minus(inner) => write!(f, "-({inner})"),
            Self::Like(inner, sense, like) => {
                write!(f, "{} {sense}LIKE ", Operand(inner))?;
                write_text(f, like.as_str())
            }
            Self::In(inner, sense, set) => {
                write!(f, "{} {sense}IN (", Operand(inner))?;
                write_list(f, set)
            }
            Self::Call(call) => {
                write!(f, "{}(", call.name)?;
                write_list(f, &call.arguments)
            }
            Self::Chain(chain) => {
                write!(f, "{}", Operand(&chain.first))?;
                let mut rest = chain.rest.iter();
                rest.try_for_each(|(operator, operand)| write!(f, " {} {}", operator.written(), Operand(operand)))
            }
        }
    }
}

/// An expression as an operand: in brackets, unless it is one word.
struct Operand<'a>(&'a Expression);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = match self.0 {
            Expression::Boolean(_) | Expression::Text(_) | Expression::Attribute(_) | Expression::Call(_) => true,
            Expression::Integer(number) => *number >= 0,
            _ => false,
        };
        match plain {
            true => write!(f, "{}", self.0),
            false => write!(f, "({})", self.0),
        }
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "",
            Self::Negated => "NOT ",
        })
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, items: &[Expression]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if at > 0 { ", " } else { "" })?;
    }
    f.write_str(")")
}

/// A text in the quotes that can hold it: `\'` as such can only stand in double ones.
fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let quote = if has_escaped_quote(text) { '"' } else { '\'' };
    write!(f, "{quote}")?;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                write!(f, "\\")?;
                chars.next().map_or(Ok(()), |next| write!(f, "{next}"))?;
            }
            c if c == quote => write!(f, "\\{quote}")?,
            c => write!(f, "{c}")?,
        }
    }
    write!(f, "{quote}")
}

fn has_escaped_quote(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next() == Some('\'') {
            return true;
        }
    }
    false
}
