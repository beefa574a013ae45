//! `busway store`: look over the files of a hub that is not running.
//!
//! The only command that opens the store itself: it is for when a hub does not start, or is not trusted to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Output;
use super::exit::{Code, Failure};
use super::out::{Form, Out};
use crate::error::{Error, Kind};
use crate::log::{self, Checked};
use crate::subscription;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway store check --data /var/lib/busway          every record against its checksum; exit code 1 if one is damaged")]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Read every file of the store and say what is damaged. The hub must not be running.
    Check {
        /// The store.
        #[arg(long, env = "BUSWAY_DATA", default_value = "busway-data", value_name = "PATH")]
        data: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let Verb::Check { data, output } = self.verb;
        check(&data, &mut output.out())
    }
}

fn check(data: &Path, out: &mut Out) -> Result<ExitCode, Failure> {
    let checked = log::check(&data.join("log")).map_err(|error| failure(&error))?;
    let state = subscription::check_store(&data.join("state.db")).err();
    match out.form {
        Form::Json => out.document(&document(&checked, state.as_ref()))?,
        Form::Table => show(out, &checked, state.as_ref())?,
    }
    let whole = checked.damaged.is_empty() && state.is_none();
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Code::No as u8)
    })
}

fn document(checked: &Checked, state: Option<&Error>) -> serde_json::Value {
    let damaged: Vec<_> = checked.damaged.iter().map(|one| {
        json!({"bus": one.bus.as_str(), "file": one.file, "from": one.range.start, "to": one.range.end, "reason": one.reason})
    }).collect();
    json!({"files": checked.files, "whole": checked.whole, "damaged": damaged, "state": state.map(ToString::to_string)})
}

fn show(out: &mut Out, checked: &Checked, state: Option<&Error>) -> Result<(), Failure> {
    for one in &checked.damaged {
        out.line(&one.to_string())?;
    }
    if let Some(state) = state {
        out.line(&state.to_string())?;
    }
    Ok(out.line(&format!(
        "{} records in {} files are whole",
        checked.whole, checked.files
    ))?)
}

fn failure(error: &Error) -> Failure {
    let code = match error.kind() {
        Kind::NotFound => Code::NoInput,
        _ => Code::Unavailable,
    };
    let cause = error.cause().map(|cause| format!(": {cause:#}")).unwrap_or_default();
    Failure::new(code, format!("{} ({}){cause}", error.message(), error.code()))
}
