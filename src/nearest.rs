//! The known word that a misspelt one was meant to be, for error messages.
//!
//! Invariant: the cost is bounded whatever a stranger sends: only the first letters of a word are compared.

/// The known word nearest to `word`, if one is near enough to have been meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|candidate| (edits(word, candidate), candidate));
    distances
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to say after an unknown word: the nearest known one, or all of them if none is near.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

/// How many letters must be changed, added, left out or swapped with their neighbour to make `b` of `a`; case aside.
fn edits(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let letters = |word: &str| -> Vec<char> { word.chars().take(LONGEST).flat_map(char::to_lowercase).collect() };
    let steps_at = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
    let (a, b) = (letters(a), letters(b));
    let (mut two_above, mut above): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    let mut before_from = None;
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut before_to = None;
        for (j, to) in b.iter().enumerate() {
            let changed = steps_at(&above, j) + usize::from(from != to);
            let mut steps = changed.min(steps_at(&above, j + 1) + 1).min(steps_at(&row, j) + 1);
            if before_from == Some(to) && before_to == Some(from) {
                steps = steps.min(steps_at(&two_above, j.saturating_sub(1)) + 1);
            }
            row.push(steps);
            before_to = Some(to);
        }
        before_from = Some(from);
        two_above = std::mem::replace(&mut above, row);
    }
    steps_at(&above, b.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_nearest_known_word_is_found_only_when_near() {
        let known = ["types", "filters", "sink", "protocolsettings", "anything-but", "log"];
        for (word, expected) in [
            ("type", Some("types")),
            ("Filter", Some("filters")),
            ("snik", Some("sink")),
            ("lgo", Some("log")),
            ("sinks", Some("sink")),
            ("protocol_settings", Some("protocolsettings")),
            ("anything_but", Some("anything-but")),
            ("colour", None),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn a_hint_names_one_or_all() {
        for (word, expected) in [
            ("prefx", "did you mean `prefix`?"),
            ("qqqqqqqq", "known here: exact, prefix"),
        ] {
            assert_eq!(hint(word, ["exact", "prefix"]), expected, "{word}");
        }
    }

    #[test]
    fn edits_count_letters() {
        for (from, to, steps) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "ABC", 0),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("abcd", "badc", 2),
        ] {
            assert_eq!(edits(from, to), steps, "{from} {to}");
        }
    }

    proptest! {
        #[test]
        fn edits_are_the_same_both_ways(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(edits(&a, &b), edits(&b, &a));
            prop_assert_eq!(edits(&a, &b) == 0, a == b);
        }
    }
}
