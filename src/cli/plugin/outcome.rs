//! What a plugin did with an event, in one word and what belongs to it; what was expected; and what it all cost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::nearest::hint;
use crate::plugin::{CallError, Effect, NotifyError, Observation, Trace, Verdict};

/// Every word for an outcome.
const WORDS: [&str; 7] = ["pass", "drop", "replace", "delivered", "retry", "reject", "error"];

/// What became of one event.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// One of [`WORDS`].
    pub(super) word: &'static str,
    /// The reason, or the new data.
    pub(super) detail: String,
    pub(super) took: Duration,
    pub(super) memory: usize,
    pub(super) trace: Trace,
}

impl From<Observation<Result<Verdict, CallError>>> for Outcome {
    fn from(seen: Observation<Result<Verdict, CallError>>) -> Self {
        let (word, detail) = match seen.result {
            Ok(Verdict::Pass) => ("pass", String::new()),
            Ok(Verdict::Drop(why)) => ("drop", why),
            Ok(Verdict::Replace(data)) => ("replace", String::from_utf8_lossy(&data).into_owned()),
            Err(error) => ("error", error.to_string()),
        };
        Self {
            word,
            detail,
            took: seen.took,
            memory: seen.memory,
            trace: seen.trace,
        }
    }
}

impl From<Observation<Result<(), NotifyError>>> for Outcome {
    fn from(seen: Observation<Result<(), NotifyError>>) -> Self {
        let (word, detail) = match seen.result {
            Ok(()) => ("delivered", String::new()),
            Err(NotifyError::Failure {
                reason, retry: true, ..
            }) => ("retry", reason),
            Err(NotifyError::Failure { reason, .. }) => ("reject", reason),
            Err(NotifyError::Call(error)) => ("error", error.to_string()),
        };
        Self {
            word,
            detail,
            took: seen.took,
            memory: seen.memory,
            trace: seen.trace,
        }
    }
}

impl Outcome {
    /// Whether two builds did the same: the same word, new data and effects. The words of a reason may change.
    pub(super) fn same(&self, other: &Self) -> bool {
        let data = self.word != "replace" || self.detail == other.detail;
        self.word == other.word && data && self.trace.effects == other.trace.effects
    }

    /// The outcome and its detail on one line.
    pub(super) fn line(&self) -> String {
        match self.detail.is_empty() {
            true => self.word.to_owned(),
            false => format!("{}: {}", self.word, cut(&self.detail)),
        }
    }

    /// The effects, a line each.
    pub(super) fn effects(&self) -> Vec<String> {
        let line = |effect: &Effect| match effect {
            Effect::Http {
                method,
                url,
                bytes,
                body,
                ..
            } => format!("{method} {url} ({bytes} bytes) {}", cut(body)),
            Effect::Tcp { address } => format!("connects to {address}"),
        };
        self.trace.effects.iter().map(line).collect()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "outcome": self.word,
            "detail": self.detail,
            "took_us": micros(self.took),
            "trace": self.trace,
        })
    }
}

/// What is expected of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expected {
    word: String,
    /// For `replace` the new data, else a part of the reason.
    detail: Option<Value>,
}

impl Expected {
    /// Reads `"drop"`, `{"drop": "part of the reason"}` or `{"replace": NEW DATA}`.
    pub(super) fn read(json: &Value) -> Result<Self, String> {
        let (word, detail) = match json {
            Value::String(word) => (word.clone(), None),
            Value::Object(one) if one.len() == 1 => match one.iter().next() {
                Some((word, detail)) => (word.clone(), Some(detail.clone())),
                None => (String::new(), None),
            },
            _ => return Err("`expect` must be an outcome, such as \"drop\" or {\"drop\": \"below 10\"}".to_owned()),
        };
        match WORDS.contains(&word.as_str()) {
            true => Ok(Self { word, detail }),
            false => Err(format!(
                "`expect` is `{word}`, which is no outcome; {}",
                hint(&word, WORDS)
            )),
        }
    }

    /// Whether it is what came out.
    pub(super) fn is_met_by(&self, outcome: &Outcome) -> bool {
        let detail = match (&self.detail, outcome.word) {
            (None, _) => true,
            (Some(data), "replace") => match serde_json::from_str::<Value>(&outcome.detail) {
                Ok(found) => found == *data,
                Err(_) => data.as_str() == Some(&outcome.detail),
            },
            (Some(part), _) => part.as_str().is_some_and(|part| outcome.detail.contains(part)),
        };
        self.word == outcome.word && detail
    }

    pub(super) fn line(&self) -> String {
        match &self.detail {
            None => self.word.clone(),
            Some(detail) => format!("{}: {detail}", self.word),
        }
    }
}

