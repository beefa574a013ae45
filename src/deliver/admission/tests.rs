//! The ledger by hand: thousands of lanes, some of them hung, and who gets a place when.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::ledger::{Host, Ledger, PROMPT, Quickness};

/// Lanes that always want another attempt, on a clock of milliseconds.
struct Model {
    ledger: Ledger<Ticket>,
    start: Instant,
    now: u64,
    /// When each flight ends, and whose it is.
    ends: BTreeSet<(u64, u64)>,
    flights: HashMap<u64, Ticket>,
    quickness: HashMap<u64, Quickness>,
    in_flight: HashMap<u64, usize>,
    most_in_flight: usize,
}

/// One attempt that wants a place.
#[derive(Debug, Clone)]
struct Ticket {
    lane: u64,
    host: Option<Host>,
    asked: u64,
    takes: u64,
}

impl Model {
    fn new(in_flight: usize, per_host: usize) -> Self {
        Self {
            ledger: Ledger::new(in_flight, per_host),
            start: crate::time::Clock::system().instant(),
            now: 0,
            ends: BTreeSet::new(),
            flights: HashMap::new(),
            quickness: HashMap::new(),
            in_flight: HashMap::new(),
            most_in_flight: 0,
        }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    /// A lane wants to make an attempt that takes so long. How long whoever begins now has waited.
    fn ask(&mut self, lane: u64, host: Option<&str>, takes: u64) -> Vec<(u64, u64)> {
        let host: Option<Host> = host.map(Into::into);
        let asked = self.now;
        let ticket = Ticket {
            lane,
            host: host.clone(),
            asked,
            takes,
        };
        let quickness = self.quickness.get(&lane).copied().unwrap_or_default();
        let begun = self.ledger.ask((lane, quickness), (host, ticket), self.instant());
        self.begin(begun)
    }

    fn begin(&mut self, begun: Vec<(u64, Ticket)>) -> Vec<(u64, u64)> {
        let mut waits = Vec::new();
        for (flight, ticket) in begun {
            waits.push((ticket.lane, self.now - ticket.asked));
            self.ends.insert((self.now + ticket.takes, flight));
            *self.in_flight.entry(ticket.lane).or_default() += 1;
            self.flights.insert(flight, ticket);
        }
        self.most_in_flight = self.most_in_flight.max(self.ledger.in_flight());
        waits
    }

    /// Goes on to the next end, or to this time. Who began, and after how long a wait; and whose attempt ended.
    fn pass(&mut self, until: u64) -> (Vec<(u64, u64)>, Option<Ticket>) {
        let next = self.ends.first().copied().filter(|(at, _)| *at <= until);
        let Some((at, flight)) = next else {
            self.now = until;
            return (Vec::new(), None);
        };
        self.ends.remove(&(at, flight));
        self.now = at;
        let over = self.flights.remove(&flight).unwrap();
        *self.in_flight.get_mut(&over.lane).unwrap() -= 1;
        let (begun, quickness) = self.ledger.end(flight, true, self.instant());
        self.quickness.insert(over.lane, quickness.unwrap());
        (self.begin(begun), Some(over))
    }

    /// Lets lanes that answer in these milliseconds keep so many attempts going each, for so long. The longest wait of
    /// each lane, and how many attempts it ended, from `after` on.
    fn run(
        &mut self,
        lanes: &BTreeMap<u64, (Option<String>, u64, usize)>,
        after: u64,
        until: u64,
    ) -> BTreeMap<u64, (u64, u64)> {
        let mut seen: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let note = |seen: &mut BTreeMap<u64, (u64, u64)>, now: u64, waits: Vec<(u64, u64)>| {
            for (lane, wait) in waits {
                let longest = &mut seen.entry(lane).or_default().0;
                *longest = (*longest).max(if now >= after { wait } else { 0 });
            }
        };
        for (lane, (host, takes, concurrency)) in lanes {
            for _ in 0..*concurrency {
                let waits = self.ask(*lane, host.as_deref(), *takes);
                note(&mut seen, self.now, waits);
            }
        }
        while self.now < until {
            let (waits, over) = self.pass(until);
            note(&mut seen, self.now, waits);
            let Some(over) = over else { continue };
            seen.entry(over.lane).or_default().1 += u64::from(self.now >= after);
            let waits = self.ask(over.lane, over.host.as_deref(), over.takes);
            note(&mut seen, self.now, waits);
        }
        seen
    }
}

fn each(
    ids: std::ops::Range<u64>,
    host: impl Fn(u64) -> Option<String>,
    takes: u64,
    concurrency: usize,
) -> BTreeMap<u64, (Option<String>, u64, usize)> {
    ids.map(|id| (id, (host(id), takes, concurrency))).collect()
}

const HUNG: u64 = 15_000;

#[test]
fn a_hung_crowd_leaves_the_others_what_they_need() {
    // Each row: hung lanes, healthy lanes, places. All hung ones want sixteen at once.
    for (hung, healthy, places) in [
        (10, 90, 4_096),
        (256, 100, 4_096),
        (1_000, 50, 4_096),
        (5_000, 100, 4_096),
        (300, 8, 64),
    ] {
        let mut model = Model::new(places, usize::MAX);
        let mut lanes = each(0..hung, |_| None, HUNG, 16);
        lanes.extend(each(1_000_000..1_000_000 + healthy, |_| None, 5, 1));
        // From when everybody has been seen once: the crowd does not fit at first where it is larger than the hub.
        let known = HUNG * (hung.div_ceil(places as u64) + 1);
        let seen = model.run(&lanes, known, known + 20_000);
        let longest = (1_000_000..1_000_000 + healthy)
            .map(|lane| seen[&lane].0)
            .max()
            .unwrap();
        let least = (1_000_000..1_000_000 + healthy)
            .map(|lane| seen[&lane].1)
            .min()
            .unwrap();
        // Alone they would make 4,000 attempts each and wait for nobody: a quarter of the places is enough for them.
        assert!(longest <= 5, "{hung} of {places}: a healthy lane waited {longest} ms");
        assert!(least >= 3_900, "{hung} of {places}: {least} attempts");
        assert!(model.most_in_flight <= places);
        let begun = (0..hung).filter(|lane| seen.get(lane).is_some()).count() as u64;
        assert_eq!(begun, hung, "the hung ones are tried too");
    }
}

#[test]
fn a_crowd_that_was_well_and_hangs_all_at_once_leaves_room_too() {
    let mut model = Model::new(4_096, usize::MAX);
    let mut lanes = each(0..256, |_| None, 5, 16);
    lanes.extend(each(1_000..1_100, |_| None, 5, 1));
    model.run(&lanes, 0, 2_000);
    assert!(model.quickness.len() == 356);
    // What is in flight ends, and what follows hangs; the hundred go on.
    let takes = |lane: u64| if lane < 256 { HUNG } else { 5 };
    let mut longest = 0;
    while model.now < 12_000 {
        let (waits, over) = model.pass(12_000);
        let Some(over) = over else { continue };
        let more = model.ask(over.lane, None, takes(over.lane));
        let of_the_hundred = waits.into_iter().chain(more).filter(|(lane, _)| *lane >= 1_000);
        longest = of_the_hundred.map(|(_, wait)| wait).max().unwrap_or(0).max(longest);
    }
    assert!(longest <= 5, "{longest}");
}

#[test]
fn a_slow_host_is_shared_and_nobody_elses_trouble() {
    let mut model = Model::new(1_024, 64);
    // A thousand subscriptions at one host that takes ten seconds, ten of them at a path that is quick; others elsewhere.
    let shared = |_| Some("slow.example:443".to_owned());
    let mut lanes = each(0..1_000, shared, 10_000, 16);
    lanes.extend(each(5_000..5_010, shared, 5, 1));
    lanes.extend(each(7_000..7_050, |id| Some(format!("{id}.example:443")), 5, 1));
    let seen = model.run(&lanes, 170_000, 190_000);
    assert!(model.most_in_flight <= 64 + 50, "{}", model.most_in_flight);
    assert_eq!(
        (7_000..7_050).map(|lane| seen[&lane].0).max(),
        Some(0),
        "who is elsewhere never waits"
    );
    let slowest = (5_000..5_010).map(|lane| seen[&lane].0).max().unwrap();
    assert!(
        slowest <= 5,
        "at the same host a quick path waits for quick paths: {slowest}"
    );
    let served = (0..1_000).filter(|lane| seen.contains_key(lane)).count();
    assert_eq!(served, 1_000, "each of them has had its turn");
}

#[test]
fn equals_share_alike() {
    let mut model = Model::new(30, usize::MAX);
    let seen = model.run(&each(0..10, |_| None, 10, 100), 0, 100_000);
    let counts: Vec<u64> = seen.values().map(|(_, ended)| *ended).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= 40, "{counts:?}");
}

