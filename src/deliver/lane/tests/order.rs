//! Order, against a model: whatever happens to a lane, and in whatever sequence.
//!
//! Records are appended, dispatched, attempted with every outcome there is, checkpointed well or badly; the time passes,
//! plugins are swapped, the subscription is replaced, paused and resumed, and at any point the hub crashes and comes back
//! from what its store has. The lane is the real one; the store, the log and the dispatcher are a few lines each.
//! The model knows of every record only whether it is open, in flight or over, and says:
//! - a record of a line (its key, or everything under `ordering: all`) begins only when all before it in its line are over;
//! - what is over never begins again, but for a crash that came before it was written down;
//! - no checkpoint forgets a record that is not over;
//! - when the sink works again, everything ends: no line waits for ever, and nobody has to nudge the lane.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::subscription::Retry;

/// The keys that records have.
const KEYS: [Option<&str>; 4] = [Some("a"), Some("b"), Some("c"), None];
/// Steps after which a world that does not end is taken to run in a circle.
const PATIENCE: usize = 20_000;

/// Something that happens.
#[derive(Debug, Clone)]
enum Deed {
    /// Records of these keys are published.
    Append(Vec<usize>),
    /// The dispatcher offers so many.
    Offer(usize),
    /// The lane's task does so many things.
    Step(usize),
    /// The nth attempt in flight ends: its first record like this, the others like that.
    End(usize, Fate, Fate),
    /// A read of the log ends, with so many records.
    Read(u64),
    /// Seconds go by.
    Pass(u64),
    /// A checkpoint is written, with so many records offered while it is made; or it fails.
    Checkpoint(usize, bool),
    /// The hub is gone, and comes back.
    Crash,
    /// The subscription is written anew, with so many places.
    Replace(usize),
    Pause,
    Resume,
    /// Another generation of the plugin is loaded.
    Swap,
}

/// How an attempt at one record ends.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Accepted,
    Filtered,
    Retry,
    Throttled,
    Gone,
    Disabled(bool),
    Rejected,
    Held,
    Parked,
    Spared,
    Unread,
    NoRoom,
    Lost,
}

/// Where a record stands, as far as the model is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Flying,
    Over,
}

/// What the store has of the lane.
#[derive(Default)]
struct Saved {
    floor: Offset,
    row: Option<Offset>,
    rows: BTreeMap<Offset, Retry>,
}

struct World {
    hand: Hand,
    /// By offset; the first record's is 1.
    standing: Vec<Standing>,
    keys: Vec<Option<&'static str>>,
    saved: Saved,
    /// What the dispatcher has yet to offer of what it has published.
    offering: std::ops::Range<u64>,
    flying: Vec<(Work, u64)>,
    reading: Option<Offset>,
    /// Whether the lane's task has something to look at.
    awake: bool,
    alarm: Option<Timestamp>,
    generation: u64,
}

impl World {
    fn new(subscription: &Value) -> Self {
        let hand = Hand::of(subscription);
        Self {
            hand,
            standing: vec![Standing::Over],
            keys: vec![None],
            saved: Saved {
                floor: Offset(1),
                ..Saved::default()
            },
            offering: 1..1,
            flying: Vec::new(),
            reading: None,
            awake: false,
            alarm: None,
            generation: 1,
        }
    }

    fn does(&mut self, deed: &Deed) {
        match deed {
            Deed::Append(keys) => self.append(keys),
            Deed::Offer(count) => (0..*count).for_each(|_| self.offer()),
            Deed::Step(count) => (0..*count).for_each(|_| self.step()),
            Deed::End(nth, first, others) if !self.flying.is_empty() => {
                self.end(nth % self.flying.len(), *first, *others);
            }
            Deed::End(..) => {}
            Deed::Read(count) => self.read(*count),
            Deed::Pass(seconds) => self.pass(*seconds * 1_000),
            Deed::Checkpoint(late, fails) => self.checkpoint(*late, *fails),
            Deed::Crash => self.crash(),
            Deed::Replace(places) => self.replace(|one| one.config.concurrency = *places),
            Deed::Pause => self.replace(|one| {
                one.state = Running::Paused {
                    reason: "requested".to_owned(),
                }
            }),
            Deed::Resume => self.replace(|one| one.state = Running::Active),
            Deed::Swap => {
                self.generation += 1;
                self.recheck();
            }
        }
    }

