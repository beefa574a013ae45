//! The hub's own log: `tracing` to stderr, text on a terminal and JSON otherwise.
//!
//! Why here: a subscriber is global to the process, and only a command owns the process. Libraries and tests that
//! run two hubs install their own or none.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::exit::{Code, Failure};
use crate::config::{LogFormat, LogOutput};

/// Whether a line may be logged at all, whatever the filter says. What is ours shows no secret at any level; of others,
/// `trace` has whole requests in it.
fn is_fit(line: &Metadata<'_>) -> bool {
    let target = line.target();
    *line.level() < Level::TRACE || target == "busway" || target.starts_with("busway::")
}

/// Changes what is logged while the process runs.
#[derive(Clone)]
pub(super) struct Filter(Handle<EnvFilter, Registry>);

impl Filter {
    /// From now on this is logged. The directives have been checked when the settings were read.
    pub(super) fn set(&self, directives: &str) {
        if let Err(cause) = self.0.reload(EnvFilter::new(directives)) {
            tracing::warn!(%cause, "the log filter could not be changed");
        }
    }
}

/// Installs the log for the rest of the process.
pub(super) fn install(settings: &LogOutput) -> Result<Filter, Failure> {
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&settings.filter));
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(is_fit));
    let terminal = std::io::stderr().is_terminal();
    let text = match settings.format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let layer = fmt::layer().with_writer(std::io::stderr);
    let installed = if text {
        tracing::subscriber::set_global_default(registry.with(layer.with_target(false).with_ansi(terminal)))
    } else {
        tracing::subscriber::set_global_default(registry.with(layer.json().flatten_event(true)))
    };
    installed.map_err(|cause| Failure::new(Code::Software, format!("the log cannot be set up: {cause}")))?;
    Ok(Filter(handle))
}
