//! `busway dead`: what could not be delivered, and why; deliver it again, or drop it.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::Remote;
use super::client::query;
use super::exit::{Code, Failure};
use super::out::{Form, row};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway dead list --subscription orders
  busway dead show 17
  busway dead redeliver --subscription orders --dry-run
  busway dead drop --id 17 --id 18")]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Dead letters, oldest first.
    List {
        /// Only of this subscription.
        #[arg(long, value_name = "ID")]
        subscription: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// One dead letter: its event and its attempts.
    Show {
        /// Its id, as `list` shows it.
        id: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// Deliver again.
    Redeliver(Chosen),
    /// Remove for good.
    Drop(Chosen),
}

#[derive(Debug, Args)]
struct Chosen {
    /// All of this subscription.
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// Only this one. May be given several times.
    #[arg(long = "id", value_name = "N")]
    ids: Vec<u64>,
    /// All there are.
    #[arg(long, conflicts_with_all = ["subscription", "ids"])]
    all: bool,
    /// Only say how many it would be.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List { subscription, remote } => list(subscription, &remote).await,
            Verb::Show { id, remote } => show(id, &remote).await,
            Verb::Redeliver(chosen) => chosen.call(Method::POST, "/v1/dead-letters/redeliver").await,
            Verb::Drop(chosen) => chosen.call(Method::DELETE, "/v1/dead-letters").await,
        }
    }
}

async fn list(subscription: Option<String>, remote: &Remote) -> Result<(), Failure> {
    let pairs: Vec<(&str, String)> = subscription.into_iter().map(|id| ("subscription", id)).collect();
    let answer = remote
        .client()?
        .get(&format!("/v1/dead-letters{}", query(&pairs)))
        .await?;
    let mut out = remote.output.out();
    if out.form == Form::Json {
        return Ok(out.document(&answer)?);
    }
    let pointers = ["/id", "/subscription", "/offset", "/event/type", "/tries", "/reason"];
    let rows: Vec<Vec<String>> = letters(&answer).iter().map(|letter| row(letter, &pointers)).collect();
    Ok(out.table(&["ID", "SUBSCRIPTION", "OFFSET", "TYPE", "TRIES", "REASON"], &rows)?)
}

async fn show(id: u64, remote: &Remote) -> Result<(), Failure> {
    let answer = remote.client()?.get(&format!("/v1/dead-letters?ids={id}")).await?;
    match letters(&answer).first() {
        Some(letter) => Ok(remote.output.out().document(letter)?),
        None => Err(Failure::new(
            Code::NoInput,
            format!("there is no dead letter {id}; `busway dead list` shows all"),
        )),
    }
}

fn letters(answer: &Value) -> Vec<Value> {
    answer
        .get("dead_letters")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

impl Chosen {
    async fn call(self, method: Method, path: &str) -> Result<(), Failure> {
        if self.subscription.is_none() && self.ids.is_empty() && !self.all {
            let message = "say which: --subscription ID, --id N, or --all";
            return Err(Failure::new(Code::Usage, message));
        }
        let mut body = json!({ "dry_run": self.dry_run });
        if let Some(entries) = body.as_object_mut() {
            entries.extend(self.subscription.map(|id| ("subscription".to_owned(), json!(id))));
            if !self.ids.is_empty() {
                entries.insert("ids".to_owned(), json!(self.ids));
            }
        }
        let answer = self.remote.client()?.call(method, path, Some(&body)).await?;
        Ok(self.remote.output.out().document(&answer)?)
    }
}
