//! Tokens: made, listed, revoked; while the hub runs, or offline in its data folder.
//!
//! They are documents, and so as durable as a subscription; [`Access`] knows them from there.
//! Why a hub can be left without an administrator only by force: it has no other way back in than its data folder.
//!
//! Invariant: on disk before it opens anything, off the disk before it opens nothing more.
//! Invariant: the text of a token is answered once, when it is made, and kept nowhere.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::access::{Access, NewToken, Pace, Permission, Token};
use crate::error::{Error, Kind};
use crate::event::parse_rfc3339;
use crate::hub::documents::Documents;
use crate::hub::{Hub, life};
use crate::log::FolderLock;
use crate::nearest::hint;
use crate::rate::{self, Rate};
use crate::subscription::Store;
use crate::time::{Clock, Timestamp};
use crate::units::parse_duration;

/// The kind of their documents.
const KIND: &str = "token";
const FIELDS: [&str; 5] = ["name", "scopes", "expires", "rate", "burst"];
const LONGEST_NAME: usize = 64;

/// A new token.
#[derive(Debug)]
pub struct Issued {
    /// As everybody may see it.
    pub token: Token,
    /// As its owner needs it; nobody can be shown it again.
    pub text: IssuedText,
    /// Whether the hub asked nobody until now.
    pub first: bool,
}

/// The text of a token. Not for logs: `Debug` hides it.
pub struct IssuedText(pub String);

impl std::fmt::Debug for IssuedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Lets everybody in who has a token in the store.
pub(super) fn take_up(access: Access, documents: &Documents) -> Arc<Access> {
    for (id, kept) in documents.of_kind(KIND) {
        match Token::from_stored(&id, &kept) {
            Some(token) => access.admit(token),
            None => tracing::error!(id, "a token in state.db cannot be read and opens nothing"),
        }
    }
    Arc::new(access)
}

impl Hub {
    /// Makes a token from `{"name", "scopes", "expires"?, "rate"?, "burst"?}`.
    ///
    /// # Errors
    /// `invalid_token` names the field; `token_exists`; `no_admin_left`, unless forced; `stopping`, `store_unavailable`.
    pub async fn create_token(&self, json: &Value, forced: Forced) -> Result<Issued, Error> {
        let new = read(json, self.0.clock.now())?;
        let access = self.access();
        let _issuing = self.0.issuing.lock().await;
        refuse_taken(access, &new.name)?;
        let (token, text) = issue(access, new, self.0.clock.now());
        let first = access.is_open();
        if forced == Forced::No && !token.is_admin() && !access.has_admin_without("") {
            return Err(nobody_left(
                "this hub would ask everybody for credentials, and nobody could administer it: make a token with the \
                 scope `admin` first, or say `force`",
            ));
        }
        self.put_document(KIND, &token.id, token.stored()).await?;
        access.admit(token.clone());
        self.0.life.tell(life::token("token.created", &token));
        let text = IssuedText(text);
        Ok(Issued { token, text, first })
    }

    /// Revokes the token of this id or name: at once for what begins afterwards, and what is open ends.
    ///
    /// # Errors
    /// `token_not_found`; `no_admin_left`, unless forced; `stopping`, `store_unavailable`: it still opens what it did.
    pub async fn revoke_token(&self, word: &str, forced: Forced) -> Result<Token, Error> {
        let _issuing = self.0.issuing.lock().await;
        let access = self.access();
        let token = access.token(word).ok_or_else(|| not_found(word))?;
        if forced == Forced::No && token.is_admin() && !access.has_admin_without(&token.id) {
            return Err(nobody_left(
                "nobody else could administer this hub: make another token with the scope `admin` first, or say `force`",
            ));
        }
        self.remove_document(KIND, &token.id).await?;
        access.revoke(&token.id);
        self.0.life.tell(life::token("token.revoked", &token));
        Ok(token)
    }
}

/// Whether nobody may be left who administers the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forced {
    /// Somebody must be left.
    No,
    /// The caller knows what they do.
    Yes,
}

