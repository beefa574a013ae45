//! Who may do what: the names of the config and the tokens of the store, each with a secret and scopes.
//!
//! One list serves every front door, whatever its clients send: a Bearer token is a token of the store, `NAME:SECRET` or
//! the secret alone; Basic is name (a token's name or id) and secret (the token); and what signs (EventBridge's access
//! keys) uses a name of the config as the key's id. `account` is one entry, `secret` what proves it, `permission` what it
//! opens, `principal` who has come with it, `strangers` who came with wrong ones, `caller` whose request is being served.
//!
//! Why a hub that has once asked goes on asking until its process ends: whoever revokes the last token wants somebody out,
//! not everybody in.
//!
//! Invariant: an answer does not tell whether the name or the secret was wrong, nor by its time.
//! Invariant: nothing here shows a secret, not even to `Debug`.
//! Invariant: credentials that were revoked are known to no request that begins afterwards.

mod account;
mod bucket;
pub mod caller;
mod permission;
mod principal;
mod secret;
mod strangers;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

pub use account::{Account, NewToken, Pace, Token};
pub use permission::{Permission, Scope};
pub use principal::{Principal, Standing};
pub use secret::{Secret, value_of};
pub use strangers::Refusals;

use crate::digest::sha256;
use crate::time::Clock;
use secret::Form;
use strangers::Strangers;

/// Options of the access.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Who may do what, by name.
    pub accounts: BTreeMap<String, Account>,
    /// How often wrong credentials may come from one address; none: as often as they like.
    pub failures: Option<Pace>,
}

impl From<BTreeMap<String, Account>> for Settings {
    fn from(accounts: BTreeMap<String, Account>) -> Self {
        Self {
            accounts,
            failures: None,
        }
    }
}

/// Everybody who may do something.
#[derive(Debug)]
pub struct Access {
    accounts: BTreeMap<String, Holder>,
    tokens: RwLock<BTreeMap<String, Arc<Held>>>,
    /// Whether anybody is asked.
    asks: AtomicBool,
    anybody: Principal,
    strangers: Strangers,
    /// Secrets are compared by a keyed digest, so that time tells nothing of them.
    key: hmac::Key,
    clock: Clock,
}

/// Who has credentials, as they stand.
#[derive(Debug)]
struct Holder {
    secret: Secret,
    principal: Principal,
}

/// A token and who has it.
#[derive(Debug)]
struct Held {
    token: Token,
    holder: Holder,
}

