//! Who may have an attempt in flight: the bounds of the hub and of each host, and who comes first. Pure.
//!
//! Three rules share a bound between lanes, and none of them needs to know how many lanes there are:
//! 1. *What is left decides.* A lane may begin another attempt while it has fewer in flight than the bound has places
//!    left (the dynamic threshold of shared-memory switches, Choudhury and Hahne 1998). One lane gets half of a bound at
//!    most, `n` hungry ones get `1/(n+1)` each, and as much again stays free for whoever comes next: hung lanes that
//!    want all of it cannot have it.
//! 2. *Whoever has least goes first*, and among equals who has waited longest. So one with nothing in flight is behind
//!    nobody who has something.
//! 3. *Slow ones leave a quarter.* A lane is prompt while its attempts take at most [`PROMPT`], on a moving average,
//!    and none of them has been under way for longer. All others (new ones too: they have proved nothing) may fill three
//!    quarters of a bound, and of places that both want they get one in four. However many sinks hang, what a
//!    prompt lane waits for is other prompt lanes.
//!
//! Why not one fair semaphore: it is fair to attempts, and so hands everything to whoever keeps its place longest. Why
//! no fixed share a lane: of 4,096 places a million lanes would get none each.
//!
//! A lane that waits for its host holds no place of the hub's, and waits in that host's line where it is in nobody
//! else's way; it joins the hub's line when its host has a place.
//!
//! Invariant: what is in flight never exceeds a bound, nor what of it is slow three quarters of one, but for what began
//! as prompt and turned out not to be.
//! Invariant: a lane that waits is in exactly one line, under its present class and count.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::line::{Class, Line, Pool, Waiter};

/// A lane whose attempts take longer is slow.
pub(super) const PROMPT: Duration = Duration::from_secs(1);
/// Places that prompt lanes get in a row while a slow one could have one.
const PROMPT_ROW: u32 = 3;
/// The newest attempt's part of the average is one in so many.
const WEIGHT: u32 = 4;

/// Where a sink is, as it is dialled: `host:port`.
pub(in crate::deliver) type Host = Arc<str>;

/// How long a lane's attempts take, on a moving average. It outlives the lane's stay in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::deliver) struct Quickness(Option<Duration>);

/// Who may begin, and who waits, with what (`T`).
pub(super) struct Ledger<T> {
    all: Pool,
    per_host: usize,
    hosts: HashMap<Host, Gate>,
    /// Lanes whose host has a place for them, or that call none.
    ready: Line,
    lanes: HashMap<u64, Lane<T>>,
    flights: HashMap<u64, Flight>,
    /// Flights by age, oldest first: those that have not been under way for long, and some that are over.
    young: VecDeque<u64>,
    /// Numbers turns and flights.
    counter: u64,
    waiting: usize,
    prompt_row: u32,
}

/// What one host takes, and who waits for it.
struct Gate {
    pool: Pool,
    line: Line,
}

/// A lane that has something in flight, or waits.
struct Lane<T> {
    quickness: Quickness,
    held: usize,
    /// Of these, how many have been under way for long.
    aged: usize,
    waiting: VecDeque<(Option<Host>, T)>,
    /// Since when it waits.
    turn: u64,
    spot: Option<Spot>,
}

/// Where a lane waits.
struct Spot {
    /// For this host; for none: in the hub's line.
    host: Option<Host>,
    class: Class,
    waiter: Waiter,
}

/// An attempt in flight.
struct Flight {
    lane: u64,
    host: Option<Host>,
    class: Class,
    began: Instant,
    aged: bool,
}

impl Quickness {
    /// After an attempt that took so long.
    fn after(self, took: Duration) -> Self {
        Self(Some(match self.0 {
            None => took,
            Some(before) => (before * (WEIGHT - 1) + took) / WEIGHT,
        }))
    }
}

impl<T> Lane<T> {
    fn class(&self) -> Class {
        match self.quickness.0 {
            Some(average) if average <= PROMPT && self.aged == 0 => Class::Prompt,
            _ => Class::Slow,
        }
    }
}

impl<T> Ledger<T> {
    /// Nothing in flight; at most so many in all, and to one host.
    pub(super) fn new(in_flight: usize, per_host: usize) -> Self {
        Self {
            all: Pool::new(in_flight),
            per_host,
            hosts: HashMap::new(),
            ready: Line::default(),
            lanes: HashMap::new(),
            flights: HashMap::new(),
            young: VecDeque::new(),
            counter: 0,
            waiting: 0,
            prompt_row: 0,
        }
    }

    /// A lane wants to begin an attempt. The flights that begin now, its own or another's, and with what each waited.
    pub(super) fn ask(
        &mut self,
        (key, quickness): (u64, Quickness),
        (host, with): (Option<Host>, T),
        now: Instant,
    ) -> Vec<(u64, T)> {
        let turn = self.count();
        let lane = self.lanes.entry(key).or_insert_with(|| Lane {
            quickness,
            held: 0,
            aged: 0,
            waiting: VecDeque::new(),
            turn,
            spot: None,
        });
        if lane.waiting.is_empty() {
            lane.turn = turn;
        }
        lane.waiting.push_back((host, with));
        self.waiting += 1;
        self.age(now);
        self.line_up(key);
        self.begin_all(now)
    }

