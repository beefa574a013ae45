//! Everything that decides whether one subscription wants an event.

use super::decide::{Match, all};
use super::dialect::Filter;
use super::types::TypePattern;
use crate::event::Event;

/// Everything that decides whether a subscription wants an event: all parts must pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Selector {
    /// `source` must equal this.
    pub source: Option<String>,
    /// `type` must match one of these; none means any.
    pub types: Vec<TypePattern>,
    /// All of these must pass.
    pub filters: Vec<Filter>,
}

impl Selector {
    /// What the native part says.
    pub fn matches(&self, event: &Event) -> Match {
        self.matches_by(event, |_, filter| filter.matches(event))
    }

    /// As [`Selector::matches`], with a filter (and its place in `filters`) answered by `ask`.
    pub(super) fn matches_by(
        &self,
        event: &Event,
        mut ask: impl FnMut(usize, &Filter) -> Match,
    ) -> Match {
        let named = self.source.as_ref().is_none_or(|s| s == event.source())
            && (self.types.is_empty() || self.types.iter().any(|t| t.matches(event.ty())));
        if !named {
            return Match::No;
        }
        all(self.filters.iter().enumerate().map(|(at, f)| ask(at, f)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Draft;

    #[test]
    fn every_part_must_pass() {
        let event = Draft {
            source: "/app".into(),
            ty: "a.b".into(),
            subject: Some("x".into()),
            ..Draft::default()
        };
        let event = event.check().expect("valid");
        let plugin = json!({"plugin": {"name": "p"}});
        for (source, types, filters, expected) in [
            (None, vec![], vec![], Match::Yes),
            (Some("/app"), vec![], vec![], Match::Yes),
            (Some("/ap"), vec![], vec![], Match::No),
            (None, vec!["c", "a.*"], vec![], Match::Yes),
            (None, vec!["c"], vec![], Match::No),
            (None, vec![], vec![plugin.clone()], Match::AskPlugins),
            (None, vec!["c"], vec![plugin.clone()], Match::No),
            (
                None,
                vec![],
                vec![plugin, json!({"exact": {"subject": "y"}})],
                Match::No,
            ),
        ] {
            let selector = Selector {
                source: source.map(str::to_owned),
                types: types
                    .into_iter()
                    .map(|t| TypePattern::parse(t).expect(t))
                    .collect(),
                filters: filters
                    .iter()
                    .map(|f| Filter::parse(f).expect("valid"))
                    .collect(),
            };
            assert_eq!(selector.matches(&event), expected, "{selector:?}");
        }
    }
}