impl Access {
    /// With these accounts; with none, nobody is asked until there is a token.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let asks = AtomicBool::new(!settings.accounts.is_empty());
        let holder = |(name, account): (String, Account)| {
            let principal = Principal::of(&name, &account, &clock);
            (
                name,
                Holder {
                    secret: account.secret,
                    principal,
                },
            )
        };
        Self {
            accounts: settings.accounts.into_iter().map(holder).collect(),
            tokens: RwLock::default(),
            asks,
            anybody: Principal::anybody(&clock),
            strangers: Strangers::new(settings.failures),
            key: hmac::Key::new(hmac::HMAC_SHA256, &crate::chance::bits().to_ne_bytes()),
            clock,
        }
    }

    /// Whether nobody is asked.
    pub fn is_open(&self) -> bool {
        !self.asks.load(Ordering::Acquire)
    }

    /// Who may come in without credentials: everybody, or nobody.
    pub fn anonymous(&self) -> Option<Principal> {
        self.is_open().then(|| known(&self.anybody))
    }

    /// Who has this name and secret. Where nobody is asked, everybody has.
    pub fn verify(&self, name: &str, secret: &str) -> Option<Principal> {
        if self.is_open() {
            return Some(known(&self.anybody));
        }
        caller::tried();
        if let Some(held) = self.proven(secret) {
            let is_its_own = name == held.token.name || name == held.token.id;
            return is_its_own.then(|| admitted(&held.holder)).flatten();
        }
        // A name that is not there takes as long as one that is.
        let nobody = Secret::Plain(String::new());
        let account = self.accounts.get(name);
        let same = self.same(secret, account.map_or(&nobody, |holder| &holder.secret));
        account.filter(|_| same).and_then(admitted)
    }

    /// Whose token this is: one of the store, `NAME:SECRET`, or a secret alone.
    pub fn bearer(&self, token: &str) -> Option<Principal> {
        if self.is_open() {
            return Some(known(&self.anybody));
        }
        caller::tried();
        if let Some(held) = self.proven(token) {
            return admitted(&held.holder);
        }
        if let Some(found) = token
            .split_once(':')
            .and_then(|(name, secret)| self.verify(name, secret))
        {
            return Some(found);
        }
        // All are looked at, so that time does not tell which one it was.
        let mut found = None;
        for holder in self.accounts.values() {
            if self.same(token, &holder.secret) {
                found = Some(holder);
            }
        }
        found.and_then(admitted)
    }

    /// Whose `Authorization` header this is: `Basic …`, `Bearer …`, or the `ApiKey user:key` and `token=…` of older
    /// clients.
    pub fn header(&self, value: &str) -> Option<Principal> {
        if self.is_open() {
            return Some(known(&self.anybody));
        }
        caller::tried();
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

    /// The secret of this name of the config, for what is signed with it; none if only its hash is kept.
    pub fn secret(&self, name: &str) -> Option<(Signatory<'_>, &str)> {
        caller::tried();
        let holder = self.accounts.get(name)?;
        match &holder.secret {
            Secret::Plain(secret) => Some((Signatory(holder), secret)),
            Secret::Sha256(_) => None,
        }
    }

    /// How long this address is turned away for, since too many wrong credentials came from it.
    pub fn turned_away(&self, address: Option<IpAddr>) -> Option<Duration> {
        self.strangers.turned_away(address?, self.clock.instant())
    }

    /// Wrong credentials came from there.
    pub fn failed(&self, address: Option<IpAddr>) {
        self.strangers.failed(address, self.clock.instant());
    }

    /// Waits until something came from strangers.
    pub async fn heard_of_strangers(&self) {
        self.strangers.heard().await;
    }

    /// What came from strangers since this was last asked.
    pub fn refusals(&self) -> Refusals {
        self.strangers.refusals()
    }

    /// The token of this text, if its secret is right.
    fn proven(&self, text: &str) -> Option<Arc<Held>> {
        let form = Form::of(text)?;
        let held = self.read().get(form.id).cloned();
        let nobody = Secret::Plain(String::new());
        let same = self.same(form.secret, held.as_ref().map_or(&nobody, |held| &held.holder.secret));
        held.filter(|_| same)
    }

    fn same(&self, given: &str, known: &Secret) -> bool {
        // Made for either kind, so that time does not tell which it is.
        let hashed = sha256(given);
        let (given, known) = match known {
            Secret::Plain(known) => (given, known),
            Secret::Sha256(known) => (hashed.as_str(), known),
        };
        let tag = hmac::sign(&self.key, given.as_bytes());
        // An empty secret is nobody's.
        hmac::verify(&self.key, known.as_bytes(), tag.as_ref()).is_ok() && !known.is_empty()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Held>>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tokens of the store, as far as they are known here.
impl Access {
    /// All of them, by id.
    pub fn tokens(&self) -> Vec<Token> {
        self.read().values().map(|held| held.token.clone()).collect()
    }

    /// The one with this id, or else this name.
    pub fn token(&self, word: &str) -> Option<Token> {
        let tokens = self.read();
        let named = || tokens.values().find(|held| held.token.name == word);
        tokens.get(word).or_else(named).map(|held| held.token.clone())
    }

    /// Whether nobody else may be called so.
    pub fn is_taken(&self, name: &str) -> bool {
        self.accounts.contains_key(name) || self.token(name).is_some()
    }

    /// Whether somebody may administer everything, now and without this token.
    pub fn has_admin_without(&self, id: &str) -> bool {
        let may = |holder: &Holder| {
            let stands = holder.principal.standing().is_none_or(|standing| !standing.has_ended());
            stands && holder.principal.may(Scope::Admin, None)
        };
        let tokens = self.read();
        let mut others = tokens.values().filter(|held| held.token.id != id);
        self.accounts.values().any(may) || others.any(|held| may(&held.holder))
    }

    /// Takes in a token. From the first one on everybody is asked; what was opened without credentials ends.
    pub fn admit(&self, token: Token) {
        let principal = Principal::of(&token.name, &token.account, &self.clock);
        let holder = Holder {
            secret: token.account.secret.clone(),
            principal,
        };
        let held = Arc::new(Held { token, holder });
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(held.token.id.clone(), held);
        drop(tokens);
        if !self.asks.swap(true, Ordering::AcqRel) {
            self.anybody.end();
        }
    }

    /// Puts a token out; what was opened with it ends.
    pub fn revoke(&self, id: &str) {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let gone = tokens.remove(id);
        drop(tokens);
        if let Some(held) = gone {
            held.holder.principal.end();
        }
    }
}

/// Who has signed, once the signature is found to be right.
pub struct Signatory<'a>(&'a Holder);

impl Signatory<'_> {
    /// Who it is; none if the credentials have expired.
    pub fn admitted(&self) -> Option<Principal> {
        admitted(self.0)
    }
}

/// Whoever came with these credentials, unless they are over.
fn admitted(holder: &Holder) -> Option<Principal> {
    let over = holder.principal.standing().is_some_and(|standing| standing.has_ended());
    (!over).then(|| known(&holder.principal))
}

fn known(principal: &Principal) -> Principal {
    caller::recognised(principal);
    principal.clone()
}

#[cfg(test)]
mod tests;
