//! `busway plugin promote`: the candidate of a trial takes the live plugin's place.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::Failure;
use super::trial::print;
use crate::cli::Remote;
use crate::cli::client::escape;
use crate::cli::exit::Code;
use crate::cli::out::cell;

#[derive(Debug, Args)]
#[command(
    after_help = "The candidate is written into the hub's plugin directory and swapped in like any other file.

Example:
  busway plugin promote filter-threshold"
)]
pub(super) struct Promote {
    /// The plugin whose trial it is.
    name: String,
    /// Even if the candidate failed where the live plugin did not.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Promote {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let path = format!("/v1/plugins/{}/promote?force={}", escape(&self.name), self.force);
        let report = self.remote.client()?.call(Method::POST, &path, None).await?;
        print(&mut self.remote.output.out(), &report)?;
        match report.get("outlook").and_then(Value::as_str) {
            Some("live") => Ok(()),
            _ => {
                let text = format!(
                    "the candidate was written and is not live yet: {}; `busway plugin list {}` says why",
                    report.get("summary").map(cell).unwrap_or_default(),
                    self.name
                );
                Err(Failure::new(Code::TryLater, text))
            }
        }
    }
}
