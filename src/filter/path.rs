//! Where in a filter a fault is: `filters[1].any[0].prefix.subject`.
//!
//! A chain of borrowed steps on the stack, so that a parse without faults never builds the text.

use std::fmt;

use crate::error::Error;

/// A step and the steps that led to it.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// The name of the whole.
    Root(&'a str),
    /// A member of an object.
    Key(&'a Path<'a>, &'a str),
    /// An item of an array, from 0.
    Item(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    /// The member `key` of this.
    pub(super) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    /// The item at `index` of this.
    pub(super) fn item(&'a self, index: usize) -> Path<'a> {
        Path::Item(self, index)
    }

    /// What is here breaks `rule`.
    pub(super) fn fault(&self, code: &'static str, rule: impl fmt::Display) -> Error {
        Error::invalid(code, format!("{self}: {rule}"))
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Key(parent, key) if is_plain(key) => write!(f, "{parent}.{key}"),
            Self::Key(parent, key) => write!(f, "{parent}[{key:?}]"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Whether a key can be read after a dot without quotes.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_reads_like_the_json_it_points_into() {
        let root = Path::Root("filters");
        let (second, any) = (root.item(1), "any");
        let any = second.key(any);
        let first = any.item(0);
        let prefix = first.key("prefix");
        assert_eq!(prefix.key("subject").to_string(), "filters[1].any[0].prefix.subject");
        assert_eq!(prefix.key("a.b").to_string(), "filters[1].any[0].prefix[\"a.b\"]");
    }
}
