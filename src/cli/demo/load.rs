//! The second half: a steady load; at a quarter of it the filter is swapped, at a half the sink is killed, at three
//! quarters it is back.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::board::Who;
use super::stage::Stage;
use super::{Screen, judge};
use crate::cli::exit::{Code, Failure};
use crate::time::Clock;

/// Events in one request.
const BATCH: usize = 20;
/// One request each; about a thousand events a second.
const PACE: Duration = Duration::from_millis(20);
/// How often the hub is asked whether the new version is live.
const LOOK: Duration = Duration::from_millis(5);
/// A swap that takes longer than this has failed.
const SWAP: Duration = Duration::from_secs(10);

/// How the swap went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swapped {
    /// From the file in place to the new generation live.
    pub(super) took: Duration,
    /// Events that were published in that time.
    pub(super) meanwhile: usize,
}

/// Publishes the load and does the mischief.
pub(super) async fn run(stage: &mut Stage, load: &[Value], screen: &mut Screen) -> Result<Swapped, Failure> {
    let clock = Clock::system();
    let batches: Vec<&[Value]> = load.chunks(BATCH).collect();
    let quarter = batches.len() / 4;
    let mut swap = Swap::Before;
    let mut killed = None;
    for (number, batch) in batches.iter().enumerate() {
        let began = clock.instant();
        stage.publish(batch).await?;
        let published = (number + 1) * BATCH;
        if number == quarter {
            let second = judge::assemble(2)?;
            judge::place(&second, &stage.plugins)?;
            swap = Swap::Waiting {
                since: clock.instant(),
                published,
            };
            screen.say(&format!(
                "{published:>6}  the judge's version 2 is put in place, under load"
            ))?;
        }
        swap = swap.look(stage, published, screen).await?;
        if number == quarter * 2
            && let Some(sink) = stage.sinks.remove(&Who::Callback)
        {
            killed = Some(sink.kill().await);
            screen.say(&format!("{published:>6}  the callback's sink is killed"))?;
        }
        if number == quarter * 3
            && let Some(dead) = killed.take()
        {
            let missing = stage
                .board
                .count(Who::Stream)
                .saturating_sub(stage.board.count(Who::Callback));
            stage.sinks.insert(Who::Callback, dead.revive().await?);
            screen.say(&format!(
                "{published:>6}  the sink is back on its port; about {missing} events wait for it"
            ))?;
        }
        if (number + 1) % (batches.len() / 10).max(1) == 0 {
            progress(stage, published.min(load.len()), screen)?;
        }
        clock.sleep(PACE.saturating_sub(began.elapsed())).await;
    }
    swap.end(stage, load.len(), screen).await
}

/// The swap, from before it to its end.
enum Swap {
    Before,
    Waiting { since: Instant, published: usize },
    Done(Swapped),
}

impl Swap {
    /// Asks the hub whether the new version is live.
    async fn look(self, stage: &Stage, published: usize, screen: &mut Screen) -> Result<Self, Failure> {
        let Self::Waiting {
            since,
            published: before,
        } = self
        else {
            return Ok(self);
        };
        let plugin = stage.client.get(&format!("/v1/plugins/{}", judge::NAME)).await?;
        let generation = plugin.get("generation").and_then(Value::as_u64).unwrap_or_default();
        if generation < 2 {
            return Ok(self);
        }
        let swapped = Swapped {
            took: since.elapsed(),
            meanwhile: published - before,
        };
        let (ms, meanwhile) = (swapped.took.as_millis(), swapped.meanwhile);
        screen.say(&format!(
            "{published:>6}  version 2 is live after {ms} ms, {meanwhile} events later"
        ))?;
        Ok(Self::Done(swapped))
    }

    /// Waits for the end of the swap, if the load was shorter than it.
    async fn end(mut self, stage: &Stage, published: usize, screen: &mut Screen) -> Result<Swapped, Failure> {
        let clock = Clock::system();
        let began = clock.instant();
        loop {
            self = self.look(stage, published, screen).await?;
            match self {
                Self::Done(swapped) => return Ok(swapped),
                _ if began.elapsed() > SWAP => {
                    let message = "the new version of the filter did not go live; `busway plugin list` would say why";
                    return Err(Failure::new(Code::Software, message));
                }
                _ => clock.sleep(LOOK).await,
            }
        }
    }
}

fn progress(stage: &Stage, published: usize, screen: &mut Screen) -> Result<(), Failure> {
    let counts = Who::ALL.map(|who| format!("{} {}", who.name(), stage.board.count(who)));
    Ok(screen.say(&format!("{published:>6}  published; arrived: {}", counts.join(", ")))?)
}
