//! One call of one instance: armed with a deadline, made, and its end told as what it was.
//!
//! A guest that computes is stopped by its store's epoch deadline; a guest that waits in the host is not, so calls
//! that may wait run under a timer instead, and yield at every tick so that the timer is heard. What they compute is
//! the time inside their polls: whatever a guest waits for, it waits between two of them. (Rejected: counting the ticks
//! at which it was found computing, which would charge a tick to every wait that spans one.)
//!
//! Invariant: after an outer error the instance is spent; the caller drops it and never gives it back.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
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
    let limit = generation.bounds();
    let Instance {
        store, guest, calls, ..
    } = instance;
    *calls += 1;
    store.set_epoch_deadline(ticks(limit.cpu));
    let answer = guest.evaluate(store, event);
    settle(Ok(answer), store, limit)?.map_err(CallError::Guest)
}

/// Asks a filter that may wait.
pub(super) async fn evaluate_waiting(
    generation: &Generation,
    instance: &mut Instance,
    event: &Arc<Event>,
) -> Result<Verdict, CallError> {
    let limit = generation.bounds();
    let Instance {
        store, guest, calls, ..
    } = instance;
    *calls += 1;
    let (answer, cpu) = bounded(limit, &generation.maker.clock, guest.evaluate_waiting(store, event)).await;
    let answer = settle(answer, store, limit).and_then(|answer| answer.map_err(CallError::Guest));
    generation.meter.compute(cpu);
    generation.conduct.note(cpu, answer.as_ref().err());
    answer
}

/// Has a notifier deliver one event: leases an instance, calls it, and gives it back if it is sound.
pub(super) async fn notify(
    generation: &Generation,
    config: &Arc<str>,
    event: &Arc<Event>,
    delivery: Delivery,
    clock: &Clock,
) -> Result<(), NotifyError> {
    let limit = generation.bounds();
    let slot = generation.slot(config, limit.wall).await.map_err(NotifyError::Call)?;
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
    let limit = generation.bounds();
    let Instance {
        store, guest, calls, ..
    } = instance;
    *calls += 1;
    let (answer, cpu) = bounded(limit, &generation.maker.clock, guest.notify(store, event, delivery)).await;
    let answer = settle(answer, store, limit);
    generation.meter.compute(cpu);
    generation.conduct.note(cpu, answer.as_ref().err());
    answer.map_err(NotifyError::Call)?
}

/// The slot's idle instance, or a new one.
pub(super) async fn ready(generation: &Generation, slot: &Slot, config: &str) -> Result<Instance, CallError> {
    match slot.take() {
        Some(instance) => Ok(instance),
        None => generation.instance(config).await,
    }
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// By the clock on the wall.
    pub(super) wall: Duration,
    /// Computing.
    pub(super) cpu: Duration,
}

impl Bounds {
    /// The same for both.
    pub(super) fn of(limit: Duration) -> Self {
        Self {
            wall: limit,
            cpu: limit,
        }
    }
}

/// Sets what happens when the epoch passes the deadline: a store that may wait yields, any other traps.
pub(super) fn arm(store: &mut Store<Host>, limit: Bounds, waits: bool) {
    if waits {
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
    } else {
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks(limit.cpu));
    }
}

/// Runs a call to its end, or to a limit; and how long it computed.
pub(super) async fn bounded<T>(
    limit: Bounds,
    clock: &Clock,
    call: impl Future<Output = T>,
) -> (Result<T, CallError>, Duration) {
    let mut cpu = Duration::ZERO;
    let mut call = pin!(call);
    let computing = poll_fn(|cx| {
        let began = clock.instant();
        let polled = call.as_mut().poll(cx);
        cpu += clock.instant().saturating_duration_since(began);
        match polled {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending if cpu >= limit.cpu => Poll::Ready(Err(too_long(limit))),
            Poll::Pending => Poll::Pending,
        }
    });
    let answer = tokio::time::timeout(limit.wall, computing).await;
    (answer.unwrap_or(Err(CallError::Deadline(limit.wall))), cpu)
}

/// The limit that a call meets which computes and never waits.
fn too_long(limit: Bounds) -> CallError {
    match limit.cpu < limit.wall {
        true => CallError::Cpu(limit.cpu),
        false => CallError::Deadline(limit.wall),
    }
}

/// The answer of a call, or what went wrong with it.
pub(super) fn settle<T>(
    answer: Result<wasmtime::Result<T>, CallError>,
    store: &mut Store<Host>,
    limit: Bounds,
) -> Result<T, CallError> {
    let memory = store.data_mut().limiter.take_refusal();
    let error = match answer {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => told(&error, memory, limit),
        Err(stopped) => stopped,
    };
    // Who asks for ever, or panics at a no, is told of the no.
    match store.data().allowance.refusal() {
        Some(refused) if !matches!(error, CallError::Memory(_)) => Err(CallError::Egress(refused)),
        _ => Err(error),
    }
}

fn told(error: &wasmtime::Error, refused: Option<String>, limit: Bounds) -> CallError {
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return too_long(limit);
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
