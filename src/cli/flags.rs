//! The flags of the config's keys: `--config FILE`, and one flag a key, made from the table in `config/keys.rs`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::config::value::Given;
use crate::config::{Config, Key, Refused, Sources, keys};

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFlags {
    file: Option<PathBuf>,
    given: Vec<(&'static Key, Given)>,
}

impl ConfigFlags {
    /// All sources of settings: these flags, the environment, the file.
    pub(super) fn sources(&self) -> Sources {
        // What is not Unicode cannot be a value of ours.
        let env: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Sources {
            file: self.file.clone(),
            env,
            flags: self.given.clone(),
        }
    }

    /// The effective settings.
    ///
    /// # Errors
    /// Every fault found.
    pub(super) fn load(&self) -> Result<Config, Refused> {
        Config::load(&self.sources())
    }
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .env("BUSWAY_CONFIG")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("The config file; without it, `busway.toml` is read if it is there");
        keys().fold(command.arg(file), |command, key| command.arg(flag(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = keys().filter_map(|key| {
            let words: Vec<String> = matches.get_many::<String>(key.flag)?.cloned().collect();
            let given = match words.as_slice() {
                [one] => Given::text(one),
                _ => Given::Many(words),
            };
            Some((key, given))
        });
        Ok(Self {
            file: matches.get_one::<PathBuf>("config").cloned(),
            given: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn flag(key: &'static Key) -> Arg {
    let arg = Arg::new(key.flag)
        .long(key.flag)
        .value_name(key.form)
        .help(format!("{} [{}]", key.about, key.variable()))
        .help_heading(key.section())
        .action(ArgAction::Append);
    if key.form == "BOOL" {
        arg.num_args(0..=1).default_missing_value("true").require_equals(true)
    } else {
        arg
    }
}