/// The tokens of a hub that does not run, in its data folder: the way to a first token for one that everybody reaches.
pub struct Offline {
    store: Store,
    access: Arc<Access>,
    clock: Clock,
    /// Keeps a hub from starting meanwhile.
    _lock: FolderLock,
}

impl Offline {
    /// Opens the data folder of a hub, which is there.
    ///
    /// # Errors
    /// `store_not_found`; `store_locked` while a hub runs on it; `store_unavailable`.
    pub fn open(data: &Path, clock: Clock) -> Result<Self, Error> {
        if !data.join("state.db").exists() {
            let text = format!("{} is no data folder of a hub: it has no state.db", data.display());
            return Err(Error::not_found("store_not_found", text));
        }
        Self::open_or_create(data, clock)
    }

    /// Opens the data folder of a hub, or makes one for a hub that is to come.
    ///
    /// # Errors
    /// As [`Offline::open`].
    pub fn open_or_create(data: &Path, clock: Clock) -> Result<Self, Error> {
        let log = data.join("log");
        std::fs::create_dir_all(&log).map_err(|cause| {
            let text = format!("the folder {} cannot be created", log.display());
            Error::new(Kind::Unavailable, "store_unavailable", text).with_cause(cause)
        })?;
        let lock = FolderLock::take(&log)?;
        let (store, kept) = Store::open(&data.join("state.db"))?;
        let access = take_up(
            Access::new(Default::default(), clock.clone()),
            &Documents::of(kept.documents),
        );
        Ok(Self {
            store,
            access,
            clock,
            _lock: lock,
        })
    }

    /// All tokens, by id.
    pub fn tokens(&self) -> Vec<Token> {
        self.access.tokens()
    }

    /// As [`Hub::create_token`]; whoever has the folder locks nobody out.
    ///
    /// # Errors
    /// `invalid_token`, `token_exists`, `store_unavailable`.
    pub async fn create(&self, json: &Value) -> Result<Issued, Error> {
        let new = read(json, self.clock.now())?;
        refuse_taken(&self.access, &new.name)?;
        let (token, text) = issue(&self.access, new, self.clock.now());
        let first = self.access.is_open();
        self.store.put_document(KIND, &token.id, Some(&token.stored())).await?;
        self.access.admit(token.clone());
        let text = IssuedText(text);
        Ok(Issued { token, text, first })
    }

    /// As [`Hub::revoke_token`].
    ///
    /// # Errors
    /// `token_not_found`, `store_unavailable`.
    pub async fn revoke(&self, word: &str) -> Result<Token, Error> {
        let token = self.access.token(word).ok_or_else(|| not_found(word))?;
        self.store.put_document(KIND, &token.id, None).await?;
        self.access.revoke(&token.id);
        Ok(token)
    }

    /// Closes the folder: a hub may start on it.
    pub async fn close(self) {
        self.store.close().await;
    }
}

/// Whether a data folder has tokens, so that a hub on it asks for credentials. Looks only; a hub may run on it.
pub fn has_tokens(data: &Path) -> bool {
    let path = data.join("state.db");
    path.exists() && Store::has_documents(&path, KIND)
}

/// Draws tokens until one has an id of its own.
fn issue(access: &Access, new: NewToken, now: Timestamp) -> (Token, String) {
    loop {
        let (token, text) = Token::issue(new.clone(), now);
        if access.token(&token.id).is_none() {
            return (token, text);
        }
    }
}

fn refuse_taken(access: &Access, name: &str) -> Result<(), Error> {
    match access.is_taken(name) {
        false => Ok(()),
        true => {
            let text = format!(
                "`{name}` is the name of another token, or of an entry of `[auth]`: revoke that one, or take another name"
            );
            Err(Error::new(Kind::Conflict, "token_exists", text))
        }
    }
}

fn not_found(word: &str) -> Error {
    Error::not_found(
        "token_not_found",
        format!("there is no token with the id or name `{word}`"),
    )
}

