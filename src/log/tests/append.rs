//! Appending, reading, rotation, duplicates, buses, opening again.

use super::*;
use crate::error::Kind;

#[tokio::test]
async fn what_is_appended_is_read_from_memory_and_after_a_restart_from_disk() {
    let mut log = Fixture::new();
    assert_eq!(log.append(&["a", "b"], 10).await, [1, 2]);
    assert_eq!(log.append(&["c"], 10).await, [3]);
    for _ in 0..2 {
        let batch = log.read(1, ALL).await;
        let ids: Vec<_> = batch.records.iter().map(|record| record.event.id()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(*batch.records[0].event, event("a", 10));
        assert_eq!(batch.records[0].received, START);
        assert_eq!((batch.next, batch.gap), (Offset(4), None));
        let past = log.read(4, ALL).await;
        assert_eq!((past.records.len(), past.next, past.gap), (0, Offset(4), None));
        log.reopen().await;
    }
    assert_eq!(log.append(&["d"], 10).await, [4]);
}

#[tokio::test]
async fn rotation_is_invisible_but_for_the_files() {
    let mut log = Fixture::new();
    log.fill(1..100, 1_000).await;
    let files = log.files();
    assert!(files.len() > 2, "{files:?}");
    assert!(files[0].ends_with("00000000000000000001.sqlite"));
    let largest = files.iter().map(|file| file.metadata().unwrap().len()).max().unwrap();
    assert!(largest <= (32 << 10) + (8 << 10), "{largest}");
    let expected: Vec<_> = (1..100).map(|offset: u64| (offset, offset.to_string())).collect();
    assert_eq!(log.read_all(1).await, (expected.clone(), vec![]));
    log.reopen().await;
    assert_eq!(log.read_all(1).await, (expected.clone(), vec![]));
    assert_eq!(log.read_all(57).await, (expected[56..].to_vec(), vec![]));
    let limited = log
        .read(
            30,
            ReadLimit {
                records: 40,
                bytes: 1 << 20,
            },
        )
        .await;
    assert_eq!((limited.records.len(), limited.next), (40, Offset(70)));
    let heavy = log
        .read(
            30,
            ReadLimit {
                records: 40,
                bytes: 3_000,
            },
        )
        .await;
    assert_eq!((heavy.records.len(), heavy.next), (2, Offset(32)));
    let sealed = log.files();
    let left = sealed[0].with_extension("sqlite-wal");
    assert!(!left.exists(), "a sealed segment is one file");
}

#[tokio::test]
async fn an_append_larger_than_a_segment_stays_in_one() {
    let log = Fixture::new();
    log.append(&["first"], 40_000).await;
    let ids: Vec<_> = (0..100).map(|id| format!("big-{id}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    assert_eq!(log.append(&ids, 1_000).await.len(), 100);
    assert_eq!(log.append(&["last"], 10).await, [102]);
    let files: Vec<_> = log
        .files()
        .iter()
        .map(|file| file.file_stem().unwrap().to_owned())
        .collect();
    assert_eq!(
        files,
        ["00000000000000000001", "00000000000000000002", "00000000000000000102"]
    );
}

#[tokio::test]
async fn every_kind_of_event_survives_the_disk() {
    let mut log = Fixture::new();
    let drafts = [
        Draft {
            id: "1".into(),
            source: "/s".into(),
            ty: "t".into(),
            ..Draft::default()
        },
        Draft {
            id: "2".into(),
            source: "/s".into(),
            ty: "t".into(),
            subject: Some("sub".into()),
            time: Some("2024-01-01T00:00:00.5+08:00".into()),
            datacontenttype: Some("application/json".into()),
            extensions: vec![
                ("zeta".into(), crate::event::Value::Integer(-1)),
                ("alpha".into(), crate::event::Value::Boolean(true)),
                ("text".into(), crate::event::Value::String("1".into())),
            ],
            data: Some(Data {
                kind: DataKind::Json,
                bytes: "{ \"a\" : 1.0 }".into(),
            }),
            ..Draft::default()
        },
    ];
    let events: Vec<_> = drafts.into_iter().map(|draft| draft.check().unwrap()).collect();
    log.log.append(&log.bus, events.clone()).await.unwrap();
    log.reopen().await;
    let read: Vec<_> = log
        .read(1, ALL)
        .await
        .records
        .iter()
        .map(|record| (*record.event).clone())
        .collect();
    assert_eq!(read, events);
}

#[tokio::test]
async fn duplicates_are_answered_with_the_first_within_the_window() {
    let mut log = Fixture::new();
    assert_eq!(log.append(&["a", "b", "a"], 10).await, [1, 2, 1]);
    assert_eq!(log.append(&["b", "c"], 10).await, [2, 3]);
    log.clock.advance(Duration::from_secs(59));
    log.reopen().await;
    assert_eq!(log.append(&["a", "d"], 10).await, [1, 4], "known after a restart");
    log.clock.advance(Duration::from_secs(1));
    assert_eq!(log.append(&["a", "d"], 10).await, [5, 4], "the window has passed for a");
    let stats = &log.log.stats()[0];
    assert_eq!((stats.appended, stats.duplicates, stats.commits), (2, 2, 2));
    assert_eq!(stats.dedup_reach, Duration::from_secs(60));
    assert_eq!(log.read_all(1).await.0.len(), 5);
}

#[tokio::test]
async fn the_reach_of_deduplication_is_told_when_ids_are_many() {
    let mut log = Fixture::with(Settings {
        dedup_ids: 10,
        ..settings()
    });
    for id in 0..40_u64 {
        log.append(&[&id.to_string()], 10).await;
        log.clock.advance(Duration::from_secs(1));
    }
    let reach = log.log.stats()[0].dedup_reach;
    assert!(
        reach >= Duration::from_secs(7) && reach <= Duration::from_secs(11),
        "{reach:?}"
    );
    log.reopen().await;
    assert_eq!(log.log.stats()[0].dedup_reach, Duration::from_secs(10));
    assert_eq!(log.append(&["39", "30", "29"], 10).await, [40, 31, 41]);
}

#[tokio::test]
async fn the_end_moves_when_records_can_be_read() {
    let log = Fixture::new();
    let mut end = log.log.end(&log.bus).unwrap();
    assert_eq!(*end.borrow_and_update(), Offset(1));
    log.append(&["a", "b"], 10).await;
    end.changed().await.unwrap();
    assert_eq!(*end.borrow(), Offset(3));
    log.append(&["a"], 10).await;
    assert!(!end.has_changed().is_ok_and(|_| *end.borrow() != Offset(3)));
}

#[tokio::test]
async fn buses_are_apart_and_bounded() {
    let mut log = Fixture::new();
    let [b, c, d] = ["b", "c", "d"].map(|name| BusName::parse(name).unwrap());
    log.append(&["a"], 10).await;
    assert_eq!(
        log.log.append(&b, vec![event("a", 10)]).await.unwrap()[0].offset,
        Offset(1)
    );
    log.log.end(&c).unwrap();
    let error = log.log.end(&d).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Conflict, "too_many_buses"));
    let error = log.log.read(&d, Offset(1), ALL).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::NotFound, "bus_not_found"));
    assert_eq!(log.log.offset_at(&d, START).await.unwrap_err().code(), "bus_not_found");
    assert_eq!(log.log.first(&d), Offset(1));
    log.reopen().await;
    assert_eq!(log.log.buses(), [b, c, log.bus.clone()]);
}

