//! `[auth.NAME]`: who may do what.
//!
//! Not in the key table: names are free, and a secret on a command line can be read by everybody on the machine.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{Place, given};
use crate::access::{Account, Permission, value_of};
use crate::nearest::hint;

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
    let (mut secret, mut permissions) = (None, None);
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "secret" => secret = Some(read_secret(name, value.get_ref())?),
            "scopes" => permissions = Some(scopes(value.get_ref())?),
            other => {
                return Err(format!(
                    "has `{other}`, which is no key of it; {}",
                    hint(other, ["secret", "scopes"])
                ));
            }
        }
    }
    Ok(Account {
        secret: secret.ok_or("has no `secret`: give one as `file:PATH`, `env:NAME` or outright")?,
        permissions: permissions.ok_or("has no `scopes`: any of `publish`, `subscribe` (both also `:BUS`), `admin`")?,
    })
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
