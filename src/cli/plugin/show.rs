//! `busway plugin show`: the fields of a live plugin's config, and how to set them.

use clap::Args;
use serde_json::{Value, json};

use super::fields;
use crate::cli::Remote;
use crate::cli::client::escape;
use crate::cli::exit::Failure;
use crate::cli::out::Form;
use crate::plugin;

#[derive(Debug, Args)]
#[command(after_help = "Example:
  busway plugin show filter-threshold
  busway subscription create --type 'order.*' --plugin filter-threshold --set pointer=/total --set min=10 \\
    --sink http://127.0.0.1:9000/hook")]
pub(super) struct Show {
    /// The plugin's name.
    name: String,
    #[command(flatten)]
    remote: Remote,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let path = format!("/v1/plugins/{}", escape(&self.name));
        let found = self.remote.client()?.get(&path).await?;
        let text = |key: &str| found.get(key).and_then(Value::as_str).unwrap_or_default();
        let schema = found.get("config_schema").filter(|schema| !schema.is_null());
        let known = schema.map(plugin::fields);
        let mut out = self.remote.output.out();
        if out.form == Form::Json {
            let known = known.as_deref().map(fields::to_json);
            return Ok(out.document(&json!({
                "name": self.name,
                "kind": found.get("kind"),
                "state": found.get("state"),
                "summary": found.get("summary"),
                "fields": known,
            }))?);
        }
        out.line(&format!("{} ({}): {}", self.name, text("kind"), text("summary")))?;
        if !text("reason").is_empty() {
            out.line(&format!("{}: {}", text("state"), text("reason")))?;
        }
        out.line("")?;
        match known {
            None => out.line("It gives no schema of its config; set any field with --set NAME=JSON.")?,
            Some(known) if known.is_empty() => out.line("It takes no config.")?,
            Some(known) => {
                out.table(&fields::HEADS, &fields::rows(&known))?;
                out.line("")?;
                out.line(&fields::create(&self.name, text("kind"), &known))?;
            }
        }
        Ok(())
    }
}
