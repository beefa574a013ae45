//! Patterns for event types: `com.example.order`, `com.example.*`, `com.example.**`, `deployment_*`, `*`.
//!
//! A type is read as segments between dots (one that has no dot is one segment). In a pattern
//! - `*` as a whole segment stands for exactly one segment,
//! - `**` as a whole segment stands for one or more segments: `a.**` matches `a.b` and `a.b.c`, not `a`,
//! - `*` as part of a segment stands for any characters but a dot, none included: `deployment_*`, `*_event`,
//! - the pattern `*` (or `**`) alone matches every type, dots or not: that is what its users mean by it.
//!
//! Everything else is itself, `?` too; case counts. Regular expressions were the other choice: no user of the four
//! older systems writes them, and a pattern must tell the index its literal beginning or end.
//! Invariant: matching goes back at most to the last `**`, so its time is bounded by text × pattern.

use std::sync::Arc;

use super::glob;
use crate::error::Error;

/// The most characters in a pattern.
const MAX_CHARS: usize = 256;
/// The most wildcards in a pattern.
const MAX_WILDCARDS: usize = 8;

/// A pattern for event types: `a.b` exact, `a.*` one segment, `a.**` one or more segments, and plain globs such
/// as `deployment_*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TypePattern {
    text: Arc<str>,
    shape: Shape,
}

/// How a pattern is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    /// Every type.
    Any,
    /// This type.
    Exact,
    /// Begins as the pattern does, then no dot: the only wildcard is a `*` at the end.
    Tail,
    /// Begins as the pattern does: the only wildcard is a `**` at the end.
    Below,
    /// Segment by segment.
    Segments,
}

