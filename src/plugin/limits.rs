//! Bounds of one instance: its memories and tables together, what crosses to the host, and what it may write to the log.
//!
//! Why a sum: a limit on each memory lets a component with sixteen memories hold sixteen times what it was given.
//! Growth past the limit fails in the guest's hands (as `memory.grow` may anywhere) and is remembered, so that the
//! trap which most guests answer with is told as what it was.
//!
//! Invariant: `Figures` counts exactly the bytes and instances that live; a dropped limiter gives its bytes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wasmtime::{ResourceLimiter, Store};

use super::host::Host;
use super::status::Figures;
use super::{Limits, World};

impl Limits {
    /// The longest that one call of this world may take: a filter stands in the way of every event, a notifier
    /// waits for others.
    pub fn timeout_of(&self, world: World) -> Duration {
        self.timeout.unwrap_or(match world {
            World::Filter => Duration::from_millis(250),
            World::Notifier => Duration::from_secs(10),
        })
    }

    /// The longest that making an instance, `describe` and `init` may take: a runtime that starts cold needs more
    /// than one call.
    pub(super) fn start_of(&self, world: World) -> Duration {
        self.timeout_of(world).max(Duration::from_secs(1))
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
    held: usize,
    refused: Option<String>,
    figures: Arc<Figures>,
}

impl Limiter {
    /// A limiter for one store. `figures` hears of every byte.
    pub(super) fn new(most: usize, figures: Arc<Figures>) -> Self {
        figures.instances.fetch_add(1, Ordering::Relaxed);
        Self {
            most,
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
        self.held = wanted;
        self.figures.memory.fetch_add(by, Ordering::Relaxed);
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

    proptest! {
        /// Whatever grows and fails, the figures are the sum, never more than the limit, and zero in the end.
        #[test]
        fn figures_are_the_sum(steps in prop::collection::vec((0_usize..200_000, any::<bool>()), 0..40)) {
            let figures = Arc::new(Figures::default());
            let mut limiter = Limiter::new(1 << 20, figures.clone());
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
        let mut limiter = Limiter::new(1 << 20, Arc::new(Figures::default()));
        assert!(!limiter.memory_growing(0, 2 << 20, Some(1 << 16)).unwrap());
        assert_eq!(limiter.take_refusal(), None);
    }
}
