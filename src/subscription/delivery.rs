//! `config`, how events are delivered: its JSON as it comes in and as it leaves, and what is so where nobody says.
//!
//! The hub's defaults (`delivery.*`) are read by the same reader, so that what an operator may set and what a subscriber
//! may set are the same, with the same bounds.
//! Invariant: what is shown can be sent back: where there is no limit, it is shown as `"none"`, since a field that is
//! missing means the hub's default.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::breaker::BreakerConfig;
use super::fields::{Fields, duration, refuse};
use super::model::{BatchConfig, DeliveryConfig, OnError, Ordering, Start, UNLIMITED};
use super::rate::{self, Rate};
use super::read::at;
use super::schedule::Schedule;
use crate::error::Error;
use crate::event::parse_rfc3339;
use crate::log::{BusName, Offset};
use crate::units::show_duration;

const CONFIG: [&str; 15] = [
    "breaker",
    "start",
    "schedule",
    "jitter",
    "max_attempts",
    "max_age",
    "timeout",
    "concurrency",
    "ordering",
    "on_error",
    "batch",
    "dead_letter",
    "rate",
    "burst",
    "retry_after_most",
];

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
const MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
const RETRY_AFTER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(7 * 86_400);
const BATCH_WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
const MOST_ATTEMPTS: u64 = 1_000;
const MOST_AT_ONCE: u64 = 1_000;
const MOST_BURST: u64 = 1_000_000;

/// The words of `ordering`.
const ORDERINGS: [(&str, Ordering); 3] = [("none", Ordering::None), ("key", Ordering::Key), ("all", Ordering::All)];
/// The words of `on_error`.
const ON_ERRORS: [(&str, OnError); 4] = [
    ("retry", OnError::Retry),
    ("hold", OnError::Hold),
    ("pass", OnError::Pass),
    ("drop", OnError::Drop),
];

impl DeliveryConfig {
    /// This one with what `json` says, an object like a subscription's `config`.
    ///
    /// # Errors
    /// Names the field by its path (`config.timeout`) and the rule; for an unknown field the nearest known one.
    pub fn with(&self, json: &Value) -> Result<Self, Error> {
        let config = Fields::of(json, "config", &CONFIG)?;
        let concurrency = config.number("concurrency", 1..=MOST_AT_ONCE, size(self.concurrency))?;
        let rate = rate(&config, self)?;
        Ok(Self {
            start: config.value("start").map_or(Ok(self.start), start)?,
            schedule: match config.value("schedule") {
                None => self.schedule.clone(),
                Some(schedule) => Schedule::read(schedule, "config.schedule")?,
            },
            jitter: config.truth("jitter", self.jitter)?,
            max_attempts: max_attempts(&config, self)?,
            max_age: max_age(&config, self)?,
            timeout: config.duration("timeout", TIMEOUT, self.timeout)?,
            concurrency: usize::try_from(concurrency).unwrap_or(1),
            burst: burst(&config, rate, self)?,
            rate,
            retry_after_most: config.duration("retry_after_most", RETRY_AFTER, self.retry_after_most)?,
            ordering: word(&config, "ordering", &ORDERINGS, self.ordering)?,
            on_error: word(&config, "on_error", &ON_ERRORS, self.on_error)?,
            breaker: BreakerConfig::read(&config, self.breaker)?,
            batch: batch(&config, self)?,
            dead_letter: dead_letter(&config, self)?,
        })
    }

    /// As it is kept: what there is. (What there is not, is not; the store knows no hub's defaults.)
    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({
            "start": self.start.to_json(),
            "schedule": self.schedule.to_json(),
            "jitter": self.jitter,
            "max_attempts": match self.max_attempts { UNLIMITED => Value::from("unlimited"), most => most.into() },
            "timeout": show_duration(self.timeout),
            "concurrency": self.concurrency,
            "retry_after_most": show_duration(self.retry_after_most),
            "ordering": self.ordering.word(),
            "on_error": self.on_error.word(),
            "breaker": self.breaker.to_json(),
            "batch": {"count": self.batch.count, "bytes": self.batch.bytes, "wait": show_duration(self.batch.wait)},
        });
        if let Some(map) = json.as_object_mut() {
            let age = self.max_age.map(|age| ("max_age", show_duration(age).into()));
            let dead = self.dead_letter.as_ref();
            let dead = dead.map(|bus| ("dead_letter", json!({"bus": bus.as_str()})));
            let rate = self.rate.map(|rate| ("rate", rate.to_string().into()));
            let burst = self.burst.filter(|_| rate.is_some());
            let burst = burst.map(|burst| ("burst", burst.into()));
            let some = [age, dead, rate, burst].into_iter().flatten();
            map.extend(some.map(|(name, value)| (name.to_owned(), value)));
        }
        json
    }

    /// As it is shown: where there is no limit it says so, or sending it back would bring the hub's default in.
    pub(super) fn to_shown(&self) -> Value {
        let mut json = self.to_json();
        if let Some(map) = json.as_object_mut() {
            let limits: &[&str] = match self.rate {
                Some(_) => &["max_age", "burst"],
                None => &["max_age", "rate"],
            };
            for limit in limits {
                map.entry(*limit).or_insert_with(|| NONE.into());
            }
        }
        json
    }
}

impl Ordering {
    /// As it is written.
    pub fn word(self) -> &'static str {
        name(&ORDERINGS, self)
    }
}

impl OnError {
    /// As it is written.
    pub fn word(self) -> &'static str {
        name(&ON_ERRORS, self)
    }
}

