//! A lane's decisions without sockets or disk: the state, the time and the dispatcher's position go in, steps and
//! changes come out.

mod breaking;
mod parking;

use std::time::Duration;

use super::*;
use crate::deliver::retry::{Jitter, Outcome};
use crate::log::{BusName, Record};
use crate::subscription::DeliveryConfig;
use crate::time::Timestamp;

const START: Timestamp = Timestamp(1_000_000);

/// A lane that is driven by hand.
struct Hand {
    state: State,
    bus: Bus,
    now: Timestamp,
    notices: Vec<Notice>,
    /// The keys of the records in the log, where they have one.
    keys: BTreeMap<u64, &'static str>,
}

impl Hand {
    fn new(config: serde_json::Value) -> Self {
        let json = serde_json::json!({"sink": "http://sink.example/", "config": config});
        let id = SubscriptionId("s".into());
        let (name, defaults) = (BusName::default_bus(), DeliveryConfig::default());
        let subscription = Subscription::from_json(id, name.clone(), &json, &defaults, START).unwrap();
        let state = State::new(Arc::new(subscription), Window::live(Offset(1)));
        Self {
            state,
            bus: Bus::new(name, Offset(1)),
            now: START,
            notices: Vec::new(),
            keys: BTreeMap::new(),
        }
    }

    fn queued(offset: u64) -> Queued {
        Self::keyed(offset, None)
    }

    /// A record as it is in the log.
    fn record(&self, offset: u64) -> Queued {
        Self::keyed(offset, self.keys.get(&offset).copied())
    }

    fn keyed(offset: u64, key: Option<&str>) -> Queued {
        let event = crate::deliver::tests::rig::keyed(offset, key);
        let record = Arc::new(Record::new(Offset(offset), START, event));
        Queued {
            candidate: Arc::new(Candidate::new(record)),
            says: Match::Yes,
        }
    }

    /// What the dispatcher does with records up to `last`.
    fn offer_up_to(&mut self, last: u64) {
        let first = self.bus.position.dispatched().0;
        self.bus.position.publish(Offset(last + 1));
        for offset in first..=last {
            let _ = self.state.offer(Self::queued(offset), self.now);
        }
        self.bus.position.dispatch(Offset(last + 1));
    }

    fn step(&mut self) -> Step {
        self.state.step(self.now, &self.bus.position, false)
    }

    /// Starts every attempt that may start, and does every read.
    fn start(&mut self) -> Vec<Work> {
        let mut works = Vec::new();
        loop {
            match self.step() {
                Step::Attempt(work) => works.push(work),
                Step::Read(from) => {
                    let upto = Offset((from.0 + 256).min(self.bus.position.published().0));
                    let wanted = (from.0..upto.0).map(|offset| self.record(offset)).collect();
                    self.state.took_read(from, wanted, upto, self.now);
                }
                Step::Rest { .. } => return works,
            }
        }
    }

    fn end(&mut self, work: Work, end: &End) {
        let ends = work.items.iter().map(|item| match end.clone() {
            End::Tried {
                mut attempt,
                outcome,
                sink,
            } => {
                attempt.number = item.tries + 1;
                End::Tried { attempt, outcome, sink }
            }
            other => other,
        });
        let done = Done {
            ends: ends.collect(),
            work,
        };
        for effect in self.state.settle(done, self.now, &mut || Jitter::new(0.0)) {
            if let Effect::Tell(notice) = effect {
                self.notices.push(notice);
            }
        }
    }

