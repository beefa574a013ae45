//! `busway subscription`: list, get, create, delete, pause, resume, test, rotate-secret.

use std::io::Read;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Remote;
use super::client::escape;
use super::delivery::DeliveryFlags;
use super::exit::{Code, Failure};
use super::out::{Form, Out, cell, row};
use super::set::{self, Target};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway subscription create --type 'deployment_*' --sink http://127.0.0.1:9000/hook
  busway subscription create --file subscription.json --id orders
  busway subscription create --type 'order.*' --sink http://127.0.0.1:9000/hook --ordering key \\
    --schedule 'exponential 5s x2 to 1h' --rate 100/s --burst 200
  busway subscription create --type 'order.*' --plugin filter-threshold --set pointer=/total --set min=10 \\
    --sink http://127.0.0.1:9000/hook
  busway subscription create --type '**' --notifier notifier-chat --set 'template={type} of {subject}' \\
    --set url=https://chat.example.com/hook
  busway subscription test orders
  busway subscription rotate-secret orders --grace 24h")]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// All subscriptions.
    List {
        #[command(flatten)]
        remote: Remote,
    },
    /// One subscription, whole.
    Get(Named),
    /// A new subscription (or, with --id, a changed one).
    Create(Box<Create>),
    /// Remove a subscription. Its dead letters stay.
    Delete(Named),
    /// Let events wait in the log.
    Pause(Named),
    /// Go on after a pause; of one that is not paused, try its failing sink now.
    Resume(Named),
    /// Deliver one test event now, and show what the sink said; exit code 1 if it did not take it.
    Test(Named),
    /// Sign with a new secret; the old ones sign beside it for a while.
    RotateSecret(Rotate),
}

#[derive(Debug, Args)]
struct Named {
    /// The subscription's id.
    id: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct Rotate {
    #[command(flatten)]
    named: Named,
    /// How long the old ones sign too: `24h`; `0s` drops them at once.
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// The new one: `whsec_…`, `whsk_…`, `file:PATH` or `env:NAME`; the hub draws and shows one if none is given.
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
}

#[derive(Debug, Args)]
struct Create {
    /// The subscription as JSON, from a file (`-` is stdin); the other flags overlay it.
    #[arg(long, value_name = "FILE")]
    file: Option<String>,
    /// An id of your own; a subscription of that id is replaced.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Event types; `*` and `**` stand for parts. May be given several times.
    #[arg(long = "type", value_name = "PATTERN")]
    types: Vec<String>,
    /// A filter as JSON, such as '{"prefix": {"subject": "/a"}}'. May be given several times; all must match.
    #[arg(long = "filter", value_name = "JSON")]
    filters: Vec<String>,
    /// Where events go.
    #[arg(long, value_name = "URL")]
    sink: Option<String>,
    /// `HTTP`, or the name of a notifier plugin.
    #[arg(long, visible_alias = "notifier", value_name = "NAME")]
    protocol: Option<String>,
    /// A filter plugin that events must pass. May be given several times.
    #[arg(long = "plugin", value_name = "NAME")]
    plugins: Vec<String>,
    /// A field of the notifier's settings or of a filter plugin's config (or PLUGIN.NAME=VALUE, if both have it); a list
    /// by its commas. `busway plugin show PLUGIN` lists the fields.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// `protocolsettings` as JSON.
    #[arg(long, value_name = "JSON")]
    settings: Option<String>,
    /// `config` as JSON; the flags of delivery overlay it.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
    #[command(flatten)]
    remote: Remote,
    // Last, or the others would stand under its heading.
    #[command(flatten)]
    delivery: DeliveryFlags,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List { remote } => list(&remote).await,
            Verb::Create(create) => create.run().await,
            Verb::Get(named) => named.call(Method::GET, "").await,
            Verb::Delete(named) => named.call(Method::DELETE, "").await,
            Verb::Pause(named) => named.turn("/pause").await,
            Verb::Resume(named) => named.turn("/resume").await,
            Verb::Test(named) => named.test().await,
            Verb::RotateSecret(rotate) => rotate.run().await,
        }
    }
}

