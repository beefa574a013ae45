//! Chance, from the machine's own source: ids and jitter.
//!
//! The one place that draws it; what decides by it takes it as an argument, so that a test can say what it was.
//! Why ring: it is here for TLS and signatures anyway, and a second generator would be one more to trust.

use ring::rand::{SecureRandom, SystemRandom};

/// 128 bits that nobody can foretell.
pub fn bits() -> u128 {
    let (source, mut bytes) = (SystemRandom::new(), [0; 16]);
    // The system refuses only before it has gathered enough of it, early in its boot.
    while source.fill(&mut bytes).is_err() {
        std::thread::yield_now();
    }
    u128::from_ne_bytes(bytes)
}

/// A share from 0 to 1.
pub fn share() -> f64 {
    const STEPS: u32 = 1 << 20;
    let step = u32::try_from(bits() % u128::from(STEPS)).unwrap_or(0);
    f64::from(step) / f64::from(STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        let drawn: std::collections::BTreeSet<u128> = (0..1000).map(|_| bits()).collect();
        assert_eq!(drawn.len(), 1000);
    }

    #[test]
    fn shares_fill_their_range() {
        let drawn: Vec<f64> = (0..1000).map(|_| share()).collect();
        assert!(drawn.iter().all(|share| (0.0..1.0).contains(share)), "{drawn:?}");
        let tenths: std::collections::BTreeSet<u8> = drawn.iter().map(|share| (share * 10.0) as u8).collect();
        assert_eq!(tenths.len(), 10, "1,000 draws leave a tenth of the range empty");
    }
}