    /// A flight is over. Those that begin now; and how quick its lane is, now. One that never called anybody (`used` is
    /// false) says nothing of that.
    pub(super) fn end(&mut self, flight: u64, used: bool, now: Instant) -> (Vec<(u64, T)>, Option<Quickness>) {
        let Some(over) = self.flights.remove(&flight) else {
            return (Vec::new(), None);
        };
        self.all.leave(over.class);
        if let Some(host) = &over.host {
            self.gate(host).pool.leave(over.class);
        }
        let quickness = self.lanes.get_mut(&over.lane).map(|lane| {
            lane.held = lane.held.saturating_sub(1);
            lane.aged = lane.aged.saturating_sub(usize::from(over.aged));
            if used {
                lane.quickness = lane.quickness.after(now.saturating_duration_since(over.began));
            }
            lane.quickness
        });
        self.age(now);
        self.line_up(over.lane);
        if let Some(host) = &over.host {
            self.let_through(host);
        }
        let begun = self.begin_all(now);
        self.forget(over.lane, over.host);
        (begun, quickness)
    }

    /// How many attempts are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// How many wait for a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether it remembers nobody.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.hosts.is_empty() && self.flights.is_empty()
    }

    /// Begins what may begin, one after the other.
    fn begin_all(&mut self, now: Instant) -> Vec<(u64, T)> {
        let mut begun = Vec::new();
        while let Some((key, class)) = self.next() {
            let Some((host, with)) = self.lanes.get_mut(&key).and_then(|lane| lane.waiting.pop_front()) else {
                break;
            };
            self.waiting = self.waiting.saturating_sub(1);
            let number = self.count();
            self.all.enter(class);
            if let Some(host) = &host {
                self.gate(host).pool.enter(class);
            }
            if let Some(lane) = self.lanes.get_mut(&key) {
                (lane.held, lane.turn) = (lane.held + 1, number);
            }
            self.prompt_row = if class == Class::Prompt { self.prompt_row + 1 } else { 0 };
            self.line_up(key);
            if let Some(host) = &host {
                self.let_through(host);
            }
            let (lane, began, aged) = (key, now, false);
            self.young.push_back(number);
            self.flights.insert(
                number,
                Flight {
                    lane,
                    host,
                    class,
                    began,
                    aged,
                },
            );
            begun.push((number, with));
        }
        begun
    }

    /// The lane that comes first of those that may begin.
    fn next(&mut self) -> Option<(u64, Class)> {
        let order = match self.prompt_row >= PROMPT_ROW {
            true => [Class::Slow, Class::Prompt],
            false => [Class::Prompt, Class::Slow],
        };
        for class in order {
            while let Some((held, _, key)) = self.ready.first(class) {
                if !self.all.admits(class, held) {
                    break;
                }
                let host = self.lanes.get(&key)?.waiting.front()?.0.clone();
                if host.is_none_or(|host| self.gate(&host).pool.admits(class, held)) {
                    return Some((key, class));
                }
                // Somebody else took the host's place meanwhile.
                self.line_up(key);
            }
        }
        None
    }

    /// Puts a lane into the line where it belongs now, if it waits.
    fn line_up(&mut self, key: u64) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let class = lane.class();
        let waiter = (lane.held, lane.turn, key);
        let old = lane.spot.take();
        let front = lane.waiting.front().map(|(host, _)| host.clone());
        if let Some(Spot { host, class, waiter }) = old {
            self.line(host.as_ref()).leave(class, waiter);
        }
        let Some(wanted) = front else { return };
        let host = wanted.filter(|host| !self.gate(host).pool.admits(class, waiter.0));
        self.line(host.as_ref()).join(class, waiter);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.spot = Some(Spot { host, class, waiter });
        }
    }

    /// A place of a host may be free: the first of those that wait for it go on to the hub's line.
    fn let_through(&mut self, host: &Host) {
        for class in [Class::Prompt, Class::Slow] {
            if let Some((held, _, key)) = self.gate(host).line.first(class)
                && self.gate(host).pool.admits(class, held)
            {
                self.line_up(key);
            }
        }
    }

    /// Sees who has been under way for long: that lane is slow now, and so is what it has in flight.
    fn age(&mut self, now: Instant) {
        while let Some(number) = self.young.front().copied() {
            let Some(flight) = self.flights.get_mut(&number) else {
                self.young.pop_front();
                continue;
            };
            if now.saturating_duration_since(flight.began) <= PROMPT {
                return;
            }
            self.young.pop_front();
            let (key, host) = (flight.lane, flight.host.clone());
            let before = std::mem::replace(&mut flight.class, Class::Slow);
            flight.aged = true;
            self.all.leave(before);
            self.all.enter(Class::Slow);
            if let Some(host) = &host {
                let pool = &mut self.gate(host).pool;
                pool.leave(before);
                pool.enter(Class::Slow);
            }
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.aged += 1;
            }
            self.line_up(key);
        }
    }

    fn forget(&mut self, key: u64, host: Option<Host>) {
        if self
            .lanes
            .get(&key)
            .is_some_and(|lane| lane.held == 0 && lane.waiting.is_empty())
        {
            self.lanes.remove(&key);
        }
        if let Some(host) = host
            && self
                .hosts
                .get(&host)
                .is_some_and(|gate| gate.pool.used() == 0 && gate.line.is_empty())
        {
            self.hosts.remove(&host);
        }
    }

    fn gate(&mut self, host: &Host) -> &mut Gate {
        let most = self.per_host;
        self.hosts.entry(host.clone()).or_insert_with(|| Gate {
            pool: Pool::new(most),
            line: Line::default(),
        })
    }

    fn line(&mut self, host: Option<&Host>) -> &mut Line {
        match host {
            Some(host) => &mut self.gate(host).line,
            None => &mut self.ready,
        }
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}
