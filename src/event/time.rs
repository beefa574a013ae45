//! RFC 3339 timestamps, and nothing looser.
//!
//! Why not jiff: it reads ISO 8601 at large (`20200101T00`, `[Europe/Paris]`, a space for the `T`), which other
//! CloudEvents libraries refuse, and its range ends hours before 9999-12-31T23:59:59Z, which producers write for
//! "for ever".
//! Invariant: what passes here is RFC 3339, section 5.6, with a day that exists.

use crate::time::Timestamp;

/// Parses an RFC 3339 timestamp; below a millisecond it is cut. A leap second is the first instant of the next
/// minute, as on the Unix clock.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.as_bytes().split_at_checked(10)?;
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else {
        return None;
    };
    let year = i64::from(two(y1, y2)?) * 100 + i64::from(two(y3, y4)?);
    let day = days_since_epoch(year, two(m1, m2)?, two(d1, d2)?)?;

    let (clock, rest) = time.split_at_checked(9)?;
    let &[b'T' | b't', h1, h2, b':', n1, n2, b':', s1, s2] = clock else {
        return None;
    };
    let (hour, minute, second) = (
        at_most(two(h1, h2)?, 23)?,
        at_most(two(n1, n2)?, 59)?,
        at_most(two(s1, s2)?, 60)?,
    );
    let (millisecond, rest) = fraction(rest)?;
    let offset = offset(rest)?;

    let minutes = day * 24 * 60 + i64::from(hour) * 60 + i64::from(minute) - offset;
    // Leap seconds have only ever been put in at the end of a day, UTC.
    if second == 60 && minutes.rem_euclid(24 * 60) != 24 * 60 - 1 {
        return None;
    }
    Some(Timestamp((minutes * 60 + i64::from(second)) * 1000 + millisecond))
}

/// Whether this is an RFC 3339 timestamp.
pub fn is_rfc3339(text: &str) -> bool {
    parse_rfc3339(text).is_some()
}

/// `.123456` and what follows it; no fraction is zero.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else {
        return Some((0, text));
    };
    let length = digits.iter().take_while(|digit| digit.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(length)?;
    if digits.is_empty() {
        return None;
    }
    let padded = digits.iter().chain(b"00").take(3);
    Some((padded.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')), rest))
}

/// `Z` or `+08:00`, in minutes east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let minutes = i64::from(at_most(two(h1, h2)?, 23)?) * 60 + i64::from(at_most(two(m1, m2)?, 59)?);
            Some(if sign == b'-' { -minutes } else { minutes })
        }
        _ => None,
    }
}

fn days_since_epoch(year: i64, month: u8, day: u8) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // Years are counted from March, so that the leap day is a year's last: then months follow one formula.
    let (year, month) = if month > 2 {
        (year, i64::from(month) - 3)
    } else {
        (year - 1, i64::from(month) + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let from_march_of_year_0 = year * 365 + leap_days + (153 * month + 2) / 5 + i64::from(day) - 1;
    Some(from_march_of_year_0 - 719_468)
}

fn two(tens: u8, units: u8) -> Option<u8> {
    (tens.is_ascii_digit() && units.is_ascii_digit()).then(|| (tens - b'0') * 10 + (units - b'0'))
}

fn at_most(value: u8, most: u8) -> Option<u8> {
    (value <= most).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_rfc_3339_allows() {
        let table = [
            ("1970-01-01T00:00:00Z", 0),
            ("1985-04-12T23:20:50.52Z", 482_196_050_520),
            ("1996-12-19T16:39:57-08:00", 851_042_397_000),
            ("1937-01-01T12:00:27.87+00:20", -1_041_337_172_130),
            ("2020-11-19T21:04:41+08:00", 1_605_791_081_000),
            ("2016-04-24T09:27:47.044Z", 1_461_490_067_044),
            ("2016-04-24t09:27:47.0449999999999999z", 1_461_490_067_044),
            ("2018-04-05T17:31:00-00:00", 1_522_949_460_000),
            ("1990-12-31T23:59:60Z", 662_688_000_000),
            ("1990-12-31T15:59:60.5-08:00", 662_688_000_500),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
        ];
        for (text, expected) in table {
            assert_eq!(parse_rfc3339(text), Some(Timestamp(expected)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_looser() {
        let table = [
            "",
            "now",
            "2020-01-01",
            "2020-01-01T00:00:00",
            "2020-01-01 00:00:00Z",
            "2020-01-01T00:00Z",
            "20200101T000000Z",
            "2020-1-01T00:00:00Z",
            "2020-13-01T00:00:00Z",
            "2020-00-01T00:00:00Z",
            "2021-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2020-04-31T00:00:00Z",
            "2020-01-00T00:00:00Z",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:60:00Z",
            "2020-01-01T00:00:61Z",
            "2020-01-01T12:00:60Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00,5Z",
            "2020-01-01T00:00:00+08",
            "2020-01-01T00:00:00+0800",
            "2020-01-01T00:00:00+24:00",
            "2020-01-01T00:00:00+08:60",
            "2020-01-01T00:00:00Z ",
            " 2020-01-01T00:00:00Z",
            "2020-11-19T21:04:42.179PRC",
            "2020-08-17T16:04:46.149Asia/Shanghai",
            "2020-01-01T00:00:00Z[UTC]",
            "+002020-01-01T00:00:00Z",
            "2020-01-01T00:00:00\u{2212}08:00",
            "2020-01-01T00:00:0\u{663}Z",
            "١٢٣٤-01-01T00:00:00Z",
        ];
        for text in table {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(ms in -62_135_596_800_000_i64..253_402_200_000_000) {
            let text = Timestamp(ms).to_string();
            prop_assert_eq!(parse_rfc3339(&text), Some(Timestamp(ms)), "{}", text);
        }

        #[test]
        fn accepts_nothing_that_jiff_refuses(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:[0-5][0-9])") {
            if let (Some(ours), Ok(theirs)) = (parse_rfc3339(&text), text.parse::<jiff::Timestamp>()) {
                prop_assert_eq!(ours.0, theirs.as_nanosecond().div_euclid(1_000_000) as i64);
            } else if let Ok(theirs) = text.parse::<jiff::Timestamp>() {
                // jiff reads offsets up to 25 hours.
                prop_assert!(text.contains("+24:") || text.contains("-24:") || text.contains("+25:") || text.contains("-25:"), "{} is {}", text, theirs);
            }
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = parse_rfc3339(&text);
        }
    }
}
