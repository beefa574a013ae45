//! What a filter says of an event: natively in three values, with plugin verdicts in two.
//!
//! Invariant: `matches` says `Yes` or `No` only if no plugin verdict could change it, and `decide` asks for a verdict
//! only while the answer hangs on one: what is native is settled first, since it costs a hundredth.

use std::collections::VecDeque;

use super::dialect::{Filter, PluginFilter};
use crate::event::Event;

/// What the native filters alone can say of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It passes, whatever plugins say.
    Yes,
    /// It does not pass, whatever plugins say.
    No,
    /// That depends on plugin filters.
    AskPlugins,
}

impl Filter {
    /// What the native part says (three-valued: a plugin leaf is unknown).
    pub fn matches(&self, event: &Event) -> Match {
        match self {
            Self::Exact(pairs) => every(pairs, event, |value, text| value == text),
            Self::Prefix(pairs) => every(pairs, event, |value, text| value.starts_with(text)),
            Self::Suffix(pairs) => every(pairs, event, |value, text| value.ends_with(text)),
            Self::All(filters) => all(filters.iter().map(|f| f.matches(event))),
            Self::Any(filters) => any(filters.iter().map(|f| f.matches(event))),
            Self::Not(filter) => filter.matches(event).not(),
            Self::Pattern(pattern) => pattern.matches(event).into(),
            Self::Sql(sql) => sql.passes(event).into(),
            Self::Plugin(_) => Match::AskPlugins,
        }
    }

    /// Decides with plugin verdicts: `verdict(leaf)` says whether that plugin filter passed.
    pub fn decide(&self, event: &Event, verdict: &mut dyn FnMut(&PluginFilter) -> bool) -> bool {
        match (self.matches(event), self) {
            (Match::Yes, _) => true,
            (Match::No, _) => false,
            (_, Self::Plugin(leaf)) => verdict(leaf),
            (_, Self::All(filters)) => filters.iter().all(|f| f.decide(event, verdict)),
            (_, Self::Any(filters)) => filters.iter().any(|f| f.decide(event, verdict)),
            (_, Self::Not(filter)) => !filter.decide(event, verdict),
            // The other dialects are native throughout: they have answered above.
            (_, Self::Exact(_) | Self::Prefix(_) | Self::Suffix(_) | Self::Pattern(_) | Self::Sql(_)) => false,
        }
    }

    /// Every plugin filter in it, outermost first.
    pub fn plugins(&self) -> Vec<&PluginFilter> {
        let mut found = Vec::new();
        let mut level = VecDeque::from([self]);
        while let Some(filter) = level.pop_front() {
            match filter {
                Self::Plugin(leaf) => found.push(leaf),
                Self::All(filters) | Self::Any(filters) => level.extend(filters),
                Self::Not(filter) => level.push_back(filter),
                Self::Exact(_) | Self::Prefix(_) | Self::Suffix(_) | Self::Pattern(_) | Self::Sql(_) => {}
            }
        }
        found
    }

    /// The same with the place where each stands, for a filter that stands at `place`: `filters[0].any[1].plugin`.
    pub fn plugins_from(&self, place: &str) -> Vec<(String, &PluginFilter)> {
        let (name, filters) = match self {
            Self::Plugin(leaf) => return vec![(format!("{place}.plugin"), leaf)],
            Self::Not(filter) => return filter.plugins_from(&format!("{place}.not")),
            Self::All(filters) => ("all", filters),
            Self::Any(filters) => ("any", filters),
            Self::Exact(_) | Self::Prefix(_) | Self::Suffix(_) | Self::Pattern(_) | Self::Sql(_) => return Vec::new(),
        };
        let places = filters
            .iter()
            .enumerate()
            .map(|(at, filter)| (format!("{place}.{name}[{at}]"), filter));
        places.flat_map(|(place, filter)| filter.plugins_from(&place)).collect()
    }
}

/// Whether every named attribute is there and passes.
fn every(pairs: &[(String, String)], event: &Event, test: fn(&str, &str) -> bool) -> Match {
    let passes = |(name, text): &(String, String)| event.attribute(name).is_some_and(|value| test(&value, text));
    pairs.iter().all(passes).into()
}

/// Kleene's conjunction: one `No` settles it.
pub(super) fn all(answers: impl Iterator<Item = Match>) -> Match {
    any(answers.map(Match::not)).not()
}

/// Kleene's disjunction: one `Yes` settles it.
fn any(answers: impl Iterator<Item = Match>) -> Match {
    let mut sum = Match::No;
    for answer in answers {
        match answer {
            Match::Yes => return Match::Yes,
            Match::AskPlugins => sum = Match::AskPlugins,
            Match::No => {}
        }
    }
    sum
}

impl Match {
    /// Kleene's negation: unknown stays unknown.
    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::AskPlugins => Self::AskPlugins,
        }
    }
}

