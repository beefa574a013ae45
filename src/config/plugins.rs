//! `[plugins.NAME]`: what the operator's file says of one plugin. No entry means no grants.
//!
//! Not in the key table: names are free, `config` is the plugin's own language, and neither fits a flag.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{Place, given};
use super::value::Given;
use crate::nearest::hint;
use crate::plugin::{self, Bound, Grants, LIMITS, Limits, PluginSettings, Rollback};

type Faults = Vec<String>;

/// Reads every entry; what is wrong goes into `faults`.
pub(super) fn read(entries: &DeTable<'_>, place: &Place<'_>, faults: &mut Faults) -> BTreeMap<String, PluginSettings> {
    let mut all = BTreeMap::new();
    for (name, value) in entries {
        let title = name.get_ref().to_string();
        match value.get_ref().as_table() {
            Some(entry) => {
                let settings = Entry {
                    name: &title,
                    place,
                    faults,
                }
                .read(entry);
                all.insert(title, settings);
            }
            None => faults.push(place.fault(value.span().start, &format!("`plugins.{title}` must be a table"))),
        }
    }
    all
}

/// One entry while it is read.
struct Entry<'a, 'b> {
    name: &'a str,
    place: &'a Place<'b>,
    faults: &'a mut Faults,
}

impl Entry<'_, '_> {
    fn read(mut self, entry: &DeTable<'_>) -> PluginSettings {
        let mut settings = PluginSettings::default();
        for (key, value) in entry {
            let at = key.span().start;
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("config", DeValue::Table(config)) => settings.config = object(config),
                ("grants", DeValue::Table(grants)) => settings.grants = self.grants(grants),
                ("limits", DeValue::Table(limits)) => settings.limits = self.limits(limits),
                ("rollback", DeValue::Table(rollback)) => settings.rollback = self.rollback(rollback),
                ("rollback", DeValue::Boolean(false)) => settings.rollback = Rollback::Off,
                ("rollback", DeValue::Boolean(true)) => settings.rollback = Rollback::default(),
                ("rollback", _) => self.fault(at, "rollback", "must be a table, or `false` to turn it off"),
                (known @ ("config" | "grants" | "limits"), _) => self.fault(at, known, "must be a table"),
                (other, _) => self.unknown(at, other, &["config", "grants", "limits", "rollback"]),
            }
        }
        settings
    }

    fn grants(&mut self, table: &DeTable<'_>) -> Grants {
        const KNOWN: &[&str] = &[
            "grants.http",
            "grants.tcp",
            "grants.tls",
            "grants.tls_ca",
            "grants.env",
            "grants.kv",
        ];
        let mut grants = Grants::default();
        for (key, value) in table {
            let at = key.span().start;
            let list = given(value.get_ref()).map(|given| given.list());
            let path = format!("grants.{}", key.get_ref());
            match (key.get_ref().as_ref(), list) {
                ("http", Some(http)) => grants.http = http,
                ("tcp", Some(tcp)) => grants.tcp = tcp,
                ("tls", Some(tls)) => grants.tls = tls,
                ("http" | "tcp" | "tls", None) => self.fault(at, &path, "must be a list"),
                ("tls_ca", _) => match value.get_ref().as_str() {
                    Some(text) => grants.tls_ca = Some(text.to_owned()),
                    None => self.fault(at, &path, "must be a string"),
                },
                ("kv", _) => match given(value.get_ref()).map(|given| size(&given)) {
                    Some(Ok(bytes)) => grants.kv = Some(bytes),
                    Some(Err(why)) => self.fault(at, &path, &why),
                    None => self.fault(at, &path, "must be a size"),
                },
                ("env", _) => grants.env = self.env(value),
                _ => self.unknown(at, &path, KNOWN),
            }
            self.check_addresses(at, &mut grants);
        }
        grants
    }

    /// Tells of an address that is none, and forgets it, so that it is told once.
    fn check_addresses(&mut self, at: usize, grants: &mut Grants) {
        if let Err(why) = plugin::check_addresses(grants) {
            let name = self.name;
            self.faults
                .push(self.place.fault(at, &format!("`plugins.{name}`: {why}")));
            (grants.http, grants.tcp, grants.tls) = Default::default();
        }
    }

    fn env(&mut self, value: &Spanned<DeValue<'_>>) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let Some(table) = value.get_ref().as_table() else {
            self.fault(value.span().start, "grants.env", "must be a table of names and values");
            return env;
        };
        for (name, value) in table {
            match value.get_ref().as_str() {
                Some(text) => drop(env.insert(name.get_ref().to_string(), text.to_owned())),
                None => self.fault(
                    value.span().start,
                    &format!("grants.env.{}", name.get_ref()),
                    "must be a string",
                ),
            }
        }
        env
    }

    fn limits(&mut self, table: &DeTable<'_>) -> Limits {
        let mut limits = Limits::default();
        for (key, value) in table {
            let at = key.span().start;
            let path = format!("limits.{}", key.get_ref());
            let given = given(value.get_ref()).unwrap_or(Given::Many(Vec::new()));
            let Some(limit) = LIMITS.iter().find(|limit| limit.name == key.get_ref().as_ref()) else {
                let known: Vec<String> = LIMITS.iter().map(|limit| format!("limits.{}", limit.name)).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                self.unknown(at, &path, &known);
                continue;
            };
            let set = match limit.bound {
                Bound::Bytes(field) => size(&given).map(|bytes| *field(&mut limits) = bytes),
                Bound::Count(most, field) => given.count(1, most).map(|count| *field(&mut limits) = to_usize(count)),
                Bound::Time(field) => given.duration().map(|time| *field(&mut limits) = Some(time)),
            };
            if let Err(why) = set {
                self.fault(at, &path, &why);
            }
        }
        limits
    }

    fn rollback(&mut self, table: &DeTable<'_>) -> Rollback {
        const KNOWN: &[&str] = &["rollback.window", "rollback.calls", "rollback.failures"];
        const LONGEST: Duration = Duration::from_secs(86_400);
        let Rollback::On {
            mut window,
            mut calls,
            mut failures,
        } = Rollback::default()
        else {
            return Rollback::Off;
        };
        for (key, value) in table {
            let at = key.span().start;
            let path = format!("rollback.{}", key.get_ref());
            let given = given(value.get_ref()).unwrap_or(Given::Many(Vec::new()));
            let set = match key.get_ref().as_ref() {
                "window" => given.duration().map(|time| window = time.min(LONGEST)),
                "calls" => given.count(1, 1_000_000).map(|count| calls = count),
                "failures" => share(value.get_ref()).map(|share| failures = share),
                _ => {
                    self.unknown(at, &path, KNOWN);
                    Ok(())
                }
            };
            if let Err(why) = set {
                self.fault(at, &path, &why);
            }
        }
        Rollback::On {
            window,
            calls,
            failures,
        }
    }

    fn fault(&mut self, at: usize, path: &str, why: &str) {
        self.faults
            .push(self.place.fault(at, &format!("`plugins.{}.{path}` {why}", self.name)));
    }

    fn unknown(&mut self, at: usize, path: &str, known: &[&str]) {
        let hint = hint(path, known.iter().copied());
        self.faults.push(
            self.place
                .fault(at, &format!("unknown key `plugins.{}.{path}`; {hint}", self.name)),
        );
    }
}

fn share(value: &DeValue<'_>) -> Result<f64, String> {
    let number = match value {
        DeValue::Float(number) => number.as_str().parse().ok(),
        DeValue::Integer(number) => number.as_str().parse().ok(),
        _ => None,
    };
    let share = number.filter(|share: &f64| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "must be a share of the calls, above 0 and at most 1, such as 0.5".to_owned())
}

fn size(given: &Given) -> Result<usize, String> {
    given.size().map(to_usize)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn object(table: &DeTable<'_>) -> Map<String, Value> {
    table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())))
        .collect()
}

/// TOML as JSON; a date becomes its text.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(switch) => Value::Bool(*switch),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
            parsed.map_or_else(|| Value::String(number.as_str().to_owned()), Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(object(table)),
    }
}
