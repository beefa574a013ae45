//! What goes, what stays, and that offsets are never used again.

use super::*;

fn keeping(age: Option<u64>, size: Option<u64>) -> Settings {
    let retention = Retention {
        age: age.map(Duration::from_secs),
        size,
        drop_unacknowledged: false,
    };
    Settings {
        retention,
        segment_size: 16 << 10,
        ..settings()
    }
}

#[tokio::test]
async fn age_drops_whole_files_and_readers_are_told_of_the_gap() {
    let mut log = Fixture::with(keeping(Some(100), None));
    log.fill(1..31, 1_000).await;
    log.clock.advance(Duration::from_secs(60));
    log.fill(31..61, 1_000).await;
    let before = log.files().len();
    log.log.trim().await.unwrap();
    assert_eq!(log.files().len(), before, "nothing is old enough");
    log.clock.advance(Duration::from_secs(41));
    log.log.trim().await.unwrap();
    let first = log.log.first(&log.bus).0;
    assert!(first > 15 && first <= 31, "{first}");
    for _ in 0..2 {
        let (read, gaps) = log.read_all(1).await;
        assert_eq!(gaps, [(1, first)]);
        assert_eq!(read[0].0, first);
        assert_eq!(read.len() as u64, 61 - first);
        let stats = &log.log.stats()[0];
        assert_eq!((stats.first, stats.end), (Offset(first), Offset(61)));
        assert!(stats.oldest.is_some_and(|oldest| oldest >= START));
        assert_eq!(log.log.offset_at(&log.bus, START).await.unwrap(), Offset(first));
        log.reopen().await;
    }
}

#[tokio::test]
async fn everything_may_go_and_the_offsets_go_on() {
    let mut log = Fixture::with(keeping(Some(100), None));
    log.fill(1..31, 1_000).await;
    log.clock.advance(Duration::from_secs(101));
    log.log.trim().await.unwrap();
    assert_eq!(log.files().len(), 1);
    assert_eq!((log.log.first(&log.bus), log.end()), (Offset(31), 31));
    assert_eq!(log.log.stats()[0].oldest, None);
    log.reopen().await;
    assert_eq!((log.log.first(&log.bus), log.end()), (Offset(31), 31));
    assert_eq!(log.append(&["31"], 10).await, [31]);
    assert_eq!(log.read_all(1).await, (vec![(31, "31".to_owned())], vec![(1, 31)]));
}

#[tokio::test]
async fn size_bounds_what_a_bus_takes() {
    let log = Fixture::with(Settings {
        segment_size: 1 << 30,
        ..keeping(None, Some(256 << 10))
    });
    for round in 0..6_u64 {
        log.fill(round * 100 + 1..round * 100 + 101, 1_000).await;
        log.log.trim().await.unwrap();
        let bytes = log.log.stats()[0].bytes;
        assert!(bytes <= (256 << 10) + (64 << 10), "{bytes}");
    }
    let first = log.log.first(&log.bus).0;
    assert!(first > 300, "{first}");
    assert_eq!(log.read_all(first).await.0.len() as u64, 601 - first);
}

#[tokio::test]
async fn what_is_protected_stays_unless_the_operator_says_otherwise() {
    let mut log = Fixture::with(keeping(Some(100), None));
    log.fill(1..61, 1_000).await;
    log.clock.advance(Duration::from_secs(1_000));
    log.log.protect(&log.bus, Offset(20));
    log.log.trim().await.unwrap();
    let first = log.log.first(&log.bus).0;
    assert!(first > 1 && first <= 20, "{first}");
    log.settings.retention.drop_unacknowledged = true;
    log.reopen().await;
    log.log.protect(&log.bus, Offset(20));
    log.log.trim().await.unwrap();
    assert_eq!(log.log.first(&log.bus), Offset(61));
}

#[tokio::test]
async fn a_quiet_log_is_not_trimmed_to_pieces() {
    let log = Fixture::with(keeping(Some(100), None));
    log.append(&["a"], 10).await;
    for _ in 0..3 {
        log.log.trim().await.unwrap();
    }
    assert_eq!(log.files().len(), 1);
    log.clock.advance(Duration::from_secs(101));
    for _ in 0..3 {
        log.log.trim().await.unwrap();
    }
    assert_eq!(log.files().len(), 1);
    assert_eq!(log.end(), 2);
}

#[tokio::test]
async fn a_clock_that_jumps_drops_nothing_unless_it_keeps_to_it() {
    const YEAR: i64 = 365 * 86_400_000;
    let mut log = Fixture::with(keeping(Some(7 * 86_400), None));
    log.fill(1..31, 1_000).await;
    let files = log.files().len();
    for _ in 0..2 {
        log.clock.set(YEAR);
        log.log.trim().await.unwrap();
        log.clock.advance(Duration::from_secs(1_800));
        log.log.trim().await.unwrap();
        assert_eq!(log.files().len(), files, "a year in a moment");
        // A record of that time: times never go back, so those after it stay at it until the clock is there.
        log.clock.set(-YEAR);
        log.log.trim().await.unwrap();
        log.clock.set(YEAR);
        // A start under the wrong time is no better.
        log.reopen().await;
        log.log.trim().await.unwrap();
        assert_eq!(log.files().len(), files);
        log.clock.set(-YEAR);
    }
    log.clock.set(YEAR);
    log.log.trim().await.unwrap();
    log.clock.advance(Duration::from_secs(3_600));
    log.log.trim().await.unwrap();
    assert_eq!(log.log.first(&log.bus), Offset(31), "an hour later it is the time");
}

#[tokio::test]
async fn a_clock_set_back_stamps_nothing_earlier_and_dedup_goes_on() {
    let log = Fixture::new();
    log.append(&["a"], 10).await;
    log.clock.set(-86_400_000);
    assert_eq!(log.append(&["b", "a"], 10).await, [2, 1], "still known");
    let batch = log.read(1, ALL).await;
    assert!(batch.records.iter().all(|record| record.received == START));
    log.clock.set(2 * 86_400_000);
    assert_eq!(log.append(&["a"], 10).await, [3], "the window is past by the clock");
    let at = |log: &Fixture, by: u64| {
        let (log, bus) = (log.log.clone(), log.bus.clone());
        async move { log.offset_at(&bus, START.plus(Duration::from_secs(by))).await.unwrap() }
    };
    assert_eq!((at(&log, 0).await, at(&log, 1).await), (Offset(1), Offset(3)));
}

#[tokio::test]
async fn what_somebody_needs_lowers_what_is_protected() {
    let log = Fixture::with(keeping(None, Some(64 << 10)));
    log.fill(1..101, 1_000).await;
    log.log.protect(&log.bus, Offset(100));
    log.log.keep_from(&log.bus, Offset(20));
    log.log.keep_from(&log.bus, Offset(50));
    log.log.trim().await.unwrap();
    assert!(log.log.first(&log.bus).0 <= 20);
}
