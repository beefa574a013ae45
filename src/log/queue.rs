//! What waits for the writer of a bus, bounded twice: by appends and by their bytes.
//!
//! A permit is taken when an append is queued and comes back by itself just before it is answered, so "full" counts
//! everything that is not on disk yet, and a caller who goes away costs nothing.
//!
//! Invariant: [`Queue::append`] never waits; a full queue is an answer (`hub_busy`), not a delay.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::model::Appended;
use crate::error::{Error, Kind, Result};
use crate::event::Event;

/// At most this many bytes of events wait for the disk, per bus.
const BYTES: usize = 64 << 20;
/// A commit takes no more events than this, unless one append alone has more.
const GROUP_EVENTS: usize = 1_024;
/// A commit takes no more bytes than this, unless one append alone has more.
const GROUP_BYTES: usize = 8 << 20;
/// SQLite refuses rows of a gigabyte; an event that comes near that is refused before it fails a whole commit.
const LARGEST_EVENT: usize = 512 << 20;

/// The way to the writer of a bus.
#[derive(Debug)]
pub(super) struct Queue {
    wishes: Sender<Wish>,
    most: usize,
    appends: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

/// What a writer can be asked for. Served in order.
#[derive(Debug)]
pub(super) enum Wish {
    /// Store these events.
    Append(Append),
    /// Close the segment, so that retention can drop it.
    Rotate(oneshot::Sender<Result<()>>),
    /// Give out no offset before this one.
    GoOn(u64, oneshot::Sender<Result<()>>),
    /// Store what has come before this, and end.
    Close(oneshot::Sender<()>),
    /// Behave as if the disk had no room for another page, or had room again.
    #[cfg(test)]
    DiskFull(bool, oneshot::Sender<()>),
    /// Distrust the connection, as after a sync that failed.
    #[cfg(test)]
    Poison,
}

/// Events that wait to be stored together, and who wants to know.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) events: Vec<Event>,
    weight: usize,
    answer: oneshot::Sender<Result<Vec<Appended>>>,
    _room: [OwnedSemaphorePermit; 2],
}

impl Queue {
    /// A queue for at most this many appends, and the writer's end of it.
    pub(super) fn new(appends: usize) -> (Self, Receiver<Wish>) {
        let (wishes, waiting) = channel();
        let most = appends.clamp(1, Semaphore::MAX_PERMITS);
        let appends = Arc::new(Semaphore::new(most));
        (
            Self {
                wishes,
                most,
                appends,
                bytes: Arc::new(Semaphore::new(BYTES)),
            },
            waiting,
        )
    }

    /// Queues events.
    ///
    /// # Errors
    /// `hub_busy` when the queue is full, `event_too_large`, `shutting_down`.
    pub(super) fn append(&self, events: Vec<Event>) -> Result<oneshot::Receiver<Result<Vec<Appended>>>> {
        let weights = events.iter().map(Event::weight);
        if weights.clone().any(|weight| weight > LARGEST_EVENT) {
            let message = format!(
                "an event is larger than the {} MiB that the log can store",
                LARGEST_EVENT >> 20
            );
            return Err(Error::new(Kind::TooLarge, "event_too_large", message));
        }
        let weight: usize = weights.sum();
        // What alone is more than may wait, waits alone.
        let bytes = u32::try_from(weight.min(BYTES)).unwrap_or(u32::MAX);
        let place = Arc::clone(&self.appends).try_acquire_owned().map_err(|_| busy())?;
        let room = Arc::clone(&self.bytes)
            .try_acquire_many_owned(bytes)
            .map_err(|_| busy())?;
        let (answer, answered) = oneshot::channel();
        self.ask(Wish::Append(Append {
            events,
            weight,
            answer,
            _room: [place, room],
        }))?;
        Ok(answered)
    }

    /// Refuses when there is no room for another append.
    ///
    /// # Errors
    /// `hub_busy`.
    pub(super) fn refuse_when_full(&self) -> Result<()> {
        match self.appends.available_permits() {
            0 => Err(busy()),
            _ => Ok(()),
        }
    }

    /// Appends that are not on disk yet, and the bytes of their events.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let appends = self.most.saturating_sub(self.appends.available_permits());
        (appends, BYTES.saturating_sub(self.bytes.available_permits()))
    }

    /// Queues any other wish.
    ///
    /// # Errors
    /// `shutting_down` when the writer has ended.
    pub(super) fn ask(&self, wish: Wish) -> Result<()> {
        self.wishes.send(wish).map_err(|_| shutting_down())
    }
}

