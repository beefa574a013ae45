//! What two plugins said of the same call, laid side by side. Pure.
//!
//! Two answers are the same if the delivery goes the same way: both pass, both drop (in whatever words), both replace
//! the data with the same bytes, both fail in the same manner. Of two notifiers the effects must be the same too:
//! method, address and body of every request, and every connection, in order. Headers are not compared: dates and
//! ids stand there.
//! Invariant: what a tally holds is bounded, however long the trial.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::event::Event;
use crate::log::Offset;
use crate::plugin::{CallError, Costs, Effect, Line, NotifyError, Observation, Trace, Verdict};

/// Differences, effects and log lines that are kept, each.
const KEPT: usize = 20;
/// Characters of a text that are kept.
const SHOWN: usize = 300;

/// What one of the two said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// `pass`, `drop`, `replace`, `delivered`, `retry`, `reject`, `error`.
    pub verdict: &'static str,
    /// In words: a reason, new data, an error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub words: String,
    /// What it did to the world, if that is compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<Effect>,
    /// What must be equal beside the verdict.
    #[serde(skip)]
    weighs: String,
}

impl Said {
    pub(super) fn of_filter(answer: &Result<Verdict, CallError>) -> Self {
        match answer {
            Ok(Verdict::Pass) => Self::new("pass", ""),
            Ok(Verdict::Drop(why)) => Self::new("drop", why),
            Ok(Verdict::Replace(data)) => {
                let words = String::from_utf8_lossy(data);
                Self {
                    weighs: words.clone().into_owned(),
                    ..Self::new("replace", &words)
                }
            }
            Err(error) => Self::failed(error),
        }
    }

    pub(super) fn of_notifier(answer: &Result<(), NotifyError>, effects: &[Effect]) -> Self {
        let said = match answer {
            Ok(()) => Self::new("delivered", ""),
            Err(NotifyError::Failure { reason, retry, .. }) => {
                Self::new(if *retry { "retry" } else { "reject" }, reason)
            }
            Err(NotifyError::Call(error)) => Self::failed(error),
        };
        let weighs = effects.iter().map(weight).collect::<Vec<_>>().join("\n");
        Self {
            effects: effects.iter().take(KEPT).cloned().collect(),
            weighs,
            ..said
        }
    }

    fn failed(error: &CallError) -> Self {
        Self {
            weighs: error.label().to_owned(),
            ..Self::new("error", &error.to_string())
        }
    }

    fn new(verdict: &'static str, words: &str) -> Self {
        let words = words.chars().take(SHOWN).collect();
        Self {
            verdict,
            words,
            effects: Vec::new(),
            weighs: String::new(),
        }
    }

    fn is_error(&self) -> bool {
        self.verdict == "error"
    }

    /// Whether the delivery goes the same way.
    fn is_as(&self, other: &Self) -> bool {
        self.verdict == other.verdict && self.weighs == other.weighs
    }
}

/// What of an effect must be equal.
fn weight(effect: &Effect) -> String {
    match effect {
        Effect::Http {
            method, url, digest, ..
        } => format!("{method} {url} {digest}"),
        Effect::Tcp { address } => address.clone(),
    }
}

/// A call on which the two differ.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// The bus that the event was found on, if it was.
    pub bus: Option<String>,
    /// Its offset.
    pub offset: Option<Offset>,
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// The subscription's config.
    pub config: String,
    /// What the live plugin said.
    pub live: Said,
    /// What the candidate said.
    pub candidate: Said,
}

/// All that a trial has seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) compared: u64,
    pub(super) same: u64,
    pub(super) different: u64,
    /// Calls that both dropped or failed, in other words.
    pub(super) reworded: u64,
    /// Calls that failed on the candidate and not on the live plugin.
    pub(super) failed_alone: u64,
    /// Calls that did not fit into the queue.
    pub(super) left_out: u64,
    pub(super) live_errors: u64,
    pub(super) candidate_errors: u64,
    /// Calls by the generation that they were compared with.
    pub(super) by_generation: BTreeMap<u64, u64>,
    pub(super) differences: Vec<Difference>,
    /// What calls of the candidate cost.
    pub(super) candidate_costs: Costs,
    /// What suppressed calls of the live plugin cost, of a notifier.
    pub(super) live_costs: Costs,
    pub(super) memory: usize,
    pub(super) host_calls: BTreeMap<&'static str, u64>,
    pub(super) effects: u64,
    pub(super) not_granted: BTreeSet<String>,
    pub(super) logs: Vec<Line>,
}