impl Rotate {
    async fn run(self) -> Result<(), Failure> {
        let secret = self.secret.map(|secret| crate::access::value_of("--secret", &secret));
        let secret = secret.transpose().map_err(|why| Failure::new(Code::NoInput, why))?;
        let mut body = Map::new();
        for (name, text) in [("secret", secret), ("grace", self.grace)] {
            body.extend(text.map(|text| (name.to_owned(), Value::from(text))));
        }
        let body = Value::Object(body);
        let answer = self.named.ask(Method::POST, "/rotate-secret", Some(&body)).await?;
        let mut out = self.named.remote.output.out();
        match (out.form, answer.get("secret").and_then(Value::as_str)) {
            (Form::Json, _) => out.document(&answer)?,
            (Form::Table, None) => out.line(&format!("{} signs with the secret that was given", self.named.id))?,
            (Form::Table, Some(secret)) => {
                out.line(secret)?;
                Out::aside("this is shown once; what signed before signs beside it until its grace ends");
            }
        }
        Ok(())
    }
}

impl Named {
    async fn call(self, method: Method, verb: &str) -> Result<(), Failure> {
        let answer = self.ask(method, verb, None).await?;
        if !answer.is_null() {
            self.remote.output.out().document(&answer)?;
        }
        Ok(())
    }

    /// Pauses or resumes; for a person, the state that this led to is enough.
    async fn turn(self, verb: &str) -> Result<(), Failure> {
        let answer = self.ask(Method::POST, verb, None).await?;
        let mut out = self.remote.output.out();
        if out.form == Form::Json {
            return Ok(out.document(&answer)?);
        }
        let because = answer.get("reason").and_then(Value::as_str);
        let because = because.map(|why| format!(": {why}")).unwrap_or_default();
        let state = answer.get("state").map(cell).unwrap_or_default();
        Ok(out.line(&format!("{} is {state}{because}", self.id))?)
    }

    /// Has one event delivered now. Exit code 1 if the sink did not take it.
    async fn test(self) -> Result<(), Failure> {
        let attempt = self.ask(Method::POST, "/test", None).await?;
        let mut out = self.remote.output.out();
        let field = |name: &str| attempt.get(name).map(cell).unwrap_or_default();
        if out.form == Form::Json {
            out.document(&attempt)?;
        } else {
            let status = attempt.get("status").and_then(Value::as_u64);
            let status = status.map(|status| format!("status {status}, ")).unwrap_or_default();
            out.line(&format!("{} ({status}{} ms)", field("outcome"), field("took_ms")))?;
            if !field("answer").is_empty() {
                out.line(&field("answer"))?;
            }
        }
        match field("outcome").as_str() {
            "delivered" => Ok(()),
            _ => Err(Failure::new(Code::No, "the test event was not delivered")),
        }
    }

    async fn ask(&self, method: Method, verb: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let path = format!("{}/subscriptions/{}{verb}", self.remote.base(), escape(&self.id));
        self.remote.client()?.call(method, &path, body).await
    }
}

