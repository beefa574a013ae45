//! JSON in which numbers stay as they were written and members in their order.
//!
//! Alibaba's EventBridge compares and inserts numbers by their text: 300, 300.0 and 3.0e2 are three values to it, and
//! one to `serde_json::Value`. What needs the difference reads the bytes once more, into this.
//! Rejected: serde_json's `arbitrary_precision`, which would slow every number of the hub down.
//! Invariant: nothing is nested deeper than an event's data may be, so that walking it cannot overflow the stack.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::nesting;

/// A JSON value, numbers as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lexed {
    /// `null`.
    Null,
    /// A truth value.
    Boolean(bool),
    /// A number, as it was written.
    Number(Box<str>),
    /// A text.
    Text(Box<str>),
    /// An array.
    Array(Vec<Lexed>),
    /// An object; a name that stands twice is twice in it.
    Object(Vec<(Box<str>, Lexed)>),
}

impl Lexed {
    /// Reads a JSON text; none if it is not JSON, or nested too deep.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<IgnoredAny>(text).ok()?;
        if nesting::too_deep(text.as_bytes()) {
            return None;
        }
        Scanner { rest: text }.value()
    }

    /// A member of an object; of several with this name the last.
    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .rev()
                .find(|(key, _)| &**key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// An item of an array; counted from the end if `at` is negative.
    pub fn item(&self, at: i64) -> Option<&Self> {
        let Self::Array(items) = self else { return None };
        let from_end = || items.len().checked_sub(usize::try_from(at.unsigned_abs()).ok()?);
        let at = if at < 0 { from_end() } else { usize::try_from(at).ok() };
        items.get(at?)
    }

    /// The text of a text, a number or a truth value.
    pub fn primitive(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Boolean(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
            Self::Number(text) | Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// Compact JSON, without the members of objects that are null.
    pub fn to_compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::Array(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                let there = members.iter().filter(|(_, value)| *value != Self::Null);
                for (at, (name, value)) in there.enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(name));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// A text as JSON writes it, quotes and all.
pub fn quoted(text: &str) -> String {
    // A text always has a JSON form: there is no error to hand on.
    serde_json::to_string(text).unwrap_or_default()
}

/// Takes well-formed JSON apart.
struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    fn value(&mut self) -> Option<Lexed> {
        match self.peek()? {
            b'{' => self.members(),
            b'[' => self.items(),
            b'"' => self.string().map(Lexed::Text),
            b'n' => self.skip(4).map(|()| Lexed::Null),
            b't' => self.skip(4).map(|()| Lexed::Boolean(true)),
            b'f' => self.skip(5).map(|()| Lexed::Boolean(false)),
            _ => {
                let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
                let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
                let number = self.rest.get(..end)?.into();
                self.skip(end)?;
                Some(Lexed::Number(number))
            }
        }
    }

    fn members(&mut self) -> Option<Lexed> {
        let mut members = Vec::new();
        self.skip(1)?;
        while self.peek()? != b'}' {
            let name = self.string()?;
            self.peek()?;
            self.skip(1)?;
            members.push((name, self.value()?));
            self.comma()?;
        }
        self.skip(1)?;
        Some(Lexed::Object(members))
    }

    fn items(&mut self) -> Option<Lexed> {
        let mut items = Vec::new();
        self.skip(1)?;
        while self.peek()? != b']' {
            items.push(self.value()?);
            self.comma()?;
        }
        self.skip(1)?;
        Some(Lexed::Array(items))
    }

    fn comma(&mut self) -> Option<()> {
        if self.peek()? == b',' {
            self.skip(1)?;
            self.peek()?;
        }
        Some(())
    }

    fn string(&mut self) -> Option<Box<str>> {
        let mut bytes = self.rest.bytes().enumerate().skip(1);
        let end = loop {
            match bytes.next()? {
                (_, b'\\') => drop(bytes.next()),
                (at, b'"') => break at,
                _ => {}
            }
        };
        let text: String = serde_json::from_str(self.rest.get(..=end)?).ok()?;
        self.skip(end + 1)?;
        Some(text.into())
    }

    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.bytes().next()
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_stays_so() {
        for (text, compact) in [
            (" 3.0e2 ", "3.0e2"),
            ("-0", "-0"),
            ("300.00", "300.00"),
            ("18446744073709551616000", "18446744073709551616000"),
            ("[ 1 , \"a\\\"]\\u00e4\" , null , [ ] ]", "[1,\"a\\\"]ä\",null,[]]"),
            (
                "{ \"b\" : 1.0 , \"a\" : { \"x\" : null } , \"n\" : null }",
                "{\"b\":1.0,\"a\":{}}",
            ),
            ("true", "true"),
            ("{}", "{}"),
        ] {
            assert_eq!(
                Lexed::parse(text).map(|json| json.to_compact()).as_deref(),
                Some(compact),
                "{text}"
            );
        }
        for text in ["", "{", "[1,]", "01", "nul", "\"\\ud800\"", &"[".repeat(200)] {
            assert_eq!(Lexed::parse(text), None, "{text}");
        }
    }

    #[test]
    fn items_are_counted_from_either_end() {
        let list = Lexed::parse("[1,2,3]").expect("JSON");
        for (at, want) in [
            (0, Some("1")),
            (2, Some("3")),
            (3, None),
            (-1, Some("3")),
            (-3, Some("1")),
            (-4, None),
        ] {
            assert_eq!(list.item(at).and_then(Lexed::primitive).as_deref(), want, "{at}");
        }
        assert_eq!(list.item(i64::MIN), None);
        assert_eq!(
            Lexed::parse("{\"a\":1,\"a\":2}").and_then(|o| o.member("a").cloned()),
            Some(Lexed::Number("2".into()))
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_serde_reads_it(text in "[\\[\\]{}:,\"a-c0-9 .eE+\\\\trufals-]{0,40}") {
            let ours = Lexed::parse(&text);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            if let (Some(ours), Ok(theirs)) = (&ours, &theirs) {
                let again: serde_json::Value = serde_json::from_str(&ours.to_compact()).expect("JSON");
                let mut bare = theirs.clone();
                without_nulls(&mut bare);
                let mut again = again;
                without_nulls(&mut again);
                prop_assert_eq!(again, bare);
            }
            prop_assert!(ours.is_some() || theirs.is_err());
        }
    }

    fn without_nulls(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(members) => {
                members.retain(|_, value| !value.is_null());
                members.values_mut().for_each(without_nulls);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(without_nulls),
            _ => {}
        }
    }
}
