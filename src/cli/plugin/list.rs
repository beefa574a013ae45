//! `busway plugin list`: the hub's plugins in a table, or one of them whole.

use clap::Args;
use serde_json::Value;

use crate::cli::Remote;
use crate::cli::client::escape;
use crate::cli::exit::Failure;
use crate::cli::out::{Form, row};

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this one, with everything the hub knows of it.
    name: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl List {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.name {
            None => table(&self.remote).await,
            Some(name) => {
                let answer = self
                    .remote
                    .client()?
                    .get(&format!("/v1/plugins/{}", escape(&name)))
                    .await?;
                Ok(self.remote.output.out().document(&answer)?)
            }
        }
    }
}

async fn table(remote: &Remote) -> Result<(), Failure> {
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
