//! When a delivery is tried again: a list of waits, or waits that grow by a factor.
//!
//! Two forms and not one: a list says exactly what a receiver can plan with, and a growing wait says in three numbers
//! what a list needs a line for. It is shown in the form in which it was given.
//! Invariant: there is a wait after every attempt: of a list the last one repeats, and growth ends at `most`.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fields::{Fields, duration, refuse};
use super::step::Step;
use crate::error::Error;
use crate::units::{DURATION_RULE, show_duration};

/// One wait.
pub(super) const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(7 * 86_400);
const MOST_STEPS: usize = 256;
/// A factor of one is the same wait for ever; beyond the greatest the second wait is the longest already.
const FACTOR: RangeInclusive<f64> = 1.0..=100.0;
const FACTOR_IF_NONE: f64 = 2.0;

/// The waits before the second, third, … attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// One by one; the last repeats.
    Steps(Arc<[Step]>),
    /// Each so many times as long as the one before it.
    Exponential(Exponential),
}

/// Waits that grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exponential {
    first: Duration,
    factor: f64,
    most: Duration,
}

impl Schedule {
    /// The wait after attempt number `tries` (from 1).
    pub fn wait(&self, tries: u32) -> Step {
        let nth = tries.saturating_sub(1);
        match self {
            Self::Steps(steps) => {
                let nth = usize::try_from(nth).unwrap_or(usize::MAX);
                let found = steps.get(nth).or(steps.last()).copied();
                // Nobody can give a list that is empty.
                found.unwrap_or_else(|| Duration::from_secs(5).into())
            }
            Self::Exponential(growth) => growth.wait(nth).into(),
        }
    }

    /// Reads the words of a config: `5s, 30s, 1m..2m`, or `exponential 5s x2 to 1h`.
    ///
    /// # Errors
    /// The rule that they break, to complete a sentence.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let json = match words {
            [one] if one.starts_with("exponential") => Exponential::spelled(one).ok_or_else(|| {
                format!("must be waits such as `5s, 30s, 2m`, or growth such as `exponential 5s x2 to 1h`, not `{one}`")
            })?,
            steps => steps.iter().map(String::as_str).collect(),
        };
        Self::read(&json, "").map_err(|error| match error.message().split_once(": ") {
            Some((_, rule)) => rule.to_owned(),
            None => error.message().to_owned(),
        })
    }

    /// Reads what stands at `path` of a subscription.
    pub(super) fn read(json: &Value, path: &str) -> Result<Self, Error> {
        match json {
            Value::Array(steps) => Self::steps(steps, path),
            Value::Object(_) => {
                let fields = Fields::of(json, path, &["exponential"])?;
                let growth = fields.object("exponential", &["first", "factor", "most"])?;
                let growth = growth.ok_or_else(|| refuse(path, "must be a list of waits, or have `exponential`"))?;
                Exponential::read(&growth).map(Self::Exponential)
            }
            _ => Err(refuse(
                path,
                "must be a list of waits such as [\"5s\", \"30s\"], or {\"exponential\": {\"first\": \"5s\", \"factor\": 2, \"most\": \"1h\"}}",
            )),
        }
    }

    fn steps(steps: &[Value], path: &str) -> Result<Self, Error> {
        match steps.len() {
            0 => Err(refuse(
                path,
                "must have at least one wait; for a single attempt set `max_attempts` to 1",
            )),
            count if count > MOST_STEPS => Err(refuse(
                path,
                format_args!("has {count} items; at most {MOST_STEPS} are allowed"),
            )),
            _ => {
                let steps = steps.iter().enumerate();
                let read: Result<_, _> = steps.map(|(nth, step)| wait(step, &format!("{path}[{nth}]"))).collect();
                read.map(Self::Steps)
            }
        }
    }

    /// As it was given.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Steps(steps) => steps.iter().map(ToString::to_string).collect(),
            Self::Exponential(growth) => json!({"exponential": {
                "first": show_duration(growth.first),
                "factor": growth.shown_factor(),
                "most": show_duration(growth.most),
            }}),
        }
    }
}

impl<const N: usize> From<[Duration; N]> for Schedule {
    fn from(waits: [Duration; N]) -> Self {
        Self::Steps(waits.map(Step::from).into())
    }
}

/// The way a config writes it.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => {
                let shown: Vec<String> = steps.iter().map(ToString::to_string).collect();
                f.write_str(&shown.join(", "))
            }
            Self::Exponential(growth) => {
                let (first, most) = (show_duration(growth.first), show_duration(growth.most));
                write!(f, "exponential {first} x{} to {most}", growth.factor)
            }
        }
    }
}

impl Exponential {
    fn wait(&self, nth: u32) -> Duration {
        let first = self.first.as_secs_f64();
        let grown = first * self.factor.powi(i32::try_from(nth).unwrap_or(i32::MAX));
        // Beyond any number it is the longest, too.
        match grown < self.most.as_secs_f64() {
            true => Duration::from_secs_f64(grown),
            false => self.most,
        }
    }

