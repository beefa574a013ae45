//! Bytes that change on disk are found, skipped and told; the rest is served.

use std::fs;

use rusqlite::Connection;

use super::*;

/// A closed log of 60 records in several files, and its files.
async fn closed() -> Fixture {
    let log = Fixture::new();
    log.fill(1..61, 1_000).await;
    log.log.close().await;
    log
}

fn reopened(mut log: Fixture) -> Fixture {
    log.log = open(log.dir.path(), &log.settings, &log.clock);
    log
}

/// Turns one bit wherever `needle` stands in the file (a page may hold an old copy of a row beside the valid one).
fn flip(file: &Path, needle: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.windows(needle.len()).enumerate();
    let at: Vec<_> = at.filter(|(_, window)| *window == needle).map(|(at, _)| at).collect();
    assert!(!at.is_empty());
    at.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_costs_its_record_and_no_other() {
    let log = closed().await;
    // An id that ends in 7, and the source that follows it in the row.
    flip(&log.files()[0], b"7/tests/log");
    let log = reopened(log);
    let second = log.log.find(&log.bus).unwrap().state.segments()[1].first();
    let lost = |offset: &u64| *offset < second && offset % 10 == 7;
    let (read, gaps) = log.read_all(1).await;
    let expected: Vec<_> = (1..61).filter(lost).map(|offset| (offset, offset + 1)).collect();
    assert!(!expected.is_empty());
    assert_eq!(gaps, expected);
    let expected: Vec<_> = (1..61)
        .filter(|offset| !lost(offset))
        .map(|at| (at, at.to_string()))
        .collect();
    assert_eq!(read, expected);
    let at = log.read(7, ReadLimit { records: 1, bytes: 0 }).await;
    assert_eq!(at.gap, Some(Offset(7)..Offset(8)));
    assert_eq!(
        at.records[0].offset,
        Offset(8),
        "the record behind the gap comes with it"
    );
}

#[tokio::test]
async fn a_row_that_is_gone_or_wrong_is_a_gap() {
    let check = |sql: &'static str, expected: &'static [(u64, u64)]| async move {
        let log = closed().await;
        Connection::open(&log.files()[0]).unwrap().execute_batch(sql).unwrap();
        let log = reopened(log);
        let (read, gaps) = log.read_all(1).await;
        assert_eq!(gaps, expected, "{sql}");
        let lost: u64 = expected.iter().map(|(from, to)| to - from).sum();
        assert_eq!(read.len() as u64, 60 - lost, "{sql}");
        assert!(read.iter().all(|(offset, id)| *id == offset.to_string()), "{sql}");
    };
    check("DELETE FROM event WHERE \"offset\" = 1", &[(1, 2)]).await;
    check("DELETE FROM event WHERE \"offset\" IN (3, 4, 7)", &[(3, 5), (7, 8)]).await;
    check("UPDATE event SET crc = crc + 1 WHERE \"offset\" IN (3, 4)", &[(3, 5)]).await;
    check("UPDATE event SET data = NULL WHERE \"offset\" = 5", &[(5, 6)]).await;
    check(
        "UPDATE event SET received = received + 1 WHERE \"offset\" = 5",
        &[(5, 6)],
    )
    .await;
    check("UPDATE event SET \"offset\" = 1000000 WHERE \"offset\" = 5", &[(5, 6)]).await;
    check("UPDATE event SET \"offset\" = -5 WHERE \"offset\" = 5", &[(5, 6)]).await;
}

#[tokio::test]
async fn a_file_in_ruins_is_one_gap() {
    let log = closed().await;
    let files = log.files();
    let second: u64 = files[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let check = |log: Fixture| async move {
        let log = reopened(log);
        let (read, gaps) = log.read_all(1).await;
        let first_left = read[0].0;
        assert_eq!(gaps, [(1, first_left)]);
        assert!(first_left <= second);
        assert_eq!(read.len() as u64, 61 - first_left);
        let half = log.log.offset_at(&log.bus, START).await.unwrap();
        assert!(half.0 <= first_left);
        log.log.close().await;
        log
    };
    // Every page but the first is zeroed, then the head too, then the file is empty.
    let length = fs::metadata(&files[0]).unwrap().len() as usize;
    let mut bytes = fs::read(&files[0]).unwrap();
    bytes[4_096..].fill(0);
    fs::write(&files[0], &bytes).unwrap();
    let log = check(log).await;
    fs::write(&files[0], vec![0xa5; length]).unwrap();
    let log = check(log).await;
    fs::write(&files[0], b"no database at all").unwrap();
    check(log).await;
}

/// Whatever one byte of a sealed file becomes: no panic, no wrong event, no endless read, and the other files whole.
#[tokio::test]
async fn any_byte_may_break() {
    let log = closed().await;
    let file = log.files()[1].clone();
    let whole = fs::read(&file).unwrap();
    let mut log = log;
    // A stride that meets headers, cells and data of every page.
    for at in (0..whole.len()).step_by(1_709) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&file, bytes).unwrap();
        log = reopened(log);
        let mut at = 1;
        let mut seen = 0;
        while at < 61 {
            let Ok(batch) = log.log.read(&log.bus, Offset(at), ALL).await else {
                break;
            };
            for record in &batch.records {
                assert_eq!(*record.event, event(&record.offset.0.to_string(), 1_000));
                seen += 1;
            }
            assert!(batch.next.0 > at);
            at = batch.next.0;
        }
        assert!(seen >= 10, "{seen}");
        log.log.close().await;
    }
}

