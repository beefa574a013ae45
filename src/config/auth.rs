//! `[auth.NAME]`: who may do what.
//!
//! An entry that signs nothing may give its secret's SHA-256 (`secret_sha256`), so that the config holds none.
//! Not in the key table: names are free, and a secret on a command line can be read by everybody on the machine.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{Place, given};
use crate::access::{Account, Pace, Permission, Secret, value_of};
use crate::event::parse_rfc3339;
use crate::nearest::hint;
use crate::rate::{self, Rate};
use crate::time::Timestamp;

/// Reads every entry; what is wrong goes into `faults`.
pub(super) fn read(entries: &DeTable<'_>, place: &Place<'_>, faults: &mut Vec<String>) -> BTreeMap<String, Account> {
    let mut all = BTreeMap::new();
    for (name, value) in entries {
        let (title, at) = (name.get_ref().to_string(), name.span().start);
        match entry(&title, value) {
            Ok(account) => drop(all.insert(title, account)),
            Err(why) => faults.push(place.fault(at, &format!("`auth.{title}` {why}"))),
        }
    }
    all
}

fn entry(name: &str, value: &Spanned<DeValue<'_>>) -> Result<Account, String> {
    if name.is_empty() || name.contains(':') {
        return Err("must have a name without a colon: `Basic` credentials end it there".to_owned());
    }
    let table = value
        .get_ref()
        .as_table()
        .ok_or("must be a table with `secret` and `scopes`")?;
    let mut entry = Entry::default();
    for (key, value) in table {
        entry.set(name, key.get_ref(), value.get_ref())?;
    }
    Ok(Account {
        secret: entry.secret.ok_or(
            "has no `secret`: give one as `file:PATH`, `env:NAME` or outright, or its hash as `secret_sha256`",
        )?,
        permissions: entry
            .permissions
            .ok_or("has no `scopes`: any of `publish`, `subscribe`, `admin` (each also `:BUS`)")?,
        expires: entry.expires,
        pace: entry.rate.map(Pace::of),
    })
}

/// What was read so far.
#[derive(Default)]
struct Entry {
    secret: Option<Secret>,
    permissions: Option<Vec<Permission>>,
    expires: Option<Timestamp>,
    rate: Option<Rate>,
}

const KEYS: [&str; 5] = ["secret", "secret_sha256", "scopes", "rate", "expires"];

impl Entry {
    fn set(&mut self, name: &str, key: &str, value: &DeValue<'_>) -> Result<(), String> {
        match key {
            "secret" | "secret_sha256" if self.secret.is_some() => {
                return Err("has `secret` and `secret_sha256`: give one of them".to_owned());
            }
            "secret" => self.secret = Some(Secret::Plain(read_secret(name, value)?)),
            "secret_sha256" => self.secret = Some(hash(value)?),
            "scopes" => self.permissions = Some(scopes(value)?),
            "rate" => {
                let rate = value.as_str().and_then(Rate::parse);
                self.rate = Some(rate.ok_or_else(|| format!("has a `rate` that is not {}", rate::RULE))?);
            }
            "expires" => {
                let at = value.as_str().and_then(parse_rfc3339);
                let rule = "has an `expires` that is no time such as \"2031-01-31T12:00:00Z\"";
                self.expires = Some(at.ok_or(rule)?);
            }
            other => return Err(format!("has `{other}`, which is no key of it; {}", hint(other, KEYS))),
        }
        Ok(())
    }
}

fn hash(value: &DeValue<'_>) -> Result<Secret, String> {
    let digits = value.as_str().and_then(Secret::from_digits);
    digits
        .ok_or_else(|| "has a `secret_sha256` that is not 64 hexadecimal digits, as `sha256sum` prints them".to_owned())
}

fn read_secret(name: &str, value: &DeValue<'_>) -> Result<String, String> {
    let text = value.as_str().ok_or("has a `secret` that is no string")?;
    let secret = value_of(&format!("`auth.{name}.secret`"), text)?;
    if secret.is_empty() {
        return Err("has an empty `secret`".to_owned());
    }
    Ok(secret)
}

fn scopes(value: &DeValue<'_>) -> Result<Vec<Permission>, String> {
    let list = given(value).map(|given| given.list()).unwrap_or_default();
    if list.is_empty() {
        return Err("has `scopes` that are no list of words".to_owned());
    }
    list.iter()
        .map(|text| Permission::parse(text).map_err(|why| format!("`scopes` {why}")))
        .collect()
}
