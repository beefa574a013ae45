//! The command line: one file a command. `run` reads the arguments and answers with an exit code.
//!
//! `exit` has the codes, `out` the output, `client` the way to a hub, `flags` the flags made from the config's keys, and
//! `delivery` and `set` those made from a subscription's fields and a plugin's schema.
//! Invariant: commands speak to a hub only over HTTP, so whatever they can do, any program can do. `store` and `token
//! --data` are the exceptions: they are for when no hub runs.
//! Invariant: stdout carries results and nothing else; what goes wrong is one sentence on stderr and a code.

mod client;
mod config;
mod dead;
mod delivery;
mod demo;
mod exit;
mod explain;
mod files;
mod flags;
mod listener;
mod logs;
mod out;
mod plugin;
mod publish;
mod replay;
mod serve;
mod set;
mod source;
pub mod sse;
mod store;
mod subscription;
mod tail;
mod tls;
mod token;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use client::HubClient;
use exit::{Code, Failure};
use out::{Form, Out};
use tls::Tls;

use crate::access;

/// A durable event hub that WebAssembly plugins extend.
#[derive(Debug, Parser)]
#[command(name = "busway", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Examples:
  busway demo                                  see everything at work, on real events, in seconds
  busway serve                                 run a hub here: store in ./busway-data, plugins from ./plugins
  busway publish --type com.example.hello --source /me --data '{\"n\": 1}'
  busway tail                                  watch events as they come

Exit codes are those of sysexits.h: 64 usage, 65 bad data, 66 not there, 69 hub unavailable, 70 a fault of ours,
74 input or output, 75 try later, 77 not allowed, 78 bad settings; and 1 where the answer is no, as diff has it.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a hub.
    Serve(serve::Serve),
    /// See a hub at work on recorded events: delivery, plugins, a swap under load, a sink that dies; and the ledger.
    Demo(demo::Demo),
    /// Publish events from a file, from stdin, or made of flags.
    Publish(publish::Publish),
    /// Watch events as they come.
    Tail(tail::Tail),
    /// Follow another system's events and publish them on a hub.
    Source(source::Command),
    /// List, create and change subscriptions.
    Subscription(subscription::Command),
    /// Pulp's event listeners, by the commands of `pulp-admin event listener`.
    Listener(listener::Command),
    /// Look at dead letters; deliver them again, or drop them.
    Dead(dead::Command),
    /// Deliver a range of the log to a subscription again.
    Replay(Box<replay::Command>),
    /// Why an event did, or did not, reach a subscriber.
    Explain(explain::Explain),
    /// List a hub's plugins; inspect and build components.
    Plugin(plugin::Command),
    /// Make, list and revoke credentials.
    Token(token::Command),
    /// Look over the files of a hub that is not running.
    Store(store::Command),
    /// Check and show settings.
    Config(config::Command),
}

/// Where the hub is, and the form of the output: for every command that speaks to one.
#[derive(Debug, Args)]
struct Remote {
    /// The hub: `http://host:port`, `https://host:port` or `unix:/path`.
    #[arg(
        long,
        env = "BUSWAY_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    url: String,
    #[command(flatten)]
    tls: Tls,
    /// Credentials, where the hub asks for them: a token, `NAME:SECRET` of its `[auth]`, `file:PATH` or `env:NAME`.
    #[arg(long, env = "BUSWAY_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// The bus; the default one if none is named.
    #[arg(long, value_name = "NAME")]
    bus: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// The form of the output.
#[derive(Debug, Args)]
struct Output {
    /// A table for a person, or JSON for a program.
    #[arg(long, env = "BUSWAY_OUTPUT", default_value = "table", value_name = "FORM")]
    output: Form,
}

impl Output {
    fn out(&self) -> Out {
        Out::stdout(self.output)
    }
}

impl Remote {
    fn client(&self) -> Result<HubClient, Failure> {
        let token = self.token.as_deref().map(|token| access::value_of("--token", token));
        let token = token.transpose().map_err(|why| Failure::new(Code::Usage, why))?;
        Ok(HubClient::new(&self.url, &self.tls)?.with_token(token.as_deref()))
    }

    /// `/v1`, or the named bus's part of it.
    fn base(&self) -> String {
        match &self.bus {
            Some(bus) => format!("/v1/buses/{}", client::escape(bus)),
            None => "/v1".to_owned(),
        }
    }
}

/// What the end of a command may still wait for.
const LEFT_OVER: Duration = Duration::from_secs(2);

/// Runs the command that `arguments` (the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(asked) => {
            // Nothing can be done about an output that is gone.
            let _ = asked.print();
            return if asked.use_stderr() {
                ExitCode::from(Code::Usage as u8)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            return report(&Failure::new(Code::Software, format!("cannot start threads: {cause}")));
        }
    };
    let ended = runtime.block_on(dispatch(cli.command));
    // What still computes on a thread of its own, such as the compiling of a large plugin, cannot be called off.
    runtime.shutdown_timeout(LEFT_OVER);
    match ended {
        Ok(code) => code,
        Err(failure) => report(&failure),
    }
}

async fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(serve) => return serve.run().await,
        Command::Demo(demo) => demo.run().await?,
        Command::Publish(publish) => publish.run().await?,
        Command::Tail(tail) => tail.run().await?,
        Command::Source(source) => source.run().await?,
        Command::Subscription(subscription) => subscription.run().await?,
        Command::Listener(listener) => return listener.run().await,
        Command::Dead(dead) => dead.run().await?,
        Command::Replay(replay) => return replay.run().await,
        Command::Explain(explain) => explain.run().await?,
        Command::Plugin(plugin) => plugin.run().await?,
        Command::Token(token) => token.run().await?,
        Command::Store(store) => return store.run().await,
        Command::Config(config) => config.run().await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn report(failure: &Failure) -> ExitCode {
    use std::io::Write;
    if failure.message.is_empty() {
        return ExitCode::SUCCESS;
    }
    // Nothing can be done about a stderr that is gone.
    let _ = writeln!(std::io::stderr(), "busway: {failure}");
    ExitCode::from(failure.code as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {} has no help",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn a_count_of_none_is_refused() {
        for command in [&["tail"][..], &["source", "marathon", "http://m"]] {
            for (count, taken) in [("0", false), ("1", true)] {
                let arguments = [&["busway"], command, &["--count", count]].concat();
                let parsed = Cli::try_parse_from(&arguments);
                assert_eq!(parsed.is_ok(), taken, "{arguments:?}");
            }
        }
    }
}
