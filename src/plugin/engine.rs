//! The two engines, and the thread that ticks their epochs.
//!
//! Filters run in an engine without component-model concurrency: a call costs a third of what it costs with it.
//! Notifiers run in one with it, since they wait on the network. (Rejected: one engine for both. It would charge
//! every filter call for a faculty that no filter has.) Both pool their memories and stacks, so that making an
//! instance costs microseconds; where address space is too small for a pool, both fall back to plain allocation.
//!
//! Invariant: the ticker holds the engines weakly, and ends with them.
//! Invariant: a compiled component belongs to one engine; `Engines::of` is the only place that says which.

use std::time::Duration;

use tracing::warn;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::World;
use crate::error::Error;

/// How often epochs tick: the grain of every limit on computing time.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Instances that may live at once in one engine, whatever the limits of each plugin say.
const INSTANCES: u32 = 2_000;

/// One engine for each world.
#[derive(Clone)]
pub(super) struct Engines {
    filters: Engine,
    notifiers: Engine,
}

impl Engines {
    /// Makes both and starts their ticker.
    pub(super) fn new() -> Result<Self, Error> {
        let engines = Self {
            filters: engine(World::Filter)?,
            notifiers: engine(World::Notifier)?,
        };
        engines.start_ticker()?;
        Ok(engines)
    }

    /// The engine that components of this world are compiled for.
    pub(super) fn of(&self, world: World) -> &Engine {
        match world {
            World::Filter => &self.filters,
            World::Notifier => &self.notifiers,
        }
    }

    fn start_ticker(&self) -> Result<(), Error> {
        let weak = [self.filters.weak(), self.notifiers.weak()];
        let tick = move || {
            loop {
                std::thread::sleep(TICK);
                let alive = weak.iter().filter_map(|engine| engine.upgrade());
                if alive.map(|engine| engine.increment_epoch()).count() == 0 {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("busway-epoch".to_owned())
            .spawn(tick)
            .map(drop)
            .map_err(Error::internal)
    }
}

/// How many ticks a limit is worth: never none, and one more for the tick that is already under way.
pub(super) fn ticks(limit: Duration) -> u64 {
    u64::try_from(limit.as_millis().div_ceil(TICK.as_millis()))
        .unwrap_or(u64::MAX / 2)
        .saturating_add(1)
}

fn engine(world: World) -> Result<Engine, Error> {
    let mut config = config(world);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling()));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(cause) => {
            let cause = format!("{cause:#}");
            warn!(
                cause,
                "no address space for a pool of plugin instances, making each by itself: plugins start slower"
            );
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            Engine::new(&config).map_err(|error| Error::internal(anyhow::Error::from(error)))
        }
    }
}

fn config(world: World) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.concurrency_support(world == World::Notifier);
    // Compiling shares the cores with deliveries; a plugin's own parts are compiled in parallel.
    config.parallel_compilation(true);
    config
}

/// Bounds that fit every guest of the supported languages, as measured. They reserve addresses, not memory: what an
/// instance may really hold is its limiter's word (limits.rs).
fn pooling() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES);
    pool.total_core_instances(INSTANCES * 8);
    pool.total_memories(INSTANCES);
    pool.total_tables(INSTANCES * 2);
    pool.total_stacks(INSTANCES);
    pool.max_core_instances_per_component(64);
    pool.max_memories_per_component(16);
    pool.max_memories_per_module(16);
    pool.max_tables_per_component(16);
    pool.max_tables_per_module(16);
    pool.table_elements(40_000);
    pool.max_core_instance_size(2 << 20);
    pool.max_component_instance_size(4 << 20);
    pool.max_memory_size(4 << 30);
    pool
}

/// What precompiled code must match to be loaded: the compiler's version and every setting that shapes code.
pub(super) fn fingerprint(engine: &Engine) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_worth_at_least_two_ticks() {
        let check = |millis, expected| assert_eq!(ticks(Duration::from_millis(millis)), expected, "{millis} ms");
        check(0, 1);
        check(1, 2);
        check(5, 2);
        check(6, 3);
        check(250, 51);
        assert!(ticks(Duration::MAX) > 1_000_000);
    }

    #[test]
    fn the_engines_do_not_share_code() {
        let engines = Engines::new().unwrap();
        assert_ne!(
            fingerprint(engines.of(World::Filter)),
            fingerprint(engines.of(World::Notifier))
        );
        assert_eq!(
            fingerprint(engines.of(World::Filter)),
            fingerprint(&engine(World::Filter).unwrap())
        );
    }

    #[test]
    fn the_ticker_ticks_and_lets_go() {
        let engines = Engines::new().unwrap();
        let weak = engines.of(World::Filter).weak();
        drop(engines);
        // The ticker may hold an engine for the length of one tick.
        while weak.upgrade().is_some() {
            std::thread::yield_now();
        }
    }
}