impl Append {
    /// Answers; who no longer waits is not missed. Its room is given back first: whoever appends again at once finds it.
    pub(super) fn answer(self, answer: Result<Vec<Appended>>) {
        drop(self._room);
        let _ = self.answer.send(answer);
    }

    /// Its parts: the events and the answer that they wait for.
    pub(super) fn into_parts(self) -> (Vec<Event>, impl FnOnce(Vec<Appended>)) {
        let (answer, room) = (self.answer, self._room);
        let respond = move |places| {
            drop(room);
            let _ = answer.send(Ok(places));
        };
        (self.events, respond)
    }
}

/// Takes what else is queued, up to the size of a commit; never waits for more. A wish of another kind ends the
/// group and is handed back.
pub(super) fn gather(first: Append, waiting: &Receiver<Wish>) -> (Vec<Append>, Option<Wish>) {
    let (mut events, mut bytes) = (first.events.len(), first.weight);
    let mut group = vec![first];
    while events < GROUP_EVENTS && bytes < GROUP_BYTES {
        match waiting.try_recv() {
            Ok(Wish::Append(append)) => {
                events += append.events.len();
                bytes += append.weight;
                group.push(append);
            }
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

/// The answer when the log is closed.
pub(super) fn shutting_down() -> Error {
    Error::new(
        Kind::Unavailable,
        "shutting_down",
        "the hub is shutting down; try again when it is back",
    )
}

fn busy() -> Error {
    let retry_after = Duration::from_secs(1);
    let message = "more events wait for the disk than the hub may hold; try again in a second";
    Error::new(Kind::Busy { retry_after }, "hub_busy", message)
}

#[cfg(test)]
mod tests {
    use super::super::tests::event;
    use super::*;

    fn appends(queue: &Queue, waiting: &Receiver<Wish>, count: usize) -> Vec<Append> {
        (0..count).for_each(|_| drop(queue.append(vec![event("1", 10)]).unwrap()));
        let taken = waiting.try_iter().take(count);
        taken
            .filter_map(|wish| {
                if let Wish::Append(append) = wish {
                    Some(append)
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn a_full_queue_is_busy_until_somebody_is_answered() {
        let (queue, waiting) = Queue::new(2);
        let mut held = appends(&queue, &waiting, 2);
        let error = queue.append(vec![event("1", 10)]).unwrap_err();
        assert_eq!(error.code(), "hub_busy");
        assert_eq!(
            error.kind(),
            Kind::Busy {
                retry_after: Duration::from_secs(1)
            }
        );
        held.pop().unwrap().answer(Ok(Vec::new()));
        queue.append(vec![event("1", 10)]).unwrap();
    }

    #[test]
    fn bytes_are_bounded_too_and_one_giant_may_wait_alone() {
        let (queue, waiting) = Queue::new(100);
        let giant = || vec![event("1", 40 << 20)];
        drop(queue.append(giant()).unwrap());
        assert_eq!(queue.append(giant()).unwrap_err().code(), "hub_busy");
        queue.append(vec![event("1", 10)]).unwrap();
        waiting.try_iter().for_each(drop);
        drop(queue.append([giant(), giant()].concat()).unwrap());
        assert_eq!(queue.append(vec![event("1", 10)]).unwrap_err().code(), "hub_busy");
    }

    #[test]
    fn a_group_takes_what_is_there_up_to_its_size() {
        let (queue, waiting) = Queue::new(5_000);
        let gather_next = || match waiting.try_recv().unwrap() {
            Wish::Append(first) => gather(first, &waiting),
            other => panic!("{other:?}"),
        };
        (0..GROUP_EVENTS + 5).for_each(|_| drop(queue.append(vec![event("1", 10)]).unwrap()));
        queue.ask(Wish::Close(oneshot::channel().0)).unwrap();
        drop(queue.append(vec![event("1", 10)]).unwrap());
        let (group, other) = gather_next();
        assert_eq!((group.len(), other.is_none()), (GROUP_EVENTS, true));
        let (group, other) = gather_next();
        assert!(matches!(other, Some(Wish::Close(_))), "it ends the group");
        assert_eq!(group.len(), 5);
        assert_eq!(gather_next().0.len(), 1);
    }

    #[test]
    fn nothing_is_queued_for_a_writer_that_has_ended() {
        let (queue, waiting) = Queue::new(2);
        drop(waiting);
        assert_eq!(queue.append(vec![event("1", 10)]).unwrap_err().code(), "shutting_down");
    }
}
