//! Why a filter passes an event or not, in words: which leaf decided, what the event has there, what was wanted.
//!
//! Evaluation stays in `decide`, which is on the hot path and says only yes or no; this walks the same tree once more.
//! Invariant: [`Reason::passes`] is what [`Filter::decide`] says with the same verdicts.

use std::borrow::Cow;

use super::dialect::{Filter, PluginFilter};
use super::selector::Selector;
use crate::event::Event;

/// Characters of a value that are shown.
const SHOWN: usize = 120;
/// Parts of an `any` that are told.
const TOLD: usize = 3;

/// What a rule says of an event, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Whether it passes.
    pub passes: bool,
    /// The part that decided.
    pub because: String,
}

impl Reason {
    fn new(passes: bool, because: String) -> Self {
        Self { passes, because }
    }
}

impl Selector {
    /// What `source` says, if it is asked for.
    pub fn explain_source(&self, event: &Event) -> Option<Reason> {
        let wanted = self.source.as_ref()?;
        let because = match self.source_matches(event) {
            true => format!("source is {:?}", event.source()),
            false => format!("source is {:?}, and must be {wanted:?}", event.source()),
        };
        Some(Reason::new(self.source_matches(event), because))
    }

    /// What `types` say.
    pub fn explain_types(&self, event: &Event) -> Reason {
        let ty = event.ty();
        if self.types.is_empty() {
            return Reason::new(true, "every type is wanted".to_owned());
        }
        if let Some(pattern) = self.types.iter().find(|pattern| pattern.matches(ty)) {
            return Reason::new(true, format!("type {ty:?} matches {:?}", pattern.as_str()));
        }
        let wanted: Vec<&str> = self.types.iter().map(|pattern| pattern.as_str()).collect();
        let because = format!(
            "type is {ty:?}, which none of the types matches: {}",
            shown(&wanted.join(", "))
        );
        Reason::new(false, because)
    }
}

impl Filter {
    /// Decides with plugin verdicts, and says what decided.
    pub fn explain(&self, event: &Event, verdict: &mut dyn FnMut(&PluginFilter) -> bool) -> Reason {
        match self {
            Self::Exact(pairs) => attributes(pairs, event, "be", |value, text| value == text),
            Self::Prefix(pairs) => attributes(pairs, event, "begin with", |value, text| value.starts_with(text)),
            Self::Suffix(pairs) => attributes(pairs, event, "end with", |value, text| value.ends_with(text)),
            Self::All(filters) => all(filters, event, verdict),
            Self::Any(filters) => any(filters, event, verdict),
            Self::Not(filter) => {
                let inner = filter.explain(event, verdict);
                let so = if inner.passes { "passes" } else { "does not pass" };
                Reason::new(!inner.passes, format!("what is negated {so}: {}", inner.because))
            }
            Self::Pattern(pattern) => match pattern.first_failing(event) {
                None => Reason::new(true, "every field of the pattern matches".to_owned()),
                Some(why) => Reason::new(false, why),
            },
            Self::Sql(sql) => Reason::new(sql.passes(event), sql.because(event)),
            Self::Plugin(leaf) => {
                let passes = verdict(leaf);
                let so = if passes { "passes" } else { "does not pass" };
                Reason::new(passes, format!("the plugin {} {so}", leaf.name))
            }
        }
    }
}

fn all(filters: &[Filter], event: &Event, verdict: &mut dyn FnMut(&PluginFilter) -> bool) -> Reason {
    for (at, filter) in filters.iter().enumerate() {
        let reason = filter.explain(event, verdict);
        if !reason.passes {
            return Reason::new(false, format!("all[{at}]: {}", reason.because));
        }
    }
    Reason::new(true, format!("all {} pass", filters.len()))
}

fn any(filters: &[Filter], event: &Event, verdict: &mut dyn FnMut(&PluginFilter) -> bool) -> Reason {
    let mut told = Vec::new();
    for (at, filter) in filters.iter().enumerate() {
        let reason = filter.explain(event, verdict);
        if reason.passes {
            return Reason::new(true, format!("any[{at}]: {}", reason.because));
        }
        if told.len() < TOLD {
            told.push(format!("any[{at}]: {}", reason.because));
        }
    }
    let more = filters.len().saturating_sub(told.len());
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    Reason::new(false, format!("none passes: {}{rest}", told.join("; ")))
}

