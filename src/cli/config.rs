//! `busway config`: check settings, and show the effective ones or the reference of all keys.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Output;
use super::exit::Failure;
use super::flags::ConfigFlags;
use super::out::{Form, Out};
use crate::config::{Config, check, print};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway config check --config /etc/busway.toml     exit code 78 and every fault, if there is one
  busway config print                               the effective settings, and where each comes from
  busway config print --defaults                    all keys, as the README lists them")]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what is wrong with the settings, and what is allowed but risky.
    Check {
        #[command(flatten)]
        flags: Box<ConfigFlags>,
        #[command(flatten)]
        output: Output,
    },
    /// Show the effective settings, secrets hidden, and where each comes from.
    Print {
        /// Show the reference of all keys and their defaults instead.
        #[arg(long)]
        defaults: bool,
        #[command(flatten)]
        flags: Box<ConfigFlags>,
        #[command(flatten)]
        output: Output,
    },
}

impl Command {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Check { flags, output } => {
                let sources = flags.sources();
                let config = Config::load(&sources)?;
                check::refuse(&config.settings)?;
                let mut risks = check::risks(&config.settings);
                risks.extend(check::strange_variables(&sources.env));
                report(&mut output.out(), &config, &risks)
            }
            Verb::Print {
                defaults: true, output, ..
            } => Ok(output.out().line(print::reference().trim_end())?),
            Verb::Print { flags, output, .. } => show(&mut output.out(), &flags.load()?),
        }
    }
}

fn report(out: &mut Out, config: &Config, risks: &[String]) -> Result<(), Failure> {
    let file = config
        .file
        .as_ref()
        .map_or_else(|| "no file".to_owned(), |path| path.display().to_string());
    if out.form == Form::Json {
        return Ok(out.document(&json!({ "ok": true, "file": file, "risks": risks }))?);
    }
    for risk in risks {
        out.line(&format!("risky: {risk}"))?;
    }
    Ok(out.line(&format!("settings are valid ({file}, {} risky)", risks.len()))?)
}

fn show(out: &mut Out, config: &Config) -> Result<(), Failure> {
    if out.form == Form::Json {
        return Ok(out.document(&print::json(config))?);
    }
    let rows: Vec<Vec<String>> = print::rows(config).into_iter().map(Vec::from).collect();
    Ok(out.table(&["KEY", "VALUE", "FROM"], &rows)?)
}
