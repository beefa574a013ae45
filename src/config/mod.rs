//! The operator's settings: default < file < environment < flag, each value with where it came from.
//!
//! `keys` is the table of every key: its name, flag, variable, default and meaning stand in one row, and the file
//! reader, the flags, the variables, `config print` and the README's table are all made from it. `settings` is what the
//! rows fill. `file` reads TOML, `auth` `[auth.NAME]`, `plugins` `[plugins.NAME]`, `value` the small notations (sizes,
//! durations, addresses), `print` shows, `check` refuses; `risks` tells what is allowed and may be regretted, `machine`
//! what of that depends on the machine.
//! Why so: with one struct for serde, one for clap and one hand-written table, three places disagree sooner or later.
//! Invariant: an unknown key is refused with file, line and the nearest known one; nothing is silently ignored.

pub mod auth;
pub mod check;
mod file;
pub mod keys;
pub mod machine;
mod plugins;
pub mod print;
pub mod risks;
mod settings;
pub mod value;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

pub use keys::{Key, keys};
pub use settings::{DataSettings, ListenSettings, LogFormat, LogOutput, Settings};
use value::Given;

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "busway.toml";

/// Where a value came from; later ones win.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The config file, at this line.
    File(usize),
    /// An environment variable.
    Env(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(line) => write!(f, "file, line {line}"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

/// What is wrong with the settings, in words that say where and what to do. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub Vec<String>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Refused {}

/// Everything that settings are made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file the operator named; it must be there. Without one, [`DEFAULT_FILE`] is read if it is there.
    pub file: Option<PathBuf>,
    /// Environment variables (all of them: only `BUSWAY_…` are looked at).
    pub env: Vec<(String, String)>,
    /// Flags that were given.
    pub flags: Vec<(&'static Key, Given)>,
}

/// The effective settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Config {
    /// The settings.
    pub settings: Settings,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    /// The file's text as it was read; what differs from it is a change.
    pub text: String,
    /// Where each value came from, in the order of [`keys()`].
    origins: Vec<Origin>,
}

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn load(sources: &Sources) -> Result<Self, Refused> {
        let found = sources
            .file
            .clone()
            .or_else(|| Path::new(DEFAULT_FILE).exists().then(|| DEFAULT_FILE.into()));
        let text = match &found {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|cause| Refused(vec![format!("{}: cannot be read: {cause}", path.display())]))?,
            None => String::new(),
        };
        Self::from_text(&text, found, sources)
    }

    /// As [`Config::load`], with the file's text at hand.
    ///
    /// # Errors
    /// Every fault found.
    pub fn from_text(text: &str, file: Option<PathBuf>, sources: &Sources) -> Result<Self, Refused> {
        let name = file
            .as_deref()
            .map_or_else(|| DEFAULT_FILE.to_owned(), |path| path.display().to_string());
        let mut config = Self {
            settings: Settings::default(),
            file,
            text: text.to_owned(),
            origins: keys().map(|_| Origin::Default).collect(),
        };
        let mut faults = Vec::new();
        match file::read(text, &name) {
            Ok(read) => {
                faults.extend(read.faults);
                config.settings.plugins = read.plugins;
                config.settings.accounts = read.accounts;
                for (key, given, line) in read.values {
                    let set = config.set(key, &given, Origin::File(line));
                    faults.extend(set.err().map(|why| format!("{name}:{line}: `{}` {why}", key.name)));
                }
            }
            Err(fault) => faults.push(fault),
        }
        for (variable, value) in &sources.env {
            if let Some(key) = keys().find(|key| key.variable() == *variable) {
                let set = config.set(key, &Given::text(value), Origin::Env(variable.clone()));
                faults.extend(set.err().map(|why| format!("environment variable {variable} {why}")));
            }
        }
        for (key, given) in &sources.flags {
            let set = config.set(key, given, Origin::Flag(key.flag));
            faults.extend(set.err().map(|why| format!("--{} {why}", key.flag)));
        }
        if faults.is_empty() {
            let settings = &mut config.settings;
            settings.compat.pulp.grant(&mut settings.plugins);
            Ok(config)
        } else {
            Err(Refused(faults))
        }
    }

    /// Where a key's value came from.
    pub fn origin(&self, key: &Key) -> &Origin {
        let at = keys().position(|known| known.name == key.name);
        at.and_then(|at| self.origins.get(at)).unwrap_or(&Origin::Default)
    }

    fn set(&mut self, key: &'static Key, given: &Given, origin: Origin) -> Result<(), String> {
        (key.set)(&mut self.settings, given)?;
        let at = keys().position(|known| known.name == key.name);
        if let Some(slot) = at.and_then(|at| self.origins.get_mut(at)) {
            *slot = origin;
        }
        Ok(())
    }
}
