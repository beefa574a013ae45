//! Components away from the plugin directory: loaded from bytes, under the host's own limits, only to be observed.
//!
//! `busway plugin test` and `diff` make a workbench of their own; a trial uses the hub's engines and cache.
//! Invariant: a specimen never serves: it is in no snapshot, and nothing but its observers calls it.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::cache::Cache;
use super::engine::Engines;
use super::generation::Generation;
use super::kv::Spaces;
use super::load::{Load, Loader, Outline};
use super::observe::{Observed, Observer};
use super::recorder::Effects;
use super::status::Figures;
use super::{Grants, PluginSettings, grants};
use crate::digest::sha256;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::net;
use crate::tasks::Tasks;
use crate::time::Clock;

/// Loads components to observe them.
#[derive(Clone)]
pub struct Workbench {
    loader: Arc<Loader>,
    tasks: Tasks,
}

impl Workbench {
    /// A workbench with engines of its own. `cache` is where compiled code is kept between runs, if anywhere.
    ///
    /// # Errors
    /// If the engines cannot be made.
    pub fn open(cache: Option<&Path>, client: net::Client, clock: Clock, tasks: Tasks) -> Result<Self, Error> {
        let loader = Loader {
            engines: Engines::new()?,
            cache: cache.map_or_else(Cache::none, Cache::open),
            spaces: Spaces::new(None),
            client,
            clock,
            metrics: Arc::new(Metrics::new()),
            crowded: Arc::new(Notify::new()),
            failing: Arc::default(),
        };
        Ok(Self::with(Arc::new(loader), tasks))
    }

    /// A workbench with the engines and the cache of a host.
    pub(super) fn with(loader: Arc<Loader>, tasks: Tasks) -> Self {
        Self { loader, tasks }
    }

    /// Loads a component as a plugin of this name, with these settings: as the host would, `describe` included.
    ///
    /// What it needs to be loaded at all and was not granted is granted to an address that leads nowhere; each use of
    /// it is refused and told ([`super::Trace::not_granted`]).
    ///
    /// # Errors
    /// `plugin_invalid`, with what is wrong and what to do.
    pub async fn load(&self, name: &str, bytes: bytes::Bytes, settings: PluginSettings) -> Result<Specimen, Error> {
        let (loader, runtime, name) = (self.loader.clone(), Handle::current(), name.to_owned());
        // Compiling computes for seconds: it has no place on the runtime's own threads.
        let loading = self.tasks.blocking(move || {
            let outline = Outline::read(&bytes)?;
            let settings = loadable(&outline, &name, settings);
            let source = loader.source(&name, sha256(&bytes), &settings.grants, &bytes)?;
            let load = Load {
                name,
                number: 0,
                settings,
                figures: Arc::new(Figures::default()),
            };
            runtime.block_on(loader.generation(source, load))
        });
        let loaded = loading.await.map_err(Error::internal)?;
        let generation = loaded.map_err(|why| Error::invalid("plugin_invalid", why))?;
        Ok(Specimen {
            generation: Arc::new(generation),
            clock: self.loader.clock.clone(),
            tasks: self.tasks.clone(),
        })
    }
}

/// The settings, with a grant that leads nowhere where the outline needs one (`.invalid` never resolves, RFC 2606).
pub(super) fn loadable(outline: &Outline, name: &str, settings: PluginSettings) -> PluginSettings {
    match outline.needed_grant(name, &settings.grants) {
        None => settings,
        Some(_) => PluginSettings {
            grants: Grants {
                http: vec![grants::NOWHERE.to_owned()],
                ..settings.grants
            },
            ..settings
        },
    }
}

/// A component that was loaded to be observed.
#[derive(Clone)]
pub struct Specimen {
    generation: Arc<Generation>,
    clock: Clock,
    tasks: Tasks,
}

impl Specimen {
    /// What it is.
    pub fn observed(&self) -> Observed {
        self.generation.observed()
    }

    /// Its own line about itself.
    pub fn summary(&self) -> &str {
        &self.generation.about.summary
    }

    /// The JSON Schema of its config, if it has one.
    pub fn config_schema(&self) -> Option<&serde_json::Value> {
        Some(self.generation.about.config_schema.as_ref()?.json())
    }

    /// An observer of it with this config: a JSON object that overlays the operator's, or nothing.
    pub fn observer(&self, config: &Arc<str>, effects: Effects) -> Observer {
        let driven_by = (self.clock.clone(), self.tasks.clone());
        Observer::new(self.generation.clone(), config.clone(), effects, driven_by)
    }
}
