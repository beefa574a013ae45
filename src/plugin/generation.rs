//! One load of a plugin: its linked component, what it may do, and its pools of instances.
//!
//! A generation is never changed. A swap puts another in its place in the snapshot; calls that hold the old one end on
//! it, and with the last of them its pools and its code go.
//!
//! Invariant: every instance comes from [`Generation::instance`], so none is without limits or without `init`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::{Notify, Semaphore};
use wasmtime::{Engine, Store};

use super::allowance::Allowance;
use super::call::{self, Bounds, bounded};
use super::conduct::Conduct;
use super::grants::Allowed;
use super::guest_log::GuestLog;
use super::host::{Host, WaysOut};
use super::http::{self, Egress};
use super::kv::{Granted, Space};
use super::limits::{self, Limiter};
use super::load::Source;
use super::observe::Observed;
use super::pool::{Instance, Pool, Slot};
use super::schema::{ConfigFault, Schema, texts};
use super::sockets::Names;
use super::status::{Figures, Meter};
use super::tls::Handshakes;
use super::version::Linked;
use super::{By, CallError, PluginSettings, World};
use crate::net;
use crate::time::Clock;

/// What is loaded: a snapshot, replaced as a whole.
pub(super) type PluginSet = BTreeMap<String, PluginEntry>;

/// One name in the snapshot.
#[derive(Clone)]
pub(super) struct PluginEntry {
    /// What serves calls.
    pub(super) live: Option<Arc<Generation>>,
    /// Why the newest file does not.
    pub(super) rejected: Option<Rejection>,
    pub(super) figures: Arc<Figures>,
}

/// Why the newest file of a plugin does not serve.
#[derive(Debug, Clone)]
pub(super) struct Rejection {
    pub(super) reason: String,
    /// Whether it did, and was rolled back.
    pub(super) was_live: bool,
}

/// A pool that nobody used for this long goes, and so do its instances.
const IDLE: Duration = Duration::from_secs(60);

/// One load of one plugin.
pub(super) struct Generation {
    pub(super) name: String,
    /// The nth load of this name.
    pub(super) number: u64,
    pub(super) about: Described,
    pub(super) source: Source,
    pub(super) settings: PluginSettings,
    pub(super) meter: Meter,
    pub(super) conduct: Conduct,
    pub(super) maker: Arc<Maker>,
    /// The right to use an instance of whatever config.
    in_all: Arc<Semaphore>,
    /// By the config text that a subscription gave.
    pool_by_config: Mutex<HashMap<Arc<str>, Arc<Pool>>>,
}

/// What the plugin says of itself, checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Described {
    pub(super) summary: String,
    pub(super) config_schema: Option<Schema>,
}

impl Generation {
    /// A generation with no instances yet.
    pub(super) fn new(maker: Maker, about: Described, origin: Origin, meter: Meter) -> Self {
        let Origin {
            name,
            number,
            settings,
            source,
        } = origin;
        Self {
            in_all: Arc::new(Semaphore::new(settings.limits.total_instances.max(1))),
            name,
            number,
            about,
            source,
            settings,
            meter,
            conduct: Conduct::default(),
            maker: Arc::new(maker),
            pool_by_config: Mutex::default(),
        }
    }

    /// The same load once more, with no instances and nothing counted: what a roll-back swaps in.
    pub(super) fn spare(&self) -> Self {
        Self {
            in_all: self.in_all.clone(),
            name: self.name.clone(),
            number: self.number,
            about: self.about.clone(),
            source: self.source.clone(),
            settings: self.settings.clone(),
            meter: self.meter.anew(),
            conduct: Conduct::default(),
            maker: self.maker.clone(),
            pool_by_config: Mutex::default(),
        }
    }

    /// Which load it is, for whoever called it.
    pub(super) fn by(&self) -> By {
        By {
            generation: self.number,
            on_probation: self.meter.tally.is_on_probation(),
        }
    }

    /// What it exports.
    pub(super) fn world(&self) -> World {
        self.maker.linked.world()
    }

