//! `busway listener`: what `pulp-admin event listener` does, word for word, for scripts that know that.
//!
//! `grammar` is what can be said, `page` what is printed, `account` who asks and whom, `server` the way there and what
//! its refusals mean. It speaks to the hub's `/pulp/api/v2/events/`, which is Pulp's own: so it serves a real Pulp too.
//! Invariant: outputs and exit codes are pulp-admin's, and so all of it goes to stdout; what a pulp-admin would not say
//! (the hub's warnings) goes to stderr.

mod account;
mod grammar;
mod page;
mod server;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};

use super::exit::{Code, Failure};
use account::Account;
use grammar::{Deed, Misuse, Values, find};
use page::Page;
use server::{Refused, Server};

const EVENTS: &str = "/pulp/api/v2/events/";

#[derive(Debug, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
#[command(override_usage = "busway listener [OPTIONS] [SUB_SECTION, ..] COMMAND")]
pub(super) struct Command {
    /// `--url URL` of the hub, `--ca FILE` (who signed its certificate), `-u NAME`, `-p PASSWORD`, `--config FILE` (an
    /// `admin.conf`), then a command: `list`, `delete`, or `email`, `http`, `amqp` with `create` or `update`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
    words: Vec<String>,
}

impl Command {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let (account, rest) = Account::read(&self.words)?;
        let mut page = Page::default();
        let code = said(&account, rest, &mut page).await?;
        // A pipe that is closed is an end, not a fault.
        let _ = std::io::stdout().write_all(page.0.as_bytes());
        Ok(code.map_or(ExitCode::SUCCESS, |code| ExitCode::from(code as u8)))
    }
}

/// Does what is said; how it ended, if not well.
async fn said(account: &Account, words: &[String], page: &mut Page) -> Result<Option<Code>, Failure> {
    let (found, rest) = find(words);
    let command = match found {
        Ok(command) => command,
        Err(section) => {
            page.section(section);
            return Ok(Some(Code::Usage));
        }
    };
    let values = match command.read(rest) {
        Ok(values) => values,
        Err(misuse) => {
            let missing = match &misuse {
                Misuse::Missing(missing) => missing.as_slice(),
                Misuse::Unclear(why) => {
                    why.iter().for_each(|why| server::aside(why));
                    &[]
                }
            };
            page.usage(command, missing);
            return Ok(Some(Code::Usage));
        }
    };
    let server = Server::new(account)?;
    match done(&server, command.deed, &values, page).await {
        Ok(()) => Ok(None),
        Err(refused) => Ok(Some(refused.tell(page))),
    }
}

async fn done(server: &Server, deed: Deed, values: &Values, page: &mut Page) -> Result<(), Refused> {
    let one = || {
        let id = values.get("--listener-id").and_then(|ids| ids.last());
        format!("{EVENTS}{}/", super::client::escape(id.map_or("", String::as_str)))
    };
    match deed {
        Deed::List => {
            let listed = server.call(Method::GET, EVENTS, None).await?;
            let listed = listed.as_array().into_iter().flatten();
            listed.filter_map(Value::as_object).for_each(|one| page.document(one));
        }
        Deed::Delete => {
            server.call(Method::DELETE, &one(), None).await?;
            page.message("Event listener successfully deleted");
        }
        Deed::Create(notifier) => {
            let mut body = changes(values);
            body.entry("notifier_config").or_insert_with(|| json!({}));
            body.insert("notifier_type_id".to_owned(), notifier.into());
            server.call(Method::POST, EVENTS, Some(Value::Object(body))).await?;
            page.message("Event listener successfully created");
        }
        Deed::Update => {
            let body = changes(values);
            if body.is_empty() {
                page.message("No changes were made");
            } else {
                server.call(Method::PUT, &one(), Some(Value::Object(body))).await?;
                page.message("Event listener successfully updated");
            }
        }
    }
    Ok(())
}

/// What the options say of a listener.
fn changes(values: &Values) -> Map<String, Value> {
    let mut config = Map::new();
    for (option, key) in [
        ("--url", "url"),
        ("--username", "username"),
        ("--password", "password"),
        ("--ca-path", "ca_path"),
        ("--exchange", "exchange"),
        ("--subject", "subject"),
    ] {
        if let Some(value) = values.get(option).and_then(|given| given.last()) {
            config.insert(key.to_owned(), value.as_str().into());
        }
    }
    if let Some(addresses) = values.get("--addresses").and_then(|given| given.last()) {
        config.insert("addresses".to_owned(), addresses.split(',').collect());
    }
    let mut changes = Map::new();
    if !config.is_empty() {
        changes.insert("notifier_config".to_owned(), Value::Object(config));
    }
    if let Some(types) = values.get("--event-type") {
        changes.insert("event_types".to_owned(), json!(types));
    }
    changes
}
