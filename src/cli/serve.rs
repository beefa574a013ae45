//! `busway serve`: a hub as a process. Settings, log, signals, banner, exit code; `server` does the rest.
//!
//! SIGTERM and SIGINT drain, a second one ends at once. SIGHUP, or a changed config file, reads the settings again.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Code, Failure};
use super::files;
use super::flags::ConfigFlags;
use super::logs::{self, Filter};
use crate::config::{Config, Settings, check};
use crate::error::{Error, Kind};
use crate::server::Server;
use crate::server::reload::Reload;
use crate::time::Clock;

/// How often the config file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The exit code when a second signal cuts the drain short: as a shell shows a process ended by SIGINT.
const CUT_SHORT: i32 = 130;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway serve                                       store in ./busway-data, plugins from ./plugins
  busway serve --listen 127.0.0.1:0 --ports-file ports
  busway serve --listen 127.0.0.1:8080 --listen unix:/run/busway.sock --data /var/lib/busway
  busway config check --config busway.toml           before a restart

Every setting is a flag, an environment variable (in brackets) and a key of the config file. SIGTERM drains, SIGHUP or
a changed config file reloads plugin settings and the log filter.")]
pub(super) struct Serve {
    #[command(flatten)]
    flags: Box<ConfigFlags>,
}

/// The signals that a hub listens to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

impl Serve {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let sources = self.flags.sources();
        let config = Config::load(&sources)?;
        check::refuse(&config.settings)?;
        let filter = logs::install(&config.settings.log_output)?;
        files::raise_limit(config.settings.listen.connections);
        for warning in check::strange_variables(&sources.env) {
            tracing::warn!(warning, "an environment variable was ignored");
        }
        let mut signals = Signals::listen()?;
        let server = Server::start(&config.settings, Clock::system())
            .await
            .map_err(|error| failure(&error))?;
        banner(&server, &config.settings);
        let drain_timeout = config.settings.listen.drain_timeout;
        let mut reload = Reload::new(sources, config);
        run_until_stopped(&server, &mut signals, &mut reload, &filter).await;
        tracing::info!(
            timeout_s = drain_timeout.as_secs_f64(),
            "draining; a second signal ends at once"
        );
        tokio::select! {
            clean = server.drain(drain_timeout) => stopped(clean),
            () = signals.stop() => std::process::exit(CUT_SHORT),
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn run_until_stopped(server: &Server, signals: &mut Signals, reload: &mut Reload, filter: &Filter) {
    let clock = Clock::system();
    loop {
        let asked = tokio::select! {
            asked = signals.next() => Some(asked),
            () = clock.sleep(LOOK) => None,
        };
        if asked == Some(Asked::Stop) {
            return;
        }
        if asked == Some(Asked::Reload) || reload.changed() {
            take_up(server, reload, filter).await;
        }
    }
}

async fn take_up(server: &Server, reload: &mut Reload, filter: &Filter) {
    match reload.apply(server.hub()).await {
        Err(refused) => {
            tracing::error!(reason = %refused, "the new settings are refused, the old ones stay")
        }
        Ok(done) => {
            if let Some(directives) = &done.filter {
                filter.set(directives);
            }
            if !done.after_restart.is_empty() {
                tracing::warn!(
                    keys = done.after_restart.join(", "),
                    "these settings change with the next start only"
                );
            }
            tracing::info!(
                plugins = done.plugins.join(", "),
                log_filter = done.filter,
                "settings reloaded"
            );
        }
    }
}

fn banner(server: &Server, settings: &Settings) {
    let (data, plugins) = (settings.data.dir.display(), settings.data.plugins.display());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "busway");
    tracing::info!(dir = %data, durability = server.hub().health().durability, "store");
    for plugin in server.hub().plugins() {
        match &plugin.reason {
            None => tracing::info!(plugin = plugin.name, kind = plugin.kind, "plugin loaded"),
            Some(reason) => tracing::warn!(plugin = plugin.name, reason, "plugin rejected"),
        }
    }
    tracing::info!(dir = %plugins, loaded = server.hub().plugins().len(), "plugins");
    let surfaces = settings.compat.served().join(", ");
    tracing::info!(systems = surfaces, "older systems' clients are served");
    match settings.accounts.len() {
        0 => tracing::info!("nobody is asked for credentials, whatever they send: there is no [auth]"),
        accounts => tracing::info!(accounts, "credentials are asked for"),
    }
    for risk in check::risks(settings) {
        tracing::warn!(risk, "risky setting");
    }
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    tracing::info!(addresses = addresses.join(", "), "busway is ready");
}

fn stopped(clean: bool) {
    if clean {
        tracing::info!("stopped");
    } else {
        tracing::warn!("stopped at the drain timeout; what was cut off is delivered after the next start");
    }
}

fn failure(error: &Error) -> Failure {
    let code = match error.kind() {
        Kind::Invalid | Kind::Conflict => Code::Config,
        Kind::NotFound => Code::NoInput,
        Kind::Internal => Code::Software,
        _ => Code::Unavailable,
    };
    let cause = error.cause().map(|cause| format!(": {cause:#}")).unwrap_or_default();
    Failure::new(code, format!("{} ({}){cause}", error.message(), error.code()))
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|cause| Failure::new(Code::Software, format!("cannot listen to signals: {cause}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// The next signal that asks for a stop; reloads no longer matter.
    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
