//! Which failed attempts somebody is told of aloud.
//!
//! The first of a row, and not more than one a minute: a sink that fails, or that fails every other time, would else
//! write a line for every attempt, a thousand a second. What follows is told by the breaker, the dead letters, the figures
//! and the recent deliveries.

use std::time::Duration;

use crate::time::Timestamp;

/// Between two rows that are told of.
const QUIET: Duration = Duration::from_secs(60);

/// How a lane's attempts have ended of late.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    in_a_row: bool,
    told: Option<Timestamp>,
}

impl Complaint {
    /// An attempt went well: the row has ended.
    pub(super) fn went_well(&mut self) {
        self.in_a_row = false;
    }

    /// An attempt failed; whether that is news.
    pub(super) fn is_news(&mut self, now: Timestamp) -> bool {
        let begins = !std::mem::replace(&mut self.in_a_row, true);
        let is_news = begins && self.told.is_none_or(|told| now.since(told) >= QUIET);
        if is_news {
            self.told = Some(now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_row_is_news_once_a_minute() {
        let mut complaint = Complaint::default();
        for (second, well, news) in [
            (0, false, true),
            (1, false, false),
            (100, false, false),
            (101, true, false),
            (102, false, true),
            (103, true, false),
            (104, false, false),
            (164, true, false),
            (165, false, true),
        ] {
            let now = Timestamp(0).plus(Duration::from_secs(second));
            let told = match well {
                true => {
                    complaint.went_well();
                    false
                }
                false => complaint.is_news(now),
            };
            assert_eq!(told, news, "{second}");
        }
    }
}