    fn read(fields: &Fields<'_>) -> Result<Self, Error> {
        let one = |name: &str, like: &str| {
            let path = fields.path(name);
            let found = fields
                .value(name)
                .ok_or_else(|| refuse(&path, format_args!("is missing: a wait such as \"{like}\"")))?;
            duration(found, &path, WAIT)
        };
        let (first, most) = (one("first", "5s")?, one("most", "1h")?);
        let factor = fields
            .value("factor")
            .map_or(Some(FACTOR_IF_NONE), Value::as_f64)
            .filter(|factor| FACTOR.contains(factor))
            .ok_or_else(|| refuse(&fields.path("factor"), "must be a number from 1 to 100"))?;
        match first <= most {
            true => Ok(Self { first, factor, most }),
            false => Err(refuse(&fields.path("most"), "must not be shorter than `first`")),
        }
    }

    /// The JSON of `exponential 5s x2 to 1h`.
    fn spelled(text: &str) -> Option<Value> {
        let mut words = text.split_whitespace();
        let (name, first, factor) = (words.next()?, words.next()?, words.next()?);
        let (to, most) = (words.next()?, words.next()?);
        let factor: f64 = factor.strip_prefix('x')?.parse().ok()?;
        // What is no number at all is nothing in JSON, and would be the usual factor.
        let fits = name == "exponential" && to == "to" && words.next().is_none() && factor.is_finite();
        fits.then(|| json!({"exponential": {"first": first, "factor": factor, "most": most}}))
    }

    /// A whole number as one.
    fn shown_factor(&self) -> Value {
        let text = self.factor.to_string();
        text.parse::<u64>().map_or_else(|_| self.factor.into(), Value::from)
    }
}

fn wait(json: &Value, path: &str) -> Result<Step, Error> {
    let step = json.as_str().and_then(Step::parse).ok_or_else(|| {
        refuse(
            path,
            format_args!("must be {DURATION_RULE}, or a range such as \"10s..20s\""),
        )
    })?;
    match WAIT.contains(&step.least()) && WAIT.contains(&step.most()) {
        true => Ok(step),
        // Says what may be.
        false => duration(&Value::from(show_duration(step.most())), path, WAIT)
            .and_then(|_| duration(&Value::from(show_duration(step.least())), path, WAIT))
            .map(Step::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(|word| word.trim().to_owned()).collect()
    }

    #[test]
    fn growth_is_capped_and_never_ends() {
        let schedule = Schedule::parse(&words("exponential 5s x2 to 1h")).unwrap();
        for (tries, seconds) in [(1, 5), (2, 10), (3, 20), (10, 2_560), (11, 3_600), (u32::MAX, 3_600)] {
            let wait = schedule.wait(tries);
            assert_eq!(
                (wait.least(), wait.most()),
                (Duration::from_secs(seconds), wait.least()),
                "{tries}"
            );
        }
        let slow = Schedule::parse(&words("exponential 1s x1.5 to 2s")).unwrap();
        assert_eq!(
            [1, 2, 3].map(|n| slow.wait(n).least().as_millis()),
            [1_000, 1_500, 2_000]
        );
        let level = Schedule::parse(&words("exponential 3s x1 to 3s")).unwrap();
        assert_eq!(level.wait(900).least(), Duration::from_secs(3));
    }

    #[test]
    fn both_forms_are_shown_as_they_were_given() {
        for text in [
            "5s, 30s, 1m..2m",
            "1ms",
            "exponential 5s x2 to 1h",
            "exponential 100ms x1.5 to 7d",
        ] {
            let schedule = Schedule::parse(&words(text)).unwrap();
            assert_eq!(schedule.to_string(), text);
            assert_eq!(Schedule::read(&schedule.to_json(), "s").unwrap(), schedule);
        }
        let json = json!({"exponential": {"first": "5s", "factor": 2, "most": "1h"}});
        assert_eq!(Schedule::read(&json, "s").unwrap().to_json(), json);
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_rule() {
        for (text, says) in [
            ("exponential", "growth such as"),
            ("exponential 5s 2 to 1h", "growth such as"),
            ("exponential 5s x2 to 1h now", "growth such as"),
            ("exponential 5s x0 to 1h", "a number from 1 to 100"),
            ("exponential 5s x-2 to 1h", "a number from 1 to 100"),
            ("exponential 5s xNaN to 1h", "growth such as"),
            ("exponential 0s x2 to 1h", "must be from 1ms to 7d"),
            ("exponential 5s x2 to 8d", "must be from 1ms to 7d"),
            ("exponential 5s x2 to 1s", "must not be shorter than `first`"),
            ("exponential 5 x2 to 1h", "a duration with its unit"),
            ("5s, 0s", "must be from 1ms to 7d"),
            ("0s..5s", "must be from 1ms to 7d"),
            ("5s, fast", "a range such as"),
        ] {
            let refused = Schedule::parse(&words(text)).unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
        assert!(Schedule::parse(&[]).unwrap_err().contains("at least one wait"));
    }
}
