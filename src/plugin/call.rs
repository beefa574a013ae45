//! One call of one instance: armed with a deadline, made, and its end told as what it was.
//!
//! A guest that computes is stopped by its store's epoch deadline; a guest that waits in the host is not, so calls
//! that may wait run under a timer as well, and yield at every tick so that the timer is heard.
//!
//! Invariant: after an outer error the instance is spent; the caller drops it and never gives it back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::engine::ticks;
use super::generation::Generation;
use super::host::Host;
use super::pool::{Instance, Slot};
use super::{CallError, Delivery, NotifyError, Verdict};
use crate::event::Event;
use crate::time::Clock;

/// Asks a filter that does not wait. On a filter thread only: it computes until it is done or stopped.
pub(super) fn evaluate(
    generation: &Generation,
    instance: &mut Instance,
    event: &Arc<Event>,
) -> Result<Verdict, CallError> {
    let limit = generation.timeout();
    let Instance {
        store, guest, calls, ..
    } = instance;
    *calls += 1;
    store.set_epoch_deadline(ticks(limit));
    let answer = guest.evaluate(store, event);
    settle(Some(answer), store, limit)?.map_err(CallError::Guest)
}

/// Asks a filter that may wait.
pub(super) async fn evaluate_waiting(
    generation: &Generation,
    instance: &mut Instance,
    event: &Arc<Event>,
) -> Result<Verdict, CallError> {
    let limit = generation.timeout();
    let Instance {
        store, guest, calls, ..
    } = instance;
    *calls += 1;
    let answer = bounded(limit, guest.evaluate_waiting(store, event)).await;
    settle(answer, store, limit)?.map_err(CallError::Guest)
}

/// Has a notifier deliver one event: leases an instance, calls it, and gives it back if it is sound.
pub(super) async fn notify(
    generation: &Generation,
    config: &Arc<str>,
    event: &Arc<Event>,
    delivery: Delivery,
    clock: &Clock,
) -> Result<(), NotifyError> {
    let limit = generation.timeout();
    let slot = generation
        .pool(config, clock.instant())
        .slot(limit)
        .await
        .map_err(NotifyError::Call)?;
    let mut instance = ready(generation, &slot, config).await.map_err(NotifyError::Call)?;
    let answer = notify_on(generation, &mut instance, event, delivery).await;
    if !matches!(answer, Err(NotifyError::Call(_))) {
        slot.give_back(instance, clock.instant());
    }
    answer
}

/// Has this instance of a notifier deliver one event.
pub(super) async fn notify_on(
    generation: &Generation,
    instance: &mut Instance,
    event: &Arc<Event>,
    delivery: Delivery,
) -> Result<(), NotifyError> {
    let limit = generation.timeout();
    let Instance {
        store, guest, calls, ..
    } = instance;
    *calls += 1;
    let answer = bounded(limit, guest.notify(store, event, delivery)).await;
    settle(answer, store, limit).map_err(NotifyError::Call)?
}

/// The slot's idle instance, or a new one.
pub(super) async fn ready(generation: &Generation, slot: &Slot, config: &str) -> Result<Instance, CallError> {
    match slot.take() {
        Some(instance) => Ok(instance),
        None => generation.instance(config).await,
    }
}

/// Sets what happens when the epoch passes the deadline: a store that may wait yields, any other traps.
pub(super) fn arm(store: &mut Store<Host>, limit: Duration, waits: bool) {
    if waits {
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
    } else {
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks(limit));
    }
}

/// Runs a call to its end, or to the limit: then there is no answer.
pub(super) async fn bounded<T>(limit: Duration, call: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, call).await.ok()
}

/// The answer of a call, or what went wrong with it.
pub(super) fn settle<T>(
    answer: Option<wasmtime::Result<T>>,
    store: &mut Store<Host>,
    limit: Duration,
) -> Result<T, CallError> {
    let refused = store.data_mut().limiter.take_refusal();
    match (answer, refused) {
        (Some(Ok(value)), _) => Ok(value),
        (None, _) => Err(CallError::Deadline(limit)),
        (Some(Err(error)), refused) => Err(told(&error, refused, limit)),
    }
}

fn told(error: &wasmtime::Error, refused: Option<String>, limit: Duration) -> CallError {
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return CallError::Deadline(limit);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return CallError::Busy;
    }
    // A guest that is denied memory ends in a trap of its own, as a rule; the denial is the cause.
    if let Some(refused) = refused {
        return CallError::Memory(refused);
    }
    if let Some(I32Exit(status)) = error.downcast_ref() {
        return CallError::Trap(format!("it exited with status {status}"));
    }
    let mut words = error.root_cause().to_string();
    if words.contains("fuel allocated for hostcalls") {
        "more came from it in one piece than its limit (limits.output) allows".clone_into(&mut words);
    }
    let place = error
        .downcast_ref::<WasmBacktrace>()
        .and_then(|trace| trace.frames().iter().find_map(|frame| frame.func_name()));
    CallError::Trap(match place {
        Some(function) => format!("{words}, in {function}"),
        None => words,
    })
}