fn nobody_left(text: &str) -> Error {
    Error::new(Kind::Conflict, "no_admin_left", text)
}

fn read(json: &Value, now: Timestamp) -> Result<NewToken, Error> {
    let fields = json
        .as_object()
        .ok_or_else(|| refuse("the body", "must be a JSON object"))?;
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let text = format!("`{unknown}` is no field of a token; {}", hint(unknown, FIELDS));
        return Err(Error::invalid("unknown_field", text));
    }
    let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
    Ok(NewToken {
        name: name(field("name"))?,
        permissions: scopes(field("scopes"))?,
        expires: field("expires").map(|value| expiry(value, now)).transpose()?,
        pace: pace(field("rate"), field("burst"))?,
    })
}

fn refuse(field: &str, rule: impl std::fmt::Display) -> Error {
    Error::invalid("invalid_token", format!("`{field}` {rule}"))
}

fn name(value: Option<&Value>) -> Result<String, Error> {
    let rule = "must be a text of 1 to 64 characters without a colon, such as \"shop\"";
    let name = value.and_then(Value::as_str).ok_or_else(|| refuse("name", rule))?;
    let fits = (1..=LONGEST_NAME).contains(&name.chars().count());
    match fits && !name.contains(':') && !name.contains(char::is_control) && name.trim() == name {
        true => Ok(name.to_owned()),
        false => Err(refuse("name", rule)),
    }
}

fn scopes(value: Option<&Value>) -> Result<Vec<Permission>, Error> {
    let rule =
        "must be a list of scopes: `publish`, `subscribe`, `admin`, each for all buses or one (`publish:orders`)";
    let list = value.and_then(Value::as_array).filter(|list| !list.is_empty());
    let texts: Option<Vec<&str>> = list.and_then(|list| list.iter().map(Value::as_str).collect());
    let texts = texts.ok_or_else(|| refuse("scopes", rule))?;
    let parsed: Result<Vec<Permission>, String> = texts.into_iter().map(Permission::parse).collect();
    parsed.map_err(|why| refuse("scopes", why))
}

fn expiry(value: &Value, now: Timestamp) -> Result<Timestamp, Error> {
    let rule = "must be a duration from now on such as \"30d\", or a time to come such as \"2031-01-31T12:00:00Z\"";
    let text = value.as_str().ok_or_else(|| refuse("expires", rule))?;
    let at = parse_duration(text)
        .map(|after| now.plus(after))
        .or_else(|| parse_rfc3339(text));
    at.filter(|at| *at > now).ok_or_else(|| refuse("expires", rule))
}