async fn list(remote: &Remote) -> Result<(), Failure> {
    let answer = remote
        .client()?
        .get(&format!("{}/subscriptions", remote.base()))
        .await?;
    let mut out = remote.output.out();
    if out.form == Form::Json {
        return Ok(out.document(&answer)?);
    }
    let all = answer
        .get("subscriptions")
        .or(Some(&answer))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let at = |path: &str| {
                one.pointer(path)
                    .and_then(Value::as_u64)
                    .unwrap_or_default()
                    .to_string()
            };
            // One that is active may yet wait: for a sink that fails, or a plugin.
            let waits =
                one.pointer("/state").is_some_and(|state| state == "active") && one.pointer("/status/state").is_some();
            let state = if waits { "/status/state" } else { "/state" };
            let mut cells = row(one, &["/id", state, "/types", "/protocol", "/sink"]);
            // No list, or an empty one: events of every type.
            if let Some(types) = cells.get_mut(2).filter(|types| matches!(types.as_str(), "" | "-")) {
                "*".clone_into(types);
            }
            cells.splice(2..2, [at("/status/behind"), at("/status/retrying")]);
            cells
        })
        .collect();
    let head = ["ID", "STATE", "BEHIND", "RETRYING", "TYPES", "PROTOCOL", "SINK"];
    Ok(out.table(&head, &rows)?)
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let mut body = self.body()?;
        self.extend_by_options(&mut body).await?;
        let body = Value::Object(body);
        let (method, path) = match &self.id {
            Some(id) => (
                Method::PUT,
                format!("{}/subscriptions/{}", self.remote.base(), escape(id)),
            ),
            None => (Method::POST, format!("{}/subscriptions", self.remote.base())),
        };
        let answer = self.remote.client()?.call(method, &path, Some(&body)).await?;
        let mut out = self.remote.output.out();
        match (out.form, answer.get("id").and_then(Value::as_str)) {
            (Form::Table, Some(id)) => out.line(id)?,
            _ => out.document(&answer)?,
        }
        Ok(())
    }

    /// Adds what `--plugin` and `--set` say.
    async fn extend_by_options(&self, body: &mut Map<String, Value>) -> Result<(), Failure> {
        let protocol = body
            .get("protocol")
            .and_then(Value::as_str)
            .unwrap_or("HTTP")
            .to_owned();
        let mut targets = Vec::new();
        // What is not to be set need not be looked up: the hub checks the names anyway.
        if !self.set.is_empty() {
            let client = self.remote.client()?;
            for name in &self.plugins {
                targets.push(Target::plugin(&client, name).await?);
            }
            if !protocol.eq_ignore_ascii_case("http") {
                targets.push(Target::plugin(&client, &protocol).await?);
            } else if self.plugins.is_empty() {
                targets.push(Target::free("HTTP"));
            }
            set::apply(&mut targets, &self.set)?;
        }
        let mut set = targets.into_iter().map(|target| target.config);
        let filters: Vec<Value> = self
            .plugins
            .iter()
            .map(|name| json!({"plugin": {"name": name, "config": set.next().unwrap_or_default()}}))
            .collect();
        let settings = set.next().unwrap_or_default();
        add(body, "filters", filters, Value::as_array_mut);
        add(body, "protocolsettings", settings, Value::as_object_mut);
        Ok(())
    }

    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = match &self.file {
            Some(file) => read(file)?,
            None => Map::new(),
        };
        if !self.types.is_empty() {
            body.insert("types".to_owned(), json!(self.types));
        }
        if !self.filters.is_empty() {
            let filters: Result<Vec<Value>, Failure> =
                self.filters.iter().map(|text| parse("--filter", text)).collect();
            body.insert("filters".to_owned(), Value::Array(filters?));
        }
        for (name, text) in [("sink", &self.sink), ("protocol", &self.protocol)] {
            body.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
        }
        for (flag, name, text) in [
            ("--settings", "protocolsettings", &self.settings),
            ("--config", "config", &self.config),
        ] {
            if let Some(text) = text {
                body.insert(name.to_owned(), parse(flag, text)?);
            }
        }
        self.delivery.overlay(&mut body)?;
        Ok(body)
    }
}

/// Extends a field that holds many, making it if there is something to put in.
fn add<T, C>(body: &mut Map<String, Value>, field: &str, more: C, many: fn(&mut Value) -> Option<&mut C>)
where
    C: IntoIterator<Item = T> + Extend<T> + Default + Into<Value>,
{
    let mut more = more.into_iter().peekable();
    if more.peek().is_some() {
        let there = body.entry(field).or_insert_with(|| C::default().into());
        if let Some(there) = many(there) {
            there.extend(more);
        }
    }
}

fn parse(what: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|cause| Failure::new(Code::Data, format!("{what} is not JSON: {cause}")))
}

fn read(file: &str) -> Result<Map<String, Value>, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(drop),
        path => std::fs::read_to_string(path).map(|found| text = found),
    };
    read.map_err(|cause| Failure::new(Code::NoInput, format!("{file} cannot be read: {cause}")))?;
    match parse(file, &text)? {
        Value::Object(body) => Ok(body),
        _ => Err(Failure::new(
            Code::Data,
            format!("{file}: a subscription is a JSON object"),
        )),
    }
}
