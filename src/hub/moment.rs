//! Points in time as callers give them: when, or how long ago.

use crate::error::Error;
use crate::event::parse_rfc3339;
use crate::time::Timestamp;
use crate::units::parse_duration;

/// The time that `text` means: RFC 3339, or a duration before `now`.
///
/// # Errors
/// `invalid_time`, naming the field.
pub(super) fn moment(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, Error> {
    let ago = || parse_duration(text).map(|ago| now.minus(ago));
    parse_rfc3339(text).or_else(ago).ok_or_else(|| {
        let rule = format!(
            "`{name}` must be an RFC 3339 time such as 2026-01-31T12:00:00Z, or how long ago, such as `2h`; not `{text}`"
        );
        Error::invalid("invalid_time", rule)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_how_long_ago() {
        let now = Timestamp(1_800_000_000_000);
        for (text, want) in [
            ("2027-01-15T08:00:00Z", Some(1_800_000_000_000)),
            ("2h", Some(1_799_992_800_000)),
            ("1h30m", Some(1_799_994_600_000)),
            ("yesterday", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(moment("since", text, now).ok().map(|at| at.0), want, "{text}");
        }
    }
}
