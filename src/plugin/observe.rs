//! Observed calls: what a plugin answers, what it cost, and what it asked of the hub on the way.
//!
//! An observer has an instance of its own, apart from the pools that serve deliveries, under the same limits and
//! grants. It keeps the instance between calls as a pool would, so that costs are those of a warm call; what fails
//! takes its instance with it, and the next call makes another.
//!
//! Invariant: an observed call takes no slot of a pool, and counts in no figure of the plugin's calls.
//! Invariant: guests compute on a blocking thread, never on the runtime's own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::call;
use super::generation::Generation;
use super::guest_log::GuestLog;
use super::pool::Instance;
use super::recorder::{Effects, Recorder, Trace};
use super::{CallError, Delivery, NotifyError, Verdict, World};
use crate::event::Event;
use crate::tasks::Tasks;
use crate::time::Clock;

/// One call and what happened in it.
#[derive(Debug, Clone)]
pub struct Observation<T> {
    /// The answer.
    pub result: T,
    /// How long the call took, in the guest and in the host.
    pub took: Duration,
    /// How long it took to make an instance and have it take its config, if that was done for this call.
    pub started: Option<Duration>,
    /// Bytes that the instance held after the call; none if it is spent.
    pub memory: usize,
    /// What the guest asked of the hub.
    pub trace: Trace,
}

/// Which load of which plugin is observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The plugin's name.
    pub plugin: String,
    /// Hex SHA-256 of its component.
    pub digest: String,
    /// The nth load of this name; 0 of one that was never live.
    pub generation: u64,
    /// What it exports.
    pub world: World,
}

/// Calls one generation with one config, and watches.
pub struct Observer {
    parts: Parts,
    instance: Option<Instance>,
    tasks: Tasks,
}

/// What every call needs.
#[derive(Clone)]
struct Parts {
    generation: Arc<Generation>,
    config: Arc<str>,
    recorder: Arc<Recorder>,
    log: Arc<GuestLog>,
    clock: Clock,
}

impl Observer {
    pub(super) fn new(
        generation: Arc<Generation>,
        config: Arc<str>,
        effects: Effects,
        (clock, tasks): (Clock, Tasks),
    ) -> Self {
        let recorder = Arc::new(Recorder::new(effects).hiding(generation.secret_texts(&config)));
        let log = GuestLog::recorded(
            &generation.name,
            &generation.settings.limits,
            clock.clone(),
            recorder.clone(),
        );
        let parts = Parts {
            generation,
            config,
            recorder,
            log,
            clock,
        };
        Self {
            parts,
            instance: None,
            tasks,
        }
    }

    /// What is observed.
    pub fn observed(&self) -> Observed {
        self.parts.generation.observed()
    }

    /// Makes the instance, if there is none, and has it take its config.
    pub async fn start(&mut self) -> Observation<Result<(), CallError>> {
        let seats = self.run(vec![()], |seat, ()| async move { seat.start().await }).await;
        first(seats).unwrap_or_else(|| lost(Err(CallError::Busy)))
    }

    /// Asks a filter about events; one observation each, in order. An event that fails costs the others nothing.
    pub async fn evaluate(&mut self, events: Vec<Arc<Event>>) -> Vec<Observation<Result<Verdict, CallError>>> {
        let count = events.len();
        let mut seen = self
            .run(events, |seat, event| async move { seat.evaluate(&event).await })
            .await;
        seen.resize_with(count, || lost(Err(CallError::Busy)));
        seen
    }

    /// Has a notifier deliver one event.
    pub async fn notify(&mut self, event: Arc<Event>, delivery: Delivery) -> Observation<Result<(), NotifyError>> {
        let work = vec![(event, delivery)];
        let seen = self
            .run(work, |seat, (event, delivery)| async move {
                seat.notify(&event, delivery).await
            })
            .await;
        first(seen).unwrap_or_else(|| lost(Err(NotifyError::Call(CallError::Busy))))
    }