#[test]
fn slow_lanes_are_not_starved_by_prompt_ones() {
    let mut model = Model::new(16, usize::MAX);
    let mut lanes = each(0..100, |_| None, 5, 4);
    lanes.extend(each(500..510, |_| None, 2_000, 1));
    let seen = model.run(&lanes, 0, 120_000);
    let least = (500..510).map(|lane| seen[&lane].1).min().unwrap();
    assert!(least >= 20, "{least}");
}

#[test]
fn one_lane_alone_has_half_and_small_bounds_work() {
    for (bound, most) in [(1, 1), (2, 1), (4, 2), (100, 50)] {
        let mut model = Model::new(bound, usize::MAX);
        model.quickness.insert(1, Quickness::default());
        for _ in 0..5 {
            model.ask(1, None, 1);
            while !model.ends.is_empty() {
                model.pass(u64::MAX);
            }
        }
        for _ in 0..200 {
            model.ask(1, None, HUNG);
        }
        assert_eq!(
            (model.ledger.in_flight(), model.ledger.waiting()),
            (most, 200 - most),
            "of {bound}"
        );
        assert_eq!(
            model.ask(2, None, HUNG).len(),
            usize::from(bound > 1),
            "another has room"
        );
    }
}

#[test]
fn who_no_longer_waits_is_passed_over_and_says_nothing_of_the_sink() {
    let mut model = Model::new(1, 1);
    model.ask(1, Some("h"), HUNG);
    assert!(model.ask(2, Some("h"), 5).is_empty());
    assert!(model.ask(3, None, 5).is_empty());
    let now = model.instant();
    let flight = *model.flights.keys().next().unwrap();
    let (begun, _) = model.ledger.end(flight, true, now);
    let [(second, _)] = begun[..] else {
        panic!("one of the two")
    };
    let (begun, quickness) = model.ledger.end(second, false, now);
    assert_eq!((begun.len(), quickness), (1, Some(Quickness::default())));
    let (begun, _) = model.ledger.end(begun[0].0, true, now + PROMPT);
    assert_eq!(
        (begun.len(), model.ledger.in_flight(), model.ledger.waiting()),
        (0, 0, 0)
    );
    assert!(model.ledger.is_empty(), "whoever is at rest costs nothing");
}
