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
        match self.source_matches(event) && self.type_matches(event) {
            true => all(self.filters.iter().map(|filter| filter.matches(event))),
            false => Match::No,
        }
    }

    /// Whether `source` lets the event pass.
    pub(super) fn source_matches(&self, event: &Event) -> bool {
        self.source.as_ref().is_none_or(|source| source == event.source())
    }

    /// Whether `types` let the event pass.
    pub(super) fn type_matches(&self, event: &Event) -> bool {
        self.types.is_empty() || self.types.iter().any(|ty| ty.matches(event.ty()))
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
            id: "1".into(),
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
                types: types.into_iter().map(|t| TypePattern::parse(t).expect(t)).collect(),
                filters: filters.iter().map(|f| Filter::parse(f).expect("valid")).collect(),
            };
            assert_eq!(selector.matches(&event), expected, "{selector:?}");
        }
    }
}
