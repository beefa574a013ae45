//! What somebody may do, and where: `publish`, `subscribe:orders`, `admin:orders`.
//!
//! Invariant: who may administer a bus may do everything on it, and nothing beside it: plugins, tokens and settings are
//! of all buses.

use std::fmt;

use crate::nearest::hint;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Bring events.
    Publish,
    /// Read events, and make, change and remove subscriptions.
    Subscribe,
    /// Everything: dead letters and replays; on every bus also plugins, tokens, settings.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Publish, Self::Subscribe, Self::Admin];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Admin => "admin",
        }
    }
}

/// A scope, on one bus or on all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// What.
    pub scope: Scope,
    /// Where; none: everywhere.
    pub bus: Option<String>,
}

impl Permission {
    /// Everything.
    pub(super) const ALL: Self = Self {
        scope: Scope::Admin,
        bus: None,
    };

    /// Reads `publish`, `subscribe:orders`, `admin`.
    ///
    /// # Errors
    /// Completes the sentence "`scopes` …".
    pub fn parse(text: &str) -> Result<Self, String> {
        let (word, bus) = match text.split_once(':') {
            Some((word, bus)) => (word, Some(bus.to_owned())),
            None => (text, None),
        };
        let scope = Scope::ALL.into_iter().find(|scope| scope.word() == word);
        let Some(scope) = scope else {
            return Err(format!(
                "holds `{text}`, which is no scope; {}",
                hint(word, Scope::ALL.map(Scope::word))
            ));
        };
        match &bus {
            Some(name) if name.is_empty() => Err(format!("holds `{text}`: a bus's name is missing after the colon")),
            _ => Ok(Self { scope, bus }),
        }
    }

    /// Whether this is enough for that scope on that bus (none: on every bus).
    pub(super) fn covers(&self, scope: Scope, bus: Option<&str>) -> bool {
        (self.bus.is_none() || self.bus.as_deref() == bus) && self.is(scope)
    }

    /// Whether this is enough for that scope somewhere.
    pub(super) fn is(&self, scope: Scope) -> bool {
        self.scope == scope || self.scope == Scope::Admin
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope.word())?;
        self.bus.iter().try_for_each(|bus| write!(f, ":{bus}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_is_none_is_refused_in_words() {
        for (text, words) in [
            ("publsh", "did you mean `publish`"),
            ("publish:", "missing after the colon"),
        ] {
            let why = Permission::parse(text).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        for text in ["publish", "subscribe:orders", "admin:orders", "admin"] {
            assert_eq!(Permission::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn scopes_cover_their_bus_alone() {
        for (held, scope, bus, enough) in [
            ("admin", Scope::Admin, None, true),
            ("admin", Scope::Publish, Some("orders"), true),
            ("publish", Scope::Publish, Some("any"), true),
            ("publish", Scope::Subscribe, Some("any"), false),
            ("subscribe:orders", Scope::Subscribe, Some("orders"), true),
            ("subscribe:orders", Scope::Subscribe, Some("other"), false),
            ("subscribe:orders", Scope::Subscribe, None, false),
            ("admin:orders", Scope::Admin, Some("orders"), true),
            ("admin:orders", Scope::Publish, Some("orders"), true),
            ("admin:orders", Scope::Admin, None, false),
            ("admin:orders", Scope::Subscribe, Some("busway"), false),
        ] {
            let held = Permission::parse(held).unwrap();
            assert_eq!(held.covers(scope, bus), enough, "{held} {scope:?} {bus:?}");
        }
    }
}
