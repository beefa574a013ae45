//! The filter threads: where filters compute that never wait, away from the async runtime.
//!
//! A batch comes over in one hop. Plugins take turns (`turns`), and while more than one is known, none has every thread
//! at once, so a plugin that loops delays its own deliveries and nobody else's. Those under suspicion (`conduct`)
//! share one thread, so that a pack of them takes no more than one does. A batch that has run for a while goes to the
//! back of its plugin's queue, so that one long batch does not hold up the plugin's other configs. (Rejected: tokio's
//! blocking pool, where hundreds of looping calls would be hundreds of threads fighting for two cores.)
//!
//! Invariant: a batch is answered once, with one verdict for each event, in order; if the threads are gone, its
//! answer channel closes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::error;

use super::call;
use super::generation::Generation;
use super::pool::{Instance, Slot};
use super::turns::{Turn, Turns, Waits};
use super::{CallError, Verdict, conduct};
use crate::error::Error;
use crate::event::Event;
use crate::time::Clock;

/// After so long a batch lets others of its plugin go first.
const TURN: Duration = conduct::LONG;

/// One answer of a filter.
pub(super) type Answer = Result<Verdict, CallError>;

/// Events for one plugin with one config.
pub(super) struct Batch {
    generation: Arc<Generation>,
    config: Arc<str>,
    slot: Slot,
    instance: Option<Instance>,
    /// Why no instance can be made, if none can.
    hopeless: Option<CallError>,
    events: std::vec::IntoIter<Arc<Event>>,
    answers: Vec<Answer>,
    reply: oneshot::Sender<Vec<Answer>>,
}

impl Batch {
    /// A batch with the slot it will use, and where its answers will come.
    pub(super) fn new(
        generation: Arc<Generation>,
        config: Arc<str>,
        slot: Slot,
        events: Vec<Arc<Event>>,
    ) -> (Self, oneshot::Receiver<Vec<Answer>>) {
        let (reply, answers) = oneshot::channel();
        let room = Vec::with_capacity(events.len());
        (
            Self {
                generation,
                config,
                slot,
                instance: None,
                hopeless: None,
                events: events.into_iter(),
                answers: room,
                reply,
            },
            answers,
        )
    }
}

impl Waits for Batch {
    fn plugin(&self) -> &str {
        &self.generation.name
    }

    fn is_suspect(&self) -> bool {
        self.generation.conduct.is_suspect()
    }
}

impl Batch {
    /// Runs it to its end, for a filter that may wait.
    pub(super) async fn run_waiting(mut self, clock: Clock) {
        let mut last = clock.instant();
        while let Some(event) = self.events.next() {
            let answer = self.answer_waiting(&event).await;
            let now = clock.instant();
            let took = now.saturating_duration_since(last);
            self.generation.meter.count(took, answer.as_ref().err());
            last = now;
            self.answers.push(answer);
        }
        self.end(last);
    }

    async fn answer_waiting(&mut self, event: &Arc<Event>) -> Answer {
        let mut instance = self.instance().await?;
        let answer = call::evaluate_waiting(&self.generation, &mut instance, event).await;
        self.keep(instance, &answer);
        answer
    }

    /// An instance to call next.
    async fn instance(&mut self) -> Result<Instance, CallError> {
        if let Some(error) = &self.hopeless {
            return Err(error.clone());
        }
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        let made = call::ready(&self.generation, &self.slot, &self.config).await;
        // No other event of this batch would fare better, and each try may take long.
        self.hopeless = made.as_ref().err().cloned();
        made
    }

    /// Keeps an instance for the next event, if it is sound after this answer.
    fn keep(&mut self, mut instance: Instance, answer: &Answer) {
        if matches!(answer, Ok(_) | Err(CallError::Guest(_))) && !instance.is_worn() {
            self.instance = Some(instance);
        }
    }

