//! `busway plugin build`: from a plugin's folder to a component.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{failed, progress};
use crate::cli::Output;
use crate::cli::exit::Failure;
use crate::cli::out::Form;
use crate::devkit;

#[derive(Debug, Args)]
pub(super) struct Build {
    /// The plugin's folder.
    folder: PathBuf,
    /// Where to write `NAME.wasm`; the folder itself if it is not given.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Build {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut say = |line: &str| progress(line);
        let path = devkit::build(&self.folder, self.out.as_deref(), &mut say).map_err(|error| failed(&error))?;
        let mut out = self.output.out();
        match out.form {
            Form::Json => out.document(&json!({ "path": path }))?,
            Form::Table => out.line(&path.display().to_string())?,
        }
        Ok(())
    }
}
