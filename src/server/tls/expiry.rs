//! When a certificate expires: the one field of X.509 that an operator must not forget.
//!
//! Why by hand: rustls checks certificates of others but tells nothing of our own, and a parser of all of X.509 is a
//! dependency for eight bytes. The way there is six elements long (RFC 5280, 4.1).

use crate::time::Timestamp;

/// Tags of DER.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate's validity; none where its form is not understood.
pub(super) fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(certificate)?;
    let (_, body, _) = element(certificate)?;
    let (tag, _, after) = element(body)?;
    let mut rest = if tag == VERSION { after } else { body };
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, end) = element(validity)?;
    let (tag, text, _) = element(end)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The first element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes.iter().fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` (of 1950 to 2049), or the same with the whole year.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let text = match tag {
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize| text.get(from..from + 2);
    let (year, month, day) = (text.get(..4)?, part(4)?, part(6)?);
    let (hour, minute, second) = (part(8)?, part(10)?, part(12)?);
    let time: jiff::Timestamp = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()?;
    Some(Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(not_after: (i32, u8, u8)) -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut about = rcgen::CertificateParams::new(vec!["hub.test".to_owned()]).unwrap();
        about.not_after = rcgen::date_time_ymd(not_after.0, not_after.1, not_after.2);
        about.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_is_found_in_either_form_of_time() {
        for (date, shown) in [
            ((2027, 3, 4), "2027-03-04T00:00:00.000Z"),
            ((2051, 12, 31), "2051-12-31T00:00:00.000Z"),
        ] {
            assert_eq!(expiry(&made(date)).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_cut_anywhere_has_no_end_or_the_same() {
        let whole = made((2027, 3, 4));
        for cut in 0..whole.len() {
            assert_eq!(expiry(&whole[..cut]), None, "{cut}");
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0xff;
            let _ = expiry(&flipped);
        }
    }
}