impl From<bool> for Match {
    fn from(passes: bool) -> Self {
        match passes {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::{self, Draft};

    fn event() -> Event {
        let draft = Draft {
            id: "1".into(),
            source: "/app".into(),
            ty: "order.made".into(),
            subject: Some("/my-app/7".into()),
            extensions: vec![
                ("tenant".into(), event::Value::String("blue".into())),
                ("retries".into(), event::Value::Integer(3)),
                ("urgent".into(), event::Value::Boolean(true)),
            ],
            ..Draft::default()
        };
        draft.check().expect("valid")
    }

    fn filter(json: &Value) -> Filter {
        Filter::parse(json).expect("valid filter")
    }

    #[test]
    fn native_dialects_answer_yes_or_no() {
        for (json, expected) in [
            (json!({"exact": {"type": "order.made"}}), true),
            (json!({"exact": {"type": "Order.made"}}), false),
            (json!({"exact": {"type": "order.made", "tenant": "blue"}}), true),
            (json!({"exact": {"type": "order.made", "tenant": "red"}}), false),
            (json!({"exact": {"retries": "3", "urgent": "true"}}), true),
            (json!({"exact": {"specversion": "1.0"}}), true),
            (json!({"exact": {"missing": "x"}}), false),
            (json!({"prefix": {"subject": "/my-app"}}), true),
            (json!({"prefix": {"subject": "my-app"}}), false),
            (json!({"prefix": {"time": "2"}}), false),
            (json!({"suffix": {"subject": "/7"}}), true),
            (json!({"suffix": {"subject": "/7", "type": ".x"}}), false),
            (json!({"not": {"exact": {"missing": "x"}}}), true),
            (
                json!({"all": [{"exact": {"tenant": "blue"}}, {"suffix": {"type": "made"}}]}),
                true,
            ),
            (
                json!({"all": [{"exact": {"tenant": "blue"}}, {"suffix": {"type": "x"}}]}),
                false,
            ),
            (
                json!({"any": [{"exact": {"tenant": "red"}}, {"suffix": {"type": "made"}}]}),
                true,
            ),
            (json!({"any": [{"exact": {"tenant": "red"}}]}), false),
            (json!({"pattern": {"tenant": ["red", "blue"]}}), true),
            (json!({"pattern": {"tenant": ["red"]}}), false),
        ] {
            let filter = filter(&json);
            assert_eq!(filter.matches(&event()), expected.into(), "{json}");
            let asked = filter.decide(&event(), &mut |_| panic!("no plugin in {json}"));
            assert_eq!(asked, expected, "{json}");
        }
    }

    /// Leaves: true, false, and two plugins.
    fn leaves() -> (Value, Value, Value, Value) {
        (
            json!({"exact": {"tenant": "blue"}}),
            json!({"exact": {"tenant": "red"}}),
            json!({"plugin": {"name": "p"}}),
            json!({"plugin": {"name": "q"}}),
        )
    }

    #[test]
    fn plugin_leaves_are_unknown_until_asked() {
        let (t, f, p, q) = leaves();
        // Filter, native answer, answer with p = false and q = true, which plugins are asked.
        for (json, native, decided, asked) in [
            (p.clone(), Match::AskPlugins, false, "p"),
            (json!({"not": p}), Match::AskPlugins, true, "p"),
            (json!({"all": [p, f]}), Match::No, false, ""),
            (json!({"all": [p, t]}), Match::AskPlugins, false, "p"),
            (json!({"all": [q, t, p]}), Match::AskPlugins, false, "qp"),
            (json!({"all": [p, q]}), Match::AskPlugins, false, "p"),
            (json!({"any": [p, t]}), Match::Yes, true, ""),
            (json!({"any": [p, f]}), Match::AskPlugins, false, "p"),
            (json!({"any": [p, q]}), Match::AskPlugins, true, "pq"),
            (json!({"not": {"all": [p, f]}}), Match::Yes, true, ""),
            (json!({"not": {"any": [q, f]}}), Match::AskPlugins, false, "q"),
            (
                json!({"any": [{"all": [p, f]}, {"all": [q, t]}]}),
                Match::AskPlugins,
                true,
                "q",
            ),
        ] {
            let filter = filter(&json);
            assert_eq!(filter.matches(&event()), native, "{json}");
            let mut names = String::new();
            let answer = filter.decide(&event(), &mut |leaf| {
                names.push_str(&leaf.name);
                &*leaf.name == "q"
            });
            assert_eq!((answer, names.as_str()), (decided, asked), "{json}");
        }
    }

    #[test]
    fn plugins_are_listed_outermost_first() {
        let json = json!({"all": [
            {"not": {"any": [{"plugin": {"name": "deep"}}]}},
            {"plugin": {"name": "shallow"}},
            {"exact": {"type": "x"}},
        ]});
        let filter = filter(&json);
        let names: Vec<&str> = filter.plugins().iter().map(|p| &*p.name).collect();
        assert_eq!(names, ["shallow", "deep"]);
        let places: Vec<String> = filter
            .plugins_from("filters[2]")
            .into_iter()
            .map(|(place, _)| place)
            .collect();
        assert_eq!(
            places,
            ["filters[2].all[0].not.any[0].plugin", "filters[2].all[1].plugin"]
        );
    }
}
