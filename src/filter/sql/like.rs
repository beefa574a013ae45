//! Patterns of `LIKE`: `%` stands for any characters, `_` for one, `\%` and `\_` for themselves.
//!
//! Taking each piece between two `%` at its first place is enough (a later one leaves less for the pieces after it), so
//! there is nothing to go back to.
//! Invariant: time is at most text × pattern; a pattern without `_` is linear in the text.

/// A pattern, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::filter) struct Like {
    text: Box<str>,
    /// What stands between two `%`; at least one.
    pieces: Box<[Piece]>,
}

/// Characters in a row.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// These.
    Literal(Box<str>),
    /// These, with `None` for any one.
    Wild(Box<[Option<char>]>),
}

impl Like {
    /// Compiles a pattern; every text is one.
    pub(super) fn new(text: &str) -> Self {
        let (mut pieces, mut piece) = (Vec::new(), Vec::new());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '%' => pieces.push(Piece::new(std::mem::take(&mut piece))),
                '_' => piece.push(None),
                '\\' => piece.push(Some(chars.next_if(|next| matches!(next, '%' | '_')).unwrap_or('\\'))),
                c => piece.push(Some(c)),
            }
        }
        pieces.push(Piece::new(piece));
        Self {
            text: text.into(),
            pieces: pieces.into(),
        }
    }

    /// As it was written (unescaped of its quotes).
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((first, others)) = self.pieces.split_first() else {
            return text.is_empty();
        };
        let Some(mut rest) = first.strip(text) else {
            return false;
        };
        let Some((last, middle)) = others.split_last() else {
            return rest.is_empty();
        };
        for piece in middle {
            match piece.skip_past(rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        last.ends(rest)
    }

    /// The literal beginning and end of whatever matches, and whether a text that has them is all that it takes; for a
    /// pattern without wildcards both are the whole.
    pub(super) fn affixes(&self) -> Affixes<'_> {
        match &*self.pieces {
            [Piece::Literal(whole)] => Affixes::Whole(whole),
            [Piece::Literal(first), Piece::Literal(last)] if last.is_empty() => Affixes::Prefix(first, true),
            [Piece::Literal(first), Piece::Literal(last)] if first.is_empty() => Affixes::Suffix(last, true),
            [Piece::Literal(first), .., _] if !first.is_empty() => Affixes::Prefix(first, false),
            [_, .., Piece::Literal(last)] if !last.is_empty() => Affixes::Suffix(last, false),
            _ => Affixes::None,
        }
    }
}

/// What is certain of a text that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affixes<'a> {
    /// It is this.
    Whole(&'a str),
    /// It begins so; whether that is enough.
    Prefix(&'a str, bool),
    /// It ends so; whether that is enough.
    Suffix(&'a str, bool),
    /// Nothing.
    None,
}

impl Piece {
    fn new(chars: Vec<Option<char>>) -> Self {
        match chars.iter().copied().collect::<Option<String>>() {
            Some(literal) => Self::Literal(literal.into()),
            None => Self::Wild(chars.into()),
        }
    }

    /// What comes after it, if the text begins with it.
    fn strip<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.strip_prefix(&**literal),
            Self::Wild(wanted) => {
                let mut chars = text.chars();
                let fits = wanted.iter().all(|want| {
                    let given = chars.next();
                    given.is_some() && want.is_none_or(|want| given == Some(want))
                });
                fits.then_some(chars.as_str())
            }
        }
    }

    /// What comes after its first place in the text.
    fn skip_past<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Literal(literal) => text.split_once(&**literal).map(|(_, after)| after),
            Self::Wild(_) => {
                let places = text.char_indices().map(|(at, _)| at);
                places.filter_map(|at| text.get(at..)).find_map(|rest| self.strip(rest))
            }
        }
    }

    /// Whether the text ends with it.
    fn ends(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => text.ends_with(&**literal),
            Self::Wild(wanted) => {
                let mut chars = text.chars().rev();
                wanted.iter().rev().all(|want| {
                    let given = chars.next();
                    given.is_some() && want.is_none_or(|want| given == Some(want))
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The textbook definition, exponential.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['\\', wild @ ('%' | '_'), rest @ ..], [t, after @ ..]) => wild == t && slow(rest, after),
            (['\\', '%' | '_', ..], []) => false,
            (['%', rest @ ..], _) => slow(rest, text) || matches!(text, [_, after @ ..] if slow(pattern, after)),
            (['_', rest @ ..], [_, after @ ..]) => slow(rest, after),
            ([p, rest @ ..], [t, after @ ..]) => p == t && slow(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in r"[ab%_\\]{0,7}", text in r"[ab%_\\]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let like = Like::new(&pattern);
            let matches = like.matches(&text);
            prop_assert_eq!(matches, slow(&chars(&pattern), &chars(&text)), "{} {}", pattern, text);
            let (certain, enough) = match like.affixes() {
                Affixes::Whole(whole) => (text == whole, true),
                Affixes::Prefix(prefix, enough) => (text.starts_with(prefix), enough),
                Affixes::Suffix(suffix, enough) => (text.ends_with(suffix), enough),
                Affixes::None => (true, false),
            };
            prop_assert!(certain || !matches, "{pattern} {text}");
            prop_assert!(!(certain && enough) || matches, "{pattern} {text}");
        }
    }

    #[test]
    fn hostile_patterns_end_soon() {
        let pattern = Like::new(&"%a_a_b".repeat(400));
        assert!(!pattern.matches(&"a".repeat(20_000)));
    }
}