/// No limit.
const NONE: &str = "none";

/// Whether the field says that there is no limit.
fn is_none(config: &Fields<'_>, name: &str) -> bool {
    config.value(name).is_some_and(|value| value == NONE)
}

fn rate(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<Option<Rate>, Error> {
    if is_none(config, "rate") {
        return Ok(None);
    }
    let Some(text) = config.text("rate", 64)? else {
        return Ok(defaults.rate);
    };
    let rate = Rate::parse(text).ok_or_else(|| {
        let rule = format_args!("must be {}, or \"none\"", rate::RULE);
        refuse("config.rate", rule)
    });
    rate.map(Some)
}

fn burst(config: &Fields<'_>, rate: Option<Rate>, defaults: &DeliveryConfig) -> Result<Option<u32>, Error> {
    if config.value("burst").is_none() || is_none(config, "burst") {
        let inherited = config.value("burst").is_none();
        return Ok(defaults.burst.filter(|_| inherited));
    }
    let whole = config.number("burst", 1..=MOST_BURST, 1)?;
    match rate {
        Some(_) => Ok(u32::try_from(whole).ok()),
        None => Err(refuse(
            "config.burst",
            "is how many calls may come at once beside `config.rate`, and there is none; set it, or leave both out",
        )),
    }
}

fn max_age(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<Option<Duration>, Error> {
    match config.value("max_age") {
        None => Ok(defaults.max_age),
        Some(_) if is_none(config, "max_age") => Ok(None),
        Some(age) => duration(age, "config.max_age", MAX_AGE).map(Some),
    }
}

fn max_attempts(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<u32, Error> {
    match config.value("max_attempts") {
        None => Ok(defaults.max_attempts),
        Some(Value::String(word)) if word == "unlimited" => Ok(UNLIMITED),
        Some(Value::String(_)) => Err(refuse(
            "config.max_attempts",
            format_args!("must be a whole number from 1 to {MOST_ATTEMPTS}, or \"unlimited\""),
        )),
        Some(_) => Ok(u32::try_from(config.number("max_attempts", 1..=MOST_ATTEMPTS, 1)?).unwrap_or(1)),
    }
}

/// One of the known words, or what the hub says.
fn word<T: Copy + Default>(config: &Fields<'_>, name: &str, words: &[(&str, T)], default: T) -> Result<T, Error> {
    match config.value(name) {
        None => Ok(default),
        Some(_) => config.choice(name, words),
    }
}

fn name<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, one)| *one == value).map_or("", |(name, _)| name)
}

fn batch(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<BatchConfig, Error> {
    let Some(batch) = config.object("batch", &["count", "bytes", "wait"])? else {
        return Ok(defaults.batch);
    };
    Ok(BatchConfig {
        count: usize::try_from(batch.number("count", 1..=10_000, size(defaults.batch.count))?).unwrap_or(1),
        bytes: usize::try_from(batch.number("bytes", 1_024..=(64 << 20), size(defaults.batch.bytes))?).unwrap_or(1_024),
        wait: batch.duration("wait", BATCH_WAIT, defaults.batch.wait)?,
    })
}

fn size(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn dead_letter(config: &Fields<'_>, defaults: &DeliveryConfig) -> Result<Option<BusName>, Error> {
    let Some(dead) = config.object("dead_letter", &["bus"])? else {
        return Ok(defaults.dead_letter.clone());
    };
    let bus = dead
        .text("bus", 64)?
        .ok_or_else(|| refuse("config.dead_letter.bus", "is missing: the bus for what is given up"))?;
    BusName::parse(bus)
        .map(Some)
        .map_err(|error| at("config.dead_letter.bus", error))
}

fn start(json: &Value) -> Result<Start, Error> {
    let found = match json {
        Value::String(text) => Start::parse(text),
        other => other.as_u64().map(|offset| Start::Offset(Offset(offset))),
    };
    found.ok_or_else(|| {
        refuse(
            "config.start",
            "must be \"latest\", \"earliest\", an offset, or a time such as \"2026-01-31T12:00:00Z\"",
        )
    })
}

impl Start {
    /// Reads `latest`, `earliest`, an offset in digits, or an RFC 3339 time.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "latest" => Some(Self::Latest),
            "earliest" => Some(Self::Earliest),
            digits if digits.bytes().all(|c| c.is_ascii_digit()) => {
                digits.parse().ok().map(|offset| Self::Offset(Offset(offset)))
            }
            time => parse_rfc3339(time).map(Self::Time),
        }
    }
}

impl Start {
    fn to_json(self) -> Value {
        match self {
            Self::Latest => "latest".into(),
            Self::Earliest => "earliest".into(),
            Self::Offset(offset) => offset.0.into(),
            Self::Time(time) => time.to_string().into(),
        }
    }
}

impl Default for DeliveryConfig {
    /// What the hub promises where neither the operator nor the subscriber says otherwise.
    fn default() -> Self {
        Self {
            start: Start::Latest,
            schedule: [5, 30, 120, 600, 1_800, 3_600, 10_800].map(Duration::from_secs).into(),
            jitter: true,
            max_attempts: 12,
            max_age: None,
            timeout: Duration::from_secs(15),
            concurrency: 16,
            rate: None,
            burst: None,
            retry_after_most: Duration::from_secs(3_600),
            ordering: Ordering::None,
            on_error: OnError::Retry,
            breaker: BreakerConfig::default(),
            batch: BatchConfig {
                count: 100,
                bytes: 1 << 20,
                wait: Duration::from_secs(1),
            },
            dead_letter: None,
        }
    }
}
