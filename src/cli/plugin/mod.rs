//! `busway plugin`: what a hub has loaded; what a component is and needs; from source to component. One file a verb.

mod build;
mod diff;
mod docs;
mod fields;
mod inspect;
mod list;
mod new;
mod outcome;
mod promote;
mod recorded;
mod show;
mod specimen;
mod test;
mod trial;

use clap::{Args, Subcommand};

use super::exit::{Code, Failure};
use crate::error::{Error, Kind};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway plugin list                                 what the hub has loaded, and what it refused and why
  busway plugin new mine --lang python --kind filter  a project that builds at once, in a folder `mine`
  busway plugin build plugins/filter-threshold --out plugins
  busway plugin inspect plugins/filter-threshold.wasm
  busway plugin test plugins/filter-threshold --events events.jsonl --config config.json
  busway plugin diff old.wasm new.wasm --from-hub --last 10000
  busway plugin show filter-threshold               the fields of its config, for `subscription create --set`
  busway plugin docs plugins/filter-threshold.wasm  the same as a page in Markdown
  busway plugin trial filter-threshold new.wasm      compare a candidate with what is live, on live events
  busway plugin promote filter-threshold             make it live")]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The hub's plugins, or one of them whole.
    List(list::List),
    /// The fields of a live plugin's config: what each takes, its default, what it is for.
    Show(show::Show),
    /// What a component file is: kind, version of the contract, imports, config schema, what it needs.
    Inspect(inspect::Inspect),
    /// Write a new plugin's project: a source, recorded events to test it on, a README.
    New(new::New),
    /// Build a plugin from its folder (Rust, JavaScript, TypeScript, Python, C, C++ or WAT) into a component.
    Build(build::Build),
    /// Run a plugin on recorded events, offline, its effects recorded and not done; a test where they say what to expect.
    Test(Box<test::Test>),
    /// Run two builds of a plugin on recorded events and show where they differ. Exit code 1 if they do.
    Diff(Box<diff::Diff>),
    /// The docs of a plugin, made from its config schema, in Markdown.
    Docs(docs::Docs),
    /// Try a component in the shadow of a live plugin: same calls, no effects; where do they differ?
    Trial(trial::Trial),
    /// Make the candidate of a trial live.
    Promote(promote::Promote),
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List(list) => list.run().await,
            Verb::Show(show) => show.run().await,
            Verb::Inspect(inspect) => inspect.run(),
            Verb::New(new) => new.run(),
            Verb::Build(build) => build.run(),
            Verb::Test(test) => test.run().await,
            Verb::Diff(diff) => diff.run().await,
            Verb::Docs(docs) => docs.run(),
            Verb::Trial(trial) => trial.run().await,
            Verb::Promote(promote) => promote.run().await,
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