/// What must be literally in a type that matches; what the index can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Literal<'a> {
    /// The type is this, and this is enough.
    Exact(&'a str),
    /// The type begins so, and this is enough.
    Below(&'a str),
    /// The type begins so.
    Prefix(&'a str),
    /// The type ends so.
    Suffix(&'a str),
    /// Nothing is certain.
    None,
}

impl TypePattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// `type_pattern_invalid` with the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |rule: &str| {
            let shown: String = text.chars().take(64).collect();
            Err(Error::invalid(
                "type_pattern_invalid",
                format!("type pattern {shown:?}: {rule}"),
            ))
        };
        if text.is_empty() {
            return refuse("must not be empty; `*` matches every type");
        }
        if text.chars().count() > MAX_CHARS {
            return refuse("must not be longer than 256 characters");
        }
        if text.chars().any(char::is_control) {
            return refuse("must not have control characters");
        }
        if text.split('.').any(|s| s.contains("**") && s != "**") {
            return refuse("`**` must be a whole segment, as in `com.example.**`; use `*` within a segment");
        }
        if text.replace("**", "*").matches('*').count() > MAX_WILDCARDS {
            return refuse("must not have more than 8 wildcards");
        }
        let shape = match text {
            "*" | "**" => Shape::Any,
            _ => match text.split_once('*') {
                None => Shape::Exact,
                Some((_, "")) => Shape::Tail,
                Some((_, "*")) => Shape::Below,
                Some(_) => Shape::Segments,
            },
        };
        Ok(Self {
            text: text.into(),
            shape,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a type matches.
    pub fn matches(&self, ty: &str) -> bool {
        match self.shape {
            Shape::Any => true,
            Shape::Exact => *self.text == *ty,
            Shape::Tail => ty.strip_prefix(self.before()).is_some_and(|rest| !rest.contains('.')),
            Shape::Below => ty.starts_with(self.before()),
            Shape::Segments => segments_match(&self.text, ty),
        }
    }

    /// What stands before the first wildcard.
    fn before(&self) -> &str {
        self.text.split('*').next().unwrap_or_default()
    }

    /// What is certain of every type that matches.
    pub(super) fn literal(&self) -> Literal<'_> {
        let before = self.before();
        let after = self.text.rsplit('*').next().unwrap_or_default();
        match self.shape {
            Shape::Exact => Literal::Exact(&self.text),
            Shape::Below => Literal::Below(before),
            Shape::Tail => Literal::Prefix(before),
            Shape::Segments if before.len() >= after.len() && !before.is_empty() => Literal::Prefix(before),
            Shape::Segments if !after.is_empty() => Literal::Suffix(after),
            Shape::Segments | Shape::Any => Literal::None,
        }
    }
}

/// Matches segment by segment; after a mismatch the last `**` takes one segment more.
fn segments_match(pattern: &str, ty: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('.'), ty.split('.'));
    let mut retry = None;
    loop {
        let fits = match (wanted.next(), given.next()) {
            (None, None) => return true,
            // What is left of the pattern needs a segment more, and taking more away does not give one.
            (Some(_), None) => return false,
            (Some("**"), Some(_)) => {
                retry = Some((wanted.clone(), given.clone()));
                true
            }
            (Some(glob), Some(segment)) => glob::matches(glob.split('*'), segment),
            (None, Some(_)) => false,
        };
        if fits {
            continue;
        }
        let Some((after, rest)) = &mut retry else {
            return false;
        };
        if rest.next().is_none() {
            return false;
        }
        (wanted, given) = (after.clone(), rest.clone());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let compiled = TypePattern::parse(pattern).expect(pattern);
        assert_eq!(compiled.as_str(), pattern);
        for ty in yes {
            assert!(compiled.matches(ty), "{pattern} should match {ty}");
        }
        for ty in no {
            assert!(!compiled.matches(ty), "{pattern} should not match {ty}");
        }
    }

    #[test]
    fn types_match_by_shape() {
        check("a.b", &["a.b"], &["a", "a.b.c", "A.B", "a.bc", "a-b"]);
        check("a.*", &["a.b", "a.c"], &["a", "a.b.c", "b.a", "ab.c"]);
        check("a.**", &["a.b", "a.b.c", "a.b.c.d"], &["a", "ab.c", "b.a.c"]);
        check("**.z", &["a.z", "a.b.z", "z.z"], &["z", "a.z.b"]);
        check("a.**.z", &["a.b.z", "a.b.c.z", "a.z.z"], &["a.z", "a.b.c", "a.b.z.c"]);
        check(
            "a.**.x.**.z",
            &["a.1.x.2.z", "a.x.x.x.z", "a.1.x.2.x.3.z"],
            &["a.x.z", "a.1.x.z", "a.x.1.z"],
        );
        check("*.b.*", &["a.b.c"], &["a.b", "b.c", "a.b.c.d"]);
        check(
            "deployment_*",
            &["deployment_success", "deployment_"],
            &["deployment", "a_deployment_x", "deployment_x.y"],
        );
        check(
            "*_event",
            &["status_update_event", "_event"],
            &["event", "a.b_event", "status_event_x"],
        );
        check(
            "mse:Agent:*",
            &["mse:Agent:Started", "mse:Agent:"],
            &["mse:Other:x", "mse:Agent"],
        );
        check(
            "com.*.ord*_v*.done",
            &["com.x.order_v2.done", "com.x.ord_v.done"],
            &["com.x.y.order_v2.done", "com.x.order2.done"],
        );
        check("*", &["a", "a.b.c", "mse:Agent:x", ""], &[]);
        check("**", &["a", "a.b.c"], &[]);
        check("a?c", &["a?c"], &["abc"]);
        check("a.*", &["a."], &["a"]);
    }

    #[test]
    fn wrong_patterns_are_refused_with_the_rule() {
        let long = "x".repeat(257);
        for (pattern, rule) in [
            ("", "must not be empty"),
            (long.as_str(), "256 characters"),
            ("a\u{7}b", "control characters"),
            ("a.**b", "whole segment"),
            ("a***", "whole segment"),
            ("***", "whole segment"),
            ("*a*b*c*d*e*f*g*h*i", "8 wildcards"),
        ] {
            let error = TypePattern::parse(pattern).expect_err(pattern);
            assert_eq!(error.code(), "type_pattern_invalid");
            assert!(error.message().contains(rule), "{error}");
        }
        assert!(TypePattern::parse("*a*b*c*d*e*f*g*h").is_ok());
        assert!(TypePattern::parse(&"ü".repeat(256)).is_ok());
    }

    #[test]
    fn literals_are_what_every_match_has() {
        for (pattern, expected) in [
            ("a.b", Literal::Exact("a.b")),
            ("a.*", Literal::Prefix("a.")),
            ("a.**", Literal::Below("a.")),
            ("deployment_*", Literal::Prefix("deployment_")),
            ("*_event", Literal::Suffix("_event")),
            ("a*_event", Literal::Suffix("_event")),
            ("*x*", Literal::None),
            ("*", Literal::None),
        ] {
            let compiled = TypePattern::parse(pattern).expect(pattern);
            assert_eq!(compiled.literal(), expected, "{pattern}");
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = TypePattern::parse("**.a*a*b.**.a*a*b.**.c").expect("valid");
        assert!(!pattern.matches(&"aaaaaaaa.".repeat(2_000)));
    }

    /// The definition, by trying every length.
    fn slow(pattern: &[&str], ty: &[&str]) -> bool {
        let (Some((first, rest)), Some((segment, after))) = (pattern.split_first(), ty.split_first()) else {
            return pattern.is_empty() && ty.is_empty();
        };
        match *first {
            "**" => (1..=ty.len()).any(|n| slow(rest, &ty[n..])),
            glob => glob::matches(glob.split('*'), segment) && slow(rest, after),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pattern in proptest::collection::vec("[ab]{0,2}|\\*|\\*\\*|a\\*|\\*b", 1..6),
            ty in proptest::collection::vec("[ab]{0,2}", 1..7),
        ) {
            let text = pattern.join(".");
            let joined = ty.join(".");
            if let Ok(compiled) = TypePattern::parse(&text) {
                let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
                let ty: Vec<&str> = ty.iter().map(String::as_str).collect();
                let any = text == "*" || text == "**";
                prop_assert_eq!(compiled.matches(&joined), any || slow(&pattern, &ty), "{} {}", text, joined);
            }
        }

        #[test]
        fn never_panics(pattern in "\\PC{0,40}", ty in "\\PC{0,40}") {
            if let Ok(compiled) = TypePattern::parse(&pattern) {
                compiled.matches(&ty);
            }
        }
    }
}