fn pace(rate: Option<&Value>, burst: Option<&Value>) -> Result<Option<Pace>, Error> {
    let Some(value) = rate else {
        return match burst {
            Some(_) => Err(refuse("burst", "needs a `rate`")),
            None => Ok(None),
        };
    };
    let rule = format!("must be {}", rate::RULE);
    let rate = value
        .as_str()
        .and_then(Rate::parse)
        .ok_or_else(|| refuse("rate", rule))?;
    let mut pace = Pace::of(rate);
    if let Some(burst) = burst {
        let count = burst.as_u64().filter(|count| (1..=1_000_000).contains(count));
        let count = count.and_then(|count| u32::try_from(count).ok());
        pace.burst = count.ok_or_else(|| refuse("burst", "must be a number from 1 to 1000000"))?;
    }
    Ok(Some(pace))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::hub::tests::open;

    #[test]
    fn what_a_token_is_to_be_is_refused_by_its_field() {
        for (json, words) in [
            (json!([]), "JSON object"),
            (json!({"name": "a", "scope": ["admin"]}), "did you mean `scopes`"),
            (json!({"scopes": ["admin"]}), "`name`"),
            (json!({"name": "a:b", "scopes": ["admin"]}), "without a colon"),
            (json!({"name": "", "scopes": ["admin"]}), "1 to 64"),
            (json!({"name": " a", "scopes": ["admin"]}), "1 to 64"),
            (json!({"name": "a", "scopes": []}), "`scopes`"),
            (json!({"name": "a", "scopes": ["admn"]}), "did you mean `admin`"),
            (
                json!({"name": "a", "scopes": ["admin"], "expires": "soon"}),
                "`expires`",
            ),
            (
                json!({"name": "a", "scopes": ["admin"], "expires": "1999-01-01T00:00:00Z"}),
                "to come",
            ),
            (json!({"name": "a", "scopes": ["admin"], "rate": "fast"}), "`rate`"),
            (json!({"name": "a", "scopes": ["admin"], "burst": 3}), "needs a `rate`"),
            (
                json!({"name": "a", "scopes": ["admin"], "rate": "1/s", "burst": 0}),
                "`burst`",
            ),
        ] {
            let why = read(&json, Timestamp(1_700_000_000_000)).unwrap_err();
            assert!(why.message().contains(words), "{json}: {why}");
        }
        let whole = json!({"name": "a", "scopes": ["admin:b"], "expires": "30d", "rate": "5/m", "burst": 7});
        let new = read(&whole, Timestamp(0)).unwrap();
        assert_eq!(new.expires, Some(Timestamp(30 * 86_400_000)));
        assert_eq!(new.pace.map(|pace| pace.burst), Some(7));
    }

    #[tokio::test]
    async fn nobody_is_locked_out_but_by_force() {
        let folder = tempfile::tempdir().unwrap();
        let hub = open(folder.path()).await;
        let create = async |name: &str, scope: &str, forced: Forced| {
            let made = hub
                .create_token(&json!({"name": name, "scopes": [scope]}), forced)
                .await;
            made.map(|issued| (issued.first, issued.text.0))
                .map_err(|error| error.code())
        };
        let revoke = async |word: &str, forced: Forced| {
            let revoked = hub.revoke_token(word, forced).await;
            revoked.map(drop).map_err(|error| error.code())
        };
        assert_eq!(
            create("shop", "publish", Forced::No).await.unwrap_err(),
            "no_admin_left"
        );
        assert_eq!(
            create("lead", "admin:orders", Forced::No).await.unwrap_err(),
            "no_admin_left"
        );
        let (first, text) = create("root", "admin", Forced::No).await.unwrap();
        assert!(first && hub.access().bearer(&text).is_some());
        assert!(!create("shop", "publish", Forced::No).await.unwrap().0);
        assert_eq!(create("shop", "publish", Forced::No).await.unwrap_err(), "token_exists");
        assert_eq!(revoke("root", Forced::No).await.unwrap_err(), "no_admin_left");
        assert_eq!(revoke("other", Forced::No).await.unwrap_err(), "token_not_found");
        revoke("shop", Forced::No).await.unwrap();
        revoke("root", Forced::Yes).await.unwrap();
        assert!(hub.access().bearer(&text).is_none() && !hub.access().is_open());
        hub.drain(Duration::from_secs(10)).await;
    }

    #[tokio::test]
    async fn tokens_outlive_the_hub_and_can_be_made_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        assert!(!has_tokens(&data));
        let missing = Offline::open(&data, Clock::system()).err().unwrap();
        assert_eq!(missing.code(), "store_not_found");
        let offline = Offline::open_or_create(&data, Clock::system()).unwrap();
        let made = offline
            .create(&json!({"name": "root", "scopes": ["admin"]}))
            .await
            .unwrap();
        assert!(made.first);
        offline.close().await;
        assert!(has_tokens(&data));
        let hub = open(folder.path()).await;
        assert!(hub.access().bearer(&made.text.0).is_some());
        assert_eq!(
            Offline::open(&data, Clock::system()).err().unwrap().code(),
            "store_locked"
        );
        hub.revoke_token("root", Forced::Yes).await.unwrap();
        hub.drain(Duration::from_secs(10)).await;
        drop(hub);
        let offline = Offline::open(&data, Clock::system()).unwrap();
        assert!(offline.tokens().is_empty() && !has_tokens(&data));
        offline.close().await;
    }
}
