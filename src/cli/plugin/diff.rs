//! `busway plugin diff`: where two builds of a plugin differ on recorded events.
//!
//! They differ where the verdict does, the new data, or what a notifier does to the world; the words of a reason may
//! change, and so may the cost, which is shown for both.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::outcome::{Outcome, Tally, cut};
use super::recorded::{Recorded, Source};
use super::specimen::{Bench, Conditions};
use crate::cli::Output;
use crate::cli::exit::{Code, Failure};
use crate::cli::out::{Form, Out};
use crate::event;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway plugin diff plugins/judge.wasm judge-new.wasm --from-hub --last 10000 --as judge
  busway plugin diff old.wasm new.wasm --events events.jsonl --config '{\"min\": 10}'

The exit code is 0 if both do the same with every event, and 1 if they differ.")]
pub(super) struct Diff {
    /// The one that is live: a component (`.wasm`), or a plugin's folder, which is built first.
    old: PathBuf,
    /// The one that is to be.
    new: PathBuf,
    #[command(flatten)]
    conditions: Conditions,
    #[command(flatten)]
    source: Source,
    /// The most differences that are shown to a person.
    #[arg(long, value_name = "N", default_value_t = 20)]
    show: usize,
    #[command(flatten)]
    output: Output,
}

/// An event with which the builds do not do the same.
struct Difference<'a> {
    recorded: &'a Recorded,
    old: &'a Outcome,
    new: &'a Outcome,
}

impl Diff {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let own = self.new.join("events.jsonl");
        let recorded = self.source.read(own.exists().then_some(own)).await?;
        let mut old = Bench::open(&self.old, &self.conditions).await?;
        let mut new = Bench::open(&self.new, &self.conditions).await?;
        if old.world() != new.world() {
            let text = format!(
                "{} is a {} and {} a {}: they have no outcomes to compare",
                old.name,
                old.world().as_str(),
                new.name,
                new.world().as_str()
            );
            return Err(Failure::new(Code::Data, text));
        }
        let (before, after) = (old.run(&recorded).await, new.run(&recorded).await);
        let (mut cost_before, mut cost_after) = (Tally::default(), Tally::default());
        before.iter().for_each(|outcome| cost_before.add(outcome));
        after.iter().for_each(|outcome| cost_after.add(outcome));
        let pairs = recorded.iter().zip(before.iter().zip(&after));
        let differences: Vec<Difference<'_>> = pairs
            .filter(|(_, (old, new))| !old.same(new))
            .map(|(recorded, (old, new))| Difference { recorded, old, new })
            .collect();
        let mut out = self.output.out();
        match out.form {
            Form::Json => out.document(&json!({
                "old": {"name": old.name, "digest": old.digest(), "summary": cost_before.to_json()},
                "new": {"name": new.name, "digest": new.digest(), "summary": cost_after.to_json()},
                "events": recorded.len(),
                "differences": differences.iter().map(Difference::to_json).collect::<Vec<_>>(),
            }))?,
            Form::Table => {
                self.show(&mut out, &differences)?;
                for (name, tally) in [(&old.name, &cost_before), (&new.name, &cost_after)] {
                    out.line(&format!("{name}: {}; {}", tally.counts(), tally.cost()))?;
                }
            }
        }
        match differences.len() {
            0 if out.form == Form::Table => Ok(out.line(&format!("the same with all {} events", recorded.len()))?),
            0 => Ok(()),
            count => {
                let text = format!("they differ on {count} of {} events", recorded.len());
                Err(Failure::new(Code::No, text))
            }
        }
    }

    fn show(&self, out: &mut Out, differences: &[Difference<'_>]) -> Result<(), Failure> {
        for difference in differences.iter().take(self.show) {
            let Difference { recorded, old, new } = difference;
            let event = &recorded.event;
            let subject = event.subject().map(|subject| format!(" {subject}")).unwrap_or_default();
            out.line(&format!("{}: {}{subject} {}", recorded.place, event.ty(), event.id()))?;
            for (mark, outcome) in [("-", old), ("+", new)] {
                out.line(&format!("  {mark} {}", outcome.line()))?;
                for effect in outcome.effects() {
                    out.line(&format!("  {mark}   {effect}"))?;
                }
            }
            let data = event
                .data()
                .map(|data| String::from_utf8_lossy(&data.bytes).into_owned());
            out.line(&format!("    {}", cut(&data.unwrap_or_default())))?;
        }
        let more = differences.len().saturating_sub(self.show);
        if more > 0 {
            out.line(&format!("and {more} more; --show {} shows them", differences.len()))?;
        }
        if !differences.is_empty() {
            out.line("")?;
        }
        Ok(())
    }
}

impl Difference<'_> {
    fn to_json(&self) -> Value {
        let event = event::json::encode(&self.recorded.event);
        json!({
            "place": self.recorded.place,
            "event": serde_json::from_slice::<Value>(&event).unwrap_or_default(),
            "old": self.old.to_json(),
            "new": self.new.to_json(),
        })
    }
}
