//! `busway plugin trial`: a candidate in the shadow of a live plugin, and what came of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::{Failure, progress};
use crate::cli::Remote;
use crate::cli::client::{HubClient, escape, query};
use crate::cli::exit::Code;
use crate::cli::out::{Form, Out, cell, row};
use crate::time::Clock;

/// Between two looks at a trial that runs.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(
    after_help = "Every live call of the plugin is made again on the candidate, which reaches nothing and nobody.
Nothing waits for it. Ctrl-C leaves the trial running.

Examples:
  busway plugin trial filter-threshold new.wasm --for 60s   try it, and print what came of it
  busway plugin trial filter-threshold                      how it goes
  busway plugin promote filter-threshold                    make it live
  busway plugin trial filter-threshold --end                end it, and forget the candidate"
)]
pub(super) struct Trial {
    /// The plugin whose calls are compared.
    name: String,
    /// The candidate, a `.wasm` file. Without it: how the present trial goes.
    file: Option<PathBuf>,
    /// How long.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s", requires = "file")]
    length: String,
    /// End the present trial and forget its candidate.
    #[arg(long, conflicts_with = "file")]
    end: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Trial {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (client, path) = (self.remote.client()?, path(&self.name));
        let report = match (&self.file, self.end) {
            (Some(file), _) => {
                let began = self.start(&client, file).await?;
                let until = began.get("ends").map(cell).unwrap_or_default();
                progress(&format!("the trial of {} runs until {until}", self.name));
                wait(&client, &path).await?
            }
            (None, true) => client.call(Method::DELETE, &path, None).await?,
            (None, false) => client.get(&path).await?,
        };
        print(&mut self.remote.output.out(), &report)?;
        match report.get("outlook").and_then(Value::as_str) {
            Some("fails") => Err(Failure::new(
                Code::Data,
                report.get("summary").map(cell).unwrap_or_default(),
            )),
            _ => Ok(()),
        }
    }

    async fn start(&self, client: &HubClient, file: &std::path::Path) -> Result<Value, Failure> {
        let bytes = std::fs::read(file)
            .map_err(|cause| Failure::new(Code::NoInput, format!("{} cannot be read: {cause}", file.display())))?;
        let target = format!("{}{}", path(&self.name), query(&[("for", self.length.clone())]));
        let media = [("content-type", "application/wasm")];
        client.send(Method::POST, &target, &media, bytes.into()).await
    }
}

fn path(name: &str) -> String {
    format!("/v1/plugins/{}/trial", escape(name))
}

async fn wait(client: &HubClient, path: &str) -> Result<Value, Failure> {
    let clock = Clock::system();
    loop {
        let report = client.get(path).await?;
        if report.get("state").and_then(Value::as_str) != Some("running") {
            return Ok(report);
        }
        clock.sleep(LOOK).await;
    }
}

/// Prints a report.
pub(super) fn print(out: &mut Out, report: &Value) -> Result<(), Failure> {
    if out.form == Form::Json {
        return Ok(out.document(report)?);
    }
    let text = |pointer: &str| report.pointer(pointer).map(cell).unwrap_or_default();
    out.line(&format!(
        "{} ({}): {}",
        text("/plugin"),
        text("/state"),
        text("/summary")
    ))?;
    let rows = ["live", "candidate"].map(|side| {
        let found = report.get(side).cloned().unwrap_or_default();
        let mut cells = vec![side.to_owned()];
        cells.extend(row(
            &found,
            &["/digest", "/generation", "/errors", "/p50_us", "/p99_us"],
        ));
        if let Some(digest) = cells.get_mut(1) {
            digest.truncate(12);
        }
        cells
    });
    out.table(&["", "DIGEST", "GENERATION", "ERRORS", "P50 µs", "P99 µs"], &rows)?;
    out.line(&format!(
        "{} calls compared: {} the same, {} different; {} left out, as the candidate could not keep up",
        text("/compared"),
        text("/same"),
        text("/different"),
        text("/left_out")
    ))?;
    for line in items(report, "not_granted") {
        out.line(&format!("not granted: {}", cell(line)))?;
    }
    let differences: Vec<Vec<String>> = items(report, "differences").iter().map(difference).collect();
    match differences.is_empty() {
        true => Ok(()),
        false => Ok(out.table(&["OFFSET", "ID", "TYPE", "LIVE", "CANDIDATE"], &differences)?),
    }
}

fn items<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn difference(found: &Value) -> Vec<String> {
    let mut cells = row(found, &["/offset", "/id", "/type"]);
    for side in ["live", "candidate"] {
        let said = found.get(side).cloned().unwrap_or_default();
        let mut text = row(&said, &["/verdict", "/words"]);
        text.retain(|part| !part.is_empty());
        text.extend(items(&said, "effects").iter().map(effect));
        cells.push(text.join(": "));
    }
    cells
}

fn effect(effect: &Value) -> String {
    let mut parts = row(effect, &["/method", "/url", "/address", "/body"]);
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}
