//! Addresses from which wrong credentials come, so that nobody guesses a secret quickly.
//!
//! Why by address and not by name: who guesses at one name would lock its owner out. An IPv6 neighbourhood (/64) counts
//! as one address, since whoever has one has them all. A unix socket has none and is not counted.
//! Invariant: at most [`MOST`] addresses are remembered; the one that owes least goes first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::account::Pace;
use super::bucket::Bucket;

const MOST: usize = 4_096;
/// Addresses that a report names.
const NAMED: usize = 10;

/// What came from strangers since the last report.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Credentials that were wrong.
    pub wrong: u64,
    /// Requests that were turned away unread.
    pub turned_away: u64,
    /// Some of the addresses, with how often.
    pub addresses: Vec<(IpAddr, u64)>,
}

/// The addresses.
#[derive(Debug)]
pub(super) struct Strangers {
    pace: Option<Pace>,
    seen: Mutex<Seen>,
    heard: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    addresses: HashMap<IpAddr, Bucket>,
    refusals: Refusals,
}

impl Strangers {
    pub(super) fn new(pace: Option<Pace>) -> Self {
        Self {
            pace,
            seen: Mutex::default(),
            heard: Notify::new(),
        }
    }

    /// How long this address is turned away for; none if it is not.
    pub(super) fn turned_away(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let pace = self.pace?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = seen.addresses.get(&place(address))?.wait(pace, now)?;
        seen.refusals.turned_away += 1;
        seen.refusals.name(address);
        drop(seen);
        self.heard.notify_one();
        Some(wait)
    }

    /// Wrong credentials came from there.
    pub(super) fn failed(&self, address: Option<IpAddr>, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.refusals.wrong += 1;
        if let Some(address) = address {
            seen.refusals.name(address);
        }
        if let (Some(pace), Some(address)) = (self.pace, address) {
            seen.make_room(now);
            let bucket = seen.addresses.entry(place(address)).or_default();
            // What is over the limit is not counted: it would only make the wait longer.
            let _ = bucket.take(pace, now);
        }
        drop(seen);
        self.heard.notify_one();
    }

    /// Waits until something came from strangers.
    pub(super) async fn heard(&self) {
        self.heard.notified().await;
    }

    /// What came since this was last asked.
    pub(super) fn refusals(&self) -> Refusals {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut seen.refusals)
    }
}

impl Seen {
    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() < MOST {
            return;
        }
        self.addresses.retain(|_, bucket| !bucket.owed(now).is_zero());
        if self.addresses.len() < MOST {
            return;
        }
        let least = self.addresses.iter().min_by_key(|(_, bucket)| bucket.owed(now));
        if let Some(address) = least.map(|(address, _)| *address) {
            self.addresses.remove(&address);
        }
    }
}

impl Refusals {
    fn name(&mut self, address: IpAddr) {
        if let Some((_, count)) = self.addresses.iter_mut().find(|(known, _)| *known == address) {
            *count += 1;
        } else if self.addresses.len() < NAMED {
            self.addresses.push((address, 1));
        }
    }
}

/// What counts as one address.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(bits).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate::Rate;
    use crate::time::Clock;

    fn strangers() -> Strangers {
        Strangers::new(Some(Pace {
            rate: Rate::parse("60/m").unwrap(),
            burst: 2,
        }))
    }

    #[test]
    fn who_fails_often_is_turned_away_for_a_while() {
        let (strangers, start) = (strangers(), Clock::system().instant());
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..5 {
            strangers.failed(Some(one), start);
        }
        strangers.failed(Some(other), start);
        assert_eq!(strangers.turned_away(one, start), Some(Duration::from_secs(1)));
        assert_eq!(
            strangers.turned_away("::ffff:10.0.0.1".parse().unwrap(), start),
            Some(Duration::from_secs(1))
        );
        assert_eq!(strangers.turned_away(other, start), None);
        assert_eq!(strangers.turned_away(one, start + Duration::from_secs(1)), None);
        let told = strangers.refusals();
        assert_eq!((told.wrong, told.turned_away), (6, 2));
        assert_eq!(strangers.refusals(), Refusals::default());
    }

    #[test]
    fn a_neighbourhood_counts_as_one_and_memory_is_bounded() {
        let (strangers, start) = (strangers(), Clock::system().instant());
        for host in 1..=2_u128 {
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) + host);
            strangers.failed(Some(address.into()), start);
        }
        assert!(strangers.turned_away("2001:db8::99".parse().unwrap(), start).is_some());
        for net in 0..2 * MOST as u128 {
            let address = Ipv6Addr::from_bits((0x2002 << 112) + (net << 64));
            strangers.failed(Some(address.into()), start);
        }
        assert!(strangers.seen.lock().unwrap().addresses.len() <= MOST);
        assert!(strangers.turned_away("2001:db8::99".parse().unwrap(), start).is_some());
    }

    #[test]
    fn a_socket_without_an_address_is_not_counted() {
        let (strangers, start) = (strangers(), Clock::system().instant());
        (0..9).for_each(|_| strangers.failed(None, start));
        assert_eq!(strangers.refusals().wrong, 9);
    }
}
