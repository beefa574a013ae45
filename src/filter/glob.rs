//! Text against the literal pieces between wildcards.
//!
//! Taking each piece at its first place is enough when a wildcard may stand for anything (a later place leaves
//! less for the pieces after it), so there is nothing to go back to: the time is linear in the text.

/// Whether `text` is `pieces` in order, with anything between two of them and nothing before the first or after
/// the last. One piece is the text itself.
pub(super) fn matches<'a>(pieces: impl Iterator<Item = &'a str>, text: &str) -> bool {
    let mut pieces = pieces.peekable();
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_match_in_order_without_overlap() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("ab*ba", "aba", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*aab", "aaab", true),
            ("ä*ö", "äüö", true),
        ] {
            assert_eq!(matches(pattern.split('*'), text), expected, "{pattern} {text}");
        }
    }

    /// The textbook definition, exponential.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => slow(rest, text) || text.split_first().is_some_and(|(_, t)| slow(pattern, t)),
            (Some((p, rest)), Some((t, after))) => p == t && slow(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(
                matches(pattern.split('*'), &text),
                slow(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
