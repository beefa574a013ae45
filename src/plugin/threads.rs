//! The filter threads: where filters compute, away from the async runtime.
//!
//! A batch comes over in one hop. Plugins take turns, and while more than one is known, none has every thread at once,
//! so a plugin that loops delays its own deliveries and nobody else's. A batch that has run for a while goes to the
//! back of its plugin's queue, so that one long batch does not hold up the plugin's other configs. (Rejected: tokio's
//! blocking pool, where hundreds of looping calls would be hundreds of threads fighting for two cores.)
//!
//! Invariant: with T threads and several plugins, one plugin runs on at most T-1 of them (T is at least 2).
//! Invariant: a batch is answered once, with one verdict for each event, in order; if the threads are gone, its
//! answer channel closes.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::error;

use super::call;
use super::generation::Generation;
use super::pool::{Instance, Slot};
use super::{CallError, Verdict};
use crate::error::Error;
use crate::event::Event;
use crate::time::Clock;

/// After so long a batch lets others of its plugin go first.
const TURN: Duration = Duration::from_millis(50);

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

impl Batch {
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
            turns: Mutex::default(),
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
        self.queue.push(batch, false);
    }
}

impl Drop for FilterThreads {
    fn drop(&mut self) {
        let mut turns = self.queue.lock();
        turns.closed = true;
        // Their senders close, so nobody waits for answers that will not come.
        turns.lanes.clear();
        self.queue.wake.notify_all();
    }
}

struct Queue {
    turns: Mutex<Turns>,
    wake: Condvar,
    threads: usize,
}

#[derive(Default)]
struct Turns {
    lanes: BTreeMap<String, Lane>,
    /// Whose turn it was last.
    last: String,
    closed: bool,
}

/// What waits and runs of one plugin.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Batch>,
    running: usize,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `again`: this thread ran it until now.
    fn push(&self, batch: Batch, again: bool) {
        let mut turns = self.lock();
        if turns.closed {
            return;
        }
        if !turns.lanes.contains_key(&batch.generation.name) {
            turns.lanes.insert(batch.generation.name.clone(), Lane::default());
        }
        if let Some(lane) = turns.lanes.get_mut(&batch.generation.name) {
            lane.running -= usize::from(again && lane.running > 0);
            lane.waiting.push_back(batch);
        }
        self.wake.notify_one();
    }

    /// The next batch to run; none once the threads are to end.
    fn next(&self) -> Option<Batch> {
        let mut turns = self.lock();
        loop {
            if turns.closed {
                return None;
            }
            if let Some(batch) = turns.next(self.threads) {
                return Some(batch);
            }
            turns = self.wake.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, plugin: &str) {
        let mut turns = self.lock();
        if let Some(lane) = turns.lanes.get_mut(plugin) {
            lane.running = lane.running.saturating_sub(1);
        }
        // A batch of the same plugin may have waited for this thread's place.
        self.wake.notify_one();
    }
}

impl Turns {
    fn next(&mut self, threads: usize) -> Option<Batch> {
        let most = if self.lanes.len() > 1 { threads - 1 } else { threads };
        let may_run = |lane: &Lane| lane.running < most && !lane.waiting.is_empty();
        let after = self.lanes.iter().filter(|(name, _)| **name > self.last);
        let until = self.lanes.iter().filter(|(name, _)| **name <= self.last);
        let name = after
            .chain(until)
            .find(|(_, lane)| may_run(lane))
            .map(|(name, _)| name.clone())?;
        let lane = self.lanes.get_mut(&name)?;
        self.last = name;
        lane.running += 1;
        lane.waiting.pop_front()
    }
}

struct Worker {
    queue: Arc<Queue>,
    runtime: Handle,
    clock: Clock,
}

impl Worker {
    fn run(&self) {
        while let Some(batch) = self.queue.next() {
            let plugin = batch.generation.name.clone();
            match catch_unwind(AssertUnwindSafe(|| self.turn(batch))) {
                Ok(Some(rest)) => self.queue.push(rest, true),
                Ok(None) => self.queue.done(&plugin),
                Err(_) => {
                    error!(
                        plugin,
                        "the hub itself failed in a filter call; the batch counts as failed"
                    );
                    self.queue.done(&plugin);
                }
            }
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
            if !generation.maker.linked.waits() {
                // It has the thread until it is done.
                generation.meter.compute(took);
            }
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
        if let Some(error) = &batch.hopeless {
            return Err(error.clone());
        }
        let generation = &batch.generation;
        let mut instance = match batch.instance.take() {
            Some(instance) => instance,
            None => match self
                .runtime
                .block_on(call::ready(generation, &batch.slot, &batch.config))
            {
                Ok(instance) => instance,
                Err(error) => {
                    // No other event of this batch would fare better, and each try may take long.
                    batch.hopeless = Some(error.clone());
                    return Err(error);
                }
            },
        };
        let answer = match generation.maker.linked.waits() {
            true => self
                .runtime
                .block_on(call::evaluate_waiting(generation, &mut instance, event)),
            false => call::evaluate(generation, &mut instance, event),
        };
        if matches!(answer, Ok(_) | Err(CallError::Guest(_))) {
            batch.instance = Some(instance);
        }
        answer
    }
}
