//! The one task that loads, swaps and unloads.
//!
//! It owns all that it decides by, so two loads of one name can never cross: a name that is loading is left alone
//! until that load is done. Loads of different names run side by side on threads of their own, as many as there are
//! cores and at least two, and large files never take them all, so a plugin that compiles for half a minute does not
//! hold up another's swap.
//!
//! Invariant: the snapshot is replaced in one step; a failed load leaves the last good generation in it, with the
//! reason beside it.
//! Invariant: what the operator takes away is gone at once: if a plugin cannot be made anew under changed settings, it
//! is unloaded rather than left to serve under the old ones.

mod probation;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::generation::{Generation, PluginEntry};
use super::live::Live;
use super::load::{Load, Loader, Source};
use super::loading::{FileLoad, Loaded, Outcome, relink};
use super::rollback::Standing;
use super::status::Figures;
use super::watch::{self, Change, Settling, Stamp, Watcher};
use super::{Notice, PluginSettings, Rollback};
use crate::tasks::Tasks;

/// Configs that a new file is tried with before it goes live.
const CONFIGS_TRIED: usize = 8;

/// New settings for all plugins, and who waits for them to be in force.
pub(super) struct Reconfigure {
    pub(super) plugins: BTreeMap<String, PluginSettings>,
    pub(super) done: oneshot::Sender<()>,
}

/// The start waits so long for what is in the directory. Kept code loads in milliseconds; a large guest may compile
/// for half a minute, and the hub can accept events meanwhile.
const START: Duration = Duration::from_secs(10);

/// A file that is larger compiles for seconds.
const LARGE: u64 = 2 << 20;

/// The state of the task.
pub(super) struct Reload {
    folder: PathBuf,
    loader: Arc<Loader>,
    live: Arc<Live>,
    tasks: Tasks,
    notices: mpsc::UnboundedSender<Notice>,
    plugins: BTreeMap<String, PluginSettings>,
    settling: Settling,
    /// What is known of each name, loaded or not.
    known: BTreeMap<String, Known>,
    loads: FuturesUnordered<JoinHandle<Loaded>>,
    loading: BTreeSet<String>,
    /// Names whose settings changed while they were loading.
    stale: BTreeSet<String>,
    waiting: Vec<(BTreeSet<String>, oneshot::Sender<()>)>,
    threads: Arc<Semaphore>,
    /// Of these, what large files may take: a small plugin never waits for a large one to compile.
    for_large: Arc<Semaphore>,
}

/// What outlives the loads of one name.
#[derive(Default)]
struct Known {
    loads: u64,
    figures: Arc<Figures>,
    refused: Option<Refused>,
    standing: Standing,
}

/// The newest file that was refused.
struct Refused {
    digest: String,
    /// Of one that was rolled back: whoever touches the file wants it tried again. (The same bytes in a new file are
    /// no wish: Kubernetes writes all of a volume anew when one file of it changes.)
    inode: Option<(u64, u64)>,
}

/// How to build the task.
pub(super) struct Parts {
    pub(super) folder: PathBuf,
    pub(super) loader: Arc<Loader>,
    pub(super) live: Arc<Live>,
    pub(super) tasks: Tasks,
    pub(super) notices: mpsc::UnboundedSender<Notice>,
    pub(super) plugins: BTreeMap<String, PluginSettings>,
}

