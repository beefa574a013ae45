//! The plugin host: components that filter events or carry them, loaded, limited, called, swapped.
//!
//! A file in the plugin directory becomes live in these steps, each a file here: `watch` sees it come to rest, `reload`
//! starts a load, `load` reads its outline and checks its imports against its `grants`, `cache` has its code or
//! compiles it, `version` and `v0` link it, a trial instance describes itself (`schema` holds configs to what it says),
//! and `live` swaps the snapshot; `loading` does all of it on a thread of its own. `rollback` watches a new generation,
//! and says when it fails where the one before it worked.
//! A call takes the snapshot's `generation`, leases an instance from its `pool`, and runs on the filter `threads` or,
//! if it may wait, on the runtimes of `guests` (`call`), within `limits` and its `allowance`; who held a thread for long
//! shares one with its like (`conduct`). `host`, `http`, `sockets` (over `tcp`, `streams` and `tls`), `kv` and
//! `guest_log` are what the guest can reach.
//! `observe` calls a generation and tells all that happens (what `recorder` wrote down); `shadow` lets a trial follow
//! live calls; a `workbench` loads what is to be observed and never served; `install` puts a file into the directory,
//! and `inspect` reads one. `model` has the types that others see, `status` the page on every plugin.
//!
//! Only this module names wasmtime. Why components and pooled instances: see `engine` and `pool`.
//!
//! Invariant: a guest that traps, loops, hoards or floods costs its own deliveries an error and an instance, and
//! nobody else anything.
//! Invariant: a call sees one generation from its beginning to its end, whatever is swapped meanwhile.

mod allowance;
mod cache;
mod call;
mod conduct;
mod engine;
mod generation;
mod grants;
mod guest_log;
mod guests;
mod host;
mod http;
mod inspect;
mod install;
mod kv;
mod limits;
mod live;
mod load;
mod loading;
mod model;
mod observe;
mod pool;
mod recorder;
mod reload;
mod rollback;
mod schema;
mod shadow;
mod sockets;
mod status;
mod streams;
mod tcp;
#[cfg(test)]
mod tests;
mod threads;
mod tls;
mod turns;
mod v0;
mod version;
mod watch;
mod workbench;

pub use grants::check_addresses;
pub use inspect::{Inspection, inspect};
pub use limits::{Bound, LIMITS, Limit};
pub use model::{
    By, CallError, Delivery, Grants, Limits, Notice, NotifyError, PluginSettings, PluginStatus, Rollback, Settings,
    Verdict, World,
};
pub use observe::{Observation, Observed, Observer};
pub use recorder::{Effect, Effects, Line, Trace};
pub use schema::{ConfigFault, Field, FieldKind, fields};
pub use shadow::{LiveAnswer, Shadow, Shadowed};
pub use status::Costs;
pub use workbench::{Specimen, Workbench};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::error::Error;
use crate::event::Event;
use crate::metrics::Metrics;
use crate::net;
use crate::tasks::Tasks;
use crate::time::Clock;

use cache::Cache;
use engine::Engines;
use generation::Generation;
use guests::Guests;
use kv::Spaces;
use live::Live;
use load::Loader;
use reload::{Parts, Reconfigure, Reload};
use shadow::Taps;
use threads::{Batch, FilterThreads};

/// The plugin host. Cheap to clone.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

struct Inner {
    live: Arc<Live>,
    threads: FilterThreads,
    guests: Guests,
    workbench: Workbench,
    taps: Arc<Taps>,
    folder: PathBuf,
    reload: mpsc::Sender<Reconfigure>,
    clock: Clock,
    tasks: Tasks,
}

