//! What happens when the store cannot write: told, shown, and over by itself.

use super::*;
use crate::error::{Error, Kind};
use crate::log::queue::Wish;

/// Waits until the log says that it has no fault; the writer's probe has to find out.
async fn healed(log: &EventLog) {
    while log.fault().is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn refused(answer: Result<Vec<crate::log::Appended>, Error>, reason: &str) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "store_unavailable"));
    assert!(error.message().contains(reason), "{error}");
}

/// SQLite's own bound on pages fails exactly where a full disk does.
async fn disk_full(log: &Fixture, full: bool) {
    let (done, set) = tokio::sync::oneshot::channel();
    log.log
        .find(&log.bus)
        .unwrap()
        .queue
        .ask(Wish::DiskFull(full, done))
        .unwrap();
    set.await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_appends_until_there_is_room() {
    let mut log = Fixture::with(Settings {
        segment_size: 1 << 30,
        ..settings()
    });
    log.append(&["a", "b"], 1_000).await;
    disk_full(&log, true).await;
    refused(
        log.log.append(&log.bus, vec![event("c", 20_000), event("d", 10)]).await,
        "disk is full",
    );
    assert!(log.log.fault().unwrap().contains("bus `default`: the disk is full"));
    assert_eq!(log.end(), 3);
    assert_eq!(log.read_all(1).await.0.len(), 2, "reads go on");
    disk_full(&log, false).await;
    assert_eq!(log.append(&["c"], 20_000).await, [3], "the next append tries again");
    assert_eq!(log.log.fault(), None);
    log.reopen().await;
    let ids: Vec<_> = log.read_all(1).await.0.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, ["a", "b", "c"], "nothing of the refused append is there");
}

#[tokio::test]
async fn the_fault_goes_without_traffic_when_there_is_room_again() {
    let log = Fixture::with(Settings {
        segment_size: 1 << 30,
        ..settings()
    });
    log.append(&["a"], 1_000).await;
    disk_full(&log, true).await;
    refused(log.log.append(&log.bus, vec![event("c", 20_000)]).await, "disk is full");
    disk_full(&log, false).await;
    healed(&log.log).await;
    assert_eq!(log.append(&["c"], 10).await, [2]);
}

/// Somebody else holds the file: a true failure of SQLite, without a hand inside the log.
#[tokio::test]
async fn a_locked_file_refuses_appends_until_it_is_let_go() {
    let log = Fixture::new();
    log.append(&["a"], 10).await;
    let other = rusqlite::Connection::open(&log.files()[0]).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    refused(log.log.append(&log.bus, vec![event("b", 10)]).await, "another program");
    assert!(log.log.fault().is_some());
    other.execute_batch("ROLLBACK").unwrap();
    healed(&log.log).await;
    assert_eq!(log.append(&["b"], 10).await, [2]);
}

/// The table goes from under the writer. What was acknowledged and is still in memory can be read; the new segment
/// goes on where the acknowledged offsets end.
#[tokio::test]
async fn a_damaged_last_file_is_left_behind() {
    let mut log = Fixture::new();
    log.append(&["a", "b"], 10).await;
    let other = rusqlite::Connection::open(&log.files()[0]).unwrap();
    other.execute_batch("DROP TABLE event").unwrap();
    drop(other);
    refused(
        log.log.append(&log.bus, vec![event("c", 10)]).await,
        "a file is damaged",
    );
    assert_eq!(log.append(&["c"], 10).await, [3], "the next append goes to a new file");
    assert_eq!(log.log.fault(), None);
    assert_eq!(log.files().len(), 2);
    assert_eq!(log.read_all(1).await.0.len(), 3);
    log.reopen().await;
    assert_eq!(log.read_all(1).await, (vec![(3, "c".to_owned())], vec![(1, 3)]));
}

/// Somebody deletes rows: the file ends before what has been acknowledged.
#[tokio::test]
async fn a_last_file_that_lost_records_is_left_behind() {
    let log = Fixture::new();
    log.append(&["a", "b"], 10).await;
    let other = rusqlite::Connection::open(&log.files()[0]).unwrap();
    other.execute_batch("DELETE FROM event").unwrap();
    log.log.find(&log.bus).unwrap().queue.ask(Wish::Poison).unwrap();
    assert_eq!(log.append(&["c"], 10).await, [3]);
    assert_eq!(log.files().len(), 2);
}

/// A commit failed towards its producers and is in the file after all.
#[tokio::test]
async fn what_is_in_the_file_is_published_even_if_its_commit_seemed_to_fail() {
    let log = Fixture::new();
    log.append(&["a"], 10).await;
    let other = rusqlite::Connection::open(&log.files()[0]).unwrap();
    let event = event("b", 10);
    let mut attributes = Vec::new();
    let row = crate::log::record::Row::of(&event, (2, START), &mut attributes);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    other
        .execute(
            "INSERT INTO event VALUES (2, ?1, ?2, ?3, ?4, NULL, 'binary', ?5, ?6)",
            rusqlite::params![
                START.0,
                text(row.id),
                text(row.source),
                text(row.ty),
                row.checksum(),
                row.data
            ],
        )
        .unwrap();
    log.log.find(&log.bus).unwrap().queue.ask(Wish::Poison).unwrap();
    assert_eq!(log.append(&["b", "c"], 10).await, [2, 3]);
    assert_eq!(log.read_all(1).await.0.len(), 3);
    assert_eq!(log.log.stats()[0].duplicates, 1, "the producer tried again");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let check = |path: &Path| {
        let error = EventLog::open(path, settings(), Clock::system(), Tasks::new()).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "store_unavailable"));
        assert!(error.cause().is_some());
    };
    // Neither holds for the superuser only: nobody may create there.
    check(&dir.path().join("file"));
    check(Path::new("/proc/busway"));
}

#[tokio::test]
async fn files_of_others_are_refused_and_not_touched() {
    let check = |tamper: &str, reason: &str| {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("default");
        std::fs::create_dir(&folder).unwrap();
        let other = rusqlite::Connection::open(folder.join("00000000000000000001.sqlite")).unwrap();
        other.execute_batch(tamper).unwrap();
        let error = EventLog::open(dir.path(), settings(), Clock::system(), Tasks::new()).unwrap_err();
        assert_eq!(error.code(), "store_unavailable");
        assert!(error.message().contains(reason), "{error}");
    };
    check("CREATE TABLE theirs (x)", "another program");
    check(
        "PRAGMA application_id = 0x42576c67; PRAGMA user_version = 99",
        "another version",
    );
}

#[tokio::test]
async fn an_append_that_finds_the_queue_full_is_told_to_come_back() {
    let log = Fixture::with(Settings { queue: 1, ..settings() });
    log.append(&["a"], 10).await;
    let other = rusqlite::Connection::open(&log.files()[0]).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = log.log.append(&log.bus, vec![event("b", 10)]);
    let second = log.log.append(&log.bus, vec![event("c", 10)]);
    let (first, second) = tokio::join!(biased; first, second);
    refused(first, "another program");
    let retry_after = Duration::from_secs(1);
    assert_eq!(second.unwrap_err().kind(), Kind::Busy { retry_after });
}
