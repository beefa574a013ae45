//! From the bytes of a file to a component that is known to work: outline, grants, compile, link, try.
//!
//! The outline (what is exported and imported) is read before anything is compiled, since the world decides for which
//! engine to compile, and since a plugin that will be refused need not cost half a minute of compiling.
//!
//! Invariant: every refusal says what is wrong with the file and what to do about it, in words for an operator.
//! Invariant: nothing here touches what is live; a load that fails leaves no trace but its reason.

use std::sync::Arc;

use tokio::sync::Notify;
use wasmparser::{Parser, Payload};
use wasmtime::component::Component;

use super::cache::Cache;
use super::engine::Engines;
use super::generation::{Generation, Maker, Origin};
use super::grants::{self, Allowed};
use super::guest_log::GuestLog;
use super::kv::Spaces;
use super::status::{Figures, Meter};
use super::version::VERSIONS;
use super::{Grants, PluginSettings, World};
use crate::metrics::Metrics;
use crate::net;
use crate::time::Clock;

/// The largest file that is read.
pub(super) const LARGEST: u64 = 256 << 20;

/// Makes generations. What every load has in common.
pub(super) struct Loader {
    pub(super) engines: Engines,
    pub(super) cache: Cache,
    pub(super) spaces: Arc<Spaces>,
    pub(super) client: net::Client,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    /// Told when no instance could be made because too many live.
    pub(super) crowded: Arc<Notify>,
    /// Told when a generation on probation fails too much.
    pub(super) failing: Arc<Notify>,
}

/// A component that compiled: enough to make generations of it with other settings.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) digest: String,
    pub(super) outline: Outline,
    pub(super) component: Component,
}

/// Which load this is.
pub(super) struct Load {
    pub(super) name: String,
    /// The nth of this name.
    pub(super) number: u64,
    pub(super) settings: PluginSettings,
    pub(super) figures: Arc<Figures>,
}

impl Loader {
    /// Reads, checks and compiles. Takes as long as compiling does, on the caller's thread.
    pub(super) fn source(&self, name: &str, digest: String, granted: &Grants, bytes: &[u8]) -> Result<Source, String> {
        let outline = Outline::read(bytes)?;
        outline.check_grants(name, granted)?;
        let component = self.cache.component(self.engines.of(outline.world), &digest, bytes)?;
        Ok(Source {
            digest,
            outline,
            component,
        })
    }

    /// Links a component against its grants and tries it. Computes on the caller's thread.
    pub(super) async fn generation(&self, source: Source, load: Load) -> Result<Generation, String> {
        let maker = self.maker(&source, &load)?;
        let about = maker.describe().await?;
        let meter = Meter::new(&load.name, self.metrics.clone(), load.figures, self.failing.clone());
        let origin = Origin {
            name: load.name,
            number: load.number,
            settings: load.settings,
            source,
        };
        let generation = Generation::new(maker, about, origin, meter);
        match generation.operators_fault() {
            Some(fault) => Err(fault),
            None => Ok(generation),
        }
    }

    /// What makes instances of a component, with these settings.
    pub(super) fn maker(&self, source: &Source, load: &Load) -> Result<Maker, String> {
        let (outline, engine) = (&source.outline, self.engines.of(source.outline.world));
        outline.check_grants(&load.name, &load.settings.grants)?;
        let allowed = Arc::new(Allowed::parse(&load.settings.grants)?);
        let version = VERSIONS
            .iter()
            .find(|version| compatible(version.package, &outline.version));
        let version = version.ok_or_else(|| format!("busway:plugin@{} is not served", outline.version))?;
        let linked = (version.link)(engine, &source.component, outline.world, outline.waits());
        let linked = linked.map_err(|error| format!("it does not fit this hub: {error:#}"))?;
        Ok(Maker {
            name: load.name.clone(),
            linked,
            engine: engine.clone(),
            settings: load.settings.clone(),
            allowed,
            client: self.client.clone(),
            space: self.spaces.of(&load.name),
            log: GuestLog::new(
                &load.name,
                &load.settings.limits,
                load.figures.clone(),
                self.clock.clone(),
            ),
            figures: load.figures.clone(),
            clock: self.clock.clone(),
            crowded: self.crowded.clone(),
        })
    }
}

/// What a component offers and needs, read from its outermost sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) world: World,
    /// Of the package `busway:plugin`.
    pub(super) version: String,
    /// Names of imported interfaces, as in the component.
    pub(super) imports: Vec<String>,
}

