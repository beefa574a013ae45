//! Reads the TOML file into values with their lines; refuses unknown keys and names the nearest known one.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keys::{Key, keys, not_served};
use super::value::Given;
use super::{auth, plugins};
use crate::access::Account;
use crate::nearest::nearest;
use crate::plugin::PluginSettings;

/// What a file says.
pub(super) struct File {
    /// Values of known keys, and the line of each.
    pub(super) values: Vec<(&'static Key, Given, usize)>,
    /// `[plugins.NAME]`.
    pub(super) plugins: BTreeMap<String, PluginSettings>,
    /// `[auth.NAME]`.
    pub(super) accounts: BTreeMap<String, Account>,
    /// What is wrong, with file and line.
    pub(super) faults: Vec<String>,
}

/// A file while it is read: turns places into lines.
pub(super) struct Place<'a> {
    text: &'a str,
    name: &'a str,
}

impl Place<'_> {
    /// The line, from 1, in which `at` stands.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    /// `message` with file and line before it.
    pub(super) fn fault(&self, at: usize, message: &str) -> String {
        format!("{}:{}: {message}", self.name, self.line(at))
    }
}

/// Reads a file's text. `name` is for messages.
///
/// # Errors
/// The text is not TOML.
pub(super) fn read(text: &str, name: &str) -> Result<File, String> {
    let place = Place { text, name };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        place.fault(
            at,
            &format!("is not TOML: {}", error.message().lines().collect::<Vec<_>>().join(" ")),
        )
    })?;
    let mut file = File {
        values: Vec::new(),
        plugins: BTreeMap::new(),
        accounts: BTreeMap::new(),
        faults: Vec::new(),
    };
    for (section, value) in table.get_ref() {
        let Some(table) = value.get_ref().as_table() else {
            file.faults.push(not_in_a_section(&place, section));
            continue;
        };
        match section.get_ref().as_ref() {
            "plugins" => file.plugins = plugins::read(table, &place, &mut file.faults),
            "auth" => file.accounts = auth::read(table, &place, &mut file.faults),
            _ => read_section(section, table, &place, &mut file),
        }
    }
    Ok(file)
}

fn read_section(section: &Spanned<DeString<'_>>, table: &DeTable<'_>, place: &Place<'_>, file: &mut File) {
    let title = section.get_ref();
    if !keys().any(|key| key.section() == title) {
        file.faults.push(unknown_section(place, section));
        return;
    }
    for (name, value) in table {
        let path = format!("{title}.{}", name.get_ref());
        match keys().find(|key| key.name == path) {
            None => file.faults.push(unknown(place, name, &path)),
            Some(key) => match given(value.get_ref()) {
                Some(given) => file.values.push((key, given, place.line(name.span().start))),
                None => {
                    let message = format!("`{path}` must be a value or a list of values");
                    file.faults.push(place.fault(value.span().start, &message));
                }
            },
        }
    }
}

/// Keys stand in sections; most who forget one name the section itself (`listen = …`).
fn not_in_a_section(place: &Place<'_>, name: &Spanned<DeString<'_>>) -> String {
    let sections = keys().map(Key::section).chain(["plugins", "auth"]);
    match nearest(name.get_ref(), sections) {
        Some(section) => {
            let keys = keys().filter(|key| key.section() == section);
            let names: Vec<String> = keys.map(|key| format!("`{}`", key.name)).collect();
            let has = match names.is_empty() {
                true => String::new(),
                false => format!(" with the keys {}", names.join(", ")),
            };
            let message = format!(
                "`{}` is not a value; there is a section `[{section}]`{has}",
                name.get_ref()
            );
            place.fault(name.span().start, &message)
        }
        None => unknown(place, name, name.get_ref()),
    }
}

fn unknown(place: &Place<'_>, name: &Spanned<DeString<'_>>, path: &str) -> String {
    if let Some(why) = not_served(path) {
        return place.fault(name.span().start, &format!("`{path}` is not served: {why}"));
    }
    let hint = nearest(path, keys().map(|key| key.name));
    let hint = hint.map_or_else(|| "`busway config print --defaults` lists all keys".to_owned(), meant);
    place.fault(name.span().start, &format!("unknown key `{path}`; {hint}"))
}

fn unknown_section(place: &Place<'_>, name: &Spanned<DeString<'_>>) -> String {
    let sections = keys().map(Key::section).chain(["plugins", "auth"]);
    let hint = nearest(name.get_ref(), sections).map(|near| format!("[{near}]"));
    let hint = hint.map_or_else(
        || "`busway config print --defaults` lists all sections".to_owned(),
        |near| meant(&near),
    );
    place.fault(
        name.span().start,
        &format!("unknown section `[{}]`; {hint}", name.get_ref()),
    )
}

/// The question that follows an unknown name.
fn meant(name: &str) -> String {
    format!("did you mean `{name}`?")
}

/// A scalar or a list of scalars, as written.
pub(super) fn given(value: &DeValue<'_>) -> Option<Given> {
    match value {
        DeValue::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            items.map(Given::Many)
        }
        other => scalar(other).map(Given::One),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
