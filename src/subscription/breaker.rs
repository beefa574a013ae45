//! When a sink is taken for dead, and how it is tried then: `config.breaker`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::fields::{Fields, refuse};
use crate::error::Error;
use crate::units::show_duration;

/// How a breaker judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row before it opens; 0: it never does.
    pub failures: u32,
    /// From opening to the first probe.
    pub probe: Duration,
    /// The time between probes doubles up to this.
    pub probe_most: Duration,
}

/// Failures that may be asked for.
pub(crate) const FAILURES: RangeInclusive<u64> = 1..=10_000;
const PROBE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 8,
            probe: Duration::from_secs(5),
            probe_most: Duration::from_secs(60),
        }
    }
}

impl BreakerConfig {
    /// Whether it never opens.
    pub fn is_off(self) -> bool {
        self.failures == 0
    }

    /// Reads `breaker` of `config`: an object, or `"off"`.
    pub(super) fn read(config: &Fields<'_>, defaults: Self) -> Result<Self, Error> {
        match config.value("breaker") {
            None => return Ok(defaults),
            Some(Value::String(word)) if word == "off" => {
                return Ok(Self {
                    failures: 0,
                    ..defaults
                });
            }
            Some(Value::String(_)) => {
                let rule = "must be \"off\", or an object such as {\"failures\": 8, \"probe\": \"5s\", \"probe_most\": \"60s\"}";
                return Err(refuse(&config.path("breaker"), rule));
            }
            Some(_) => {}
        }
        let Some(fields) = config.object("breaker", &["failures", "probe", "probe_most"])? else {
            return Ok(defaults);
        };
        // Whoever describes a breaker wants one, even where the hub has none by default.
        let failures = if defaults.is_off() {
            Self::default().failures
        } else {
            defaults.failures
        };
        let probe = fields.duration("probe", PROBE, defaults.probe)?;
        let read = Self {
            failures: u32::try_from(fields.number("failures", FAILURES, failures.into())?).unwrap_or(u32::MAX),
            probe,
            probe_most: fields.duration("probe_most", PROBE, defaults.probe_most.max(probe))?,
        };
        match read.probe_most < read.probe {
            true => Err(refuse(
                "config.breaker.probe_most",
                format_args!("must not be shorter than `probe`, {}", show_duration(read.probe)),
            )),
            false => Ok(read),
        }
    }

    pub(super) fn to_json(self) -> Value {
        match self.is_off() {
            true => "off".into(),
            false => json!({
                "failures": self.failures,
                "probe": show_duration(self.probe),
                "probe_most": show_duration(self.probe_most),
            }),
        }
    }
}
