//! `busway plugin`: what a hub has loaded; what a component is and needs; from source to component. One file a verb.

mod build;
mod inspect;
mod list;

use clap::{Args, Subcommand};

use super::exit::{Code, Failure};
use crate::error::{Error, Kind};

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
    List(list::List),
    /// What a component file is: kind, version of the contract, imports, config schema, what it needs.
    Inspect(inspect::Inspect),
    /// Build a plugin from its folder (Rust, JavaScript, TypeScript, Python, C, C++ or WAT) into a component.
    Build(build::Build),
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List(list) => list.run().await,
            Verb::Inspect(inspect) => inspect.run(),
            Verb::Build(build) => build.run(),
        }
    }
}

/// Progress is no result: it goes to stderr.
fn progress(line: &str) {
    use std::io::Write;
    // Nothing can be done about a stderr that is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An error of the library's, as this command's failure.
fn failed(error: &Error) -> Failure {
    let code = match error.kind() {
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Software,
        _ => Code::Data,
    };
    let cause = error.cause().map(|cause| format!(": {cause:#}")).unwrap_or_default();
    Failure::new(code, format!("{} ({}){cause}", error.message(), error.code()))
}
