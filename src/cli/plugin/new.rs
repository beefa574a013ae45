//! `busway plugin new`: a project to start from, in the author's language.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{failed, progress};
use crate::cli::Output;
use crate::cli::exit::Failure;
use crate::cli::out::Form;
use crate::devkit::{self, Starter};
use crate::plugin::World;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway plugin new mine --lang javascript --kind filter
  busway plugin new pager --lang c --kind notifier --dir plugins-src
Then, in the new folder: busway plugin test . (a notifier's with --as NAME); busway plugin build .")]
pub(super) struct New {
    /// The plugin's name: small letters, digits and -.
    name: String,
    /// rust, javascript, typescript, python, c, cpp or wat.
    #[arg(long, value_name = "LANGUAGE")]
    lang: String,
    /// What it decides or does: which events pass, or how they reach a sink.
    #[arg(long)]
    kind: Kind,
    /// Where to make the folder NAME.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Filter,
    Notifier,
}

impl New {
    pub(super) fn run(self) -> Result<(), Failure> {
        let world = match self.kind {
            Kind::Filter => World::Filter,
            Kind::Notifier => World::Notifier,
        };
        let made = Starter::named(&self.lang).and_then(|starter| devkit::create(starter, world, &self.name, &self.dir));
        let folder = made.map_err(|error| failed(&error))?;
        progress(&match self.kind {
            Kind::Filter => format!("next: cd {}; busway plugin test .", folder.display()),
            Kind::Notifier => format!("next: cd {}; busway plugin test . --as {}", folder.display(), self.name),
        });
        let mut out = self.output.out();
        match out.form {
            Form::Json => out.document(&json!({ "path": folder }))?,
            Form::Table => out.line(&folder.display().to_string())?,
        }
        Ok(())
    }
}
