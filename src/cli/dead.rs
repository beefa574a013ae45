//! `busway dead`: what could not be delivered, and why; deliver it again, or drop it.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::client::query;
use super::exit::{Code, Failure};
use super::out::{Form, row};
use super::{HubClient, Remote};

/// Before lanes that had no room are asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// What a dry run shows of a letter.
const BRIEF: [&str; 5] = ["/id", "/at", "/subscription", "/type", "/reason"];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway dead list --subscription orders --since 2h
  busway dead list --reason 'answered 503' --type 'order.*'
  busway dead show 17
  busway dead redeliver --subscription orders --since 2h        recover what failed in the last two hours
  busway dead redeliver --subscription orders --dry-run
  busway dead redeliver --filter '{\"prefix\": {\"subject\": \"/my-app\"}}'
  busway dead drop --id 17 --id 18
  busway dead drop --subscription orders --until 2026-01-31T12:00:00Z
  busway dead drop --all")]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Dead letters, oldest first.
    List(List),
    /// One dead letter: its event and its attempts.
    Show {
        /// Its id, as `list` shows it.
        id: u64,
        #[command(flatten)]
        remote: Remote,
    },
    /// Deliver again. All that holds of a letter must hold; without a word of which, nothing is.
    Redeliver(Chosen),
    /// Remove for good. All that holds of a letter must hold; without a word of which, nothing is.
    Drop(Chosen),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only after this id: the next page.
    #[arg(long, value_name = "ID")]
    after: Option<u64>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct Which {
    /// Only of this subscription.
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// Only this one. May be given several times.
    #[arg(long = "id", value_name = "N")]
    ids: Vec<u64>,
    /// Only of this type; `*` and `**` stand for parts. May be given several times.
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// Only whose reason has these words in it.
    #[arg(long, value_name = "WORDS")]
    reason: Option<String>,
    /// Only given up then or later: an RFC 3339 time, or how long ago (`2h`).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only given up before then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those whose event this filter matches, as JSON.
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
}

#[derive(Debug, Args)]
struct Chosen {
    #[command(flatten)]
    which: Which,
    /// All there are.
    #[arg(long, conflicts_with_all = ["subscription", "ids", "types", "reason", "since", "until", "filter"])]
    all: bool,
    /// Only say how many it would be, and which are the first.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List(list) => list.run().await,
            Verb::Show { id, remote } => show(id, &remote).await,
            Verb::Redeliver(chosen) => chosen.redeliver().await,
            Verb::Drop(chosen) => chosen.discard().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let mut pairs = self.which.pairs();
        pairs.extend(self.remote.bus.clone().map(|bus| ("bus", bus)));
        pairs.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        pairs.extend(self.after.map(|after| ("after", after.to_string())));
        let path = format!("/v1/dead-letters{}", query(&pairs));
        let answer = self.remote.client()?.get(&path).await?;
        let mut out = self.remote.output.out();
        if out.form == Form::Json {
            return Ok(out.document(&answer)?);
        }
        let letters = answer
            .get("dead_letters")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let pointers = [
            "/id",
            "/at",
            "/subscription",
            "/offset",
            "/event/type",
            "/tries",
            "/kept",
            "/reason",
        ];
        let rows: Vec<Vec<String>> = letters.iter().map(|letter| row(letter, &pointers)).collect();
        out.table(
            &["ID", "AT", "SUBSCRIPTION", "OFFSET", "TYPE", "TRIES", "KEPT", "REASON"],
            &rows,
        )?;
        if let Some(next) = answer.get("next").and_then(Value::as_u64) {
            out.line(&format!("there may be more: --after {next}"))?;
        }
        Ok(())
    }
}

async fn show(id: u64, remote: &Remote) -> Result<(), Failure> {
    let letter = remote.client()?.get(&format!("/v1/dead-letters/{id}")).await?;
    Ok(remote.output.out().document(&letter)?)
}

