//! How fast a sink may be called: `100/s`, `120/m`, `5000/h`.
//!
//! Invariant: a rate is never nothing: what must not be called at all is paused.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// So many calls in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    per: Unit,
}

/// The time of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// The rule of a rate, to complete the sentence "… must be".
pub(super) const RULE: &str = "a rate such as \"100/s\", \"120/m\" or \"5000/h\", from 1 to 1000000";

const MOST: u32 = 1_000_000;

impl Rate {
    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let per = match unit {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return None,
        };
        let digits = count.bytes().all(|b| b.is_ascii_digit());
        let count = count
            .parse()
            .ok()
            .filter(|count: &NonZeroU32| digits && count.get() <= MOST)?;
        Some(Self { count, per })
    }

    /// So many in a minute, the unit of CloudEvents webhooks.
    pub fn per_minute(count: NonZeroU32) -> Self {
        Self {
            count,
            per: Unit::Minute,
        }
    }

    /// Half of it, at least one call an hour.
    pub fn half(self) -> Self {
        let (count, per) = match (self.count.get(), self.per) {
            (count, per) if count % 2 == 0 => (count / 2, per),
            (count, Unit::Second) => (count.saturating_mul(30), Unit::Minute),
            (count, Unit::Minute) => (count.saturating_mul(30), Unit::Hour),
            (count, Unit::Hour) => (count / 2, Unit::Hour),
        };
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self { count, per }
    }

    /// Calls in a minute, at least one.
    pub fn in_a_minute(self) -> u32 {
        let seconds = self.per.seconds();
        let exact = u64::from(self.count.get()) * 60 / seconds;
        u32::try_from(exact.max(1)).unwrap_or(u32::MAX)
    }

    /// From one call to the next.
    pub fn interval(self) -> Duration {
        Duration::from_secs(self.per.seconds()) / self.count.get()
    }
}

impl Unit {
    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
        };
        write!(f, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_as_people_write_them() {
        for (text, interval_ms, in_a_minute) in [
            ("100/s", 10, 6_000),
            ("120/m", 500, 120),
            ("3600/h", 1_000, 60),
            ("1/h", 3_600_000, 1),
            ("1000/s", 1, 60_000),
        ] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!(rate.to_string(), text);
            assert_eq!(
                (rate.interval(), rate.in_a_minute()),
                (Duration::from_millis(interval_ms), in_a_minute),
                "{text}"
            );
        }
        for (whole, half) in [
            ("100/s", "50/s"),
            ("1/s", "30/m"),
            ("5/m", "150/h"),
            ("5/h", "2/h"),
            ("1/h", "1/h"),
        ] {
            assert_eq!(
                Rate::parse(whole).map(|rate| rate.half().to_string()).as_deref(),
                Some(half)
            );
        }
        for wrong in [
            "",
            "100",
            "0/s",
            "-1/s",
            "+1/s",
            "1.5/s",
            "100/d",
            "100/ s",
            "1000001/s",
            "/s",
            "99999999999/s",
        ] {
            assert_eq!(Rate::parse(wrong), None, "{wrong}");
        }
    }
}
