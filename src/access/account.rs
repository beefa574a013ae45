//! Somebody with a secret: an entry of the config, or a token of the store.
//!
//! Invariant: what is shown or stored of a token is never its secret: only the hash of that is stored.

use serde_json::{Value, json};

use super::permission::Permission;
use super::secret::{Secret, mint};
use crate::digest::sha256;
use crate::rate::Rate;
use crate::time::Timestamp;

/// Somebody with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What proves it.
    pub secret: Secret,
    /// What it opens.
    pub permissions: Vec<Permission>,
    /// From when on it opens nothing.
    pub expires: Option<Timestamp>,
    /// How often it may be used.
    pub pace: Option<Pace>,
}

impl Account {
    /// With a secret kept outright, for ever and as often as it likes.
    pub fn plain(secret: &str, permissions: Vec<Permission>) -> Self {
        Self {
            secret: Secret::Plain(secret.to_owned()),
            permissions,
            expires: None,
            pace: None,
        }
    }
}

/// How often credentials may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// In the long run.
    pub rate: Rate,
    /// At once, after a rest.
    pub burst: u32,
}

impl Pace {
    /// A rate with its usual burst: a second's worth, and at least ten, for clients open a few requests at once.
    pub fn of(rate: Rate) -> Self {
        Self {
            rate,
            burst: (rate.in_a_minute() / 60).max(10),
        }
    }
}

/// What a token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// What it opens.
    pub permissions: Vec<Permission>,
    /// From when on it opens nothing.
    pub expires: Option<Timestamp>,
    /// How often it may be used.
    pub pace: Option<Pace>,
}

/// A token of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// By which it is found; part of the token itself.
    pub id: String,
    /// What people call it; no two have the same.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// What it opens.
    pub account: Account,
}

impl Token {
    /// Makes one; with it the text for its owner, which nobody can be shown again.
    pub fn issue(new: NewToken, now: Timestamp) -> (Self, String) {
        let (id, secret, whole) = mint(crate::chance::bits(), [crate::chance::bits(), crate::chance::bits()]);
        let account = Account {
            secret: Secret::Sha256(sha256(&secret)),
            permissions: new.permissions,
            expires: new.expires,
            pace: new.pace,
        };
        let token = Self {
            id,
            name: new.name,
            created: now,
            account,
        };
        (token, whole)
    }

    /// Whether it opens everything.
    pub fn is_admin(&self) -> bool {
        self.account.permissions.contains(&Permission::ALL)
    }

    /// As callers see it.
    pub fn shown(&self) -> Value {
        let scopes: Vec<String> = self.account.permissions.iter().map(ToString::to_string).collect();
        let mut shown = json!({
            "id": self.id,
            "name": self.name,
            "scopes": scopes,
            "created": self.created.to_string(),
        });
        if let Some(fields) = shown.as_object_mut() {
            let expires = self
                .account
                .expires
                .map(|at| ("expires".to_owned(), json!(at.to_string())));
            fields.extend(expires);
            if let Some(pace) = self.account.pace {
                fields.insert("rate".to_owned(), json!(pace.rate.to_string()));
                fields.insert("burst".to_owned(), json!(pace.burst));
            }
        }
        shown
    }

    /// As the store keeps it.
    pub fn stored(&self) -> Value {
        let Secret::Sha256(digits) = &self.account.secret else {
            return Value::Null;
        };
        let scopes: Vec<String> = self.account.permissions.iter().map(ToString::to_string).collect();
        json!({
            "name": self.name,
            "sha256": digits,
            "scopes": scopes,
            "created": self.created.0,
            "expires": self.account.expires.map(|at| at.0),
            "rate": self.account.pace.map(|pace| pace.rate.to_string()),
            "burst": self.account.pace.map(|pace| pace.burst),
        })
    }

    /// Reads what the store kept under this id; none if that is no token.
    pub fn from_stored(id: &str, json: &Value) -> Option<Self> {
        let text = |name: &str| json.get(name).and_then(Value::as_str);
        let scopes = json.get("scopes")?.as_array()?;
        let permissions: Option<Vec<Permission>> = scopes
            .iter()
            .map(|scope| Permission::parse(scope.as_str()?).ok())
            .collect();
        let pace = match text("rate") {
            None => None,
            Some(rate) => {
                let burst = json.get("burst").and_then(Value::as_u64).unwrap_or(1);
                let burst = u32::try_from(burst).unwrap_or(u32::MAX);
                Some(Pace {
                    rate: Rate::parse(rate)?,
                    burst,
                })
            }
        };
        Some(Self {
            id: id.to_owned(),
            name: text("name")?.to_owned(),
            created: Timestamp(json.get("created")?.as_i64()?),
            account: Account {
                secret: Secret::from_digits(text("sha256")?)?,
                permissions: permissions?,
                expires: json.get("expires").and_then(Value::as_i64).map(Timestamp),
                pace,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_from_the_store_as_it_went() {
        let paces = [None, Rate::parse("100/s").map(Pace::of)];
        for (expires, pace) in [None, Some(Timestamp(9))].into_iter().zip(paces) {
            let new = NewToken {
                name: "shop".into(),
                permissions: vec![Permission::parse("publish:orders").unwrap()],
                expires,
                pace,
            };
            let (token, whole) = Token::issue(new, Timestamp(7));
            assert_eq!(Token::from_stored(&token.id, &token.stored()), Some(token.clone()));
            let secret = whole.rsplit('_').next().unwrap();
            for text in [
                token.stored().to_string(),
                token.shown().to_string(),
                format!("{token:?}"),
            ] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        let (token, _) = Token::issue(
            NewToken {
                name: "x".into(),
                permissions: vec![Permission::ALL],
                expires: None,
                pace: None,
            },
            Timestamp(0),
        );
        for (name, value) in [
            ("name", json!(1)),
            ("sha256", json!("00")),
            ("scopes", json!(["other"])),
            ("created", json!("now")),
            ("rate", json!("fast")),
        ] {
            let mut stored = token.stored();
            stored[name] = value;
            assert_eq!(Token::from_stored("a", &stored), None, "{name}");
        }
    }
}
