//! What became of each address of a delivery that has to be tried again: a retry does not write to those who have it.
//!
//! Invariant: it holds so many deliveries at most; the oldest goes first. It lives as long as its instance, so it spares
//! repeats and does not exclude them.

use std::collections::{BTreeMap, VecDeque};

/// So many deliveries can be half done at once; more only costs repeats.
const MOST: usize = 1_000;

/// What a server said of one address, for good or not.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It has the letter.
    Accepted,
    /// Not now, in these words.
    Later(String),
    /// Never, in these words.
    Never(String),
}

/// The answers of each address, by delivery.
#[derive(Debug, Default)]
pub struct Notes(VecDeque<(String, BTreeMap<String, Answer>)>);

impl Notes {
    /// Takes out what is known of a delivery.
    pub fn take(&mut self, delivery: &str) -> BTreeMap<String, Answer> {
        let at = self.0.iter().position(|(known, _)| known == delivery);
        at.and_then(|at| self.0.remove(at))
            .map(|(_, answers)| answers)
            .unwrap_or_default()
    }

    /// Keeps what need not be asked again.
    pub fn keep(&mut self, delivery: &str, mut answers: BTreeMap<String, Answer>) {
        answers.retain(|_, answer| *answer == Answer::Accepted);
        if answers.is_empty() {
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((delivery.to_owned(), answers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_accepted_are_kept_and_only_so_many() {
        let mut notes = Notes::default();
        let mixed = [
            ("a".to_owned(), Answer::Accepted),
            ("b".to_owned(), Answer::Later("busy".to_owned())),
            ("c".to_owned(), Answer::Never("who?".to_owned())),
        ];
        notes.keep("d", mixed.into());
        assert_eq!(notes.take("d"), [("a".to_owned(), Answer::Accepted)].into());
        assert!(notes.take("d").is_empty(), "taken");
        notes.keep("d", [("b".to_owned(), Answer::Later("busy".to_owned()))].into());
        assert!(notes.0.is_empty());
        for n in 0..=MOST {
            notes.keep(&n.to_string(), [("a".to_owned(), Answer::Accepted)].into());
        }
        assert_eq!(notes.0.len(), MOST);
        assert!(notes.take("0").is_empty() && !notes.take("1").is_empty());
    }
}