/// Every named attribute must be there and pass.
fn attributes(pairs: &[(String, String)], event: &Event, must: &str, test: fn(&str, &str) -> bool) -> Reason {
    let mut values = Vec::new();
    for (name, text) in pairs {
        match event.attribute(name) {
            None => return Reason::new(false, format!("{name} is not set, and must {must} {text:?}")),
            Some(value) if test(&value, text) => values.push(format!("{name} is {:?}", shown(&value))),
            Some(value) => {
                return Reason::new(
                    false,
                    format!("{name} is {:?}, and must {must} {text:?}", shown(&value)),
                );
            }
        }
    }
    Reason::new(true, values.join(", "))
}

/// A text that is not too long to be read.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::arbitrary;
    use super::*;
    use crate::event::{Data, DataKind, Draft};
    use crate::filter::TypePattern;

    fn event() -> Event {
        let draft = Draft {
            id: "1".into(),
            source: "/app".into(),
            ty: "order.made".into(),
            subject: Some("/my-app/7".into()),
            data: Some(Data {
                kind: DataKind::Json,
                bytes: r#"{"task": {"state": "RUNNING", "tries": [1, 2]}}"#.into(),
            }),
            ..Draft::default()
        };
        draft.check().unwrap()
    }

    #[test]
    fn the_leaf_that_decides_is_named() {
        let check = |filter: Value, passes: bool, because: &str| {
            let filter = Filter::parse(&filter).unwrap();
            let reason = filter.explain(&event(), &mut |leaf| &*leaf.name == "yes");
            assert_eq!(
                (reason.passes, reason.because.as_str()),
                (passes, because),
                "{filter:?}"
            );
        };
        check(
            json!({"exact": {"subject": "x"}}),
            false,
            r#"subject is "/my-app/7", and must be "x""#,
        );
        check(
            json!({"prefix": {"tenant": "x"}}),
            false,
            r#"tenant is not set, and must begin with "x""#,
        );
        check(json!({"suffix": {"subject": "/7"}}), true, r#"subject is "/my-app/7""#);
        check(
            json!({"all": [{"exact": {"id": "1"}}, {"exact": {"id": "2"}}]}),
            false,
            r#"all[1]: id is "1", and must be "2""#,
        );
        check(
            json!({"any": [{"exact": {"id": "2"}}, {"plugin": {"name": "yes"}}]}),
            true,
            "any[1]: the plugin yes passes",
        );
        check(
            json!({"not": {"plugin": {"name": "no"}}}),
            true,
            "what is negated does not pass: the plugin no does not pass",
        );
        check(
            json!({"pattern": {"data": {"task": {"state": ["FAILED", {"prefix": "TASK_"}]}}}}),
            false,
            r#"data.task.state is "RUNNING", and must be one of ["FAILED",{"prefix":"TASK_"}]"#,
        );
        check(
            json!({"pattern": {"data": {"task": {"host": ["a"]}}, "type": ["order.made"]}}),
            false,
            r#"data.task.host is not there, and must be one of ["a"]"#,
        );
        check(
            json!({"pattern": {"$or": [{"subject": ["x"]}, {"id": ["2"]}]}}),
            false,
            r#"none of $or matches: subject is "/my-app/7", and must be one of ["x"]; id is "1", and must be one of ["2"]"#,
        );
        check(
            json!({"pattern": {"data": {"task": {"tries": [2]}}}}),
            true,
            "every field of the pattern matches",
        );
    }

    #[test]
    fn source_and_types_are_told() {
        let selector = Selector {
            source: Some("/other".into()),
            types: vec![
                TypePattern::parse("a.*").unwrap(),
                TypePattern::parse("order.*").unwrap(),
            ],
            filters: Vec::new(),
        };
        let source = selector.explain_source(&event()).unwrap();
        assert_eq!(
            (source.passes, source.because.as_str()),
            (false, r#"source is "/app", and must be "/other""#)
        );
        assert_eq!(
            selector.explain_types(&event()).because,
            r#"type "order.made" matches "order.*""#
        );
    }

    proptest! {
        /// Whatever the filter and the event: the explanation is of what was decided.
        #[test]
        fn it_says_what_was_decided(json in arbitrary::filters(), event in arbitrary::events(), odd in proptest::bool::ANY) {
            let filter = Filter::parse(&json).unwrap();
            let mut verdict = |leaf: &PluginFilter| (&*leaf.name == "p") == odd;
            let reason = filter.explain(&event, &mut verdict);
            prop_assert_eq!(reason.passes, filter.decide(&event, &mut verdict), "{}", reason.because);
        }
    }
}