    /// Does this for each piece of work, one after the other, on a blocking thread. Fewer observations than pieces
    /// come back if the hub itself failed, or is stopping.
    async fn run<W, T, F>(&mut self, work: Vec<W>, call: impl Fn(Seat, W) -> F + Send + 'static) -> Vec<Observation<T>>
    where
        W: Send + 'static,
        T: Send + 'static,
        F: Future<Output = (Seat, Observation<T>)>,
    {
        let (runtime, tasks) = (Handle::current(), self.tasks.clone());
        let mut seat = Seat {
            parts: self.parts.clone(),
            instance: self.instance.take(),
        };
        let ran = self.tasks.blocking(move || {
            let mut seen = Vec::with_capacity(work.len());
            for piece in work {
                if tasks.is_stopping() {
                    break;
                }
                let observation;
                (seat, observation) = runtime.block_on(call(seat, piece));
                seen.push(observation);
            }
            (seat.instance, seen)
        });
        match ran.await {
            Ok((instance, seen)) => {
                self.instance = instance;
                seen
            }
            Err(_) => Vec::new(),
        }
    }
}

fn first<T>(seen: Vec<T>) -> Option<T> {
    seen.into_iter().next()
}

/// Of a call that was never made.
fn lost<T>(result: T) -> Observation<T> {
    Observation {
        result,
        took: Duration::ZERO,
        started: None,
        memory: 0,
        trace: Trace::default(),
    }
}

/// An observer's instance, on the thread that calls it.
struct Seat {
    parts: Parts,
    instance: Option<Instance>,
}

impl Seat {
    async fn start(mut self) -> (Self, Observation<Result<(), CallError>>) {
        let (made, started) = self.instance().await;
        let result = made.map(|instance| self.instance = Some(instance));
        let seen = self.observation(result, Duration::ZERO, started);
        (self, seen)
    }

    async fn evaluate(mut self, event: &Arc<Event>) -> (Self, Observation<Result<Verdict, CallError>>) {
        let (made, started) = self.instance().await;
        let (began, generation) = (self.parts.clock.instant(), self.parts.generation.clone());
        let answer = match made {
            Err(error) => Err(error),
            Ok(mut instance) => {
                let answer = match generation.maker.linked.waits() {
                    true => call::evaluate_waiting(&generation, &mut instance, event).await,
                    false => call::evaluate(&generation, &mut instance, event),
                };
                if matches!(answer, Ok(_) | Err(CallError::Guest(_))) && !instance.is_worn() {
                    self.instance = Some(instance);
                }
                answer
            }
        };
        let took = self.since(began);
        let seen = self.observation(answer, took, started);
        (self, seen)
    }

    async fn notify(mut self, event: &Arc<Event>, delivery: Delivery) -> (Self, Observation<Result<(), NotifyError>>) {
        let (made, started) = self.instance().await;
        let (began, generation) = (self.parts.clock.instant(), self.parts.generation.clone());
        let answer = match made {
            Err(error) => Err(NotifyError::Call(error)),
            Ok(mut instance) => {
                let answer = call::notify_on(&generation, &mut instance, event, delivery).await;
                if !matches!(answer, Err(NotifyError::Call(_))) && !instance.is_worn() {
                    self.instance = Some(instance);
                }
                answer
            }
        };
        let took = self.since(began);
        let seen = self.observation(answer, took, started);
        (self, seen)
    }

    /// The instance of the last call, or a new one and how long it took to make.
    async fn instance(&mut self) -> (Result<Instance, CallError>, Option<Duration>) {
        if let Some(instance) = self.instance.take() {
            return (Ok(instance), None);
        }
        let began = self.parts.clock.instant();
        let made = self
            .parts
            .generation
            .observed_instance(&self.parts.config, &self.parts.log);
        (made.await, Some(self.since(began)))
    }

    fn since(&self, began: std::time::Instant) -> Duration {
        self.parts.clock.instant().saturating_duration_since(began)
    }

    fn observation<T>(&self, result: T, took: Duration, started: Option<Duration>) -> Observation<T> {
        let memory = self
            .instance
            .as_ref()
            .map_or(0, |instance| instance.store.data().limiter.held());
        Observation {
            result,
            took,
            started,
            memory,
            trace: self.parts.recorder.take(),
        }
    }
}
