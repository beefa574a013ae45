//! Bounds of one instance: its memories and tables together, what crosses to the host, and what it may write to the log.
//!
//! Why a sum: a limit on each memory lets a component with sixteen memories hold sixteen times what it was given.
//! Growth past the limit fails in the guest's hands (as `memory.grow` may anywhere) and is remembered, so that the
//! trap which most guests answer with is told as what it was.
//!
//! Invariant: `Figures` counts exactly the bytes and instances that live; a dropped limiter gives its bytes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wasmtime::{ResourceLimiter, Store};

use super::host::Host;
use super::status::Figures;
use super::{Limits, World};
use crate::units::{show_duration, show_size};

/// One key of `limits`.
pub struct Limit {
    /// Its name, after `limits.`.
    pub name: &'static str,
    /// What it bounds.
    pub about: &'static str,
    /// Where it is, and how it is written.
    pub bound: Bound,
}

/// The field of a limit.
pub enum Bound {
    /// A size.
    Bytes(fn(&mut Limits) -> &mut usize),
    /// A number from 1 to this.
    Count(u64, fn(&mut Limits) -> &mut usize),
    /// A duration; none: it depends on the world.
    Time(fn(&mut Limits) -> &mut Option<Duration>),
}

impl std::fmt::Debug for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Limit({})", self.name)
    }
}

/// Every limit, in the order in which they are shown. The table in plugins/README.md is this one.
pub const LIMITS: &[Limit] = &[
    Limit {
        name: "memory",
        about: "all memories and tables of one instance",
        bound: Bound::Bytes(|limits| &mut limits.memory),
    },
    Limit {
        name: "total_memory",
        about: "the same of all its instances together; idle ones go, the longest unused first, before it is passed",
        bound: Bound::Bytes(|limits| &mut limits.total_memory),
    },
    Limit {
        name: "timeout",
        about: "one call, wall clock, waiting included",
        bound: Bound::Time(|limits| &mut limits.timeout),
    },
    Limit {
        name: "cpu",
        about: "computing in one call, waiting not included",
        bound: Bound::Time(|limits| &mut limits.cpu),
    },
    Limit {
        name: "instances",
        about: "instances of one config; more calls at once wait",
        bound: Bound::Count(1_024, |limits| &mut limits.instances),
    },
    Limit {
        name: "total_instances",
        about: "instances in all, of whatever config",
        bound: Bound::Count(2_000, |limits| &mut limits.total_instances),
    },
    Limit {
        name: "output",
        about: "what a call returns, or hands to the hub in one piece",
        bound: Bound::Bytes(|limits| &mut limits.output),
    },
    Limit {
        name: "requests",
        about: "HTTP requests, connections and look-ups of names in one call",
        bound: Bound::Count(1_000_000, |limits| &mut limits.requests),
    },
    Limit {
        name: "egress",
        about: "bytes that one call moves over the network, both ways",
        bound: Bound::Bytes(|limits| &mut limits.egress),
    },
    Limit {
        name: "log_lines",
        about: "lines a second in the hub's log; five seconds' worth may come at once",
        bound: Bound::Count(10_000, |limits| &mut limits.log_lines),
    },
    Limit {
        name: "log_bytes",
        about: "bytes a second in the hub's log; likewise",
        bound: Bound::Bytes(|limits| &mut limits.log_bytes),
    },
];

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            total_memory: 1 << 30,
            timeout: None,
            cpu: None,
            instances: 4,
            total_instances: 1_000,
            output: 1 << 20,
            requests: 100,
            egress: 16 << 20,
            log_lines: 10,
            log_bytes: 16 << 10,
        }
    }
}

impl Limits {
    /// The longest that one call of this world may take: a filter stands in the way of every event, a notifier
    /// waits for others.
    pub fn timeout_of(&self, world: World) -> Duration {
        self.timeout.unwrap_or(match world {
            World::Filter => Duration::from_millis(250),
            World::Notifier => Duration::from_secs(10),
        })
    }

    /// The longest that one call of this world may compute: never longer than it may take.
    pub fn cpu_of(&self, world: World) -> Duration {
        let timeout = self.timeout_of(world);
        let cpu = self.cpu.unwrap_or(match world {
            World::Filter => timeout,
            World::Notifier => Duration::from_secs(2),
        });
        cpu.min(timeout)
    }

    /// Every limit as the config would say it. A time that is not set is what it is for this world, or left out.
    pub fn show(&self, world: Option<World>) -> BTreeMap<&'static str, String> {
        let shown = |limit: &Limit| Some((limit.name, limit.show(self, world)?));
        LIMITS.iter().filter_map(shown).collect()
    }

    /// The longest that making an instance, `describe` and `init` may take: a runtime that starts cold needs more
    /// than one call.
    pub(super) fn start_of(&self, world: World) -> Duration {
        self.timeout_of(world).max(Duration::from_secs(1))
    }
}

impl Limit {
    fn show(&self, limits: &Limits, world: Option<World>) -> Option<String> {
        let mut copy = limits.clone();
        match self.bound {
            Bound::Bytes(field) => Some(show_size(*field(&mut copy) as u64)),
            Bound::Count(_, field) => Some(field(&mut copy).to_string()),
            Bound::Time(field) => {
                let of = |world| match self.name {
                    "cpu" => limits.cpu_of(world),
                    _ => limits.timeout_of(world),
                };
                field(&mut copy).or(world.map(of)).map(show_duration)
            }
        }
    }
}

/// Small answers of the host's own interfaces (a path, a header) must fit, however small `output` is.
const LEAST_FUEL: usize = 64 << 10;
/// Handles of streams, requests and the like that one instance may hold.
const HANDLES: usize = 1_000;