/// What stands in the check of a closed log: damaged ranges, and how many records are whole.
fn checked(log: &Fixture) -> (Vec<(u64, u64)>, u64) {
    let checked = crate::log::check(log.dir.path()).unwrap();
    let ranges = checked.damaged.iter().map(|one| (one.range.start.0, one.range.end.0));
    (ranges.collect(), checked.whole)
}

#[tokio::test]
async fn a_check_finds_what_a_read_would_skip() {
    let log = Fixture::new();
    log.fill(1..61, 1_000).await;
    let locked = crate::log::check(log.dir.path()).unwrap_err();
    assert_eq!(locked.code(), "store_locked", "not under a hub");
    log.log.close().await;
    assert_eq!(checked(&log), (vec![], 60));
    let sql = "DELETE FROM event WHERE \"offset\" IN (3, 4); UPDATE event SET crc = crc + 1 WHERE \"offset\" = 7";
    Connection::open(&log.files()[0]).unwrap().execute_batch(sql).unwrap();
    assert_eq!(checked(&log), (vec![(3, 5), (7, 8)], 57));
    let second: u64 = log.files()[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    fs::write(&log.files()[0], b"no database at all").unwrap();
    assert_eq!(checked(&log), (vec![(1, second)], 61 - second));
    let nowhere = crate::log::check(&log.dir.path().join("none")).unwrap_err();
    assert_eq!(nowhere.code(), "store_not_found");
}

#[tokio::test]
async fn damage_is_shown_once_until_its_records_are_gone() {
    let mut log = Fixture::with(Settings {
        segment_size: 16 << 10,
        ..settings()
    });
    log.settings.retention.size = Some(64 << 10);
    log.fill(1..61, 1_000).await;
    log.log.close().await;
    let sql = "DELETE FROM event WHERE \"offset\" IN (3, 4)";
    Connection::open(&log.files()[0]).unwrap().execute_batch(sql).unwrap();
    let log = reopened(log);
    assert_eq!(log.log.damaged(), []);
    for _ in 0..2 {
        log.read_all(1).await;
        let damaged = log.log.damaged();
        assert_eq!(damaged.len(), 1);
        assert_eq!(
            damaged[0].to_string(),
            "records 3 to 4 of bus `default` are damaged on disk and are skipped (00000000000000000001.sqlite: the rows are missing)"
        );
    }
    log.log.trim().await.unwrap();
    assert_eq!(log.log.damaged(), []);
}

/// The newest file is in ruins: refused with what helps, and what helps does.
#[tokio::test]
async fn the_newest_file_is_set_aside_and_offsets_go_on_past_it() {
    let log = closed().await;
    let newest = log.files().pop().unwrap();
    let first: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    fs::write(&newest, vec![0xa5; 12_345]).unwrap();
    let error = EventLog::open(log.dir.path(), log.settings.clone(), log.clock.clone(), Tasks::new()).unwrap_err();
    assert_eq!(error.code(), "store_damaged");
    assert!(error.message().contains("`.sqlite.damaged`"), "{error}");
    fs::rename(&newest, newest.with_extension("sqlite.damaged")).unwrap();
    let mut log = reopened(log);
    let next = log.end();
    assert!(next > 61, "{next} could have been given out");
    assert_eq!(log.append(&["new"], 10).await, [next]);
    log.reopen().await;
    assert_eq!(log.append(&["newer"], 10).await, [next + 1], "and once is enough");
    let (read, gaps) = log.read_all(1).await;
    assert_eq!(gaps, [(first, next)]);
    assert_eq!(read.len() as u64, first - 1 + 2);
}

#[tokio::test]
async fn an_older_copy_gives_out_no_offset_twice() {
    let mut log = Fixture::new();
    log.append(&["a", "b"], 10).await;
    assert!(!log.log.go_on_from(&log.bus, Offset(3)).await.unwrap());
    assert!(log.log.go_on_from(&log.bus, Offset(8)).await.unwrap());
    assert_eq!(log.append(&["c"], 10).await, [8]);
    for _ in 0..2 {
        let (read, gaps) = log.read_all(1).await;
        assert_eq!(gaps, [(3, 8)]);
        assert_eq!(read.last().unwrap(), &(8, "c".to_owned()));
        log.reopen().await;
    }
}