#[tokio::test]
async fn a_time_is_found_by_halving() {
    let mut log = Fixture::new();
    for id in 0..60_u64 {
        log.append(&[&id.to_string()], 1_000).await;
        log.clock.advance(Duration::from_millis(10));
    }
    for _ in 0..2 {
        for (at, expected) in [
            (-5, 1),
            (0, 1),
            (1, 2),
            (10, 2),
            (305, 32),
            (590, 60),
            (591, 61),
            (9_999, 61),
        ] {
            let found = log.log.offset_at(&log.bus, Timestamp(START.0 + at)).await.unwrap();
            assert_eq!(found, Offset(expected), "{at}");
        }
        log.reopen().await;
    }
}

#[tokio::test]
async fn times_do_not_go_back_with_the_clock() {
    let mut log = Fixture::new();
    log.append(&["a"], 10).await;
    log.clock = Clock::manual(Timestamp(START.0 - 5_000));
    log.reopen().await;
    log.append(&["b"], 10).await;
    assert_eq!(log.read(2, ALL).await.records[0].received, START);
}

#[tokio::test]
async fn a_second_hub_is_refused_until_the_first_has_closed() {
    let log = Fixture::new();
    log.append(&["a"], 10).await;
    let again = || EventLog::open(log.dir.path(), log.settings.clone(), log.clock.clone(), Tasks::new());
    let error = again().unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Unavailable, "store_locked"));
    log.log.close().await;
    assert_eq!(again().unwrap().buses().len(), 1);
}

