//! A breaker by hand: when it opens, how it is probed, how it closes.

use super::*;

const CONFIG: BreakerConfig = BreakerConfig {
    failures: 8,
    probe: Duration::from_secs(5),
    probe_most: Duration::from_secs(60),
};

fn at(seconds: u64) -> Timestamp {
    Timestamp(0).plus(Duration::from_secs(seconds))
}

fn fails(breaker: &mut Breaker, seconds: u64, probe: bool) -> Option<Turn> {
    breaker.failed(at(seconds), (probe, "503"), CONFIG)
}

fn opened() -> Breaker {
    let mut breaker = Breaker::default();
    for nth in 1..=CONFIG.failures {
        assert_eq!(breaker.admits(at(0)), Admits::All);
        let turn = (nth == CONFIG.failures).then_some(Turn::Opened);
        assert_eq!(fails(&mut breaker, 0, false), turn, "failure {nth}");
    }
    breaker
}

#[test]
fn a_success_in_between_starts_the_count_again() {
    let mut breaker = Breaker::default();
    for _ in 0..5 {
        for _ in 1..CONFIG.failures {
            assert_eq!(fails(&mut breaker, 0, false), None);
        }
        assert_eq!(breaker.succeeded(at(0), false, true), None, "it was never open");
    }
    assert_eq!(breaker.state(), "closed");
}

#[test]
fn probes_come_one_at_a_time_and_ever_slower() {
    let mut breaker = opened();
    let mut now = 0;
    for wait in [5, 10, 20, 40, 60, 60] {
        assert_eq!(breaker.admits(at(now + wait - 1)), Admits::NoneBefore(at(now + wait)));
        now += wait;
        assert_eq!(breaker.admits(at(now)), Admits::Probe);
        breaker.probe_started();
        assert_eq!(breaker.admits(at(now + 1000)), Admits::None);
        let other = breaker.failed(at(now), (false, "an older attempt"), CONFIG);
        assert_eq!(
            (other, breaker.admits(at(now + 1000))),
            (None, Admits::None),
            "is no probe"
        );
        assert_eq!(breaker.failed(at(now), (true, "still 503"), CONFIG), None);
        assert_eq!(breaker.reason(), Some("still 503"));
    }
    let shown = breaker.status();
    assert_eq!((shown.state, shown.failures), ("open", None));
    assert_eq!(shown.probe_at, Some(at(now + 60).to_string()));
}

#[test]
fn it_closes_by_degrees_and_at_once_where_nothing_waits() {
    let mut breaker = opened();
    assert_eq!(breaker.succeeded(at(6), true, true), Some(Turn::HalfOpened));
    for few in 1..TRIALS {
        let admits = usize::try_from(few).unwrap();
        assert_eq!(
            (breaker.state(), breaker.admits(at(6))),
            ("half_open", Admits::Few(admits))
        );
        assert_eq!(fails(&mut breaker, 6, false), None, "one failure is not the end of it");
        let turn = (few == TRIALS - 1).then_some(Turn::Closed);
        assert_eq!(breaker.succeeded(at(6), false, true), turn);
    }
    assert_eq!((breaker.admits(at(6)), breaker.reason()), (Admits::All, None));
    let mut breaker = opened();
    assert_eq!(breaker.succeeded(at(6), true, false), Some(Turn::Closed));
}

#[test]
fn half_open_it_opens_again_after_failures_in_a_row() {
    let mut breaker = opened();
    for wait in [5, 10, 20] {
        assert_eq!(fails(&mut breaker, wait, true), None);
    }
    assert_eq!(breaker.succeeded(at(100), true, true), Some(Turn::HalfOpened));
    for nth in 1..=CONFIG.failures {
        let turn = (nth == CONFIG.failures).then_some(Turn::Opened);
        assert_eq!(fails(&mut breaker, 100, false), turn);
    }
    assert_eq!(
        breaker.admits(at(100)),
        Admits::NoneBefore(at(105)),
        "from the first interval"
    );
}

#[test]
fn a_probe_that_reached_nobody_is_made_again() {
    let mut breaker = opened();
    breaker.probe_started();
    breaker.probe_told_nothing();
    assert_eq!(breaker.admits(at(5)), Admits::Probe);
}

#[test]
fn a_hint_brings_the_probe_on() {
    let mut breaker = opened();
    assert_eq!(breaker.succeeded(at(1), false, true), None, "no probe: it only hints");
    assert_eq!(breaker.admits(at(1)), Admits::Probe);
    let mut breaker = opened();
    breaker.probe_started();
    breaker.try_now(at(2), CONFIG);
    assert_eq!(
        breaker.admits(at(2)),
        Admits::Probe,
        "whatever hangs is no probe any more"
    );
}

#[test]
fn off_is_off() {
    let mut breaker = Breaker::default();
    let off = BreakerConfig { failures: 0, ..CONFIG };
    for _ in 0..1_000 {
        assert_eq!(breaker.failed(at(0), (false, "503"), off), None);
    }
    assert_eq!(breaker.admits(at(0)), Admits::All);
}

/// A coin that is always the same.
fn coin(seed: &mut u64) -> bool {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 63 == 1
}

#[test]
fn a_sink_that_fails_half_of_the_time_is_not_taken_for_dead() {
    let (mut breaker, mut seed, mut opened) = (Breaker::default(), 7, 0);
    for _ in 0..100_000 {
        let turn = match coin(&mut seed) {
            true => breaker.succeeded(at(0), true, true),
            false => fails(&mut breaker, 0, true),
        };
        opened += u32::from(turn == Some(Turn::Opened));
    }
    // By eight in a row alone it would be about two hundred.
    assert!(opened < 20, "{opened}");
    for _ in 0..CONFIG.failures * MOST_UNUSUAL {
        fails(&mut breaker, 0, false);
    }
    assert_eq!(breaker.state(), "open", "but in the end it is");
}
