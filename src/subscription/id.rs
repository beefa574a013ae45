//! Ids of subscriptions: made by the hub (sortable by time), or named by the caller.
//!
//! Why so: an id that begins with the time keeps a listing in the order of creation and new rows at the end of the
//! store's tree; the 80 random bits keep two hubs from ever agreeing on one by chance. (A ULID; the crate was left
//! out: these are twenty lines.)

use crate::error::Error;
use crate::subscription::{ReplayId, SubscriptionId};
use crate::time::Timestamp;

/// Crockford's base 32: no letters that read alike.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The longest id that a caller may name.
const LONGEST: usize = 128;

impl SubscriptionId {
    /// A new id: `sub_` and 26 characters, 48 bits of time before 80 bits of chance.
    pub fn generate(now: Timestamp, chance: u128) -> Self {
        Self(id("sub_", now, chance).into())
    }

    /// Checks an id that a caller named.
    ///
    /// # Errors
    /// `invalid_subscription_id`, with the rule.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._~-".contains(&c);
        // `.` and `..` would vanish from a URL's path.
        let dots = matches!(text, "." | "..");
        if text.is_empty() || text.len() > LONGEST || dots || !text.bytes().all(allowed) {
            let rule = format!(
                "a subscription id is 1 to {LONGEST} of the characters A-Z a-z 0-9 . _ ~ - (and not `.` or `..`)"
            );
            return Err(Error::invalid("invalid_subscription_id", rule));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ReplayId {
    /// A new id: `rpl_` and 26 characters, made as a subscription's.
    pub fn generate(now: Timestamp, chance: u128) -> Self {
        Self(id("rpl_", now, chance).into())
    }
}

fn id(prefix: &str, now: Timestamp, chance: u128) -> String {
    let time = u128::from(now.0.unsigned_abs()) & ((1 << 48) - 1);
    let number = (time << 80) | (chance & ((1 << 80) - 1));
    let digits = (0..26).rev().filter_map(|place| {
        let digit = usize::try_from((number >> (place * 5)) & 31).unwrap_or_default();
        ALPHABET.get(digit).map(|&letter| char::from(letter))
    });
    prefix.chars().chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_sort_by_time_and_parse() {
        let early = SubscriptionId::generate(Timestamp(1_700_000_000_000), u128::MAX);
        let late = SubscriptionId::generate(Timestamp(1_700_000_000_001), 0);
        assert_eq!(early.as_str().len(), 30);
        assert!(early < late, "{early} before {late}");
        assert_eq!(SubscriptionId::parse(early.as_str()).unwrap(), early);
        assert_ne!(late, SubscriptionId::generate(Timestamp(1_700_000_000_001), 1));
    }

    #[test]
    fn named_ids_are_checked() {
        for good in ["a", "sub_1", "A.b~c-d_0", &"x".repeat(128)] {
            assert!(SubscriptionId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\n", "a%20", &"x".repeat(129)] {
            assert!(SubscriptionId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