/// The one place where a store gets its bounds. Time is bounded by the call (call.rs), not the store.
pub(super) fn bound(store: &mut Store<Host>, limits: &Limits) {
    store.limiter(|host| &mut host.limiter);
    store.set_hostcall_fuel(limits.output.max(LEAST_FUEL));
    store.set_max_component_handles(HANDLES);
}

/// Sums what one store holds and refuses what is too much.
pub(super) struct Limiter {
    most: usize,
    /// Of all instances of the plugin together.
    most_in_all: usize,
    held: usize,
    refused: Option<String>,
    figures: Arc<Figures>,
}

impl Limiter {
    /// A limiter for one store. `figures` hears of every byte.
    pub(super) fn new(limits: &Limits, figures: Arc<Figures>) -> Self {
        figures.instances.fetch_add(1, Ordering::Relaxed);
        Self {
            most: limits.memory,
            most_in_all: limits.total_memory.max(limits.memory),
            held: 0,
            refused: None,
            figures,
        }
    }

    /// Why growth was refused since the last call of this, if it was.
    pub(super) fn take_refusal(&mut self) -> Option<String> {
        self.refused.take()
    }

    /// What the store holds now, in bytes.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// The same, and what it may hold at most.
    pub(super) fn held_of(&self) -> (usize, usize) {
        (self.held, self.most)
    }

    /// Growth that its own maximum forbids is not counted. Growth that is granted here and then fails for want of
    /// pages stays counted: wasmtime tells of failures that were never asked for too, so giving back on its word
    /// would let a guest talk its sum down.
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>, unit: usize) -> bool {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return false;
        }
        let by = desired.saturating_sub(current).saturating_mul(unit);
        let wanted = self.held.saturating_add(by);
        if wanted > self.most {
            self.refused = Some(format!(
                "wanted {wanted} bytes in all, and its limit (limits.memory) is {}",
                self.most
            ));
            return false;
        }
        let within = |all: usize| all.checked_add(by).filter(|all| *all <= self.most_in_all);
        let all = self
            .figures
            .memory
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        if all.is_err() {
            self.refused = Some(format!(
                "wanted {by} bytes more, and its instances together may have {} (limits.total_memory)",
                self.most_in_all
            ));
            return false;
        }
        self.held = wanted;
        true
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.figures.memory.fetch_sub(self.held, Ordering::Relaxed);
        self.figures.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, 1))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired, maximum, size_of::<usize>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one_mebibyte() -> Limits {
        Limits {
            memory: 1 << 20,
            ..Limits::default()
        }
    }

    proptest! {
        /// Whatever grows and fails, the figures are the sum, never more than the limit, and zero in the end.
        #[test]
        fn figures_are_the_sum(steps in prop::collection::vec((0_usize..200_000, any::<bool>()), 0..40)) {
            let figures = Arc::new(Figures::default());
            let mut limiter = Limiter::new(&one_mebibyte(), figures.clone());
            let mut model = 0;
            for (size, table) in steps {
                let bytes = if table { size * size_of::<usize>() } else { size };
                let granted = if table { limiter.table_growing(0, size, None) } else { limiter.memory_growing(0, size, None) };
                prop_assert_eq!(granted.unwrap(), model + bytes <= 1 << 20);
                prop_assert_eq!(limiter.take_refusal().is_some(), model + bytes > 1 << 20);
                if model + bytes <= 1 << 20 {
                    model += bytes;
                }
                limiter.memory_grow_failed(wasmtime::format_err!("never asked for")).unwrap();
                prop_assert_eq!(figures.memory.load(Ordering::Relaxed), model);
            }
            drop(limiter);
            prop_assert_eq!(figures.memory.load(Ordering::Relaxed), 0);
            prop_assert_eq!(figures.instances.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn growth_past_its_own_maximum_is_no_business_of_the_limit() {
        let mut limiter = Limiter::new(&one_mebibyte(), Arc::new(Figures::default()));
        assert!(!limiter.memory_growing(0, 2 << 20, Some(1 << 16)).unwrap());
        assert_eq!(limiter.take_refusal(), None);
    }

    #[test]
    fn instances_share_what_they_have_in_all() {
        let limits = Limits {
            memory: 1 << 20,
            total_memory: 3 << 19,
            ..Limits::default()
        };
        let figures = Arc::new(Figures::default());
        let mut one = Limiter::new(&limits, figures.clone());
        let mut two = Limiter::new(&limits, figures.clone());
        assert!(one.memory_growing(0, 1 << 20, None).unwrap());
        assert!(!two.memory_growing(0, 1 << 20, None).unwrap());
        assert!(two.take_refusal().unwrap().contains("limits.total_memory"));
        assert!(two.memory_growing(0, 1 << 19, None).unwrap());
        drop(one);
        assert!(two.memory_growing(1 << 19, 1 << 20, None).unwrap());
    }

    #[test]
    fn the_readme_has_this_table() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/README.md")).unwrap();
        let mut table = "| limit | default | bounds |\n|---|---|---|\n".to_owned();
        for limit in LIMITS {
            let of = |world| limit.show(&Limits::default(), Some(world)).unwrap();
            let default = match (of(World::Filter), of(World::Notifier)) {
                (filter, notifier) if filter == notifier => filter,
                (filter, notifier) => format!("{filter} (filter), {notifier} (notifier)"),
            };
            table += &format!("| `limits.{}` | {default} | {} |\n", limit.name, limit.about);
        }
        assert!(
            readme.contains(&table),
            "plugins/README.md should have this table:\n{table}"
        );
    }
}