impl Outline {
    /// Reads the outline, or says why these bytes are no plugin.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        check_header(bytes)?;
        let (mut exports, mut imports) = (Vec::new(), Vec::new());
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| damaged(&error))?;
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        exports.push(export.map_err(|error| damaged(&error))?.name.name.to_owned());
                    }
                }
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        imports.push(import.map_err(|error| damaged(&error))?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        let (world, version) = world_of(&exports)?;
        // The types that it shares with the hub are no request for anything.
        imports.retain(|name| name.contains('/'));
        Ok(Self {
            world,
            version,
            imports,
        })
    }

    /// Whether a call may wait in the host.
    pub(super) fn waits(&self) -> bool {
        self.world == World::Notifier || self.imports.iter().any(|name| name.starts_with("wasi:"))
    }

    /// Whether it imports this interface, in any version.
    pub(super) fn imports(&self, interface: &str) -> bool {
        self.imports
            .iter()
            .any(|name| name.split('@').next() == Some(interface))
    }

    /// Refuses a plugin that would never be able to do its work.
    pub(super) fn check_grants(&self, name: &str, granted: &Grants) -> Result<(), String> {
        match self.needed_grant(name, granted) {
            Some(line) => Err(format!(
                "{name} imports {HTTP}, which is not granted; allow it in the config: {line}"
            )),
            None => Ok(()),
        }
    }

    /// The config line without which this plugin cannot work, if one is missing.
    pub(super) fn needed_grant(&self, name: &str, granted: &Grants) -> Option<String> {
        let missing = self.imports(HTTP) && granted.http.is_empty();
        missing.then(|| grants::line(name, "http", &[], "https://hooks.example.com"))
    }
}

const HTTP: &str = "wasi:http/outgoing-handler";

fn world_of(exports: &[String]) -> Result<(World, String), String> {
    let found = |interface: &str| {
        exports.iter().find_map(|name| {
            name.strip_prefix("busway:plugin/")?
                .strip_prefix(interface)?
                .strip_prefix('@')
        })
    };
    let served = VERSIONS
        .iter()
        .map(|version| version.package)
        .collect::<Vec<_>>()
        .join(", ");
    let (world, version) = match (found("filter"), found("notifier")) {
        (Some(version), None) => (World::Filter, version),
        (None, Some(version)) => (World::Notifier, version),
        (Some(_), Some(_)) => {
            return Err("it exports both `filter` and `notifier`: make two plugins of it".to_owned());
        }
        (None, None) => {
            let has = if exports.is_empty() {
                "nothing".to_owned()
            } else {
                exports.join(", ")
            };
            return Err(format!(
                "it exports neither busway:plugin/filter nor busway:plugin/notifier (version {served}), but {has}; \
                 build it against the world `filter-plugin` or `notifier-plugin` of wit/v0/busway.wit"
            ));
        }
    };
    match VERSIONS.iter().any(|served| compatible(served.package, version)) {
        true => Ok((world, version.to_owned())),
        false => Err(format!(
            "it was built against busway:plugin@{version}, and this hub serves busway:plugin@{served}; \
             build it anew against the WIT of this hub, or use a hub of its time"
        )),
    }
}

/// Whether two versions may be linked: the same up to the first number that is not zero, as semver has it.
pub(super) fn compatible(one: &str, other: &str) -> bool {
    let key = |version: &str| {
        let numbers: Vec<&str> = version.split('.').collect();
        let end = numbers
            .iter()
            .position(|&number| number != "0")
            .map_or(numbers.len(), |first| first + 1);
        numbers
            .iter()
            .take(end)
            .map(|&number| number.to_owned())
            .collect::<Vec<_>>()
    };
    key(one) == key(other)
}

fn check_header(bytes: &[u8]) -> Result<(), String> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(format!(
            "the file has {} bytes; plugins may have {LARGEST}",
            bytes.len()
        ));
    }
    if bytes.is_empty() {
        return Err("the file is empty; is it still being written?".to_owned());
    }
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        let with_core = "it is a core WebAssembly module, not a component; make one of it with `busway plugin build`, \
             or with `wasm-tools component new`";
        return Err(with_core.to_owned());
    }
    if bytes.starts_with(b"\0asm") {
        let what = if bytes.len() < 8 {
            "it ends within its header; is it still being written?"
        } else {
            "it has a WebAssembly version that this hub does not know"
        };
        return Err(what.to_owned());
    }
    match std::str::from_utf8(bytes.get(..bytes.len().min(64)).unwrap_or_default()) {
        Ok(text) if text.trim_start().starts_with('(') => {
            Err("it is WebAssembly text; make a binary of it with `wasm-tools parse -o NAME.wasm`".to_owned())
        }
        _ => Err("it is not WebAssembly (it does not begin with `\\0asm`); a plugin is a component, built with `busway plugin build`".to_owned()),
    }
}

fn damaged(error: &wasmparser::BinaryReaderError) -> String {
    format!(
        "the component is damaged or cut off at byte {} ({}); is it still being written?",
        error.offset(),
        error.message()
    )
}
