//! Dead letters through the hub: listed, revived, dropped, in pages, over a crash, by filter.

use serde_json::json;

use super::*;
use crate::hub::tests::{end, event, everything, letter, open};
use crate::log::BusName;
use crate::subscription::{Checkpoint, DeadLetter};

async fn keep(hub: &Hub, dead: Vec<DeadLetter>) {
    let kept = Checkpoint {
        dead,
        ..Checkpoint::default()
    };
    hub.0.store.checkpoint(kept).await.unwrap();
}

async fn left(hub: &Hub) -> u64 {
    let counts = hub.0.store.dead_counts().await.unwrap();
    counts.iter().map(|(_, count)| count).sum()
}

/// A paused subscription `x`, and so many events that are its dead letters.
async fn paused_with(hub: &Hub, letters: u64) {
    let events = (1..=letters).map(|nth| event(&nth.to_string(), "a")).collect();
    hub.0.log.append(&BusName::default_bus(), events).await.unwrap();
    hub.replace(None, "x", &json!({"types": ["none"], "sink": "http://127.0.0.1:9/x"}))
        .await
        .unwrap();
    hub.pause(None, "x").await.unwrap();
    keep(hub, (1..=letters).map(|nth| letter("x", nth, "a")).collect()).await;
}

#[tokio::test]
async fn a_lane_takes_as_many_as_it_has_room_for_and_the_rest_stay() {
    const ROOM: u64 = 5_000;
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    paused_with(&hub, ROOM + 700).await;
    let done = hub.redeliver(&everything(), false).await.unwrap();
    assert_eq!((done.matched, done.redelivered, done.failed.len()), (ROOM, ROOM, 0));
    assert_eq!(left(&hub).await, 700);
    let first = hub.dead_letters(&Choice::default(), 1).await.unwrap();
    assert_eq!(done.next, Some(first[0].id - 1), "where to go on");
    let again = hub.redeliver(&everything(), false).await.unwrap();
    assert_eq!(
        (again.redelivered, again.next),
        (0, done.next),
        "there is still no room"
    );
    let lane = hub.lane(&first[0].subscription).unwrap();
    assert_eq!(lane.retrying, 5_000);
    end(hub).await;
}

#[tokio::test]
async fn everything_is_dropped_in_more_steps_than_one() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    paused_with(&hub, 4_500).await;
    let counted = hub.drop_dead_letters(&everything(), true).await.unwrap();
    assert_eq!(
        (counted.letters, counted.first.len(), left(&hub).await),
        (4_500, SHOWN, 4_500)
    );
    let dropped = hub.drop_dead_letters(&everything(), false).await.unwrap();
    assert_eq!((dropped.letters, left(&hub).await), (4_500, 0));
    end(hub).await;
}

#[tokio::test]
async fn what_the_log_no_longer_has_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    hub.replace(None, "x", &json!({"types": ["none"], "sink": "http://127.0.0.1:9/x"}))
        .await
        .unwrap();
    // No record was ever at these offsets: as if retention had removed them.
    let nothing = DeadLetter {
        event: Vec::new(),
        ..letter("x", 0, "a")
    };
    let copy = letter("x", 8, "a");
    assert_eq!(hub.kept(&nothing), Kept::Nothing);
    keep(&hub, vec![nothing, copy]).await;
    let done = hub.redeliver(&everything(), false).await.unwrap();
    assert_eq!((done.matched, done.redelivered, done.next), (2, 0, None));
    for (failed, part) in done
        .failed
        .iter()
        .zip(["nothing of it is kept", "an attempt now failed"])
    {
        assert!(failed.reason.contains(part), "{}", failed.reason);
    }
    assert_eq!(left(&hub).await, 2, "both are still letters");
    end(hub).await;
}
