//! `busway plugin test`: what a plugin does with recorded events, what that costs, and whether it is what was expected.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::outcome::{Outcome, Tally, cut};
use super::recorded::{Recorded, Source};
use super::specimen::{Bench, Conditions};
use crate::cli::Output;
use crate::cli::exit::{Code, Failure};
use crate::cli::out::{Form, Out};

/// With more events than this, a person is shown only those that went wrong.
const SHOWN: usize = 50;
/// Lines of the plugin's own log that a person is shown.
const LOGGED: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  busway plugin test plugins/filter-threshold --events events.jsonl --config '{\"pointer\": \"/total\", \"min\": 10}'
  busway plugin test chat.wasm --from-hub --last 100 --as notifier-chat    grants and config from busway.toml

A line of the file may say what to expect: {\"event\": {…}, \"expect\": \"drop\"}, {\"event\": {…}, \"expect\":
{\"drop\": \"below 10\"}}. Outcomes are pass, drop, replace (a filter), delivered, retry, reject (a notifier), and error.
The exit code is 1 if one is not met, or if a call fails that nothing was expected of.")]
pub(super) struct Test {
    /// A component (`.wasm`), or a plugin's folder, which is built first.
    path: PathBuf,
    #[command(flatten)]
    conditions: Conditions,
    #[command(flatten)]
    source: Source,
    /// Show every event, however many.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

/// One event and what became of it.
struct Case {
    recorded: Recorded,
    outcome: Outcome,
}

impl Case {
    fn is_as_expected(&self) -> bool {
        match &self.recorded.expected {
            Some(expected) => expected.is_met_by(&self.outcome),
            None => self.outcome.word != "error",
        }
    }
}

impl Test {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let own = self.path.join("events.jsonl");
        let recorded = self.source.read(own.exists().then_some(own)).await?;
        let mut bench = Bench::open(&self.path, &self.conditions).await?;
        let outcomes = bench.run(&recorded).await;
        let cases: Vec<Case> = recorded
            .into_iter()
            .zip(outcomes)
            .map(|(recorded, outcome)| Case { recorded, outcome })
            .collect();
        let mut tally = Tally::default();
        cases.iter().for_each(|case| tally.add(&case.outcome));
        let mut out = self.output.out();
        match out.form {
            Form::Json => out.document(&to_json(&bench, &cases, &tally))?,
            Form::Table => self.show(&mut out, &cases, &tally)?,
        }
        let wrong = cases.iter().filter(|case| !case.is_as_expected()).count();
        match wrong {
            0 => Ok(()),
            _ => {
                let text = format!("{wrong} of {} events came out otherwise than expected", cases.len());
                Err(Failure::new(Code::No, text))
            }
        }
    }

    fn show(&self, out: &mut Out, cases: &[Case], tally: &Tally) -> Result<(), Failure> {
        let all = self.all || cases.len() <= SHOWN;
        let shown: Vec<&Case> = cases.iter().filter(|case| all || !case.is_as_expected()).collect();
        if !shown.is_empty() {
            let rows: Vec<Vec<String>> = shown.iter().map(|case| row(case)).collect();
            out.table(&["EVENT", "TYPE", "SUBJECT", "TOOK µs", "EXPECTED", "OUTCOME"], &rows)?;
            out.line("")?;
        }
        if !all {
            out.line("(only events that came out otherwise than expected are shown; --all shows every one)")?;
        }
        if all {
            for case in &shown {
                for effect in case.outcome.effects() {
                    out.line(&format!("{}: {effect}", case.recorded.place))?;
                }
            }
        }
        let logged = shown
            .iter()
            .flat_map(|case| case.outcome.trace.logs.iter().map(|line| (&case.recorded.place, line)));
        for (place, line) in logged.take(LOGGED) {
            out.line(&format!("{place}: logs {}: {}", line.level, cut(&line.text)))?;
        }
        out.line(&tally.counts())?;
        let expected = cases.iter().filter(|case| case.recorded.expected.is_some());
        let (met, asked) = expected.fold((0, 0), |(met, asked), case| {
            (met + usize::from(case.is_as_expected()), asked + 1)
        });
        if asked > 0 {
            out.line(&format!("{met} of {asked} as expected"))?;
        }
        out.line(&tally.cost())?;
        for line in &tally.not_granted {
            out.line(&format!("wanted, and not granted; this would allow it:\n{line}"))?;
        }
        Ok(())
    }
}

fn row(case: &Case) -> Vec<String> {
    let event = &case.recorded.event;
    let expected = match &case.recorded.expected {
        Some(expected) if case.is_as_expected() => format!("{} ✓", expected.line()),
        Some(expected) => format!("{} ✗", expected.line()),
        None => String::new(),
    };
    vec![
        case.recorded.place.clone(),
        cut(event.ty()),
        cut(event.subject().unwrap_or_default()),
        case.outcome.took.as_micros().to_string(),
        expected,
        case.outcome.line(),
    ]
}

fn to_json(bench: &Bench, cases: &[Case], tally: &Tally) -> Value {
    let one = |case: &Case| {
        let mut json = case.outcome.to_json();
        if let Some(json) = json.as_object_mut() {
            json.insert("place".into(), case.recorded.place.as_str().into());
            json.insert("id".into(), case.recorded.event.id().into());
            json.insert("type".into(), case.recorded.event.ty().into());
            json.insert("as_expected".into(), case.is_as_expected().into());
        }
        json
    };
    json!({
        "plugin": bench.name,
        "kind": bench.world().as_str(),
        "digest": bench.digest(),
        "events": cases.iter().map(one).collect::<Vec<_>>(),
        "summary": tally.to_json(),
    })
}
