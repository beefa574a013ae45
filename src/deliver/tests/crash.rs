//! Restarts: what was settled stays settled, what was not comes again, whatever moment the end came at.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::rig::{Reply, Rig, Sink, id};
use crate::deliver::Notice;
use crate::log::Offset;
use crate::subscription::State;

#[tokio::test]
async fn a_restart_repeats_nothing_that_was_settled() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    let config = json!({"schedule": ["10s"], "max_attempts": 4, "concurrency": 1});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    rig.publish(1..=100).await;
    assert_eq!(sink.numbers(100).await.len(), 100);
    sink.says(Reply::Status(503));
    rig.publish([101]).await;
    sink.next().await;
    rig.until("s", "waiting", |status| status.retrying == 1).await;
    let rig = rig.restart().await;
    let status = rig
        .until("s", "restored", |status| status.retrying == 1 && status.behind == 0)
        .await;
    assert_eq!(status.cursor, Offset(102));
    sink.says(Reply::Status(200));
    rig.publish([102]).await;
    assert_eq!(sink.numbers(1).await, [102], "nothing that was delivered comes again");
    rig.parts.clock.advance(Duration::from_secs(12));
    assert_eq!(sink.numbers(1).await, [101]);
    rig.until("s", "done", |status| status.delivered == 2 && status.retrying == 0)
        .await;
    let recent = rig.delivery.recent(&id("s"));
    assert_eq!(recent[0].attempt.number, 2, "attempts are counted across the restart");
    let rig = rig.restart().await;
    rig.publish([103]).await;
    assert_eq!(sink.numbers(1).await, [103]);
    assert_eq!(rig.until("s", "done", |status| status.delivered == 1).await.retrying, 0);
}

#[tokio::test]
async fn after_a_crash_at_any_moment_nothing_is_missing() {
    let (mut rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    let config = json!({"schedule": ["10s"], "max_attempts": 50, "concurrency": 3});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    let mut delivered = BTreeSet::new();
    let mut published = 0;
    for round in 0..12_u64 {
        // Some rounds fail, some hang, some crash right after a checkpoint and some long after one.
        sink.says(match round % 3 {
            0 => Reply::Status(200),
            1 => Reply::Status(503),
            _ => Reply::Hang,
        });
        rig.publish(published + 1..=published + 40).await;
        published += 40;
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        if round % 2 == 0 {
            rig.checkpoint().await;
            check_the_kept_state_skips_nothing(&rig, &mut sink, &mut delivered);
        }
        rig = rig.crash().await;
        rig.parts.clock.advance(Duration::from_secs(13));
    }
    sink.says(Reply::Status(200));
    rig.parts.clock.advance(Duration::from_secs(60));
    while delivered.len() < usize::try_from(published).unwrap() {
        delivered.extend(sink.numbers(1).await);
        rig.parts.clock.advance(Duration::from_secs(13));
    }
    rig.until("s", "settled", |status| status.behind == 0 && status.retrying == 0)
        .await;
    assert_eq!(delivered, (1..=published).collect::<BTreeSet<_>>());
}

/// Reads the database as a restart would: every record is before the cursor only if the sink has seen it, or it is
/// in a retry row. The sink is asked last: what it has seen may be ahead of the store, never behind it.
fn check_the_kept_state_skips_nothing(rig: &Rig, sink: &mut Sink, delivered: &mut BTreeSet<u64>) {
    let mut database = rusqlite::Connection::open(rig.folder.path().join("state.db")).unwrap();
    let snapshot = database.transaction().unwrap();
    let one = |query: &str| snapshot.query_row(query, [], |row| row.get::<_, i64>(0)).ok();
    let floor = one("SELECT offset FROM floor WHERE bus = 'default'").unwrap_or(1);
    let cursor = one("SELECT offset FROM cursor WHERE subscription = 's'").unwrap_or(floor);
    let mut rows = snapshot.prepare("SELECT offset FROM retry").unwrap();
    let waiting: BTreeSet<i64> = rows
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    delivered.extend(sink.rest());
    let seen = |n: &i64| delivered.contains(&n.unsigned_abs()) || waiting.contains(n);
    let skipped: Vec<i64> = (1..cursor).filter(|n| !seen(n)).collect();
    assert_eq!(skipped, Vec::<i64>::new(), "cursor {cursor}, floor {floor}");
}

#[tokio::test]
async fn retention_keeps_what_somebody_still_needs() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(503)).await);
    let config = json!({"schedule": ["1h"], "max_attempts": 3, "concurrency": 1});
    rig.subscribe("s", json!({"sink": sink.url, "config": config}), 1).await;
    rig.publish([1]).await;
    sink.next().await;
    rig.until("s", "waiting", |status| status.retrying == 1).await;
    sink.says(Reply::Status(200));
    rig.publish(2..=50).await;
    rig.until("s", "delivered", |status| status.delivered == 49).await;
    rig.checkpoint().await;
    let buses = rig.delivery.0.buses();
    assert_eq!(buses[0].needed(Offset(51)), Offset(1), "the retry needs its record");
    rig.parts.clock.advance(Duration::from_secs(2 * 3_600));
    rig.until("s", "delivered", |status| status.delivered == 50).await;
    rig.checkpoint().await;
    assert_eq!(buses[0].needed(Offset(51)), Offset(51));
}