    fn end_of_log(&self) -> u64 {
        self.keys.len() as u64
    }

    fn append(&mut self, keys: &[usize]) {
        for key in keys {
            let (offset, key) = (self.end_of_log(), KEYS[*key]);
            self.hand.keys.extend(key.map(|key| (offset, key)));
            self.keys.push(key);
            self.standing.push(Standing::Open);
        }
    }

    fn offer(&mut self) {
        let position = &self.hand.bus.position;
        if self.offering.is_empty() {
            position.dispatch(Offset(self.offering.end));
            let upto = self.end_of_log().min(self.offering.end + 4);
            if upto == self.offering.end {
                return;
            }
            self.offering.end = upto;
            position.publish(Offset(upto));
        }
        let offset = self.offering.next().unwrap();
        let asks = self.hand.state.offer(self.hand.record(offset), self.hand.now);
        self.woken(asks);
        if self.offering.is_empty() {
            self.hand.bus.position.dispatch(Offset(self.offering.end));
        }
    }

    fn woken(&mut self, asks: Asks) {
        self.awake |= asks.start || asks.wake;
    }

    fn step(&mut self) {
        if !self.awake {
            return;
        }
        let before = self.hand.state.to_write();
        let step = self.hand.step();
        if self.hand.state.to_write() != before {
            self.hand.state.mark();
        }
        match step {
            Step::Attempt(work) => {
                for item in &work.items {
                    self.begins(item.offset.0);
                }
                self.flying.push((work, self.generation));
            }
            Step::Read(from) => self.reading = Some(from),
            Step::Rest { until, .. } => {
                self.awake = false;
                if let Some(until) = until {
                    self.hand.state.set_alarm(until);
                    self.alarm = self.alarm.into_iter().chain([until]).min();
                }
            }
        }
    }

    /// What the model says of a record that begins.
    fn begins(&mut self, offset: u64) {
        let line = self.line(offset);
        let at = usize::try_from(offset).unwrap();
        assert_eq!(
            self.standing[at],
            Standing::Open,
            "record {offset} begins, and is not open"
        );
        let before = (1..offset).filter(|earlier| line.is_some() && self.line(*earlier) == line);
        for earlier in before {
            let stands = self.standing[usize::try_from(earlier).unwrap()];
            assert_eq!(
                stands,
                Standing::Over,
                "record {offset} begins before {earlier} of {line:?} is over"
            );
        }
        self.standing[at] = Standing::Flying;
    }

