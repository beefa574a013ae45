//! The plugin host: components that filter events or carry them, loaded, limited, called, swapped.
//!
//! A file in the plugin directory becomes live in these steps, each a file here: `watch` sees it come to rest, `reload`
//! starts a load, `load` reads its outline and checks its imports against its `grants`, `cache` has its code or
//! compiles it, `version` and `v0` link it, a trial instance describes itself, and `live` swaps the snapshot.
//! A call takes the snapshot's `generation`, leases an instance from its `pool`, and runs on the filter `threads` or,
//! for a notifier, on the runtime (`call`), within `limits`; `host`, `http`, `sockets` and `guest_log` are what the
//! guest can reach.
//!
//! Only this module names wasmtime. Why components and pooled instances: see `engine` and `pool`.
//!
//! Invariant: a guest that traps, loops, hoards or floods costs its own deliveries an error and an instance, and
//! nobody else anything.
//! Invariant: a call sees one generation from its beginning to its end, whatever is swapped meanwhile.

mod cache;
mod call;
mod engine;
mod generation;
mod grants;
mod guest_log;
mod host;
mod http;
mod inspect;
mod limits;
mod live;
mod load;
mod loading;
mod model;
mod pool;
mod reload;
mod rollback;
mod sockets;
mod status;
#[cfg(test)]
mod tests;
mod threads;
mod v0;
mod version;
mod watch;

pub use grants::check_addresses;
pub use inspect::{Inspection, inspect};
pub use model::{
    By, CallError, Delivery, Grants, Limits, Notice, NotifyError, PluginSettings, PluginStatus, Rollback, Settings,
    Verdict, World,
};

use std::collections::BTreeMap;
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
use live::Live;
use load::Loader;
use reload::{Parts, Reconfigure, Reload};
use threads::{Batch, FilterThreads};

/// The plugin host. Cheap to clone.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

struct Inner {
    live: Arc<Live>,
    threads: FilterThreads,
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
        let loader = Loader {
            engines: Engines::new()?,
            cache,
            client,
            clock: clock.clone(),
            metrics,
            crowded: crowded.clone(),
            failing: Arc::default(),
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = FilterThreads::start(cores, &Handle::current(), &clock)?;
        let parts = Parts {
            folder: settings.dir,
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
                let slot = generation
                    .pool(&config, clock.instant())
                    .slot(generation.timeout())
                    .await?;
                let instance = call::ready(&generation, &slot, &config).await?;
                slot.give_back(instance, clock.instant());
                Ok(())
            })
        });
        checked.await.unwrap_or(Err(CallError::Busy))
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
        let answers = self.answers(&generation, config, events).await;
        (generation.by(), answers.unwrap_or_else(|error| vec![Err(error); count]))
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
        let began = self.0.clock.instant();
        let answer = call::notify(&generation, config, event, delivery, &self.0.clock).await;
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
        (generation.by(), answer)
    }

    /// Which load of a plugin serves now; 0 if none does.
    pub fn generation_of(&self, name: &str) -> u64 {
        self.0.live.generation(name).map_or(0, |live| live.number)
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
        let pool = generation.pool(config, self.0.clock.instant());
        let slot = pool.slot(longest).await;
        let slot = slot.inspect_err(|_| generation.meter.turn_away(events.len()))?;
        let (batch, answers) = Batch::new(generation.clone(), config.clone(), slot, events);
        self.0.threads.push(batch);
        answers.await.map_err(|_| CallError::Busy)
    }
}

/// Drops what nobody uses, now and then, and everything idle when there is no room for a new instance.
async fn sweep(live: Arc<Live>, crowded: Arc<Notify>, clock: Clock, tasks: Tasks) {
    loop {
        let all = tokio::select! {
            () = tasks.stopping() => return,
            () = tokio::time::sleep(SWEEP) => false,
            () = crowded.notified() => true,
        };
        let now = clock.instant();
        let generations = live.set();
        generations
            .values()
            .filter_map(|entry| entry.live.as_ref())
            .for_each(|generation| generation.sweep(now, all));
    }
}