    /// Answers. Everything else is given back first: who hears the answer may want the slot at once, or look at what
    /// is held.
    fn end(self, now: Instant) {
        let Self {
            generation,
            slot,
            instance,
            answers,
            reply,
            ..
        } = self;
        if let Some(instance) = instance {
            slot.give_back(instance, now);
        }
        drop((slot, generation));
        // A caller that went away wants no answer.
        let _ = reply.send(answers);
    }
}

/// The threads. They end when the last of these is dropped.
pub(super) struct FilterThreads {
    queue: Arc<Queue>,
}

impl FilterThreads {
    /// Starts this many threads, at least two.
    pub(super) fn start(threads: usize, runtime: &Handle, clock: &Clock) -> Result<Self, Error> {
        let threads = threads.max(2);
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            wake: Condvar::new(),
            threads,
        });
        let this = Self { queue };
        for number in 0..threads {
            let worker = Worker {
                queue: this.queue.clone(),
                runtime: runtime.clone(),
                clock: clock.clone(),
            };
            let builder = std::thread::Builder::new().name(format!("busway-filter-{number}"));
            builder.spawn(move || worker.run()).map_err(Error::internal)?;
        }
        Ok(this)
    }

    /// Hands a batch over.
    pub(super) fn push(&self, batch: Batch) {
        self.queue.push(batch);
    }
}

impl Drop for FilterThreads {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        // Their senders close, so nobody waits for answers that will not come.
        state.turns.clear();
        self.queue.wake.notify_all();
    }
}

struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    threads: usize,
}

#[derive(Default)]
struct State {
    turns: Turns<Batch>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, batch: Batch) {
        let mut state = self.lock();
        if !state.closed {
            state.turns.push(batch);
            self.wake.notify_one();
        }
    }

    /// The next batch to run; none once the threads are to end.
    fn next(&self) -> Option<(Turn, Batch)> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(next) = state.turns.next(self.threads) {
                return Some(next);
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A turn is over; what is left of its batch waits for another.
    fn over(&self, turn: &Turn, rest: Option<Batch>) {
        let mut state = self.lock();
        state.turns.over(turn);
        if let Some(rest) = rest.filter(|_| !state.closed) {
            state.turns.push(rest);
        }
        // What waits may have waited for this thread's place.
        self.wake.notify_one();
    }
}

struct Worker {
    queue: Arc<Queue>,
    runtime: Handle,
    clock: Clock,
}

impl Worker {
    fn run(&self) {
        while let Some((turn, batch)) = self.queue.next() {
            let rest = catch_unwind(AssertUnwindSafe(|| self.turn(batch))).unwrap_or_else(|_| {
                let plugin = turn.plugin();
                error!(
                    plugin,
                    "the hub itself failed in a filter call; the batch counts as failed"
                );
                None
            });
            self.queue.over(&turn, rest);
        }
    }

    /// Runs a batch for a turn; what is left of it, if anything is.
    fn turn(&self, mut batch: Batch) -> Option<Batch> {
        let began = self.clock.instant();
        let mut last = began;
        while !batch.reply.is_closed() {
            let Some(event) = batch.events.next() else {
                break;
            };
            let answer = self.answer(&mut batch, &event);
            let now = self.clock.instant();
            let took = now.saturating_duration_since(last);
            let generation = &batch.generation;
            generation.meter.count(took, answer.as_ref().err());
            // It has the thread until it is done.
            generation.meter.compute(took);
            generation.conduct.note(took, answer.as_ref().err());
            last = now;
            batch.answers.push(answer);
            if now.saturating_duration_since(began) >= TURN && batch.events.len() > 0 {
                return Some(batch);
            }
        }
        batch.end(last);
        None
    }

    fn answer(&self, batch: &mut Batch, event: &Arc<Event>) -> Answer {
        let mut instance = self.runtime.block_on(batch.instance())?;
        let answer = call::evaluate(&batch.generation, &mut instance, event);
        batch.keep(instance, &answer);
        answer
    }
}