    fn line(&self, offset: u64) -> Option<&'static str> {
        match self.hand.state.subscription.config.ordering {
            Ordering::All => Some(""),
            Ordering::Key => self.keys[usize::try_from(offset).unwrap()],
            Ordering::None => None,
        }
    }

    fn end(&mut self, nth: usize, first: Fate, others: Fate) {
        let (work, begun_with) = self.flying.swap_remove(nth);
        let mut ends = Vec::new();
        for (nth, item) in work.items.iter().enumerate() {
            let fate = if nth == 0 { first } else { others };
            let over = matches!(fate, Fate::Accepted | Fate::Filtered | Fate::Disabled(true));
            self.standing[usize::try_from(item.offset.0).unwrap()] = if over { Standing::Over } else { Standing::Open };
            let mut end = fate.end(item.tries + 1, begun_with);
            end.judge_age(|_| self.generation);
            ends.push(end);
        }
        let held = ends.iter().any(|end| matches!(end, End::Held { .. }));
        let blames = ends.iter().any(|end| matches!(end, End::Parked(_) | End::Spared(_)));
        let effects = self
            .hand
            .state
            .settle(Done { work, ends }, self.hand.now, &mut || Jitter::new(0.0));
        for effect in effects {
            if let Effect::Tell(Notice::Dead { offset, .. }) = effect {
                self.standing[usize::try_from(offset.0).unwrap()] = Standing::Over;
            }
        }
        self.hand.state.mark();
        self.awake = true;
        if blames || (held && begun_with != self.generation) {
            self.recheck();
        }
    }

    fn recheck(&mut self) {
        let generation = self.generation;
        let (asks, _) = self.hand.state.plugins_changed(|_| generation, self.hand.now);
        self.woken(asks);
    }

    fn read(&mut self, count: u64) {
        let Some(from) = self.reading.take() else { return };
        let upto = Offset(self.end_of_log().min(from.0 + count.max(1)));
        let wanted = (from.0..upto.0).map(|offset| self.hand.record(offset)).collect();
        self.hand.state.took_read(from, wanted, upto, self.hand.now);
        self.hand.state.mark();
        self.awake = true;
    }

    fn pass(&mut self, millis: u64) {
        self.hand.now = self.hand.now.plus(Duration::from_millis(millis));
        if self.alarm.is_some_and(|alarm| alarm <= self.hand.now) {
            self.alarm = None;
            let asks = self.hand.state.alarm_rang();
            self.woken(asks);
        }
    }

    fn replace(&mut self, change: impl FnOnce(&mut Subscription)) {
        let mut next = Subscription::clone(&self.hand.state.subscription);
        change(&mut next);
        let _ = self.hand.state.replace(Arc::new(next), self.hand.now);
        let asks = self.hand.state.ask();
        self.woken(asks);
    }

    fn checkpoint(&mut self, late: usize, fails: bool) {
        let floor = self.hand.bus.position.dispatched();
        (0..late).for_each(|_| self.offer());
        let noted = self.hand.state.dirty;
        let collected = noted.then(|| self.hand.state.collect(floor).unwrap());
        if fails {
            collected
                .into_iter()
                .for_each(|lost| self.hand.state.give_back(lost.changes));
            return;
        }
        self.saved.floor = floor;
        if let Some(collected) = collected {
            self.saved.row = collected.row.unwrap_or(self.saved.row);
            for (offset, change) in collected.changes {
                match change {
                    Change::Retry(row) => drop(self.saved.rows.insert(offset, row)),
                    Change::Settled | Change::Dead(_) => drop(self.saved.rows.remove(&offset)),
                }
            }
        }
        for (offset, stands) in self.standing.iter().enumerate() {
            let forgotten = self.is_forgotten(offset) && *stands != Standing::Over;
            assert!(!forgotten, "a checkpoint forgets record {offset}, which is {stands:?}");
        }
    }

    /// Whether a hub that starts from the store would not deliver it.
    fn is_forgotten(&self, offset: usize) -> bool {
        let offset = Offset(offset as u64);
        offset < self.saved.row.unwrap_or(self.saved.floor) && !self.saved.rows.contains_key(&offset)
    }

    fn crash(&mut self) {
        self.standing = (0..self.standing.len())
            .map(|offset| {
                if self.is_forgotten(offset) {
                    Standing::Over
                } else {
                    Standing::Open
                }
            })
            .collect();
        let (floor, row) = (self.saved.floor, self.saved.row);
        let window = row.map_or_else(|| Window::live(floor), Window::behind);
        let mut state = State::new(self.hand.state.subscription.clone(), window);
        state.stored_row(row);
        let rows: Vec<Retry> = self.saved.rows.values().cloned().collect();
        let has_work = row.is_some() || !rows.is_empty();
        let cursor = state.window.floor(floor);
        state.restore_all(rows, cursor);
        self.hand.bus = Bus::new(BusName::default_bus(), floor);
        self.offering = floor.0..floor.0;
        (self.flying, self.reading, self.alarm, self.awake) = (Vec::new(), None, None, false);
        let asks = if has_work { state.ask() } else { Asks::default() };
        self.hand.state = state;
        self.woken(asks);
    }

    /// The sink works, the plugin too, and nobody pauses anything: everything must come to its end.
    fn drain(&mut self) {
        self.does(&Deed::Resume);
        self.does(&Deed::Swap);
        for _ in 0..PATIENCE {
            self.offer();
            self.read(256);
            self.step();
            let last = self.flying.len().checked_sub(1).filter(|_| !self.awake);
            last.into_iter()
                .for_each(|nth| self.end(nth, Fate::Accepted, Fate::Accepted));
            let rests =
                !self.awake && self.reading.is_none() && self.hand.bus.position.dispatched().0 == self.end_of_log();
            if !rests {
                continue;
            }
            if self.standing.iter().all(|stands| *stands == Standing::Over) {
                self.checkpoint(0, false);
                let saved = (self.saved.row.unwrap_or(self.saved.floor).0, self.saved.rows.len());
                assert_eq!(saved, (self.end_of_log(), 0), "the store says that all is over");
                return;
            }
            let alarm = self
                .alarm
                .unwrap_or_else(|| panic!("it waits for nothing: {:?}", self.standing));
            self.pass(u64::try_from((alarm.0 - self.hand.now.0).max(0)).unwrap());
        }
        panic!("it runs in a circle: {:?}", self.standing);
    }
}

