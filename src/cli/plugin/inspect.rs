//! `busway plugin inspect`: what a component file is, and the config lines that it needs.

use std::path::{Path, PathBuf};

use clap::Args;

use super::failed;
use crate::cli::Output;
use crate::cli::exit::{Code, Failure};
use crate::cli::out::Form;
use crate::{devkit, plugin};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// The `.wasm` file.
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Inspect {
    pub(super) fn run(self) -> Result<(), Failure> {
        let bytes = read(&self.file)?;
        let found = plugin::inspect(&bytes).map_err(|error| failed(&error))?;
        let name = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let mut out = self.output.out();
        match out.form {
            Form::Json => out.document(&devkit::to_json(&name, &found))?,
            Form::Table => out.line(devkit::table(&name, &found).trim_end())?,
        }
        Ok(())
    }
}

/// The bytes of a component file.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|cause| Failure::new(Code::NoInput, format!("{} cannot be read: {cause}", file.display())))
}
