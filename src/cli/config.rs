//! `busway config`: check settings, and show the effective ones or the reference of all keys.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Output;
use super::exit::{Code, Failure};
use super::flags::ConfigFlags;
use super::out::{Form, Out};
use crate::config::{Config, Refused, Settings, check, print};
use crate::net;
use crate::plugin::Workbench;
use crate::tasks::Tasks;
use crate::time::Clock;

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
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Check { flags, output } => {
                let sources = flags.sources();
                let config = Config::load(&sources)?;
                check::refuse(&config.settings)?;
                check_plugins(&config.settings).await?;
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

/// Holds each `[plugins.NAME] config` to the schema of the plugin, as far as the plugin directory has it here.
async fn check_plugins(settings: &Settings) -> Result<(), Failure> {
    let client = net::Client::new(net::Guard::new(settings.egress.clone())).through(settings.proxies.clone());
    let configured = settings.plugins.iter().filter(|(_, plugin)| !plugin.config.is_empty());
    let there: Vec<_> = configured
        .filter_map(|(name, plugin)| {
            let bytes = std::fs::read(settings.data.plugins.join(format!("{name}.wasm"))).ok()?;
            Some((name, plugin.clone(), bytes))
        })
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    let workbench = Workbench::open(None, client, Clock::system(), Tasks::new())
        .map_err(|error| Failure::new(Code::Software, error.to_string()))?;
    let mut faults = Vec::new();
    for (name, mut plugin, bytes) in there {
        // Secrets need not be where the config is checked.
        plugin.grants.env.clear();
        let loaded = workbench.load(name, bytes.into(), plugin).await;
        faults.extend(loaded.err().map(|error| format!("plugin {name}: {}", error.message())));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Refused(faults).into()),
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