impl Fate {
    fn end(self, number: u32, generation: u64) -> End {
        let fault = || Fault {
            plugin: "p".into(),
            generation,
            reason: "it crashed".to_owned(),
        };
        let after = Some(Duration::from_secs(40));
        let (outcome, status) = match self {
            Self::Accepted => (Outcome::Accepted, 200),
            Self::Retry => (Outcome::Retry { after: None }, 503),
            Self::Throttled => (Outcome::Retry { after }, 429),
            Self::Gone => (Outcome::Gone, 410),
            Self::Disabled(accepted) => (Outcome::Disabled { accepted }, 200),
            Self::Rejected => (
                Outcome::Rejected {
                    reason: "no".to_owned(),
                },
                400,
            ),
            Self::Filtered => return End::Filtered,
            Self::Held => return held(),
            Self::Parked => return End::Parked(fault()),
            Self::Spared => return End::Spared(fault()),
            Self::Unread => return End::Unread,
            Self::NoRoom => return End::NoRoom,
            Self::Lost => return End::Lost,
        };
        match tried(outcome) {
            End::Tried {
                mut attempt,
                outcome,
                sink,
            } => {
                (attempt.number, attempt.status) = (number, Some(status));
                End::Tried { attempt, outcome, sink }
            }
            other => other,
        }
    }
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Accepted),
        6 => Just(Fate::Retry),
        1 => Just(Fate::Throttled),
        2 => Just(Fate::Filtered),
        1 => Just(Fate::Gone),
        1 => any::<bool>().prop_map(Fate::Disabled),
        2 => Just(Fate::Rejected),
        2 => Just(Fate::Held),
        2 => Just(Fate::Parked),
        1 => Just(Fate::Spared),
        1 => Just(Fate::Unread),
        1 => Just(Fate::NoRoom),
        1 => Just(Fate::Lost),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => prop::collection::vec(0..KEYS.len(), 1..8).prop_map(Deed::Append),
        8 => (1_usize..8).prop_map(Deed::Offer),
        10 => (1_usize..8).prop_map(Deed::Step),
        12 => (any::<usize>(), fates(), fates()).prop_map(|(nth, first, others)| Deed::End(nth, first, others)),
        3 => (1_u64..6).prop_map(Deed::Read),
        4 => (1_u64..30).prop_map(Deed::Pass),
        4 => (0_usize..4, prop::bool::weighted(0.2)).prop_map(|(late, fails)| Deed::Checkpoint(late, fails)),
        1 => Just(Deed::Crash),
        1 => (1_usize..5).prop_map(Deed::Replace),
        1 => Just(Deed::Pause),
        2 => Just(Deed::Resume),
        1 => Just(Deed::Swap),
    ];
    prop::collection::vec(deed, 1..150)
}

fn lives(subscription: &Value, deeds: &[Deed]) {
    let mut world = World::new(subscription);
    deeds.iter().for_each(|deed| world.does(deed));
    world.drain();
}

fn subscription(ordering: &str, format: &str) -> Value {
    json!({"sink": "http://sink.example/", "protocolsettings": {"format": format}, "config": {
        "ordering": ordering, "concurrency": 3, "schedule": ["5s", "20s"], "max_attempts": 3, "on_error": "hold",
        "batch": {"count": 3, "wait": "2s"}}})
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn of_each_key_one_at_a_time_and_in_order(deeds in deeds()) {
        lives(&subscription("key", "structured"), &deeds);
    }

    #[test]
    fn of_each_key_in_batches_too(deeds in deeds()) {
        lives(&subscription("key", "batch"), &deeds);
    }

    #[test]
    fn in_one_line(deeds in deeds()) {
        lives(&subscription("all", "structured"), &deeds);
    }

    #[test]
    fn without_order_nothing_is_lost_or_repeated_either(deeds in deeds()) {
        lives(&subscription("none", "batch"), &deeds);
    }
}
