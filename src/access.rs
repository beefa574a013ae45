//! Who may do what: names with a secret and scopes, as the config gives them.
//!
//! One list serves every front door, whatever its clients send: a Bearer token is `NAME:SECRET` or the secret alone,
//! Basic is name and secret, and what signs (EventBridge's access keys) uses the name as the key's id.
//! Why the secret itself and not its hash: a signature can only be checked by who has the secret. It comes from a file
//! or a variable, so that the config holds none.
//!
//! Invariant: an answer does not tell whether the name or the secret was wrong, nor by its time.
//! Invariant: nothing here shows a secret, not even to `Debug`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::nearest::hint;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Bring events.
    Publish,
    /// Read events, and make, change and remove subscriptions.
    Subscribe,
    /// Everything, on every bus: plugins, dead letters, settings.
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
        match (scope, &bus) {
            (Scope::Admin, Some(_)) => Err(format!("holds `{text}`: `admin` is for all buses, leave the bus out")),
            (_, Some(name)) if name.is_empty() => {
                Err(format!("holds `{text}`: a bus's name is missing after the colon"))
            }
            _ => Ok(Self { scope, bus }),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope.word())?;
        self.bus.iter().try_for_each(|bus| write!(f, ":{bus}"))
    }
}

/// Somebody with a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The secret itself.
    pub secret: String,
    /// What it opens.
    pub permissions: Vec<Permission>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// Who is asking.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The name, for logs; none where nobody is asked.
    pub name: Option<Arc<str>>,
    permissions: Arc<[Permission]>,
}

impl Principal {
    /// Whoever it is, where nobody is asked.
    fn anybody() -> Self {
        Self {
            name: None,
            permissions: [Permission {
                scope: Scope::Admin,
                bus: None,
            }]
            .into(),
        }
    }

    /// Whoever has a token that lets events in on one bus, such as a webhook's URL: it opens nothing else.
    pub fn for_publishing(bus: &str) -> Self {
        Self {
            name: None,
            permissions: [Permission {
                scope: Scope::Publish,
                bus: Some(bus.to_owned()),
            }]
            .into(),
        }
    }

    /// Whether this is allowed on that bus (none: on every bus).
    pub fn may(&self, scope: Scope, bus: Option<&str>) -> bool {
        self.permissions.iter().any(|held| {
            let place = held.bus.is_none() || held.bus.as_deref() == bus;
            place && (held.scope == scope || held.scope == Scope::Admin)
        })
    }
}

/// Everybody who may do something.
#[derive(Debug)]
pub struct Access {
    accounts: BTreeMap<String, Account>,
    /// Secrets are compared by a keyed digest, so that time tells nothing of them.
    key: hmac::Key,
}

impl Access {
    /// With these accounts; with none, nobody is asked.
    pub fn new(accounts: BTreeMap<String, Account>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &crate::chance::bits().to_ne_bytes());
        Self { accounts, key }
    }

    /// Whether nobody is asked.
    pub fn is_open(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Who may come in without credentials: everybody, or nobody.
    pub fn anonymous(&self) -> Option<Principal> {
        self.is_open().then(Principal::anybody)
    }

    /// Who has this name and secret. Where nobody is asked, everybody has.
    pub fn verify(&self, name: &str, secret: &str) -> Option<Principal> {
        if self.is_open() {
            return Some(Principal::anybody());
        }
        // A name that is not there takes as long as one that is.
        let (account, known) = match self.accounts.get(name) {
            Some(account) => (Some(account), account.secret.as_str()),
            None => (None, ""),
        };
        let same = self.same(secret, known);
        account.filter(|_| same).map(|account| principal(name, account))
    }

    /// Whose token this is: `NAME:SECRET`, or a secret alone.
    pub fn bearer(&self, token: &str) -> Option<Principal> {
        if self.is_open() {
            return Some(Principal::anybody());
        }
        if let Some(found) = token
            .split_once(':')
            .and_then(|(name, secret)| self.verify(name, secret))
        {
            return Some(found);
        }
        // All are looked at, so that time does not tell which one it was.
        let mut found = None;
        for (name, account) in &self.accounts {
            if self.same(token, &account.secret) {
                found = Some(principal(name, account));
            }
        }
        found
    }

    /// Whose `Authorization` header this is: `Basic …`, `Bearer …`, or the `ApiKey user:key` and `token=…` of older
    /// clients.
    pub fn header(&self, value: &str) -> Option<Principal> {
        if self.is_open() {
            return Some(Principal::anybody());
        }
        let value = value.trim();
        if let Some(token) = value.strip_prefix("token=") {
            return self.bearer(token.trim());
        }
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim();
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => self.bearer(rest),
            "basic" => {
                let decoded = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
                let (name, secret) = decoded.split_once(':')?;
                self.verify(name, secret)
            }
            "apikey" => {
                let (name, secret) = rest.split_once(':')?;
                self.verify(name, secret)
            }
            _ => None,
        }
    }

    /// The secret of this name, for what is signed with it.
    pub fn secret(&self, name: &str) -> Option<(Principal, &str)> {
        let account = self.accounts.get(name)?;
        Some((principal(name, account), &account.secret))
    }

    fn same(&self, given: &str, known: &str) -> bool {
        let tag = hmac::sign(&self.key, given.as_bytes());
        // An empty secret is nobody's.
        hmac::verify(&self.key, known.as_bytes(), tag.as_ref()).is_ok() && !known.is_empty()
    }
}