/// What many calls came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count_by_word: std::collections::BTreeMap<&'static str, usize>,
    calls: std::collections::BTreeMap<&'static str, u64>,
    took: Vec<Duration>,
    memory: usize,
    /// Config lines that would allow what it wanted and was not granted.
    pub(super) not_granted: Vec<String>,
}

impl Tally {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        *self.count_by_word.entry(outcome.word).or_default() += 1;
        for (function, count) in &outcome.trace.host_calls {
            *self.calls.entry(function).or_default() += u64::from(*count);
        }
        self.took.push(outcome.took);
        self.memory = self.memory.max(outcome.memory);
        for line in &outcome.trace.not_granted {
            if !self.not_granted.contains(line) {
                self.not_granted.push(line.clone());
            }
        }
    }

    /// The time within which this share of a hundred calls ended.
    fn quantile(&self, share: usize) -> Duration {
        let mut sorted = self.took.clone();
        sorted.sort();
        let at = (sorted.len() * share).div_ceil(100).saturating_sub(1);
        sorted.get(at).copied().unwrap_or_default()
    }

    /// `5 events: 3 pass, 2 drop`.
    pub(super) fn counts(&self) -> String {
        let words: Vec<String> = self
            .count_by_word
            .iter()
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        format!("{} events: {}", self.took.len(), words.join(", "))
    }

    /// `p50 12 µs, p99 40 µs, 1.1 MiB of memory; host calls: at 5`.
    pub(super) fn cost(&self) -> String {
        let calls: Vec<String> = self
            .calls
            .iter()
            .map(|(function, count)| format!("{function} {count}"))
            .collect();
        let calls = if calls.is_empty() {
            "none".to_owned()
        } else {
            calls.join(", ")
        };
        format!(
            "p50 {} µs, p99 {} µs, {} KiB of memory; host calls: {calls}",
            micros(self.quantile(50)),
            micros(self.quantile(99)),
            self.memory.div_ceil(1024),
        )
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "events": self.took.len(),
            "outcomes": self.count_by_word,
            "host_calls": self.calls,
            "p50_us": micros(self.quantile(50)),
            "p99_us": micros(self.quantile(99)),
            "memory": self.memory,
            "not_granted": self.not_granted,
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// One line of at most 80 characters.
pub(super) fn cut(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(word: &'static str, detail: &str) -> Outcome {
        Outcome {
            word,
            detail: detail.to_owned(),
            took: Duration::from_micros(7),
            memory: 2_048,
            trace: Trace::default(),
        }
    }

    #[test]
    fn what_is_expected_is_held_to() {
        let check = |expect: Value, outcome: Outcome, met: bool| {
            let expected = Expected::read(&expect).unwrap();
            assert_eq!(expected.is_met_by(&outcome), met, "{expect} {outcome:?}");
        };
        check(json!("drop"), outcome("drop", "below 10"), true);
        check(json!("drop"), outcome("pass", ""), false);
        check(json!({"drop": "below"}), outcome("drop", "below 10"), true);
        check(json!({"drop": "above"}), outcome("drop", "below 10"), false);
        check(json!({"replace": {"a": 1}}), outcome("replace", "{ \"a\": 1 }"), true);
        check(json!({"replace": {"a": 2}}), outcome("replace", "{\"a\": 1}"), false);
        check(json!({"replace": "x"}), outcome("replace", "x"), true);
        assert!(
            Expected::read(&json!("pas"))
                .unwrap_err()
                .contains("did you mean `pass`?")
        );
        assert!(Expected::read(&json!(1)).unwrap_err().contains("must be an outcome"));
    }

    #[test]
    fn other_words_are_no_difference_and_other_data_is() {
        assert!(outcome("drop", "a").same(&outcome("drop", "b")));
        assert!(!outcome("replace", "a").same(&outcome("replace", "b")));
        assert!(!outcome("pass", "").same(&outcome("drop", "")));
        let mut calling = outcome("delivered", "");
        calling.trace.effects.push(Effect::Tcp {
            address: "a:1".to_owned(),
        });
        assert!(!calling.same(&outcome("delivered", "")));
    }

    #[test]
    fn a_tally_counts_and_costs() {
        let mut tally = Tally::default();
        for word in ["pass", "drop", "pass"] {
            tally.add(&outcome(word, ""));
        }
        assert_eq!(tally.counts(), "3 events: 1 drop, 2 pass");
        assert_eq!(tally.cost(), "p50 7 µs, p99 7 µs, 2 KiB of memory; host calls: none");
    }
}