impl Reload {
    pub(super) fn new(parts: Parts) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        Self {
            folder: parts.folder,
            loader: parts.loader,
            live: parts.live,
            tasks: parts.tasks,
            notices: parts.notices,
            plugins: parts.plugins,
            settling: Settling::default(),
            known: BTreeMap::new(),
            loads: FuturesUnordered::new(),
            loading: BTreeSet::new(),
            stale: BTreeSet::new(),
            waiting: Vec::new(),
            threads: Arc::new(Semaphore::new(cores)),
            for_large: Arc::new(Semaphore::new(cores - 1)),
        }
    }

    /// Loads all that is there, without waiting for it to settle: at the start nobody is copying. What takes longer
    /// than [`START`] goes on in [`Reload::run`].
    pub(super) async fn load_all(&mut self) {
        let now = self.loader.clock.instant();
        for (name, stamp) in watch::look(&self.folder) {
            self.act(Change {
                name,
                stamp: Some(stamp),
                since: now,
            });
        }
        let all = async {
            while let Some(loaded) = self.loads.next().await {
                self.publish(loaded);
            }
        };
        if tokio::time::timeout(START, all).await.is_err() {
            let left = self.loads.len();
            info!(
                left,
                "plugins are still being compiled; the hub serves meanwhile, and what needs them waits"
            );
        }
    }

    /// Runs until the tasks are asked to stop.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Reconfigure>) {
        let tasks = self.tasks.clone();
        let failing = self.loader.failing.clone();
        let mut watcher = Watcher::new(&self.folder);
        loop {
            watcher.follow();
            self.look();
            let lapse = self.end_probations();
            tokio::select! {
                () = tasks.stopping() => return,
                () = watcher.heard() => {}
                () = tokio::time::sleep(self.settling.next_look().min(lapse)) => {}
                () = failing.notified() => self.take_back(),
                Some(loaded) = self.loads.next() => self.publish(loaded),
                Some(request) = requests.recv() => self.reconfigure(request),
            }
        }
    }

    fn look(&mut self) {
        let found = watch::look(&self.folder);
        for change in self.settling.settled(&found, self.loader.clock.instant()) {
            if !self.loading.contains(&change.name) {
                self.act(change);
            }
        }
    }

    fn act(&mut self, change: Change) {
        self.settling.take(&change);
        let Some(stamp) = change.stamp else {
            return self.remove(&change.name);
        };
        if let Err(reason) = watch::check_name(&change.name) {
            return self.refuse(&change.name, &reason, None);
        }
        let large = (stamp.len() > LARGE).then(|| self.for_large.clone());
        let wanted = self.live.take_wanted(&change.name);
        let policy = self.plugins.get(&change.name).map(|known| known.rollback);
        let live = self.live.generation(&change.name);
        let measure = live.as_ref().filter(|_| policy.unwrap_or_default() != Rollback::Off);
        let known = self.known.entry(change.name.clone()).or_default();
        let task = FileLoad {
            path: watch::path_of(&self.folder, &change.name),
            stamp,
            taken: measure.map(|live| live.taken(CONFIGS_TRIED)).unwrap_or_default(),
            live: live.map(|live| live.source.digest.clone()),
            refused: known
                .refused
                .as_ref()
                .filter(|refused| !wanted && refused.inode != Some(stamp.inode))
                .map(|refused| refused.digest.clone()),
            loader: self.loader.clone(),
            tasks: self.tasks.clone(),
            began: change.since,
        };
        let load = self.next_load(&change.name);
        self.start(load, large, move |load, runtime| task.run(load, runtime));
    }

    fn next_load(&mut self, name: &str) -> Load {
        let known = self.known.entry(name.to_owned()).or_default();
        let settings = self.plugins.get(name).cloned().unwrap_or_default();
        Load {
            name: name.to_owned(),
            number: known.loads + 1,
            settings,
            figures: known.figures.clone(),
        }
    }

    /// Runs a load on a thread of its own; a large one waits for its turn among these.
    fn start(
        &mut self,
        load: Load,
        large: Option<Arc<Semaphore>>,
        run: impl FnOnce(Load, &Handle) -> Loaded + Send + 'static,
    ) {
        self.loading.insert(load.name.clone());
        let (threads, tasks, runtime) = (self.threads.clone(), self.tasks.clone(), Handle::current());
        let (name, began) = (load.name.clone(), self.loader.clock.instant());
        self.loads.push(self.tasks.spawn(async move {
            // The semaphores are never closed.
            let _turn = match large {
                Some(large) => large.acquire_owned().await.ok(),
                None => None,
            };
            let _permit = threads.acquire_owned().await;
            // A stop does not wait for half a minute of compiling.
            let ran = tokio::select! {
                ran = Tasks::expendable(move || run(load, &runtime)) => ran.map_err(Some),
                () = tasks.stopping() => Err(None),
            };
            ran.unwrap_or_else(|failed| {
                let outcome = match failed {
                    None => Outcome::Moved,
                    Some(error) => {
                        error!(plugin = name, cause = %error, "the hub itself failed in a load");
                        Outcome::Refused {
                            reason: "the hub failed to load it; its log has the cause".to_owned(),
                            settings: false,
                        }
                    }
                };
                Loaded {
                    name,
                    began,
                    digest: None,
                    stamp: None,
                    outcome,
                }
            })
        }));
    }

    fn publish(&mut self, loaded: Result<Loaded, tokio::task::JoinError>) {
        // A load that is cancelled is a runtime that shuts down.
        let Ok(Loaded {
            name,
            began,
            digest,
            stamp,
            outcome,
        }) = loaded
        else {
            return;
        };
        self.loading.remove(&name);
        let stale = self.stale.remove(&name);
        let path = watch::path_of(&self.folder, &name);
        let outdated = stamp.is_some_and(|stamp| Stamp::of(&path) != Some(stamp));
        match outcome {
            // Made under settings that are no longer the operator's: it never serves.
            Outcome::Good(generation) if stale => self.relink(&name, generation.source, began),
            // The file has changed or gone while this compiled: the next look takes up what is there now, and what
            // somebody has replaced does not serve for a moment first. (The code is cached, if it is wanted after all.)
            Outcome::Good(_) if outdated => {}
            Outcome::Good(generation) => self.swap(*generation, began),
            Outcome::Refused { .. } | Outcome::Moved if stale => {
                self.settling.put_back(&name);
                self.renew(&name);
            }
            _ if stale => self.renew(&name),
            Outcome::Moved => self.settling.put_back(&name),
            Outcome::Same => self.live.clear_rejection(&name),
            Outcome::StillRefused => {}
            Outcome::Refused { reason, settings } => {
                if settings {
                    self.live.unload(&name);
                }
                self.refuse(&name, &reason, digest);
            }
        }
        self.answer_waiting();
    }

    fn swap(&mut self, mut generation: Generation, began: Instant) {
        let (name, digest) = (generation.name.clone(), generation.source.digest.clone());
        let now = self.loader.clock.instant();
        let took = now.saturating_duration_since(began);
        let known = self.known.entry(name.clone()).or_default();
        // Counted now and not when the load began: a roll-back may have come in between.
        known.loads += 1;
        let number = known.loads;
        generation.number = number;
        known
            .standing
            .succeed(self.live.generation(&name).as_deref(), &generation, now);
        // Other settings for the same bytes say nothing about a newer file that was refused.
        let rejected = self.live.rejection_beside(&name, &digest);
        if rejected.is_none() {
            known.refused = None;
        }
        let figures = known.figures.clone();
        self.live.put(
            &name,
            PluginEntry {
                live: Some(Arc::new(generation)),
                rejected,
                figures,
            },
        );
        info!(
            plugin = name,
            generation = number,
            digest,
            took_ms = took.as_millis(),
            "plugin loaded"
        );
        self.tell(Notice::Loaded {
            name,
            digest,
            generation: number,
            took,
        });
    }

    fn refuse(&mut self, name: &str, reason: &str, digest: Option<String>) {
        let known = self.known.entry(name.to_owned()).or_default();
        known.refused = digest.map(|digest| Refused { digest, inode: None });
        let serving = self.live.reject(name, reason, &known.figures);
        warn!(plugin = name, reason, serving, "plugin rejected");
        self.tell(Notice::Rejected {
            name: name.to_owned(),
            reason: reason.to_owned(),
            serving,
        });
    }

    fn remove(&mut self, name: &str) {
        if let Some(known) = self.known.get_mut(name) {
            known.refused = None;
            known.standing = Standing::default();
        }
        if self.live.remove(name) {
            info!(plugin = name, "plugin removed");
            self.tell(Notice::Removed { name: name.to_owned() });
        }
    }

    fn reconfigure(&mut self, request: Reconfigure) {
        let before = std::mem::replace(&mut self.plugins, request.plugins);
        let names = self.live.names().into_iter().chain(self.loading.iter().cloned());
        let settings =
            |plugins: &BTreeMap<String, PluginSettings>, name: &str| plugins.get(name).cloned().unwrap_or_default();
        let changed: BTreeSet<String> = names
            .filter(|name| settings(&before, name) != settings(&self.plugins, name))
            .collect();
        for name in &changed {
            if self.loading.contains(name) {
                self.stale.insert(name.clone());
            } else {
                self.renew(name);
            }
        }
        self.waiting.push((changed, request.done));
        self.answer_waiting();
    }

    /// Makes a plugin anew under its present settings: from the component that is live, or else from its file.
    fn renew(&mut self, name: &str) {
        let now = self.loader.clock.instant();
        let refused = self.known.entry(name.to_owned()).or_default().refused.take();
        if let Some(live) = self.live.generation(name) {
            if refused.is_some() {
                // What was refused under the old settings may do under these.
                self.settling.put_back(name);
            }
            return self.relink(name, live.source.clone(), now);
        }
        if let Some(stamp) = Stamp::of(&watch::path_of(&self.folder, name)) {
            self.act(Change {
                name: name.to_owned(),
                stamp: Some(stamp),
                since: now,
            });
        }
    }

    fn relink(&mut self, name: &str, source: Source, began: Instant) {
        let (loader, load) = (self.loader.clone(), self.next_load(name));
        self.start(load, None, move |load, runtime| {
            relink(&loader, source, load, runtime, began)
        });
    }

    fn answer_waiting(&mut self) {
        // What could not be started (a bad name, a lost file) is not waited for.
        let pending = |names: &BTreeSet<String>| names.iter().any(|name| self.loading.contains(name));
        let (waiting, done): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(names, _)| pending(names));
        self.waiting = waiting;
        for (_, done) in done {
            let _ = done.send(());
        }
    }

    fn tell(&self, notice: Notice) {
        // The hub may be gone already; then nobody wants to know.
        let _ = self.notices.send(notice);
    }
}

#[cfg(test)]
mod tests;