impl Which {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in [
            ("subscription", &self.subscription),
            ("reason", &self.reason),
            ("since", &self.since),
            ("until", &self.until),
            ("filter", &self.filter),
        ] {
            pairs.extend(value.clone().map(|value| (name, value)));
        }
        pairs.extend(self.types.iter().map(|ty| ("type", ty.clone())));
        pairs.extend(self.ids.iter().map(|id| ("ids", id.to_string())));
        pairs
    }
}

impl Chosen {
    /// Again and again, as long as lanes have no room for the rest.
    async fn redeliver(self) -> Result<(), Failure> {
        let mut body = self.body()?;
        let client = self.remote.client()?;
        let mut sum = Map::new();
        loop {
            let answer = call(&client, Method::POST, "/v1/dead-letters/redeliver", &body).await?;
            let moved = answer.get("redelivered").and_then(Value::as_u64).unwrap_or_default();
            let next = answer.get("next").cloned().unwrap_or_default();
            add(&mut sum, answer);
            if next.is_null() {
                return self.tell("redeliver", &Value::Object(sum));
            }
            body.insert("after".to_owned(), next);
            if moved == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn discard(self) -> Result<(), Failure> {
        let client = self.remote.client()?;
        let answer = call(&client, Method::DELETE, "/v1/dead-letters", &self.body()?).await?;
        self.tell("drop", &answer)
    }

    /// What was done, or with `--dry-run` would be: a line for a person, and the letters that say more.
    fn tell(&self, verb: &str, answer: &Value) -> Result<(), Failure> {
        let mut out = self.remote.output.out();
        if out.form == Form::Json {
            return Ok(out.document(answer)?);
        }
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
        let letters = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        if self.dry_run {
            out.line(&format!("it would {verb} {}", count("matched")))?;
            let rows: Vec<Vec<String>> = letters("first").iter().map(|one| row(one, &BRIEF)).collect();
            return match rows.is_empty() {
                true => Ok(()),
                false => Ok(out.table(&["ID", "AT", "SUBSCRIPTION", "TYPE", "REASON"], &rows)?),
            };
        }
        match verb {
            "drop" => out.line(&format!("dropped {}", count("dropped")))?,
            _ => out.line(&format!("redelivered {} of {}", count("redelivered"), count("matched")))?,
        }
        for one in letters("failed") {
            out.line(&row(&one, &["/id", "/reason"]).join(": "))?;
        }
        Ok(())
    }

    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        for (name, value) in self.which.pairs() {
            let value = match name {
                "ids" => json!(self.which.ids),
                "type" => json!(self.which.types),
                "filter" => serde_json::from_str(&value)
                    .map_err(|cause| Failure::new(Code::Usage, format!("--filter is not JSON: {cause}")))?,
                _ => json!(value),
            };
            body.insert(name.to_owned(), value);
        }
        body.extend(self.remote.bus.as_ref().map(|bus| ("bus".to_owned(), json!(bus))));
        if body.is_empty() && !self.all {
            let message =
                "say which: --subscription ID, --id N, --type, --reason, --since, --until, --filter, or --all";
            return Err(Failure::new(Code::Usage, message));
        }
        body.insert("all".to_owned(), json!(self.all));
        body.insert("dry_run".to_owned(), json!(self.dry_run));
        Ok(body)
    }
}

async fn call(client: &HubClient, method: Method, path: &str, body: &Map<String, Value>) -> Result<Value, Failure> {
    client.call(method, path, Some(&Value::Object(body.clone()))).await
}

/// Adds up what several calls did.
fn add(sum: &mut Map<String, Value>, answer: Value) {
    let Value::Object(answer) = answer else { return };
    for (name, value) in answer {
        let before = sum.remove(&name);
        let both = match (before, value) {
            (Some(Value::Number(before)), Value::Number(now)) => {
                json!(before.as_u64().unwrap_or_default() + now.as_u64().unwrap_or_default())
            }
            (Some(Value::Array(mut before)), Value::Array(now)) => {
                before.extend(now);
                Value::Array(before)
            }
            (_, now) => now,
        };
        sum.insert(name, both);
    }
}
