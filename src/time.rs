//! The one place that reads the clock. Everything else is handed a [`Clock`].
//!
//! Why so: policies that are given the time can be tested in a table, and a test moves the hours by hand.
//! Invariant: `SystemTime::now` and `Instant::now` stand in this file alone (clippy holds to it).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// A point in time: milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This much later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This much earlier.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// Where the time comes from: the machine, or a test's hand.
///
/// There are two of each: one that follows the time of day wherever it is set, and one that is [`Clock::steady`].
#[derive(Clone)]
pub struct Clock(Inner);

#[derive(Clone)]
enum Inner {
    System,
    Steady {
        began: Timestamp,
        instant: Instant,
    },
    Manual {
        hands: Arc<watch::Sender<Hands>>,
        /// For a steady one: how far the time of day was ahead when it was made.
        steady: Option<i64>,
    },
}

/// A manual clock's: the time that has passed, and how far the time of day has been set ahead of it, milliseconds.
#[derive(Clone, Copy)]
struct Hands {
    passed: Timestamp,
    ahead: i64,
}

impl Hands {
    fn show(self, steady: Option<i64>) -> Timestamp {
        Timestamp(self.passed.0.saturating_add(steady.unwrap_or(self.ahead)))
    }
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Inner::System)
    }

    /// A clock that stands at `start` and moves only by [`Clock::advance`] and [`Clock::set`].
    pub fn manual(start: Timestamp) -> Self {
        let hands = Hands {
            passed: start,
            ahead: 0,
        };
        Self(Inner::Manual {
            hands: Arc::new(watch::Sender::new(hands)),
            steady: None,
        })
    }

    /// A clock that shows the time of day now, and from here on only what passes: when the machine's clock is set, it
    /// does not notice. For waits, which must neither end at once nor last a day longer because of that.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn steady(&self) -> Self {
        Self(match &self.0 {
            Inner::System => Inner::Steady {
                began: self.now(),
                instant: Instant::now(),
            },
            Inner::Manual { hands, steady } => Inner::Manual {
                hands: Arc::clone(hands),
                steady: Some(steady.unwrap_or(hands.borrow().ahead)),
            },
            Inner::Steady { .. } => self.0.clone(),
        })
    }

    /// The time: of day, unless this clock is steady.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::System => wall(),
            Inner::Steady { began, instant } => began.plus(instant.elapsed()),
            Inner::Manual { hands, steady } => hands.borrow().show(*steady),
        }
    }

    /// The time of day, of a steady clock too: for what others are told.
    pub fn of_day(&self) -> Timestamp {
        match &self.0 {
            Inner::System | Inner::Steady { .. } => wall(),
            Inner::Manual { hands, .. } => hands.borrow().show(None),
        }
    }

    /// A reading for measuring how long something takes. Never jumps; always the machine's.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
    pub fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Waits until `at`. The wait is measured once, so setting the clock does not lengthen it.
    pub async fn sleep_until(&self, at: Timestamp) {
        match &self.0 {
            Inner::System | Inner::Steady { .. } => tokio::time::sleep(at.since(self.now())).await,
            Inner::Manual { hands, .. } => {
                let mut moving = hands.subscribe();
                let over = {
                    let now = moving.borrow();
                    now.passed.plus(at.since(now.show(self.held())))
                };
                // The sender lives as long as this clock: the wait cannot fail.
                let _ = moving.wait_for(|now| now.passed >= over).await;
            }
        }
    }

    /// Waits this long.
    pub async fn sleep(&self, by: Duration) {
        self.sleep_until(self.now().plus(by)).await;
    }

    /// Lets time pass on a manual clock; does nothing to the machine's.
    pub fn advance(&self, by: Duration) {
        if let Inner::Manual { hands, .. } = &self.0 {
            hands.send_modify(|now| now.passed = now.passed.plus(by));
        }
    }

    /// Sets a manual clock ahead by so many milliseconds, or back, without time having passed.
    pub fn set(&self, by: i64) {
        if let Inner::Manual { hands, .. } = &self.0 {
            hands.send_modify(|now| now.ahead = now.ahead.saturating_add(by));
        }
    }

    fn held(&self) -> Option<i64> {
        match &self.0 {
            Inner::Manual { steady, .. } => *steady,
            Inner::System | Inner::Steady { .. } => None,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_steady_clock_does_not_notice_that_the_time_of_day_is_set() {
        let clock = Clock::manual(Timestamp(1_000));
        clock.set(500);
        let steady = clock.steady();
        for by in [DAY, -2 * DAY] {
            clock.set(by);
            clock.advance(Duration::from_millis(10));
        }
        assert_eq!(
            (clock.now(), clock.of_day()),
            (Timestamp(1_520 - DAY), Timestamp(1_520 - DAY))
        );
        assert_eq!(
            (steady.now(), steady.of_day()),
            (Timestamp(1_520), Timestamp(1_520 - DAY))
        );
        assert_eq!(steady.steady().now(), Timestamp(1_520), "of a steady one, the same");
        let (system, steady) = (Clock::system(), Clock::system().steady());
        assert!(steady.now().since(system.now()) < Duration::from_secs(60));
    }

    #[tokio::test]
    async fn setting_the_clock_neither_ends_a_wait_nor_lengthens_it() {
        let clock = Clock::manual(Timestamp(0));
        let (waiting, done) = (clock.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let waits = async {
            waiting.sleep(Duration::from_secs(5)).await;
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        };
        let sets = async {
            clock.set(DAY);
            tokio::task::yield_now().await;
            assert!(!done.load(std::sync::atomic::Ordering::SeqCst));
            clock.set(-2 * DAY);
            clock.advance(Duration::from_secs(5));
        };
        tokio::join!(biased; waits, sets);
    }
}
