//! A build of a plugin on the workbench of this process: loaded under the host's own limits, called, and watched.
//!
//! Invariant: nothing that it does to the world is done; it is recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::outcome::Outcome;
use super::recorded::Recorded;
use super::{failed, inspect, progress};
use crate::cli::exit::{Code, Failure};
use crate::config::{Config, Sources};
use crate::nearest::hint;
use crate::plugin::{CallError, Delivery, Effects, Observer, PluginSettings, Workbench, World};
use crate::tasks::Tasks;
use crate::time::Clock;
use crate::{devkit, net};

/// Events that are asked about at once.
const GROUP: usize = 200;

/// Under what a build runs.
#[derive(Debug, Args)]
pub(super) struct Conditions {
    /// Its config, as a JSON object or a file that holds one. Without it, a folder's own `config.json`.
    #[arg(long, value_name = "JSON|FILE")]
    config: Option<String>,
    /// Take grants, limits and config from `[plugins.NAME]` of a hub's config file. Without it, nothing is granted.
    #[arg(long = "as", value_name = "NAME")]
    as_name: Option<String>,
    /// The hub's config file for --as.
    #[arg(long, value_name = "FILE", default_value = "busway.toml", requires = "as_name")]
    hub_config: PathBuf,
}

impl Conditions {
    fn settings(&self) -> Result<PluginSettings, Failure> {
        let Some(name) = &self.as_name else {
            return Ok(PluginSettings::default());
        };
        let sources = Sources {
            file: Some(self.hub_config.clone()),
            ..Sources::default()
        };
        let mut plugins = Config::load(&sources)?.settings.plugins;
        plugins.remove(name).ok_or_else(|| {
            let known: Vec<&str> = plugins.keys().map(String::as_str).collect();
            let near = match known.is_empty() {
                true => "it has none".to_owned(),
                false => hint(name, known),
            };
            let text = format!("{} has no [plugins.{name}]; {near}", self.hub_config.display());
            Failure::new(Code::Config, text)
        })
    }

    fn config(&self, folder: Option<&Path>) -> Result<Arc<str>, Failure> {
        let own = folder
            .map(|folder| folder.join("config.json"))
            .filter(|path| path.exists());
        let (name, text) = match (&self.config, own) {
            (Some(json), _) if json.trim_start().starts_with('{') => ("--config".to_owned(), json.clone()),
            (Some(file), _) => (file.clone(), read(Path::new(file))?),
            (None, Some(own)) => (own.display().to_string(), read(&own)?),
            (None, None) => return Ok("{}".into()),
        };
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text) {
            Ok(_) => Ok(text.into()),
            Err(cause) => Err(Failure::new(Code::Data, format!("{name} is no JSON object: {cause}"))),
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|cause| Failure::new(Code::NoInput, format!("{} cannot be read: {cause}", path.display())))
}

/// A build that is ready to be called.
pub(super) struct Bench {
    /// How it is called in what is shown.
    pub(super) name: String,
    observer: Observer,
}

impl Bench {
    /// Loads a component file, or builds a folder and loads that, and has it take its config.
    pub(super) async fn open(path: &Path, conditions: &Conditions) -> Result<Self, Failure> {
        let folder = path.is_dir().then_some(path);
        let config = conditions.config(folder)?;
        let settings = conditions.settings()?;
        let bytes = match folder {
            Some(folder) => built(folder)?,
            None => inspect::read(path)?,
        };
        let client = net::Client::new(net::Guard::new(net::GuardSettings::default()));
        let workbench = Workbench::open(None, client, Clock::system(), Tasks::new()).map_err(|error| failed(&error))?;
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = conditions.as_name.clone().unwrap_or(file);
        let loaded = workbench.load(&name, bytes.into(), settings).await;
        let specimen = loaded
            .map_err(|error| Failure::new(failed(&error).code, format!("{}: {}", path.display(), error.message())))?;
        let mut observer = specimen.observer(&config, Effects::Suppressed);
        match observer.start().await.result {
            Ok(()) => Ok(Self {
                name: path.display().to_string(),
                observer,
            }),
            Err(CallError::Config(words)) => {
                let text = format!("{} refuses its config: {words}", path.display());
                Err(Failure::new(Code::Data, text))
            }
            Err(error) => Err(Failure::new(Code::Data, format!("{}: {error}", path.display()))),
        }
    }

    /// What it exports.
    pub(super) fn world(&self) -> World {
        self.observer.observed().world
    }

    /// Hex SHA-256 of its component.
    pub(super) fn digest(&self) -> String {
        self.observer.observed().digest
    }

    /// What becomes of each event, in order.
    pub(super) async fn run(&mut self, recorded: &[Recorded]) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(recorded.len());
        if self.world() == World::Filter {
            for group in recorded.chunks(GROUP) {
                let events = group.iter().map(|one| one.event.clone()).collect();
                outcomes.extend(self.observer.evaluate(events).await.into_iter().map(Outcome::from));
            }
            return outcomes;
        }
        for (at, one) in recorded.iter().enumerate() {
            let delivery = Delivery {
                subscription: "test".to_owned(),
                attempt: 1,
                id: format!("test-{at}"),
            };
            outcomes.push(self.observer.notify(one.event.clone(), delivery).await.into());
        }
        outcomes
    }
}

/// Builds a folder aside, so that a test changes nothing in it.
fn built(folder: &Path) -> Result<Vec<u8>, Failure> {
    let aside = tempfile::tempdir()?;
    let mut say = |line: &str| progress(line);
    let path = devkit::build(folder, Some(aside.path()), &mut say).map_err(|error| failed(&error))?;
    inspect::read(&path)
}
