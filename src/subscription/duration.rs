//! Durations as people write them: `15s`, `500ms`, `2m`, `1h30m`, `7d`.
//!
//! Why so: a bare number has no unit, and `15` has meant both seconds and milliseconds to somebody; it is refused.
//! Invariant: what [`show_duration`] writes, [`parse_duration`] reads back as the same duration (to the millisecond).

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The rule, for messages.
pub(super) const RULE: &str = "a duration is text with units, such as \"15s\", \"500ms\", \"2m\" or \"1h30m\"";

/// Reads a duration: numbers with units, the larger unit first, each unit once.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total, mut below) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        if millis >= below {
            return None;
        }
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(millis)?)?;
        (rest, below) = (tail, millis);
    }
    (below != u64::MAX).then(|| Duration::from_millis(total))
}

/// Writes a duration the way [`parse_duration`] reads it, shortest first.
pub fn show_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, millis) in UNITS {
        if left >= millis {
            text.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let good = [
            ("15s", 15_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("0s", 0),
            ("1d", 86_400_000),
            ("90s", 90_000),
        ];
        for (text, millis) in good {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "15",
            "s",
            "15 s",
            "-1s",
            "1.5s",
            "1m1h",
            "1s1s",
            "15S",
            "15sec",
            "99999999999999999999s",
            "18446744073709551615d",
            "1s ",
            "ä",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in 0_u64..10_000_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,20}") {
            let _ = parse_duration(&text);
        }
    }
}
