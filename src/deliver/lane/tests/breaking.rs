//! A lane whose sink fails: what it costs, what goes out while the breaker is open and half open, and whose turn it is.

use super::*;

impl Hand {
    fn turns(&self) -> Vec<Turn> {
        let of = |notice: &Notice| match notice {
            Notice::Breaker { turn, .. } => Some(*turn),
            _ => None,
        };
        self.notices.iter().filter_map(of).collect()
    }

    /// When it wants to go on by itself.
    fn rests_until(&mut self) -> Option<Timestamp> {
        match self.step() {
            Step::Rest { until, .. } => until,
            _ => panic!("it has something to do"),
        }
    }

    /// Puts retries for these records in, due from now on.
    fn retries(&mut self, offsets: std::ops::RangeInclusive<u64>) {
        for offset in offsets {
            let waiting = Waiting::until(self.now, 1, Vec::new());
            self.state.retries.insert(Offset(offset), waiting);
        }
    }
}

/// Probe or not, retry or not, and which records.
fn described(works: &[Work]) -> Vec<(bool, bool, u64)> {
    works
        .iter()
        .map(|work| (work.probe, work.retry, work.items[0].offset.0))
        .collect()
}

#[test]
fn an_open_breaker_costs_a_cursor() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 4, "schedule": ["1h"], "max_attempts": 3}));
    hand.offer_up_to(500);
    let tried = hand.run(&failed());
    assert!((8..=11).contains(&tried.len()), "{tried:?}");
    assert_eq!((hand.state(), hand.state.queue.len()), ("open", 0));
    let first = tried.len() as u64 + 1;
    assert_eq!(hand.state.window.feed(), Feed::Behind { next: Offset(first) });
    assert_eq!(hand.rests_until(), Some(START.plus(Duration::from_secs(5))));
    hand.pass(5);
    let works = hand.start();
    assert_eq!(described(&works), [(true, false, first)]);
    for work in works {
        hand.end(work, &accepted());
    }
    assert_eq!(hand.state(), "half_open");
    for few in [1, 2, 3] {
        let mut works = hand.start();
        assert_eq!(works.len(), few, "one more at a time");
        // The last to end says how many may go next; the others leave room for them before.
        works.drain(1..).for_each(|work| hand.end(work, &end_of_none()));
        hand.end(works.remove(0), &accepted());
    }
    let mut rest = hand.run(&accepted());
    rest.sort_unstable();
    assert_eq!((rest.last(), rest.len()), (Some(&500), 500 - tried.len() - 4));
    assert_eq!(hand.turns(), [Turn::Opened, Turn::HalfOpened, Turn::Closed]);
}

/// Nobody was called: it comes back.
fn end_of_none() -> End {
    End::Outdated
}

/// The rows of a sink that is down for a day are those of its first failures and of its probes, however much comes.
#[test]
fn a_day_of_events_costs_no_more_rows_than_were_in_flight() {
    let mut hand =
        Hand::new(serde_json::json!({"concurrency": 16, "schedule": ["5s", "30s", "2m"], "max_attempts": 9}));
    hand.offer_up_to(100_000);
    let tried = hand.run(&failed());
    assert!(tried.len() <= 8 + 16, "{}", tried.len());
    let (mut probes, mut day) = (0, 86_400);
    let before = tried.len();
    while day > 0 {
        hand.pass(10);
        day -= 10;
        probes += hand.run(&failed()).len();
    }
    // About one a minute, and never two for the same sink at once.
    assert!((1_000..=1_500).contains(&probes), "{probes}");
    let (dead, waiting) = (hand.state.figures.dead, hand.state.retries.len());
    assert!(waiting <= before + probes, "{waiting}");
    assert!(dead > 0, "those that were tried nine times were given up");
    assert_eq!((hand.state.queue.len(), hand.state.window.outstanding()), (0, 0));
    assert_eq!(hand.turns(), [Turn::Opened], "and nobody was told of anything since");
    hand.pass(60);
    let delivered = hand.run(&accepted());
    hand.pass(60);
    let delivered = delivered.len() + hand.run(&accepted()).len();
    assert_eq!(delivered as u64 + dead, 100_000);
}

#[test]
fn retries_that_are_due_wait_for_the_sink_too() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 4, "schedule": ["1s"], "max_attempts": 99}));
    hand.offer_up_to(8);
    assert_eq!(hand.run(&failed()).len(), 8);
    assert_eq!(hand.state(), "open");
    hand.pass(2);
    assert!(hand.start().is_empty(), "all eight are due, and none goes");
    assert_eq!(
        hand.rests_until(),
        Some(START.plus(Duration::from_secs(5))),
        "nobody wakes for their sake"
    );
    hand.pass(3);
    let works = hand.start();
    assert_eq!(described(&works), [(true, true, 1)]);
    for work in works {
        hand.end(work, &failed());
    }
    assert_eq!(
        hand.state.retries.at(Offset(2)).map(|waiting| waiting.tries),
        Some(1),
        "waiting costs no attempt"
    );
    hand.pass(10);
    assert_eq!(hand.run(&accepted()).len(), 8);
    assert_eq!((hand.state(), hand.state.retries.len()), ("idle", 0));
}

#[test]
fn a_lane_in_one_line_probes_with_what_is_first_in_it() {
    let config = serde_json::json!({"ordering": "all", "schedule": ["1s"], "max_attempts": 99});
    let mut hand = Hand::new(config);
    hand.offer_up_to(3);
    for second in 0..8 {
        assert_eq!(hand.run(&failed()), [1], "{second}");
        hand.pass(1);
    }
    assert_eq!(hand.state(), "open");
    assert!(hand.start().is_empty());
    hand.pass(5);
    assert_eq!(hand.run(&accepted()), [1, 2, 3]);
}

#[test]
fn what_has_just_happened_goes_before_old_failures_and_these_have_their_turn() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 1, "schedule": ["1s"], "max_attempts": 9}));
    hand.bus.position.dispatch(Offset(10_001));
    hand.bus.position.publish(Offset(10_001));
    hand.retries(1..=9_000);
    hand.offer_up_to(10_012);
    let mut order = Vec::new();
    for _ in 0..16 {
        let works = hand.start();
        order.extend(works.iter().map(|work| work.retry));
        works.into_iter().for_each(|work| hand.end(work, &accepted()));
    }
    let due = [false, false, false, true].repeat(4);
    assert_eq!(order, due);
    assert!(
        hand.start().iter().all(|work| work.retry),
        "and then they have all of it"
    );
}

#[test]
fn a_change_or_a_word_tries_an_open_sink_at_once() {
    let mut hand = Hand::new(serde_json::json!({"concurrency": 4, "schedule": ["1h"]}));
    hand.offer_up_to(100);
    hand.run(&failed());
    assert!(hand.start().is_empty());
    assert!(hand.state.try_sink(hand.now).is_none());
    let works = hand.start();
    assert_eq!((works.len(), works[0].probe), (1, true));
    let changed = Arc::new(Subscription::clone(&hand.state.subscription));
    assert!(hand.state.replace(changed, hand.now).is_empty(), "it is still open");
    assert_eq!(hand.start().len(), 1, "another sink, another probe");
    let mut off = Subscription::clone(&hand.state.subscription);
    off.config.breaker.failures = 0;
    let effects = hand.state.replace(Arc::new(off), hand.now);
    assert!(matches!(
        effects[..],
        [Effect::Tell(Notice::Breaker { turn: Turn::Closed, .. })]
    ));
    assert!(hand.start().len() > 1);
}
