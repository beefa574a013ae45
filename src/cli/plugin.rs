//! `busway plugin`: what a hub has loaded; what a component is and needs; from source to component.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::escape;
use super::exit::{Code, Failure};
use super::out::{Form, row};
use super::{Output, Remote};
use crate::error::{Error, Kind};
use crate::{devkit, plugin};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway plugin list                                 what the hub has loaded, and what it refused and why
  busway plugin build plugins/filter-threshold --out plugins
  busway plugin inspect plugins/filter-threshold.wasm")]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The hub's plugins, or one of them whole.
    List {
        /// Only this one, with everything the hub knows of it.
        name: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// What a component file is: kind, version of the contract, imports, config schema, what it needs.
    Inspect {
        /// The `.wasm` file.
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// Build a plugin from its folder (Rust, C or WAT) into a component.
    Build {
        /// The plugin's folder.
        folder: PathBuf,
        /// Where to write `NAME.wasm`; the folder itself if it is not given.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List { name: None, remote } => list(&remote).await,
            Verb::List {
                name: Some(name),
                remote,
            } => {
                let answer = remote.client()?.get(&format!("/v1/plugins/{}", escape(&name))).await?;
                Ok(remote.output.out().document(&answer)?)
            }
            Verb::Inspect { file, output } => inspect(&file, &output),
            Verb::Build { folder, out, output } => build(&folder, out.as_deref(), &output),
        }
    }
}

async fn list(remote: &Remote) -> Result<(), Failure> {
    let answer = remote.client()?.get("/v1/plugins").await?;
    let mut out = remote.output.out();
    if out.form == Form::Json {
        return Ok(out.document(&answer)?);
    }
    let pointers = [
        "/name",
        "/kind",
        "/state",
        "/generation",
        "/calls",
        "/errors",
        "/p50_us",
        "/reason",
    ];
    let all = answer
        .get("plugins")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = all.iter().map(|one| row(one, &pointers)).collect();
    Ok(out.table(
        &[
            "NAME",
            "KIND",
            "STATE",
            "GENERATION",
            "CALLS",
            "ERRORS",
            "P50 µs",
            "REASON",
        ],
        &rows,
    )?)
}

fn build(folder: &Path, to: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let mut say = |line: &str| progress(line);
    let path = devkit::build(folder, to, &mut say).map_err(|error| failed(&error))?;
    let mut out = output.out();
    match out.form {
        Form::Json => out.document(&json!({ "path": path }))?,
        Form::Table => out.line(&path.display().to_string())?,
    }
    Ok(())
}

/// Progress is no result: it goes to stderr.
fn progress(line: &str) {
    use std::io::Write;
    // Nothing can be done about a stderr that is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn failed(error: &Error) -> Failure {
    let code = match error.kind() {
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Software,
        _ => Code::Data,
    };
    let cause = error.cause().map(|cause| format!(": {cause:#}")).unwrap_or_default();
    Failure::new(code, format!("{} ({}){cause}", error.message(), error.code()))
}

fn inspect(file: &Path, output: &Output) -> Result<(), Failure> {
    let bytes = std::fs::read(file)
        .map_err(|cause| Failure::new(Code::NoInput, format!("{} cannot be read: {cause}", file.display())))?;
    let found = plugin::inspect(&bytes).map_err(|error| failed(&error))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut out = output.out();
    match out.form {
        Form::Json => out.document(&devkit::to_json(&name, &found))?,
        Form::Table => out.line(devkit::table(&name, &found).trim_end())?,
    }
    Ok(())
}