#[tokio::test]
async fn a_closed_log_refuses_appends_and_keeps_what_was_queued() {
    let mut log = Fixture::new();
    let tasks = Tasks::new();
    let queued: Vec<_> = (0..20)
        .map(|id| {
            let (log, bus) = (log.log.clone(), log.bus.clone());
            tasks.spawn(async move { log.append(&bus, vec![event(&format!("q{id}"), 10)]).await })
        })
        .collect();
    tokio::task::yield_now().await;
    log.log.close().await;
    let mut stored = 0;
    for answer in queued {
        match answer.await.unwrap() {
            Ok(_) => stored += 1,
            Err(error) => assert_eq!(error.code(), "shutting_down"),
        }
    }
    let error = log.log.append(&log.bus, vec![event("late", 10)]).await.unwrap_err();
    assert_eq!(error.code(), "shutting_down");
    assert_eq!(log.log.end(&BusName::own()).unwrap_err().code(), "shutting_down");
    log.reopen().await;
    assert_eq!(log.read_all(1).await.0.len(), stored);
}

#[tokio::test]
async fn a_folder_may_have_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("a b?c#d%20&e=ä");
    let bus = BusName::default_bus();
    for round in 1..3_u64 {
        let log = open(&dir, &settings(), &Clock::manual(START));
        let events = |part: u64| {
            (0..20)
                .map(|id| event(&format!("{round}-{part}-{id}"), 1_000))
                .collect()
        };
        for part in 0..3 {
            log.append(&bus, events(part)).await.unwrap();
        }
        log.close().await;
        let log = open(&dir, &settings(), &Clock::manual(START));
        let batch = log.read(&bus, Offset(1), ALL).await.unwrap();
        assert_eq!((batch.records.len() as u64, batch.gap), (60 * round, None));
        log.close().await;
    }
}

#[tokio::test]
async fn readers_and_writers_do_not_wait_for_each_other() {
    let log = Fixture::new();
    log.append(&["0"], 1_000).await;
    let tasks = Tasks::new();
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (log, bus) = (log.log.clone(), log.bus.clone());
            tasks.spawn(async move {
                let (mut end, mut at, mut ids) = (log.end(&bus).unwrap(), Offset(1), Vec::new());
                while ids.len() < 120 {
                    end.wait_for(|end| *end > at).await.unwrap();
                    let again = log
                        .read(&bus, Offset(1), ReadLimit { records: 3, bytes: 0 })
                        .await
                        .unwrap();
                    assert_eq!(again.records[0].event.id(), "0");
                    let batch = log
                        .read(
                            &bus,
                            at,
                            ReadLimit {
                                records: 7,
                                bytes: 1 << 20,
                            },
                        )
                        .await
                        .unwrap();
                    assert_eq!(batch.gap, None);
                    ids.extend(batch.records.iter().map(|record| record.event.id().to_owned()));
                    at = batch.next;
                }
                ids
            })
        })
        .collect();
    for id in 1..120_u64 {
        log.append(&[&id.to_string()], 1_000).await;
    }
    let expected: Vec<_> = (0..120).map(|id: u64| id.to_string()).collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_empty_append_is_nothing() {
    let log = Fixture::new();
    assert_eq!(log.append(&[], 0).await, [0_u64; 0]);
    assert_eq!(log.end(), 1);
}
