//! The known name that a misspelt one is nearest to, for error messages.

/// A hint such as `; did you mean "prefix"?`, or the list of all names if none is near.
pub(super) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let near = known
        .clone()
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .min();
    match near {
        Some((steps, candidate)) if steps <= 2 || candidate.len() > 2 * steps => {
            format!("; did you mean {candidate:?}?")
        }
        _ => {
            let names: Vec<&str> = known.into_iter().collect();
            format!("; known are {}", names.join(", "))
        }
    }
}

/// How many letters must be put in, taken out or changed. Long names are far from everything.
fn distance(from: &str, to: &str) -> usize {
    if from.len() > 64 {
        return usize::MAX / 4;
    }
    let from: Vec<char> = from.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (line, letter) in to.chars().enumerate() {
        let mut last = line + 1;
        let mut next = vec![last];
        for ((seen, above_left), above) in from.iter().zip(&row).zip(row.iter().skip(1)) {
            last = (above_left + usize::from(*seen != letter)).min(above.min(&last) + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_offered() {
        let known = ["exact", "prefix", "suffix", "anything-but"];
        for (name, expected) in [
            ("prefx", "; did you mean \"prefix\"?"),
            ("Exact", "; did you mean \"exact\"?"),
            ("anything_but", "; did you mean \"anything-but\"?"),
            ("qqqqqqqq", "; known are exact, prefix, suffix, anything-but"),
        ] {
            assert_eq!(hint(name, known), expected, "{name}");
        }
    }

    #[test]
    fn distance_counts_single_letters() {
        for (from, to, steps) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), steps, "{from} {to}");
        }
    }
}