    /// Ends everything that is started, over and over, until nothing starts; which records were tried, in order.
    fn run(&mut self, end: &End) -> Vec<u64> {
        let mut tried = Vec::new();
        loop {
            let works = self.start();
            if works.is_empty() {
                return tried;
            }
            for work in works {
                tried.extend(work.items.iter().map(|item| item.offset.0));
                self.end(work, end);
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn state(&self) -> &'static str {
        self.state
            .status(self.bus.position.dispatched(), self.bus.position.published())
            .state
    }
}

fn tried(outcome: Outcome) -> End {
    let words = if outcome == Outcome::Accepted {
        "delivered"
    } else {
        "the sink answered 503"
    };
    let attempt = Attempt {
        number: 1,
        at: 0,
        took_ms: 0,
        status: None,
        outcome: words.to_owned(),
        answer: None,
    };
    End::Tried {
        attempt,
        outcome,
        sink: true,
    }
}

fn accepted() -> End {
    tried(Outcome::Accepted)
}

fn failed() -> End {
    tried(Outcome::Retry { after: None })
}

fn held() -> End {
    End::Held { plugin: "p".to_owned() }
}

#[test]
fn no_more_is_in_flight_than_allowed_and_retries_leave_room() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 4, "schedule": ["1s"], "max_attempts": 9}));
    hand.offer_up_to(6);
    assert_eq!(hand.run(&failed()), [1, 2, 3, 4, 5, 6]);
    hand.pass(1);
    hand.offer_up_to(16);
    let works = hand.start();
    let retries = works.iter().filter(|work| work.retry).count();
    assert_eq!((works.len(), retries), (4, 1), "three first attempts, then a retry");
    assert!(hand.start().is_empty());
    for work in works {
        hand.end(work, &accepted());
    }
    hand.run(&accepted());
    assert_eq!(
        (hand.state.figures.delivered, hand.state.retries.len(), hand.state()),
        (16, 0, "idle")
    );
}

#[test]
fn a_full_lane_turns_to_the_log_and_comes_back() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 2}));
    hand.offer_up_to(2_500);
    assert_eq!(hand.state.queue.len(), QUEUE_RECORDS);
    assert_eq!(hand.state.window.feed(), Feed::Behind { next: Offset(1_025) });
    assert_eq!(hand.run(&accepted()), (1..=2_500).collect::<Vec<_>>());
    assert!(matches!(hand.state.window.feed(), Feed::Live { .. }));
    hand.offer_up_to(2_501);
    assert_eq!(hand.run(&accepted()), [2_501]);
    assert!(hand.state.queue.capacity() <= 64, "a burst's room goes back");
}

#[test]
fn a_read_that_was_overtaken_is_thrown_away() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 1}));
    hand.offer_up_to(1_100);
    // Eat the queue down to where the lane reads, and pause it while the read is under way.
    let from = loop {
        match hand.step() {
            Step::Attempt(work) => hand.end(work, &accepted()),
            Step::Read(from) => break from,
            Step::Rest { .. } => panic!("it is behind"),
        }
    };
    let mut paused = Subscription::clone(&hand.state.subscription);
    paused.state = Running::Paused {
        reason: "requested".to_owned(),
    };
    let _ = hand.state.replace(Arc::new(paused.clone()), START);
    assert!(
        matches!(hand.step(), Step::Rest { end: false, .. }),
        "the read is still under way"
    );
    let before = hand.state.window.floor(Offset(1_101));
    hand.state.took_read(
        from,
        (from.0..1_101).map(Hand::queued).collect(),
        Offset(1_101),
        hand.now,
    );
    assert_eq!(
        (hand.state.queue.len(), hand.state.window.floor(Offset(1_101))),
        (0, before)
    );
    paused.state = Running::Active;
    let _ = hand.state.replace(Arc::new(paused), START);
    assert_eq!(hand.run(&accepted()), (before.0..=1_100).collect::<Vec<_>>());
}

#[test]
fn a_task_ends_only_when_nothing_is_in_flight() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 1}));
    let asks = hand.state.offer(Hand::queued(1), hand.now);
    assert_eq!(
        asks,
        Asks {
            note: true,
            start: true,
            wake: false
        }
    );
    let Step::Attempt(work) = hand.step() else {
        panic!("there is work")
    };
    assert!(matches!(hand.step(), Step::Rest { end: false, .. }));
    let asks = hand.state.offer(Hand::queued(2), hand.now);
    assert_eq!(
        asks,
        Asks {
            note: false,
            start: false,
            wake: true
        }
    );
    hand.end(work, &accepted());
    let Step::Attempt(work) = hand.step() else {
        panic!("there is work")
    };
    hand.end(work, &accepted());
    assert!(matches!(hand.step(), Step::Rest { end: true, until: None }));
    assert!(
        hand.state.offer(Hand::queued(3), hand.now).start,
        "a new task for new work"
    );
}