#[tokio::test]
async fn a_lane_that_parks_right_after_a_checkpoint_loses_nothing() {
    let (rig, mut sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    rig.subscribe("s", json!({"sink": sink.url}), 1).await;
    rig.publish([1]).await;
    assert_eq!(sink.numbers(1).await, [1]);
    rig.until("s", "idle", |status| status.delivered == 1).await;
    rig.checkpoint().await;
    let mut paused = rig.delivery.get(&id("s")).unwrap();
    paused.state = State::Paused {
        reason: "requested".to_owned(),
    };
    rig.parts.store.put(&paused, None).await.unwrap();
    // The checkpoint is collected before the lane's task, which the put has woken, gives its place back to the log.
    rig.delivery.put(paused.clone(), None);
    rig.checkpoint().await;
    rig.publish([2]).await;
    rig.until("s", "behind", |status| status.behind == 1).await;
    while rig.delivery.0.buses()[0].position.dispatched() < Offset(3) {
        tokio::task::yield_now().await;
    }
    rig.checkpoint().await;
    let rig = rig.crash().await;
    paused.state = State::Active;
    rig.delivery.put(paused, None);
    assert_eq!(sink.numbers(1).await, [2]);
}

#[tokio::test]
async fn a_lane_that_catches_up_right_after_a_checkpoint_does_not_hold_retention() {
    let (rig, sink) = (Rig::new().await, Sink::new(Reply::Status(200)).await);
    rig.subscribe("s", json!({"sink": sink.url, "types": ["never.seen"]}), 1)
        .await;
    // Collected before the lane's task has looked at the dispatcher's position.
    rig.checkpoint().await;
    rig.publish(1..=10).await;
    while rig.delivery.0.buses()[0].position.dispatched() < Offset(11) {
        tokio::task::yield_now().await;
    }
    rig.checkpoint().await;
    assert_eq!(rig.delivery.0.buses()[0].needed(Offset(11)), Offset(11));
}

#[tokio::test]
async fn a_sink_that_ends_a_subscription_does_not_bring_back_a_deleted_one() {
    let (mut rig, sink) = (Rig::new().await, Sink::new(Reply::Status(410)).await);
    rig.subscribe("s", json!({"sink": sink.url}), 1).await;
    let changing = rig.parts.changing.clone();
    let changed = changing.of(&id("s")).await;
    rig.publish([1]).await;
    rig.notice("gone", |notice| {
        matches!(notice, Notice::Paused { reason: "gone", .. }).then_some(())
    })
    .await;
    rig.parts.store.delete(&id("s")).await.unwrap();
    rig.delivery.remove(&id("s"));
    drop(changed);
    let rig = rig.restart().await;
    assert!(rig.delivery.get(&id("s")).is_none());
}
