//! From the queue to the hub: in batches, in order, again and again until the hub has them.
//!
//! An event keeps its id over all tries, so that one whose answer was lost is a duplicate to the hub and not a second
//! event. What the hub refuses for good (too large, say) is told and left out, alone: the rest of its batch goes on.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::mpsc;

use super::tell;
use crate::cli::client::HubClient;
use crate::cli::exit::{Code, Failure};
use crate::event::{Event, json};
use crate::time::Clock;
use crate::units::show_duration;

/// Events in one batch, at most.
const BATCH: usize = 100;
/// Bytes in one batch, about: well below what a hub takes.
const BATCH_BYTES: usize = 1 << 20;
/// The first wait of a row of failures, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Waits that double, from one failure to the next.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    /// No failure yet.
    pub(super) fn new() -> Self {
        Self(WAITS.0)
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(WAITS.1);
        now
    }
}

/// The way to one bus of a hub.
pub(super) struct Relay {
    /// The hub.
    pub(super) hub: HubClient,
    /// Where events are published there.
    pub(super) path: String,
}

impl Relay {
    /// Publishes what comes, until nothing more does; how many the hub has taken.
    ///
    /// # Errors
    /// The hub does not let us publish there at all.
    pub(super) async fn run(&self, mut queue: mpsc::Receiver<Event>) -> Result<u64, Failure> {
        let mut taken = 0;
        let mut kept = None;
        loop {
            let first = match kept.take() {
                Some(event) => event,
                None => match queue.recv().await {
                    Some(event) => event,
                    None => return Ok(taken),
                },
            };
            let mut weight = first.weight();
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(event) = queue.try_recv()
            {
                weight += event.weight();
                if weight > BATCH_BYTES {
                    kept = Some(event);
                    break;
                }
                batch.push(event);
            }
            taken += self.publish(&batch).await?;
        }
    }

    /// Publishes a batch, or its events one by one if the hub refuses it whole.
    async fn publish(&self, batch: &[Event]) -> Result<u64, Failure> {
        if self.send(batch).await?.is_none() {
            return Ok(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        }
        let mut taken = 0;
        for event in batch {
            match self.send(std::slice::from_ref(event)).await? {
                None => taken += 1,
                Some(why) => {
                    let (ty, id) = (event.ty(), event.id());
                    tell(format_args!("the hub refuses the {ty} {id}, which is left out: {why}"));
                }
            }
        }
        Ok(taken)
    }

    /// Sends until there is an answer; a refusal for good is told by its words.
    async fn send(&self, batch: &[Event]) -> Result<Option<String>, Failure> {
        let body = body(batch);
        let headers = [("content-type", "application/cloudevents-batch+json")];
        let mut backoff = Backoff::new();
        loop {
            let failure = match self.hub.send(Method::POST, &self.path, &headers, body.clone()).await {
                Ok(_) => return Ok(None),
                Err(failure) => failure,
            };
            match failure.code {
                Code::Unavailable | Code::TryLater | Code::Software => {
                    let wait = backoff.next();
                    let (events, again) = (batch.len(), show_duration(wait));
                    tell(format_args!("{failure}; {events} events wait, again in {again}"));
                    Clock::system().sleep(wait).await;
                }
                Code::Data => return Ok(Some(failure.message)),
                _ => return Err(failure),
            }
        }
    }
}

fn body(batch: &[Event]) -> Bytes {
    let mut text = vec![b'['];
    for (at, event) in batch.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        json::encode_into(event, &mut text);
    }
    text.push(b']');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    }
}