impl Tally {
    /// Takes in a call's outcome; the difference, if there is one that is to be kept.
    pub(super) fn compare(&mut self, generation: u64, said: (Said, Said), call: (&Event, &str)) -> Option<Difference> {
        let ((live, candidate), (event, config)) = (said, call);
        self.compared += 1;
        *self.by_generation.entry(generation).or_default() += 1;
        self.live_errors += u64::from(live.is_error());
        self.candidate_errors += u64::from(candidate.is_error());
        self.failed_alone += u64::from(candidate.is_error() && !live.is_error());
        if live.is_as(&candidate) {
            self.same += 1;
            self.reworded += u64::from(live.words != candidate.words);
            return None;
        }
        self.different += 1;
        (self.differences.len() < KEPT).then(|| Difference {
            bus: None,
            offset: None,
            id: event.id().to_owned(),
            source: event.source().to_owned(),
            ty: event.ty().to_owned(),
            config: config.chars().take(SHOWN).collect(),
            live,
            candidate,
        })
    }

    /// Keeps a difference.
    pub(super) fn keep(&mut self, difference: Difference) {
        if self.differences.len() < KEPT {
            self.differences.push(difference);
        }
    }

    /// Takes in what a call of the candidate cost and did.
    pub(super) fn observe<T>(&mut self, seen: &Observation<T>) {
        self.candidate_costs.add(seen.took);
        self.memory = self.memory.max(seen.memory);
        let Trace {
            host_calls,
            logs,
            effects,
            not_granted,
            ..
        } = &seen.trace;
        for (name, count) in host_calls {
            *self.host_calls.entry(name).or_default() += u64::from(*count);
        }
        self.effects += u64::try_from(effects.len()).unwrap_or_default();
        let room = KEPT.saturating_sub(self.logs.len());
        self.logs.extend(logs.iter().take(room).cloned());
        let room = KEPT.saturating_sub(self.not_granted.len());
        self.not_granted.extend(not_granted.iter().take(room).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap() -> Result<Verdict, CallError> {
        Err(CallError::Trap("unreachable".to_owned()))
    }

    fn dropped(why: &str) -> Result<Verdict, CallError> {
        Ok(Verdict::Drop(why.to_owned()))
    }

    #[test]
    fn answers_are_the_same_if_the_delivery_goes_the_same_way() {
        let replaced = |data: &'static str| Ok(Verdict::Replace(data.into()));
        let check = |live: &Result<Verdict, CallError>, candidate: &Result<Verdict, CallError>, same: bool| {
            let said = (Said::of_filter(live), Said::of_filter(candidate));
            assert_eq!(said.0.is_as(&said.1), same, "{live:?} {candidate:?}");
        };
        check(&Ok(Verdict::Pass), &Ok(Verdict::Pass), true);
        check(&dropped("a"), &dropped("b"), true);
        check(&Ok(Verdict::Pass), &dropped("a"), false);
        check(&replaced("x"), &replaced("x"), true);
        check(&replaced("x"), &replaced("y"), false);
        check(&trap(), &trap(), true);
        check(&trap(), &Err(CallError::Busy), false);
        check(&Ok(Verdict::Pass), &trap(), false);
    }

    #[test]
    fn notifiers_are_the_same_if_they_do_the_same() {
        let request = |body: &str, date: &str| Effect::Http {
            method: "POST".to_owned(),
            url: "https://a.example/".to_owned(),
            headers: vec![("date".to_owned(), date.to_owned())],
            bytes: body.len(),
            digest: body.to_owned(),
            body: body.to_owned(),
        };
        let check = |live: &[Effect], candidate: &[Effect], same: bool| {
            let said = |effects| Said::of_notifier(&Ok(()), effects);
            assert_eq!(said(live).is_as(&said(candidate)), same, "{live:?} {candidate:?}");
        };
        check(&[request("a", "1")], &[request("a", "2")], true);
        check(&[request("a", "1")], &[request("b", "1")], false);
        check(&[request("a", "1")], &[], false);
    }

    #[test]
    fn a_tally_counts_all_and_keeps_a_few() {
        let event = crate::hub::tests::event("1", "t");
        let mut tally = Tally::default();
        let mut compare = |live, candidate| {
            let said = (Said::of_filter(&live), Said::of_filter(&candidate));
            let found = tally.compare(1, said, (&event, "{}"));
            if let Some(found) = found {
                tally.keep(found);
            }
        };
        for _ in 0..100 {
            compare(Ok(Verdict::Pass), Ok(Verdict::Pass));
            compare(dropped("a"), dropped("b"));
            compare(Ok(Verdict::Pass), trap());
            compare(trap(), trap());
        }
        assert_eq!(
            (tally.compared, tally.same, tally.different, tally.reworded),
            (400, 300, 100, 100)
        );
        assert_eq!(
            (tally.failed_alone, tally.live_errors, tally.candidate_errors),
            (100, 100, 200)
        );
        assert_eq!((tally.differences.len(), tally.by_generation[&1]), (KEPT, 400));
    }
}