fn principal(name: &str, account: &Account) -> Principal {
    Principal {
        name: Some(name.into()),
        permissions: account.permissions.clone().into(),
    }
}

/// A secret as configs write it: `file:PATH`, `env:NAME`, or the value itself. `key` is for the message.
///
/// # Errors
/// The file cannot be read, or the variable is not set.
pub fn value_of(key: &str, text: &str) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("file:") {
        let read = std::fs::read_to_string(Path::new(path));
        // Secrets in files end in a newline that is not part of them.
        return read
            .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
            .map_err(|error| format!("{key} cannot be read from file {path:?}: {error}"));
    }
    match text.strip_prefix("env:") {
        Some(from) => std::env::var(from).map_err(|_| format!("{key}: the environment variable {from} is not set")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let account = |secret: &str, scopes: &[&str]| Account {
            secret: secret.to_owned(),
            permissions: scopes.iter().map(|scope| Permission::parse(scope).unwrap()).collect(),
        };
        Access::new(BTreeMap::from([
            ("ann".to_owned(), account("s3cret", &["admin"])),
            ("bob".to_owned(), account("pass:word", &["publish", "subscribe:orders"])),
        ]))
    }

    #[test]
    fn credentials_of_every_form_are_known() {
        let access = access();
        let name = |value: &str| {
            access
                .header(value)
                .and_then(|who| who.name)
                .map(|name| name.to_string())
        };
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
        for (value, who) in [
            ("Bearer s3cret".to_owned(), Some("ann")),
            ("bearer ann:s3cret".to_owned(), Some("ann")),
            ("Bearer bob:s3cret".to_owned(), None),
            ("Bearer ".to_owned(), None),
            (basic("ann:s3cret"), Some("ann")),
            (basic("bob:pass:word"), Some("bob")),
            (basic("bob:pass"), None),
            (basic("eve:"), None),
            ("ApiKey ann:s3cret".to_owned(), Some("ann")),
            ("token=s3cret".to_owned(), Some("ann")),
            ("Digest x".to_owned(), None),
            ("Basic %%%".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(name(&value).as_deref(), who, "{value}");
        }
    }

    #[test]
    fn scopes_are_for_their_bus() {
        let access = access();
        let (ann, bob) = (
            access.verify("ann", "s3cret").unwrap(),
            access.bearer("pass:word").unwrap(),
        );
        for (who, scope, bus, allowed) in [
            (&ann, Scope::Admin, None, true),
            (&ann, Scope::Publish, Some("orders"), true),
            (&bob, Scope::Publish, Some("any"), true),
            (&bob, Scope::Subscribe, Some("orders"), true),
            (&bob, Scope::Subscribe, Some("other"), false),
            (&bob, Scope::Subscribe, None, false),
            (&bob, Scope::Admin, None, false),
        ] {
            assert_eq!(who.may(scope, bus), allowed, "{:?} {scope:?} {bus:?}", who.name);
        }
    }

    #[test]
    fn without_accounts_nobody_is_asked() {
        let open = Access::new(BTreeMap::new());
        assert!(open.anonymous().unwrap().may(Scope::Admin, None));
        assert!(open.header("nonsense").is_some());
        assert!(access().anonymous().is_none());
    }

    #[test]
    fn a_scope_that_is_none_is_refused_in_words() {
        for (text, words) in [
            ("publsh", "did you mean `publish`"),
            ("admin:orders", "leave the bus out"),
            ("publish:", "missing after the colon"),
        ] {
            let why = Permission::parse(text).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        assert_eq!(
            Permission::parse("subscribe:orders").unwrap().to_string(),
            "subscribe:orders"
        );
    }

    #[test]
    fn nothing_shows_a_secret() {
        assert!(!format!("{:?}", access()).contains("s3cret"));
    }
}
