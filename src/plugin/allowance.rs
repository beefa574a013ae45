//! What one call may still ask of the network: so many requests, so many bytes.
//!
//! A request is whatever makes the hub go out: an HTTP request, a connection, a look-up of a name. Bytes are counted
//! both ways. Everything of one instance that reaches the network shares one allowance, renewed for every call, so a
//! connection kept from an earlier call is paid for by the call that uses it.
//!
//! Invariant: figures count what was asked and sent, refused or not granted things included; what is past the limit is
//! never sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::Limits;
use super::guest_log::GuestLog;
use super::status::Figures;
use crate::units::show_size;

const NOTHING: u8 = 0;
const A_REQUEST: u8 = 1;
const BYTES: u8 = 2;

/// The allowance of one instance. Shared by its ways out.
pub(super) struct Allowance {
    requests: AtomicU64,
    bytes: AtomicU64,
    limits: Limits,
    /// Which limit stood in the way of this call, if one did.
    refused: AtomicU8,
    log: Arc<GuestLog>,
    figures: Arc<Figures>,
}

impl Allowance {
    pub(super) fn new(limits: &Limits, log: Arc<GuestLog>, figures: Arc<Figures>) -> Arc<Self> {
        Arc::new(Self {
            requests: AtomicU64::new(limits.requests as u64),
            bytes: AtomicU64::new(limits.egress as u64),
            limits: limits.clone(),
            refused: AtomicU8::new(NOTHING),
            log,
            figures,
        })
    }

    /// A call begins.
    pub(super) fn renew(&self) {
        self.requests.store(self.limits.requests as u64, Ordering::Relaxed);
        self.bytes.store(self.limits.egress as u64, Ordering::Relaxed);
        self.refused.store(NOTHING, Ordering::Relaxed);
    }

    /// Takes one request, if the call has one left.
    pub(super) fn request(&self) -> bool {
        self.figures.requests.fetch_add(1, Ordering::Relaxed);
        let taken = take(&self.requests, 1);
        if !taken {
            self.refuse(A_REQUEST);
        }
        taken
    }

    /// Takes so many bytes, if the call has them left.
    pub(super) fn bytes(&self, bytes: usize) -> bool {
        let taken = take(&self.bytes, bytes as u64);
        if taken {
            self.figures.egress.fetch_add(bytes as u64, Ordering::Relaxed);
        } else {
            self.refuse(BYTES);
        }
        taken
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        usize::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// What this call was refused, if something was.
    pub(super) fn refusal(&self) -> Option<String> {
        match self.refused.load(Ordering::Relaxed) {
            A_REQUEST => Some(format!(
                "wanted more than {} requests in one call (limits.requests)",
                self.limits.requests
            )),
            BYTES => Some(format!(
                "wanted to move more than {} over the network in one call (limits.egress)",
                show_size(self.limits.egress as u64)
            )),
            _ => None,
        }
    }

    fn refuse(&self, what: u8) {
        self.refused.store(what, Ordering::Relaxed);
        if let Some(why) = self.refusal() {
            self.log.limited(&why);
        }
    }
}

/// Takes `wanted` from what is left, or nothing.
fn take(left: &AtomicU64, wanted: u64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wanted))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Clock, Timestamp};

    #[test]
    fn a_call_has_so_much_and_the_next_as_much_again() {
        let limits = Limits {
            requests: 2,
            egress: 100,
            ..Limits::default()
        };
        let figures = Arc::new(Figures::default());
        let log = GuestLog::new("p", &limits, figures.clone(), Clock::manual(Timestamp(0)));
        let allowance = Allowance::new(&limits, log, figures.clone());
        for _ in 0..2 {
            allowance.renew();
            assert!(allowance.request() && allowance.request());
            assert_eq!(allowance.refusal(), None);
            assert!(!allowance.request());
            assert!(allowance.refusal().unwrap().contains("limits.requests"));
            assert!(allowance.bytes(60) && !allowance.bytes(41) && allowance.bytes(40));
            assert_eq!(allowance.left(), 0);
            assert!(allowance.refusal().unwrap().contains("limits.egress"));
        }
        assert_eq!(figures.requests.load(Ordering::Relaxed), 6);
        assert_eq!(figures.egress.load(Ordering::Relaxed), 200);
    }
}