#[test]
fn a_held_lane_tries_one_when_plugins_change() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 4}));
    hand.offer_up_to(300);
    let works = hand.start();
    assert_eq!(works.len(), 4);
    for work in works {
        hand.end(work, &held());
    }
    assert!(hand.start().is_empty());
    assert_eq!(
        (hand.state(), hand.state.queue.len(), hand.state.again.len()),
        ("held", 0, 4)
    );
    let _ = hand.state.plugins_changed(|_| 1, hand.now);
    let works = hand.start();
    assert_eq!(works.len(), 1, "one tries for all");
    for work in works {
        hand.end(work, &held());
    }
    assert!(hand.start().is_empty());
    assert_eq!(hand.notices.len(), 1, "still held is no news");
    let _ = hand.state.plugins_changed(|_| 1, hand.now);
    let mut tried = hand.run(&accepted());
    tried.sort_unstable();
    assert_eq!(tried, (1..=300).collect::<Vec<_>>());
    assert!(matches!(
        hand.notices[..],
        [Notice::Held { held: true, .. }, Notice::Held { held: false, .. }]
    ));
}

#[test]
fn too_many_retries_stop_first_attempts() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 8, "schedule": ["1h"], "max_attempts": 3}));
    for offset in 1..=MOST_RETRIES as u64 {
        hand.state.retries.insert(
            Offset(offset),
            Waiting::until(hand.now.plus(Duration::from_secs(60)), 1, Vec::new()),
        );
    }
    hand.bus.position.dispatch(Offset(20_000));
    hand.bus.position.publish(Offset(20_000));
    hand.offer_up_to(20_010);
    assert!(hand.start().is_empty());
    assert_eq!((hand.state(), hand.state.queue.len()), ("open", 0));
}

#[test]
fn a_checkpoint_sees_the_cursor_and_the_retry_together_and_gives_back_what_failed() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 1, "schedule": ["10s"], "max_attempts": 3}));
    hand.offer_up_to(1);
    let Step::Attempt(work) = hand.step() else {
        panic!("there is work")
    };
    let during = hand.state.collect(Offset(2)).unwrap();
    assert_eq!(
        (during.row, during.again),
        (Some(Some(Offset(1))), false),
        "in flight, it holds the cursor"
    );
    hand.end(work, &failed());
    let after = hand.state.collect(Offset(2)).unwrap();
    assert_eq!((after.row, after.holds), (Some(None), Some(Offset(1))));
    assert!(matches!(after.changes[&Offset(1)], Change::Retry(_)));
    // The write fails, and before the next one the retry succeeds: what is newer wins.
    hand.pass(10);
    let works = hand.start();
    hand.state.give_back(after.changes);
    for work in works {
        hand.end(work, &accepted());
    }
    let again = hand.state.collect(Offset(2)).unwrap();
    assert_eq!((again.row, again.holds), (Some(None), None));
    assert!(matches!(again.changes[&Offset(1)], Change::Settled));
}

#[test]
fn a_record_in_flight_keeps_its_lane_noted_until_it_has_a_row() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 1}));
    let _ = hand.state.offer(Hand::queued(1), hand.now);
    let early = hand.state.collect(Offset(1)).unwrap();
    assert_eq!(
        (early.row, early.again),
        (Some(None), true),
        "the bus floor will pass it"
    );
    let later = hand.state.collect(Offset(2)).unwrap();
    assert_eq!((later.row, later.again), (Some(Some(Offset(1))), false));
}

#[test]
fn an_attempt_that_ends_after_the_removal_changes_nothing() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 1, "schedule": ["1s"]}));
    hand.offer_up_to(3);
    let Step::Attempt(work) = hand.step() else {
        panic!("there is work")
    };
    hand.state.remove();
    hand.end(work, &failed());
    assert!(hand.state.collect(Offset(4)).is_none());
    assert!(hand.start().is_empty());
    assert_eq!(hand.state.retries.len(), 0);
}

#[test]
fn what_the_sink_of_an_older_version_said_ends_nothing() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 1}));
    hand.offer_up_to(1);
    let work = hand.start().pop().unwrap();
    let moved = Arc::new(Subscription::clone(&hand.state.subscription));
    assert!(hand.state.replace(moved, START).is_empty());
    hand.end(work, &tried(Outcome::Gone));
    assert!(hand.notices.is_empty(), "{:?}", hand.notices);
    assert_eq!(
        hand.run(&tried(Outcome::Accepted)),
        [1],
        "the new one asks its own sink"
    );
}