/// How often pools are looked through for what nobody uses.
const SWEEP: Duration = Duration::from_secs(10);
/// The longest that a batch waits for an instance, however many events it has.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Plugins {
    /// Makes the engines, loads what is in the directory, and watches it. A plugin that cannot be loaded is told by
    /// a notice and in the status; it does not fail the start.
    ///
    /// # Errors
    /// If the engines or their threads cannot be made.
    #[allow(
        clippy::too_many_arguments,
        reason = "its own settings, and what every module is given"
    )]
    pub async fn open(
        settings: Settings,
        client: net::Client,
        clock: Clock,
        tasks: Tasks,
        metrics: Arc<Metrics>,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Result<Self, Error> {
        let (live, crowded) = (Arc::new(Live::new()), Arc::new(Notify::new()));
        let cache = Cache::open(&settings.cache);
        let loader = Arc::new(Loader {
            engines: Engines::new()?,
            cache,
            spaces: Spaces::new(settings.kv),
            client: client.apart(),
            clock: clock.clone(),
            metrics,
            crowded: crowded.clone(),
            failing: Arc::default(),
        });
        let workbench = Workbench::with(loader.clone(), tasks.clone());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = FilterThreads::start(cores, &Handle::current(), &clock)?;
        let guests = Guests::start(cores.max(2), tasks.clone())?;
        let parts = Parts {
            folder: settings.dir.clone(),
            loader,
            live: live.clone(),
            tasks: tasks.clone(),
            notices,
            plugins: settings.plugins,
        };
        let mut reload = Reload::new(parts);
        reload.load_all().await;
        let (requests, inbox) = mpsc::channel(8);
        tasks.spawn(reload.run(inbox));
        tasks.spawn(sweep(live.clone(), crowded, clock.clone(), tasks.clone()));
        Ok(Self(Arc::new(Inner {
            live,
            threads,
            guests,
            workbench,
            taps: Arc::default(),
            folder: settings.dir,
            reload: requests,
            clock,
            tasks,
        })))
    }

    /// Counts up at every change of what is loaded: who waits for a plugin tries again then.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.live.changes()
    }

    /// Checks that a plugin of this name and world is loaded and takes this config (runs `init` once).
    ///
    /// # Errors
    /// [`CallError::NotLoaded`], [`CallError::Config`] with the plugin's own words, or what stopped `init`.
    pub async fn check(&self, world: World, name: &str, config: &Arc<str>) -> Result<(), CallError> {
        let generation = self.generation(world, name)?;
        let (config, clock, runtime) = (config.clone(), self.0.clock.clone(), Handle::current());
        // `init` computes: it has no place on the runtime's own threads.
        let checked = self.0.tasks.blocking(move || {
            runtime.block_on(async {
                let slot = generation.slot(&config, generation.timeout()).await?;
                let instance = call::ready(&generation, &slot, &config).await?;
                slot.give_back(instance, clock.instant());
                Ok(())
            })
        });
        checked.await.unwrap_or(Err(CallError::Busy))
    }

    /// What is wrong with a subscription's config by the schema of the plugin that is loaded, the operator's config
    /// beneath it. Nothing if the plugin gives no schema, or is not there.
    pub fn faults(&self, world: World, name: &str, config: &str) -> Vec<ConfigFault> {
        self.generation(world, name)
            .map(|live| live.faults(config))
            .unwrap_or_default()
    }

    /// The JSON Pointers of what is secret in a subscription's config, by the schema of the plugin that is loaded.
    pub fn secrets(&self, world: World, name: &str, config: &str) -> Vec<String> {
        self.generation(world, name)
            .map(|live| live.secrets(config))
            .unwrap_or_default()
    }

    /// Whether a field at the top of a plugin's config stands in the operator's config for it.
    pub fn is_operators(&self, name: &str, field: &str) -> bool {
        let live = self.0.live.generation(name);
        live.is_some_and(|live| live.settings.config.contains_key(field))
    }

    /// Asks a filter about events; one answer each, in order. Never blocks the async runtime. An event that fails
    /// costs the others nothing: they go on with a new instance.
    pub async fn evaluate(
        &self,
        name: &str,
        config: &Arc<str>,
        events: Vec<Arc<Event>>,
    ) -> Vec<Result<Verdict, CallError>> {
        self.judge(name, config, events).await.1
    }

    /// As [`Plugins::evaluate`], with which load of the plugin it was that answered.
    pub async fn judge(
        &self,
        name: &str,
        config: &Arc<str>,
        events: Vec<Arc<Event>>,
    ) -> (By, Vec<Result<Verdict, CallError>>) {
        let count = events.len();
        let generation = match self.generation(World::Filter, name) {
            Ok(generation) => generation,
            Err(error) => return (By::default(), vec![Err(error); count]),
        };
        let shadow = self.0.taps.of(name).map(|tap| (tap, events.clone()));
        let answers = match self.answers(&generation, config, events).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); count],
        };
        if let Some((tap, events)) = shadow {
            for (event, answer) in events.into_iter().zip(&answers) {
                tap.offer(Shadowed {
                    generation: generation.number,
                    config: config.clone(),
                    event,
                    answer: LiveAnswer::Verdict(answer.clone()),
                });
            }
        }
        (generation.by(), answers)
    }

    /// Has a notifier deliver one event.
    ///
    /// # Errors
    /// The plugin's own answer, or why there is none.
    pub async fn notify(
        &self,
        name: &str,
        config: &Arc<str>,
        event: &Arc<Event>,
        delivery: Delivery,
    ) -> Result<(), NotifyError> {
        self.carry(name, config, event, delivery).await.1
    }

    /// As [`Plugins::notify`], with which load of the plugin it was that answered.
    pub async fn carry(
        &self,
        name: &str,
        config: &Arc<str>,
        event: &Arc<Event>,
        delivery: Delivery,
    ) -> (By, Result<(), NotifyError>) {
        let generation = match self.generation(World::Notifier, name) {
            Ok(generation) => generation,
            Err(error) => return (By::default(), Err(NotifyError::Call(error))),
        };
        let shadow = self.0.taps.of(name).map(|tap| (tap, delivery.clone()));
        let began = self.0.clock.instant();
        let answer = self.on_its_runtime(&generation, config, event, delivery).await;
        let took = self.0.clock.instant().saturating_duration_since(began);
        match &answer {
            Ok(()) => generation.meter.count(took, None),
            Err(NotifyError::Call(error)) => generation.meter.count(took, Some(error)),
            Err(NotifyError::Failure {
                reason, retry: true, ..
            }) => generation.meter.put_off(took, reason),
            Err(NotifyError::Failure { reason, .. }) => {
                generation.meter.count(took, Some(&CallError::Guest(reason.clone())))
            }
        }
        if let Some((tap, delivery)) = shadow {
            tap.offer(Shadowed {
                generation: generation.number,
                config: config.clone(),
                event: event.clone(),
                answer: LiveAnswer::Notified(delivery, answer.clone()),
            });
        }
        (generation.by(), answer)
    }

    /// Which load of a plugin serves now; 0 if none does.
    pub fn generation_of(&self, name: &str) -> u64 {
        self.0.live.generation(name).map_or(0, |live| live.number)
    }

    /// An observer of the live generation of this name.
    ///
    /// # Errors
    /// [`CallError::NotLoaded`].
    pub fn observer(
        &self,
        world: World,
        name: &str,
        config: &Arc<str>,
        effects: Effects,
    ) -> Result<Observer, CallError> {
        let driven_by = (self.0.clock.clone(), self.0.tasks.clone());
        let generation = self.generation(world, name)?;
        Ok(Observer::new(generation, config.clone(), effects, driven_by))
    }

    /// Loads a component to observe it beside the plugin of this name, under the settings that are in force for that
    /// one. It serves nobody.
    ///
    /// # Errors
    /// `plugin_invalid`, with what is wrong and what to do.
    pub async fn specimen(&self, name: &str, bytes: bytes::Bytes) -> Result<Specimen, Error> {
        let live = self.0.live.generation(name);
        let settings = live.map(|live| live.settings.clone()).unwrap_or_default();
        self.0.workbench.load(name, bytes, settings).await
    }

    /// What is live under this name.
    pub fn live(&self, name: &str) -> Option<Observed> {
        self.0.live.generation(name).map(|live| live.observed())
    }

    /// What calls of this plugin have cost since the start.
    pub fn costs(&self, name: &str) -> Costs {
        let set = self.0.live.set();
        set.get(name)
            .map(|entry| entry.figures.latency.costs())
            .unwrap_or_default()
    }

    /// Follows the calls of one plugin, at most `depth` of them behind; none if somebody does already.
    pub fn shadow(&self, name: &str, depth: usize) -> Option<Shadow> {
        self.0.taps.follow(name, depth)
    }

    /// Puts a component into the plugin directory as `NAME.wasm`, whole or not at all. It is loaded as any file is.
    ///
    /// # Errors
    /// `plugin_name_invalid`, `plugin_is_a_link`, `plugin_not_written`.
    pub async fn install(&self, name: &str, bytes: bytes::Bytes) -> Result<(), Error> {
        self.0.live.want(name);
        let (folder, name) = (self.0.folder.clone(), name.to_owned());
        let installing = self.0.tasks.blocking(move || install::install(&folder, &name, &bytes));
        installing.await.map_err(Error::internal)?
    }

    /// Every plugin, by name.
    pub fn status(&self) -> Vec<PluginStatus> {
        status::page(&self.0.live.set())
    }

    /// New grants, limits and configs from the operator; plugins they concern are made anew. One that cannot be is
    /// unloaded: what was taken away is not left in its hands.
    pub async fn reconfigure(&self, plugins: BTreeMap<String, PluginSettings>) {
        let (done, in_force) = oneshot::channel();
        // If the reload task has ended, the hub is shutting down and no settings matter any more.
        if self.0.reload.send(Reconfigure { plugins, done }).await.is_ok() {
            let _ = in_force.await;
        }
    }

    fn generation(&self, world: World, name: &str) -> Result<Arc<Generation>, CallError> {
        let live = self.0.live.generation(name).filter(|live| live.world() == world);
        live.ok_or_else(|| CallError::NotLoaded(name.to_owned()))
    }

    async fn answers(
        &self,
        generation: &Arc<Generation>,
        config: &Arc<str>,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<threads::Answer>, CallError> {
        // A batch may wait as long as one before it may run.
        let longest = generation
            .timeout()
            .saturating_mul(u32::try_from(events.len()).unwrap_or(u32::MAX))
            .min(LONGEST_WAIT);
        let slot = generation.slot(config, longest).await;
        let slot = slot.inspect_err(|_| generation.meter.turn_away(events.len()))?;
        let (batch, answers) = Batch::new(generation.clone(), config.clone(), slot, events);
        if generation.maker.linked.waits() {
            let work = batch.run_waiting(self.0.clock.clone());
            self.0.guests.run(&generation.conduct, work).await;
        } else {
            self.0.threads.push(batch);
        }
        answers.await.map_err(|_| CallError::Busy)
    }

    async fn on_its_runtime(
        &self,
        generation: &Arc<Generation>,
        config: &Arc<str>,
        event: &Arc<Event>,
        delivery: Delivery,
    ) -> Result<(), NotifyError> {
        let (leased, config, event) = (generation.clone(), config.clone(), event.clone());
        let clock = self.0.clock.clone();
        let work = async move { call::notify(&leased, &config, &event, delivery, &clock).await };
        let answer = self.0.guests.run(&generation.conduct, work).await;
        answer.unwrap_or(Err(NotifyError::Call(CallError::Busy)))
    }
}

/// Drops what nobody uses, now and then, and what was not used for longest when there is no room for a new instance.
async fn sweep(live: Arc<Live>, crowded: Arc<Notify>, clock: Clock, tasks: Tasks) {
    loop {
        let crowd = tokio::select! {
            () = tasks.stopping() => return,
            () = tokio::time::sleep(SWEEP) => false,
            () = crowded.notified() => true,
        };
        let now = clock.instant();
        let generations = live.set();
        generations
            .values()
            .filter_map(|entry| entry.live.as_ref())
            .for_each(|generation| match crowd {
                true => generation.shed(1 + generation.live() / 4, 0),
                false => generation.sweep(now),
            });
    }
}
