//! `busway token`: create, list, revoke; on a running hub, or offline in the data folder of one that does not run.
//!
//! Why offline too: a hub that other machines can reach does not start while nobody would be asked for credentials, and
//! whoever has lost the last administrator's has no other way back.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::Remote;
use super::client::escape;
use super::exit::{Code, Failure};
use super::out::{Form, Out, row};
use super::serve::failure;
use crate::access::Token;
use crate::hub::Offline;
use crate::time::Clock;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway token create root --scope admin              the first one: from then on everybody is asked
  busway token create shop --scope publish:orders --scope subscribe:orders --expires 30d --rate 100/s
  busway token create root --scope admin --data /var/lib/busway      on a hub that does not run yet
  busway token list
  busway token revoke shop

The token is printed once and kept nowhere; give it as `--token` or BUSWAY_TOKEN, or as `Authorization: Bearer TOKEN`.")]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token, and print it.
    Create(Box<Create>),
    /// All tokens, without what proves them.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a token: at once, and what is open with it ends.
    Revoke {
        /// Its id or its name.
        #[arg(value_name = "TOKEN")]
        which: String,
        /// Also if nobody is left who could administer the hub.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// What people call it.
    name: String,
    /// `publish`, `subscribe` or `admin`, for all buses or one (`publish:orders`). May be given several times.
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<String>,
    /// Until when it is good: a duration from now on, or a time such as 2031-01-31T12:00:00Z.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// How often it may be used, such as 100/s.
    #[arg(long, value_name = "RATE")]
    rate: Option<String>,
    /// How often at once, after a rest.
    #[arg(long, value_name = "COUNT", requires = "rate")]
    burst: Option<u32>,
    /// Also if nobody could administer the hub.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

/// Where the tokens are.
#[derive(Debug, Args)]
struct Place {
    /// The data folder of a hub that does not run, instead of a hub that does.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    #[command(flatten)]
    remote: Remote,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Create(create) => create.run().await,
            Verb::List { place } => list(&place).await,
            Verb::Revoke { which, force, place } => revoke(&place, &which, force).await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let body = self.body();
        let made = match &self.place.data {
            Some(folder) => {
                let offline = Offline::open_or_create(folder, Clock::system()).map_err(|error| failure(&error))?;
                let issued = offline.create(&body).await.map_err(|error| failure(&error));
                offline.close().await;
                let issued = issued?;
                let mut shown = issued.token.shown();
                if let Some(fields) = shown.as_object_mut() {
                    fields.insert("token".to_owned(), json!(issued.text.0));
                }
                shown
            }
            None => {
                let path = format!("/v1/tokens{}", forced(self.force));
                self.place
                    .remote
                    .client()?
                    .call(Method::POST, &path, Some(&body))
                    .await?
            }
        };
        let mut out = self.place.remote.output.out();
        match (out.form, made.get("token").and_then(Value::as_str)) {
            (Form::Table, Some(token)) => {
                out.line(token)?;
                let note = made.get("note").and_then(Value::as_str);
                note.into_iter().for_each(Out::aside);
            }
            _ => out.document(&made)?,
        }
        Ok(())
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        body.insert("scopes".to_owned(), json!(self.scopes));
        let texts = [("expires", &self.expires), ("rate", &self.rate)];
        for (name, text) in texts {
            body.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
        }
        body.extend(self.burst.map(|burst| ("burst".to_owned(), json!(burst))));
        Value::Object(body)
    }
}

fn forced(force: bool) -> &'static str {
    if force { "?force=true" } else { "" }
}

async fn list(place: &Place) -> Result<(), Failure> {
    let answer = match &place.data {
        Some(folder) => {
            let offline = Offline::open(folder, Clock::system()).map_err(|error| failure(&error))?;
            let all: Vec<Value> = offline.tokens().iter().map(Token::shown).collect();
            offline.close().await;
            json!({ "tokens": all })
        }
        None => place.remote.client()?.get("/v1/tokens").await?,
    };
    let mut out = place.remote.output.out();
    if out.form == Form::Json {
        return Ok(out.document(&answer)?);
    }
    let all = answer.get("tokens").and_then(Value::as_array);
    let pointers = ["/id", "/name", "/scopes", "/rate", "/created", "/expires"];
    let rows: Vec<Vec<String>> = all.into_iter().flatten().map(|one| row(one, &pointers)).collect();
    Ok(out.table(&["ID", "NAME", "SCOPES", "RATE", "CREATED", "EXPIRES"], &rows)?)
}

async fn revoke(place: &Place, token: &str, force: bool) -> Result<(), Failure> {
    match &place.data {
        Some(folder) => {
            let offline = Offline::open(folder, Clock::system()).map_err(|error| failure(&error))?;
            let revoked = offline.revoke(token).await.map_err(|error| failure(&error));
            offline.close().await;
            revoked.map(drop)
        }
        None => {
            if token.is_empty() {
                return Err(Failure::new(Code::Usage, "say which: a token's id or name"));
            }
            let path = format!("/v1/tokens/{}{}", escape(token), forced(force));
            place.remote.client()?.call(Method::DELETE, &path, None).await.map(drop)
        }
    }
}
