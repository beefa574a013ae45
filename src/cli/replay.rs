//! `busway replay`: a range of the log, to one subscription again.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::client::{escape, query};
use super::exit::{Code, Failure};
use super::out::{Form, Out, cell, row};
use super::{HubClient, Remote};

/// Between two looks at a replay that is waited for.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "A replay goes on beside live events, in a lane of its own, and survives a restart of the hub. Its callbacks have the
header `busway-replay` with its id, and the `webhook-id` that the event had the first time.

Examples:
  busway replay orders --from 2h                      everything of the last two hours
  busway replay orders --from 1200 --to 1300 --dry-run
  busway replay orders --from 2026-01-31T12:00:00Z --rate 100/s --wait
  busway replay orders --from earliest --filter '{\"prefix\": {\"subject\": \"/my-app\"}}'
  busway replay list
  busway replay cancel rpl_01kcq0e2n5sa8y6g3x7r4t9w1v"
)]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Replays, oldest first; of those that have ended the last hundred.
    List {
        /// Only of this subscription.
        #[arg(long, value_name = "ID")]
        subscription: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// One replay.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
    /// Call a replay off.
    Cancel {
        /// Its id.
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Args)]
struct Start {
    /// The subscription's id.
    #[arg(required = true)]
    subscription: Option<String>,
    /// From where: an offset, an RFC 3339 time, how long ago (`2h`), or `earliest`.
    #[arg(long, value_name = "PLACE", required = true)]
    from: Option<String>,
    /// To before where, likewise; the end as it is now if nothing is said.
    #[arg(long, value_name = "PLACE")]
    to: Option<String>,
    /// How fast at most, such as `100/s`.
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// Only events that this filter matches, as JSON.
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Only say what it would cover.
    #[arg(long)]
    dry_run: bool,
    /// Wait until it is done; 1 is the exit code if it was cancelled, or left dead letters.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Command {
    pub(super) async fn run(self) -> Result<std::process::ExitCode, Failure> {
        match self.verb {
            Some(Verb::List { subscription, remote }) => list(subscription, &remote).await?,
            Some(Verb::Show { id, remote }) => call(Method::GET, &id, &remote).await?,
            Some(Verb::Cancel { id, remote }) => call(Method::DELETE, &id, &remote).await?,
            None => return self.start.run().await,
        }
        Ok(std::process::ExitCode::SUCCESS)
    }
}

async fn list(subscription: Option<String>, remote: &Remote) -> Result<(), Failure> {
    let pairs: Vec<(&str, String)> = subscription.into_iter().map(|id| ("subscription", id)).collect();
    let answer = remote.client()?.get(&format!("/v1/replays{}", query(&pairs))).await?;
    let mut out = remote.output.out();
    if out.form == Form::Json {
        return Ok(out.document(&answer)?);
    }
    let all = answer
        .get("replays")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let pointers = [
        "/id",
        "/subscription",
        "/state",
        "/from",
        "/to",
        "/position",
        "/delivered",
        "/failed",
        "/dead",
    ];
    let rows: Vec<Vec<String>> = all.iter().map(|one| row(one, &pointers)).collect();
    let head = [
        "ID",
        "SUBSCRIPTION",
        "STATE",
        "FROM",
        "TO",
        "POSITION",
        "DELIVERED",
        "FAILED",
        "DEAD",
    ];
    Ok(out.table(&head, &rows)?)
}

async fn call(method: Method, id: &str, remote: &Remote) -> Result<(), Failure> {
    let path = format!("/v1/replays/{}", escape(id));
    let answer = remote.client()?.call(method, &path, None).await?;
    Ok(remote.output.out().document(&answer)?)
}

impl Start {
    async fn run(self) -> Result<std::process::ExitCode, Failure> {
        let client = self.remote.client()?;
        let body = self.body()?;
        let answer = client.call(Method::POST, "/v1/replay", Some(&body)).await?;
        let mut out = self.remote.output.out();
        if !self.wait {
            match out.form {
                Form::Json => out.document(&answer)?,
                Form::Table => out.line(&self.told(&answer))?,
            }
            return Ok(std::process::ExitCode::SUCCESS);
        }
        let ended = self.ended(&client, &mut out, &answer).await?;
        let whole = ended.get("state").and_then(Value::as_str) == Some("done")
            && ended.get("dead").and_then(Value::as_u64) == Some(0);
        match out.form {
            Form::Json => out.document(&ended)?,
            Form::Table => out.line(&progress(&ended))?,
        }
        Ok(std::process::ExitCode::from(u8::from(!whole)))
    }

    fn body(&self) -> Result<Value, Failure> {
        let mut body = Map::new();
        body.insert("subscription".to_owned(), json!(self.subscription));
        body.insert("from".to_owned(), json!(self.from));
        body.insert("dry_run".to_owned(), json!(self.dry_run));
        body.extend(self.to.as_ref().map(|to| ("to".to_owned(), json!(to))));
        body.extend(self.rate.as_ref().map(|rate| ("rate".to_owned(), json!(rate))));
        if let Some(filter) = &self.filter {
            let filter: Value = serde_json::from_str(filter)
                .map_err(|cause| Failure::new(Code::Usage, format!("--filter is not JSON: {cause}")))?;
            body.insert("filter".to_owned(), filter);
        }
        Ok(Value::Object(body))
    }

    fn told(&self, answer: &Value) -> String {
        let field = |name: &str| answer.get(name).map(cell).unwrap_or_default();
        let missed = match field("missed").as_str() {
            "" | "0" => String::new(),
            missed => format!("; retention has removed {missed} of them"),
        };
        let covers = format!(
            "{}, from {} to before {}{missed}",
            counted(&field("offsets")),
            field("from"),
            field("to")
        );
        match self.dry_run {
            true => format!("it would cover {covers}"),
            false => format!("{}: {covers}", field("id")),
        }
    }

    /// Looks again and again until it has ended; for a person, says how far it is on the way.
    async fn ended(&self, client: &HubClient, out: &mut Out, begun: &Value) -> Result<Value, Failure> {
        let id = begun.get("id").and_then(Value::as_str).unwrap_or_default();
        let path = format!("/v1/replays/{}", escape(id));
        let mut said = String::new();
        if out.form == Form::Table {
            out.line(&self.told(begun))?;
        }
        loop {
            let now = client.get(&path).await?;
            if now.get("ended").is_some_and(|ended| !ended.is_null()) {
                return Ok(now);
            }
            let line = progress(&now);
            if out.form == Form::Table && line != said {
                out.line(&line)?;
                said = line;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn progress(replay: &Value) -> String {
    let field = |name: &str| replay.get(name).map(cell).unwrap_or_default();
    let why = match field("reason").as_str() {
        "" => String::new(),
        why => format!(" ({why})"),
    };
    format!(
        "{}{why}: at {} of {}, {} delivered, {} filtered, {} retrying, {} dead",
        field("state"),
        field("position"),
        field("to"),
        field("delivered"),
        field("filtered"),
        field("retrying"),
        field("dead"),
    )
}

fn counted(offsets: &str) -> String {
    let plural = if offsets == "1" { "" } else { "s" };
    format!("{offsets} offset{plural}")
}
