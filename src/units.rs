//! Durations and sizes as people write them: `15s`, `1h30m`, `7d`; `64MiB`, `1GB`, `512`.
//!
//! Why so: a bare number of time has no unit, and `15` has meant both seconds and milliseconds to somebody; it is
//! refused. A bare size is bytes, which nobody has read otherwise.
//! Invariant: what `show_…` writes, `parse_…` reads back as the same value (a duration to the millisecond).

use std::time::Duration;

/// The rule of a duration, to complete the sentence "… must be".
pub const DURATION_RULE: &str = "a duration with its unit, such as `15s`, `500ms`, `2m` or `1h30m`";

/// The rule of a size, to complete the sentence "… must be".
pub const SIZE_RULE: &str = "a size such as `64MiB` or `1GB`";

const DURATIONS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

/// Reads a duration: numbers with units, the larger unit first, each unit once.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total, mut below) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at_checked(letters)?;
        let (_, millis) = DURATIONS.into_iter().find(|(name, _)| *name == unit)?;
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
    for (unit, millis) in DURATIONS {
        if left >= millis {
            text.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    text
}

/// Reads a size in bytes: one number, and a unit in any case. Underscores may group the digits.
pub fn parse_size(text: &str) -> Option<u64> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    let number = text.strip_suffix(unit)?.replace('_', "");
    let matches = |(name, _): &(&str, u64)| name.eq_ignore_ascii_case(unit.trim_start());
    let (_, bytes) = SIZES.into_iter().find(matches)?;
    number.parse::<u64>().ok()?.checked_mul(bytes)
}

/// Writes a size in the largest binary unit that divides it, the way [`parse_size`] reads it.
pub fn show_size(bytes: u64) -> String {
    let divides = |(name, unit): &(&str, u64)| name.ends_with("iB") && bytes >= *unit && bytes.is_multiple_of(*unit);
    match SIZES.into_iter().find(divides) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
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

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("1_000", 1_000),
            ("1B", 1),
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1GB", 1_000_000_000),
            ("2kb", 2_000),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5MiB", "1XB", "1MiB ", "17179869184GiB", "ä"] {
            assert_eq!(parse_size(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in 0_u64..1_000_000_000_000, bytes in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
            prop_assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
