//! What a component is, before it is trusted with anything: for `busway plugin inspect` and the developer kit.
//!
//! It is compiled and asked to describe itself under the default limits with nothing granted, as the hub would.
//! Invariant: nothing is written, dialled, or kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::cache::Cache;
use super::engine::Engines;
use super::kv::Spaces;
use super::load::{Load, Loader, Outline};
use super::status::Figures;
use super::workbench::loadable;
use super::{Grants, PluginSettings, World};
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::net;
use crate::time::Clock;

/// What is known of a component.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// What it exports.
    pub kind: World,
    /// The version of `busway:plugin` that it was built against.
    pub wit_version: String,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// Its own line about itself.
    pub summary: String,
    /// The JSON Schema of its config, if it has one.
    pub config_schema: Option<serde_json::Value>,
    /// The config lines that it needs to be loaded at all, for a plugin called `NAME`.
    pub needed_grants: Vec<String>,
    /// Of the file, in bytes.
    pub size: usize,
    /// Hex SHA-256 of the file.
    pub digest: String,
    /// How long it took to compile.
    pub compiled_in: Duration,
}

/// Reads, compiles and tries a component.
///
/// # Errors
/// `plugin_invalid`, with what is wrong and what to do.
pub fn inspect(bytes: &[u8]) -> Result<Inspection> {
    // The caller may be inside a runtime, which may not be blocked: the trial has its own, on its own thread.
    let ran = std::thread::scope(|scope| scope.spawn(|| run(bytes)).join());
    ran.unwrap_or_else(|_| Err(Error::internal(anyhow::anyhow!("the inspection panicked"))))
}

fn run(bytes: &[u8]) -> Result<Inspection> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::internal)?;
    let clock = Clock::system();
    let loader = Loader {
        engines: Engines::new()?,
        cache: Cache::none(),
        spaces: Spaces::new(None),
        client: net::Client::new(net::Guard::new(net::GuardSettings::default())),
        clock: clock.clone(),
        metrics: Arc::new(Metrics::new()),
        crowded: Arc::new(Notify::new()),
        failing: Arc::default(),
    };
    let outline = Outline::read(bytes).map_err(invalid)?;
    let needed = outline.needed_grant("NAME", &Grants::default());
    let settings = loadable(&outline, "NAME", PluginSettings::default());
    let began = clock.instant();
    let source = loader
        .source("NAME", sha256(bytes), &settings.grants, bytes)
        .map_err(invalid)?;
    let compiled_in = clock.instant().saturating_duration_since(began);
    let load = Load {
        name: "NAME".to_owned(),
        number: 1,
        settings,
        figures: Arc::new(Figures::default()),
    };
    let digest = source.digest.clone();
    let maker = loader.maker(&source, &load).map_err(invalid)?;
    let about = runtime.block_on(maker.describe()).map_err(invalid)?;
    Ok(Inspection {
        kind: outline.world,
        wit_version: outline.version,
        imports: outline.imports,
        summary: about.summary,
        config_schema: about.config_schema.map(|schema| schema.json().clone()),
        needed_grants: needed.into_iter().collect(),
        size: bytes.len(),
        digest,
        compiled_in,
    })
}

fn invalid(why: String) -> Error {
    Error::invalid("plugin_invalid", why)
}
