//! A wait of a retry schedule: a duration, or a range of which chance takes one (`10s..20s`).
//!
//! Invariant: `most` is not less than `least`.

use std::fmt;
use std::time::Duration;

use crate::units::{parse_duration, show_duration};

/// A wait of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    least: Duration,
    most: Duration,
}

impl Step {
    /// Reads `10s` or `10s..20s`.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((least, most)) = text.split_once("..") else {
            return parse_duration(text).map(Self::from);
        };
        let (least, most) = (parse_duration(least)?, parse_duration(most)?);
        (least <= most).then_some(Self { least, most })
    }

    /// The shortest that it can be.
    pub fn least(self) -> Duration {
        self.least
    }

    /// The longest that it can be.
    pub fn most(self) -> Duration {
        self.most
    }
}

impl From<Duration> for Step {
    fn from(wait: Duration) -> Self {
        Self {
            least: wait,
            most: wait,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_duration(self.least))?;
        match self.least == self.most {
            true => Ok(()),
            false => write!(f, "..{}", show_duration(self.most)),
        }
    }
}
