//! What may go, and its going: whole segments from the front, each at the cost of deleting a file.
//!
//! Why whole files: deleting a million rows takes seconds and as much writing as storing them did; deleting their
//! file takes none of both. The price is that a record may stay longer than it must, by one segment at most. So that
//! a quiet bus does not keep old records for ever, its last segment is closed when its oldest record is too old.
//!
//! Invariant: a segment goes only when all of its records may; the last segment, and with it the next offset, never.
//! Invariant: files go in the order of their offsets, so that a crash in between leaves no hole.

use tokio::sync::oneshot;

use super::bus::{Bus, BusState};
use super::fault::Failure;
use super::model::{Offset, Retention};
use super::queue::Wish;
use super::{reader, segment};
use crate::error::Result;
use crate::time::Timestamp;

/// A closed segment, as far as retention is concerned.
#[derive(Debug, Clone, Copy)]
struct Closed {
    /// The first offset after it.
    end: u64,
    bytes: u64,
    /// When its last record was received, if that can be read.
    newest: Option<Timestamp>,
}

/// The rules at one moment, for one bus.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    /// What the operator says.
    pub(super) retention: &'a Retention,
    /// Records from here on are still needed.
    pub(super) floor: Option<Offset>,
    /// The time.
    pub(super) now: Timestamp,
}

/// Has the last segment closed if it holds records that are too old, so that it can go, now or later.
pub(super) async fn close_if_old(bus: &Bus, rules: Rules<'_>) -> Result<()> {
    let Some(age) = rules.retention.age else {
        return Ok(());
    };
    let active = bus.state.segments().pop();
    // Written by the writer with the first record, or read once after a start.
    let oldest = active.and_then(|active| reader::oldest(&bus.state, &active));
    if oldest.is_some_and(|oldest| rules.now.since(oldest) > age) {
        let (answer, rotated) = oneshot::channel();
        bus.queue.ask(Wish::Rotate(answer))?;
        rotated.await.unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// Drops the segments that may go.
pub(super) fn drop_old(state: &BusState, rules: Rules<'_>) -> Result<(), Failure> {
    let segments = state.segments();
    let total = segments.iter().map(|segment| segment.bytes()).sum();
    let closed = segments
        .iter()
        .zip(segments.iter().skip(1))
        .map(|(segment, next)| Closed {
            end: next.first(),
            bytes: segment.bytes(),
            newest: reader::newest(state, segment, next.first()),
        });
    let count = droppable(closed, total, rules);
    for segment in segments.iter().take(count) {
        let Some(taken) = state.take_oldest(segment.first()) else {
            break;
        };
        if let Err(failure) = taken.delete() {
            state.put_back(taken);
            return Err(failure);
        }
    }
    if count > 0 {
        segment::sync_folder(&state.folder)?;
    }
    Ok(())
}

/// How many of the closed segments may go. They are looked at from the oldest on, and no further than needed.
fn droppable(closed: impl Iterator<Item = Closed>, total: u64, rules: Rules<'_>) -> usize {
    let mut left = total;
    let mut count = 0;
    for (at, segment) in closed.enumerate() {
        let acknowledged = rules.floor.is_none_or(|floor| segment.end <= floor.0);
        if !acknowledged && !rules.retention.drop_unacknowledged {
            break;
        }
        let too_much = rules.retention.size.is_some_and(|size| left > size);
        left = left.saturating_sub(segment.bytes);
        match (too_much, rules.retention.age, segment.newest) {
            (true, ..) => count = at + 1,
            (false, None, _) => break,
            // Its records are as old as the next one's at least: what holds for that holds for it.
            (false, Some(_), None) => {}
            (false, Some(age), Some(newest)) if rules.now.since(newest) > age => count = at + 1,
            (false, Some(_), Some(_)) => break,
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Four closed segments of 10 bytes and 10 records, received until 10, 20, 30 and 40 s, and a last one; at 100 s.
    fn check(age: Option<u64>, size: Option<u64>, floor: Option<u64>, expected: usize) {
        let retention = Retention {
            age: age.map(Duration::from_secs),
            size,
            drop_unacknowledged: false,
        };
        let closed = |unreadable: Option<usize>| {
            (0..4_u64).map(move |at| Closed {
                end: at * 10 + 11,
                bytes: 10,
                newest: (unreadable != Some(at as usize)).then_some(Timestamp((at as i64 + 1) * 10_000)),
            })
        };
        let rules = Rules {
            retention: &retention,
            floor: floor.map(Offset),
            now: Timestamp(100_000),
        };
        let label = format!("age {age:?}, size {size:?}, floor {floor:?}");
        assert_eq!(droppable(closed(None), 50, rules), expected, "{label}");
        if size.is_none() && expected > 1 {
            assert_eq!(
                droppable(closed(Some(0)), 50, rules),
                expected,
                "{label}, first unreadable"
            );
        }
        let all = Retention {
            drop_unacknowledged: true,
            ..retention.clone()
        };
        let unbound = droppable(closed(None), 50, Rules { floor: None, ..rules });
        let forced = droppable(
            closed(None),
            50,
            Rules {
                retention: &all,
                ..rules
            },
        );
        assert_eq!(forced, unbound, "{label}: the operator's word goes over the floor");
    }

    #[test]
    fn whole_segments_go_by_age_and_size_and_never_past_the_floor() {
        check(None, None, None, 0);
        check(Some(100), None, None, 0);
        check(Some(89), None, None, 1);
        check(Some(70), None, None, 2);
        check(Some(1), None, None, 4);
        check(None, Some(50), None, 0);
        check(None, Some(49), None, 1);
        check(None, Some(25), None, 3);
        check(None, Some(0), None, 4);
        check(Some(89), Some(30), None, 2);
        check(Some(1), None, Some(1), 0);
        check(Some(1), None, Some(30), 2);
        check(Some(1), None, Some(31), 3);
        check(None, Some(0), Some(11), 1);
        check(None, Some(0), Some(1_000), 4);
    }
}
