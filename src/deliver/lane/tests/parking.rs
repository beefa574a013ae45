//! Deliveries that are parked for a plugin, and the order within a key.

use serde_json::json;

use super::*;

const A: Option<&'static str> = Some("a");
const B: Option<&'static str> = Some("b");

impl Hand {
    /// Offers records with these keys, one after another.
    fn offer_keys(&mut self, keys: &[Option<&'static str>]) {
        let first = self.bus.position.dispatched().0;
        for (offset, key) in (first..).zip(keys) {
            self.keys.extend(key.map(|key| (offset, key)));
            self.bus.position.publish(Offset(offset + 1));
            let _ = self.state.offer(self.record(offset), self.now);
            self.bus.position.dispatch(Offset(offset + 1));
        }
    }

    /// Starts what may start, and ends those of these offsets like this, and the others well; which were started.
    fn run_with(&mut self, bad: &[u64], end: &End) -> Vec<u64> {
        let mut tried = Vec::new();
        loop {
            let works = self.start();
            if works.is_empty() {
                return tried;
            }
            for work in works {
                let offset = work.items[0].offset.0;
                tried.push(offset);
                let end = if bad.contains(&offset) { end.clone() } else { accepted() };
                self.end(work, &end);
            }
        }
    }

    fn parked(&self) -> usize {
        self.state.retries.parked()
    }

    /// Generation `number` of every plugin is there.
    fn load(&mut self, number: u64) {
        let (_, effects) = self.state.plugins_changed(|_| number, self.now);
        for effect in effects {
            if let Effect::Tell(notice) = effect {
                self.notices.push(notice);
            }
        }
    }
}

fn fault() -> Fault {
    Fault {
        plugin: "p".into(),
        generation: 1,
        reason: "it crashed".to_owned(),
    }
}

fn holding() -> Hand {
    Hand::new(json!({"concurrency": 4, "on_error": "hold", "schedule": ["10s"], "max_attempts": 2}))
}

fn ordered() -> Hand {
    Hand::new(json!({"concurrency": 4, "ordering": "key", "schedule": ["10s"], "max_attempts": 2}))
}

#[test]
fn a_parked_delivery_holds_its_key_alone_until_another_generation() {
    let mut hand = holding();
    hand.offer_keys(&[A]);
    assert_eq!(hand.run_with(&[1], &End::Parked(fault())), [1]);
    hand.offer_keys(&[B, A, None, A, B]);
    assert_eq!(hand.run_with(&[], &failed()), [2, 4, 6], "3 and 5 go behind 1, unasked");
    assert_eq!(
        (hand.parked(), hand.state(), hand.state.window.outstanding()),
        (3, "parking", 0)
    );
    hand.pass(3_600);
    hand.load(1);
    hand.load(0);
    assert!(hand.start().is_empty(), "time and the same generation mend nothing");
    hand.load(2);
    assert_eq!(hand.run_with(&[], &failed()), [1, 3, 5]);
    assert_eq!(
        (hand.parked(), hand.state(), hand.state.figures.delivered),
        (0, "idle", 6)
    );
    assert!(
        matches!(
            &hand.notices[..],
            [
                Notice::Parked {
                    generation: 1,
                    offset: Offset(1),
                    ..
                },
                Notice::Released { deliveries: 3, .. }
            ]
        ),
        "{:?}",
        hand.notices
    );
}

#[test]
fn what_is_parked_again_stays_first_of_its_key() {
    let mut hand = holding();
    hand.offer_keys(&[A, A, A]);
    // All three were in flight when the first failed.
    assert_eq!(hand.run_with(&[1, 2, 3], &End::Parked(fault())).len(), 3);
    hand.load(2);
    let again = Fault {
        generation: 2,
        ..fault()
    };
    assert_eq!(hand.run_with(&[1], &End::Parked(again)), [1]);
    assert_eq!(hand.parked(), 3, "the other two are behind it");
    assert!(hand.start().is_empty());
    hand.load(3);
    assert_eq!(hand.run_with(&[], &failed()), [1, 2, 3]);
}

#[test]
fn a_change_of_the_subscription_releases() {
    let mut hand = holding();
    hand.offer_keys(&[A, None]);
    hand.run_with(&[1, 2], &End::Parked(fault()));
    let changed = Arc::new(Subscription::clone(&hand.state.subscription));
    assert_eq!(hand.state.replace(changed, hand.now).len(), 1);
    assert_eq!(hand.run_with(&[], &failed()), [1, 2]);
}

#[test]
fn parked_deliveries_are_bounded_and_nothing_is_lost() {
    let mut hand = holding();
    let many = MOST_RETRIES as u64 + 500;
    hand.offer_keys(&[A]);
    hand.run_with(&[1], &End::Parked(fault()));
    for _ in 1..many {
        hand.offer_keys(&[A]);
        assert!(hand.start().is_empty());
    }
    assert_eq!(
        (hand.parked(), hand.state(), hand.state.queue.len()),
        (MOST_RETRIES, "parking", 0)
    );
    let status = hand.state.status(Offset(many + 1), Offset(many + 1));
    assert!(status.reason.unwrap().contains("wait in the log"));
    assert_eq!((status.cursor, status.behind), (Offset(MOST_RETRIES as u64 + 1), 500));
    hand.load(2);
    assert_eq!(hand.run(&accepted()), (1..=many).collect::<Vec<_>>());
}

#[test]
fn what_a_young_generation_fails_costs_no_attempt() {
    let mut hand = Hand::new(json!({"concurrency": 1, "schedule": ["10s"], "max_attempts": 1}));
    hand.offer_keys(&[None, None]);
    assert_eq!(hand.run_with(&[1, 2], &End::Spared(fault())), [1, 2]);
    assert_eq!((hand.parked(), hand.state.retries.len(), hand.state()), (0, 2, "idle"));
    hand.pass(10);
    assert_eq!(hand.run_with(&[1, 2], &End::Spared(fault())), [1, 2], "on the schedule");
    hand.load(2);
    assert_eq!(
        hand.run_with(&[], &failed()),
        [1, 2],
        "and at once when it is rolled back"
    );
    assert_eq!((hand.state.figures.dead, hand.state.figures.failed), (0, 0));
}

#[test]
fn a_failure_of_a_load_that_is_gone_is_no_reason_to_park() {
    let mut end = End::Parked(fault());
    end.judge_age(|_| 1);
    assert!(matches!(end, End::Parked(_)));
    end.judge_age(|_| 0);
    assert!(
        matches!(end, End::Parked(_)),
        "it is not there: its next load will tell"
    );
    end.judge_age(|_| 2);
    assert!(matches!(end, End::Outdated));
    let mut hand = holding();
    hand.offer_keys(&[A]);
    let work = hand.start().remove(0);
    hand.end(work, &end);
    assert_eq!((hand.run(&accepted()), hand.notices.len()), (vec![1], 0));
}

#[test]
fn in_order_a_key_goes_one_at_a_time_and_holds_no_other() {
    let mut hand = ordered();
    hand.offer_keys(&[A, A, B, None, A, None]);
    let works = hand.start();
    let offsets = |works: &[Work]| works.iter().map(|work| work.items[0].offset.0).collect::<Vec<_>>();
    assert_eq!(offsets(&works), [1, 3, 4, 6]);
    for work in works {
        hand.end(work, &accepted());
    }
    let second = hand.start();
    assert_eq!(offsets(&second), [2]);
    for work in second {
        hand.end(work, &failed());
    }
    assert!(hand.start().is_empty(), "5 waits for the retry of 2");
    assert_eq!(
        (hand.state.retries.len(), hand.state.window.outstanding()),
        (2, 0),
        "as a row"
    );
    hand.offer_keys(&[A, B]);
    assert_eq!(hand.run(&accepted()), [8]);
    hand.pass(12);
    assert_eq!(
        hand.run_with(&[2], &failed()),
        [2, 5, 7],
        "2 is dead, and the key goes on"
    );
    assert_eq!((hand.state.figures.dead, hand.state.figures.delivered), (1, 7));
    assert_eq!(hand.state.keys.waiting(), 0);
}

#[test]
fn an_ordered_lane_that_was_held_goes_on_in_order() {
    let mut hand = ordered();
    hand.offer_keys(&[A, B, A, A]);
    for work in hand.start() {
        hand.end(work, &held());
    }
    hand.offer_keys(&[A, B]);
    hand.load(1);
    let tried = hand.run(&accepted());
    let of_a: Vec<_> = tried.iter().filter(|offset| ![2, 6].contains(*offset)).collect();
    assert_eq!((of_a, tried.len()), (vec![&1, &3, &4, &5], 6));
}

#[test]
fn a_full_key_leaves_the_rest_to_the_log() {
    let mut hand = ordered();
    hand.offer_keys(&[A]);
    let first = hand.start().remove(0);
    for _ in 0..3 * QUEUE_RECORDS {
        hand.offer_keys(&[A]);
    }
    assert!(matches!(hand.step(), Step::Rest { .. }));
    assert_eq!(hand.state.keys.waiting(), QUEUE_RECORDS);
    assert!(matches!(hand.state.window.feed(), Feed::Behind { .. }));
    hand.end(first, &failed());
    assert_eq!(
        (hand.state.retries.len(), hand.state.keys.waiting()),
        (QUEUE_RECORDS + 1, 0)
    );
}

#[test]
fn what_was_written_down_comes_back_in_its_line() {
    let mut hand = holding();
    hand.offer_keys(&[A, A, None]);
    hand.run_with(&[1, 2, 3], &End::Parked(fault()));
    let collected = hand.state.collect(Offset(4)).unwrap();
    assert_eq!((collected.row, collected.holds), (Some(None), Some(Offset(1))));
    let (mut after, mut rows) = (holding(), Vec::new());
    for change in collected.changes.into_values() {
        let Change::Retry(row) = change else {
            panic!("{change:?}")
        };
        assert_eq!(
            (row.tries, row.key.as_deref()),
            (0, A.filter(|_| row.offset < Offset(3)))
        );
        rows.push(row);
    }
    after.state.restore_all(rows, Offset(1));
    let works = after.start();
    assert_eq!(
        works.iter().map(|work| work.items[0].offset.0).collect::<Vec<_>>(),
        [3],
        "1 may have to follow another of its key, which the lane has not come to yet"
    );
    for work in works {
        after.end(work, &accepted());
    }
    // A crash has left the cursor behind: what had a row is not taken a second time.
    after.offer_keys(&[A, A, None, A]);
    assert_eq!(
        (after.run(&accepted()), after.state.figures.delivered),
        (vec![1, 2, 4], 4)
    );
    assert_eq!((after.state.window.outstanding(), after.state.restored.len()), (0, 0));
}