    /// The longest that one call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.settings.limits.timeout_of(self.world())
    }

    /// The same, and the longest that it may compute.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            wall: self.timeout(),
            cpu: self.settings.limits.cpu_of(self.world()),
        }
    }

    /// Waits for the right to use an instance with this config, at most this long.
    pub(super) async fn slot(&self, config: &Arc<str>, longest: Duration) -> Result<Slot, CallError> {
        let pool = self.pool(config, self.maker.clock.instant());
        let _waits = self.meter.waits();
        let slot = tokio::time::timeout(longest, pool.slot(&self.in_all)).await;
        slot.unwrap_or(Err(CallError::Busy))
    }

    /// The pool of instances with this config.
    fn pool(&self, config: &Arc<str>, now: Instant) -> Arc<Pool> {
        let mut pools = self.lock();
        let pool = match pools.get(config) {
            Some(pool) => pool.clone(),
            None => {
                let pool = Arc::new(Pool::new(self.settings.limits.instances, now));
                pools.insert(config.clone(), pool.clone());
                pool
            }
        };
        pool.touch(now);
        pool
    }

    /// Some of the configs that it was called with lately, and took.
    pub(super) fn taken(&self, most: usize) -> Vec<Arc<str>> {
        let pools = self.pool_by_config.lock().unwrap_or_else(PoisonError::into_inner);
        let works = pools.iter().filter(|(_, pool)| pool.works());
        works.map(|(config, _)| config.clone()).take(most).collect()
    }

    /// Tries these configs; why it takes none of them, if it does not.
    pub(super) async fn refuses_all(&self, configs: &[Arc<str>]) -> Option<String> {
        let mut refused = None;
        for config in configs {
            match self.instance(config).await {
                Err(error @ CallError::Config(_)) => refused = refused.or_else(|| Some(error.to_string())),
                // It takes one; or it fails in a way that has no part in its config, which its calls will show.
                _ => return None,
            }
        }
        refused
    }

    /// Which load this is, for whoever observes it.
    pub(super) fn observed(&self) -> Observed {
        Observed {
            plugin: self.name.clone(),
            digest: self.source.digest.clone(),
            generation: self.number,
            world: self.world(),
        }
    }

    /// Makes an instance and has it take this config: the operator's, overlaid by the subscription's.
    pub(super) async fn instance(&self, config: &str) -> Result<Instance, CallError> {
        self.make_room();
        self.observed_instance(config, &self.maker.log).await
    }

    /// Makes an instance that writes to this log.
    pub(super) async fn observed_instance(&self, config: &str, log: &Arc<GuestLog>) -> Result<Instance, CallError> {
        let merged = self.config(config)?;
        self.hold_to_schema(&merged)?;
        let merged = Value::Object(merged).to_string();
        let limit = Bounds::of(self.settings.limits.start_of(self.world()));
        let mut instance = self.maker.instance(limit, log).await?;
        let Instance { store, guest, .. } = &mut instance;
        call::arm(store, limit, self.maker.linked.waits());
        let (answer, cpu) = bounded(limit, &self.maker.clock, guest.init(store, &merged)).await;
        self.meter.compute(cpu);
        match call::settle(answer, store, limit)? {
            Ok(()) => Ok(instance),
            Err(words) => Err(CallError::Config(words)),
        }
    }

    /// What is wrong with a subscription's config by the plugin's schema.
    pub(super) fn faults(&self, config: &str) -> Vec<ConfigFault> {
        match (&self.about.config_schema, self.config(config)) {
            (Some(schema), Ok(merged)) => schema.faults(&merged),
            _ => Vec::new(),
        }
    }

    /// The JSON Pointers of what is secret in a subscription's config.
    pub(super) fn secrets(&self, config: &str) -> Vec<String> {
        let schema = self.about.config_schema.as_ref();
        match (schema, serde_json::from_str(config)) {
            (Some(schema), Ok(own)) => schema.secrets(&own),
            _ => Vec::new(),
        }
    }

    /// The texts that no account of what this plugin did with a config may show: what its schema calls secret, and
    /// the values that were granted.
    pub(super) fn secret_texts(&self, config: &str) -> Vec<String> {
        let merged = Value::Object(self.config(config).unwrap_or_default());
        let places = self.about.config_schema.as_ref().map(|schema| schema.secrets(&merged));
        let of_config = places
            .into_iter()
            .flatten()
            .filter_map(|place| merged.pointer(&place).map(texts));
        let granted = self.maker.allowed.env().iter();
        let granted = granted.map(|(_, value)| texts(&value.as_str().into()));
        let mut found: Vec<String> = of_config.chain(granted).flatten().collect();
        // The longest first: one may hold another.
        found.sort_by_key(|text| std::cmp::Reverse(text.len()));
        found
    }

    /// What is wrong with the operator's config alone, in one sentence.
    pub(super) fn operators_fault(&self) -> Option<String> {
        let faults = self.about.config_schema.as_ref()?.faults_of_part(&self.settings.config);
        let whole = format!("[plugins.{}] config", self.name);
        let told: Vec<String> = faults.iter().map(|fault| fault.told(&whole)).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn hold_to_schema(&self, merged: &Map<String, Value>) -> Result<(), CallError> {
        let faults = match &self.about.config_schema {
            Some(schema) => schema.faults(merged),
            None => return Ok(()),
        };
        match faults.is_empty() {
            true => Ok(()),
            false => {
                let told: Vec<String> = faults.iter().map(|fault| fault.told("config")).collect();
                Err(CallError::Config(told.join("; ")))
            }
        }
    }

    /// Lets idle instances go, the longest unused first, until one more may live and grow to its limit.
    ///
    /// A quarter more go than must: looking for them costs a look at every pool.
    fn make_room(&self) {
        let (limits, figures) = (&self.settings.limits, &self.maker.figures);
        let live = figures.instances.load(Ordering::Relaxed);
        let held = figures.memory.load(Ordering::Relaxed);
        let room = limits.total_memory.saturating_sub(limits.memory);
        if live < limits.total_instances && held <= room {
            return;
        }
        let too_many = (live + 1).saturating_sub(limits.total_instances);
        self.shed(too_many + live / 4, held.saturating_sub(room));
    }

    /// Drops idle instances, the longest unused first: at least this many, and until this many bytes are free.
    pub(super) fn shed(&self, count: usize, bytes: usize) {
        let pools: Vec<_> = self.lock().values().cloned().collect();
        let mut idle: Vec<_> = pools.iter().flat_map(|pool| pool.idle_since()).collect();
        idle.sort_unstable();
        let held = || self.maker.figures.memory.load(Ordering::Relaxed);
        let enough = held().saturating_sub(bytes);
        // Many at a time: every step looks at every pool.
        for oldest in idle.chunks(count.max(idle.len() / 4).max(1)) {
            if let Some(until) = oldest.last() {
                pools.iter().for_each(|pool| drop(pool.take_idle_until(*until)));
            }
            if held() <= enough {
                return;
            }
        }
    }

    /// The operator's config overlaid by a subscription's, as `init` gets it.
    fn config(&self, own: &str) -> Result<Map<String, Value>, CallError> {
        let mut merged = merge(&self.settings.config, own)?;
        let takes_sink = self.about.config_schema.as_ref().is_none_or(Schema::takes_sink);
        if self.world() == World::Notifier && !takes_sink {
            merged.remove("sink");
        }
        Ok(merged)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Pool>>> {
        self.pool_by_config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Instances that live, of all generations of this name.
    pub(super) fn live(&self) -> usize {
        self.maker.figures.instances.load(Ordering::Relaxed)
    }

    /// Drops what has not been used for a while.
    pub(super) fn sweep(&self, now: Instant) {
        let mut pools = self.lock();
        let dropped: Vec<_> = pools
            .values()
            .flat_map(|pool| pool.take_idle_since(now, IDLE))
            .collect();
        pools.retain(|_, pool| !pool.is_abandoned(now, IDLE));
        drop(pools);
        // Stores are torn down outside the lock.
        drop(dropped);
    }

    #[cfg(test)]
    pub(super) fn pools(&self) -> usize {
        self.pool_by_config.lock().unwrap().len()
    }
}

/// Where a generation comes from.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) settings: PluginSettings,
    pub(super) source: Source,
}

/// Makes bare instances: linked, limited, and not yet told their config.
pub(super) struct Maker {
    pub(super) name: String,
    pub(super) linked: Box<dyn Linked>,
    pub(super) engine: Engine,
    pub(super) settings: PluginSettings,
    pub(super) allowed: Arc<Allowed>,
    pub(super) client: net::Client,
    pub(super) space: Arc<Space>,
    pub(super) log: Arc<GuestLog>,
    pub(super) figures: Arc<Figures>,
    pub(super) clock: Clock,
    /// Told when no instance could be made because too many live.
    pub(super) crowded: Arc<Notify>,
}

impl Maker {
    /// An instance, made within `limit`, that writes to this log.
    pub(super) async fn instance(&self, limit: Bounds, log: &Arc<GuestLog>) -> Result<Instance, CallError> {
        let mut store = Store::new(&self.engine, self.host(log));
        limits::bound(&mut store, &self.settings.limits);
        call::arm(&mut store, limit, self.linked.waits());
        let (made, _) = bounded(limit, &self.clock, self.linked.instantiate(&mut store)).await;
        let guest = call::settle(made, &mut store, limit).inspect_err(|error| {
            if *error == CallError::Busy {
                self.crowded.notify_one();
            }
        })?;
        Ok(Instance {
            store,
            guest,
            calls: 0,
            settled: None,
            since: self.clock.instant(),
        })
    }

    /// Has a trial instance describe itself: the last gate before a load goes live.
    pub(super) async fn describe(&self) -> Result<Described, String> {
        let limit = Bounds::of(self.settings.limits.start_of(self.linked.world()));
        let mut instance = self
            .instance(limit, &self.log)
            .await
            .map_err(|error| format!("no instance of it can be made: {error}"))?;
        let Instance { store, guest, .. } = &mut instance;
        call::arm(store, limit, self.linked.waits());
        let (answer, _) = bounded(limit, &self.clock, guest.describe(store)).await;
        let about = call::settle(answer, store, limit).map_err(|error| format!("describe failed: {error}"))?;
        let config_schema = about.config_schema.as_deref().map(Schema::compile).transpose()?;
        let summary = about
            .summary
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(300)
            .collect();
        Ok(Described { summary, config_schema })
    }

    fn host(&self, log: &Arc<GuestLog>) -> Host {
        let (limits, grants) = (&self.settings.limits, &self.settings.grants);
        let limiter = Limiter::new(limits, log.figures().clone());
        let allowance = Allowance::new(limits, log.clone(), log.figures().clone());
        let egress = Egress {
            plugin: self.name.clone(),
            client: self.client.clone(),
            allowed: self.allowed.clone(),
            granted: grants.http.clone(),
            log: log.clone(),
            timeout: limits.timeout_of(self.linked.world()),
            most: limits.memory,
            allowance: allowance.clone(),
            turns: Arc::new(Semaphore::new(http::AT_ONCE)),
        };
        let names = Names {
            plugin: self.name.clone(),
            allowed: self.allowed.clone(),
            granted: grants.tcp.clone(),
            client: self.client.clone(),
            log: log.clone(),
            allowance: allowance.clone(),
            known: Arc::default(),
        };
        let handshakes = Handshakes {
            plugin: self.name.clone(),
            allowed: self.allowed.clone(),
            granted: grants.tls.clone(),
            trust: self.allowed.authorities().unwrap_or(self.client.trust()).clone(),
            log: log.clone(),
        };
        let kv = Granted {
            plugin: self.name.clone(),
            space: self.space.clone(),
            most: self.allowed.kv(),
            log: log.clone(),
        };
        let ways = WaysOut {
            egress,
            names,
            handshakes,
            kv,
        };
        Host::new(limiter, log.clone(), allowance, ways)
    }
}

/// The operator's config overlaid by a subscription's, key by key at the top.
fn merge(operator: &Map<String, Value>, subscription: &str) -> Result<Map<String, Value>, CallError> {
    let refused = |why: String| CallError::Config(why);
    let mut merged = operator.clone();
    if !subscription.trim().is_empty() {
        match serde_json::from_str(subscription) {
            Ok(Value::Object(own)) => merged.extend(own),
            Ok(Value::Null) => {}
            Ok(_) => return Err(refused("the config must be a JSON object".to_owned())),
            Err(error) => return Err(refused(format!("the config is not JSON: {error}"))),
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_subscription_has_the_last_word() {
        let operator = json!({"host": "a", "deep": {"x": 1}}).as_object().unwrap().clone();
        let check = |own: &str, expected: Value| {
            let merged = merge(&operator, own).unwrap();
            assert_eq!(Value::Object(merged), expected, "{own}");
        };
        check("", json!({"host": "a", "deep": {"x": 1}}));
        check("null", json!({"host": "a", "deep": {"x": 1}}));
        check(
            r#"{"host": "b", "n": 2}"#,
            json!({"host": "b", "deep": {"x": 1}, "n": 2}),
        );
        check(r#"{"deep": {"y": 2}}"#, json!({"host": "a", "deep": {"y": 2}}));
        assert_eq!(
            merge(&operator, "[1]"),
            Err(CallError::Config("the config must be a JSON object".to_owned()))
        );
        assert!(matches!(merge(&operator, "{"), Err(CallError::Config(why)) if why.contains("not JSON")));
    }
}
